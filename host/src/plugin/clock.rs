//! Waiting in a guest, to a tenth of a millisecond: `wasi:clocks/monotonic-clock` on a timer of our own. Tokio's
//! rounds up to whole milliseconds and more, which makes a plugin that waits 5 ms for each message a fifth slower.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, Once, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tracing::error;
use wasmtime::component::{Accessor, HasData, Linker, Resource};
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock as p2;
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};
use wasmtime_wasi::p3::bindings::clocks::monotonic_clock as p3;

use super::guest::Guest;

/// Puts the precise clock in the place of wasmtime-wasi's, for WASI 0.2 and 0.3.
pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    p2::add_to_linker::<Guest, Clock>(linker, |guest| guest)?;
    p3::add_to_linker::<Guest, Clock>(linker, |guest| guest)?;
    linker.allow_shadowing(false);
    Ok(())
}

/// The clock as the bindings know it: they reach it through the guest.
struct Clock;

impl HasData for Clock {
    type Data<'a> = &'a mut Guest;
}

impl p2::Host for Guest {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(now_ns())
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(1)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.subscribe_duration(when.saturating_sub(now_ns()))
    }

    fn subscribe_duration(&mut self, duration: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let until = Instant::now().checked_add(Duration::from_nanos(duration));
        let alarm = self.table().push(Alarm { until, yielded: duration > 0 })?;
        subscribe(self.table(), alarm)
    }
}

impl p3::Host for Guest {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(now_ns())
    }

    fn get_resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(1)
    }
}

impl p3::HostWithStore<Guest> for Clock {
    async fn wait_until(_guest: &Accessor<Guest, Self>, when: u64) -> wasmtime::Result<()> {
        wait_until(Instant::now().checked_add(Duration::from_nanos(when.saturating_sub(now_ns())))).await;
        Ok(())
    }

    async fn wait_for(_guest: &Accessor<Guest, Self>, duration: u64) -> wasmtime::Result<()> {
        wait_until(Instant::now().checked_add(Duration::from_nanos(duration))).await;
        Ok(())
    }
}

/// Nanoseconds since this host first asked: the same origin for all guests, which may not learn when it started.
fn now_ns() -> u64 {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    ORIGIN.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

/// A moment that a guest waits for; none is too far away to ever come.
struct Alarm {
    until: Option<Instant>,
    /// Whether a guest that polls without waiting has let others have the thread.
    yielded: bool,
}

#[wasmtime_wasi::async_trait]
impl Pollable for Alarm {
    async fn ready(&mut self) {
        if !self.yielded {
            self.yielded = true;
            tokio::task::yield_now().await;
        }
        wait_until(self.until).await;
    }
}

/// Waits until `until`; for ever if it is none.
fn wait_until(until: Option<Instant>) -> Wait {
    Wait { until, id: None }
}

/// A wait, which leaves nothing at the bell when it is given up: a guest may give up as many as it likes.
struct Wait {
    until: Option<Instant>,
    /// Under which number the waker is at the bell.
    id: Option<u64>,
}

impl Future for Wait {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(until) = self.until else { return Poll::Pending };
        if Instant::now() >= until {
            return Poll::Ready(());
        }
        let bell = Bell::get();
        let id = *self.id.get_or_insert_with(|| bell.next_id.fetch_add(1, Ordering::Relaxed));
        bell.ring_at((until, id), cx.waker());
        Poll::Pending
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if let (Some(until), Some(id)) = (self.until, self.id) {
            lock(&Bell::get().rings).remove(&(until, id));
        }
    }
}

/// One thread that wakes whoever waits, when it is time.
struct Bell {
    // Held while an entry is put in or taken out; never while a waker is woken.
    rings: Mutex<BTreeMap<(Instant, u64), Waker>>,
    earlier: Condvar,
    next_id: AtomicU64,
}

impl Bell {
    /// The bell of this process; its thread begins with the first who waits and ends with the process.
    fn get() -> &'static Self {
        static BELL: Bell =
            Bell { rings: Mutex::new(BTreeMap::new()), earlier: Condvar::new(), next_id: AtomicU64::new(0) };
        static THREAD: Once = Once::new();
        THREAD.call_once(|| {
            let thread = std::thread::Builder::new().name("bell".into());
            if let Err(error) = thread.spawn(|| BELL.run()) {
                error!(%error, "guests that wait will time out: failed to start the thread that wakes them");
            }
        });
        &BELL
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
            assert!(given_up && lock(&Bell::get().rings).keys().all(|(until, _)| *until != far));
        });
    }
}
