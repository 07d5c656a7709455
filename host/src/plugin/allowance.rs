//! What an instance may use, as it is now: an operator changes it while instances live. Time and CPU hold for the next
//! message, memory for the next instance.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crate::config::Budget;

/// Farthest deadline in nanoseconds, about 30 years: what tokio's timer can still represent.
pub(super) const FAR_NS: u64 = 1_000_000_000_000_000_000;

/// The part of a budget that instances keep to.
#[derive(Debug)]
pub(super) struct Allowance {
    timeout_ns: AtomicU64,
    cpu_ns: AtomicU64,
    memory: AtomicUsize,
}

impl Allowance {
    pub(super) fn of(budget: &Budget) -> Self {
        let allowance =
            Self { timeout_ns: AtomicU64::new(0), cpu_ns: AtomicU64::new(0), memory: AtomicUsize::new(0) };
        allowance.change(budget);
        allowance
    }

    /// From now on `budget` holds.
    pub(super) fn change(&self, budget: &Budget) {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(FAR_NS).min(FAR_NS);
        self.timeout_ns.store(nanos(budget.timeout), Ordering::Relaxed);
        self.cpu_ns.store(nanos(budget.cpu), Ordering::Relaxed);
        self.memory.store(budget.memory, Ordering::Relaxed);
    }

    /// Wall clock for one message.
    pub(super) fn timeout_ns(&self) -> u64 {
        self.timeout_ns.load(Ordering::Relaxed)
    }

    /// CPU for one message.
    pub(super) fn cpu_ns(&self) -> u64 {
        self.cpu_ns.load(Ordering::Relaxed)
    }

    /// Bytes of linear memory of one instance.
    pub(super) fn memory(&self) -> usize {
        self.memory.load(Ordering::Relaxed)
    }
}
