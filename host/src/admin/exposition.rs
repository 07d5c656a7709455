//! The metrics as Prometheus reads them: each name and its help once, every plugin's series under it.

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, MetricEncoder, NoLabelSet,
    text::{encode_eof, encode_registry},
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use crate::metrics::{Histogram, PartitionGauges, PluginMetrics, SECONDS_BUCKETS, ThrottledBy};
use crate::outcome::{Outcome, SwapResult, TrapKind};
use crate::pipeline::control::Seat;

/// The two ways in which scrapers read metrics. They differ in what a counter is called where it is described.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Prometheus' own text: `# TYPE name_total counter`.
    Classic,
    /// `# TYPE name counter`, and an end that shows.
    OpenMetrics,
}

impl Format {
    /// The one that a client accepts which sends `accept`: Prometheus' own unless OpenMetrics is asked for by name.
    pub(super) fn of(accept: &str) -> Self {
        let ranges = accept.split(',').map(|range| range.split(';').next().unwrap_or_default().trim());
        let asked = |range: &str| range.eq_ignore_ascii_case("application/openmetrics-text");
        if ranges.into_iter().any(asked) { Self::OpenMetrics } else { Self::Classic }
    }

    /// The content type of an answer.
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// All metrics of all plugins, as they are now.
pub(super) fn text(seats: Arc<[Arc<Seat>]>, format: Format) -> Result<String, fmt::Error> {
    seats.iter().for_each(|seat| seat.refresh());
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Seats(seats)));
    let mut encoded = String::new();
    encode_registry(&mut encoded, &registry)?;
    let mut text = String::with_capacity(encoded.len() + 1024);
    for line in encoded.lines() {
        line_in(format, line, &mut text)?;
    }
    if format == Format::OpenMetrics {
        encode_eof(&mut text)?;
    }
    Ok(text)
}

/// Writes a line as readers of `format` know it. The encoder spells infinity as Rust does; and in Prometheus' own text
/// a counter is described under the name that its series have.
fn line_in(format: Format, line: &str, text: &mut String) -> fmt::Result {
    if let Some(series) = line.strip_suffix(" inf") {
        return writeln!(text, "{series} +Inf");
    }
    let described = line.strip_prefix("# HELP ").or_else(|| line.strip_prefix("# TYPE "));
    let name = described.and_then(|rest| rest.split(' ').next()).unwrap_or_default();
    let is_counter = METRICS.iter().any(|(other, _, kind, _)| *other == name && matches!(kind, Counter));
    match is_counter && format == Format::Classic {
        true => writeln!(text, "{}", line.replacen(name, &format!("{name}_total"), 1)),
        false => writeln!(text, "{line}"),
    }
}

#[derive(Debug)]
struct Seats(Arc<[Arc<Seat>]>);

type Encoded = Result<(), fmt::Error>;
/// The series of one plugin under one name.
type Series<'a> = &'a dyn Fn(&mut Family<'_>, &PluginMetrics) -> Encoded;

/// One name, and the plugin whose series are being written under it.
struct Family<'a> {
    encoder: MetricEncoder<'a>,
    plugin: &'a str,
}

