//! The way of a message, from Kafka through the buffer and a plugin to its answer.
//!
//! `the_way` shows it: eight steps, each one call into one room. Steps 1 to 3 run on the source's own thread
//! (`intake`), steps 4 to 8 in each of the plugin's workers. News goes upward only as return values, through the
//! channels made here, or by guards that are dropped.

pub mod control;
mod decisions;
mod give_up;
mod hands;
mod intake;
mod rescue;
mod settle;
mod shadow;
mod shared;
mod staff;
mod swap;
mod tap;
#[cfg(test)]
mod tests;
mod traces;
mod trial;
mod versions;
mod waiting;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use crate::edge::{Output, Source};
use crate::spans::Spans;
use crate::timer::Timer;
use control::{Seat, State};
use hands::Hands;
use shared::Shared;
use worker::Task;

/// What a way is made of.
pub struct Parts {
    /// The plugin's seat: its settings, its component, and where it is seen and counted.
    pub seat: Arc<Seat>,
    /// Where its messages come from.
    pub source: Box<dyn Source>,
    /// Where its outputs go.
    pub output: Arc<dyn Output>,
    /// The clock that permits are waited for by.
    pub timer: Timer,
    /// Where its spans go; none when there is no collector.
    pub spans: Option<Spans>,
}

/// A plugin at work.
#[derive(Debug)]
pub struct Running {
    shared: Arc<Shared>,
    intake: tokio::sync::oneshot::Receiver<()>,
}

/// One worker's round: takes what may be handled now, handles it, and answers for it. False when the way ends.
///
/// 1. the source delivers a message with its ticket  2. it takes room in the buffer  3. it joins its lane: `intake`
async fn the_way(shared: &Arc<Shared>, hands: &mut Hands, timer: Timer) -> bool {
    // 4. The heads of free lanes, each with a permit of the rate; or a batch that is complete; or a message that has been
    // given up on; and the version of the component that it is for.
    let Some((task, generation)) = worker::next_task(shared, hands, timer).await else { return false };
    let worker = hands.of(&generation);
    // 5. The plugin's `handle-message` or `handle-batch`, under its deadline, CPU and memory budgets.
    let (mut run, batch) = match task {
        Task::Run(run) => (worker::handle(shared, worker, run).await, None),
        Task::Batch(batch, version) => worker::handle_batch(shared, worker, (batch, version)).await,
        Task::LastWord(message) => {
            give_up::last_word(shared, worker, message).await;
            return true;
        }
    };
    if let Some(shadow) = &hands.active().shadow {
        shadow.show(&run);
    }
    // 6. Outputs are on their way to Kafka, or it is clear why they must not be.
    let receipts = settle::produce(shared, &mut run).await;
    // 7. Each message is answered once, when Kafka has its outputs: finished, put into a batch, tried again, or given up
    // on.  8. Its partition's progress moves.
    settle::answer(shared, run, receipts, batch);
    true
}

/// Starts a plugin: its source's thread and its workers on `runtime`.
pub fn start(parts: Parts, runtime: &tokio::runtime::Handle) -> anyhow::Result<Running> {
    let Parts { seat, source, output, timer, spans } = parts;
    let name = seat.plugin.name.clone();
    let versions = seat.versions().with_context(|| format!("plugin `{name}` has no component"))?;
    let shared = Arc::new(Shared::new(seat.clone(), source.bell(), (output, spans), versions.clone()));
    shared.staff.open(runtime.clone(), timer);
    seat.take_place(&shared);
    seat.say(|_| Some(State::Joining { trouble: None }));
    let (closed, intake) = tokio::sync::oneshot::channel();
    let at_intake = shared.clone();
    std::thread::Builder::new()
        .name(format!("intake-{name}"))
        .spawn(move || {
            intake::run(&at_intake, source);
            // Nobody listens any more only when the host is ending without waiting.
            let _ = closed.send(());
        })
        .with_context(|| format!("failed to start the intake thread of plugin `{name}`"))?;
    staff::hire(&shared, seat.budget().concurrency);
    Ok(Running { shared, intake })
}

/// One worker, from its first round to its last.
async fn work(shared: Arc<Shared>, mut hands: Hands, timer: Timer) {
    let mut rounds = 0_u32;
    while the_way(&shared, &mut hands, timer).await {
        rounds = rounds.wrapping_add(1);
        if rounds.is_multiple_of(ROUNDS_BETWEEN_YIELDS) {
            tokio::task::yield_now().await;
        }
    }
    hands.stop().await;
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
        let mut workers = self.shared.staff.close();
        let limit = self.shared.plugin.drain + CLOSE_LIMIT;
        let end = async {
            // An intake thread that is gone has nothing left to say.
            let _ = (&mut self.intake).await;
            while let Some(worker) = workers.join_next().await {
                if let Err(error) = worker {
                    tracing::error!(plugin = %self.shared.plugin.name, %error, "a worker did not end in good order");
                }
            }
        };
        if tokio::time::timeout(limit, end).await.is_err() {
            tracing::warn!(plugin = %self.shared.plugin.name, "gave up waiting for the plugin to end");
        }
        workers.abort_all();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Whoever lets go of it without draining wants nothing more of it to start.
        self.shared.stop();
    }
}
