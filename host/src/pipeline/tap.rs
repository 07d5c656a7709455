//! For somebody who watches every message, as `gristmill dev` does. Without anybody nothing of it is done.

use std::time::Duration;

use super::shared::Shared;
use crate::ack::Delivery;
use crate::message::MessageRef;
use crate::outcome::{Outcome, OutputRecord};

/// Sees what becomes of each message. It is called where decisions are made: it must not wait for anything.
pub trait Tap: Send + Sync {
    /// A message was tried.
    fn see(&self, seen: &Seen<'_>);
}

impl std::fmt::Debug for dyn Tap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tap")
    }
}

/// A message that was tried.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The plugin's name.
    pub plugin: &'a str,
    /// The message.
    pub message: MessageRef<'a>,
    /// Calls of `handle-message` so far.
    pub attempts: u32,
    /// How long the last one took; none when it did not come to that, or the message was handled in a batch.
    pub took: Option<Duration>,
    /// What came of it.
    pub turn: Turn<'a>,
}

/// What came of trying a message.
#[derive(Clone, Copy, Debug)]
pub enum Turn<'a> {
    /// It is handled, and Kafka has these outputs.
    Handled(&'a [OutputRecord]),
    /// It is tried again.
    Again {
        /// Why.
        reason: &'a str,
        /// After how long.
        wait: Duration,
    },
    /// It is given up.
    GivenUp {
        /// What becomes of it.
        outcome: Outcome,
        /// Why.
        reason: &'a str,
    },
}

/// Shows a message to whoever watches.
pub(super) fn show(shared: &Shared, delivery: &Delivery, handle_ns: u64, turn: Turn<'_>) {
    if let Some(tap) = shared.seat.tap() {
        tap.see(&Seen {
            plugin: &shared.plugin.name,
            message: delivery.message(),
            attempts: delivery.attempt(),
            took: (handle_ns > 0).then(|| Duration::from_nanos(handle_ns)),
            turn,
        });
    }
}
