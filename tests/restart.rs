//! Where a group begins, and where it goes on after a restart: nothing twice, nothing left out, whatever gaps offsets
//! have.

use crate::world::host::{Site, section};
use crate::world::kafka::{End, Isolation, Kafka, Record};
use crate::world::tally::Tally;

#[test]
fn a_restart_goes_on_where_the_last_run_ended() {
    let kafka = Kafka::shared();
    let (from, to) = (Kafka::unique("restart"), Kafka::unique("restarted"));
    kafka.create_topic(&from, 6);
    kafka.create_topic(&to, 1);
    kafka.produce(&from, (0..2_000).map(|i| (i.to_string(), i.to_string())));
    let settings =
        |rate| section("echo", &from, &format!("output = {to:?}\n[plugins.echo.budget]\nrate = {rate:?}"));
    let site = Site::new(&kafka.bootstrap(), &settings("400/s"));
    // Stopped in the middle, with messages in the buffer.
    for _ in 0..2 {
        let host = site.start();
        host.wait_handled("echo", 300);
        assert_eq!(host.stop(), 0);
    }
    kafka.produce(&from, (2_000..2_500).map(|i| (i.to_string(), i.to_string())));
    site.write(&kafka.bootstrap(), &settings("10000/s"));
    let host = site.start();
    host.wait_for("to have no lag", || host.has_no_lag(6));
    assert_eq!(host.stop(), 0);
    Tally::of(&kafka.consume_all(&to, Isolation::ReadUncommitted)).assert_once(0..2_500);
}

#[test]
fn a_group_that_starts_with_the_latest_sees_only_what_comes_later() {
    let kafka = Kafka::shared();
    let from = Kafka::unique("latest");
    kafka.create_topic(&from, 3);
    let hundred = || (0..100).map(|i| (i.to_string(), "x"));
    kafka.produce(&from, hundred());
    let site = Site::new(&kafka.bootstrap(), &section("noop", &from, "start = \"latest\""));
    let host = site.start();
    host.wait_ready();
    kafka.produce(&from, hundred());
    host.wait_handled("noop", 100);
    assert_eq!(host.outcomes("noop", "handled"), 100);
    assert_eq!(host.stop(), 0);
    // The group has begun: what comes while no host runs is not what is latest at the next start.
    kafka.produce(&from, hundred());
    let host = site.start();
    host.wait_handled("noop", 100);
    assert_eq!(host.outcomes("noop", "handled"), 100);
}

#[test]
fn a_group_that_starts_with_the_latest_has_begun_even_if_nothing_came() {
    let kafka = Kafka::shared();
    let from = Kafka::unique("latest");
    kafka.create_topic(&from, 3);
    let site = Site::new(&kafka.bootstrap(), &section("noop", &from, "start = \"latest\""));
    let host = site.start();
    host.wait_ready();
    assert_eq!(host.stop(), 0);
    kafka.produce(&from, (0..100).map(|i| (i.to_string(), "x")));
    let host = site.start();
    host.wait_handled("noop", 100);
}

#[test]
fn a_group_that_starts_at_a_time_begins_with_the_first_message_of_then() {
    /// 2024-01-01T00:00:00Z in milliseconds.
    const NEW_YEAR: i64 = 1_704_067_200_000;
    let kafka = Kafka::shared();
    let (from, to) = (Kafka::unique("dated"), Kafka::unique("dated-echoed"));
    kafka.create_topic_with(&from, 2, &[("retention.ms", "-1")]);
    kafka.create_topic(&to, 1);
    let dated = |i: i64| {
        Record::new(i.to_string(), i.to_string()).on_partition(i as i32 % 2).at(NEW_YEAR + (i - 50) * 1_000)
    };
    kafka.produce(&from, (0..100).map(dated));
    let more = format!("output = {to:?}\nstart = \"2024-01-01T01:00:10+01:00\"");
    let host = Site::new(&kafka.bootstrap(), &section("echo", &from, &more)).start();
    host.wait_for("to have no lag", || host.has_no_lag(2));
    assert_eq!(host.stop(), 0);
    Tally::of(&kafka.consume_all(&to, Isolation::ReadUncommitted)).assert_once(60..100);
}

