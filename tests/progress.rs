//! What is finished stays finished: over a crash and behind messages that are stuck, and whatever others did to the
//! group's commits and to the topic.

use std::ops::Range;

use gristmill::ack::map;

use crate::world::host::{Host, Site, section};
use crate::world::kafka::{Isolation, Kafka, Record};
use crate::world::tally::Tally;

/// Messages behind a stuck one.
const MESSAGES: usize = 5_000;

/// The group misses a killed member after the session timeout.
const QUICK: &str =
    "[plugins.poison.kafka.options]\n\"session.timeout.ms\" = \"2000\"\n\"heartbeat.interval.ms\" = \"300\"";

/// A topic with one partition, and one for outputs.
struct Case {
    kafka: &'static Kafka,
    from: String,
    out: String,
}

impl Case {
    fn new() -> Case {
        let kafka = Kafka::shared();
        let [from, out] = ["kept", "kept-out"].map(Kafka::unique);
        [&from, &out].into_iter().for_each(|topic| kafka.create_topic(topic, 1));
        Case { kafka, from, out }
    }

    /// A site that runs `poison`. A message may take an hour, and the end waits for none.
    fn site(&self) -> Site {
        let more = format!(
            "output = {:?}\ndrain = \"0s\"\n[plugins.poison.budget]\ntimeout = \"1h\"\n{QUICK}",
            self.out
        );
        Site::new(&self.kafka.bootstrap(), &section("poison", &self.from, &more))
    }

    /// The committed offset, and what the commit says is finished beyond it.
    fn committed(&self) -> Option<(i64, Vec<Range<i64>>)> {
        let (offset, text) = self.kafka.committed_with(&self.from, &self.from, 0)?;
        Some((offset, map::decode(offset, &text).unwrap_or_default()))
    }

    /// Waits until the commit says this offset, and that `finished` is so beyond it.
    fn wait_committed(&self, host: &Host, offset: i64, finished: Range<i64>) {
        host.wait_for("to commit what is finished", || {
            let committed = self.committed();
            println!("committed: {committed:?}");
            let beyond = (!finished.is_empty()).then(|| finished.clone());
            committed == Some((offset, beyond.into_iter().collect()))
        });
    }

    fn tally(&self) -> Tally {
        Tally::of(&self.kafka.consume_all(&self.out, Isolation::ReadUncommitted))
    }
}

#[test]
fn what_finished_behind_a_stuck_message_is_not_redone_after_a_crash() {
    let case = Case::new();
    case.kafka.produce(&case.from, [Record::new("stuck", "hang")]);
    case.kafka.produce(&case.from, (0..MESSAGES).map(|i| Record::new(i.to_string(), format!("ok {i}"))));
    let site = case.site();
    let host = site.start();
    host.wait_handled("poison", MESSAGES as u64);
    case.wait_committed(&host, 0, 1..MESSAGES as i64 + 1);
    assert_eq!(host.metric("gristmill_committed_offset", &[]), 0.0);
    assert_eq!(host.metric("gristmill_unmapped_messages", &[]), 0.0);
    host.kill();

    // A host that finds no more to do leaves it as it is; one that is killed again, too.
    let host = site.start();
    host.wait_for("to be at the stuck message", || host.metric("gristmill_in_flight", &[]) == 1.0);
    host.kill();
    case.kafka.produce(&case.from, [Record::new("last", "ok last")]);
    let host = site.start();
    host.wait_handled("poison", 1);
    case.wait_committed(&host, 0, 1..MESSAGES as i64 + 2);
    assert_eq!(host.outcomes("poison", "handled"), 1, "only the one that is new");
    assert_eq!(host.stop(), 0);
    let all = (0..MESSAGES).map(|i| format!("ok {i}")).chain(["ok last".to_owned()]);
    case.tally().assert_once(all.collect::<Vec<_>>().into_iter());
}

