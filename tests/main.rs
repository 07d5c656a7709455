//! Behaviour that users rely on, tested from outside: the real binary on a real Apache Kafka.
//!
//! The files, in the order in which a reader may want them:
//!
//! - `way`: messages in, outputs out, progress committed
//! - `unruly`: guests that misbehave, beside one that does not notice
//! - `commands`: what a user types and reads
//! - `demo`: the story that the product exists for
//! - `tidy`: the shape of the house itself
//! - `world`: brokers, the host under test, waiting for conditions

mod commands;
mod demo;
mod tidy;
mod unruly;
mod way;
mod world;
