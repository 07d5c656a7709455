//! A plugin's budget, and who changed what.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config;
use crate::config::units::{show_duration, show_size};

/// What a plugin may use, each value as `gristmill.toml` has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Budget {
    /// Messages being handled at the same time.
    pub concurrency: u64,
    /// Starts of `handle-message`; none is unlimited.
    pub rate: Option<String>,
    /// Starts that may come back to back.
    pub burst: u64,
    /// Whose the rate is: instance or group.
    pub scope: String,
    /// Messages held in memory.
    pub buffer: u64,
    /// Bytes held in memory.
    pub buffer_bytes: String,
    /// Wall clock for one message.
    pub timeout: String,
    /// Guest CPU for one message.
    pub cpu: String,
    /// Linear memory of one instance.
    pub memory: String,
}

impl From<&config::Budget> for Budget {
    fn from(budget: &config::Budget) -> Self {
        Self {
            concurrency: budget.concurrency as u64,
            rate: budget.rate.map(|rate| rate.to_string()),
            burst: budget.burst.into(),
            scope: budget.scope.word().to_owned(),
            buffer: budget.buffer as u64,
            buffer_bytes: show_size(budget.buffer_bytes as u64),
            timeout: show_duration(budget.timeout),
            cpu: show_duration(budget.cpu),
            memory: show_size(budget.memory as u64),
        }
    }
}

/// Something that an operator did to a plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// When, as RFC 3339 has it.
    pub at: String,
    /// Who, as far as it is known: what the client says of itself, and its address.
    pub by: String,
    /// What, in words.
    pub what: String,
}
