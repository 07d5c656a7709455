//! A worker's share of the way: waiting for messages that may start, and giving them to the guest.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::give_up::{self, GivenUp};
use super::hands::Hands;
use super::shared::{Shared, Take};
use crate::batch::Batch;
use crate::metrics::{LocalHistogram, ThrottledBy};
use crate::outcome::Handling;
use crate::plugin::{BatchEnd, Generation, Worker};
use crate::run::{HeldUp, Run, RunMessage, Version};
use crate::timer::Timer;

/// How long a message may be under way before those behind it in its run are taken from its worker: runs are made
/// to last half of it, so one that is still at the same message is held up.
const RESCUE_AFTER: Duration = Duration::from_millis(2);

/// What a worker does next.
#[derive(Debug)]
pub(super) enum Task {
    /// Messages that may start now.
    Run(Run),
    /// Messages that a version of the plugin has put together, for the same version.
    Batch(Batch, Version),
    /// A message that the plugin's failure handler is to see.
    LastWord(GivenUp),
}

/// Waits for something to do, and tells which version of the component is to do it. None when the way ends, or when the
/// worker is one too many.
///
/// Workers wait in a queue for their turn, and only the one whose turn it is waits for work and for a permit: so a
/// permit is asked for when there is a message for it, it goes to one worker, and nobody sleeps and then finds
/// that all go at once.
pub(super) async fn next_task(
    shared: &Arc<Shared>,
    hands: &mut Hands,
    timer: Timer,
) -> Option<(Task, Arc<Generation>)> {
    if shared.staff.dismisses() {
        return None;
    }
    let idle = shared.wait_for_work();
    // The usual case under load: there is work, and no need to queue for it.
    if hands.is_prepared()
        && !shared.is_stopping()
        && let Take::Task(task, generation) = shared.try_take(hands)
    {
        return Some((task, generation));
    }
    let turn = loop {
        tokio::select! {
            turn = shared.turn.lock() => break turn,
            // Whoever only queues lets go of an old version too, and leaves when there are too many workers.
            () = hands.changed() => hands.renew().await,
        }
        if shared.staff.dismisses() {
            return None;
        }
    };
    let task = loop {
        if shared.is_over() || shared.staff.dismisses() {
            return None;
        }
        // An instance first: a permit is for now, and making an instance may take milliseconds.
        if !hands.is_prepared() && shared.decisions().buffer.has_ready() && !hands.prepare().await {
            continue;
        }
        match shared.try_take(hands) {
            Take::Task(task, generation) => break (task, generation),
            Take::Renewal => hands.renew().await,
            Take::Nothing { until } => wait_for_work(shared, timer, until).await,
            Take::NotBefore(then) => wait_for_permit(shared, timer, then).await,
        }
    };
    // What is left in the buffer is for the next in the queue, who finds out by itself.
    drop(idle);
    drop(turn);
    Some(task)
}

/// Waits for messages, or until some are due; and while other workers hold some that this one could start, looks after
/// those.
async fn wait_for_work(shared: &Shared, timer: Timer, until: Option<Instant>) {
    match shared.rescue() {
        HeldUp::Nothing => match until {
            None => shared.work.notified().await,
            Some(until) => tokio::select! {
                () = shared.work.notified() => {}
                () = timer.sleep_until(until) => {}
            },
        },
        HeldUp::NotYet => {
            // Whether it was woken or the time is over makes no difference: it looks again.
            let _ = tokio::time::timeout(RESCUE_AFTER, shared.work.notified()).await;
        }
        HeldUp::Yes => {}
    }
}

async fn wait_for_permit(shared: &Shared, timer: Timer, then: Instant) {
    let asked = Instant::now();
    tokio::select! {
        () = timer.sleep_until(then) => {}
        // A stop rings here; so does new work, which changes nothing but costs nothing either.
        () = shared.work.notified() => {}
    }
    shared.metrics.add_throttled(ThrottledBy::Rate, asked.elapsed());
}

/// Gives a run to the guest and notes how long each message waited and took.
pub(super) async fn handle(shared: &Shared, worker: &mut Worker, run: Run) -> Run {
    let run = worker.handle(run).await;
    shared.landed();
    let (mut handle, mut wait) = (LocalHistogram::default(), LocalHistogram::default());
    let mut slowest_ns = 0;
    for message in &run.messages {
        let Some(started_at) = message.started_at else { continue };
        handle.observe(message.handle_ns);
        wait.observe((started_at - message.delivery.fetched_at()).as_nanos() as u64);
        slowest_ns = slowest_ns.max(message.handle_ns);
    }
    shared.metrics.handle_seconds.add(&mut handle);
    shared.metrics.wait_seconds.add(&mut wait);
    shared.measured(slowest_ns);
    run
}

/// Gives a batch to the guest. Returns it as a run that has been handled, and its number.
pub(super) async fn handle_batch(
    shared: &Shared,
    worker: &mut Worker,
    (mut batch, version): (Batch, Version),
) -> (Run, Option<u64>) {
    let started_at = Instant::now();
    let end = worker.handle_batch(&mut batch).await;
    shared.landed();
    let mut seconds = LocalHistogram::default();
    seconds.observe(started_at.elapsed().as_nanos() as u64);
    shared.metrics.batch_seconds.add(&mut seconds);
    let handlings = match end {
        BatchEnd::Each(handlings) => handlings,
        BatchEnd::BrokenOff { kind, reason } => {
            let messages = batch.messages.len();
            give_up::tell(shared, |plugin| {
                let (kind, batcher) = (kind.word(), &*batch.batcher);
                tracing::warn!(
                    plugin,
                    batcher,
                    messages,
                    kind,
                    reason,
                    "a batch was broken off; each of its messages is tried alone next"
                );
            });
            batch.messages.iter().map(|_| Handling::NotStarted).collect()
        }
    };
    let messages = batch.messages.into_iter().zip(handlings);
    let messages = messages.map(|(waiting, handling)| RunMessage {
        handling,
        ..RunMessage::new(waiting.lane, waiting.delivery)
    });
    (Run::new(messages.collect(), shared.stopping.clone()).by(version), Some(batch.id))
}
