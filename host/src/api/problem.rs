//! What went wrong with a request.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Everything that is not 2xx: problem details as RFC 9457 has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// What kind of problem: always `about:blank`, so the status says it.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// The status.
    pub status: u16,
    /// What is wrong, and what would be right.
    pub detail: String,
    /// What is wrong with each key of a body; left out where that is not what is wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<KeyProblem>,
}

/// What is wrong with one key of a body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeyProblem {
    /// The key.
    pub key: String,
    /// What is wrong, or what was expected instead.
    pub what: String,
    /// The value that stands there.
    pub found: Option<String>,
    /// How to put it right.
    pub hint: Option<String>,
}
