//! Gristmill: Kafka into a throttled buffer, and `handle-message` in sandboxed WebAssembly plugins under budgets.
//!
//! The rooms of the house, floor by floor. A room imports from lower floors only, never from its own;
//! `tests/tidy.rs` reads every `use crate::` and fails otherwise.

// Floor 8, the door: the command line.
pub mod cli;

// Floor 7, assembly: builds the rooms in order and owns the order of shutting down.
pub mod app;

// Floor 6, looking in: health, readiness, metrics.
pub mod admin;

// Floor 5, the way of a message.
pub mod pipeline;

// Floor 4, the guest: the sandbox that a plugin runs in.
pub mod plugin;

// Floor 3, the outside: Kafka, and what a guest may reach.
pub mod capability;
pub mod kafka;

// Floor 2, decisions, and the seam for tests; no network, no disk.
pub mod budget;
pub mod buffer;
pub mod edge;
pub mod run;

// Floor 1, tools.
pub mod ack;
pub mod bindings;
pub mod metrics;
pub mod progress;
pub mod shutdown;

// Floor 0, words.
pub mod config;
pub mod message;
pub mod outcome;