#[test]
fn a_compacted_topic_is_read_over_its_gaps_to_the_end() {
    let kafka = Kafka::shared();
    let (from, to) = (Kafka::unique("compacted"), Kafka::unique("compacted-echoed"));
    let settings =
        [("cleanup.policy", "compact"), ("segment.ms", "100"), ("min.cleanable.dirty.ratio", "0.01")];
    kafka.create_topic_with(&from, 1, &settings);
    kafka.create_topic(&to, 1);
    let mut round = 0;
    let site = Site::new(
        &kafka.bootstrap(),
        &section("echo", &from, &format!("output = {to:?}\norder = \"partition\"")),
    );
    let host = site.start();
    host.wait_ready();
    // Everything at once would be compacted to one message a key: the host reads along, the gaps come behind it.
    host.wait_for("'s topic to be compacted", || {
        kafka.produce(&from, (0..10).map(|key| (key.to_string(), format!("{key} {round}"))));
        round += 1;
        (kafka.consume_all(&from, Isolation::ReadUncommitted).len() as i64) < kafka.end_offsets(&from)[0] - 50
    });
    host.wait_for("to have no lag", || host.has_no_lag(1));
    assert_eq!(host.stop(), 0);
    assert_eq!(kafka.committed(&from, &from), [Some(kafka.end_offsets(&from)[0])]);

    // A new group finds the gaps, and handles what is left.
    let left = kafka.consume_all(&from, Isolation::ReadUncommitted).len() as u64;
    let again = section("noop", &from, "").replace("group = \"", "group = \"again-");
    site.write(&kafka.bootstrap(), &again);
    let host = site.start();
    host.wait_for("to have no lag", || host.has_no_lag(1));
    let handled = host.outcomes("noop", "handled");
    // The broker may have compacted more since we looked, never less.
    assert!((1..=left).contains(&handled), "{handled} of {left}");
    assert_eq!(host.stop(), 0);
    assert_eq!(kafka.committed(&format!("again-{from}"), &from), [Some(kafka.end_offsets(&from)[0])]);
}

#[test]
fn aborted_transactions_are_not_seen_and_markers_leave_no_lag() {
    let kafka = Kafka::shared();
    let (from, to) = (Kafka::unique("transactions"), Kafka::unique("transactions-echoed"));
    kafka.create_topic(&from, 2);
    kafka.create_topic(&to, 1);
    let records = |range: std::ops::Range<i32>| {
        range.map(|i| Record::new(i.to_string(), i.to_string()).on_partition(i % 2))
    };
    kafka.produce_transaction(&from, End::Commit, records(0..100));
    kafka.produce_transaction(&from, End::Abort, records(1_000..1_100));
    kafka.produce(&from, records(100..200));
    kafka.produce_transaction(&from, End::Commit, records(200..300));
    let site = Site::new(&kafka.bootstrap(), &section("echo", &from, &format!("output = {to:?}")));
    let host = site.start();
    host.wait_handled("echo", 300);
    // A marker is the last thing in both partitions.
    host.wait_for("to have no lag", || host.has_no_lag(2));
    kafka.produce_transaction(&from, End::Abort, records(2_000..2_100));
    let end: i64 = kafka.end_offsets(&from).iter().sum();
    host.wait_for("to pass what was aborted", || {
        host.has_no_lag(2) && host.metric("gristmill_committed_offset", &[]) == end as f64
    });
    assert_eq!(host.stop(), 0);
    let committed: Vec<i64> = kafka.committed(&from, &from).into_iter().flatten().collect();
    assert_eq!(committed, kafka.end_offsets(&from));
    Tally::of(&kafka.consume_all(&to, Isolation::ReadUncommitted)).assert_once(0..300);
}

#[test]
fn messages_that_kafka_removed_before_they_were_handled_are_told_of() {
    let kafka = Kafka::shared();
    let from = Kafka::unique("removed");
    kafka.create_topic(&from, 1);
    kafka.produce(&from, (0..10).map(|i| (i.to_string(), if i == 2 { "reject" } else { "ok" })));
    let out = Kafka::unique("removed-out");
    kafka.create_topic(&out, 1);
    let site = Site::new(&kafka.bootstrap(), &section("fail", &from, &format!("output = {out:?}")));
    let host = site.start();
    host.wait_handled("fail", 9);
    host.wait_for("to park one", || host.outcomes("fail", "parked") == 1);
    assert_eq!(host.stop(), 0);
    assert_eq!(kafka.committed(&from, &from), [Some(2)]);
    kafka.remove_below(&from, 0, 5);
    let host = site.start();
    host.wait_for("to tell of it", || !host.logged("removed from Kafka before they were handled").is_empty());
    assert!(host.metric("gristmill_removed_messages_total", &[]) >= 1.0);
    kafka.produce(&from, [("a", "ok")]);
    host.wait_for("to go on", || host.outcomes("fail", "handled") >= 1 && host.has_no_lag(1));
    assert_eq!(host.stop(), 0);
    assert_eq!(kafka.committed(&from, &from), [Some(11)]);
}
