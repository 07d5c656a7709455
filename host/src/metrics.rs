//! Every metric of a plugin, once: its name, its labels and where it is counted. Only atomics on the hot way;
//! histograms are filled a run at a time.

mod quantile;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::outcome::{Outcome, SwapResult, TrapKind};
pub use quantile::quantile;

/// Upper bounds of the time histograms' buckets, in seconds: from a no-op handler to the longest default timeout.
pub const SECONDS_BUCKETS: [f64; 20] = [
    0.000_001, 0.000_002, 0.000_005, 0.000_01, 0.000_05, 0.000_1, 0.000_5, 0.001, 0.002_5, 0.005, 0.01,
    0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 300.0,
];

/// What holds messages back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThrottledBy {
    /// No permit was due.
    Rate,
    /// Every worker was busy.
    Concurrency,
    /// The buffer was full, so Kafka waited.
    Buffer,
}

impl ThrottledBy {
    /// Every reason, in the order of the metric's series.
    pub const ALL: [Self; 3] = [Self::Rate, Self::Concurrency, Self::Buffer];

    /// The reason's word in the metric's label.
    pub fn word(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Concurrency => "concurrency",
            Self::Buffer => "buffer",
        }
    }
}

/// Observations by bucket, not cumulative; the last is of those above every bound.
pub type Buckets = [u64; SECONDS_BUCKETS.len() + 1];

/// Times, in buckets. Observed through a `LocalHistogram`, so that a run of messages costs one pass of additions.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; SECONDS_BUCKETS.len() + 1],
    sum_ns: AtomicU64,
}

impl Histogram {
    /// Adds what `local` has gathered, and empties it.
    pub fn add(&self, local: &mut LocalHistogram) {
        for (bucket, count) in self.buckets.iter().zip(&mut local.buckets) {
            if *count > 0 {
                bucket.fetch_add(std::mem::take(count), Ordering::Relaxed);
            }
        }
        self.sum_ns.fetch_add(std::mem::take(&mut local.sum_ns), Ordering::Relaxed);
    }

    /// Observations by bucket (the last is +Inf), not cumulative, and their sum in seconds.
    pub fn snapshot(&self) -> (Buckets, f64) {
        let buckets = std::array::from_fn(|i| self.buckets[i].load(Ordering::Relaxed));
        (buckets, Duration::from_nanos(self.sum_ns.load(Ordering::Relaxed)).as_secs_f64())
    }
}

/// Times of one run, before they are added to the plugin's.
#[derive(Debug, Default)]
pub struct LocalHistogram {
    buckets: Buckets,
    sum_ns: u64,
}

impl LocalHistogram {
    /// Notes one time in nanoseconds.
    pub fn observe(&mut self, ns: u64) {
        let seconds = ns as f64 / 1e9;
        let index =
            SECONDS_BUCKETS.iter().position(|bound| seconds <= *bound).unwrap_or(SECONDS_BUCKETS.len());
        self.buckets[index] += 1;
        self.sum_ns += ns;
    }
}

/// What is known of one assigned partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartitionGauges {
    /// Messages in Kafka that are not finished; none while the end of the partition is not known.
    pub lag_messages: Option<i64>,
    /// The offset that Kafka has confirmed last.
    pub committed_offset: Option<i64>,
    /// Messages that are finished beyond it and did not fit into its map: a crash would repeat them.
    pub left_out_of_map: u64,
}

/// All counters and gauges of one plugin.
#[derive(Debug)]
pub struct PluginMetrics {
    messages: [AtomicU64; Outcome::ALL.len()],
    traps: [AtomicU64; TrapKind::ALL.len()],
    throttled_ns: [AtomicU64; ThrottledBy::ALL.len()],
    swaps: [AtomicU64; SwapResult::ALL.len()],
    /// Time in `handle-message`.
    pub handle_seconds: Histogram,
    /// Time from being fetched to being started.
    pub wait_seconds: Histogram,
    /// Time in `handle-batch`.
    pub batch_seconds: Histogram,
    /// Messages being handled now.
    pub in_flight: AtomicI64,
    /// Messages in the buffer now.
    pub buffer_messages: AtomicU64,
    /// Bytes in the buffer now.
    pub buffer_bytes: AtomicU64,
    /// Lanes parked now.
    pub parked_lanes: AtomicU64,
    /// Attempts after the first.
    pub retries: AtomicU64,
    /// Dead letters that could not be written, each time.
    pub dead_letter_failures: AtomicU64,
    /// Partitions that are not read, because too much is behind messages that are not finished.
    pub held_partitions: AtomicU64,
    /// Messages that Kafka removed before they were handled.
    pub removed_messages: AtomicU64,
    /// Transactions that were committed.
    pub transactions_committed: AtomicU64,
    /// Transactions that were aborted.
    pub transactions_aborted: AtomicU64,
    /// Spans that the collector has.
    pub spans_exported: AtomicU64,
    /// Spans that it will never have.
    pub spans_dropped: AtomicU64,
    /// Instances alive.
    pub instances: AtomicI64,
    /// Linear memory of all instances.
    pub guest_memory_bytes: AtomicI64,
    /// Guest CPU time, in nanoseconds.
    pub guest_cpu_ns: AtomicU64,
    /// Assignments and revocations.
    pub rebalances: AtomicU64,
    /// Age of the oldest message that is not finished, in milliseconds; 0 when there is none.
    pub oldest_unfinished_ms: AtomicU64,
    /// The budget in force: messages at the same time.
    pub budget_concurrency: AtomicU64,
    /// The budget in force: starts a second, as the bits of an `f64`; infinity without a rate.
    pub budget_rate_bits: AtomicU64,
    digest: Mutex<String>,
    partitions: Mutex<BTreeMap<(String, i32), PartitionGauges>>,
}

