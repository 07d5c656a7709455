//! Lanes that are held because their first message cannot be finished and may not be dropped: shown, let go on, or freed
//! of that message.

use super::Buffer;
use super::lane::{Hold, Lane};
use crate::ack::Delivery;
use crate::message::Position;
use crate::run::LaneId;

/// A lane that is held, as it is shown.
#[derive(Clone, Debug)]
pub struct ParkedLane {
    /// Which lane.
    pub lane: LaneId,
    /// Where its first message stands.
    pub position: Position,
    /// Why it is held.
    pub reason: String,
    /// Messages of the lane, the parked one included.
    pub messages: usize,
}

impl Buffer {
    /// How many lanes are held.
    pub fn parked_lanes(&self) -> usize {
        self.parked_lanes
    }

    /// The lanes that are held.
    pub fn parked(&self) -> impl Iterator<Item = ParkedLane> + '_ {
        self.lanes.values().filter_map(Lane::shown)
    }

    /// Lets a parked lane go on: its message is tried as if it had just come. False when it is not parked (any more).
    pub fn release(&mut self, id: LaneId) -> bool {
        let Some((slot, offset)) = self.unpark(id) else { return false };
        if let Some(delivery) = self.lanes.get_mut(&id).and_then(|lane| lane.at(offset)) {
            drop(delivery.take_trouble());
        }
        self.free(id, slot, 0);
        true
    }

    /// Takes the message out for which a lane is parked, to be finished otherwise; the lane goes on when that is
    /// `settle`d. None when it is not parked (any more).
    pub fn take_parked(&mut self, id: LaneId) -> Option<Delivery> {
        let (slot, offset) = self.unpark(id)?;
        let lane = self.lanes.get_mut(&id)?;
        let delivery = lane.take_at(offset)?;
        lane.taken += 1;
        self.slots.get_mut(&slot)?.taken += 1;
        self.waiting -= 1;
        self.taken += 1;
        Some(delivery)
    }

    /// A lane is parked no more, and counts in the buffer. Returns its slot, and where the parked message stands.
    fn unpark(&mut self, id: LaneId) -> Option<(u64, i64)> {
        // One that has messages under way is not held yet, and is parked for good in a moment.
        let lane = self.lanes.get_mut(&id).filter(|lane| lane.hold != Hold::None)?;
        let offset = lane.unpark()?;
        let slot = lane.slot;
        self.parked_lanes -= 1;
        self.let_go(id);
        Some((slot, offset))
    }
}
