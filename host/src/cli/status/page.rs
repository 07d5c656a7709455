//! One plugin in full: what it is, what it does now, what it may use, which component runs and why, who changed what.

use jiff::Timestamp;

use super::super::budget;
use super::super::figures;
use super::super::table::{self, Column, Kind};
use super::super::words::{counted, harmless, one_line};
use super::{list, trial};
use crate::api::{Detail, Ended, Partition, Plugin, Trial};

/// Characters of a label.
const LABEL_WIDTH: usize = 12;

/// Partitions that are shown: those with the greatest lag.
const PARTITIONS_SHOWN: usize = 10;

/// Changes that are shown, the newest.
const CHANGES_SHOWN: usize = 10;

/// The whole page, a line each; `room` is the width of the terminal.
pub(in super::super) fn page(detail: &Detail, now: Timestamp, room: Option<usize>) -> Vec<String> {
    let plugin = &detail.plugin;
    let mut lines = identity(plugin);
    lines.push(String::new());
    lines.extend(figures_now(plugin));
    section(&mut lines, "budget", budget::lines(plugin));
    section(&mut lines, "component", component(plugin, now));
    if let Some(trial) = &plugin.trial {
        section(&mut lines, &trial_title(trial, now), trial::side_by_side(trial));
    }
    let advice = plugin.advice.iter().map(|advice| one_line(&advice.text)).collect();
    section(&mut lines, "advice", advice);
    section(&mut lines, "partitions", partitions(plugin.partitions, &detail.assigned, room));
    let changes = detail.changes.iter().take(CHANGES_SHOWN);
    let changes = changes.map(|change| {
        format!("{}, {}: {}", figures::ago(&change.at, now), one_line(&change.by), one_line(&change.what))
    });
    section(&mut lines, "changes", changes.collect());
    lines
}

/// Adds a part with a title, if there is anything in it.
fn section(lines: &mut Vec<String>, title: &str, part: Vec<String>) {
    if !part.is_empty() {
        lines.extend([String::new(), title.to_owned()]);
        lines.extend(part.into_iter().map(|line| format!("  {line}")));
    }
}

fn labelled(label: &str, value: &str) -> String {
    format!("{label:LABEL_WIDTH$} {value}")
}

fn identity(plugin: &Plugin) -> Vec<String> {
    let state = match list::reason(plugin) {
        Some(reason) => format!("{}: {reason}", plugin.state),
        None => plugin.state.clone(),
    };
    let order = match plugin.order.as_str() {
        "none" => "in no order".to_owned(),
        order => format!("in order of {order}"),
    };
    let failures = match &plugin.dead_letter_topic {
        Some(topic) => format!("{} to `{topic}`", plugin.failure_action),
        None => plugin.failure_action.clone(),
    };
    let topics = plugin.topics.join("`, `");
    let writes =
        plugin.output.as_ref().map_or_else(|| "nothing by itself".to_owned(), |topic| format!("`{topic}`"));
    [
        ("plugin", plugin.name.clone()),
        ("state", state),
        ("reads", format!("`{topics}` as group `{}`, {order}, {}", plugin.group, plugin.delivery)),
        ("writes", writes),
        ("failures", failures),
    ]
    .map(|(label, value)| labelled(label, &harmless(&value)))
    .to_vec()
}

