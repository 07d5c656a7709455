//! A rate and a concurrency are never exceeded, seen from outside: by when outputs were made. Only upper bounds: how
//! fast it is at least is measured, not tested.

use crate::world::host::{Site, section};
use crate::world::kafka::{Isolation, Kafka};

#[test]
fn no_window_holds_more_starts_than_the_rate_allows() {
    assert_paced(100.0, 1, 300);
}

#[test]
fn a_burst_is_as_large_as_the_settings_say_and_no_larger() {
    assert_paced(50.0, 20, 150);
}

/// Handles messages and looks at each window between two outputs.
fn assert_paced(rate: f64, burst: usize, messages: usize) {
    let kafka = Kafka::shared();
    let budget = format!("rate = \"{rate}/s\"\nburst = {burst}");
    let payloads = (0..messages).map(|i| format!("ok {i}"));
    let times = output_times(kafka, &budget, payloads);
    for first in 0..times.len() {
        for last in first..times.len() {
            let window = (times[last] - times[first]) as f64 / 1_000.0;
            // Times are whole milliseconds, and an output is made a little after its start: one more at each edge.
            let allowed = rate * (window + 0.005) + burst as f64 + 2.0;
            let starts = last - first + 1;
            assert!(
                starts as f64 <= allowed,
                "{starts} starts in {window} s, {allowed} are allowed: {times:?}"
            );
        }
    }
}

#[test]
fn never_more_messages_are_in_flight_than_the_concurrency() {
    const CONCURRENCY: usize = 3;
    let budget = format!("concurrency = {CONCURRENCY}");
    let times = output_times(Kafka::shared(), &budget, (0..60).map(|i| format!("sleep:50 {i}")));
    // A worker is busy for 50 ms before each of its outputs. Were four made within less, four were busy at once.
    let closest = times.windows(CONCURRENCY + 1).map(|some| some[CONCURRENCY] - some[0]).min();
    assert!(closest >= Some(49), "more than {CONCURRENCY} were in flight at once: {times:?}");
}

/// When the outputs of messages were made, in milliseconds, the first first. Meanwhile no more are in flight than the
/// budget says.
fn output_times(kafka: &Kafka, budget: &str, payloads: impl ExactSizeIterator<Item = String>) -> Vec<i64> {
    let (from, to) = (Kafka::unique("paced"), Kafka::unique("paced-out"));
    kafka.create_topic(&from, 4);
    kafka.create_topic(&to, 1);
    let messages = payloads.len();
    kafka.produce(&from, payloads.enumerate().map(|(i, payload)| (i.to_string(), payload)));
    let more = format!("output = {to:?}\n[plugins.poison.budget]\n{budget}");
    let host = Site::new(&kafka.bootstrap(), &section("poison", &from, &more)).start();
    host.wait_for("to handle its messages", || {
        let in_flight = host.metric("gristmill_in_flight", &[]);
        assert!(in_flight <= host.metric("gristmill_budget_concurrency", &[]), "{in_flight} are in flight");
        host.outcomes("poison", "handled") == messages as u64
    });
    assert_eq!(host.stop(), 0);
    let outputs = kafka.consume_all(&to, Isolation::ReadUncommitted);
    assert_eq!(outputs.len(), messages);
    let mut times: Vec<i64> = outputs.iter().filter_map(|output| output.timestamp).collect();
    times.sort_unstable();
    times
}
