//! The throttled buffer: messages between Kafka and the workers, in lanes.
//!
//! Pure: no clock, no lock, no waiting. `pipeline` keeps it under one lock and asks it for room, for runs, and
//! tells it what came of them. Bounded in messages and bytes over all partitions of a plugin; fair between them:
//! each turn takes from the partition that waited longest for one.

mod lane;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use crate::ack::{Delivery, Partition};
use crate::config::Order;
use crate::edge::Room;
use crate::run::{LaneId, RunMessage};
use lane::{Lane, LaneIds, is_loner};

/// Most delivered messages between a partition's watermark and its highest. Beyond it the partition is not read
/// until the watermark moves: one stuck message must not make the memory of what finished behind it grow for
/// ever (16 bytes each, so 2 MiB a partition here).
pub const SPAN_MESSAGES_MAX: usize = 131_072;

/// Most messages held by parked lanes of one partition, the parked ones and those queued behind them. Beyond it
/// the partition is not read: parked messages live outside `buffer`, so this is what bounds their memory.
pub const PARKED_MESSAGES_MAX: usize = 10_000;

/// How many turns of one partition after another fill the buffer.
const TURNS: usize = 32;

/// A lane that is held, as it is shown.
#[derive(Clone, Debug)]
pub struct ParkedLane {
    /// Where its first message stands.
    pub position: crate::message::Position,
    /// Why it is held.
    pub reason: String,
    /// Messages of the lane, the parked one included.
    pub messages: usize,
}

/// What a worker says of each message it took.
#[derive(Debug)]
pub enum End {
    /// Finished for good.
    Finished,
    /// Never started: it goes back to the head of its lane.
    GivenBack,
    /// It cannot be finished and may not be dropped, for this reason: its lane is held.
    Parked(String),
}

/// The buffer of one plugin.
#[derive(Debug)]
pub struct Buffer {
    ids: LaneIds,
    messages_max: usize,
    bytes_max: usize,
    slots: hashbrown::HashMap<u64, Slot, foldhash::fast::RandomState>,
    /// Partitions with a lane whose head may be taken, in the order of their turns.
    turns: VecDeque<u64>,
    lanes: hashbrown::HashMap<LaneId, Lane, foldhash::fast::RandomState>,
    waiting: usize,
    taken: usize,
    bytes: usize,
    parked_lanes: usize,
}

/// One assigned partition.
#[derive(Debug)]
struct Slot {
    partition: Arc<Partition>,
    /// Heads of free lanes.
    ready: VecDeque<(LaneId, Delivery)>,
    /// Stands among the buffer's `turns`.
    has_turn: bool,
    taken: usize,
    parked: usize,
    /// Given up; stays until workers have nothing of it any more.
    leaving: bool,
}

impl Buffer {
    /// An empty buffer of at most `messages_max` messages and `bytes_max` bytes.
    pub fn new(order: Order, messages_max: usize, bytes_max: usize) -> Self {
        Self {
            ids: LaneIds::new(order),
            messages_max,
            bytes_max,
            slots: hashbrown::HashMap::default(),
            turns: VecDeque::new(),
            lanes: hashbrown::HashMap::default(),
            waiting: 0,
            taken: 0,
            bytes: 0,
            parked_lanes: 0,
        }
    }

    /// How much may be taken from Kafka. `in_flight` of the taken messages are being handled right now: those
    /// count against the concurrency, not against the buffer. Where messages are handled so quickly that taking them
    /// one at a time would cost more than their handling, less than `worth_taking` is no room; but a quarter of the
    /// buffer always is.
    pub fn room(&self, in_flight: usize, worth_taking: usize) -> Room {
        let worth_taking = worth_taking.min(self.messages_max / 4);
        let free = self.messages_max.saturating_sub(self.messages(in_flight));
        Room {
            messages: if free < worth_taking { 0 } else { free },
            turn: (self.messages_max / TURNS).max(1),
            bytes: self.bytes_max.saturating_sub(self.bytes),
            empty: self.waiting + self.taken == 0,
        }
    }

    /// Messages held: waiting for a worker, waiting for their turn in a run, or for Kafka's word on their outputs.
    pub fn messages(&self, in_flight: usize) -> usize {
        self.waiting + self.taken.saturating_sub(in_flight)
    }