fn figures_now(plugin: &Plugin) -> Vec<String> {
    let budget = &plugin.budget;
    let traps = plugin.traps.iter().filter(|(_, count)| **count > 0);
    let traps: Vec<String> =
        traps.map(|(kind, count)| format!("{} by {}", figures::count(*count), harmless(kind))).collect();
    let throttled: Vec<String> = plugin
        .throttled_seconds
        .iter()
        .filter(|(_, seconds)| **seconds > 0.0)
        .map(|(by, seconds)| format!("{} by {}", figures::seconds(*seconds), harmless(by)))
        .collect();
    let rate = budget
        .rate
        .as_deref()
        .map_or_else(|| "without a rate".to_owned(), |rate| format!("of {}", harmless(rate)));
    let times = |times: &crate::api::Quantiles| {
        format!("p50 {}, p99 {}", figures::quantile(times.p50), figures::quantile(times.p99))
    };
    let held = match plugin.held_partitions {
        0 => String::new(),
        held => format!("; {} not read, too much is unfinished", counted(held, "partition")),
    };
    let oldest = match plugin.oldest_unfinished_seconds {
        age if age > 0.0 => format!("; the oldest unfinished message is {} old", figures::seconds(age)),
        _ => String::new(),
    };
    [
        ("handled", format!("{}/s {rate}", figures::per_second(plugin.handled_per_second))),
        ("outcomes", format!("{}; {} retries", figures::outcomes(plugin), figures::count(plugin.retries))),
        ("broken off", or_never(&traps)),
        ("in flight", format!("{} of {}", plugin.in_flight, budget.concurrency)),
        (
            "buffer",
            format!(
                "{} of {} messages, {} of {}",
                plugin.buffer_messages,
                budget.buffer,
                figures::bytes(plugin.buffer_bytes),
                harmless(&budget.buffer_bytes)
            ),
        ),
        ("lag", format!("{}{oldest}{held}", figures::signed(plugin.lag))),
        ("parked", counted(plugin.parked_lanes, "lane")),
        ("handling", times(&plugin.handle_seconds)),
        ("waiting", times(&plugin.wait_seconds)),
        ("held up", or_never(&throttled)),
        (
            "instances",
            format!(
                "{} with {} of memory; {} of CPU",
                plugin.instances,
                figures::bytes(plugin.guest_memory_bytes),
                figures::seconds(plugin.guest_cpu_seconds)
            ),
        ),
    ]
    .map(|(label, value)| labelled(label, &value))
    .to_vec()
}

fn or_never(times: &[String]) -> String {
    if times.is_empty() { "never".to_owned() } else { times.join(", ") }
}

fn component(plugin: &Plugin, now: Timestamp) -> Vec<String> {
    let component = &plugin.component;
    let digest =
        if plugin.digest.is_empty() { "not loaded yet".to_owned() } else { harmless(&plugin.digest) };
    let since = match component.since.as_str() {
        "" => String::new(),
        since => format!(" since {}", figures::when(&one_line(since), now)),
    };
    let mut lines =
        vec![digest, format!("{}{since}: {}", harmless(&component.source), one_line(&component.why))];
    if let Some(previous) = &component.previous {
        lines.push(format!("`rollback` returns to {}", harmless(previous)));
    }
    lines.extend(plugin.last_swap.as_ref().map(|ended| last_swap(ended, now)));
    lines
}

fn last_swap(ended: &Ended, now: Timestamp) -> String {
    let Ended { result, digest, at, by, reason } = ended;
    let reason = reason.as_ref().map_or_else(String::new, |reason| format!(": {}", one_line(reason)));
    format!(
        "last swap, {}, to {} by {}: {}{reason}",
        figures::ago(at, now),
        figures::digest(digest),
        one_line(by),
        harmless(result)
    )
}

fn trial_title(trial: &Trial, now: Timestamp) -> String {
    format!(
        "{} on {}% of the {}, begun {} by {}",
        harmless(&trial.mode),
        trial.percent,
        if trial.mode == "shadow" { "messages" } else { "lanes" },
        figures::ago(&trial.since, now),
        one_line(&trial.by)
    )
}

