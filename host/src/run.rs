//! A run: messages that one worker took together, handled one after the other while the sandbox's border is
//! crossed once. The guest room fills in what came of each.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::ack::Delivery;
use crate::outcome::Handling;

/// Most messages in a run. Beyond 64 the border costs no less a message (measured: 900, 650 and 570 ns for runs
/// of 4, 16 and 64).
pub const RUN_MESSAGES_MAX: usize = 64;

/// Names a lane while it has messages. Two keys that hash alike share a lane: they wait for each other without
/// need, and nothing else happens.
pub type LaneId = u64;

/// One message of a run.
#[derive(Debug)]
pub struct RunMessage {
    /// The message and the duty to answer for it.
    pub delivery: Delivery,
    /// Which lane it belongs to; messages of one lane stand in order.
    pub lane: LaneId,
    /// What came of it; `NotStarted` until the guest room says otherwise.
    pub handling: Handling,
    /// Nanoseconds from the start of `handle-message` to its return; 0 when it did not start.
    pub handle_ns: u64,
    /// When `handle-message` started; none when it did not.
    pub started_at: Option<std::time::Instant>,
}

impl RunMessage {
    /// A message that has not started.
    pub fn new(lane: LaneId, delivery: Delivery) -> Self {
        Self { delivery, lane, handling: Handling::NotStarted, handle_ns: 0, started_at: None }
    }
}

/// Messages taken together. Owned by value while it is with the guest, so that nothing can be answered meanwhile.
#[derive(Debug)]
pub struct Run {
    /// In the order in which they are handled.
    pub messages: Vec<RunMessage>,
    /// Set when nothing of this run may start any more (shutdown, swap).
    pub stop: Arc<AtomicBool>,
}

impl Run {
    /// Whether the message at `index` may start now: not when its partition was revoked, the run was stopped, or
    /// an earlier message of its lane in this run did not succeed.
    pub fn may_start(&self, index: usize) -> bool {
        let Some(message) = self.messages.get(index) else { return false };
        let lane_broken = || {
            let earlier = &self.messages[..index];
            earlier.iter().any(|m| m.lane == message.lane && !matches!(m.handling, Handling::Done(_)))
        };
        self.is_open(index) && !lane_broken()
    }

    /// Whether the message at `index` may start as far as its partition and the run go; its lane is not looked at.
    pub fn is_open(&self, index: usize) -> bool {
        let revoked = |message: &RunMessage| message.delivery.partition().is_revoked();
        !self.stop.load(Ordering::Relaxed)
            && self.messages.get(index).is_some_and(|message| !revoked(message))
    }
}
