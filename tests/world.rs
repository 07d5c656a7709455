//! The world that tests run in: what stands around the host, started and stopped for them.

#![expect(clippy::panic, reason = "a test whose world cannot be had fails, and says why")]

#[allow(dead_code, reason = "a world offers more than any one set of tests takes")]
pub(crate) mod kafka;
