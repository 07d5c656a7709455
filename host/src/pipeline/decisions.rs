//! What is decided under one lock: which message is next, which waits, and when the next may start.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::Instant;

use super::give_up::GivenUp;
use super::shared::Shared;
use crate::ack::{Delivery, Partition};
use crate::batch::{self, Batches};
use crate::budget::Pace;
use crate::buffer::{Bounds, Buffer, End};
use crate::config;
use crate::outcome::Slot;
use crate::run::{LaneId, Version};
use crate::spans;

/// Longest span of an exactly-once plugin: what is finished out of order has to fit into the commit whatever it looks
/// like, one bit for each offset (about 24 000), and some room for offsets that are no messages.
const EXACTLY_ONCE_SPAN_MAX: usize = 20_000;

/// What is decided under the lock.
#[derive(Debug)]
pub(super) struct Decisions {
    pub(super) buffer: Buffer,
    /// Messages that the plugin has put into batches.
    pub(super) batches: Batches,
    /// Messages that wait for the plugin's failure handler.
    pub(super) last_words: VecDeque<GivenUp>,
    pub(super) pacer: Option<Pace>,
    /// Since when messages could start but every worker was busy.
    pub(super) unattended_since: Option<Instant>,
    /// How many runs and batches each version is busy with.
    busy: Vec<(u32, usize)>,
}

impl Decisions {
    /// Nothing has come yet.
    pub(super) fn new(plugin: &config::Plugin, budget: &config::Budget) -> Self {
        let span = match plugin.delivery {
            config::Delivery::AtLeastOnce => plugin.failure.max_span,
            config::Delivery::ExactlyOnce => plugin.failure.max_span.min(EXACTLY_ONCE_SPAN_MAX),
        };
        let bounds = Bounds { parked: plugin.failure.max_parked, span };
        let batchers = plugin.batchers.iter().map(|batcher| batch::Settings {
            name: batcher.name.clone(),
            size: batcher.size,
            timeout: batcher.timeout,
            concurrency: batcher.concurrency,
        });
        let batchers = batchers.collect();
        Self {
            buffer: Buffer::new(plugin.order, budget.buffer, budget.buffer_bytes, bounds),
            batches: Batches::new(batchers, plugin.order),
            last_words: VecDeque::new(),
            pacer: Pace::changed(None, budget),
            unattended_since: None,
            busy: Vec::new(),
        }
    }

    /// A version has begun with a run or a batch.
    pub(super) fn set_out(&mut self, version: u32) {
        match self.busy.iter_mut().find(|(id, _)| *id == version) {
            Some((_, count)) => *count += 1,
            None => self.busy.push((version, 1)),
        }
    }

    /// A version is done with a run or a batch.
    pub(super) fn come_home(&mut self, version: u32) {
        self.busy.retain_mut(|(id, count)| {
            *count -= usize::from(*id == version);
            *count > 0
        });
    }

    /// Whether a version has nothing to do, and nothing waits for it.
    pub(super) fn has_nothing_of(&self, version: u32) -> bool {
        self.busy.iter().all(|(id, _)| *id != version) && !self.batches.are_of(version)
    }

    /// Learns what became of a message. One that had left its lane and failed takes back those behind it that wait in
    /// batches, so that their order holds.
    pub(super) fn settle(&mut self, lane: LaneId, delivery: Delivery, end: End) {
        let behind = delivery.left_lane && !end.is_finished();
        self.buffer.settle(lane, delivery, end);
        if behind {
            for waiting in self.batches.pull_back(lane) {
                self.buffer.settle(lane, waiting.delivery, End::GivenBack);
            }
        }
    }

    /// Puts a message into a batch. It comes back, with the reason, if there is no such batcher.
    pub(super) fn put(
        &mut self,
        shared: &Shared,
        (lane, mut delivery): (LaneId, Delivery),
        slot: Slot,
        version: Version,
    ) -> Result<(), (Delivery, String)> {
        let takes = shared.versions.active().taking().any(|generation| generation.id == version.id);
        if version.on_trial && !(takes && self.batches.knows(&slot.batcher)) {
            delivery.untried = true;
            self.settle(lane, delivery, End::GivenBack);
            return Ok(());
        }
        // One before it in its lane has failed meanwhile, or nobody would handle the batch in time.
        if self.buffer.is_held(lane) || delivery.partition().is_revoked() || shared.is_stopping() {
            self.settle(lane, delivery, End::GivenBack);
            return Ok(());
        }
        if self.batches.knows(&slot.batcher) {
            self.buffer.leave_lane(lane, &mut delivery);
        }
        delivery.version = version.id;
        spans::batch(&mut delivery);
        self.batches.put((lane, delivery), slot, Instant::now().into_std())?;
        if !takes {
            // Nothing more comes from it that could fill the batch.
            self.batches.flush_version(version.id);
        }
        Ok(())
    }

    /// Partitions are to be given up: nothing of them starts, but for batches, which are complete now.
    pub(super) fn revoke(&mut self, partitions: &[Arc<Partition>]) {
        self.buffer.revoke(partitions);
        self.batches.flush_partitions(partitions);
    }

    /// A version that was tried is gone: what waits in its batches goes back, to be handled by the version before.
    pub(super) fn give_up_version(&mut self, version: u32) {
        for mut waiting in self.batches.give_up_version(version) {
            waiting.delivery.untried = true;
            self.buffer.settle(waiting.lane, waiting.delivery, End::GivenBack);
        }
    }

    /// Partitions are gone: nothing of them starts.
    pub(super) fn lose(&mut self, partitions: &[Arc<Partition>]) {
        self.buffer.revoke(partitions);
        for waiting in self.batches.give_up(partitions) {
            self.buffer.settle(waiting.lane, waiting.delivery, End::GivenBack);
        }
    }
}
