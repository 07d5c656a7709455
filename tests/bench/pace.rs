//! (e): whether starts keep to the rate. Each start is observed by the guest itself, which sends the time of it.

use std::time::Duration;

use serde_json::json;

use super::ground::{Ground, MILLION, PARTITIONS, PLUGIN, Setup, let_pass};
use super::report::{Report, Target, quantile};
use crate::world::kafka::{Isolation, Kafka};

/// Starts a second. The burst is 1.
const RATES: [f64; 3] = [11.0, 100.0, 5_000.0];

const BURST: f64 = 1.0;

/// How long starts are observed, in seconds.
const OBSERVED_S: f64 = 10.0;

/// What the host promises to stay within: how far a window may be off, in seconds.
const LENIENCE_S: f64 = 0.005;

pub(crate) fn measure(ground: &Ground, report: &mut Report) {
    ground.compile("stamp");
    for rate in RATES {
        let starts = observe(ground, rate);
        show(rate, &starts, report);
    }
}

/// The starts of the first `OBSERVED_S` seconds, in seconds since the first, in order.
fn observe(ground: &Ground, rate: f64) -> Vec<f64> {
    let output = Kafka::unique("stamps");
    ground.kafka.create_topic(&output, PARTITIONS);
    let (keys, budget) = (format!("output = \"{output}\""), format!("rate = \"{rate}/s\"\nbuffer = 1000"));
    let setup = Setup { guest: "stamp", topic: MILLION, keys: &keys, budget: &budget, ..Setup::default() };
    let host = ground.site(&setup).start();
    host.wait_ready();
    host.wait_handled(PLUGIN, 1);
    let_pass(Duration::from_secs_f64(OBSERVED_S));
    assert_eq!(host.stop(), 0);
    let mut stamps = stamps(&ground.kafka, &output);
    stamps.sort_unstable();
    let first = stamps.first().copied().expect("something was handled");
    let seconds = stamps.iter().map(|stamp| (stamp - first) as f64 / 1e9);
    seconds.take_while(|seconds| *seconds <= OBSERVED_S).collect()
}

/// What the guest sent, in nanoseconds since the Unix epoch.
pub(crate) fn stamps(kafka: &Kafka, topic: &str) -> Vec<u64> {
    let stored = kafka.consume_all(topic, Isolation::ReadCommitted);
    stored.iter().map(|stored| stored.text().parse().expect("nanoseconds")).collect()
}

/// Most starts in any window of `window` seconds.
fn most_in(starts: &[f64], window: f64) -> usize {
    let mut first = 0;
    let mut most = 0;
    for (last, start) in starts.iter().enumerate() {
        while start - starts[first] >= window {
            first += 1;
        }
        most = most.max(last + 1 - first);
    }
    most
}

/// By how many starts the worst of all windows, of any length and at any place, is above what is promised; below 0 is
/// within. A window from start i to start j holds j - i + 1 and is as long as the time between the two.
fn worst_excess(starts: &[f64], rate: f64) -> f64 {
    let promised = rate * LENIENCE_S + BURST;
    let mut least_before = f64::INFINITY;
    let mut worst = f64::NEG_INFINITY;
    for (index, start) in starts.iter().enumerate() {
        let ahead = index as f64 - rate * start;
        least_before = least_before.min(ahead);
        worst = worst.max(ahead + 1.0 - least_before - promised);
    }
    worst
}

fn show(rate: f64, starts: &[f64], report: &mut Report) {
    let last = starts.last().copied().unwrap_or_default();
    let achieved = (starts.len().saturating_sub(1)) as f64 / last.max(f64::MIN_POSITIVE);
    let off_percent = (achieved / rate - 1.0).abs() * 100.0;
    let (second, bound) = (most_in(starts, 1.0), rate * (1.0 + LENIENCE_S) + BURST);
    let excess = worst_excess(starts, rate);
    let spacings: Vec<f64> = starts.windows(2).map(|pair| (pair[1] - pair[0]) * 1e3).collect();
    let [p1, median, p99] = [0.01, 0.5, 0.99].map(|share| quantile(&spacings, share));
    let figure = format!("{achieved:.2}/s, {off_percent:.2} % off");
    report.judged(
        "e",
        format!("{rate}/s over {OBSERVED_S} s"),
        figure,
        Target::at_most(off_percent, 1.0, "% off"),
    );
    report.judged(
        "e",
        "  most starts in a sliding second",
        second.to_string(),
        Target::at_most(second as f64, bound, ""),
    );
    report.judged(
        "e",
        "  worst window of any length, beside its bound",
        format!("{excess:+.2}"),
        Target::at_most(excess, 0.0, ""),
    );
    report.line("e", "  spacing p1, median, p99", format!("{p1:.3}, {median:.3}, {p99:.3} ms"));
    report.raw(
        format!("e_{rate}"),
        json!({
            "starts": starts.len(), "achieved_per_s": achieved, "most_in_a_second": second,
            "bound_of_a_second": bound, "worst_window_excess": excess,
            "spacing_ms": { "p1": p1, "median": median, "p99": p99 },
        }),
    );
}
