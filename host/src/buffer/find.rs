//! Where a message waits, for whoever asks why it does.

use std::time::Duration;

use super::Buffer;
use super::lane::Lane;
use crate::ack::Delivery;
use crate::message::Position;

/// Where a message waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It is the first of its lane and may be taken, behind about so many others.
    Ready(usize),
    /// It waits in its lane.
    InLane {
        /// Messages of the lane before it.
        behind: usize,
        /// When the lane's first message may be tried again, if it waits for that; as `Delivery::not_before`.
        due: Option<Duration>,
        /// Why the lane is parked, if it is.
        parked: Option<String>,
    },
}

impl Buffer {
    /// The message with the lowest offset that `is_meant`, of those that wait for a worker.
    pub fn find(&self, is_meant: impl Fn(&Delivery) -> bool) -> Option<(Position, Found)> {
        let ready = self.slots.values().flat_map(|slot| {
            let found = slot.ready.iter().enumerate().filter(|(_, (_, delivery))| is_meant(delivery));
            found.map(|(index, (_, delivery))| {
                (delivery, Found::Ready(self.turns_before(slot.partition.id, index)))
            })
        });
        let in_lanes = self.lanes.values().flat_map(|lane| lane.find(&is_meant));
        let first = ready.chain(in_lanes).min_by_key(|(delivery, _)| delivery.message().offset());
        first.map(|(delivery, found)| (delivery.message().position(), found))
    }

    /// About how many messages have their turn before the one at `index` of a partition's ready ones.
    fn turns_before(&self, partition: u64, index: usize) -> usize {
        let others = self.slots.iter().filter(|(id, _)| **id != partition);
        index + others.map(|(_, slot)| slot.ready.len().min(index)).sum::<usize>()
    }
}

impl Lane {
    fn find<'a>(
        &'a self,
        is_meant: &'a impl Fn(&Delivery) -> bool,
    ) -> impl Iterator<Item = (&'a Delivery, Found)> + 'a {
        let parked = self.shown().map(|parked| parked.reason);
        let due = self.first().and_then(Delivery::not_before).filter(|_| parked.is_none());
        let before = self.taken as usize + usize::from(self.head_ready);
        let meant = self.waiting().enumerate().filter(|(_, delivery)| is_meant(delivery));
        meant.map(move |(index, delivery)| {
            let found = Found::InLane { behind: before + index, due, parked: parked.clone() };
            (delivery, found)
        })
    }
}