#[test]
fn what_finished_among_many_parked_messages_is_not_redone_after_a_crash() {
    let case = Case::new();
    let is_bad = |i: usize| i % 7 == 3 || i % 11 == 5;
    let payload = |i: usize| if is_bad(i) { format!("reject {i}") } else { format!("ok {i}") };
    let parked = (0..MESSAGES).filter(|i| is_bad(*i)).count() as u64;
    case.kafka.produce(&case.from, (0..MESSAGES).map(|i| Record::new(i.to_string(), payload(i))));
    let site = case.site();
    let host = site.start();
    let good = MESSAGES as u64 - parked;
    host.wait_handled("poison", good);
    host.wait_for("to park the others", || host.outcomes("poison", "parked") == parked);
    let count = |ranges: &[Range<i64>]| ranges.iter().map(|range| range.end - range.start).sum::<i64>();
    host.wait_for("to commit what is finished", || {
        // The first three are below the watermark.
        case.committed().is_some_and(|(at, beyond)| at == 3 && count(&beyond) == good as i64 - 3)
    });
    host.kill();
    case.kafka.produce(&case.from, [Record::new("last", "ok last")]);
    let host = site.start();
    host.wait_for("to park them again", || host.outcomes("poison", "parked") == parked);
    host.wait_handled("poison", 1);
    assert_eq!(host.outcomes("poison", "handled"), 1, "only the one that is new");
    assert_eq!(host.stop(), 0);
    let tally = case.tally();
    assert_eq!((tally.distinct() as u64, tally.repeated()), (good + 1, 0));
}

#[test]
fn commits_that_others_made_are_gone_on_from_and_their_metadata_is_not_believed() {
    // Somebody's JSON; a map of ours that belongs to another offset, because another tool moved it; bytes that only
    // look like ours.
    let moved = map::encode(5, [7..9, 12..20], map::CHARS_MAX).text;
    for (text, says) in [
        ("{}", "it was written by another tool"),
        (&*moved, "it is damaged, or belongs to another offset"),
        ("gm1r????", "it is damaged, or belongs to another offset"),
    ] {
        let case = Case::new();
        case.kafka.produce(&case.from, (0..30).map(|i| Record::new(i.to_string(), i.to_string())));
        case.kafka.commit_with(&case.from, &case.from, (0, 10), text);
        let host = case.site().start();
        host.wait_handled("poison", 20);
        case.wait_committed(&host, 30, 0..0);
        let lines = host.logged("the metadata of the partition's commit is not used");
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains(says) && lines[0].contains(&case.from), "{}", lines[0]);
        assert_eq!(host.stop(), 0);
        case.tally().assert_once(10..30);
    }
}

#[test]
fn an_operator_who_sets_the_offset_back_has_it_all_handled_again() {
    let case = Case::new();
    case.kafka.produce(&case.from, [Record::new("bad", "reject")]);
    case.kafka.produce(&case.from, (1..30).map(|i| Record::new(i.to_string(), i.to_string())));
    let host = case.site().start();
    host.wait_handled("poison", 29);
    case.wait_committed(&host, 0, 1..30);
    assert_eq!(host.stop(), 0);
    case.kafka.commit_with(&case.from, &case.from, (0, 10), "");
    let host = case.site().start();
    host.wait_handled("poison", 20);
    assert_eq!(host.stop(), 0);
    let tally = case.tally();
    assert_eq!((tally.distinct(), tally.repeated()), (29, 20));
}

#[test]
fn a_topic_that_is_made_anew_is_handled_from_its_beginning() {
    make_anew(500, 100);
}

#[test]
fn a_topic_that_is_made_anew_and_grows_longer_is_handled_from_its_beginning() {
    make_anew(100, 2_000);
}

/// A topic with `before` messages is deleted while the host runs, and made again with `after`.
fn make_anew(before: usize, after: usize) {
    let case = Case::new();
    let record = |(i, life): (usize, &str)| Record::new(i.to_string(), format!("{life} {i}"));
    case.kafka.produce(&case.from, (0..before).map(|i| record((i, "first"))));
    let host = case.site().start();
    host.wait_handled("poison", before as u64);
    case.wait_committed(&host, before as i64, 0..0);
    case.kafka.delete_topic(&case.from);
    case.kafka.create_topic(&case.from, 1);
    case.kafka.produce(&case.from, (0..after).map(|i| record((i, "second"))));
    host.wait_handled("poison", (before + after) as u64);
    case.wait_committed(&host, after as i64, 0..0);
    host.wait_ready();
    assert_eq!(host.stop(), 0);
    let second = (0..after).map(|i| format!("second {i}"));
    let first = (0..before).map(|i| format!("first {i}"));
    let tally = case.tally();
    assert_eq!(tally.lost(first.chain(second)), Vec::<String>::new());
    assert_eq!(tally.repeated(), 0);
}
