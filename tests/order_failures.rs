//! The order of each key when nothing goes smoothly: messages fail and are tried again, hosts join, and one is killed.

use std::collections::{HashMap, HashSet};

use crate::world::host::{Site, section};
use crate::world::kafka::{Isolation, Kafka, Record, Stored};
use crate::world::tally::Tally;

const MESSAGES: usize = 6_000;
const KEYS: usize = 100;

/// Starts in a second, of each host.
const RATE: usize = 800;

/// Messages at the same time, of each host.
const CONCURRENCY: usize = 64;

/// Message number `i`: some take longer than others, and some are handled only at their second or third attempt.
fn payload(i: usize) -> String {
    let wish = match i % 10 {
        0 => "until:2:retry:30".to_owned(),
        3 => "until:3:retry".to_owned(),
        7 if i % 100 == 7 => "until:2:trap".to_owned(),
        _ => format!("sleep:{}", i % 5),
    };
    format!("{wish} {i}")
}

#[test]
fn keys_keep_their_order_through_retries_a_rebalance_and_a_crash() {
    let kafka = Kafka::shared();
    let (from, to) = (Kafka::unique("rough"), Kafka::unique("rough-out"));
    kafka.create_topic(&from, 6);
    // One partition, so that outputs are read in the order of their making.
    kafka.create_topic(&to, 1);
    kafka.produce(&from, (0..MESSAGES).map(|i| Record::new((i % KEYS).to_string(), payload(i))));
    let more = format!(
        "output = {to:?}\n[plugins.poison.budget]\nrate = \"{RATE}/s\"\nconcurrency = {CONCURRENCY}\nbuffer = 500\n\
         memory = \"32MiB\"\n[plugins.poison.retry]\nbackoff = \"20ms\"\n[plugins.poison.kafka.options]\n\
         \"session.timeout.ms\" = \"2000\"\n\"heartbeat.interval.ms\" = \"300\""
    );
    let site = Site::new(&kafka.bootstrap(), &section("poison", &from, &more));
    let first = site.start();
    first.wait_handled("poison", 1_000);
    let second = site.start();
    second.wait_handled("poison", 500);
    let outputs = kafka.consume_all(&to, Isolation::ReadUncommitted);
    assert_eq!(Tally::of(&outputs).repeated(), 0, "a host that joins makes nobody handle anything twice");
    let seen = outputs.len();
    first.kill();
    assert!(seen < MESSAGES, "the test is over before it began");
    second.wait_for("to have no lag", || second.has_no_lag(6));
    for outcome in ["dead-lettered", "parked", "skipped"] {
        assert_eq!(second.outcomes("poison", outcome), 0);
    }
    assert_eq!(second.stop(), 0);

    let outputs = kafka.consume_all(&to, Isolation::ReadUncommitted);
    let tally = Tally::of(&outputs);
    assert_eq!(tally.lost((0..MESSAGES).map(payload)), Vec::<String>::new());
    assert_eq!(tally.distinct(), MESSAGES);
    // In flight, and what finished since the last commit: a second of the rate, and one more for a busy machine.
    assert!(tally.repeated() <= CONCURRENCY + 2 * RATE, "{} are repeated", tally.repeated());
    println!("{} repeated", tally.repeated());
    let lanes = first_occurrences(&outputs);
    assert_eq!(lanes.len(), KEYS);
    for (key, numbers) in lanes {
        assert!(numbers.is_sorted(), "key {key:?} came out as {numbers:?}");
    }
}

/// For each key, the numbers of its messages in the order in which each came out first.
fn first_occurrences(outputs: &[Stored]) -> HashMap<Option<Vec<u8>>, Vec<usize>> {
    let mut seen = HashSet::new();
    let mut lanes: HashMap<Option<Vec<u8>>, Vec<usize>> = HashMap::new();
    for output in outputs {
        let text = output.text();
        let (_, number) = text.split_once(' ').expect("a wish and a number");
        let number = number.parse().expect("a number");
        if seen.insert(number) {
            lanes.entry(output.key.clone()).or_default().push(number);
        }
    }
    lanes
}
