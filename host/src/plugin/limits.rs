//! The limits of one instance: how long a message may take, how much CPU, how much memory.
//!
//! Epochs interrupt a guest that computes, a timer one that is parked in a host call. Both look at the same clock,
//! which `begin` restarts for each message, so that a run of many messages arms one timer.

use std::future::{self, Future};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use wasmtime::{ResourceLimiter, StoreContextMut, UpdateDeadline};

use super::allowance::{Allowance, FAR_NS};
use super::broken::Broken;
use super::guest::Guest;
use crate::config::units;
use crate::metrics::PluginMetrics;
use crate::outcome::TrapKind;

/// Most bytes of the trampoline's memory, which the plugin's `memory` budget does not count: the largest outputs of
/// one message (64 MiB) and the messages of one call fit. `trampoline.wat` declares the same number of pages, an odd
/// one, by which the limiter knows that memory.
pub(super) const TRAMPOLINE_MEMORY_MAX: usize = 2065 * 64 * 1024;

/// Most elements of one table: five times what the largest language runtimes declare.
pub(super) const TABLE_ELEMENTS_MAX: usize = 100_000;

/// Epochs from one look at a computing guest to the next.
const EPOCHS_BETWEEN_LOOKS: u64 = 1;

/// A look at a guest that has been computing for less than this, in nanoseconds, does not make it yield: the epoch
/// ended while it stood idle.
const YIELD_AFTER_NS: u64 = 1_000_000;

/// The clocks of one instance. Atomics, because the call that runs the guest and the timer around it both look;
/// nobody contends for them.
pub(super) struct Watch {
    origin: Instant,
    allowance: Arc<Allowance>,
    /// How much time the message under way was given.
    timeout_ns: AtomicU64,
    /// When the message under way has had its time, since `origin`.
    deadline_ns: AtomicU64,
    /// CPU time of polls that are over.
    cpu_ns: AtomicU64,
    /// Thread CPU time at the start of the poll under way.
    poll_cpu_ns: AtomicU64,
    /// When the poll under way began, since `origin`.
    poll_ns: AtomicU64,
    /// CPU time that had been used when the message under way was first looked at; `u64::MAX` before.
    baseline_ns: AtomicU64,
    metrics: Arc<PluginMetrics>,
}

impl Watch {
    pub(super) fn new(allowance: Arc<Allowance>, metrics: Arc<PluginMetrics>) -> Self {
        Self {
            origin: Instant::now(),
            timeout_ns: AtomicU64::new(allowance.timeout_ns()),
            allowance,
            deadline_ns: AtomicU64::new(FAR_NS),
            cpu_ns: AtomicU64::new(0),
            poll_cpu_ns: AtomicU64::new(0),
            poll_ns: AtomicU64::new(0),
            baseline_ns: AtomicU64::new(u64::MAX),
            metrics,
        }
    }

    /// A message (or a call of the lifecycle) starts now: its time and its CPU count from here. CPU time is a
    /// system call, so it is not asked for here but at the first look, which is at most an epoch later.
    pub(super) fn restart(&self, now: Instant) {
        let timeout_ns = self.allowance.timeout_ns();
        self.timeout_ns.store(timeout_ns, Ordering::Relaxed);
        self.deadline_ns.store(self.since_origin(now) + timeout_ns, Ordering::Relaxed);
        self.baseline_ns.store(u64::MAX, Ordering::Relaxed);
    }

    /// Nothing has a deadline until the next `restart`; CPU goes on being limited.
    pub(super) fn rest(&self) {
        self.deadline_ns.store(FAR_NS, Ordering::Relaxed);
        self.baseline_ns.store(u64::MAX, Ordering::Relaxed);
    }

