//! One assigned partition in the buffer: the heads of its free lanes, and whether it may be read any further.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::ack::{Delivery, Partition};
use crate::run::LaneId;

/// One assigned partition.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) partition: Arc<Partition>,
    /// Heads of free lanes.
    pub(super) ready: VecDeque<(LaneId, Delivery)>,
    /// Stands among the buffer's `turns`.
    pub(super) has_turn: bool,
    pub(super) taken: usize,
    /// Messages that held lanes have beside the buffer.
    pub(super) aside: usize,
    /// Given up; stays until workers have nothing of it any more.
    pub(super) leaving: bool,
}

/// How much of one partition may be behind messages that are not finished. Beyond it the partition is not read.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Messages held beside the buffer, by lanes that are parked or wait for another attempt.
    pub parked: usize,
    /// Delivered messages from the watermark to the highest.
    pub span: usize,
}

impl Slot {
    pub(super) fn new(partition: Arc<Partition>) -> Self {
        Self { partition, ready: VecDeque::new(), has_turn: false, taken: 0, aside: 0, leaving: false }
    }

    pub(super) fn queue_up(&mut self, turns: &mut VecDeque<u64>) {
        if !self.has_turn && !self.ready.is_empty() {
            self.has_turn = true;
            turns.push_back(self.partition.id);
        }
    }

    /// Takes the head of a lane back from among the ready ones.
    pub(super) fn take_ready(&mut self, lane: LaneId) -> Option<Delivery> {
        let index = self.ready.iter().position(|(id, _)| *id == lane)?;
        self.ready.remove(index).map(|(_, delivery)| delivery)
    }

    pub(super) fn hold_if_full(&mut self, bounds: Bounds) {
        let span = self.partition.progress().span();
        if !self.partition.is_held() && (span >= bounds.span || self.aside >= bounds.parked) {
            self.partition.hold(true);
            tracing::warn!(
                partition = %self.partition, span, parked = self.aside,
                "partition is not read any further: too much is behind messages that are not finished; mend what they \
                 are parked or retried for and restart, or raise `failure.max_parked` and `failure.max_span`"
            );
        }
    }

    pub(super) fn release_if_room(&mut self, bounds: Bounds) {
        if self.partition.is_held()
            && self.aside < bounds.parked
            && self.partition.progress().span() < bounds.span.div_ceil(2)
        {
            self.partition.hold(false);
            tracing::info!(partition = %self.partition, "partition is read again");
        }
    }
}
