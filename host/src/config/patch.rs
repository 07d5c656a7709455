//! A budget that is changed while the host runs: the one in effect, and a JSON object with the keys that are to be
//! different, each written as in `gristmill.toml`. It is read and checked by what reads and checks the file, all or
//! nothing.

use std::borrow::Cow;
use std::path::Path;

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::limits::{self, Bytes, Count};
use super::problem::{Place, Problem, Report};
use super::tree::{At, Reader, Written as _};
use super::units::{show_duration, show_size};
use super::{Budget, Plugin, budget, failure, file};

/// The key that may be `null`.
const RATE: &str = "rate";

/// The key that says what becomes of changes, which is the config's alone.
const KEEP: &str = "keep";

/// What the running host has room for: more than that needs a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// The most messages of the plugin at the same time.
    pub concurrency_max: usize,
    /// The least linear memory of one instance with which its component starts, in bytes.
    pub memory_bytes_min: usize,
    /// The most linear memory of one instance, in bytes.
    pub memory_bytes_max: usize,
}

impl Room {
    /// The host sets no bounds of its own.
    pub const UNBOUNDED: Self =
        Self { concurrency_max: usize::MAX, memory_bytes_min: 0, memory_bytes_max: usize::MAX };
}

/// A budget that may be put in effect.
#[derive(Clone, Debug, PartialEq)]
pub struct Patched {
    /// The whole of it.
    pub budget: Budget,
    /// What is different from the one before, such as `rate 11/s -> 50/s, concurrency 5 -> 10`; empty if nothing is.
    pub what: String,
}

/// The budget `now` of `plugin` with what is `wanted` in its place.
///
/// # Errors
///
/// Everything that is wrong with what is wanted, in the order of the keys.
pub fn patch(
    plugin: &Plugin,
    now: &Budget,
    wanted: &serde_json::Map<String, Value>,
    room: Room,
) -> Result<Patched, Vec<Problem>> {
    let mut report = Report::new(Path::new(""));
    let budget = read(wanted, &mut report).map(|written| {
        let mut budget = budget::overlay(&written, now, &mut report);
        if wanted.get(RATE).is_some_and(Value::is_null) {
            budget.rate = None;
        }
        check_together(plugin, &written, &budget, &mut report);
        check_room(&written, room, &mut report);
        budget
    });
    let mut problems = report.fail().problems;
    problems.sort_by(|a, b| a.key.cmp(&b.key));
    for problem in problems.iter_mut().filter(|problem| problem.key == RATE && problem.hint.is_none()) {
        problem.hint("`null` lifts the rate");
    }
    match budget {
        Some(budget) if problems.is_empty() => {
            let what = words(now, &budget);
            Ok(Patched { budget, what })
        }
        _ => Err(problems),
    }
}

/// Reads the object as if it were the file's table.
fn read(wanted: &serde_json::Map<String, Value>, report: &mut Report) -> Option<file::Budget> {
    let mut table = DeTable::new();
    let texts: Vec<String> = wanted.values().map(Value::to_string).collect();
    for ((key, value), text) in wanted.iter().zip(&texts) {
        if key == KEEP {
            let what = "the config alone says whether changes are kept over a restart";
            report.problem(&place(key), what).hint("set `keep` under `budget` in gristmill.toml");
            continue;
        }
        let is_known = file::Budget::KEYS.contains(&key.as_str());
        if value.is_null() && is_known {
            if key != RATE {
                report
                    .problem(&place(key), "expected a value")
                    .found("`null`")
                    .hint("leave the key out to keep what it is; only `rate` may be `null`, which lifts it");
            }
            continue;
        }
        table.insert(spanned(Cow::Borrowed(key.as_str())), spanned(toml_value(value, text)));
    }
    let mut reader = Reader::without_file(report);
    file::Budget::read(&DeValue::Table(table), &place(""), &mut reader)
}

