//! Batches: messages that a plugin has put aside to be handled together.

use crate::ack::Delivery;
use crate::outcome::Trigger;
use crate::run::LaneId;

/// A message in a batch.
#[derive(Debug)]
pub struct Waiting {
    /// Which lane it belongs to.
    pub lane: LaneId,
    /// The message and the duty to answer for it.
    pub delivery: Delivery,
    /// What `handle-batch` is given instead of the message's own payload, if something.
    pub payload: Option<Vec<u8>>,
}

impl Waiting {
    /// Bytes that the message counts for in the buffer while it waits.
    pub fn size_bytes(&self) -> usize {
        self.delivery.size_bytes() + self.payload.as_ref().map_or(0, Vec::len)
    }
}

/// Messages that are handled together.
#[derive(Debug)]
pub struct Batch {
    /// Tells batches of a room apart.
    pub id: u64,
    /// The batcher's name.
    pub batcher: String,
    /// The batch key.
    pub key: String,
    /// What made it complete.
    pub trigger: Trigger,
    /// In the order in which they came; at least one.
    pub messages: Vec<Waiting>,
}
