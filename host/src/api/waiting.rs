//! Why messages wait: one message's place on its way, parked lanes, and what the figures of a plugin mean.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a message stands in Kafka.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The topic's name.
    pub topic: String,
    /// The number of the partition.
    pub partition: i32,
    /// The offset in the partition.
    pub offset: i64,
}

/// A lane that is held because its first message cannot be finished and may not be dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ParkedLane {
    /// Where its first message stands.
    #[serde(flatten)]
    pub first: Place,
    /// Why it is held.
    pub reason: String,
    /// Messages of the lane, the parked one included.
    pub messages: u64,
}

/// The answer of `GET …/parked`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ParkedLanes {
    /// In the order of their first messages; at most as many as the answer's limit.
    pub lanes: Vec<ParkedLane>,
    /// How many there are in all.
    pub total: u64,
}

/// Which parked lanes to release or to skip.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Positions {
    /// All of them.
    #[serde(default)]
    pub all: bool,
    /// Those whose first message stands here.
    #[serde(default)]
    pub lanes: Vec<Place>,
}

/// The answer of `POST …/parked/release` and `POST …/parked/skip`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Lanes {
    /// How many lanes go on.
    pub lanes: u64,
}

/// Where a message is on its way, and what it waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Waiting {
    /// The message, if it is known.
    pub message: Option<Place>,
    /// elsewhere, kafka, buffer, lane, rate, concurrency, paused, in-flight, confirming, batch, retry, parked or handled.
    pub state: String,
    /// The same in words, with figures.
    pub why: String,
    /// Messages that come before it, where that is known.
    pub behind: Option<u64>,
    /// When it goes on, as RFC 3339 has it, where that is known.
    pub until: Option<String>,
}

/// What the figures of a plugin mean, and what would help.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Advice {
    /// What it is about: lag, rate, concurrency, failures or parked.
    pub about: String,
    /// One sentence.
    pub text: String,
}
