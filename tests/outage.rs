//! Brokers and topics that are not there: the host says so, keeps trying, and goes on by itself once they are.

use crate::world::host::{Host, Site, section};
use crate::world::kafka::{Isolation, Kafka};
use crate::world::tally::Tally;

#[test]
fn a_broker_that_is_not_there_yet_is_waited_for() {
    let mut kafka = Kafka::start();
    kafka.create_topic("in", 2);
    kafka.create_topic("out", 1);
    kafka.produce("in", (0..100).map(|i| (i.to_string(), i.to_string())));
    kafka.stop();
    let (sends, sends_nothing) = (section("echo", "in", "output = \"out\""), section("noop", "in", ""));
    let sends_nothing = sends_nothing.replace("group = \"in\"", "group = \"another\"");
    let host = Site::new(&kafka.bootstrap(), &format!("{sends}{sends_nothing}")).start();
    host.wait_for("to say that Kafka is missing", || {
        let (status, reasons) = host.get("/readyz");
        status == 503 && ["echo", "noop", &kafka.bootstrap()].iter().all(|word| reasons.contains(word))
    });
    assert_eq!(host.get("/healthz").0, 200);
    kafka.restart();
    host.wait_ready();
    host.wait_handled("echo", 100);
    host.wait_handled("noop", 100);
    assert_eq!(host.stop(), 0);
    Tally::of(&kafka.consume_all("out", Isolation::ReadUncommitted)).assert_once(0..100);
}

#[test]
fn a_broker_that_goes_away_and_comes_back_loses_nothing() {
    const MESSAGES: u32 = 4_000;
    let mut kafka = Kafka::start();
    kafka.create_topic("in", 5);
    kafka.create_topic("out", 2);
    kafka.produce("in", (0..MESSAGES).map(|i| (i.to_string(), i.to_string())));
    // A broker that is killed may forget its members; how soon they are in the group again is the session's timeout.
    let more = "output = \"out\"\n[plugins.echo.budget]\nrate = \"500/s\"\n\
        [plugins.echo.kafka.options]\n\"session.timeout.ms\" = \"6000\"\n\"heartbeat.interval.ms\" = \"500\"";
    let host = Site::new(&kafka.bootstrap(), &section("echo", "in", more)).start();
    host.wait_handled("echo", 500);
    kafka.stop();
    wait_not_ready(&host);
    kafka.restart();
    host.wait_ready();
    host.wait_handled("echo", 1_000);
    kafka.kill();
    wait_not_ready(&host);
    kafka.restart();
    host.wait_ready();
    // A commit right behind an outage may find the group not there yet: it is sent again.
    host.wait_for("to commit everything", || {
        let committed: Vec<i64> = kafka.committed("in", "in").into_iter().flatten().collect();
        committed == kafka.end_offsets("in")
    });
    assert_eq!(host.stop(), 0);
    let tally = Tally::of(&kafka.consume_all("out", Isolation::ReadUncommitted));
    assert_eq!(tally.lost(0..MESSAGES), Vec::<String>::new());
    println!("{} repeated over two outages", tally.repeated());
    // Twice at most what was in flight or held (110) and what could not be committed: a second of the rate before the
    // outage, one behind it until the host knows that it is no member any more, and one for a busy machine.
    assert!(tally.repeated() <= 2 * (110 + 3 * 500), "{} are repeated", tally.repeated());
}

fn wait_not_ready(host: &Host) {
    host.wait_for("to notice that Kafka is gone", || host.get("/readyz").0 == 503);
}

#[test]
fn a_broker_that_is_away_does_not_hold_up_the_end() {
    let mut kafka = Kafka::start();
    kafka.create_topic("in", 2);
    let host = Site::new(&kafka.bootstrap(), &section("noop", "in", "")).start();
    kafka.produce("in", (0..100).map(|i| (i.to_string(), "x")));
    host.wait_handled("noop", 100);
    kafka.kill();
    wait_not_ready(&host);
    assert_eq!(host.stop(), 0);
}

#[test]
fn a_missing_output_topic_is_named_and_waited_for() {
    let kafka = Kafka::shared();
    let (from, to) = (Kafka::unique("in"), Kafka::unique("missing"));
    kafka.create_topic(&from, 2);
    kafka.produce(&from, (0..100).map(|i| (i.to_string(), i.to_string())));
    let host = Site::new(&kafka.bootstrap(), &section("echo", &from, &format!("output = {to:?}"))).start();
    host.wait_for("to name the missing topic", || {
        let (status, reasons) = host.get("/readyz");
        status == 503
            && reasons.contains(&format!("topic `{to}` does not exist"))
            && reasons.contains(&format!("--create --topic {to}"))
            && reasons.contains("create_topics")
    });
    assert!(!host.logged(&format!("topic `{to}` does not exist")).is_empty(), "the log says it too");
    assert_eq!(host.outcomes("echo", "handled"), 0);
    kafka.create_topic(&to, 1);
    host.wait_ready();
    host.wait_handled("echo", 100);
    assert_eq!(host.stop(), 0);
    Tally::of(&kafka.consume_all(&to, Isolation::ReadUncommitted)).assert_once(0..100);
}

#[test]
fn a_missing_output_topic_is_made_when_the_settings_say_so() {
    let kafka = Kafka::shared();
    let (from, to) = (Kafka::unique("in"), Kafka::unique("made"));
    kafka.create_topic(&from, 2);
    kafka.produce(&from, (0..100).map(|i| (i.to_string(), i.to_string())));
    let more = format!("output = {to:?}\n[plugins.echo.kafka]\ncreate_topics = true");
    let host = Site::new(&kafka.bootstrap(), &section("echo", &from, &more)).start();
    host.wait_handled("echo", 100);
    assert_eq!(host.stop(), 0);
    Tally::of(&kafka.consume_all(&to, Isolation::ReadUncommitted)).assert_once(0..100);
}

#[test]
fn a_missing_input_topic_is_told_and_waited_for() {
    let kafka = Kafka::shared();
    let from = Kafka::unique("not-there-yet");
    let host = Site::new(&kafka.bootstrap(), &section("noop", &from, "")).start();
    host.wait_for("to name the missing topic", || {
        let (status, reasons) = host.get("/readyz");
        status == 503 && reasons.contains(&from)
    });
    kafka.create_topic(&from, 2);
    kafka.produce(&from, (0..100).map(|i| (i.to_string(), "x")));
    host.wait_handled("noop", 100);
    host.wait_ready();
}