    /// Bytes held, of messages being handled too.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Messages that a worker could take now, were there one.
    pub fn has_ready(&self) -> bool {
        !self.turns.is_empty()
    }

    /// Adds an assigned partition.
    pub fn assign(&mut self, partition: Arc<Partition>) {
        let id = partition.id;
        let ready = VecDeque::new();
        self.slots
            .insert(id, Slot { partition, ready, has_turn: false, taken: 0, parked: 0, leaving: false });
    }

    /// Takes in messages of an assigned partition, in the order of their offsets. Messages of a partition that is
    /// not assigned (any more) are dropped: they come again wherever the partition went.
    pub fn push(&mut self, partition: &Arc<Partition>, deliveries: impl Iterator<Item = Delivery>) {
        let Some(slot) = self.slots.get_mut(&partition.id) else { return };
        for delivery in deliveries {
            let id = self.ids.of(&delivery);
            let size = delivery.size_bytes();
            if !is_loner(id) {
                let lane = self.lanes.entry(id).or_insert_with(|| Lane::new(partition.id));
                if lane.is_parked() {
                    lane.queue(delivery.detached());
                    slot.parked += 1;
                    continue;
                }
                if lane.is_busy() {
                    lane.queue(delivery);
                } else {
                    lane.head_ready = true;
                    slot.ready.push_back((id, delivery));
                }
            } else {
                slot.ready.push_back((id, delivery));
            }
            self.waiting += 1;
            self.bytes += size;
        }
        slot.queue_up(&mut self.turns);
        slot.hold_if_full();
    }

    /// Takes up to `max` messages: heads of free lanes, one partition after the other, then what follows them in
    /// their lanes (a run handles one message after the other, so a lane's order holds within it).
    pub fn take(&mut self, max: usize, run: &mut Vec<RunMessage>) {
        let before = run.len();
        while run.len() < max {
            let Some(id) = self.turns.pop_front() else { break };
            let Some(slot) = self.slots.get_mut(&id) else { continue };
            slot.has_turn = false;
            let Some((lane, delivery)) = slot.ready.pop_front() else { continue };
            slot.queue_up(&mut self.turns);
            slot.taken += 1;
            if let Some(lane) = self.lanes.get_mut(&lane) {
                lane.head_ready = false;
                lane.taken += 1;
            }
            run.push(RunMessage::new(lane, delivery));
        }
        self.follow(max, run);
        self.waiting -= run.len() - before;
        self.taken += run.len() - before;
    }

    /// Fills a run with what follows its heads in their lanes.
    fn follow(&mut self, max: usize, run: &mut Vec<RunMessage>) {
        for head in 0..run.len() {
            if run.len() >= max {
                return;
            }
            let id = run[head].lane;
            let Some(lane) = self.lanes.get_mut(&id) else { continue };
            let Some(slot) = self.slots.get_mut(&lane.slot) else { continue };
            let following = lane.queued().min(max - run.len());
            lane.taken += following as u32;
            slot.taken += following;
            let follows = std::iter::from_fn(|| lane.pop()).take(following);
            run.extend(follows.map(|delivery| RunMessage::new(id, delivery)));
        }
    }

    /// Learns what became of a taken message. Messages of one lane come in the lane's order.
    pub fn settle(&mut self, lane: LaneId, delivery: Delivery, end: End) {
        let (partition, size) = (delivery.partition().id, delivery.size_bytes());
        let revoked = delivery.partition().is_revoked();
        self.taken -= 1;
        self.bytes -= size;
        let slot = self.slots.get_mut(&partition);
        match end {
            End::Finished => delivery.finish(),
            // What is given up comes again wherever the partition went.
            _ if revoked => drop(delivery),
            End::GivenBack => {
                self.waiting += 1;
                self.bytes += size;
                if is_loner(lane) {
                    if let Some(slot) = slot {
                        slot.ready.push_front((lane, delivery));
                    }
                } else if let Some(lane) = self.lanes.get_mut(&lane) {
                    lane.give_back(delivery);
                }
            }
            End::Parked(reason) => {
                if let Some(slot) = slot {
                    slot.parked += 1;
                }
                self.parked_lanes += 1;
                let parked = ParkedLane { position: delivery.message().position(), reason, messages: 1 };
                self.lanes
                    .entry(lane)
                    .or_insert_with(|| Lane::new(partition))
                    .park(delivery.detached(), parked);
            }
        }
        if !is_loner(lane) {
            self.free(lane, partition);
        }
        let Some(slot) = self.slots.get_mut(&partition) else { return };
        slot.taken -= 1;
        if slot.leaving && slot.taken == 0 {
            self.slots.remove(&partition);
            return;
        }
        slot.queue_up(&mut self.turns);
        slot.release_if_room();
    }

