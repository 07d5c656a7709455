//! Gristmill: Kafka into a throttled buffer, and `handle-message` in sandboxed WebAssembly plugins under budgets.
//!
//! The rooms of the house, floor by floor. A room imports from lower floors only, never from its own;
//! `tests/tidy.rs` reads every `use crate::` and fails otherwise.

// Floor 9, the door: the command line.
pub mod cli;

// Floor 8, assembly: builds the rooms in order and owns the order of shutting down.
pub mod app;

// Floor 7, looking in: health, readiness, metrics.
pub mod admin;

// Floor 6, the way of a message.
pub mod pipeline;

// Floor 5, the guest: the sandbox that a plugin runs in.
pub mod plugin;

// Floor 4, the outside: Kafka, what a guest may reach, another host's admin API, and where spans are sent.
pub mod capability;
pub mod client;
pub mod kafka;
pub mod telemetry;

// Floor 3, decisions: no network, no disk, no clock of their own.
pub mod advice;
pub mod batch;
pub mod budget;
pub mod buffer;
pub mod failure;

// Floor 2, what passes between the rooms: the seam for tests, a run of messages, and what is told of them.
pub mod edge;
pub mod run;
pub mod spans;

// Floor 1, tools.
pub mod ack;
pub mod api;
pub mod bindings;
pub mod jsonl;
pub mod log_limit;
pub mod metrics;
pub mod shutdown;
pub mod timer;

// Floor 0, words.
pub mod config;
pub mod message;
pub mod outcome;
pub mod trace;
