//! What becomes of messages that were taken: they are finished, come back, wait for another attempt, or hold their lane.

use std::sync::Arc;
use std::time::Duration;

use hashbrown::hash_map::Entry;

use super::lane::{Hold, Lane, is_loner};
use super::{Buffer, End, ParkedLane, RETRYING_SHARE};
use crate::ack::{Delivery, Partition};
use crate::run::LaneId;

impl Buffer {
    /// A taken message lets the others of its lane go on, though it is not answered yet.
    pub fn leave_lane(&mut self, lane: LaneId, delivery: &mut Delivery) {
        delivery.left_lane = true;
        self.free(lane, delivery.partition().id, 1);
    }

    /// Whether the lane waits because of a message that had left it.
    pub fn is_held(&self, lane: LaneId) -> bool {
        self.lanes.get(&lane).is_some_and(|lane| lane.hold != Hold::None || lane.has_come_back())
    }

    /// Learns what became of a taken message. Messages of one lane come in the lane's order, but for those that left
    /// it before.
    pub fn settle(&mut self, id: LaneId, mut delivery: Delivery, end: End) {
        let (partition, size) = (delivery.partition().id, delivery.size_bytes());
        let taken = u32::from(!std::mem::take(&mut delivery.left_lane));
        self.taken -= 1;
        self.bytes -= size;
        match end {
            End::Finished => delivery.finish(),
            // What is given up comes again wherever the partition went.
            _ if delivery.partition().is_revoked() => self.memory.remember(delivery),
            End::GivenBack | End::Retry => self.come_back(id, delivery),
            End::Parked(reason) => {
                self.parked_lanes += 1;
                let position = delivery.message().position();
                let parked = ParkedLane { lane: id, position, reason, messages: 1 };
                self.lanes.entry(id).or_insert_with(|| Lane::new(partition)).park(parked);
                self.come_back(id, delivery);
            }
        }
        self.free(id, partition, taken);
        let Some(slot) = self.slots.get_mut(&partition) else { return };
        slot.taken -= 1;
        if slot.leaving && slot.taken == 0 {
            self.slots.remove(&partition);
            return;
        }
        slot.queue_up(&mut self.turns);
        slot.release_if_room(self.bounds);
    }

    /// Puts a taken message back where it was taken from.
    fn come_back(&mut self, id: LaneId, delivery: Delivery) {
        let size = delivery.size_bytes();
        let Some(slot) = self.slots.get_mut(&delivery.partition().id) else { return };
        if is_loner(id) && delivery.not_before().is_none() && !self.lanes.contains_key(&id) {
            slot.ready.push_front((id, delivery));
            self.waiting += 1;
            self.bytes += size;
            return;
        }
        let lane = self.lanes.entry(id).or_insert_with(|| Lane::new(delivery.partition().id));
        lane.give_back(delivery);
        match lane.hold {
            Hold::Aside => slot.aside += 1,
            Hold::InBuffer | Hold::None => {
                self.waiting += 1;
                self.bytes += size;
            }
        }
        if lane.hold == Hold::InBuffer {
            self.retrying = (self.retrying.0 + 1, self.retrying.1 + size);
        }
    }

    /// So many taken messages of a lane less: when they were the last, the lane's next head may be taken, or waits.
    pub(super) fn free(&mut self, id: LaneId, slot: u64, taken: u32) {
        let Entry::Occupied(mut entry) = self.lanes.entry(id) else { return };
        let lane = entry.get_mut();
        lane.taken = lane.taken.saturating_sub(taken);
        if lane.taken > 0 || (lane.head_ready && !lane.has_come_back()) {
            return;
        }
        let Some(slot) = self.slots.get_mut(&slot).filter(|slot| !slot.partition.is_revoked()) else {
            entry.remove();
            return;
        };
        if std::mem::take(&mut lane.head_ready)
            && let Some(head) = slot.take_ready(id)
        {
            // What came back may come before it.
            lane.give_back(head);
        }
        lane.restore();
        let is_parked = lane.is_parked();
        match (lane.hold, lane.head().map(|head| head.not_before())) {
            (Hold::None, None) => drop(entry.remove()),
            (Hold::None, Some(None)) if !is_parked => {
                if let Some(delivery) = lane.pop() {
                    lane.head_ready = true;
                    slot.ready.push_back((id, delivery));
                    slot.queue_up(&mut self.turns);
                }
                if is_loner(id) {
                    entry.remove();
                }
            }
            (Hold::None, Some(due)) => {
                let held = lane.held();
                self.retrying = (self.retrying.0 + held.0, self.retrying.1 + held.1);
                lane.hold = Hold::InBuffer;
                match due.filter(|_| !is_parked) {
                    Some(due) => self.due.push(due, id),
                    None => return self.set_aside(id),
                }
                self.weigh(id);
            }
            // What it waits for first may be another message now.
            (_, Some(due)) if !is_parked => self.due.push(due.unwrap_or_default(), id),
            (_, _) => {}
        }
    }

