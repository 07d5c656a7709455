//! What advice is given from.

/// The figures of one plugin, now and over the last while with one and the same budget.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// How long the last while was.
    pub seconds: f64,
    /// Whether the plugin takes and starts messages as its budget permits: running, and not paused.
    pub is_working: bool,
    /// Whether messages are handled one after the other by key or by partition.
    pub is_ordered: bool,
    /// Whether the rate is shared with other hosts, so that what is seen here is a part of it.
    pub is_rate_shared: bool,
    /// Whether batches were handled: they take time of the workers that is not counted here.
    pub has_batches: bool,
    /// Whether there is a rate.
    pub has_rate: bool,
    /// Messages at the same time.
    pub concurrency: u64,
    /// Messages in Kafka that are not finished, now.
    pub lag: Option<i64>,
    /// The same at the beginning.
    pub lag_before: Option<i64>,
    /// Calls of `handle-message`.
    pub calls: u64,
    /// Seconds that they took together.
    pub call_seconds: f64,
    /// Attempts after a message's first.
    pub retries: u64,
    /// Messages that were handled.
    pub handled: u64,
    /// Messages that were dead-lettered or skipped.
    pub dropped: u64,
    /// Messages that were parked.
    pub parked: u64,
    /// Dead letters that could not be written, each time.
    pub dead_letter_failures: u64,
    /// Seconds for which messages waited for the rate.
    pub rate_seconds: f64,
    /// Seconds for which they waited for a worker.
    pub concurrency_seconds: f64,
    /// Seconds for which Kafka waited for room in the buffer.
    pub buffer_seconds: f64,
    /// Lanes that are parked, now.
    pub parked_lanes: u64,
    /// Partitions that are not read, now, because too much is behind messages that are not finished.
    pub held_partitions: u64,
}

impl Figures {
    /// Messages that Kafka does not count in the lag any more.
    pub(super) fn finished(&self) -> f64 {
        (self.handled + self.dropped) as f64
    }
}
