//! The guest: the sandbox that a plugin runs in. Takes a component from its bytes to workers that handle runs under
//! the plugin's limits. Knows nothing of Kafka, of retries or of where outputs go.

mod allowance;
mod batcher;
mod broken;
mod cache;
mod clock;
mod compose;
mod engine;
mod generation;
mod guest;
#[cfg(test)]
pub(crate) mod guests;
mod inspect;
mod instance;
mod limits;
mod log;
mod packing;
mod shared;
mod shelf;
#[cfg(test)]
mod tests;
mod worker;

pub use batcher::BatchEnd;
pub use engine::{Engine, Room};
pub use generation::{Generation, check, digest_of};
pub use inspect::{Flaw, Kind, Refusal, Summary};
pub use shelf::{Kept, KeptBudget, Record, Shelf};
pub use worker::Worker;
