//! A span in OpenTelemetry's words, by its semantic conventions for messaging. What has no word there is `gristmill.…`.

use std::sync::LazyLock;
use std::time::SystemTime;

use opentelemetry::trace::{Event, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use crate::outcome::Outcome;
use crate::spans::{Became, Span};

/// Who made the spans.
static SCOPE: LazyLock<InstrumentationScope> = LazyLock::new(|| {
    InstrumentationScope::builder("gristmill").with_version(env!("CARGO_PKG_VERSION")).build()
});

/// What this host is. Whoever starts it may say more in OpenTelemetry's own variable OTEL_RESOURCE_ATTRIBUTES.
pub(super) fn resource(service: &str) -> Resource {
    Resource::builder()
        .with_service_name(service.to_owned())
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build()
}

/// The span as it is sent.
pub(super) fn span(span: &Span) -> SpanData {
    let attempt = &span.attempt;
    let context = attempt.context;
    // One that is not well-formed is left out: it is for others to understand.
    let state = span.tracestate.parse().unwrap_or(TraceState::NONE);
    let mut events = SpanEvents::default();
    events.events = self::events(span);
    SpanData {
        span_context: SpanContext::new(
            TraceId::from(context.trace),
            SpanId::from(context.span),
            TraceFlags::new(context.flags()),
            false,
            state,
        ),
        parent_span_id: attempt.parent.map_or(SpanId::INVALID, SpanId::from),
        parent_span_is_remote: attempt.parent_is_remote,
        span_kind: SpanKind::Consumer,
        name: format!("process {}", span.position.topic).into(),
        start_time: wall(span, attempt.started_at),
        end_time: span.ended_at_wall,
        attributes: attributes(span),
        dropped_attributes_count: 0,
        events,
        links: SpanLinks::default(),
        status: attempt.failure.as_ref().map_or(Status::Unset, |(_, reason)| Status::error(reason.clone())),
        instrumentation_scope: SCOPE.clone(),
    }
}

/// A time of the attempt on the wall clock.
fn wall(span: &Span, time: std::time::Instant) -> SystemTime {
    let before_end = span.ended_at.saturating_duration_since(time);
    span.ended_at_wall.checked_sub(before_end).unwrap_or(SystemTime::UNIX_EPOCH)
}

fn attributes(span: &Span) -> Vec<KeyValue> {
    let mut attributes = Vec::with_capacity(ATTRIBUTES_MAX);
    let mut add = |name: &'static str, value: Value| attributes.push(KeyValue::new(name, value));
    let attempt = &span.attempt;
    add("messaging.system", "kafka".into());
    add("messaging.operation.name", "process".into());
    add("messaging.operation.type", "process".into());
    add("messaging.destination.name", span.position.topic.to_string().into());
    add("messaging.destination.partition.id", span.position.partition.to_string().into());
    add("messaging.kafka.offset", span.position.offset.into());
    add("messaging.consumer.group.name", span.origin.group.clone().into());
    if let Some(key) = &span.key {
        add("messaging.kafka.message.key", key.clone().into());
    }
    if span.is_tombstone {
        add("messaging.kafka.message.tombstone", true.into());
    }
    add("gristmill.plugin", span.origin.plugin.to_string().into());
    add("gristmill.component", attempt.component.to_string().into());
    add("gristmill.attempt", i64::from(span.number).into());
    add("gristmill.wait_seconds", span.wait.as_secs_f64().into());
    add("gristmill.handle_seconds", (attempt.handle_ns as f64 / 1e9).into());
    if let Became::Outcome(outcome) = span.became {
        add("gristmill.outcome", outcome.word().into());
    }
    if let Some((kind, _)) = &attempt.failure {
        add("error.type", (*kind).into());
    }
    attributes
}

/// What a span has of attributes at most, so that they are put where they stay.
const ATTRIBUTES_MAX: usize = 16;

fn events(span: &Span) -> Vec<Event> {
    let event = |name: &'static str, time, attributes| Event::new(name, time, attributes, 0);
    let batched = span.attempt.batched_at.map(|time| event("batched", wall(span, time), Vec::new()));
    let became = match span.became {
        Became::Outcome(Outcome::Handled) => None,
        Became::Outcome(outcome) => Some((outcome.word(), Vec::new())),
        Became::Retried(wait) => {
            let wait = KeyValue::new("gristmill.retry_wait_seconds", wait.as_secs_f64());
            Some(("retry", vec![wait]))
        }
        Became::GivenBack => Some(("given-back", Vec::new())),
    };
    let became = became.map(|(name, attributes)| event(name, span.ended_at_wall, attributes));
    batched.into_iter().chain(became).collect()
}
