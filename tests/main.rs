//! Behaviour that users rely on, tested from outside: the real binary on a real Apache Kafka.
//!
//! The files, in the order in which a reader may want them:
//!
//! - `way`: messages in, outputs out, progress committed
//! - `drain`: a backlog is drained to its end, nothing left out and nothing twice
//! - `restart`: where a group begins, and where it goes on
//! - `order`: what is never handled at the same time, and what comes out in order
//! - `pace`: a rate and a concurrency are never exceeded
//! - `group_rate`: one rate for all hosts of a group
//! - `backpressure`: what is held in memory is bounded
//! - `shutdown`: signals, draining, and what is abandoned
//! - `crash`: the host is killed, and nothing is lost
//! - `exactly_once`: whatever dies, the output of each message is there once
//! - `rebalance`: hosts join and leave a group
//! - `failures`: other attempts, dead letters, held lanes
//! - `batches`: what a plugin handles together, and what becomes of a batch that fails
//! - `progress`: what is finished stays finished, behind a stuck message too
//! - `order_failures`: order through retries, a rebalance and a crash
//! - `outage`: brokers and topics that are not there, and come back
//! - `dead_letters`: messages that were given up are listed, shown and sent back
//! - `api`: what is asked of a running host, and that its answers are what its document says
//! - `swap`: another component takes over under load, is tried first, and is rolled back when it does worse
//! - `budgets`: budgets change while messages flow
//! - `dashboard`: what operators see and do in a browser
//! - `control_commands`: what an operator types at a running host
//! - `reload`: the config is read again while messages flow, all of it or nothing
//! - `tracing`: traces go on through messages, and what is told of them
//! - `demo`: the story that the product exists for
//! - `unruly`: guests that misbehave, beside one that does not notice
//! - `commands`: what a user types and reads
//! - `tidy`: the shape of the house itself
//! - `world`: brokers, the host under test, waiting for conditions

mod api;
mod backpressure;
mod batches;
mod budgets;
mod commands;
mod control_commands;
mod crash;
mod dashboard;
mod dead_letters;
mod demo;
mod drain;
mod exactly_once;
mod failures;
mod group_rate;
mod order;
mod order_failures;
mod outage;
mod pace;
mod progress;
mod rebalance;
mod reload;
mod restart;
mod shutdown;
mod swap;
mod tidy;
mod tracing;
mod unruly;
mod way;
mod world;
