//! `scope = "group"`: hosts of one group keep one rate together, whatever partitions they own.

use crate::world::host::{Site, section};
use crate::world::kafka::{Isolation, Kafka};

#[test]
fn hosts_of_a_group_keep_one_rate_while_partitions_move() {
    const RATE: f64 = 50.0;
    /// Stamps that a busy machine may have held up on their way.
    const LATE_STAMPS: f64 = 10.0;
    let kafka = Kafka::shared();
    let (from, to) = (Kafka::unique("group-rate"), Kafka::unique("group-rate-out"));
    kafka.create_topic(&from, 8);
    kafka.create_topic(&to, 1);
    kafka.produce(&from, (0..1_000).map(|i| (i.to_string(), "x")));
    let more = format!("output = {to:?}\n[plugins.stamp.budget]\nrate = \"50/s\"\nscope = \"group\"");
    let toml = section("stamp", &from, &more);
    let [one, two] = [(); 2].map(|()| Site::new(&kafka.bootstrap(), &toml));
    let first = one.start();
    first.wait_handled("stamp", 50);
    let second = two.start();
    second.wait_handled("stamp", 50);
    assert_eq!(first.stop(), 0);
    let before = second.outcomes("stamp", "handled");
    second.wait_handled("stamp", before + 100);
    assert_eq!(second.stop(), 0);
    let outputs = kafka.consume_all(&to, Isolation::ReadCommitted);
    let nanos = |text: String| text.parse::<f64>().expect("a time");
    let mut starts: Vec<f64> = outputs.iter().map(|stored| nanos(stored.text()) / 1e9).collect();
    starts.sort_by(f64::total_cmp);
    assert!(starts.len() >= 200);
    // Two hosts that each took the whole rate would be at twice as much within any second.
    for (index, from) in starts.iter().enumerate() {
        for (more, to) in starts[index..].iter().enumerate() {
            let (window, starts) = (to - from, more as f64 + 1.0);
            let most = RATE * (window + 0.005) + 1.0 + LATE_STAMPS;
            assert!(starts <= most, "{starts} starts in {window} s");
        }
    }
}