    fn since_origin(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.origin).as_nanos() as u64
    }

    /// Polls `call` to its end, counting its CPU time and breaking it off when its message has had its time. The
    /// timer is armed only when the guest parks, so a call that is done at once costs none.
    pub(super) async fn guard<T>(
        &self,
        call: impl Future<Output = wasmtime::Result<T>>,
    ) -> wasmtime::Result<T> {
        let mut call = pin!(call);
        let mut timer = pin!(tokio::time::sleep(Duration::ZERO));
        let mut armed_ns = u64::MAX;
        future::poll_fn(|cx| {
            if let Poll::Ready(returned) = self.poll_counted(cx, |cx| call.as_mut().poll(cx)) {
                return Poll::Ready(returned);
            }
            loop {
                let deadline_ns = self.deadline_ns.load(Ordering::Relaxed);
                let deadline = self.origin + Duration::from_nanos(deadline_ns);
                let now = Instant::now();
                if now >= deadline {
                    return Poll::Ready(Err(self.timed_out()));
                }
                if armed_ns != deadline_ns {
                    timer.as_mut().reset(tokio::time::Instant::now() + (deadline - now));
                    armed_ns = deadline_ns;
                }
                if timer.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                // The timer has fired, but by tokio's clock and not yet by ours: arm it for what is left.
                armed_ns = u64::MAX;
            }
        })
        .await
    }

    fn poll_counted<T>(&self, cx: &mut Context<'_>, poll: impl FnOnce(&mut Context<'_>) -> T) -> T {
        let before = thread_cpu_ns();
        self.poll_cpu_ns.store(before, Ordering::Relaxed);
        self.poll_ns.store(self.since_origin(Instant::now()), Ordering::Relaxed);
        let polled = poll(cx);
        let used = thread_cpu_ns().saturating_sub(before);
        self.cpu_ns.fetch_add(used, Ordering::Relaxed);
        self.metrics.guest_cpu_ns.fetch_add(used, Ordering::Relaxed);
        polled
    }

    fn timed_out(&self) -> wasmtime::Error {
        let timeout = Duration::from_nanos(self.timeout_ns.load(Ordering::Relaxed));
        Broken::new(TrapKind::Timeout, format!("took longer than the budget's timeout of {timeout:?}")).into()
    }

    /// Looks at a guest that is computing: broken off when it has had its time or its CPU, else made to let others
    /// have the thread.
    fn look(&self) -> wasmtime::Result<UpdateDeadline> {
        let now_ns = self.since_origin(Instant::now());
        if now_ns >= self.deadline_ns.load(Ordering::Relaxed) {
            return Err(self.timed_out());
        }
        let poll_cpu_ns = thread_cpu_ns().saturating_sub(self.poll_cpu_ns.load(Ordering::Relaxed));
        let used_ns = self.cpu_ns.load(Ordering::Relaxed) + poll_cpu_ns;
        let baseline_ns = self.baseline_ns.load(Ordering::Relaxed);
        if baseline_ns == u64::MAX {
            self.baseline_ns.store(used_ns, Ordering::Relaxed);
        } else if used_ns - baseline_ns > self.allowance.cpu_ns() {
            let cpu = Duration::from_nanos(self.allowance.cpu_ns());
            let reason = format!("used more CPU than the budget's cpu of {cpu:?}");
            return Err(Broken::new(TrapKind::Cpu, reason).into());
        }
        if now_ns.saturating_sub(self.poll_ns.load(Ordering::Relaxed)) < YIELD_AFTER_NS {
            return Ok(UpdateDeadline::Continue(EPOCHS_BETWEEN_LOOKS));
        }
        Ok(UpdateDeadline::Yield(EPOCHS_BETWEEN_LOOKS))
    }
}

/// What happens to `store`'s guest when an epoch has ended while it computes.
pub(super) fn on_epoch(store: StoreContextMut<'_, Guest>) -> wasmtime::Result<UpdateDeadline> {
    store.data().watch.look()
}

/// CPU time of this thread in nanoseconds.
fn thread_cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// The memories and tables of one instance.
pub(super) struct MemoryLimit {
    budget: usize,
    /// Bytes of the plugin's own memories.
    used: usize,
    /// Bytes of the memory that looks like the trampoline's.
    trampoline: usize,
    /// Memories that look like the trampoline's.
    lookalikes: usize,
    /// Whether the trampoline's memory is told apart from the plugin's.
    apart: bool,
    /// Bytes that were asked for beyond the budget since the message began.
    refused: Option<usize>,
    /// Whether the trampoline asked for more than its memory may hold since the message began.
    overflowed: bool,
    metrics: Arc<PluginMetrics>,
}

