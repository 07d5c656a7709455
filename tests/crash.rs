//! The host is killed in the middle of its work, as by a power cut: nothing is lost, and what is repeated is bounded.

use crate::world::host::{Site, section};
use crate::world::kafka::{Isolation, Kafka};
use crate::world::tally::Tally;

/// Starts in a second.
const RATE: usize = 2_000;

/// Messages that may be in flight.
const CONCURRENCY: usize = 10;

/// What one kill may repeat: what was in flight, and what finished since the last commit. That is sent once a second;
/// another second is for a machine that was too busy to send it in time.
const REPEATED_MAX: usize = CONCURRENCY + 2 * RATE;

#[test]
fn killed_again_and_again_it_loses_nothing_and_repeats_little() {
    const MESSAGES: usize = 40_000;
    const KILLS: usize = 5;
    let kafka = Kafka::shared();
    let (from, to) = (Kafka::unique("crash"), Kafka::unique("crashed"));
    kafka.create_topic(&from, 10);
    kafka.create_topic(&to, 4);
    kafka.produce(&from, (0..MESSAGES).map(|i| (i.to_string(), i.to_string())));
    // The group misses a killed member after the session timeout.
    let more = format!(
        "output = {to:?}\n[plugins.echo.budget]\nrate = \"{RATE}/s\"\nconcurrency = {CONCURRENCY}\n\
         [plugins.echo.kafka.options]\n\"session.timeout.ms\" = \"2000\"\n\"heartbeat.interval.ms\" = \"300\""
    );
    let site = Site::new(&kafka.bootstrap(), &section("echo", &from, &more));
    let mut repeated_before = 0;
    for kill in 1..=KILLS {
        let host = site.start();
        host.wait_handled("echo", 5_000);
        host.kill();
        // What this start repeated goes back to the kill before it.
        let repeated = Tally::of(&kafka.consume_all(&to, Isolation::ReadUncommitted)).repeated();
        let by_kill = repeated - repeated_before;
        assert!(by_kill <= REPEATED_MAX, "{by_kill} messages are repeated after kill {}", kill - 1);
        println!("after kill {}: {by_kill} repeated", kill - 1);
        repeated_before = repeated;
    }
    let host = site.start();
    host.wait_for("to have no lag", || host.has_no_lag(10));
    assert_eq!(host.stop(), 0);
    let tally = Tally::of(&kafka.consume_all(&to, Isolation::ReadUncommitted));
    let by_kill = tally.repeated() - repeated_before;
    assert!(by_kill <= REPEATED_MAX, "{by_kill} messages are repeated after the last kill");
    println!("after kill {KILLS}: {by_kill} repeated; in all {}", tally.repeated());
    assert_eq!(tally.lost(0..MESSAGES), Vec::<String>::new());
    assert_eq!(tally.distinct(), MESSAGES);
}
