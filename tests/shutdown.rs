//! Signals: the first drains what is in flight and commits it, the second ends at once, and what takes too long is
//! abandoned and comes again.

use rustix::process::Signal;

use crate::world::host::{Host, Site, section};
use crate::world::kafka::{Isolation, Kafka};
use crate::world::tally::Tally;

#[test]
fn what_is_in_flight_is_finished_and_committed() {
    let kafka = Kafka::shared();
    let (from, to) = (Kafka::unique("drained"), Kafka::unique("drained-out"));
    kafka.create_topic(&from, 1);
    kafka.create_topic(&to, 1);
    kafka.produce(&from, (0..40).map(|i| (i.to_string(), format!("sleep:2000 {i}"))));
    let more = format!("output = {to:?}\n[plugins.poison.budget]\nconcurrency = 5");
    let site = Site::new(&kafka.bootstrap(), &section("poison", &from, &more));
    let host = site.start();
    wait_in_flight(&host, 5);
    assert_eq!(host.stop(), 0);
    let outputs = kafka.consume_all(&to, Isolation::ReadUncommitted).len();
    assert!(outputs >= 5, "what was in flight came out: {outputs}");
    assert!(outputs < 40, "what had not started did not");
    assert_eq!(kafka.committed(&from, &from), [Some(outputs as i64)]);
    site.write(&kafka.bootstrap(), &section("poison", &from, &more.replace("= 5", "= 40")));
    let host = site.start();
    host.wait_handled("poison", 40 - outputs as u64);
    assert_eq!(host.stop(), 0);
    let wanted = (0..40).map(|i| format!("sleep:2000 {i}"));
    Tally::of(&kafka.consume_all(&to, Isolation::ReadUncommitted)).assert_once(wanted);
}

#[test]
fn an_interrupt_is_as_good_as_a_termination() {
    let kafka = Kafka::shared();
    let from = Kafka::unique("interrupted");
    kafka.create_topic(&from, 1);
    kafka.produce(&from, (0..100).map(|i| (i.to_string(), "x")));
    let mut host = Site::new(&kafka.bootstrap(), &section("noop", &from, "")).start();
    host.wait_handled("noop", 100);
    host.signal(Signal::INT);
    assert_eq!(host.wait_exit(), 0);
    assert_eq!(kafka.committed(&from, &from), [Some(100)]);
}

#[test]
fn a_second_signal_ends_at_once() {
    let kafka = Kafka::shared();
    let from = Kafka::unique("impatient");
    kafka.create_topic(&from, 1);
    kafka.produce(&from, [("key", "hang")]);
    // Both far beyond what a test waits.
    let more = "drain = \"4m\"\n[plugins.poison.budget]\ntimeout = \"10m\"";
    let mut host = Site::new(&kafka.bootstrap(), &section("poison", &from, more)).start();
    wait_in_flight(&host, 1);
    host.signal(Signal::TERM);
    host.wait_for("to drain", || host.get("/readyz").1.contains("draining"));
    host.signal(Signal::TERM);
    assert_eq!(host.wait_exit(), 1);
    assert_ne!(kafka.committed(&from, &from), [Some(1)]);
}

#[test]
fn what_takes_longer_than_the_drain_is_abandoned_and_comes_again() {
    let kafka = Kafka::shared();
    let (from, to) = (Kafka::unique("abandoned"), Kafka::unique("abandoned-out"));
    kafka.create_topic(&from, 1);
    kafka.create_topic(&to, 1);
    kafka.produce(
        &from,
        (0..10).map(|i| (i.to_string(), if i == 2 { "hang".into() } else { format!("ok {i}") })),
    );
    let more = format!("output = {to:?}\ndrain = \"1s\"\n[plugins.poison.budget]\ntimeout = \"10m\"");
    let site = Site::new(&kafka.bootstrap(), &section("poison", &from, &more));
    let host = site.start();
    host.wait_handled("poison", 9);
    assert_eq!(host.stop(), 0);
    assert_eq!(kafka.committed(&from, &from), [Some(2)], "no further than the message that hangs");
    site.write(&kafka.bootstrap(), &section("echo", &from, &format!("output = {to:?}")));
    let host = site.start();
    host.wait_handled("echo", 1);
    host.wait_for("to have no lag", || host.has_no_lag(1));
    assert_eq!(host.stop(), 0);
    let tally = Tally::of(&kafka.consume_all(&to, Isolation::ReadUncommitted));
    assert_eq!(
        (tally.distinct(), tally.repeated()),
        (10, 0),
        "what had finished behind it does not come again"
    );
}

fn wait_in_flight(host: &Host, messages: u64) {
    host.wait_for("to be busy", || host.metric("gristmill_in_flight", &[]) >= messages as f64);
}
