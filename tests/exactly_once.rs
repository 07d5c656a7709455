//! `delivery = "exactly-once"`: whatever happens to hosts and brokers, who reads what is committed finds the output of
//! each message once, in the order of its key.

use rustix::process::Signal;

use crate::world::host::{Host, Site, section};
use crate::world::kafka::{Isolation, Kafka};
use crate::world::tally::Tally;

/// Topics and settings of one case.
struct Case {
    from: String,
    to: String,
    toml: String,
}

impl Case {
    fn new(kafka: &Kafka, name: &str, more: &str) -> Case {
        let (from, to) = (Kafka::unique(name), Kafka::unique("once"));
        kafka.create_topic(&from, 6);
        kafka.create_topic(&to, 3);
        let more = format!(
            "output = {to:?}\ndelivery = \"exactly-once\"\n[plugins.echo.kafka.options]\n\
             \"session.timeout.ms\" = \"6000\"\n\"heartbeat.interval.ms\" = \"300\"\n{more}"
        );
        let toml = section("echo", &from, &more);
        Case { from, to, toml }
    }

    /// `messages` of 50 keys, numbered.
    fn produce(&self, kafka: &Kafka, messages: std::ops::Range<usize>) {
        kafka.produce(&self.from, messages.map(|i| (format!("key {}", i % 50), i.to_string())));
    }

    fn committed(&self, kafka: &Kafka) -> usize {
        kafka.consume_all(&self.to, Isolation::ReadCommitted).len()
    }

    /// Each of so many messages came out once, those of a key in order.
    fn assert_once_in_order(&self, kafka: &Kafka, messages: usize) {
        let outputs = kafka.consume_all(&self.to, Isolation::ReadCommitted);
        Tally::of(&outputs).assert_once(0..messages);
        let mut last = std::collections::HashMap::new();
        for output in &outputs {
            let number: usize = output.text().parse().expect("a number");
            let before = last.insert(output.key.clone(), number);
            assert!(before.is_none_or(|before| before < number), "{number} came after {before:?}");
        }
    }
}

fn wait_all(host: &Host, kafka: &Kafka, case: &Case, messages: usize) {
    host.wait_for("to have all outputs committed", || case.committed(kafka) >= messages);
}

#[test]
fn a_host_that_is_killed_again_and_again_repeats_nothing() {
    const MESSAGES: usize = 30_000;
    const KILLS: usize = 6;
    let kafka = Kafka::shared();
    let case = Case::new(kafka, "once-killed", "[plugins.echo.budget]\nrate = \"3000/s\"\nburst = 100");
    case.produce(kafka, 0..MESSAGES);
    let site = Site::new(&kafka.bootstrap(), &case.toml);
    for kill in 1..=KILLS {
        let host = site.start();
        let before = case.committed(kafka);
        host.wait_for("to go on", || host.outcomes("echo", "handled") >= 500 + 137 * kill as u64);
        host.kill();
        assert!(before < MESSAGES, "the kills come too late to mean anything");
    }
    let host = site.start();
    wait_all(&host, kafka, &case, MESSAGES);
    assert_eq!(host.stop(), 0);
    case.assert_once_in_order(kafka, MESSAGES);
    println!("repeated after {KILLS} kills, read uncommitted: {}", {
        Tally::of(&kafka.consume_all(&case.to, Isolation::ReadUncommitted)).repeated()
    });
}

#[test]
fn a_zombie_commits_and_produces_nothing() {
    const MESSAGES: usize = 6_000;
    let kafka = Kafka::shared();
    let case = Case::new(kafka, "once-zombie", "[plugins.echo.budget]\nrate = \"400/s\"\nburst = 20");
    case.produce(kafka, 0..MESSAGES);
    let [first, second] = [(); 2].map(|()| Site::new(&kafka.bootstrap(), &case.toml));
    let zombie = first.start();
    zombie.wait_handled("echo", 500);
    zombie.signal(Signal::STOP);
    let other = second.start();
    other.wait_for("to own all partitions", || other.owned() == 6);
    other.wait_handled("echo", 500);
    zombie.signal(Signal::CONT);
    wait_all(&other, kafka, &case, MESSAGES);
    assert_eq!(zombie.stop(), 0);
    assert_eq!(other.stop(), 0);
    case.assert_once_in_order(kafka, MESSAGES);
}

#[test]
fn a_broker_that_dies_in_the_middle_of_transactions_costs_nothing() {
    const MESSAGES: usize = 8_000;
    let mut kafka = Kafka::start();
    let case = Case::new(&kafka, "once-broker", "[plugins.echo.budget]\nrate = \"1000/s\"\nburst = 100");
    case.produce(&kafka, 0..MESSAGES);
    let host = Site::new(&kafka.bootstrap(), &case.toml).start();
    for handled in [1_000, 3_000] {
        host.wait_handled("echo", handled);
        kafka.kill();
        kafka.restart();
    }
    wait_all(&host, &kafka, &case, MESSAGES);
    assert_eq!(host.stop(), 0);
    case.assert_once_in_order(&kafka, MESSAGES);
}

#[test]
fn failures_end_in_the_transaction_too() {
    let kafka = Kafka::shared();
    let dead = Kafka::unique("once-dead");
    kafka.create_topic(&dead, 1);
    let (from, to) = (Kafka::unique("once-failing"), Kafka::unique("once-out"));
    kafka.create_topic(&from, 2);
    kafka.create_topic(&to, 1);
    let more = format!(
        "output = {to:?}\ndelivery = \"exactly-once\"\n[plugins.poison.failure]\ntopic = {dead:?}\n\
         [plugins.poison.retry]\nattempts = 2\nbackoff = \"10ms\"\n"
    );
    let word = |i: usize| if i.is_multiple_of(10) { "trap".to_owned() } else { format!("ok {i}") };
    kafka.produce(&from, (0..200).map(|i| (i.to_string(), word(i))));
    let site = Site::new(&kafka.bootstrap(), &section("poison", &from, &more));
    let host = site.start();
    host.wait_handled("poison", 180);
    host.wait_for("to write all dead letters", || host.outcomes("poison", "dead-lettered") == 20);
    assert_eq!(host.stop(), 0);
    assert_eq!(kafka.consume_all(&dead, Isolation::ReadCommitted).len(), 20);
    assert_eq!(kafka.consume_all(&to, Isolation::ReadCommitted).len(), 180);
    let again = site.start();
    again.wait_ready();
    assert_eq!(again.stop(), 0);
    assert_eq!(kafka.consume_all(&dead, Isolation::ReadCommitted).len(), 20, "nothing is handled again");
}