impl MemoryLimit {
    /// `composed` says whether one memory of the instance is the trampoline's.
    pub(super) fn new(budget: usize, composed: bool, metrics: Arc<PluginMetrics>) -> Self {
        Self {
            budget,
            used: 0,
            trampoline: 0,
            lookalikes: 0,
            apart: composed,
            refused: None,
            overflowed: false,
            metrics,
        }
    }

    /// All memories exist. A plugin that declares a memory just like the trampoline's gets nothing by it: then
    /// both count.
    pub(super) fn instantiated(&mut self) {
        if self.apart && self.lookalikes != 1 {
            self.apart = false;
            self.used += std::mem::take(&mut self.trampoline);
        }
    }

    /// Whether less than an eighth of the budget is left.
    pub(super) fn is_nearly_used_up(&self) -> bool {
        self.used > self.budget - self.budget / 8
    }

    /// Forgets a refusal: a new message begins.
    pub(super) fn forget_refusal(&mut self) {
        (self.refused, self.overflowed) = (None, false);
    }

    /// Whether a message or its outputs were too large to cross the border.
    pub(super) fn overflowed(&self) -> bool {
        self.overflowed
    }

    /// What was asked for and refused since the message began, in words.
    pub(super) fn refusal(&self) -> Option<String> {
        let asked = self.refused?;
        let (asked, budget) = (units::show_size(asked as u64), units::show_size(self.budget as u64));
        Some(format!("asked for {asked} of memory, of the budget's {budget}"))
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let of_trampoline = self.apart && maximum == Some(TRAMPOLINE_MEMORY_MAX);
        // Growth beyond the memory's own maximum fails for a reason of the guest's, not of the budget's.
        if maximum.is_some_and(|maximum| desired > maximum) {
            self.overflowed |= of_trampoline;
            return Ok(false);
        }
        let growth = desired.saturating_sub(current);
        if of_trampoline {
            self.lookalikes += usize::from(current == 0);
            self.trampoline += growth;
        } else if self.used + growth > self.budget {
            self.refused = Some(self.used + growth);
            return Ok(false);
        } else {
            self.used += growth;
        }
        add(&self.metrics.guest_memory_bytes, growth as i64);
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS_MAX)
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        add(&self.metrics.guest_memory_bytes, -((self.used + self.trampoline) as i64));
    }
}

fn add(gauge: &AtomicI64, difference: i64) {
    gauge.fetch_add(difference, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 64 * 1024;

    fn limit(pages: usize) -> MemoryLimit {
        MemoryLimit::new(pages * PAGE, true, Arc::default())
    }

    #[test]
    fn growth_counts_over_all_memories_and_a_refusal_is_remembered() {
        let mut limit = limit(3);
        assert!(limit.memory_growing(0, 2 * PAGE, None).unwrap());
        assert!(limit.memory_growing(0, PAGE, Some(TRAMPOLINE_MEMORY_MAX)).unwrap());
        limit.instantiated();
        assert!(!limit.memory_growing(2 * PAGE, 4 * PAGE, None).unwrap());
        assert!(limit.refusal().is_some());
        assert!(limit.memory_growing(2 * PAGE, 3 * PAGE, None).unwrap());
        assert!(limit.memory_growing(PAGE, 90 * PAGE, Some(TRAMPOLINE_MEMORY_MAX)).unwrap());
        let metrics = limit.metrics.clone();
        assert_eq!(metrics.guest_memory_bytes.load(Ordering::Relaxed), 93 * PAGE as i64);
        drop(limit);
        assert_eq!(metrics.guest_memory_bytes.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_memory_that_poses_as_the_trampolines_counts() {
        let mut limit = limit(3);
        assert!(limit.memory_growing(0, PAGE, Some(TRAMPOLINE_MEMORY_MAX)).unwrap());
        assert!(limit.memory_growing(0, PAGE, Some(TRAMPOLINE_MEMORY_MAX)).unwrap());
        limit.instantiated();
        assert!(!limit.memory_growing(PAGE, 3 * PAGE, Some(TRAMPOLINE_MEMORY_MAX)).unwrap());
    }
}
