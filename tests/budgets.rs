//! Budgets change while messages flow, and hold at once for all that has not started. Starts are measured from outside, by
//! the times that the guest `stamp` puts into its outputs.

use std::time::{SystemTime, UNIX_EPOCH};

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
    kafka.produce(&from, (0..400_000).map(|i| (i.to_string(), "x")));
    let more = format!("output = {to:?}\n[plugins.stamp.budget]\nrate = \"50/s\"");
    let host = Site::new(&kafka.bootstrap(), &section("stamp", &from, &more)).start();
    host.wait_handled("stamp", 1);
    // Between when each rate was in effect; none is off.
    let mut spans = Vec::new();
    for rate in [50.0, 200.0, f64::INFINITY, 10.0] {
        let body = if rate.is_finite() {
            format!("{{\"rate\": \"{rate}/s\"}}")
        } else {
            "{\"rate\": null}".to_owned()
        };
        let (status, answer) = patch(&host, "stamp", &body);
        assert_eq!(status, 200, "{answer}");
        let from = now();
        host.wait_for("to be watched long enough", || now() - from >= WATCHED_S);
        spans.push((rate, from, now()));
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
    for (rate, from, until) in spans.into_iter().filter(|(rate, ..)| rate.is_finite()) {
        let own: Vec<f64> = starts.iter().copied().filter(|start| (from..until).contains(start)).collect();
        assert!(own.len() as f64 >= rate * WATCHED_S / 2.0, "{} starts at {rate}/s", own.len());
        for (first, from) in own.iter().enumerate() {
            for (count, to) in own[first..].iter().enumerate() {
                let most = rate * (to - from + 0.005) + 1.0 + LATE_STAMPS;
                assert!(count as f64 + 1.0 <= most, "{} starts in {} s at {rate}/s", count + 1, to - from);
            }
        }
    }
}

/// Seconds since the Unix epoch, as the guest has them.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |now| now.as_secs_f64())
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
