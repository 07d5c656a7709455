//! A plugin as the API shows it: its settings, its counters as they are now, and what the last minute says.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Duration;

use super::window::{Recent, lag};
use crate::api::{Component, Detail, Partition, Plugin};
use crate::metrics::ThrottledBy;
use crate::outcome::{Outcome, TrapKind};
use crate::pipeline::control::Seat;

/// One plugin as it is now.
pub(super) fn plugin(seat: &Seat, recent: Recent) -> Plugin {
    let (settings, metrics) = (&seat.plugin, &seat.metrics);
    let count = |value: &AtomicU64| value.load(Relaxed);
    let gauge = |value: &AtomicI64| u64::try_from(value.load(Relaxed)).unwrap_or(0);
    let by_word = |word: &'static str, count: u64| (word.to_owned(), count);
    Plugin {
        name: settings.name.to_string(),
        state: seat.word().to_owned(),
        reason: seat.state().not_ready(),
        paused: seat.is_paused(),
        digest: metrics.digest(),
        component: seat.component().unwrap_or_else(not_loaded),
        topics: settings.topics.clone(),
        group: settings.group.clone(),
        output: settings.output.clone(),
        order: settings.order.word().to_owned(),
        delivery: settings.delivery.word().to_owned(),
        failure_action: settings.failure.action.word().to_owned(),
        dead_letter_topic: settings.failure.topic.clone(),
        budget: (&seat.budget()).into(),
        configured: (&seat.configured()).into(),
        in_flight: gauge(&metrics.in_flight),
        buffer_messages: count(&metrics.buffer_messages),
        buffer_bytes: count(&metrics.buffer_bytes),
        lag: lag(metrics),
        messages: Outcome::ALL.iter().map(|o| by_word(o.word(), metrics.outcomes(*o))).collect(),
        handled_per_second: recent.handled_per_second,
        retries: count(&metrics.retries),
        traps: TrapKind::ALL.iter().map(|kind| by_word(kind.word(), metrics.traps(*kind))).collect(),
        dead_letter_failures: count(&metrics.dead_letter_failures),
        handle_seconds: recent.handle,
        wait_seconds: recent.wait,
        throttled_seconds: ThrottledBy::ALL
            .iter()
            .map(|by| (by.word().to_owned(), metrics.throttled_seconds(*by)))
            .collect(),
        parked_lanes: count(&metrics.parked_lanes),
        partitions: metrics.partitions().len() as u64,
        held_partitions: count(&metrics.held_partitions),
        oldest_unfinished_seconds: Duration::from_millis(count(&metrics.oldest_unfinished_ms)).as_secs_f64(),
        instances: gauge(&metrics.instances),
        guest_memory_bytes: gauge(&metrics.guest_memory_bytes),
        guest_cpu_seconds: Duration::from_nanos(count(&metrics.guest_cpu_ns)).as_secs_f64(),
        advice: recent.advice,
        trial: seat.trial(),
        last_swap: seat.last_swap(),
    }
}

/// What is shown before there is a component.
fn not_loaded() -> Component {
    Component {
        source: "config".to_owned(),
        why: "it is still being loaded".to_owned(),
        since: String::new(),
        previous: None,
    }
}

/// One plugin, with its partitions and what was changed.
pub(super) fn detail(seat: &Seat, recent: Recent) -> Detail {
    let partition = |((topic, partition), gauges): ((String, i32), crate::metrics::PartitionGauges)| {
        Partition { topic, partition, lag: gauges.lag_messages, committed_offset: gauges.committed_offset }
    };
    Detail {
        plugin: plugin(seat, recent),
        assigned: seat.metrics.partitions().into_iter().map(partition).collect(),
        changes: seat.changes(),
    }
}
