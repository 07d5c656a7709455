//! What is held in memory is bounded, in messages and in bytes, however much Kafka has; and all of it is handled.

use crate::world::host::{Host, Site, section};
use crate::world::kafka::{Kafka, Record};

const MIB: f64 = 1_048_576.0;

#[test]
fn never_more_messages_are_held_than_the_buffer_says() {
    let kafka = Kafka::shared();
    let from = Kafka::unique("waiting");
    kafka.create_topic(&from, 8);
    kafka.produce(&from, (0..2_000).map(|i| (i.to_string(), "x".repeat(1_000))));
    let more = "config = { wait_ms = \"5\" }\n[plugins.wait.budget]\nbuffer = 10\nconcurrency = 4";
    let host = Site::new(&kafka.bootstrap(), &section("wait", &from, more)).start();
    let most = watch(&host, "gristmill_buffer_messages", || host.outcomes("wait", "handled") == 2_000);
    assert!((1.0..=10.0).contains(&most), "{most} messages were held");
    assert_eq!(host.stop(), 0);
}

#[test]
fn never_more_bytes_are_held_than_the_buffer_says() {
    const MESSAGES: u64 = 400;
    let kafka = Kafka::shared();
    let from = Kafka::unique("heavy");
    kafka.create_topic(&from, 4);
    let heavy = "x".repeat(900_000);
    kafka.produce(&from, (0..MESSAGES).map(|i| (i.to_string(), heavy.clone())));
    let more = "config = { wait_ms = \"5\" }\n[plugins.wait.budget]\nbuffer_bytes = \"4MiB\"";
    let host = Site::new(&kafka.bootstrap(), &section("wait", &from, more)).start();
    let mut memory: u64 = 0;
    let most = watch(&host, "gristmill_buffer_bytes", || {
        memory = memory.max(host.memory_bytes());
        host.outcomes("wait", "handled") == MESSAGES
    });
    assert!((1.0..=4.0 * MIB).contains(&most), "{most} bytes were held");
    println!("{} MiB resident at most", memory >> 20);
    // All of it would be 343 MiB beside what the host needs anyway.
    assert!(memory < 200 << 20, "{} MiB are resident", memory >> 20);
    assert_eq!(host.stop(), 0);
}

#[test]
fn a_message_larger_than_the_buffer_passes_alone() {
    let kafka = Kafka::shared();
    let from = Kafka::unique("huge");
    kafka.create_topic(&from, 2);
    let heavy = "x".repeat(900_000);
    let record = |i: i32| {
        let payload = if i % 10 == 5 { heavy.as_str() } else { "light" };
        Record::new(i.to_string(), payload).on_partition(i % 2)
    };
    kafka.produce(&from, (0..100).map(record));
    let more = "[plugins.noop.budget]\nbuffer_bytes = \"64KiB\"";
    let host = Site::new(&kafka.bootstrap(), &section("noop", &from, more)).start();
    host.wait_handled("noop", 100);
    assert_eq!(host.stop(), 0);
    assert_eq!(kafka.committed(&from, &from), [Some(50), Some(50)]);
}

/// Looks at a gauge until it is done, and returns the most that it was.
fn watch(host: &Host, gauge: &str, mut done: impl FnMut() -> bool) -> f64 {
    let mut most: f64 = 0.0;
    host.wait_for("to handle its messages", || {
        most = most.max(host.metric(gauge, &[]));
        done()
    });
    most
}