/// How many partitions are ours, and those with the greatest lags.
fn partitions(count: u64, assigned: &[Partition], room: Option<usize>) -> Vec<String> {
    const COLUMNS: [Column; 4] = [
        Column::new("TOPIC", Kind::Cut),
        Column::new("PARTITION", Kind::Right),
        Column::new("LAG", Kind::Right),
        Column::new("COMMITTED", Kind::Right),
    ];
    let mut behind: Vec<&Partition> = assigned.iter().filter(|partition| partition.lag != Some(0)).collect();
    let all = counted(count, "partition");
    if behind.is_empty() {
        return vec![if count == 0 { "none".to_owned() } else { format!("{all}, none of them behind") }];
    }
    let hidden = behind.len().saturating_sub(PARTITIONS_SHOWN);
    // Stable, so that those with the same lag stay in their order.
    behind.sort_by_key(|partition| std::cmp::Reverse(partition.lag));
    behind.truncate(PARTITIONS_SHOWN);
    let or_dash = |figure: Option<i64>| figure.map_or_else(|| "-".to_owned(), |figure| figure.to_string());
    let row = |partition: &Partition| {
        let (lag, committed) = (or_dash(partition.lag), or_dash(partition.committed_offset));
        vec![harmless(&partition.topic), partition.partition.to_string(), lag, committed]
    };
    let rows: Vec<Vec<String>> = behind.iter().copied().map(row).collect();
    let mut lines = vec![match rows.len() + hidden {
        behind if behind == assigned.len() => format!("{all}, all behind"),
        behind => format!("{all}, {behind} of them behind"),
    }];
    lines.extend(table::lines(&COLUMNS, &rows, room.map(|room| room.saturating_sub(2))));
    if hidden > 0 {
        lines.push(format!("and {hidden} with less"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::{detail, trial};
    use super::*;
    use crate::api::{Advice, Change, Quantiles};

    fn now() -> Timestamp {
        "2026-01-01T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_plugin_that_has_just_begun_has_no_figures_and_its_page_is_short() {
        let mut detail = detail("enrich");
        detail.plugin.digest.clear();
        detail.plugin.partitions = 0;
        let page = page(&detail, now(), Some(80));
        for line in [
            "handled      0/s without a rate",
            "outcomes     0 handled, 0 dead-lettered, 0 parked, 0 skipped; 0 retries",
            "broken off   never",
            "lag          -",
            "handling     p50 -, p99 -",
            "held up      never",
            "  not loaded yet",
            "  none",
        ] {
            assert!(page.iter().any(|found| found == line), "lacks `{line}`: {page:#?}");
        }
        assert!(!page.iter().any(|line| ["advice", "changes"].contains(&line.as_str())), "{page:#?}");
    }

    #[test]
    fn everything_that_is_known_is_told() {
        let mut detail = detail("enrich");
        let plugin = &mut detail.plugin;
        plugin.state = "troubled".to_owned();
        plugin.reason = Some("the broker\nis away \u{1b}[31m".to_owned());
        plugin.dead_letter_topic = Some("orders-dead".to_owned());
        plugin.budget.rate = Some("20/s".to_owned());
        plugin.lag = Some(1_234_567);
        plugin.oldest_unfinished_seconds = 12.4;
        plugin.handle_seconds = Quantiles { p50: Some(0.08), p99: Some(0.25) };
        plugin.traps.insert("timeout".to_owned(), 2);
        plugin.throttled_seconds.insert("rate".to_owned(), 3_600.0);
        plugin.trial = Some(trial("canary"));
        plugin.advice = vec![Advice { about: "lag".to_owned(), text: "gone in 6 min".to_owned() }];
        plugin.last_swap = Some(Ended {
            result: "refused".to_owned(),
            digest: "sha256:77aa01bcde".to_owned(),
            at: "2026-01-01T11:59:00Z".to_owned(),
            by: "anna@ops".to_owned(),
            reason: Some("does not start".to_owned()),
        });
        let change = |what: &str| Change {
            at: "2026-01-01T11:59:30Z".to_owned(),
            by: "anna@ops".to_owned(),
            what: what.to_owned(),
        };
        detail.changes = vec![change("rate none -> 20/s")];
        let page = page(&detail, now(), Some(80));
        for line in [
            "state        troubled: the broker is away \\u{1b}[31m",
            "failures     park to `orders-dead`",
            "handled      0/s of 20/s",
            "broken off   2 by timeout",
            "lag          1.23M; the oldest unfinished message is 12.4s old",
            "handling     p50 80ms, p99 250ms",
            "held up      60m by rate",
            "  rate          20/s (configured: none)",
            "  config since 2026-01-01T11:00:00Z (60m ago): the file that `gristmill.toml` names",
            "  last swap, 60s ago, to 77aa01bc by anna@ops: refused: does not start",
            "canary on 5% of the lanes, begun 2m ago by anna@ops",
            "  gone in 6 min",
            "  30s ago, anna@ops: rate none -> 20/s",
        ] {
            assert!(page.iter().any(|found| found == line), "lacks `{line}`: {page:#?}");
        }
    }

    #[test]
    fn the_partitions_that_are_behind_come_first_and_not_all() {
        let at = |partition: i32, lag| Partition {
            topic: "orders".to_owned(),
            partition,
            lag,
            committed_offset: None,
        };
        let assigned: Vec<Partition> =
            (0..50).map(|partition| at(partition, Some(i64::from(partition)))).collect();
        let lines = partitions(50, &assigned, Some(80));
        assert_eq!(lines[0], "50 partitions, 49 of them behind");
        assert_eq!(lines[2], "orders         49   49          -");
        assert_eq!(lines.last().unwrap(), "and 39 with less");
        assert_eq!(partitions(1, &[at(0, Some(0))], None), ["1 partition, none of them behind"]);
        assert_eq!(partitions(1, &[at(0, None)], None)[2], "orders          0    -          -");
    }
}
