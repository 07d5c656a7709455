//! Lanes: what is never handled at the same time, and what therefore comes out in the order in which it went in.

use std::collections::HashMap;

use crate::world::host::{Site, section};
use crate::world::kafka::{Isolation, Kafka, Record, Stored};

const KEYS: usize = 100;
const MESSAGES: usize = 5_000;

/// Message number `i` takes 0 to 4 ms, so that those that are free to overtake do.
fn uneven(i: usize) -> String {
    format!("sleep:{} {i}", i * 7 % 5)
}

#[test]
fn the_messages_of_a_key_come_out_in_order() {
    let outputs = handle("key", (0..MESSAGES).map(|i| Record::new((i % KEYS).to_string(), uneven(i))));
    let lanes = by(&outputs, |output| output.key.clone());
    assert_eq!(lanes.len(), KEYS);
    for (key, numbers) in lanes {
        assert!(numbers.is_sorted(), "key {key:?} came out as {numbers:?}");
    }
    let all: Vec<usize> = outputs.iter().map(number).collect();
    assert!(!all.is_sorted(), "different keys go side by side");
}

#[test]
fn the_messages_of_a_partition_come_out_in_order() {
    const PARTITIONS: usize = 4;
    // Less than of keys, because only four go side by side.
    let messages = (0..1_000).map(|i| {
        Record::new((i % KEYS).to_string(), uneven(i))
            .on_partition((i % PARTITIONS) as i32)
            .with_header("partition", (i % PARTITIONS).to_string())
    });
    let outputs = handle("partition", messages);
    let lanes = by(&outputs, |output| output.header("partition"));
    assert_eq!(lanes.len(), PARTITIONS);
    for (partition, numbers) in lanes {
        assert!(numbers.is_sorted(), "partition {partition:?} came out as {numbers:?}");
    }
}

/// Has messages handled 64 at a time and returns the outputs in the order in which they were made: they go to one
/// partition.
fn handle(order: &str, records: impl ExactSizeIterator<Item = Record>) -> Vec<Stored> {
    let kafka = Kafka::shared();
    let (from, to) = (Kafka::unique("ordered"), Kafka::unique("ordered-out"));
    kafka.create_topic(&from, 4);
    kafka.create_topic(&to, 1);
    let messages = records.len();
    kafka.produce(&from, records);
    let more = format!(
        "output = {to:?}\norder = {order:?}\n[plugins.poison.budget]\nconcurrency = 64\nbuffer = 1000"
    );
    let host = Site::new(&kafka.bootstrap(), &section("poison", &from, &more)).start();
    host.wait_handled("poison", messages as u64);
    assert_eq!(host.stop(), 0);
    let outputs = kafka.consume_all(&to, Isolation::ReadUncommitted);
    assert_eq!(outputs.len(), messages);
    outputs
}

fn number(output: &Stored) -> usize {
    let text = output.text();
    let (_, number) = text.split_once(' ').expect("a wish and a number");
    number.parse().expect("a number")
}

fn by<L: std::hash::Hash + Eq>(outputs: &[Stored], lane: impl Fn(&Stored) -> L) -> HashMap<L, Vec<usize>> {
    let mut lanes: HashMap<L, Vec<usize>> = HashMap::new();
    for output in outputs {
        lanes.entry(lane(output)).or_default().push(number(output));
    }
    lanes
}

#[test]
fn two_messages_of_a_key_are_never_in_flight_at_once() {
    assert_eq!(most_in_flight("key", 20, |i| Record::new("one", format!("sleep:50 {i}"))), 1);
}

#[test]
fn two_messages_of_a_partition_are_never_in_flight_at_once() {
    let record = |i: usize| Record::new(i.to_string(), format!("sleep:50 {i}")).on_partition(0);
    assert_eq!(most_in_flight("partition", 20, record), 1);
}

#[test]
fn messages_without_order_or_key_go_side_by_side() {
    assert!(most_in_flight("none", 64, |i| Record::new("one", format!("sleep:2000 {i}"))) > 8);
    let keyless = |i| Record::without_key(format!("sleep:2000 {i}")).on_partition(0);
    assert!(most_in_flight("key", 64, keyless) > 8);
}

/// Looks how many messages are in flight until all are handled, and returns the most. What is in flight between two
/// looks shows in the outputs: one that takes so many milliseconds is made at least that much after the one before it.
fn most_in_flight(order: &str, messages: usize, record: impl Fn(usize) -> Record) -> u64 {
    let kafka = Kafka::shared();
    let (from, to) = (Kafka::unique("lane"), Kafka::unique("lane-out"));
    kafka.create_topic(&from, 2);
    kafka.create_topic(&to, 1);
    kafka.produce(&from, (0..messages).map(record));
    let more = format!("output = {to:?}\norder = {order:?}\n[plugins.poison.budget]\nconcurrency = 64");
    let host = Site::new(&kafka.bootstrap(), &section("poison", &from, &more)).start();
    let mut most = 0;
    host.wait_for("to handle its messages", || {
        most = most.max(host.metric("gristmill_in_flight", &[]) as u64);
        host.outcomes("poison", "handled") == messages as u64
    });
    if most == 1 {
        let outputs = kafka.consume_all(&to, Isolation::ReadUncommitted);
        let times: Vec<i64> = outputs.iter().filter_map(|output| output.timestamp).collect();
        let closest = times.windows(2).map(|pair| pair[1] - pair[0]).min();
        // A clock that is set slower may take a millisecond away.
        assert!(closest >= Some(49), "two were in flight at once: {times:?}");
    }
    most
}
