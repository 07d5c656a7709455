//! What a plugin may use: `[plugins.NAME.budget]`, and the part of it that is changed while the host runs.

use super::check::{whole, within_or};
use super::file;
use super::limits::{self, Bytes, Count, Time};
use super::problem::Report;
use super::tree::At;
use super::{Budget, Scope};

/// Checks the budget of the file; what it lacks has its default.
pub(super) fn check(written: Option<&file::Budget>, report: &mut Report) -> Budget {
    let Some(written) = written else { return Budget::default() };
    let budget = overlay(written, &Budget::default(), report);
    note(written, &budget, report);
    budget
}

/// The budget `now` with what is written in its place.
pub(super) fn overlay(written: &file::Budget, now: &Budget, report: &mut Report) -> Budget {
    let mut count = |field, limit, now| within_or(Some(field), limit, Count(now), report).0;
    let concurrency = count(&written.concurrency, &limits::CONCURRENCY, now.concurrency as u64);
    let burst = count(&written.burst, &limits::BURST, now.burst.into());
    let buffer = count(&written.buffer, &limits::BUFFER, now.buffer as u64);
    let mut bytes = |field, limit, now| within_or(Some(field), limit, Bytes(now), report).0;
    let buffer_bytes = bytes(&written.buffer_bytes, &limits::BUFFER_BYTES, now.buffer_bytes as u64);
    let memory = bytes(&written.memory, &limits::MEMORY, now.memory as u64);
    Budget {
        concurrency: whole(concurrency),
        rate: written.rate.value().copied().or(now.rate),
        burst: u32::try_from(burst).unwrap_or(u32::MAX),
        scope: written.scope.value().copied().unwrap_or(now.scope),
        buffer: whole(buffer),
        buffer_bytes: whole(buffer_bytes),
        timeout: within_or(Some(&written.timeout), &limits::TIMEOUT, Time(now.timeout), report).0,
        cpu: within_or(Some(&written.cpu), &limits::CPU, Time(now.cpu), report).0,
        memory: whole(memory),
        keep: written.keep.value().map_or(now.keep, |keep| keep.0),
    }
}

fn note(written: &file::Budget, budget: &Budget, report: &mut Report) {
    if let Some(At { place, .. }) = written.cpu.given().filter(|_| budget.cpu > budget.timeout) {
        let timeout = Time(budget.timeout);
        report.note(place, format!("`cpu` is never reached: `timeout` ends a message after `{timeout}`"));
    }
    if let Some(At { place, .. }) = written.burst.given().filter(|_| written.rate.is_absent()) {
        report.note(place, "`burst` has no effect without a `rate`");
    }
    let group = written.scope.given().filter(|scope| scope.value == Scope::Group && written.rate.is_absent());
    if let Some(At { place, .. }) = group {
        report.note(place, "`scope` has no effect without a `rate`");
    }
}

/// A share of the group's rate goes by the partitions of all topics, which have to be known for that.
pub(super) fn check_scope(scope: Option<&At<Scope>>, topics: &[String], report: &mut Report) {
    let is_pattern = |topic: &String| topic.starts_with('^');
    if let Some(At { place, .. }) = scope.filter(|scope| scope.value == Scope::Group)
        && topics.iter().any(is_pattern)
    {
        report
            .problem(place, "the group's rate is shared by partitions, so every topic has to be named")
            .found("`\"group\"`, beside a regular expression in `topics`")
            .hint("name the topics, or set `scope = \"instance\"`");
    }
}
