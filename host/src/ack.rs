//! A delivery: a message together with the duty to answer for it exactly once.
//!
//! An answer moves the progress of the message's partition. A delivery that is dropped unanswered counts as failed:
//! its offset stays unfinished, Kafka is never told of it, and it comes again after a restart or a rebalance.

pub mod map;
mod progress;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::message::{Batch, MessageRef};
use crate::trace::Attempt;
pub use progress::{Progress, Standing, Told};

/// One assignment of one partition: the same partition assigned again is a new `Partition`, so that what is
/// answered late for the old assignment moves nothing.
#[derive(Debug)]
pub struct Partition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The number of the partition in the topic.
    pub number: i32,
    /// Tells assignments apart, those of the same partition too; unique in this process.
    pub id: u64,
    progress: Mutex<Progress>,
    revoked: AtomicBool,
    released: AtomicBool,
    held: AtomicBool,
    abandoned: AtomicU64,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

impl Partition {
    /// The least id that no partition has so far.
    pub fn next_id() -> u64 {
        NEXT_ID.load(Ordering::Relaxed)
    }

    /// A partition at the beginning of its assignment.
    pub fn new(topic: Arc<str>, number: i32) -> Arc<Self> {
        Arc::new(Self {
            topic,
            number,
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            progress: Mutex::default(),
            revoked: AtomicBool::new(false),
            released: AtomicBool::new(false),
            held: AtomicBool::new(false),
            abandoned: AtomicU64::new(0),
        })
    }

    /// The partition's progress. The lock is held for a few instructions and never across an await; a poisoned one
    /// is used as it is, because no section leaves progress half changed.
    pub fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on no message of this assignment may start.
    pub fn revoke(&self) {
        self.revoked.store(true, Ordering::Release);
    }

    /// Whether messages of this assignment may no longer start.
    pub fn is_revoked(&self) -> bool {
        self.revoked.load(Ordering::Acquire)
    }

    /// The partition is not ours any more, and somebody else may have gone on from what Kafka knows.
    pub fn release(&self) {
        self.revoke();
        self.released.store(true, Ordering::Release);
    }

    /// Whether the partition is not ours any more.
    pub fn is_released(&self) -> bool {
        self.released.load(Ordering::Acquire)
    }

    /// Stops (or resumes) reading of this partition alone, while the others go on.
    pub fn hold(&self, held: bool) {
        self.held.store(held, Ordering::Release);
    }

    /// Whether reading of this partition is stopped.
    pub fn is_held(&self) -> bool {
        self.held.load(Ordering::Acquire)
    }

    /// Deliveries of this assignment that were dropped unanswered; anything but 0 without a revocation is a bug.
    pub fn abandoned(&self) -> u64 {
        self.abandoned.load(Ordering::Relaxed)
    }
}

impl std::fmt::Display for Partition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.topic, self.number)
    }
}

/// A batch whose messages are noted in their partition's progress.
#[derive(Debug)]
pub struct Delivered {
    batch: Batch,
    partition: Arc<Partition>,
    first_seq: u64,
}

impl Delivered {
    /// Notes every message of `batch` in the progress of `partition` and returns a delivery for each.
    pub fn deliver(batch: Batch, partition: Arc<Partition>) -> impl ExactSizeIterator<Item = Delivery> {
        let first_seq = {
            let mut progress = partition.progress();
            progress.begin_batch(batch.fetched_at());
            let mut seqs = batch.iter().map(|message| progress.deliver(message.offset()));
            let first = seqs.next().unwrap_or_default();
            seqs.for_each(drop);
            first
        };
        let delivered = Arc::new(Self { batch, partition, first_seq });
        let indices = 0..delivered.batch.len() as u32;
        indices.map(move |index| Delivery {
            size: delivered.batch.get(index as usize).size_bytes() as u32,
            delivered: delivered.clone(),
            index,
            trouble: None,
            alone: false,
            left_lane: false,
            untried: false,
            version: 0,
            trace: None,
            answered: false,
        })
    }
}

/// One message and the duty to answer for it.
#[derive(Debug)]
pub struct Delivery {
    delivered: Arc<Delivered>,
    index: u32,
    size: u32,
    /// In a box, because most messages have none.
    trouble: Option<Box<Trouble>>,
    answered: bool,
    /// It is to be handled in an instance of its own: one that it shared was broken off, and it could not be told
    /// who was to blame. The guest room sets it with `NotStarted`, and heeds it the next time.
    pub alone: bool,
    /// Others of its lane may go on while it waits for its answer: it waits in a batch, or for a transaction.
    pub left_lane: bool,
    /// It failed in a version that is being tried, which is charged to nobody: it goes to the version before.
    pub untried: bool,
    /// Which version of the component put it into a batch.
    pub version: u32,
    /// The attempt under way or the last one, if its trace is recorded. In a box, because most are not.
    pub trace: Option<Box<Attempt>>,
}

/// What a message has been through.
#[derive(Clone, Debug)]
pub struct Trouble {
    /// Calls of `handle-message` that failed.
    pub failed_attempts: u32,
    /// Why the last of them failed.
    pub error: Box<str>,
    /// When the next may start, on the clock of whoever decided it; none when it may at once.
    pub not_before: Option<std::time::Duration>,
}

