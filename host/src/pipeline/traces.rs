//! Traces of messages on their way through the pipeline: which span an attempt is, and that outputs belong to it. Without
//! a collector nothing is recorded, and outputs get what their message came with.

use std::sync::Arc;

use super::shared::Shared;
use crate::ack::Delivery;
use crate::outcome::OutputRecord;
use crate::run::Run;
use crate::spans::{self, Became, Span, Spans};
use crate::trace::{Context, Share, TRACEPARENT, TRACESTATE};

/// The guest is done with a run: from here on the attempts that are recorded go with their messages.
pub(super) fn begin(shared: &Shared, run: &mut Run) {
    let Some(spans) = &shared.spans else { return };
    let version = run.version.id;
    let mut component = None;
    for message in &mut run.messages {
        let Some(started_at) = message.started_at else { continue };
        let component = || component.get_or_insert_with(|| digest(shared, version)).clone();
        spans.tell(spans.begin(&mut message.delivery, (started_at, message.handle_ns), component));
    }
}

fn digest(shared: &Shared, version: u32) -> Arc<str> {
    let active = shared.versions.active();
    active.find(version).unwrap_or(&active.stable).digest().into()
}

/// What is told of attempts, once the lock is free under which their end was decided.
pub(super) struct Told<'s> {
    spans: Option<&'s Spans>,
    told: Vec<Span>,
}

impl<'s> Told<'s> {
    pub(super) fn new(shared: &'s Shared) -> Self {
        Self { spans: shared.spans.as_ref(), told: Vec::new() }
    }

    /// It is clear what became of a message's attempt.
    pub(super) fn end(&mut self, delivery: &mut Delivery, became: Became) {
        // Almost no message has a trace that is recorded.
        if delivery.trace.is_some() {
            self.told.extend(self.spans.and_then(|spans| spans.end(delivery, became)));
        }
    }

    pub(super) fn send(self) {
        if let Some(spans) = self.spans {
            spans.tell(self.told);
        }
    }
}

/// Gives a message's outputs the trace that they belong to, unless the plugin has given them one. A `traceparent` that is
/// the message's own has been copied: what comes next is caused by this attempt, and not by what caused it.
pub(super) fn hand_on(shared: &Shared, delivery: &Delivery, records: &mut [OutputRecord]) {
    let message = delivery.message();
    if records.is_empty() || (shared.spans.is_none() && message.headers().len() == 0) {
        return;
    }
    let incoming = spans::incoming(message);
    let came_with = incoming.map(|incoming| incoming.traceparent);
    let traceparent = match (&delivery.trace, came_with) {
        (Some(attempt), _) => attempt.context.to_string().into_bytes(),
        (None, Some(came_with)) => came_with.to_vec(),
        // A trace that begins here and is not recorded: who comes next need not decide that again.
        (None, None) if shared.spans.is_some() => Context::begin(Share(0.0)).to_string().into_bytes(),
        (None, None) => return,
    };
    let states = message.headers().filter(|header| incoming.is_some() && header.name == TRACESTATE);
    let states: Vec<_> =
        states.map(|header| (header.name.to_vec(), header.value.map(<[u8]>::to_vec))).collect();
    for OutputRecord { headers, .. } in records {
        match headers.iter_mut().rev().find(|(name, _)| name == TRACEPARENT) {
            Some((_, Some(own))) if Some(&**own) != came_with && Context::parse(own).is_some() => continue,
            Some((_, value)) => *value = Some(traceparent.clone()),
            None => headers.push((TRACEPARENT.to_vec(), Some(traceparent.clone()))),
        }
        if headers.iter().all(|(name, _)| name != TRACESTATE) {
            headers.extend_from_slice(&states);
        }
    }
}
