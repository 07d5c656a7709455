//! The shapes that cross the sandbox's border, made from `wit/` and `plugin/run.wit`, and the way between them and
//! the host's own words.

pub mod batch;

use wasmtime::component::{ComponentType, Lower};

use crate::message::MessageRef;
use crate::outcome::{self, OutputRecord};

/// Bindings to a plugin that is composed with the trampoline.
mod runner {
    #![expect(missing_docs, reason = "generated")]

    wasmtime::component::bindgen!({
        path: ["../wit", "src/plugin/run.wit"],
        world: "gristmill:run/runner",
        imports: { default: trappable },
        exports: { default: async },
    });
}

/// What guests return.
pub use runner::gristmill::plugin::types::{Failure, Output};
/// The host's side of the trampoline: `begin` and `done`.
pub use runner::gristmill::run::host as run_host;
/// A plugin composed with the trampoline: its pre-instantiated and its live form.
pub use runner::{Runner, RunnerPre};

/// Bindings to `wasi:logging`, which the host answers with log lines.
pub mod logging {
    #![expect(missing_docs, reason = "generated")]

    wasmtime::component::bindgen!({
        inline: "package gristmill:log; world lines { import wasi:logging/logging@0.1.0-draft; }",
        path: ["../wit/deps/wasi-logging"],
        world: "gristmill:log/lines",
    });
    pub use self::wasi::logging::logging::{Host, Level, add_to_linker};
}

/// Most bytes of a reason that a guest gives; what is longer is cut. Reasons travel in headers and metrics' logs, and
/// a guest may return as much text as its memory holds.
pub const REASON_BYTES_MAX: usize = 4 * 1024;

/// One message as a guest is given it, with the bytes of its own that a call which outlives the run's borrow needs.
#[derive(ComponentType, Lower)]
#[component(record)]
pub struct OwnedMessage {
    topic: String,
    partition: i32,
    offset: i64,
    timestamp: Option<i64>,
    key: Option<Vec<u8>>,
    payload: Option<Vec<u8>>,
    headers: Vec<OwnedHeader>,
    attempt: u32,
    #[component(name = "previous-error")]
    previous_error: Option<String>,
}

/// One header of an `OwnedMessage`.
#[derive(ComponentType, Lower)]
#[component(record)]
pub struct OwnedHeader {
    name: String,
    value: Option<Vec<u8>>,
}

impl OwnedMessage {
    /// Copies `message`; bad bytes in header names become U+FFFD.
    pub fn new(message: MessageRef<'_>, attempt: u32, previous_error: Option<&str>) -> Self {
        let header = |header: crate::message::HeaderRef<'_>| OwnedHeader {
            name: String::from_utf8_lossy(header.name).into_owned(),
            value: header.value.map(<[u8]>::to_vec),
        };
        Self {
            topic: message.topic().to_owned(),
            partition: message.partition(),
            offset: message.offset(),
            timestamp: message.timestamp(),
            key: message.key().map(<[u8]>::to_vec),
            payload: message.payload().map(<[u8]>::to_vec),
            headers: message.headers().map(header).collect(),
            attempt,
            previous_error: previous_error.map(str::to_owned),
        }
    }

    /// The same message with another payload.
    pub fn with_payload(self, payload: Vec<u8>) -> Self {
        Self { payload: Some(payload), ..self }
    }
}

impl From<Output> for OutputRecord {
    fn from(output: Output) -> Self {
        Self {
            topic: output.topic,
            key: output.key,
            payload: output.payload,
            headers: output
                .headers
                .into_iter()
                .map(|header| (header.name.into_bytes(), header.value))
                .collect(),
        }
    }
}

impl From<Failure> for outcome::Failure {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Retry(retry) => {
                Self::Retry { reason: shortened(retry.reason), after_ms: retry.after_ms }
            }
            Failure::Reject(reason) => Self::Reject { reason: shortened(reason) },
        }
    }
}

/// `reason`, cut to `REASON_BYTES_MAX` where a character begins.
pub fn shortened(mut reason: String) -> String {
    if reason.len() > REASON_BYTES_MAX {
        reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
        reason.shrink_to_fit();
    }
    reason
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let cut = shortened("ä".repeat(REASON_BYTES_MAX));
        assert_eq!(cut.len(), REASON_BYTES_MAX);
    }
}
