//! The world that tests run in: what stands around the host, started and stopped for them.

pub(crate) mod collector;
pub(crate) mod host;
pub(crate) mod kafka;
pub(crate) mod tally;

use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take that a test waits for: some 20 times what it takes on two busy cores.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Looks every 20 ms until there is something, for at most so long.
pub(crate) fn until<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() >= deadline {
            return None;
        }
        thread::park_timeout(Duration::from_millis(20));
    }
}