impl Family<'_> {
    fn counter(&mut self, more: &[(&'static str, &str)], value: u64) -> Encoded {
        self.encoder
            .encode_family(&labels(self.plugin, more))?
            .encode_counter::<NoLabelSet, u64, u64>(&value, None)
    }

    fn seconds_counter(&mut self, more: &[(&'static str, &str)], value: f64) -> Encoded {
        self.encoder
            .encode_family(&labels(self.plugin, more))?
            .encode_counter::<NoLabelSet, f64, u64>(&value, None)
    }

    fn gauge(&mut self, more: &[(&'static str, &str)], value: f64) -> Encoded {
        self.encoder.encode_family(&labels(self.plugin, more))?.encode_gauge(&value)
    }

    fn histogram(&mut self, histogram: &Histogram) -> Encoded {
        let (counts, sum) = histogram.snapshot();
        let bounds = SECONDS_BUCKETS.iter().copied().chain([f64::INFINITY]);
        let buckets: Vec<_> = bounds.zip(counts).collect();
        self.encoder.encode_family(&labels(self.plugin, &[]))?.encode_histogram::<NoLabelSet>(
            sum,
            counts.iter().sum(),
            &buckets,
            None,
        )
    }
}

fn labels<'a>(plugin: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    std::iter::once(("plugin", plugin)).chain(more.iter().copied()).collect()
}

impl Collector for Seats {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Encoded {
        for (name, help, kind, series) in METRICS {
            let encoder = encoder.encode_descriptor(name, help, None, *kind)?;
            let mut family = Family { encoder, plugin: "" };
            for seat in self.0.iter() {
                family.plugin = &seat.plugin.name;
                series(&mut family, &seat.metrics)?;
            }
        }
        Ok(())
    }
}

fn int(value: &AtomicU64) -> f64 {
    value.load(Ordering::Relaxed) as f64
}

fn signed(value: &AtomicI64) -> f64 {
    value.load(Ordering::Relaxed) as f64
}

fn each_partition(
    family: &mut Family<'_>,
    metrics: &PluginMetrics,
    of: fn(PartitionGauges) -> Option<i64>,
) -> Encoded {
    for ((topic, partition), gauges) in metrics.partitions() {
        if let Some(value) = of(gauges) {
            family.gauge(&[("topic", &topic), ("partition", &partition.to_string())], value as f64)?;
        }
    }
    Ok(())
}

use MetricType::{Counter, Gauge, Histogram as Times};

/// Name (a counter's without its `_total`), help, type, series.
const METRICS: &[(&str, &str, MetricType, Series<'static>)] = &[
    ("gristmill_messages", "Messages by what became of them", Counter, &|family, metrics| {
        Outcome::ALL.iter().try_for_each(|o| family.counter(&[("outcome", o.word())], metrics.outcomes(*o)))
    }),
    ("gristmill_handle_seconds", "Time in handle-message", Times, &|family, m| {
        family.histogram(&m.handle_seconds)
    }),
    ("gristmill_wait_seconds", "Time from fetched to started", Times, &|family, m| {
        family.histogram(&m.wait_seconds)
    }),
    ("gristmill_batch_seconds", "Time in handle-batch", Times, &|family, m| {
        family.histogram(&m.batch_seconds)
    }),
    ("gristmill_in_flight", "Messages being handled", Gauge, &|f, m| f.gauge(&[], signed(&m.in_flight))),
    ("gristmill_buffer_messages", "Messages in the buffer", Gauge, &|f, m| {
        f.gauge(&[], int(&m.buffer_messages))
    }),
    ("gristmill_buffer_bytes", "Bytes in the buffer", Gauge, &|f, m| f.gauge(&[], int(&m.buffer_bytes))),
    ("gristmill_parked_lanes", "Lanes held by a message that cannot be finished", Gauge, &|f, m| {
        f.gauge(&[], int(&m.parked_lanes))
    }),
    ("gristmill_retries", "Attempts after a message's first", Counter, &|f, m| {
        f.counter(&[], m.retries.load(Ordering::Relaxed))
    }),
    (
        "gristmill_dead_letter_failures",
        "Dead letters that could not be written, each time",
        Counter,
        &|f, m| f.counter(&[], m.dead_letter_failures.load(Ordering::Relaxed)),
    ),
    (
        "gristmill_held_partitions",
        "Partitions that are not read because too much is behind messages that are not finished",
        Gauge,
        &|f, m| f.gauge(&[], int(&m.held_partitions)),
    ),
    (
        "gristmill_removed_messages",
        "Messages that Kafka removed before they were handled",
        Counter,
        &|f, m| f.counter(&[], m.removed_messages.load(Ordering::Relaxed)),
    ),
    (
        "gristmill_transactions",
        "Transactions of exactly-once plugins, by how they ended",
        Counter,
        &|f, m| {
            f.counter(&[("result", "committed")], m.transactions_committed.load(Ordering::Relaxed))?;
            f.counter(&[("result", "aborted")], m.transactions_aborted.load(Ordering::Relaxed))
        },
    ),
    ("gristmill_budget_concurrency", "Messages that may be handled at the same time", Gauge, &|f, m| {
        f.gauge(&[], int(&m.budget_concurrency))
    }),
    ("gristmill_budget_rate", "Starts of handle-message a second, +Inf without a rate", Gauge, &|f, m| {
        f.gauge(&[], f64::from_bits(m.budget_rate_bits.load(Ordering::Relaxed)))
    }),
    ("gristmill_throttled_seconds", "Time during which messages were held back", Counter, &|family, m| {
        let mut one =
            |by: &ThrottledBy| family.seconds_counter(&[("by", by.word())], m.throttled_seconds(*by));
        ThrottledBy::ALL.iter().try_for_each(&mut one)
    }),
    ("gristmill_lag_messages", "Messages in Kafka that are not finished", Gauge, &|family, m| {
        each_partition(family, m, |gauges| gauges.lag_messages)
    }),
    ("gristmill_committed_offset", "Offset that Kafka has confirmed last", Gauge, &|family, m| {
        each_partition(family, m, |gauges| gauges.committed_offset)
    }),
    (
        "gristmill_unmapped_messages",
        "Messages finished out of order that did not fit into the commit's metadata: a crash would repeat them",
        Gauge,
        &|f, m| {
            f.gauge(&[], m.partitions().values().map(|gauges| gauges.left_out_of_map).sum::<u64>() as f64)
        },
    ),
    (
        "gristmill_oldest_unfinished_seconds",
        "Age of the oldest message that is not finished",
        Gauge,
        &|f, m| f.gauge(&[], int(&m.oldest_unfinished_ms) / 1000.0),
    ),
    ("gristmill_instances", "Instances alive", Gauge, &|f, m| f.gauge(&[], signed(&m.instances))),
    ("gristmill_guest_memory_bytes", "Linear memory of all instances", Gauge, &|f, m| {
        f.gauge(&[], signed(&m.guest_memory_bytes))
    }),
    ("gristmill_guest_cpu_seconds", "CPU time in guests", Counter, &|f, m| {
        f.seconds_counter(&[], Duration::from_nanos(m.guest_cpu_ns.load(Ordering::Relaxed)).as_secs_f64())
    }),
    ("gristmill_traps", "Guests broken off, by how", Counter, &|family, m| {
        TrapKind::ALL.iter().try_for_each(|kind| family.counter(&[("kind", kind.word())], m.traps(*kind)))
    }),
    ("gristmill_swaps", "Swaps of components, by how they ended", Counter, &|family, m| {
        SwapResult::ALL.iter().try_for_each(|r| family.counter(&[("result", r.word())], m.swaps(*r)))
    }),
    ("gristmill_spans_exported", "Spans that the collector has taken", Counter, &|f, m| {
        f.counter(&[], m.spans_exported.load(Ordering::Relaxed))
    }),
    ("gristmill_spans_dropped", "Spans that the collector will never have", Counter, &|f, m| {
        f.counter(&[], m.spans_dropped.load(Ordering::Relaxed))
    }),
    ("gristmill_generation_info", "The running component", Gauge, &|family, m| {
        family.gauge(&[("digest", &m.digest())], 1.0)
    }),
    ("gristmill_rebalances", "Assignments and revocations", Counter, &|f, m| {
        f.counter(&[], m.rebalances.load(Ordering::Relaxed))
    }),
];
