//! Waiting to a tenth of a millisecond, on one thread of our own. Tokio's timer rounds up to whole milliseconds and
//! more, which makes a plugin that waits 5 ms for each message a fifth slower.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// The clock that a wait goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// Real time, to a tenth of a millisecond.
    Precise,
    /// The runtime's, to a millisecond or two, which a test can pause.
    Runtime,
}

impl Timer {
    /// Waits until `then`.
    pub async fn sleep_until(self, then: tokio::time::Instant) {
        match self {
            Self::Precise => wait_until(Some(then.into_std())).await,
            Self::Runtime => tokio::time::sleep_until(then).await,
        }
    }
}

/// Waits until `until`; for ever if it is none.
pub fn wait_until(until: Option<Instant>) -> Wait {
    Wait { until, id: None }
}

/// A wait, which leaves nothing with the clockwork when it is given up: a guest may give up as many as it likes.
#[derive(Debug)]
pub struct Wait {
    until: Option<Instant>,
    /// Under which number the waker is with the clockwork.
    id: Option<u64>,
}

impl Future for Wait {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(until) = self.until else { return Poll::Pending };
        if Instant::now() >= until {
            return Poll::Ready(());
        }
        let clockwork = Clockwork::get();
        let id = *self.id.get_or_insert_with(|| clockwork.next_id.fetch_add(1, Ordering::Relaxed));
        clockwork.ring_at((until, id), cx.waker());
        Poll::Pending
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if let (Some(until), Some(id)) = (self.until, self.id) {
            lock(&Clockwork::get().rings).remove(&(until, id));
        }
    }
}

/// One thread that wakes whoever waits, when it is time.
struct Clockwork {
    // Held while an entry is put in or taken out; never while a waker is woken.
    rings: Mutex<BTreeMap<(Instant, u64), Waker>>,
    earlier: Condvar,
    next_id: AtomicU64,
}

impl Clockwork {
    /// The clockwork of this process; its thread begins with the first who waits and ends with the process.
    fn get() -> &'static Self {
        static CLOCKWORK: Clockwork = Clockwork {
            rings: Mutex::new(BTreeMap::new()),
            earlier: Condvar::new(),
            next_id: AtomicU64::new(0),
        };
        static THREAD: Once = Once::new();
        THREAD.call_once(|| {
            let thread = std::thread::Builder::new().name("timer".into());
            if let Err(error) = thread.spawn(|| CLOCKWORK.run()) {
                tracing::error!(%error, "nobody who waits is woken: failed to start the thread that wakes them");
            }
        });
        &CLOCKWORK
    }

    fn ring_at(&self, place: (Instant, u64), waker: &Waker) {
        let mut rings = lock(&self.rings);
        let first = rings.first_key_value().is_none_or(|(first, _)| place < *first);
        rings.entry(place).and_modify(|known| known.clone_from(waker)).or_insert_with(|| waker.clone());
        drop(rings);
        if first {
            self.earlier.notify_one();
        }
    }

    fn run(&self) {
        let mut rings = lock(&self.rings);
        loop {
            let now = Instant::now();
            let next = rings.first_entry().map(|first| (first.key().0.saturating_duration_since(now), first));
            rings = match next {
                Some((Duration::ZERO, due)) => {
                    let waker = due.remove();
                    drop(rings);
                    waker.wake();
                    lock(&self.rings)
                }
                Some((wait, _)) => {
                    let waited = self.earlier.wait_timeout(rings, wait);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.earlier.wait(rings).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

/// A lock whose sections leave nothing half changed, so a poisoned one is used as it is.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_end_in_the_order_of_their_moments_and_never_early() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let start = Instant::now();
            let order = Mutex::new(Vec::new());
            let wait = async |ms: u64| {
                wait_until(Some(start + Duration::from_millis(ms))).await;
                assert!(start.elapsed() >= Duration::from_millis(ms));
                order.lock().unwrap().push(ms);
            };
            tokio::join!(wait(60), wait(0), wait(30));
            assert_eq!(*order.lock().unwrap(), [0, 30, 60]);
            let far = start + Duration::from_secs(3600);
            let given_up =
                tokio::select! { biased; () = wait_until(Some(far)) => false, () = async {} => true };
            assert!(given_up && lock(&Clockwork::get().rings).keys().all(|(until, _)| *until != far));
        });
    }
}
