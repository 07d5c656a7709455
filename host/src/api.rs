//! The words of the admin API, as JSON has them: `admin` answers with them, the commands that look in read them, and
//! `/openapi.json` is made from them. Values of a budget are written as in `gristmill.toml`.

mod budget;
mod problem;
mod reload;
mod swap;
mod waiting;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use budget::{Budget, Change};
pub use problem::{KeyProblem, Problem};
pub use reload::Reload;
pub use swap::{Component, Differences, Ended, Sample, Swapped, Trial, Version};
pub use waiting::{Advice, Lanes, ParkedLane, ParkedLanes, Place, Positions, Waiting};

/// All plugins: the answer of `GET /api/v1/plugins`, and each event of `GET /api/v1/events`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Plugins {
    /// In the order of their names.
    pub plugins: Vec<Plugin>,
    /// How the last reload of `gristmill.toml` ended, if there was one.
    #[serde(default)]
    pub reload: Option<Reload>,
}

/// One plugin as it is now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Plugin {
    /// Its name in `gristmill.toml`.
    pub name: String,
    /// What it is doing: starting, joining, running, troubled, paused or draining.
    pub state: String,
    /// What is in the way, if anything is.
    pub reason: Option<String>,
    /// It starts nothing until it is resumed, whatever else it is doing.
    pub paused: bool,
    /// The component that handles messages: `sha256:` and 64 hex digits; empty before it is loaded.
    pub digest: String,
    /// Where that component comes from.
    pub component: Component,
    /// What it reads.
    pub topics: Vec<String>,
    /// Its consumer group.
    pub group: String,
    /// Where outputs go that name no topic.
    pub output: Option<String>,
    /// What is handled one after the other: key, partition or none.
    pub order: String,
    /// at-least-once or exactly-once.
    pub delivery: String,
    /// What becomes of messages that are given up on: park, dead-letter or skip.
    pub failure_action: String,
    /// Where dead letters go.
    pub dead_letter_topic: Option<String>,
    /// The budget in effect.
    pub budget: Budget,
    /// The budget of `gristmill.toml`.
    pub configured: Budget,
    /// Messages being handled.
    pub in_flight: u64,
    /// Messages in the buffer.
    pub buffer_messages: u64,
    /// Bytes in the buffer.
    pub buffer_bytes: u64,
    /// Messages in Kafka that are not finished; none while no partition's end is known.
    pub lag: Option<i64>,
    /// Messages that ended, by their outcome: handled, dead-lettered, parked and skipped.
    pub messages: BTreeMap<String, u64>,
    /// Messages that were handled in the last second.
    pub handled_per_second: f64,
    /// Attempts after a message's first.
    pub retries: u64,
    /// Guests broken off, by kind: trap, timeout, cpu, memory and exit.
    pub traps: BTreeMap<String, u64>,
    /// Dead letters that could not be written, each time.
    pub dead_letter_failures: u64,
    /// Time in `handle-message` over the last minute.
    pub handle_seconds: Quantiles,
    /// Time from being fetched to being started, over the last minute.
    pub wait_seconds: Quantiles,
    /// Seconds for which messages that could have started did not, by reason: rate, concurrency and buffer.
    pub throttled_seconds: BTreeMap<String, f64>,
    /// Lanes that are parked.
    pub parked_lanes: u64,
    /// Partitions that are ours.
    pub partitions: u64,
    /// Partitions that are not read, because too much is behind messages that are not finished.
    pub held_partitions: u64,
    /// Age of the oldest message that is not finished.
    pub oldest_unfinished_seconds: f64,
    /// Instances alive.
    pub instances: u64,
    /// Linear memory of all instances.
    pub guest_memory_bytes: u64,
    /// Guest CPU time.
    pub guest_cpu_seconds: f64,
    /// What the figures mean, and what would help.
    pub advice: Vec<Advice>,
    /// A new version that is being tried.
    pub trial: Option<Trial>,
    /// How the last swap ended.
    pub last_swap: Option<Ended>,
}

/// The answer of `GET /api/v1/plugins/{name}`: the plugin and what would be too much for a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Detail {
    /// As in the list.
    #[serde(flatten)]
    pub plugin: Plugin,
    /// The partitions that are ours, in order.
    pub assigned: Vec<Partition>,
    /// Who changed what, the newest first.
    pub changes: Vec<Change>,
}

/// One partition that is ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Partition {
    /// The topic's name.
    pub topic: String,
    /// The number of the partition in the topic.
    pub partition: i32,
    /// Messages in Kafka that are not finished; none while the end of the partition is not known.
    pub lag: Option<i64>,
    /// The offset that Kafka has confirmed last.
    pub committed_offset: Option<i64>,
}

/// Times, as far as buckets tell; none while there are no observations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Quantiles {
    /// Half took no longer.
    pub p50: Option<f64>,
    /// 99 of 100 took no longer.
    pub p99: Option<f64>,
}

/// The answer of `GET /healthz` and `GET /readyz` when all is well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// ok or ready.
    pub status: String,
}
