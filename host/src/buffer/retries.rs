//! Lanes that wait for another attempt of their first message, by when it is due; and what is remembered of attempts
//! whose partition was given up before they ended, in case it comes back.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::ack::{Delivery, Trouble};
use crate::run::LaneId;

/// Most messages whose failed attempts are remembered after their partition was given up. Each has a reason of at most
/// some KiB; whatever is forgotten is only tried more often.
const REMEMBERED_MAX: usize = 4_096;

/// Lanes by when they are due.
#[derive(Debug, Default)]
pub(super) struct Due(BinaryHeap<Reverse<(Duration, LaneId)>>);

impl Due {
    pub(super) fn push(&mut self, due: Duration, lane: LaneId) {
        self.0.push(Reverse((due, lane)));
    }

    /// The next lane that is due at `now`. It may be gone, or wait for another time by now.
    pub(super) fn pop(&mut self, now: Duration) -> Option<(Duration, LaneId)> {
        self.next().filter(|due| *due <= now)?;
        self.0.pop().map(|Reverse(next)| next)
    }

    pub(super) fn next(&self) -> Option<Duration> {
        self.0.peek().map(|Reverse((due, _))| *due)
    }
}

/// What messages have been through that may come again.
#[derive(Debug, Default)]
pub(super) struct Memory(HashMap<(Arc<str>, i32, i64), Box<Trouble>>);

impl Memory {
    /// Lets go of a delivery, and remembers what its message has been through.
    pub(super) fn remember(&mut self, mut delivery: Delivery) {
        if let Some(mut trouble) = delivery.take_trouble()
            && self.0.len() < REMEMBERED_MAX
        {
            trouble.not_before = None;
            let position = delivery.message().position();
            self.0.insert((position.topic, position.partition, position.offset), trouble);
        }
    }

    /// A message has come: tells it what it has been through before.
    pub(super) fn recall(&mut self, delivery: &mut Delivery) {
        if self.0.is_empty() {
            return;
        }
        let position = delivery.message().position();
        if let Some(trouble) = self.0.remove(&(position.topic, position.partition, position.offset)) {
            delivery.recall(trouble);
        }
    }
}
