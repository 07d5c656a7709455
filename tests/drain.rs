//! A backlog is drained to its end: every message is handled, and Kafka is told so.

use crate::world::host::{Site, section};
use crate::world::kafka::{Isolation, Kafka, Record};
use crate::world::tally::Tally;

#[test]
fn a_backlog_on_fifty_partitions_is_drained_and_committed() {
    let kafka = Kafka::shared();
    let from = Kafka::unique("backlog");
    kafka.create_topic(&from, 50);
    kafka.produce(&from, (0..100_000).map(|i| (i.to_string(), "x".repeat(100))));
    let budget = "[plugins.noop.budget]\nbuffer = 10000";
    let host = Site::new(&kafka.bootstrap(), &section("noop", &from, budget)).start();
    host.wait_ready();
    host.wait_handled("noop", 100_000);
    assert_eq!(host.outcomes("noop", "handled"), 100_000);
    assert_eq!(host.metric("gristmill_in_flight", &[]), 0.0);
    host.wait_for("to have no lag", || host.has_no_lag(50));
    assert_eq!(host.stop(), 0);
    let committed: Vec<i64> = kafka.committed(&from, &from).into_iter().flatten().collect();
    assert_eq!(committed, kafka.end_offsets(&from));
}

#[test]
fn every_message_has_one_output_when_nothing_fails() {
    let kafka = Kafka::shared();
    let (from, to) = (Kafka::unique("backlog"), Kafka::unique("echoed"));
    kafka.create_topic(&from, 50);
    kafka.create_topic(&to, 4);
    kafka.produce(&from, (0..20_000).map(|i| (format!("key {i}"), i.to_string())));
    let more = format!("output = {to:?}\n[plugins.echo.budget]\nbuffer = 2000");
    let host = Site::new(&kafka.bootstrap(), &section("echo", &from, &more)).start();
    host.wait_handled("echo", 20_000);
    assert_eq!(host.stop(), 0);
    Tally::of(&kafka.consume_all(&to, Isolation::ReadUncommitted)).assert_once(0..20_000);
    let committed: Vec<i64> = kafka.committed(&from, &from).into_iter().flatten().collect();
    assert_eq!(committed, kafka.end_offsets(&from));
}

#[test]
fn a_message_comes_out_as_it_went_in() {
    let kafka = Kafka::shared();
    let (from, to) = (Kafka::unique("shapes"), Kafka::unique("shapes-echoed"));
    kafka.create_topic(&from, 1);
    kafka.create_topic(&to, 1);
    let shapes = [
        Record::new("key", "payload").with_header("name", "value").with_header("name", "another"),
        Record::new("", ""),
        Record::tombstone("gone"),
        Record::without_key("nobody's"),
        Record::new([0xff, 0x00], [0x80, 0x00, 0xc3]),
    ];
    kafka.produce(&from, shapes.clone());
    // One after the other, so that they come out in the same order.
    let more = format!("output = {to:?}\norder = \"partition\"");
    let host = Site::new(&kafka.bootstrap(), &section("echo", &from, &more)).start();
    host.wait_handled("echo", shapes.len() as u64);
    let outputs = kafka.consume_all(&to, Isolation::ReadCommitted);
    assert_eq!(outputs.len(), shapes.len());
    for (shape, output) in shapes.iter().zip(outputs) {
        assert_eq!((&shape.key, &shape.payload), (&output.key, &output.payload));
        assert_eq!(shape.headers, output.headers);
    }
}
