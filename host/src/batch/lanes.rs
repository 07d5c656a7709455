//! Which batches hold messages of which lane, in the lane's order: only the first of them may be under way.

use std::collections::VecDeque;

use crate::run::LaneId;

/// The lanes that have messages in unfinished batches; a lane without is not remembered.
#[derive(Debug)]
pub(super) struct Lanes {
    /// Whether lanes are kept at all: without an order every message goes its own way.
    kept: bool,
    /// The batches of each lane. A later message is never in a batch of a lower number, so they ascend.
    batches: hashbrown::HashMap<LaneId, VecDeque<u64>, foldhash::fast::RandomState>,
}

/// What a lane is to a batch that has got a message of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The batch had it already, or lanes are not kept.
    Known,
    /// The batch is the first of the lane.
    First,
    /// Other batches come before it.
    Behind,
}

impl Lanes {
    pub(super) fn new(kept: bool) -> Self {
        Self { kept, batches: hashbrown::HashMap::default() }
    }

    /// The last batch with a message of the lane.
    pub(super) fn latest(&self, lane: LaneId) -> Option<u64> {
        self.batches.get(&lane)?.back().copied()
    }

    /// The batches with messages of the lane, in its order.
    pub(super) fn batches(&self, lane: LaneId) -> impl DoubleEndedIterator<Item = u64> + '_ {
        self.batches.get(&lane).into_iter().flatten().copied()
    }

    /// A message of the lane goes into `batch`, which is no earlier than the lane's latest.
    pub(super) fn enter(&mut self, lane: LaneId, batch: u64) -> Place {
        if !self.kept {
            return Place::Known;
        }
        let batches = self.batches.entry(lane).or_default();
        match batches.back() {
            Some(latest) if *latest == batch => Place::Known,
            latest => {
                let place = if latest.is_some() { Place::Behind } else { Place::First };
                batches.push_back(batch);
                place
            }
        }
    }

    /// `batch` has no messages of the lane any more. Whether it was the lane's first, and which is now.
    pub(super) fn leave(&mut self, lane: LaneId, batch: u64) -> (bool, Option<u64>) {
        let hashbrown::hash_map::Entry::Occupied(mut entry) = self.batches.entry(lane) else {
            return (false, None);
        };
        let batches = entry.get_mut();
        let was_first = batches.front() == Some(&batch);
        batches.retain(|other| *other != batch);
        let first = batches.front().copied();
        if first.is_none() {
            entry.remove();
        }
        (was_first, first)
    }

    /// How many lanes are remembered.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.batches.len()
    }
}