    /// One taken message of a lane less: when it was the last, the lane's next head may be taken.
    fn free(&mut self, id: LaneId, slot: u64) {
        let hashbrown::hash_map::Entry::Occupied(mut entry) = self.lanes.entry(id) else { return };
        let lane = entry.get_mut();
        lane.taken = lane.taken.saturating_sub(1);
        if lane.taken > 0 {
            return;
        }
        lane.restore();
        let Some(slot) = self.slots.get_mut(&slot).filter(|slot| !slot.partition.is_revoked()) else {
            entry.remove();
            return;
        };
        if lane.is_parked() {
            // What queued behind the parked message no longer counts in the buffer, but among the parked.
            let behind = lane.set_aside();
            slot.parked += behind.0;
            self.waiting -= behind.0;
            self.bytes -= behind.1;
        } else if let Some(delivery) = lane.pop() {
            lane.head_ready = true;
            slot.ready.push_back((id, delivery));
        } else {
            entry.remove();
        }
    }

    /// Drops what waits of partitions that are to be given up; what workers have of them stays counted.
    pub fn revoke(&mut self, partitions: &[Arc<Partition>]) {
        for partition in partitions {
            partition.revoke();
            let Some(slot) = self.slots.get_mut(&partition.id) else { continue };
            for (_, delivery) in slot.ready.drain(..) {
                self.waiting -= 1;
                self.bytes -= delivery.size_bytes();
            }
            self.turns.retain(|&id| id != partition.id);
            let (waiting, bytes, parked_lanes) = (&mut self.waiting, &mut self.bytes, &mut self.parked_lanes);
            self.lanes.retain(|_, lane| {
                if lane.slot != partition.id {
                    return true;
                }
                if lane.is_parked() {
                    *parked_lanes -= 1;
                } else {
                    let held = lane.held();
                    *waiting -= held.0;
                    *bytes -= held.1;
                }
                false
            });
            slot.leaving = true;
            if slot.taken == 0 {
                self.slots.remove(&partition.id);
            }
        }
    }

    /// Whether workers have nothing more of these partitions, which were given up.
    pub fn is_drained(&self, partitions: &[Arc<Partition>]) -> bool {
        partitions.iter().all(|partition| !self.slots.contains_key(&partition.id))
    }

    /// Messages that workers have of any partition.
    pub fn taken(&self) -> usize {
        self.taken
    }

    /// The assigned partitions.
    pub fn partitions(&self) -> impl Iterator<Item = &Arc<Partition>> {
        self.slots.values().filter(|slot| !slot.leaving).map(|slot| &slot.partition)
    }

    /// How many lanes are held.
    pub fn parked_lanes(&self) -> usize {
        self.parked_lanes
    }

    /// The lanes that are held.
    pub fn parked(&self) -> impl Iterator<Item = ParkedLane> + '_ {
        self.lanes.values().filter_map(Lane::shown)
    }
}

impl Slot {
    fn queue_up(&mut self, turns: &mut VecDeque<u64>) {
        if !self.has_turn && !self.ready.is_empty() {
            self.has_turn = true;
            turns.push_back(self.partition.id);
        }
    }

    fn hold_if_full(&mut self) {
        let span = self.partition.progress().span();
        if !self.partition.is_held() && (span >= SPAN_MESSAGES_MAX || self.parked >= PARKED_MESSAGES_MAX) {
            self.partition.hold(true);
            tracing::warn!(
                partition = %self.partition, span, parked = self.parked,
                "partition is not read any further: too much is behind a message that is not finished; \
                 mend what it is parked or waiting for, and restart"
            );
        }
    }

    fn release_if_room(&mut self) {
        if self.partition.is_held()
            && self.parked < PARKED_MESSAGES_MAX
            && self.partition.progress().span() < SPAN_MESSAGES_MAX / 2
        {
            self.partition.hold(false);
            tracing::info!(partition = %self.partition, "partition is read again");
        }
    }
}