/// The same value in TOML; `text` is how JSON writes it. What no key takes is told by its kind alone, so what is in it
/// does not matter.
fn toml_value<'t>(value: &'t Value, text: &'t str) -> DeValue<'t> {
    match value {
        Value::Null | Value::Object(_) => DeValue::Table(DeTable::new()),
        Value::Bool(switch) => DeValue::Boolean(*switch),
        Value::String(text) => DeValue::String(Cow::Borrowed(text)),
        Value::Array(_) => DeValue::Array(DeArray::new()),
        // Every number of JSON is one of TOML; were one not, it would be shown as it is and refused.
        Value::Number(_) => {
            DeValue::parse(text).map_or_else(|_| DeValue::String(Cow::Borrowed(text)), Spanned::into_inner)
        }
    }
}

fn spanned<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}

/// There is no file, so a place is a key alone.
fn place(key: &str) -> Place {
    Place { key: key.to_owned(), line: 1, column: 1 }
}

/// Checks what keys mean together, and beside what cannot be changed.
fn check_together(plugin: &Plugin, written: &file::Budget, budget: &Budget, report: &mut Report) {
    budget::check_scope(written.scope.given(), &plugin.topics, report);
    let Some(buffer) = written.buffer.given() else { return };
    // A batcher that the config does not name has a size that goes with the buffer.
    let by_itself = failure::default_batcher(plugin.budget.buffer);
    let largest = plugin.batchers.iter().filter(|batcher| **batcher != by_itself).max_by_key(|one| one.size);
    if let Some(batcher) = largest.filter(|batcher| batcher.size > budget.buffer) {
        let (name, size) = (&batcher.name, batcher.size);
        report
            .problem(
                &buffer.place,
                format!("a batch of the batcher `{name}` would never fill: its size is `{size}`"),
            )
            .found(format!("`{}`", budget.buffer))
            .hint(format!("hold at least `{size}`"));
    }
}

fn check_room(written: &file::Budget, room: Room, report: &mut Report) {
    const RESTART: &str = "set it in the config and restart the host to have more";
    // What no file may say has been told.
    let concurrency = written.concurrency.given().filter(|at| limits::CONCURRENCY.contains(&at.value));
    let most = Count(room.concurrency_max as u64);
    if let Some(At { value, place }) = concurrency.filter(|at| at.value > most) {
        let what = format!("the running host has room for `{most}` at the same time");
        report.problem(place, what).found(format!("`{value}`")).hint(RESTART);
    }
    let Some(At { value, place }) = written.memory.given().filter(|at| limits::MEMORY.contains(&at.value))
    else {
        return;
    };
    let (least, most) = (Bytes(room.memory_bytes_min as u64), Bytes(room.memory_bytes_max as u64));
    if *value > most {
        let what = format!("the running host has room for `{most}` an instance");
        report.problem(place, what).found(format!("`{value}`")).hint(RESTART);
    } else if *value < least {
        let what = format!("the component does not start with less than `{least}`");
        report.problem(place, what).found(format!("`{value}`"));
    }
}

/// Shows the value of a key.
type Show = fn(&Budget) -> String;

/// How each key is shown, in the order of the file.
const SHOWN: [(&str, Show); 9] = [
    ("concurrency", |budget| budget.concurrency.to_string()),
    (RATE, |budget| budget.rate.map_or_else(|| "none".to_owned(), |rate| rate.to_string())),
    ("burst", |budget| budget.burst.to_string()),
    ("scope", |budget| budget.scope.word().to_owned()),
    ("buffer", |budget| budget.buffer.to_string()),
    ("buffer_bytes", |budget| show_size(budget.buffer_bytes as u64)),
    ("timeout", |budget| show_duration(budget.timeout)),
    ("cpu", |budget| show_duration(budget.cpu)),
    ("memory", |budget| show_size(budget.memory as u64)),
];

/// What is different in `new`, such as `rate 11/s -> 50/s, concurrency 5 -> 10`; empty if nothing is.
pub fn words(old: &Budget, new: &Budget) -> String {
    let changed =
        SHOWN.iter().map(|(key, show)| (key, show(old), show(new))).filter(|(_, old, new)| old != new);
    changed.map(|(key, old, new)| format!("{key} {old} -> {new}")).collect::<Vec<_>>().join(", ")
}

/// Whether two budgets differ in nothing but whether changes are kept.
pub fn is_same_but_keep(one: &Budget, other: &Budget) -> bool {
    Budget { keep: other.keep, ..one.clone() } == *other
}

#[cfg(test)]
mod tests;
