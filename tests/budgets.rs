//! Budgets change while messages flow, and hold at once for all that has not started. Starts are measured from outside, by
//! the times that the guest `stamp` puts into its outputs.

use serde_json::Value;

use crate::world::host::{Host, Site, section};
use crate::world::kafka::{Isolation, Kafka};

/// Stamps that a busy machine may have held up on their way out.
const LATE_STAMPS: f64 = 3.0;

/// How long each rate is watched, in seconds.
const WATCHED_S: f64 = 2.0;

fn patch(host: &Host, plugin: &str, body: &str) -> (u16, Value) {
    let (status, answer) = host.ask(&format!("PATCH /api/v1/plugins/{plugin}/budget"), "", body);
    (status, serde_json::from_str(&answer).unwrap_or(Value::Null))
}

#[test]
fn a_rate_is_raised_lifted_and_lowered_while_messages_flow() {
    let kafka = Kafka::shared();
    let (from, to) = (Kafka::unique("rates"), Kafka::unique("rates-out"));
    kafka.create_topic(&from, 4);
    kafka.create_topic(&to, 1);
    kafka.produce(&from, (0..60_000).map(|i| (i.to_string(), "x")));
    let more = format!("output = {to:?}\n[plugins.stamp.budget]\nrate = \"50/s\"");
    let host = Site::new(&kafka.bootstrap(), &section("stamp", &from, &more)).start();
    let handled = || host.outcomes("stamp", "handled");
    host.wait_handled("stamp", 1);
    // How many are handled by the time that each rate has been watched; none is off.
    let mut ends = Vec::new();
    for rate in [50.0, 200.0, f64::INFINITY, 10.0] {
        let body = if rate.is_finite() {
            format!("{{\"rate\": \"{rate}/s\"}}")
        } else {
            "{\"rate\": null}".to_owned()
        };
        let (status, answer) = patch(&host, "stamp", &body);
        assert_eq!(status, 200, "{answer}");
        let before = handled();
        let wanted = if rate.is_finite() { (rate * WATCHED_S) as u64 } else { 5_000 };
        host.wait_handled("stamp", before + wanted);
        ends.push((rate, before));
    }
    let (_, shown) = host.get("/api/v1/plugins/stamp");
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!((&shown["budget"]["rate"], &shown["configured"]["rate"]), (&"10/s".into(), &"50/s".into()));
    // The first was no change.
    assert_eq!(shown["changes"].as_array().map(Vec::len), Some(3), "{}", shown["changes"]);
    assert_eq!(host.stop(), 0);
    let outputs = kafka.consume_all(&to, Isolation::ReadCommitted);
    let mut starts: Vec<f64> =
        outputs.iter().map(|stored| stored.text().parse::<f64>().expect("a time") / 1e9).collect();
    starts.sort_by(f64::total_cmp);
    for (index, (rate, from)) in ends.iter().enumerate().filter(|(_, (rate, _))| rate.is_finite()) {
        let until = ends.get(index + 1).map_or(starts.len(), |(_, next)| *next as usize);
        // What was in flight when the rate changed may still belong to the one before.
        let own = &starts[(*from as usize + 10).min(until)..until];
        for (first, from) in own.iter().enumerate() {
            for (count, to) in own[first..].iter().enumerate() {
                let most = rate * (to - from + 0.005) + 1.0 + LATE_STAMPS;
                assert!(count as f64 + 1.0 <= most, "{} starts in {} s at {rate}/s", count + 1, to - from);
            }
        }
    }
}

#[test]
fn a_budget_that_cannot_be_changes_nothing_and_says_everything() {
    let kafka = Kafka::shared();
    let from = Kafka::unique("wrong");
    kafka.create_topic(&from, 1);
    let host = Site::new(&kafka.bootstrap(), &section("noop", &from, "")).start();
    host.wait_ready();
    for body in
        ["{\"concurrency\": 0, \"rate\": \"-5/s\"}", "{\"memory\": \"1TiB\"}", "{\"speed\": 1}", "[]", "{"]
    {
        let (status, answer) = patch(&host, "noop", body);
        assert!((400..500).contains(&status), "{body}: {status} {answer}");
        assert!(answer["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{answer}");
    }
    let (_, shown) = host.get("/api/v1/plugins/noop");
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(shown["budget"], shown["configured"]);
    assert_eq!(host.stop(), 0);
}
