//! Hosts join and leave a group while messages wait for a slow rate: partitions change hands at once, nothing is lost
//! on the way, and nothing is handled twice.

use crate::world::host::{Host, Site, section};
use crate::world::kafka::{Isolation, Kafka};
use crate::world::tally::Tally;

/// Groups whose members divide partitions among themselves. Heartbeats tell members of a rebalance.
const CLASSIC: &str = "\"heartbeat.interval.ms\" = \"200\"\n\"session.timeout.ms\" = \"6000\"";

/// Groups whose broker divides the partitions (KIP-848).
const CONSUMER: &str = "\"group.protocol\" = \"consumer\"";

#[test]
fn hosts_join_and_leave_and_nothing_is_lost_or_repeated() {
    join_and_leave(CLASSIC);
}

#[test]
fn hosts_join_and_leave_where_the_broker_assigns() {
    join_and_leave(CONSUMER);
}

fn join_and_leave(options: &str) {
    const MESSAGES: u32 = 500;
    let kafka = Kafka::shared();
    let (from, to) = (Kafka::unique("shared"), Kafka::unique("shared-echoed"));
    kafka.create_topic(&from, 6);
    kafka.create_topic(&to, 1);
    kafka.produce(&from, (0..MESSAGES).map(|i| (i.to_string(), i.to_string())));
    let site = Site::new(&kafka.bootstrap(), &slow(&from, &to, "20/s", options));
    let handled = |host: &Host| host.outcomes("echo", "handled");

    let first = site.start();
    first.wait_handled("echo", 10);
    let second = site.start();
    second.wait_handled("echo", 10);
    let third = site.start();
    third.wait_handled("echo", 10);
    assert!(handled(&first) + handled(&second) < u64::from(MESSAGES), "the test is over before it began");
    let before = handled(&first);
    first.wait_handled("echo", before + 10);
    assert_eq!(first.stop(), 0);
    let before = handled(&third);
    third.wait_handled("echo", before + 10);
    assert_eq!(third.stop(), 0);
    second.wait_for("to have no lag", || second.has_no_lag(6));
    assert_eq!(second.stop(), 0);

    Tally::of(&kafka.consume_all(&to, Isolation::ReadUncommitted)).assert_once(0..MESSAGES);
    let committed: Vec<i64> = kafka.committed(&from, &from).into_iter().flatten().collect();
    assert_eq!(committed, kafka.end_offsets(&from));
}

#[test]
fn messages_that_wait_for_a_permit_hold_up_no_rebalance() {
    hand_over_at_a_crawl(CLASSIC);
}

#[test]
fn messages_that_wait_for_a_permit_hold_up_no_rebalance_where_the_broker_assigns() {
    hand_over_at_a_crawl(CONSUMER);
}

/// The first host's buffer is worth 100 seconds, longer than any condition is waited for, and it may take 4 minutes to
/// drain. Were it drained, the second host would get nothing in time.
fn hand_over_at_a_crawl(options: &str) {
    let kafka = Kafka::shared();
    let (from, to) = (Kafka::unique("crawl"), Kafka::unique("crawled"));
    kafka.create_topic(&from, 4);
    kafka.create_topic(&to, 1);
    kafka.produce(&from, (0..400).map(|i| (i.to_string(), i.to_string())));
    let settings = slow(&from, &to, "1/s", options).replace("output", "drain = \"4m\"\noutput");
    let site = Site::new(&kafka.bootstrap(), &settings);
    let first = site.start();
    first.wait_for("to fill its buffer", || first.metric("gristmill_buffer_messages", &[]) >= 99.0);
    let second = site.start();
    second.wait_handled("echo", 1);
    second.wait_for("to own half of the partitions", || second.owned() == 2 && first.owned() == 2);
    assert_eq!(first.stop(), 0);
    second.wait_for("to own all partitions", || second.owned() == 4);
    assert_eq!(second.stop(), 0);
    let tally = Tally::of(&kafka.consume_all(&to, Isolation::ReadUncommitted));
    assert_eq!(tally.repeated(), 0);
    let committed: i64 = kafka.committed(&from, &from).into_iter().flatten().sum();
    assert_eq!(committed, tally.distinct() as i64, "what is committed is what was handled");
}

#[test]
fn what_a_killed_host_held_goes_to_the_others() {
    const MESSAGES: u32 = 300;
    let kafka = Kafka::shared();
    let (from, to) = (Kafka::unique("widowed"), Kafka::unique("widowed-echoed"));
    kafka.create_topic(&from, 6);
    kafka.create_topic(&to, 1);
    kafka.produce(&from, (0..MESSAGES).map(|i| (i.to_string(), i.to_string())));
    let site = Site::new(&kafka.bootstrap(), &slow(&from, &to, "20/s", CLASSIC));
    let (first, second) = (site.start(), site.start());
    first.wait_handled("echo", 20);
    second.wait_handled("echo", 20);
    first.kill();
    second.wait_for("to have no lag", || second.has_no_lag(6));
    assert_eq!(second.stop(), 0);
    let tally = Tally::of(&kafka.consume_all(&to, Isolation::ReadUncommitted));
    assert_eq!(tally.lost(0..MESSAGES), Vec::<String>::new());
    // In flight: 10. Finished since the last commit: a second of the rate, and one more for a busy machine.
    assert!(tally.repeated() <= 10 + 2 * 20, "{} are repeated", tally.repeated());
}

fn slow(from: &str, to: &str, rate: &str, options: &str) -> String {
    section(
        "echo",
        from,
        &format!(
            "output = {to:?}\n[plugins.echo.budget]\nrate = {rate:?}\n[plugins.echo.kafka.options]\n{options}"
        ),
    )
}
