//! The source's own thread: messages into the buffer, partitions coming and going.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::control::State;
use super::shared::{Shared, wall};
use crate::ack::{Delivered, Partition};
use crate::budget::Pace;
use crate::edge::{Event, Room, Source};
use crate::message::Batch;
use crate::metrics::ThrottledBy;

/// How long leaving the group may take after the drain; a broker that does not answer must not hold up the end.
const CLOSE_LIMIT: std::time::Duration = std::time::Duration::from_secs(8);

/// Partitions that are to be given up once nothing of them is in flight, or at the deadline.
struct Leaving {
    partitions: Vec<Arc<Partition>>,
    deadline: Instant,
}

/// Reads until the way ends, then drains and leaves.
pub(super) fn run(shared: &Shared, mut source: Box<dyn Source>) {
    let mut leaving = Vec::new();
    while !shared.is_stopping() {
        let room = shared.room(!leaving.is_empty());
        let asked = Instant::now();
        if room.messages == 0 || room.bytes == 0 {
            shared.hurry();
        }
        let event = source.next(room);
        if room.messages == 0 || room.bytes == 0 {
            shared.metrics.add_throttled(ThrottledBy::Buffer, asked.elapsed());
        }
        let moves = matches!(event, Event::Assigned(_) | Event::Revoked(_) | Event::Lost(_));
        take_in(shared, event, &mut leaving);
        if (shared.share_is_due.swap(false, Ordering::AcqRel) || moves)
            && !share_rate(shared, source.as_mut())
        {
            shared.share_is_due.store(true, Ordering::Release);
        }
        leaving.retain(|leave: &Leaving| !give_up(shared, source.as_mut(), leave));
    }
    drain(shared, source.as_mut());
    source.close(CLOSE_LIMIT);
}

/// Tells a pace of the whole group what this host owns of it. False when that is not known yet; until then it owns
/// nothing, so that no two hosts ever own the same.
fn share_rate(shared: &Shared, source: &mut dyn Source) -> bool {
    let owned: Vec<_> = {
        let mut decisions = shared.decisions();
        let owned = decisions.buffer.partitions().cloned().collect();
        let Some(Pace::Group(pacer)) = &mut decisions.pacer else { return true };
        pacer.own(Vec::new(), 0, wall());
        owned
    };
    let Some((places, partitions)) = source.places(&owned) else { return false };
    if let Some(Pace::Group(pacer)) = &mut shared.decisions().pacer {
        pacer.own(places, partitions, wall());
    }
    shared.work.notify_one();
    true
}

fn take_in(shared: &Shared, event: Event, leaving: &mut Vec<Leaving>) {
    match event {
        Event::Batch(partition, batch) => accept(shared, &partition, batch),
        Event::Assigned(partitions) => {
            let mut decisions = shared.decisions();
            partitions.iter().for_each(|partition| decisions.buffer.assign(partition.clone()));
            let partitions = decisions.buffer.partitions().count();
            drop(decisions);
            tracing::info!(plugin = %shared.plugin.name, partitions, "partitions assigned");
            shared.seat.say(|_| Some(State::Running));
        }
        Event::Revoked(partitions) => {
            shared.decisions().revoke(&partitions);
            shared.work.notify_one();
            tracing::info!(plugin = %shared.plugin.name, partitions = partitions.len(), "giving up partitions");
            leaving.push(Leaving { partitions, deadline: Instant::now() + shared.plugin.drain });
        }
        Event::Lost(partitions) => {
            shared.decisions().lose(&partitions);
            tracing::warn!(
                plugin = %shared.plugin.name, partitions = partitions.len(),
                "partitions lost: what is in flight of them will be handled again elsewhere"
            );
            shared.seat.say(|_| Some(State::Joining { trouble: None }));
        }
        Event::Renewed(old, new) => {
            let mut decisions = shared.decisions();
            let (unfinished, position) = {
                let progress = old.progress();
                (progress.unfinished(), progress.watermark())
            };
            decisions.lose(std::slice::from_ref(&old));
            decisions.buffer.assign(new);
            drop(decisions);
            tracing::error!(
                plugin = %shared.plugin.name, partition = %old, forgotten = unfinished, watermark = position,
                "offsets went backwards: the topic was deleted and made again, or a broker lost messages; the partition \
                 is read from its beginning, and messages of before that were not finished are forgotten"
            );
        }
        Event::Trouble(trouble) => say_trouble(shared, trouble),
        Event::Nothing => {}
    }
}

fn say_trouble(shared: &Shared, trouble: Option<String>) {
    let plugin = &shared.plugin.name;
    match &trouble {
        Some(trouble) => tracing::warn!(%plugin, %trouble, "Kafka is in trouble; waiting for it"),
        None => tracing::info!(%plugin, "Kafka is there again"),
    }
    shared.seat.say(|now| match (now, trouble) {
        (State::Joining { .. }, trouble) => Some(State::Joining { trouble }),
        (_, Some(trouble)) => Some(State::Troubled { trouble }),
        (State::Troubled { .. }, None) => Some(State::Running),
        _ => None,
    });
}

fn accept(shared: &Shared, partition: &Arc<Partition>, batch: Batch) {
    let deliveries = Delivered::deliver(batch, partition.clone());
    let mut decisions = shared.decisions();
    decisions.buffer.push(partition, deliveries);
    shared.changed(&mut decisions);
}

/// Gives partitions up when they are drained, or when there is no more time for it. Returns whether it did.
fn give_up(shared: &Shared, source: &mut dyn Source, leave: &Leaving) -> bool {
    let drained = shared.decisions().buffer.is_drained(&leave.partitions);
    if !drained && Instant::now() < leave.deadline {
        return false;
    }
    if !drained {
        tracing::warn!(
            plugin = %shared.plugin.name, drain = ?shared.plugin.drain,
            "gave up partitions with messages still in flight: they will be handled again elsewhere"
        );
        shared.decisions().lose(&leave.partitions);
    }
    source.release(&leave.partitions);
    true
}

/// The end: what waits is dropped (it comes again), what is in flight is waited for.
fn drain(shared: &Shared, source: &mut dyn Source) {
    let deadline = Instant::now() + shared.plugin.drain;
    {
        let mut decisions = shared.decisions();
        let partitions: Vec<_> = decisions.buffer.partitions().cloned().collect();
        decisions.revoke(&partitions);
        shared.changed(&mut decisions);
    }
    loop {
        // Asked for its side effect: from here on everything that comes free rings.
        shared.room(true);
        let taken = shared.decisions().buffer.taken();
        if taken == 0 {
            return;
        }
        if Instant::now() >= deadline {
            tracing::warn!(
                plugin = %shared.plugin.name, in_flight = taken, drain = ?shared.plugin.drain,
                "ending with messages still in flight: they will be handled again"
            );
            return;
        }
        source.next(Room { messages: 0, turn: 1, bytes: 0, empty: false });
    }
}
