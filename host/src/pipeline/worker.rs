//! A worker's share of the way: waiting for messages that may start, and giving them to the guest.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::give_up::GivenUp;
use super::shared::{Shared, Take};
use crate::metrics::{LocalHistogram, ThrottledBy};
use crate::plugin::Worker;
use crate::run::{HeldUp, Run};
use crate::timer::Timer;

/// How long a message may be under way before those behind it in its run are taken from its worker: runs are made
/// to last half of it, so one that is still at the same message is held up.
const RESCUE_AFTER: Duration = Duration::from_millis(2);

/// What a worker does next.
#[derive(Debug)]
pub(super) enum Task {
    /// Messages that may start now.
    Run(Run),
    /// A message that the plugin's failure handler is to see.
    LastWord(GivenUp),
}

/// Waits for something to do. None when the way ends.
///
/// Workers wait in a queue for their turn, and only the one whose turn it is waits for work and for a permit: so a
/// permit is asked for when there is a message for it, it goes to one worker, and nobody sleeps and then finds
/// that all go at once.
pub(super) async fn next_task(shared: &Arc<Shared>, worker: &mut Worker, timer: Timer) -> Option<Task> {
    let idle = shared.wait_for_work();
    // The usual case under load: there is work, and no need to queue for it.
    let longest = |worker: &Worker| worker.longest_run().min(shared.run_length());
    if worker.is_prepared()
        && !shared.is_stopping()
        && let Take::Task(task) = shared.try_take(longest(worker))
    {
        return Some(task);
    }
    let turn = shared.turn.lock().await;
    let task = loop {
        if shared.is_stopping() {
            return None;
        }
        // An instance first: a permit is for now, and making an instance may take milliseconds.
        if !worker.is_prepared() && shared.decisions().buffer.has_ready() && !worker.prepare().await {
            continue;
        }
        match shared.try_take(longest(worker)) {
            Take::Task(task) => break task,
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