    /// Sets a lane that waits for another attempt aside if such lanes have more than their share of the buffer.
    pub(super) fn weigh(&mut self, id: LaneId) {
        let (messages, bytes) = self.retrying;
        if messages > self.messages_max / RETRYING_SHARE || bytes > self.bytes_max / RETRYING_SHARE {
            self.set_aside(id);
        }
    }

    /// From now on the messages of a waiting lane count beside the buffer.
    fn set_aside(&mut self, id: LaneId) {
        let Some(lane) = self.lanes.get_mut(&id).filter(|lane| lane.hold == Hold::InBuffer) else { return };
        let held = lane.held();
        lane.hold = Hold::Aside;
        lane.detach();
        self.retrying = (self.retrying.0 - held.0, self.retrying.1 - held.1);
        self.waiting -= held.0;
        self.bytes -= held.1;
        if let Some(slot) = self.slots.get_mut(&lane.slot) {
            slot.aside += held.0;
            slot.hold_if_full(self.bounds);
        }
    }

    /// Lets the lanes go on whose wait is over at `now`. Times are those of the deliveries' `not_before`.
    pub fn wake(&mut self, now: Duration) {
        while let Some((due, id)) = self.due.pop(now) {
            let Some(lane) = self.lanes.get_mut(&id).filter(|lane| !lane.is_parked()) else { continue };
            let is_first = lane.head().is_some_and(|head| head.not_before().unwrap_or_default() == due);
            if lane.hold == Hold::None || !is_first {
                continue;
            }
            if let Some(head) = lane.head() {
                head.wait_is_over();
            }
            let slot = lane.slot;
            self.let_go(id);
            self.free(id, slot, 0);
        }
    }

    /// The messages of a lane that was held count in the buffer again.
    pub(super) fn let_go(&mut self, id: LaneId) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        let Some(slot) = self.slots.get_mut(&lane.slot) else { return };
        let held = lane.held();
        match std::mem::replace(&mut lane.hold, Hold::None) {
            Hold::Aside => {
                slot.aside -= held.0;
                self.waiting += held.0;
                self.bytes += held.1;
            }
            Hold::InBuffer => self.retrying = (self.retrying.0 - held.0, self.retrying.1 - held.1),
            Hold::None => {}
        }
        slot.release_if_room(self.bounds);
    }

    /// When `wake` has something to do next.
    pub fn next_due(&self) -> Option<Duration> {
        self.due.next()
    }

    /// Drops what waits of partitions that are to be given up; what workers have of them stays counted.
    pub fn revoke(&mut self, partitions: &[Arc<Partition>]) {
        for partition in partitions {
            partition.revoke();
            let Some(slot) = self.slots.get_mut(&partition.id) else { continue };
            for (_, delivery) in slot.ready.drain(..) {
                self.waiting -= 1;
                self.bytes -= delivery.size_bytes();
                self.memory.remember(delivery);
            }
            slot.leaving = true;
            let is_drained = slot.taken == 0;
            self.turns.retain(|&id| id != partition.id);
            let lanes = self.lanes.extract_if(|_, lane| lane.slot == partition.id);
            for (_, mut lane) in lanes {
                let held = lane.held();
                self.parked_lanes -= usize::from(lane.is_parked());
                if lane.hold != Hold::Aside {
                    self.waiting -= held.0;
                    self.bytes -= held.1;
                }
                if lane.hold == Hold::InBuffer {
                    self.retrying = (self.retrying.0 - held.0, self.retrying.1 - held.1);
                }
                lane.drain().for_each(|delivery| self.memory.remember(delivery));
            }
            if is_drained {
                self.slots.remove(&partition.id);
            }
        }
    }
}
