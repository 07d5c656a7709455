//! The throttled buffer: messages between Kafka and the workers, in lanes.
//!
//! Pure: no clock, no lock, no waiting. `pipeline` keeps it under one lock and asks it for room, for runs, and
//! tells it what came of them. Bounded in messages and bytes over all partitions of a plugin; fair between them:
//! each turn takes from the partition that waited longest for one.

mod answer;
mod find;
mod lane;
mod parked;
mod retries;
mod slot;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use crate::ack::{Delivery, Partition};
use crate::config::Order;
use crate::edge::Room;
use crate::run::{LaneId, RunMessage};
pub use find::Found;
use lane::{Hold, Lane, LaneIds, is_loner};
pub use parked::ParkedLane;
use retries::{Due, Memory};
pub use slot::Bounds;
use slot::Slot;

/// How many turns of one partition after another fill the buffer.
const TURNS: usize = 32;

/// The share of the buffer that messages which wait for another attempt may have, with those behind them in their
/// lanes: one in so many. What is more is held beside the buffer: how fast the others go is how much of the buffer they
/// have (with outputs, a message holds its place until Kafka has confirmed them).
const RETRYING_SHARE: usize = 16;

/// What a worker says of each message it took.
#[derive(Debug)]
pub enum End {
    /// Finished for good.
    Finished,
    /// Never started: it goes back to the head of its lane.
    GivenBack,
    /// It failed, and says itself when it may be tried again: its lane waits until then.
    Retry,
    /// It cannot be finished and may not be dropped, for this reason: its lane is held.
    Parked(String),
}

impl End {
    /// Whether the message is finished for good.
    pub fn is_finished(&self) -> bool {
        matches!(self, Self::Finished)
    }
}

/// The buffer of one plugin.
#[derive(Debug)]
pub struct Buffer {
    ids: LaneIds,
    messages_max: usize,
    bytes_max: usize,
    bounds: Bounds,
    slots: hashbrown::HashMap<u64, Slot, foldhash::fast::RandomState>,
    /// Partitions with a lane whose head may be taken, in the order of their turns.
    turns: VecDeque<u64>,
    lanes: hashbrown::HashMap<LaneId, Lane, foldhash::fast::RandomState>,
    due: Due,
    memory: Memory,
    waiting: usize,
    taken: usize,
    bytes: usize,
    /// Messages and bytes in the buffer of lanes that wait for another attempt.
    retrying: (usize, usize),
    parked_lanes: usize,
}

impl Buffer {
    /// An empty buffer of at most `messages_max` messages and `bytes_max` bytes, with `bounds` for each partition.
    pub fn new(order: Order, messages_max: usize, bytes_max: usize, bounds: Bounds) -> Self {
        Self {
            ids: LaneIds::new(order),
            messages_max,
            bytes_max,
            bounds,
            slots: hashbrown::HashMap::default(),
            turns: VecDeque::new(),
            lanes: hashbrown::HashMap::default(),
            due: Due::default(),
            memory: Memory::default(),
            waiting: 0,
            taken: 0,
            bytes: 0,
            retrying: (0, 0),
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
        self.slots.insert(partition.id, Slot::new(partition));
    }

    /// Takes in messages of an assigned partition, in the order of their offsets. Messages of a partition that is
    /// not assigned (any more) are dropped: they come again wherever the partition went.
    pub fn push(&mut self, partition: &Arc<Partition>, deliveries: impl Iterator<Item = Delivery>) {
        let Some(slot) = self.slots.get_mut(&partition.id) else { return };
        let mut waiting_lanes = Vec::new();
        for mut delivery in deliveries {
            self.memory.recall(&mut delivery);
            let id = self.ids.of(&delivery);
            let size = delivery.size_bytes();
            if is_loner(id) {
                slot.ready.push_back((id, delivery));
            } else {
                let lane = self.lanes.entry(id).or_insert_with(|| Lane::new(partition.id));
                match lane.hold {
                    Hold::Aside => {
                        lane.queue(delivery.detached());
                        slot.aside += 1;
                        continue;
                    }
                    Hold::InBuffer => {
                        lane.queue(delivery);
                        self.retrying = (self.retrying.0 + 1, self.retrying.1 + size);
                        waiting_lanes.push(id);
                    }
                    Hold::None if lane.is_busy() => lane.queue(delivery),
                    Hold::None => {
                        lane.head_ready = true;
                        slot.ready.push_back((id, delivery));
                    }
                }
            }
            self.waiting += 1;
            self.bytes += size;
        }
        slot.queue_up(&mut self.turns);
        slot.hold_if_full(self.bounds);
        waiting_lanes.into_iter().for_each(|lane| self.weigh(lane));
    }

    /// From now on it holds at most so much; what is in it stays.
    pub fn resize(&mut self, messages_max: usize, bytes_max: usize) {
        (self.messages_max, self.bytes_max) = (messages_max, bytes_max);
    }

    /// The message that `take` would take first.
    pub fn next(&self) -> Option<&Delivery> {
        let slots = self.turns.iter().filter_map(|id| self.slots.get(id));
        slots.filter_map(|slot| slot.ready.front()).map(|(_, delivery)| delivery).next()
    }

    /// Takes up to `max` messages: heads of free lanes, one partition after the other, then what follows them in
    /// their lanes (a run handles one message after the other, so a lane's order holds within it). It ends before the
    /// first that `fits` does not take for the same run.
    pub fn take(&mut self, max: usize, run: &mut Vec<RunMessage>, fits: impl Fn(&Delivery) -> bool) {
        let before = run.len();
        while run.len() < max {
            let Some(id) = self.turns.pop_front() else { break };
            let Some(slot) = self.slots.get_mut(&id) else { continue };
            slot.has_turn = false;
            if slot.ready.front().is_some_and(|(_, delivery)| !fits(delivery)) {
                slot.has_turn = true;
                self.turns.push_front(id);
                break;
            }
            let Some((lane, delivery)) = slot.ready.pop_front() else { continue };
            slot.queue_up(&mut self.turns);
            slot.taken += 1;
            if let Some(lane) = self.lanes.get_mut(&lane) {
                lane.head_ready = false;
                lane.taken += 1;
            }
            run.push(RunMessage::new(lane, delivery));
        }
        self.follow(max, run, fits);
        self.waiting -= run.len() - before;
        self.taken += run.len() - before;
    }

    /// Fills a run with what follows its heads in their lanes.
    fn follow(&mut self, max: usize, run: &mut Vec<RunMessage>, fits: impl Fn(&Delivery) -> bool) {
        for head in 0..run.len() {
            if run.len() >= max {
                return;
            }
            let id = run[head].lane;
            let Some(lane) = self.lanes.get_mut(&id) else { continue };
            let Some(slot) = self.slots.get_mut(&lane.slot) else { continue };
            let following = lane.following(max - run.len(), &fits);
            lane.taken += following as u32;
            slot.taken += following;
            let follows = std::iter::from_fn(|| lane.pop()).take(following);
            run.extend(follows.map(|delivery| RunMessage::new(id, delivery)));
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
}
