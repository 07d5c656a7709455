//! What may stand in `[kafka.options]`: the names that librdkafka knows, those that the host keeps to itself and why,
//! and what goes together. Values are librdkafka's own business, but for the few that the host's promises hang on.

use std::time::Duration;

use super::limits;
use super::problem::Report;
use super::tree::{At, nearest};
use super::value::Named;

/// Every property of librdkafka 2.12.1 that is set by text, from its CONFIGURATION.md: the name, and who it is for
/// (`C` consumers, `P` producers, `*` both).
const PROPERTIES: &str = include_str!("librdkafka-keys.txt");

/// The options that the host sets itself, and what to do instead or why.
const OWNED: [(&str, &str); 16] = [
    ("bootstrap.servers", "set `brokers` instead"),
    ("metadata.broker.list", "set `brokers` instead"),
    ("group.id", "set the plugin's `group` instead"),
    ("auto.offset.reset", "set the plugin's `start` instead"),
    ("enable.auto.commit", "Kafka is told what is finished, once a second"),
    ("auto.commit.enable", "Kafka is told what is finished, once a second"),
    ("enable.auto.offset.store", "an offset is stored when its message is finished, not when it is fetched"),
    ("offset.store.method", "offsets are kept by Kafka"),
    ("offset.store.path", "offsets are kept by Kafka"),
    ("offset.store.sync.interval.ms", "offsets are kept by Kafka"),
    ("enable.partition.eof", "the end of a partition is no message, and would move the position"),
    ("transactional.id", "transactions belong to the plugin's `delivery`"),
    ("enable.idempotence", "outputs are always written once and in order"),
    ("delivery.report.only.error", "a message is finished only when Kafka has confirmed its outputs"),
    ("enabled_events", "the host takes its events by itself"),
    ("log.queue", "the host takes the log by itself"),
];

/// Who an option is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Only consumers.
    Consumer,
    /// Only producers.
    Producer,
    /// Both.
    Both,
}

/// Who the option `name` is for; none if librdkafka does not know it.
pub fn side(name: &str) -> Option<Side> {
    let (_, column) = properties().find(|(known, _)| *known == name)?;
    match column {
        "C" => Some(Side::Consumer),
        "P" => Some(Side::Producer),
        _ => Some(Side::Both),
    }
}

fn properties() -> impl Iterator<Item = (&'static str, &'static str)> {
    PROPERTIES.lines().filter_map(|line| line.split_once(' '))
}

/// Checks the names of one table of options.
pub fn check_names(options: &Named<String>, report: &mut Report) {
    for (name, At { place, .. }) in options {
        if let Some((_, why)) = OWNED.iter().find(|(owned, _)| owned == name) {
            report.problem(place, format!("`{name}` is set by the host: {why}")).hint("remove it");
        } else if side(name).is_none() {
            let problem = report.problem(place, format!("librdkafka has no option `{name}`"));
            if let Some(near) = nearest(name, properties().map(|(known, _)| known)) {
                problem.hint(format!("did you mean `{near}`?"));
            }
        }
    }
}

/// Checks what the options of one plugin, merged, mean together.
pub fn check_together(options: &Named<String>, report: &mut Report) {
    if options.get("group.protocol").is_some_and(|protocol| protocol.value == "consumer") {
        check_new_protocol(options, report);
    } else {
        check_session(options, report);
    }
    check_producer(options, report);
}

/// librdkafka starts no consumer whose session outlasts its poll interval.
fn check_session(options: &Named<String>, report: &mut Report) {
    let poll = options.get("max.poll.interval.ms");
    let session = options.get("session.timeout.ms");
    let timeout = duration(session, limits::SESSION_TIMEOUT);
    if let Some(At { place, .. }) = poll.or(session).filter(|_| timeout > max_poll_interval(options)) {
        report
            .problem(place, "`session.timeout.ms` may not be longer than `max.poll.interval.ms`")
            .hint(format!("the session is `{}` here", limits::Time(timeout)));
    }
}

/// With the protocol of KIP-848 the broker decides what these options decided before, and librdkafka starts no consumer
/// that has them.
fn check_new_protocol(options: &Named<String>, report: &mut Report) {
    const DECIDED_BY_BROKER: [&str; 4] = [
        "session.timeout.ms",
        "heartbeat.interval.ms",
        "partition.assignment.strategy",
        "group.protocol.type",
    ];
    for name in DECIDED_BY_BROKER {
        if let Some(At { place, .. }) = options.get(name) {
            report
                .problem(place, format!("`{name}` cannot stand beside `group.protocol` = `consumer`"))
                .hint("remove one of them: with this protocol the broker decides it");
        }
    }
}

/// librdkafka starts no idempotent producer with values that break its promise.
fn check_producer(options: &Named<String>, report: &mut Report) {
    type Good = fn(&str) -> bool;
    let at_most_5: Good = |value| value.parse().is_ok_and(|most: u32| most <= 5);
    let needs: [(&[&str], Good, &str); 4] = [
        (&["acks", "request.required.acks"], |value| matches!(value, "all" | "-1"), "`all`"),
        (&["max.in.flight", "max.in.flight.requests.per.connection"], at_most_5, "at most `5`"),
        (&["retries", "message.send.max.retries"], |value| value != "0", "more than `0`"),
        (&["queuing.strategy"], |value| value == "fifo", "`fifo`"),
    ];
    for (names, good, expected) in needs {
        for At { value, place } in names.iter().filter_map(|name| options.get(*name)) {
            if !good(value) {
                report.problem(place, format!("expected {expected}")).found(format!("`{value}`")).hint(
                    "outputs are written once and in order, which librdkafka can do with no other value",
                );
            }
        }
    }
}

/// How long Kafka waits for a member over a rebalance, by these options.
pub fn max_poll_interval(options: &Named<String>) -> Duration {
    duration(options.get("max.poll.interval.ms"), limits::MAX_POLL_INTERVAL)
}

/// An option in milliseconds. What librdkafka will not read as a number counts as not written.
fn duration(option: Option<&At<String>>, default: Duration) -> Duration {
    option.and_then(|at| at.value.parse().ok()).map_or(default, Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_property_has_a_side_and_those_of_the_host_are_among_them() {
        for (name, column) in properties() {
            assert!(!name.is_empty() && ["C", "P", "*"].contains(&column), "{name} {column}");
        }
        for (name, _) in OWNED {
            assert!(side(name).is_some(), "{name}");
        }
        assert_eq!(side("fetch.min.bytes"), Some(Side::Consumer));
        assert_eq!(side("linger.ms"), Some(Side::Producer));
        assert_eq!(side("sasl.username"), Some(Side::Both));
        assert_eq!(side("rebalance_cb"), None);
    }
}
