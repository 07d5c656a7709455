//! What leaves batches before they start.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Batches, Held, State, Waiting, is_of};
use crate::ack::Partition;
use crate::outcome::Trigger;
use crate::run::LaneId;

impl Batches {
    /// Takes out what has not started of these partitions, which are gone.
    pub fn give_up(&mut self, partitions: &[Arc<Partition>]) -> Vec<Waiting> {
        let waits = |held: &&Held| held.messages.iter().any(|waiting| is_of(waiting, partitions));
        let ids = self.held.iter().filter(|(_, held)| waits(held)).map(|(id, _)| *id).collect();
        self.remove(ids, |waiting| is_of(waiting, partitions))
    }

    /// Takes out what has not started of a version that was tried and goes, in the order of its lanes.
    pub fn give_up_version(&mut self, version: u32) -> Vec<Waiting> {
        let waits = |held: &&Held| held.key.0 == version && held.state != State::InFlight;
        let ids = self.held.iter().filter(|(_, held)| waits(held)).map(|(id, _)| *id).collect();
        self.remove(ids, |_| true)
    }

    /// Takes out what has not started of a lane, in its order: an earlier message of it has failed and comes first. A
    /// batch that is complete stays so with the messages that are left.
    pub fn pull_back(&mut self, lane: LaneId) -> Vec<Waiting> {
        let in_flight = |id: &u64| self.held.get(id).is_none_or(|held| held.state == State::InFlight);
        let ids = self.lanes.batches(lane).filter(|id| !in_flight(id)).collect();
        self.remove(ids, |waiting| waiting.lane == lane)
    }

    /// Takes messages out of batches that have not started, whole lanes at a time. A batch that is left empty
    /// disappears.
    fn remove(&mut self, ids: Vec<u64>, goes: impl Fn(&Waiting) -> bool) -> Vec<Waiting> {
        let mut removed = Vec::new();
        for id in ids {
            let Some(held) = self.held.get_mut(&id) else { continue };
            let gone: Vec<Waiting> = held.messages.extract_if(.., |waiting| goes(waiting)).collect();
            let lanes: HashSet<LaneId> = gone.iter().map(|waiting| waiting.lane).collect();
            let left: Vec<LaneId> = held.lanes.extract_if(.., |lane| lanes.contains(lane)).collect();
            let is_empty = held.messages.is_empty();
            self.messages -= gone.len();
            self.bytes -= gone.iter().map(Waiting::size_bytes).sum::<usize>();
            removed.extend(gone);
            left.into_iter().for_each(|lane| self.leave(lane, id));
            if is_empty {
                self.discard(id);
            }
        }
        removed
    }

    fn discard(&mut self, id: u64) {
        self.complete(id, Trigger::Flush);
        if let Some(held) = self.held.remove(&id) {
            self.batchers[held.batcher].ready.retain(|ready| *ready != id);
        }
    }
}
