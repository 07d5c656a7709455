//! Spans: what is told of each attempt at a message whose trace is recorded, and the queue in which that waits for
//! `telemetry` to send it.
//!
//! The queue is bounded and nobody waits for room in it: a span that finds none is dropped and counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::mpsc;

use crate::ack::Delivery;
use crate::config;
use crate::message::{MessageRef, Position};
use crate::metrics::PluginMetrics;
use crate::outcome::{Failure, Outcome};
use crate::trace::{Attempt, Context, Incoming, Share, TRACESTATE};

/// Spans that wait to be sent, of all plugins: some seconds' worth of a busy host, and about 5 MB when it is full.
const QUEUE_MAX: usize = 8_192;

/// Bytes of a reason's first line that are told.
const REASON_BYTES_MAX: usize = 1_024;

/// Bytes of a key that is told; a longer one is a document and no key.
const KEY_BYTES_MAX: usize = 128;

/// Bytes of a `tracestate` that is told; the specification has everybody keep 512. What is passed on is not shortened.
const TRACESTATE_BYTES_MAX: usize = 512;

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Became {
    /// The message's outcome.
    Outcome(Outcome),
    /// It failed, and another one comes after this time.
    Retried(Duration),
    /// It counts for nothing, and the message is handled again.
    GivenBack,
}

/// Whose spans they are.
#[derive(Debug)]
pub struct Origin {
    /// The plugin's name.
    pub plugin: Arc<str>,
    /// Its consumer group.
    pub group: String,
    /// Where sent and dropped spans are counted.
    pub metrics: Arc<PluginMetrics>,
}

/// One attempt at one message, as it is told.
#[derive(Debug)]
pub struct Span {
    /// Whose it is.
    pub origin: Arc<Origin>,
    /// The attempt itself.
    pub attempt: Attempt,
    /// Which attempt at the message it was, from 1.
    pub number: u32,
    /// The message.
    pub position: Position,
    /// Its key, if keys are shown and it is a short text.
    pub key: Option<String>,
    /// It has no payload.
    pub is_tombstone: bool,
    /// What it came with for tracing systems.
    pub tracestate: String,
    /// From being fetched to the start of `handle-message`.
    pub wait: Duration,
    /// What became of it.
    pub became: Became,
    /// When that was clear, on the clock of `started_at`.
    pub ended_at: Instant,
    /// The same on the wall's.
    pub ended_at_wall: SystemTime,
}

/// Where spans of all plugins go.
#[derive(Clone, Debug)]
pub struct Queue {
    sender: mpsc::Sender<Span>,
    dropped: Arc<AtomicU64>,
    share: Share,
    keys: bool,
}

impl Queue {
    /// A queue by these settings, and its other end.
    pub fn new(settings: &config::Telemetry) -> (Self, mpsc::Receiver<Span>) {
        let (sender, receiver) = mpsc::channel(QUEUE_MAX);
        let (share, keys) = (Share(settings.sample), settings.keys);
        (Self { sender, dropped: Arc::default(), share, keys }, receiver)
    }

    /// The same for one plugin.
    pub fn of(&self, plugin: &config::Plugin, metrics: Arc<PluginMetrics>) -> Spans {
        let origin = Origin { plugin: plugin.name.clone(), group: plugin.group.clone(), metrics };
        Spans { queue: self.clone(), origin: Arc::new(origin) }
    }

    /// Takes the number of spans that found no room since it was asked for last.
    pub fn take_dropped(&self) -> u64 {
        self.dropped.swap(0, Ordering::Relaxed)
    }
}

/// The spans of one plugin.
#[derive(Debug)]
pub struct Spans {
    queue: Queue,
    origin: Arc<Origin>,
}

