//! Versions of a plugin's component: which one runs and why, one that is being tried, and how swaps ended.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which component handles messages, and why that one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Component {
    /// `config`: the file that `gristmill.toml` names; `swapped`: one that was put in its place.
    pub source: String,
    /// Why that one runs, in words.
    pub why: String,
    /// Since when, as RFC 3339 has it.
    pub since: String,
    /// What `rollback` would return to.
    pub previous: Option<String>,
}

/// A new version beside the old one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Trial {
    /// `canary`: it handles a share of the lanes; `shadow`: it sees copies, and nothing that it does counts.
    pub mode: String,
    /// The share in percent: of lanes for a canary, of messages for a shadow.
    pub percent: f64,
    /// Since when, as RFC 3339 has it.
    pub since: String,
    /// Who began it.
    pub by: String,
    /// The version that was there before, since the trial began.
    pub old: Version,
    /// The version that is being tried.
    pub new: Version,
    /// How the outcomes of a shadow differ from the old version's.
    pub differences: Option<Differences>,
}

/// How one version does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Version {
    /// `sha256:` and 64 hex digits.
    pub digest: String,
    /// Messages that it was given.
    pub messages: u64,
    /// Those of them that failed, for whatever reason.
    pub failures: u64,
    /// Those of them that it broke off on.
    pub traps: u64,
    /// Half of its messages took no longer, in seconds.
    pub p50_seconds: Option<f64>,
    /// 99 of 100 of its messages took no longer, in seconds.
    pub p99_seconds: Option<f64>,
}

/// How the outcomes of a shadow differ from the old version's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Differences {
    /// Messages that both handled.
    pub compared: u64,
    /// Messages that the shadow was not given, because it was busy.
    pub missed: u64,
    /// Messages of which one failed and the other did not.
    pub outcomes: u64,
    /// Messages of which the outputs differ.
    pub outputs: u64,
    /// Some of those that differ, the newest last.
    pub samples: Vec<Sample>,
}

/// A message that two versions do not agree on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sample {
    /// The topic of the message.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// What the old version made of it, in words.
    pub old: String,
    /// What the new version made of it, in words.
    pub new: String,
}

/// How a swap ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ended {
    /// done, refused or rolled-back.
    pub result: String,
    /// The version that was to come in.
    pub digest: String,
    /// When it ended, as RFC 3339 has it.
    pub at: String,
    /// Who asked for it.
    pub by: String,
    /// Why it was refused or rolled back.
    pub reason: Option<String>,
}

/// The answer to `PUT …/component`, `promote` and `rollback`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Swapped {
    /// What happened: loading, swapped, canary, shadow, promoted or rolled-back.
    pub result: String,
    /// The version that new messages go to.
    pub digest: String,
    /// The version that is being tried, if one is.
    pub trial: Option<String>,
    /// Imports that the new version has and the old one had not.
    pub new_imports: Vec<String>,
}
