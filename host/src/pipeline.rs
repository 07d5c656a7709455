//! The way of a message, from Kafka through the buffer and a plugin to its answer.
//!
//! `the_way` shows it: eight steps, each one call into one room. Steps 1 to 3 run on the source's own thread
//! (`intake`), steps 4 to 8 in each of the plugin's workers. News goes upward only as return values, through the
//! channels made here, or by guards that are dropped.

pub mod control;
mod decisions;
mod give_up;
mod intake;
mod settle;
mod shared;
#[cfg(test)]
mod tests;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::task::JoinSet;

use crate::edge::{Output, Source};
use crate::plugin::{Generation, Worker};
use crate::timer::Timer;
use control::{Seat, State};
use shared::Shared;
use worker::Task;

/// What a way is made of.
pub struct Parts {
    /// The plugin's seat: its settings, and where it is seen and counted.
    pub seat: Arc<Seat>,
    /// Where its messages come from.
    pub source: Box<dyn Source>,
    /// Where its outputs go.
    pub output: Arc<dyn Output>,
    /// Its component.
    pub generation: Arc<Generation>,
    /// The clock that permits are waited for by.
    pub timer: Timer,
}

/// A plugin at work.
#[derive(Debug)]
pub struct Running {
    shared: Arc<Shared>,
    intake: tokio::sync::oneshot::Receiver<()>,
    workers: JoinSet<()>,
}

/// One worker's round: takes what may be handled now, handles it, and answers for it. False when the way ends.
///
/// 1. the source delivers a message with its ticket  2. it takes room in the buffer  3. it joins its lane: `intake`
async fn the_way(shared: &Arc<Shared>, worker: &mut Worker, timer: Timer) -> bool {
    // 4. The heads of free lanes, each with a permit of the rate; or a batch that is complete; or a message that has been
    // given up on.
    let task = match worker::next_task(shared, worker, timer).await {
        None => return false,
        Some(task) => task,
    };
    // 5. The plugin's `handle-message` or `handle-batch`, under its deadline, CPU and memory budgets.
    let (mut run, batch) = match task {
        Task::Run(run) => (worker::handle(shared, worker, run).await, None),
        Task::Batch(batch) => worker::handle_batch(shared, worker, batch).await,
        Task::LastWord(message) => {
            give_up::last_word(shared, worker, message).await;
            return true;
        }
    };
    // 6. Outputs are on their way to Kafka, or it is clear why they must not be.
    let receipts = settle::produce(shared, &mut run).await;
    // 7. Each message is answered once, when Kafka has its outputs: finished, put into a batch, tried again, or given up
    // on.  8. Its partition's progress moves.
    settle::answer(shared, run, receipts, batch);
    true
}

/// Starts a plugin: its source's thread and its workers on `runtime`.
pub fn start(parts: Parts, runtime: &tokio::runtime::Handle) -> anyhow::Result<Running> {
    let Parts { seat, source, output, generation, timer } = parts;
    // Workers are made where the runtime is at hand: an async handler's instances are tasks on it.
    let entered = runtime.enter();
    let hands: Vec<_> = (0..seat.plugin.budget.concurrency).map(|_| generation.worker()).collect();
    drop(entered);
    let lookouts = hands.iter().map(Worker::lookout).collect();
    let shared = Arc::new(Shared::new(seat.clone(), source.bell(), output, lookouts, &generation));
    seat.take_place(&shared);
    seat.say(|_| Some(State::Joining { trouble: None }));
    let plugin = &seat.plugin;
    let (closed, intake) = tokio::sync::oneshot::channel();
    let at_intake = shared.clone();
    std::thread::Builder::new()
        .name(format!("intake-{}", plugin.name))
        .spawn(move || {
            intake::run(&at_intake, source);
            // Nobody listens any more only when the host is ending without waiting.
            let _ = closed.send(());
        })
        .with_context(|| format!("failed to start the intake thread of plugin `{}`", plugin.name))?;
    let mut workers = JoinSet::new();
    for mut worker in hands {
        let shared = shared.clone();
        let work = async move {
            let mut rounds = 0_u32;
            while the_way(&shared, &mut worker, timer).await {
                rounds = rounds.wrapping_add(1);
                if rounds.is_multiple_of(ROUNDS_BETWEEN_YIELDS) {
                    tokio::task::yield_now().await;
                }
            }
            worker.stop().await;
        };
        workers.spawn_on(work, runtime);
    }
    Ok(Running { shared, intake, workers })
}

/// How many rounds a worker makes before it lets others have the thread, though it never had to wait: with rounds of
/// about a millisecond nobody waits long, and with short ones the worker keeps what it has in the processor's caches.
const ROUNDS_BETWEEN_YIELDS: u32 = 8;

/// How much longer than `drain` the end of a plugin may take: the last commit, and instances that are told to stop.
const CLOSE_LIMIT: Duration = Duration::from_secs(12);

impl Running {
    /// Starts nothing more, waits for what is in flight up to the plugin's `drain`, commits and leaves the group.
    pub async fn drain(mut self) {
        self.shared.stop();
        let limit = self.shared.plugin.drain + CLOSE_LIMIT;
        let end = async {
            // An intake thread that is gone has nothing left to say.
            let _ = (&mut self.intake).await;
            while let Some(worker) = self.workers.join_next().await {
                if let Err(error) = worker {
                    tracing::error!(plugin = %self.shared.plugin.name, %error, "a worker did not end in good order");
                }
            }
        };
        if tokio::time::timeout(limit, end).await.is_err() {
            tracing::warn!(plugin = %self.shared.plugin.name, "gave up waiting for the plugin to end");
        }
        self.workers.abort_all();
    }
}