impl Default for PluginMetrics {
    fn default() -> Self {
        Self {
            messages: Default::default(),
            traps: Default::default(),
            throttled_ns: Default::default(),
            swaps: Default::default(),
            handle_seconds: Histogram::default(),
            wait_seconds: Histogram::default(),
            batch_seconds: Histogram::default(),
            in_flight: AtomicI64::default(),
            buffer_messages: AtomicU64::default(),
            buffer_bytes: AtomicU64::default(),
            parked_lanes: AtomicU64::default(),
            retries: AtomicU64::default(),
            dead_letter_failures: AtomicU64::default(),
            held_partitions: AtomicU64::default(),
            removed_messages: AtomicU64::default(),
            transactions_committed: AtomicU64::default(),
            transactions_aborted: AtomicU64::default(),
            spans_exported: AtomicU64::default(),
            spans_dropped: AtomicU64::default(),
            instances: AtomicI64::default(),
            guest_memory_bytes: AtomicI64::default(),
            guest_cpu_ns: AtomicU64::default(),
            rebalances: AtomicU64::default(),
            oldest_unfinished_ms: AtomicU64::default(),
            budget_concurrency: AtomicU64::default(),
            budget_rate_bits: AtomicU64::new(f64::INFINITY.to_bits()),
            digest: Mutex::default(),
            partitions: Mutex::default(),
        }
    }
}

impl PluginMetrics {
    /// Counts messages that ended.
    pub fn count_outcome(&self, outcome: Outcome, messages: u64) {
        self.messages[outcome as usize].fetch_add(messages, Ordering::Relaxed);
    }

    /// Messages that ended so far.
    pub fn outcomes(&self, outcome: Outcome) -> u64 {
        self.messages[outcome as usize].load(Ordering::Relaxed)
    }

    /// Counts a guest that was broken off.
    pub fn count_trap(&self, kind: TrapKind) {
        self.traps[kind as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Guests broken off so far.
    pub fn traps(&self, kind: TrapKind) -> u64 {
        self.traps[kind as usize].load(Ordering::Relaxed)
    }

    /// Counts a swap that ended.
    pub fn count_swap(&self, result: SwapResult) {
        self.swaps[result as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Swaps that ended so far.
    pub fn swaps(&self, result: SwapResult) -> u64 {
        self.swaps[result as usize].load(Ordering::Relaxed)
    }

    /// Adds time during which messages that could have started did not.
    pub fn add_throttled(&self, by: ThrottledBy, time: Duration) {
        self.throttled_ns[by as usize].fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
    }

    /// Seconds of being held back so far.
    pub fn throttled_seconds(&self, by: ThrottledBy) -> f64 {
        Duration::from_nanos(self.throttled_ns[by as usize].load(Ordering::Relaxed)).as_secs_f64()
    }

    /// The running component's digest, `sha256:` and 64 hex digits; empty before it is loaded.
    pub fn digest(&self) -> String {
        self.digest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Another component runs from now on.
    pub fn set_digest(&self, digest: &str) {
        digest.clone_into(&mut self.digest.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Changes what is known of an assigned partition.
    pub fn update_partition(&self, topic: &str, partition: i32, update: impl FnOnce(&mut PartitionGauges)) {
        let mut partitions = self.partitions.lock().unwrap_or_else(PoisonError::into_inner);
        update(partitions.entry((topic.to_owned(), partition)).or_default());
    }

    /// Forgets a partition that is no longer ours: its series would lie.
    pub fn remove_partition(&self, topic: &str, partition: i32) {
        let mut partitions = self.partitions.lock().unwrap_or_else(PoisonError::into_inner);
        partitions.remove(&(topic.to_owned(), partition));
    }

    /// All assigned partitions.
    pub fn partitions(&self) -> BTreeMap<(String, i32), PartitionGauges> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
