//! Kafka: where messages come from and where outputs go, behind `edge::Source` and `edge::Output`.
//!
//! One thread belongs to each consumer and asks it for the next event. Each assigned partition has a queue of its
//! own in librdkafka, from which messages are taken only when there is room for them: not taking is the back
//! pressure. Progress is committed once a second, as a low watermark and what is finished beyond it. What happens to a
//! message between being taken and being finished is none of this room's business.
//!
//! `consumer` is the source, `reader` takes the messages, `rebalance` the partitions, `commit` tells progress, and
//! `health` whether Kafka is there; `producer` is the output; `ledger` is the output
//! of exactly-once, `lease` the name of its transactions and `bond` what it shares with the source; `topics` asks a cluster once; `embedded` is a cluster
//! of our own; `letters` reads a topic from end to end and keeps marks on it, `post` produces and tells the fate of each
//! record; `options` are librdkafka's; `context` is what it calls, and `native` and `metadata` all that needs `unsafe`.

mod bond;
mod commit;
mod consumer;
mod context;
mod embedded;
mod health;
mod lease;
mod leaving;
mod ledger;
mod letters;
mod metadata;
mod native;
mod options;
mod post;
mod producer;
mod reader;
mod rebalance;
mod topics;

#[cfg(test)]
mod tests;

pub use consumer::KafkaSource;
pub use embedded::Embedded;
pub use ledger::{KafkaLedger, exactly_once};
pub use letters::{Committed, Letters, Silence, Span, Unreadable};
pub use post::{Post, Posted};
pub use producer::KafkaOutput;
pub use topics::{create_topics, missing_topics, reachable};
