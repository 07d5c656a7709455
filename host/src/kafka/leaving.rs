//! Leaving the group without waiting for ever.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use super::context::Member;

/// How long a consumer may take to leave when nobody said how long, in ms.
const LEAVE_MS_MAX: u64 = 5_000;

/// Leaving the group, on a thread of its own because it may block for as long as a broker does not answer. After
/// `limit` the thread is abandoned.
#[derive(Debug)]
pub(super) struct Leaving {
    pub(super) limit: Duration,
    pub(super) waits: Option<Waits>,
}

/// The thread starts to leave when `go` is dropped, and drops the other end of `left` when it has left.
#[derive(Debug)]
pub(super) struct Waits {
    go: mpsc::Sender<()>,
    left: mpsc::Receiver<()>,
}

impl Default for Leaving {
    fn default() -> Self {
        Self { limit: Duration::from_millis(LEAVE_MS_MAX), waits: None }
    }
}

impl Leaving {
    /// Leaves for a consumer within `limit`, once all other holds of it are gone and this is dropped.
    pub(super) fn of(consumer: Arc<Member>, limit: Duration) -> Self {
        Self { limit, waits: Self::start(consumer) }
    }

    /// Hands the last hold of the consumer to a thread that drops it.
    pub(super) fn start(consumer: Arc<Member>) -> Option<Waits> {
        let (go, may_go) = mpsc::channel::<()>();
        let (leaves, left) = mpsc::channel::<()>();
        let leave = move || {
            // An error is what it waits for: nobody ever sends.
            let _ = may_go.recv();
            drop(consumer);
            drop(leaves);
        };
        match std::thread::Builder::new().name("kafka-leave".to_owned()).spawn(leave) {
            Ok(_) => Some(Waits { go, left }),
            Err(error) => {
                tracing::warn!(%error, "no thread to leave the group on");
                None
            }
        }
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        if let Some(Waits { go, left }) = self.waits.take() {
            drop(go);
            if left.recv_timeout(self.limit) == Err(mpsc::RecvTimeoutError::Timeout) {
                tracing::warn!("left without waiting any longer for Kafka's answer");
            }
        }
    }
}