impl Delivery {
    /// The message.
    pub fn message(&self) -> MessageRef<'_> {
        self.delivered.batch.get(self.index as usize)
    }

    /// Bytes that the message counts for in the buffer.
    pub fn size_bytes(&self) -> usize {
        self.size as usize
    }

    /// The assignment that the message belongs to.
    pub fn partition(&self) -> &Arc<Partition> {
        &self.delivered.partition
    }

    /// When the message was taken from Kafka.
    pub fn fetched_at(&self) -> std::time::Instant {
        self.delivered.batch.fetched_at()
    }

    /// Which call of `handle-message` the next one is for the message, or the one under way; from 1.
    pub fn attempt(&self) -> u32 {
        self.trouble.as_ref().map_or(1, |trouble| trouble.failed_attempts + 1)
    }

    /// Why the attempt before this one failed.
    pub fn previous_error(&self) -> Option<&str> {
        self.trouble.as_ref().map(|trouble| &*trouble.error)
    }

    /// When the next attempt may start; none when it may at once.
    pub fn not_before(&self) -> Option<std::time::Duration> {
        self.trouble.as_ref()?.not_before
    }

    /// An attempt failed because of `error`; the next may start at `not_before`.
    pub fn failed(&mut self, error: String, not_before: std::time::Duration) {
        let failed_attempts = self.attempt();
        let trouble = Trouble { failed_attempts, error: error.into(), not_before: Some(not_before) };
        self.trouble = Some(Box::new(trouble));
    }

    /// The next attempt may start.
    pub fn wait_is_over(&mut self) {
        if let Some(trouble) = &mut self.trouble {
            trouble.not_before = None;
        }
    }

    /// Takes what the message has been through, for when it comes again.
    pub fn take_trouble(&mut self) -> Option<Box<Trouble>> {
        self.trouble.take()
    }

    /// The message has come again, and this is what it has been through before.
    pub fn recall(&mut self, trouble: Box<Trouble>) {
        self.trouble = Some(trouble);
    }

    /// What finishes the message, for whoever has to do that before its answer is known everywhere.
    pub fn mark(&self) -> Mark {
        Mark { partition: self.partition().clone(), offset: self.message().offset(), seq: self.seq() }
    }

    /// Answers: the message is finished for good (handled, dead-lettered or skipped).
    pub fn finish(mut self) {
        self.answered = true;
        self.delivered.partition.progress().finish(self.seq());
    }

    /// A second hold of the same message, for when whoever has the first is held up. One of the two must be `void`ed.
    pub fn twin(&self) -> Self {
        Self {
            delivered: self.delivered.clone(),
            index: self.index,
            size: self.size,
            answered: false,
            trouble: self.trouble.clone(),
            alone: self.alone,
            left_lane: self.left_lane,
            untried: self.untried,
            version: self.version,
            trace: self.trace.clone(),
        }
    }

    /// Lets go without an answer: the other hold of the message answers for it.
    pub fn void(mut self) {
        self.answered = true;
    }

    /// The same delivery in a batch of its own, so that holding it long does not hold its neighbours.
    pub fn detached(mut self) -> Self {
        if self.delivered.batch.len() == 1 {
            return self;
        }
        self.answered = true;
        let delivered = Delivered {
            batch: self.message().detached(),
            partition: self.partition().clone(),
            first_seq: self.seq(),
        };
        Self {
            delivered: Arc::new(delivered),
            index: 0,
            size: self.size,
            answered: false,
            trouble: self.trouble.take(),
            alone: self.alone,
            left_lane: self.left_lane,
            untried: self.untried,
            version: self.version,
            trace: self.trace.take(),
        }
    }

    fn seq(&self) -> u64 {
        self.delivered.first_seq + u64::from(self.index)
    }
}

/// One message of a partition's progress.
#[derive(Clone, Debug)]
pub struct Mark {
    /// The assignment that the message belongs to.
    pub partition: Arc<Partition>,
    /// Its offset.
    pub offset: i64,
    seq: u64,
}

impl Mark {
    /// The message is finished for good. Its delivery is still to be answered.
    pub fn finish(&self) {
        self.partition.progress().finish(self.seq);
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if !self.answered {
            self.delivered.partition.abandoned.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn deliveries(partition: &Arc<Partition>, offsets: std::ops::Range<i64>) -> Vec<Delivery> {
        let mut batch = Batch::new(partition.topic.clone(), partition.number, Instant::now());
        offsets.for_each(|offset| batch.push(offset, None, (None, Some(b"x")), []));
        Delivered::deliver(batch, partition.clone()).collect()
    }

    #[test]
    fn a_dropped_delivery_holds_the_watermark() {
        let partition = Partition::new("t".into(), 0);
        let mut deliveries = deliveries(&partition, 5..8);
        drop(deliveries.remove(1));
        deliveries.into_iter().for_each(Delivery::finish);
        assert_eq!(partition.progress().watermark(), Some(6));
        assert_eq!(partition.abandoned(), 1);
    }

    #[test]
    fn a_detached_delivery_answers_for_the_same_message() {
        let partition = Partition::new("t".into(), 0);
        let mut deliveries = deliveries(&partition, 5..8);
        let middle = deliveries.remove(1).detached();
        deliveries.into_iter().for_each(Delivery::finish);
        assert_eq!(middle.message().offset(), 6);
        middle.finish();
        assert_eq!((partition.progress().watermark(), partition.abandoned()), (Some(8), 0));
    }
}
