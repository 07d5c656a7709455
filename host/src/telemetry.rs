//! Sends spans to a collector, by OTLP over HTTP, on a thread and runtime of its own: a collector that is slow or away
//! delays no message. What it does not take is dropped, counted, and told in the log once in a while.

mod collector;
mod otel;
mod trouble;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc as std_mpsc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::config;
use crate::metrics::PluginMetrics;
use crate::shutdown::{self, Signal, Trigger};
use crate::spans::{Queue, Span};
use collector::Collector;
use trouble::Trouble;

/// Most spans of one request: some 300 kB, which every collector takes.
const BATCH_MAX: usize = 512;

/// How long spans wait for others to be sent with: short for who looks on, and few requests for a host with little to do.
const BATCH_DELAY: Duration = Duration::from_secs(1);

/// How long the host waits at its end for spans to be sent.
const FLUSH_LIMIT: Duration = Duration::from_secs(5);

/// What sends spans, while the host runs.
#[derive(Debug)]
pub struct Telemetry {
    stop: Trigger,
    stopped: std_mpsc::Receiver<()>,
}

/// Starts the thread that sends spans, and returns the queue that it empties. That nobody listens at the collector's address
/// is no error: it may come.
///
/// # Errors
///
/// When the machine has no certificates to trust, or refuses a thread.
pub fn start(settings: &config::Telemetry) -> anyhow::Result<(Telemetry, Queue)> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .thread_name("telemetry")
        .enable_all()
        .build()
        .context("failed to start the telemetry runtime")?;
    let collector = Collector::new(settings)?;
    let (queue, waiting) = Queue::new(settings);
    let (stop, stopping) = shutdown::channel();
    let (tell, stopped) = std_mpsc::channel();
    let trouble = Trouble::new(&settings.url, queue.clone());
    std::thread::Builder::new()
        .name("telemetry".to_owned())
        .spawn(move || {
            runtime.block_on(send_all(waiting, collector, trouble, stopping));
            // A name that is still being looked up must not hold up the end.
            runtime.shutdown_background();
            // Whoever wanted to know may have had no more patience.
            let _ = tell.send(());
        })
        .context("failed to start the telemetry thread")?;
    tracing::info!(collector = settings.url, sample = settings.sample, "spans are sent");
    Ok((Telemetry { stop, stopped }, queue))
}

impl Telemetry {
    /// Sends what waits, within a bound, and ends. Call it when all plugins have ended, where a thread may be held.
    pub fn finish(self) {
        self.stop.pull();
        // It keeps to the bound itself; a little more, so that it can say what it could not send.
        let _ = self.stopped.recv_timeout(FLUSH_LIMIT + Duration::from_millis(500));
    }
}

/// Sends spans until the end, and then what is left, within a bound.
async fn send_all(
    mut waiting: mpsc::Receiver<Span>,
    collector: Collector,
    mut trouble: Trouble,
    mut stopping: Signal,
) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    let mut end = stopping.clone();
    let sending = async {
        while gather(&mut waiting, &mut batch, &mut stopping).await {
            send(&collector, &mut trouble, &mut batch).await;
        }
    };
    let too_late = async {
        end.wait().await;
        tokio::time::sleep(FLUSH_LIMIT).await;
    };
    tokio::select! {
        () = sending => {}
        () = too_late => {}
    }
    while let Ok(span) = waiting.try_recv() {
        batch.push(span);
    }
    count(&batch, |metrics| &metrics.spans_dropped);
    trouble.end(batch.len());
}

/// Waits for spans: for the first as long as it takes, for others a little; at the end for none. False when there will
/// be no more.
async fn gather(waiting: &mut mpsc::Receiver<Span>, batch: &mut Vec<Span>, stopping: &mut Signal) -> bool {
    let arrive = async {
        let mut received = waiting.recv_many(batch, BATCH_MAX).await;
        let deadline = Instant::now() + BATCH_DELAY;
        while received > 0 && batch.len() < BATCH_MAX {
            let more = waiting.recv_many(batch, BATCH_MAX - batch.len());
            received = tokio::time::timeout_at(deadline, more).await.unwrap_or(0);
        }
    };
    tokio::select! {
        () = arrive => {}
        () = stopping.wait() => {
            waiting.close();
            waiting.recv_many(batch, BATCH_MAX - batch.len()).await;
        }
    }
    !batch.is_empty()
}

/// Sends a batch, and empties it whatever becomes of it. Interrupted, it leaves the batch as it was: not sent.
async fn send(collector: &Collector, trouble: &mut Trouble, batch: &mut Vec<Span>) {
    match collector.take(batch).await {
        Ok(()) => {
            count(batch, |metrics| &metrics.spans_exported);
            trouble.taken();
        }
        Err(error) => {
            count(batch, |metrics| &metrics.spans_dropped);
            trouble.refused(batch.len(), &error);
        }
    }
    batch.clear();
}

fn count(spans: &[Span], counter: fn(&PluginMetrics) -> &AtomicU64) {
    for span in spans {
        counter(&span.origin.metrics).fetch_add(1, Ordering::Relaxed);
    }
}
