//! Tables and words of the config whose behaviour is still to come: they are read and checked like all others, and
//! then refused, so that nobody runs without what they asked for. Whoever brings a behaviour takes its line out of
//! `refuse`.

use super::check::within;
use super::file::{self, Action, Delivery, Protocol, Scope};
use super::limits;
use super::problem::{Place, Report};
use super::tree::{At, Field};
use super::{Plugin, names, plugin};

/// Checks what is still to come of one plugin, and refuses it.
pub(super) fn check(written: &file::Plugin, plugin: &Plugin, report: &mut Report) {
    if let Some(retry) = written.retry.value() {
        check_retry(retry, report);
    }
    if let Some(failure) = written.failure.given() {
        check_failure(failure, written, report);
    }
    for batcher in written.batchers.value().into_iter().flatten().map(|(_, batcher)| batcher) {
        check_batcher(batcher, plugin.budget.buffer, report);
    }
    let http = written.allow.value().and_then(|allow| allow.http.value());
    http.into_iter().flatten().for_each(|origin| names::check_origin(origin, report));
    refuse(written, report);
}

fn refuse(written: &file::Plugin, report: &mut Report) {
    let budget = written.budget.value();
    let allow = written.allow.value();
    let refusals = [
        place(&written.retry),
        place(&written.failure),
        place(&written.batchers),
        word(&written.delivery, Delivery::AtLeastOnce),
        word(&written.protocol, Protocol::Component),
        budget.and_then(|budget| word(&budget.scope, Scope::Instance)),
        allow.and_then(|allow| place(&allow.http)),
    ];
    for place in refusals.into_iter().flatten() {
        let name = place.key.rsplit('.').next().unwrap_or(&place.key);
        report.problem(place, format!("`{name}` is not supported yet")).hint("remove it");
    }
}

/// The place of a table that nothing of is supported.
fn place<T>(field: &Field<T>) -> Option<&Place> {
    field.given().map(|at| &at.place)
}

/// The place of a word unless it is the one that is supported.
fn word<T: PartialEq>(field: &Field<T>, supported: T) -> Option<&Place> {
    field.given().filter(|at| at.value != supported).map(|at| &at.place)
}

fn check_retry(retry: &file::Retry, report: &mut Report) {
    within(Some(&retry.attempts), &limits::ATTEMPTS, report);
    let backoff = within(Some(&retry.backoff), &limits::BACKOFF, report);
    let max = within(Some(&retry.max_backoff), &limits::MAX_BACKOFF, report);
    let written = retry.max_backoff.given().or(retry.backoff.given());
    if let Some(At { place, .. }) = written.filter(|_| backoff > max) {
        report.problem(place, format!("`backoff` is `{backoff}` and `max_backoff` only `{max}`"));
    }
}

fn check_failure(failure: &At<file::Failure>, plugin: &file::Plugin, report: &mut Report) {
    let At { value: failure, place } = failure;
    if let Some(topic) = failure.topic.given() {
        names::check_topic(topic, report);
        if plugin::is_input(&topic.value, plugin) {
            report
                .problem(&topic.place, "dead letters would come back: this is one of the plugin's `topics`")
                .found(format!("`\"{}\"`", topic.value))
                .hint("write dead letters to another topic");
        }
    }
    match (failure.action.value(), failure.topic.given()) {
        (Some(Action::DeadLetter), None) if failure.topic.is_absent() => {
            report.problem(place, "`action` is `dead-letter` and there is no `topic`").hint("add `topic`");
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

fn check_batcher(batcher: &At<file::Batcher>, buffer: usize, report: &mut Report) {
    let At { value: batcher, place } = batcher;
    let size = within(Some(&batcher.size), &limits::BATCH_SIZE, report);
    within(Some(&batcher.timeout), &limits::BATCH_TIMEOUT, report);
    within(Some(&batcher.concurrency), &limits::BATCH_CONCURRENCY, report);
    if usize::try_from(size.0).is_ok_and(|size| size > buffer) {
        let place = batcher.size.given().map_or(place, |size| &size.place);
        report
            .problem(place, format!("a batch of `{size}` never fills: `budget.buffer` holds `{buffer}`"))
            .hint("make `size` smaller or `buffer` larger");
    }
}
