//! What is said in the log of spans that were not sent: at first at once, and then once in a while, with their number.

use std::time::Duration;

use tokio::time::Instant;

use crate::spans::Queue;

/// How often it is said. Who looks at the metrics knows sooner.
const SAY_INTERVAL: Duration = Duration::from_secs(60);

/// Spans that were not sent, as far as that is still to be said.
pub(super) struct Trouble {
    collector: String,
    queue: Queue,
    refused: u64,
    said_at: Option<Instant>,
    /// It has been said that the collector does not take spans, and not yet that it does again.
    is_told_of: bool,
}

impl Trouble {
    pub(super) fn new(collector: &str, queue: Queue) -> Self {
        Self { collector: collector.to_owned(), queue, refused: 0, said_at: None, is_told_of: false }
    }

    /// The collector has not taken so many spans.
    pub(super) fn refused(&mut self, spans: usize, error: &str) {
        self.refused += spans as u64;
        if self.is_time() {
            self.is_told_of = true;
            let dropped = self.take_dropped();
            tracing::warn!(
                collector = self.collector,
                error,
                dropped,
                "the collector does not take spans: they are dropped, and messages go on"
            );
        }
    }

    /// The collector has taken spans.
    pub(super) fn taken(&mut self) {
        if std::mem::take(&mut self.is_told_of) {
            let dropped = self.take_dropped();
            tracing::info!(collector = self.collector, dropped, "the collector takes spans again");
        } else if self.is_time() {
            self.say_dropped();
        }
    }

    /// Nothing more is sent, and so many spans are left.
    pub(super) fn end(mut self, left: usize) {
        self.refused += left as u64;
        self.say_dropped();
    }

    fn say_dropped(&mut self) {
        let dropped = self.take_dropped();
        if dropped > 0 {
            tracing::warn!(
                collector = self.collector,
                dropped,
                "spans were dropped: they came faster than the collector takes them; `telemetry.sample` makes them fewer"
            );
        }
    }

    fn take_dropped(&mut self) -> u64 {
        let dropped = std::mem::take(&mut self.refused) + self.queue.take_dropped();
        if dropped > 0 {
            self.said_at = Some(Instant::now());
        }
        dropped
    }

    fn is_time(&self) -> bool {
        self.said_at.is_none_or(|said_at| said_at.elapsed() >= SAY_INTERVAL)
    }
}
