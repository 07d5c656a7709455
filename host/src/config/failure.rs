//! What happens to a message that is not handled: `[plugins.NAME.retry]`, `[plugins.NAME.failure]`; to a version that does
//! worse than the one before: `[plugins.NAME.canary]`; and how messages are gathered into batches: `[plugins.NAME.batchers]`.

use super::check::{whole, within};
use super::file;
use super::limits::{self, Count};
use super::problem::Report;
use super::tree::{At, Field};
use super::{Action, Batcher, Canary, Failure, Retry, names, plugin};

/// The batcher of a plugin whose config names none.
const BATCHER_DEFAULT: &str = "default";

/// Checks how often and how fast a message is tried.
pub(super) fn retry(written: Option<&file::Retry>, report: &mut Report) -> Retry {
    let attempts = within(written.map(|retry| &retry.attempts), &limits::ATTEMPTS, report);
    let backoff = within(written.map(|retry| &retry.backoff), &limits::BACKOFF, report);
    let max_backoff = within(written.map(|retry| &retry.max_backoff), &limits::MAX_BACKOFF, report);
    let given = written.and_then(|retry| retry.backoff.given()).filter(|_| backoff > max_backoff);
    if let Some(At { place, .. }) = given {
        report.problem(place, format!("`backoff` is `{backoff}` and `max_backoff` only `{max_backoff}`"));
    }
    Retry {
        attempts: u32::try_from(attempts.0).unwrap_or(u32::MAX),
        // A longest wait that is shorter than the first's default is meant for the first too.
        backoff: backoff.0.min(max_backoff.0),
        max_backoff: max_backoff.0,
    }
}

/// Checks what happens when attempts are used up.
pub(super) fn failure(written: &file::Plugin, report: &mut Report) -> Failure {
    let at = written.failure.given();
    let table = at.map(|at| &at.value);
    let topic = table.and_then(|failure| failure.topic.given());
    if let Some(topic) = topic {
        names::check_topic(topic, report);
        if plugin::is_input(&topic.value, written) {
            report
                .problem(&topic.place, "dead letters would come back: this is one of the plugin's `topics`")
                .found(format!("`\"{}\"`", topic.value))
                .hint("write dead letters to another topic");
        }
    }
    let action = table.and_then(|failure| failure.action.value()).copied();
    if let Some(at) = at {
        check_action(action, at, report);
    }
    let by_itself = if topic.is_some() { Action::DeadLetter } else { Action::Park };
    let action = action.unwrap_or(by_itself);
    Failure {
        action,
        topic: topic.filter(|_| action == Action::DeadLetter).map(|topic| topic.value.clone()),
        max_parked: whole(within(table.map(|failure| &failure.max_parked), &limits::MAX_PARKED, report).0),
        max_span: whole(within(table.map(|failure| &failure.max_span), &limits::MAX_SPAN, report).0),
    }
}

fn check_action(action: Option<Action>, at: &At<file::Failure>, report: &mut Report) {
    match (action, at.value.topic.given()) {
        (Some(Action::DeadLetter), None) if at.value.topic.is_absent() => {
            report
                .problem(&at.place, "`action` is `dead-letter` and there is no `topic`")
                .hint("add `topic`");
        }
        (Some(Action::Park), Some(topic)) => {
            report.note(&topic.place, "the topic is unused: `action` is `park`");
        }
        (Some(Action::Skip), Some(topic)) => {
            report.note(&topic.place, "the topic is unused: `action` is `skip`");
        }
        _ => {}
    }
}

/// Checks when a new version is rolled back.
pub(super) fn canary(written: Option<&file::Canary>, report: &mut Report) -> Canary {
    let mut count = |field: Option<&Field<Count>>, limit| within(field, limit, report).0;
    Canary {
        traps: count(written.map(|canary| &canary.traps), &limits::CANARY_TRAPS),
        messages: count(written.map(|canary| &canary.messages), &limits::CANARY_MESSAGES),
        failure_points: count(written.map(|canary| &canary.failure_points), &limits::CANARY_FAILURE_POINTS),
        slowdown: count(written.map(|canary| &canary.slowdown), &limits::CANARY_SLOWDOWN),
    }
}

/// Checks the batchers; a plugin whose config names none has one with all defaults.
pub(super) fn batchers(written: &file::Plugin, buffer: usize, report: &mut Report) -> Vec<Batcher> {
    let named = written.batchers.value().into_iter().flatten();
    let mut batchers: Vec<Batcher> =
        named.map(|(name, batcher)| check_batcher(name, batcher, buffer, report)).collect();
    if batchers.is_empty() {
        batchers.push(default_batcher(buffer));
    }
    batchers
}

/// The batcher of a plugin whose config names none.
pub(super) fn default_batcher(buffer: usize) -> Batcher {
    Batcher {
        name: BATCHER_DEFAULT.to_owned(),
        size: whole(limits::BATCH_SIZE.default.0).min(buffer),
        timeout: limits::BATCH_TIMEOUT.default.0,
        concurrency: whole(limits::BATCH_CONCURRENCY.default.0),
    }
}

fn check_batcher(name: &str, at: &At<file::Batcher>, buffer: usize, report: &mut Report) -> Batcher {
    let At { value: batcher, place } = at;
    let size = whole(within(Some(&batcher.size), &limits::BATCH_SIZE, report).0);
    if size > buffer {
        let place = batcher.size.given().map_or(place, |size| &size.place);
        report
            .problem(place, format!("a batch of `{size}` never fills: `budget.buffer` holds `{buffer}`"))
            .hint("make `size` smaller or `buffer` larger");
    }
    Batcher {
        name: name.to_owned(),
        size,
        timeout: within(Some(&batcher.timeout), &limits::BATCH_TIMEOUT, report).0,
        concurrency: whole(within(Some(&batcher.concurrency), &limits::BATCH_CONCURRENCY, report).0),
    }
}
