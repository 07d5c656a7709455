//! What may become of a message: in the guest (`Handling`) and in the end (`Outcome`).

use std::fmt;

/// What became of a message. A retry is not an outcome; a reject leads to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The plugin handled it and Kafka confirmed its outputs.
    Handled,
    /// Given up on, and written to the dead-letter topic with the reason.
    DeadLettered,
    /// Its lane is held because it cannot be finished and may not be dropped.
    Parked,
    /// Given up on because the config says so.
    Skipped,
}

impl Outcome {
    /// Every outcome, in the order of the metric's series.
    pub const ALL: [Self; 4] = [Self::Handled, Self::DeadLettered, Self::Parked, Self::Skipped];

    /// The outcome's word in metrics and in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Handled => "handled",
            Self::DeadLettered => "dead-lettered",
            Self::Parked => "parked",
            Self::Skipped => "skipped",
        }
    }
}

/// How a guest broke off a call instead of returning from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TrapKind {
    /// It trapped: unreachable, out of bounds, a panic, the stack exhausted.
    Trap,
    /// It took longer than the budget's `timeout`.
    Timeout,
    /// It used more CPU time than the budget's `cpu`.
    Cpu,
    /// It trapped after the budget's `memory` had been refused to it.
    Memory,
    /// It ended its own program.
    Exit,
}

impl TrapKind {
    /// Every kind, in the order of the metric's series.
    pub const ALL: [Self; 5] = [Self::Trap, Self::Timeout, Self::Cpu, Self::Memory, Self::Exit];

    /// The kind's word in metrics and in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::Timeout => "timeout",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Exit => "exit",
        }
    }
}

/// How putting another component in a plugin's place ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SwapResult {
    /// The new version handles messages.
    Done,
    /// The new version never handled any.
    Refused,
    /// The new version was tried and taken out again, by itself or by an operator.
    RolledBack,
}

impl SwapResult {
    /// Every result, in the order of the metric's series.
    pub const ALL: [Self; 3] = [Self::Done, Self::Refused, Self::RolledBack];

    /// The result's word in metrics and in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::RolledBack => "rolled-back",
        }
    }
}

/// Why a message was not handled this time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The plugin asks for another attempt.
    Retry {
        /// The plugin's words.
        reason: String,
        /// How long the plugin asks to wait, in milliseconds.
        after_ms: Option<u32>,
    },
    /// The plugin says that no attempt will help, or its outputs are not allowed.
    Reject {
        /// The plugin's words, or the host's.
        reason: String,
    },
    /// The guest was broken off.
    Trap {
        /// How.
        kind: TrapKind,
        /// What the engine or the guest's panic said.
        reason: String,
    },
    /// Kafka refused an output for good.
    Output {
        /// What Kafka said.
        reason: String,
        /// Sending it again would end the same way.
        lasting: bool,
    },
}

impl Failure {
    /// Why, in the plugin's own words where it has said something: what the next attempt and a dead letter are told.
    pub fn reason(&self) -> String {
        match self {
            Self::Retry { reason, .. } | Self::Reject { reason } => reason.clone(),
            Self::Trap { .. } | Self::Output { .. } => self.to_string(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retry { reason, .. } => write!(f, "the plugin asked for a retry: {reason}"),
            Self::Reject { reason } => write!(f, "rejected: {reason}"),
            Self::Trap { kind, reason } => write!(f, "{}: {reason}", kind.word()),
            Self::Output { reason, .. } => write!(f, "an output was refused: {reason}"),
        }
    }
}

/// A record that a plugin wants to be produced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutputRecord {
    /// Where to; none is the plugin's default output topic.
    pub topic: Option<String>,
    /// The key; none and empty differ.
    pub key: Option<Vec<u8>>,
    /// The payload; none (a tombstone) and empty differ.
    pub payload: Option<Vec<u8>>,
    /// Names and values, in their order. A plugin's names are UTF-8; those of a dead letter are whatever came.
    pub headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// Where a batcher puts a message to wait.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// The batcher's name.
    pub batcher: String,
    /// The batch key.
    pub key: String,
    /// The batch is to be handled now, with this message as its last.
    pub flush: bool,
    /// What `handle-batch` is given instead of the message's own payload, if something.
    pub payload: Option<Vec<u8>>,
}

/// What made a batch complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// It was full.
    Size,
    /// Its time was over.
    Timeout,
    /// The plugin or the host did not want to wait for more.
    Flush,
}

/// What came of giving one message to a guest.
#[derive(Debug, PartialEq, Eq)]
pub enum Handling {
    /// The guest returned these outputs.
    Done(Vec<OutputRecord>),
    /// The guest put it into a batch.
    Batched(Slot),
    /// The guest failed on this very message.
    Failed(Failure),
    /// The guest never saw it: the run ended before it, or it may not start any more. It is as if never taken.
    NotStarted,
}
