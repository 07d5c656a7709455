//! How `gristmill.toml` was read again.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a reload of `gristmill.toml` ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reload {
    /// When it ended, as RFC 3339 has it.
    pub at: String,
    /// What asked for it: a signal, or a file that changed.
    pub by: String,
    /// done, unchanged or refused; after a refusal all is as before.
    pub result: String,
    /// What changed, in words.
    pub changes: Vec<String>,
    /// Everything that is wrong with the file or a component, each with its place and how to mend it.
    pub problems: Vec<String>,
    /// What the file says and only a restart would heed.
    pub ignored: Vec<String>,
}