impl Spans {
    /// An attempt at a message has been made: `handle-message` started at `started_at` and took `handle_ns`. Whether its
    /// trace is recorded its headers say, or the attempt before, or else the settings.
    pub fn begin(
        &self,
        delivery: &mut Delivery,
        (started_at, handle_ns): (Instant, u64),
        component: impl FnOnce() -> Arc<str>,
    ) -> Option<Span> {
        // One that is not over went into a batch that never came to be.
        let unfinished = self.end(delivery, Became::GivenBack);
        let before = delivery.trace.take().map(|attempt| attempt.next());
        let incoming = incoming(delivery.message()).map(|incoming| incoming.context);
        let parent = incoming.or(before);
        let context = parent.map_or_else(|| Context::begin(self.queue.share), Context::child);
        if context.is_sampled() {
            delivery.trace = Some(Box::new(Attempt {
                context,
                parent: parent.map(|parent| parent.span),
                parent_is_remote: incoming.is_some(),
                started_at,
                handle_ns,
                batched_at: None,
                component: component(),
                failure: None,
                is_over: false,
            }));
        }
        unfinished
    }

    /// It is clear what became of a message's attempt. Returns what is to be told of it, if it is recorded.
    pub fn end(&self, delivery: &mut Delivery, became: Became) -> Option<Span> {
        let attempt = delivery.trace.as_mut().filter(|attempt| !attempt.is_over)?;
        attempt.is_over = true;
        let attempt = Attempt::clone(attempt);
        let message = delivery.message();
        let key = message.key().filter(|key| self.queue.keys && key.len() <= KEY_BYTES_MAX);
        Some(Span {
            origin: self.origin.clone(),
            number: delivery.attempt(),
            position: message.position(),
            key: key.and_then(|key| std::str::from_utf8(key).ok()).map(str::to_owned),
            is_tombstone: message.payload().is_none(),
            tracestate: tracestate(message),
            wait: attempt.started_at.saturating_duration_since(delivery.fetched_at()),
            attempt,
            became,
            ended_at: Instant::now(),
            ended_at_wall: SystemTime::now(),
        })
    }

    /// Puts spans into the queue, as far as there is room.
    pub fn tell(&self, spans: impl IntoIterator<Item = Span>) {
        for span in spans {
            if self.queue.sender.try_send(span).is_err() {
                self.origin.metrics.spans_dropped.fetch_add(1, Ordering::Relaxed);
                self.queue.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// The attempt under way has failed.
pub fn fail(delivery: &mut Delivery, failure: &Failure) {
    if let Some(attempt) = &mut delivery.trace {
        attempt.failure = Some((kind(failure), first_line(&failure.to_string())));
    }
}

/// The message of the attempt under way has been put into a batch.
pub fn batch(delivery: &mut Delivery) {
    if let Some(attempt) = &mut delivery.trace {
        attempt.batched_at = Some(Instant::now());
    }
}

/// What a message's headers say of its trace. Without headers nothing is looked for.
pub fn incoming(message: MessageRef<'_>) -> Option<Incoming<'_>> {
    let headers = message.headers();
    if headers.len() == 0 {
        return None;
    }
    Incoming::find(headers.map(|header| (header.name, header.value)))
}

/// What the message came with for tracing systems, in one line. Of one that has no `traceparent` it means nothing.
fn tracestate(message: MessageRef<'_>) -> String {
    let values =
        message.headers().filter(|header| header.name == TRACESTATE).filter_map(|header| header.value);
    let values: Vec<&str> = values.filter_map(|value| std::str::from_utf8(value).ok()).collect();
    let whole = values.join(",");
    let is_told = whole.len() <= TRACESTATE_BYTES_MAX && !whole.is_empty() && incoming(message).is_some();
    if is_told { whole } else { String::new() }
}

/// What kind of failure it was, in one word.
fn kind(failure: &Failure) -> &'static str {
    match failure {
        Failure::Retry { .. } => "retry",
        Failure::Reject { .. } => "reject",
        Failure::Trap { kind, .. } => kind.word(),
        Failure::Output { .. } => "output",
    }
}

fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line[..line.floor_char_boundary(REASON_BYTES_MAX)].to_owned()
}

#[cfg(test)]
mod tests;
