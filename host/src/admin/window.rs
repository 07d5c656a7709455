//! The last minute of one plugin: what its counters said once a second, and what follows from that. It has no clock of
//! its own.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crate::advice::{self, Figures};
use crate::api::{Advice, Quantiles};
use crate::config::{Budget, Order, Scope};
use crate::metrics::{Buckets, PluginMetrics, ThrottledBy, quantile};
use crate::outcome::Outcome;
use crate::pipeline::control::Seat;

/// How far the window reaches back.
const SPAN: Duration = Duration::from_secs(60);

/// Most samples that are kept, whatever the clock does: two beyond one a second. Each has 450 bytes.
const SAMPLES_MAX: usize = 62;

/// What the counters said at one time.
#[derive(Clone, Debug)]
struct Sample {
    at: Instant,
    outcomes: [u64; Outcome::ALL.len()],
    handle: (Buckets, f64),
    wait: Buckets,
    batches: u64,
    retries: u64,
    dead_letter_failures: u64,
    throttled: [f64; ThrottledBy::ALL.len()],
    lag: Option<i64>,
}

/// Under what the figures came about. When it changes, trends begin anew: what was seen before says nothing of what is
/// now.
#[derive(Clone, Debug, PartialEq)]
struct Ground {
    budget: Budget,
    word: &'static str,
    digest: String,
    rebalances: u64,
    knows_lag: bool,
}

/// What the last minute says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Recent {
    pub(super) handled_per_second: f64,
    pub(super) handle: Quantiles,
    pub(super) wait: Quantiles,
    pub(super) advice: Vec<Advice>,
}

/// The samples of one plugin.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// The counters that were looked at: a plugin that goes and comes again counts anew.
    of: Option<Arc<PluginMetrics>>,
    samples: VecDeque<Sample>,
    ground: Option<(Ground, Instant)>,
}

impl Window {
    /// Looks at the counters at `now`, and says what the window tells by now.
    pub(super) fn look(&mut self, seat: &Seat, now: Instant) -> Recent {
        if !self.of.as_ref().is_some_and(|metrics| Arc::ptr_eq(metrics, &seat.metrics)) {
            *self = Self { of: Some(seat.metrics.clone()), ..Self::default() };
        }
        let sample = Sample::take(&seat.metrics, now);
        let ground = Ground {
            budget: seat.budget(),
            word: seat.word(),
            digest: seat.metrics.digest(),
            rebalances: seat.metrics.rebalances.load(Relaxed),
            knows_lag: sample.lag.is_some(),
        };
        let since = match self.ground.take() {
            Some((before, since)) if before == ground => since,
            _ => now,
        };
        let is_old = |sample: &Sample| now.saturating_duration_since(sample.at) > SPAN;
        while self.samples.len() >= SAMPLES_MAX || self.samples.front().is_some_and(is_old) {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
        let advice = self.figures(seat, &ground, since).map(|figures| advice::advise(&figures));
        self.ground = Some((ground, since));
        self.recent(advice.unwrap_or_default())
    }

    fn recent(&self, advice: Vec<Advice>) -> Recent {
        let (Some(first), Some(last)) = (self.samples.front(), self.samples.back()) else {
            return Recent::default();
        };
        let before = self.samples.iter().nth_back(1).unwrap_or(last);
        Recent {
            handled_per_second: a_second(last.handled() - before.handled(), last.at - before.at),
            handle: quantiles(&first.handle.0, &last.handle.0),
            wait: quantiles(&first.wait, &last.wait),
            advice,
        }
    }

    /// The figures since the ground is what it is.
    fn figures(&self, seat: &Seat, ground: &Ground, since: Instant) -> Option<Figures> {
        let first = self.samples.iter().find(|sample| sample.at >= since)?;
        let last = self.samples.back()?;
        let throttled =
            |by: ThrottledBy| (last.throttled[by as usize] - first.throttled[by as usize]).max(0.0);
        let ended = |outcome: Outcome| last.outcomes[outcome as usize] - first.outcomes[outcome as usize];
        let budget = &ground.budget;
        Some(Figures {
            seconds: (last.at - first.at).as_secs_f64(),
            is_working: ground.word == "running",
            is_ordered: seat.plugin.order != Order::None,
            is_rate_shared: budget.scope == Scope::Group,
            has_batches: last.batches > first.batches,
            has_rate: budget.rate.is_some(),
            concurrency: budget.concurrency as u64,
            lag: last.lag,
            lag_before: first.lag,
            calls: last.handle.0.iter().sum::<u64>() - first.handle.0.iter().sum::<u64>(),
            call_seconds: (last.handle.1 - first.handle.1).max(0.0),
            retries: last.retries - first.retries,
            handled: ended(Outcome::Handled),
            dropped: ended(Outcome::DeadLettered) + ended(Outcome::Skipped),
            parked: ended(Outcome::Parked),
            dead_letter_failures: last.dead_letter_failures - first.dead_letter_failures,
            rate_seconds: throttled(ThrottledBy::Rate),
            concurrency_seconds: throttled(ThrottledBy::Concurrency),
            buffer_seconds: throttled(ThrottledBy::Buffer),
            parked_lanes: seat.metrics.parked_lanes.load(Relaxed),
            held_partitions: seat.metrics.held_partitions.load(Relaxed),
        })
    }
}

impl Sample {
    fn take(metrics: &PluginMetrics, at: Instant) -> Self {
        Self {
            at,
            outcomes: Outcome::ALL.map(|outcome| metrics.outcomes(outcome)),
            handle: metrics.handle_seconds.snapshot(),
            wait: metrics.wait_seconds.snapshot().0,
            batches: metrics.batch_seconds.snapshot().0.iter().sum(),
            retries: metrics.retries.load(Relaxed),
            dead_letter_failures: metrics.dead_letter_failures.load(Relaxed),
            throttled: ThrottledBy::ALL.map(|by| metrics.throttled_seconds(by)),
            lag: lag(metrics),
        }
    }

    fn handled(&self) -> u64 {
        self.outcomes[Outcome::Handled as usize]
    }
}

/// The lag over all partitions whose end is known; none while none is.
pub(super) fn lag(metrics: &PluginMetrics) -> Option<i64> {
    let known = metrics.partitions().into_values().filter_map(|gauges| gauges.lag_messages);
    known.reduce(i64::saturating_add)
}

fn a_second(count: u64, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { count as f64 / time.as_secs_f64() }
}

fn quantiles(first: &Buckets, last: &Buckets) -> Quantiles {
    let between: Buckets = std::array::from_fn(|index| last[index].saturating_sub(first[index]));
    Quantiles { p50: quantile(&between, 0.5), p99: quantile(&between, 0.99) }
}

#[cfg(test)]
mod tests;
