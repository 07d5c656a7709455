//! The shapes of a batcher: it is called without the trampoline, so they are made here by hand, as `wit/batcher.wit`
//! has them.

use wasmtime::component::{ComponentType, Lift, Lower};

use super::Output;
use crate::outcome;

/// Where a message waits.
#[derive(ComponentType, Lift)]
#[component(record)]
pub struct Slot {
    batcher: String,
    key: String,
    flush: bool,
    payload: Option<Vec<u8>>,
}

/// What a batcher says of a message.
#[derive(ComponentType, Lift)]
#[component(variant)]
pub enum Verdict {
    /// It is handled.
    #[component(name = "done")]
    Done(Vec<Output>),
    /// It goes into a batch.
    #[component(name = "batch")]
    Batch(Slot),
}

/// What made a batch complete.
#[derive(ComponentType, Lower, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
pub enum Trigger {
    /// It was full.
    #[component(name = "size")]
    Size,
    /// Its time was over.
    #[component(name = "timeout")]
    Timeout,
    /// The plugin or the host did not want to wait for more.
    #[component(name = "flush")]
    Flush,
}

/// What batch it is that a guest is given.
#[derive(ComponentType, Lower)]
#[component(record)]
pub struct BatchInfo {
    /// The batcher's name.
    pub batcher: String,
    /// The batch key.
    pub key: String,
    /// Messages in it.
    pub size: u32,
    /// What made it complete.
    pub trigger: Trigger,
}

impl From<Slot> for outcome::Slot {
    fn from(Slot { batcher, key, flush, payload }: Slot) -> Self {
        Self { batcher, key, flush, payload }
    }
}

impl From<outcome::Trigger> for Trigger {
    fn from(trigger: outcome::Trigger) -> Self {
        match trigger {
            outcome::Trigger::Size => Self::Size,
            outcome::Trigger::Timeout => Self::Timeout,
            outcome::Trigger::Flush => Self::Flush,
        }
    }
}
