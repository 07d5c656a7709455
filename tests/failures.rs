//! What becomes of messages that are not handled at once: another attempt, a dead letter, a held lane, nothing; and that
//! nobody else has to wait for them.

use crate::world::host::{Host, Site, section};
use crate::world::kafka::{Isolation, Kafka, Record, Stored};

/// The topics of one case on the shared broker.
struct Case {
    kafka: &'static Kafka,
    guest: &'static str,
    from: String,
    out: String,
    dead: String,
}

impl Case {
    /// Two partitions for what comes in; one each for what goes out, so that it is read in the order of its making.
    fn new(guest: &'static str) -> Case {
        let kafka = Kafka::shared();
        let [from, out, dead] = ["tried", "tried-out", "tried-dead"].map(Kafka::unique);
        for (topic, partitions) in [(&from, 2), (&out, 1), (&dead, 1)] {
            kafka.create_topic(topic, partitions);
        }
        Case { kafka, guest, from, out, dead }
    }

    fn produce(&self, records: impl IntoIterator<Item = Record>) {
        self.kafka.produce(&self.from, records);
    }

    /// A host whose plugin has these tables: `retry` and others, without the plugin's name.
    fn site(&self, tables: &str) -> Site {
        let tables = tables.replace("[.", &format!("[plugins.{}.", self.guest));
        let more = format!("output = {:?}\n{tables}", self.out);
        Site::new(&self.kafka.bootstrap(), &section(self.guest, &self.from, &more))
    }

    /// The tables of a plugin that writes dead letters after so many attempts.
    fn dead_letters(&self, attempts: u32) -> String {
        format!(
            "[.retry]\nattempts = {attempts}\nbackoff = \"5ms\"\n[.failure]\ntopic = {:?}\n[.budget]\nmemory = \"32MiB\"",
            self.dead
        )
    }

    fn wait(&self, host: &Host, outcome: &str, messages: u64) {
        let what = format!("to come to {messages} messages that are {outcome}");
        host.wait_for(&what, || host.outcomes(self.guest, outcome) >= messages);
        assert_eq!(host.outcomes(self.guest, outcome), messages);
    }

    fn retries(&self, host: &Host) -> f64 {
        host.metric("gristmill_retries_total", &[("plugin", self.guest)])
    }

    fn outputs(&self) -> Vec<Stored> {
        self.kafka.consume_all(&self.out, Isolation::ReadCommitted)
    }

    fn texts(&self) -> Vec<String> {
        self.outputs().iter().map(Stored::text).collect()
    }

    fn letters(&self) -> Vec<Stored> {
        self.kafka.consume_all(&self.dead, Isolation::ReadCommitted)
    }

    /// The dead letter with this key.
    fn letter(&self, key: &str) -> Stored {
        let letters = self.letters();
        let mut of_key = letters.iter().filter(|letter| letter.key.as_deref() == Some(key.as_bytes()));
        let letter = of_key.next().unwrap_or_else(|| panic!("no dead letter of `{key}` in {letters:?}"));
        assert!(of_key.next().is_none(), "two dead letters of `{key}`");
        letter.clone()
    }

    fn assert_all_committed(&self) {
        let committed: i64 = self.kafka.committed(&self.from, &self.from).into_iter().flatten().sum();
        assert_eq!(committed, self.kafka.end_offsets(&self.from).iter().sum::<i64>());
    }
}

#[test]
fn another_attempt_knows_its_number_and_what_went_wrong_before() {
    let case = Case::new("attempt");
    case.produce([
        Record::new("a", "until:3:retry:20 twice").with_header("trace", "a"),
        Record::new("b", "until:2:trap once"),
        Record::new("c", "until:4:retry by the back-off"),
        Record::new("d", "at once"),
    ]);
    let host = case.site(&case.dead_letters(5)).start();
    case.wait(&host, "handled", 4);
    assert_eq!(case.retries(&host), 2.0 + 1.0 + 3.0);
    assert_eq!(host.outcomes("attempt", "dead-lettered"), 0);
    assert_eq!(host.stop(), 0);
    let outputs = case.outputs();
    assert_eq!(outputs.len(), 4, "an attempt that fails outputs nothing");
    let of = |key: &str| outputs.iter().find(|one| one.key.as_deref() == Some(key.as_bytes())).expect("all");
    let [a, b, c, d] = ["a", "b", "c", "d"].map(of);
    let told = |output: &Stored| (output.text(), output.header("previous-error"));
    assert_eq!(told(a), ("3".into(), Some("asked for at attempt 2".into())));
    assert_eq!(a.header("trace").as_deref(), Some("a"));
    let (attempt, error) = told(b);
    assert_eq!(attempt, "2");
    assert!(error.as_ref().is_some_and(|error| error.contains("unreachable")), "{error:?}");
    assert_eq!(told(c), ("4".into(), Some("asked for at attempt 3".into())));
    assert_eq!(told(d), ("1".into(), None));
    case.assert_all_committed();
}

#[test]
fn a_dead_letter_is_the_message_as_it_came_and_how_it_ended() {
    let case = Case::new("fail");
    let payload = b"reject:no-such-customer \xff\x00".to_vec();
    case.produce([Record::new("other", "ok").on_partition(1)]);
    let mut record = Record::new(b"\xfe\x00".to_vec(), payload.clone()).on_partition(1).at(1_700_000_000_123);
    record = record
        .with_header("trace", "t")
        .with_header("gristmill-reason", "of an earlier life")
        .with_header("gristmill-failure-handler", "it trapped in an earlier life");
    record.headers.push(("none".into(), None));
    case.produce([record.with_header("trace", "again")]);
    let host = case.site(&case.dead_letters(5)).start();
    case.wait(&host, "dead-lettered", 1);
    case.wait(&host, "handled", 1);
    assert_eq!(case.retries(&host), 0.0, "no attempt helps a message that is rejected");
    let letters = case.letters();
    let [letter] = &letters[..] else { panic!("{letters:?}") };
    assert_eq!((&letter.key, &letter.payload), (&Some(b"\xfe\x00".to_vec()), &Some(payload)));
    let digest = letter.header("gristmill-component").expect("the component's digest");
    assert_eq!(host.metric("gristmill_generation_info", &[("digest", &digest)]), 1.0, "{digest}");
    let headers = letter.headers.iter().map(|(name, value)| {
        let value = value.as_ref().map(|value| String::from_utf8_lossy(value).into_owned());
        (name.as_str(), value)
    });
    let some = |text: &str| Some(text.to_owned());
    let expected = vec![
        ("trace", some("t")),
        ("none", None),
        ("trace", some("again")),
        ("gristmill-plugin", some("fail")),
        ("gristmill-reason", some("no-such-customer")),
        ("gristmill-attempts", some("1")),
        ("gristmill-topic", some(&case.from)),
        ("gristmill-partition", some("1")),
        ("gristmill-offset", some("1")),
        ("gristmill-timestamp", some("1700000000123")),
        ("gristmill-component", Some(digest.clone())),
    ];
    assert_eq!(headers.collect::<Vec<_>>(), expected);
    assert_eq!(host.stop(), 0);
    case.assert_all_committed();
}

#[test]
fn attempts_that_are_used_up_end_in_a_dead_letter_and_the_lane_goes_on() {
    let case = Case::new("poison");
    case.produce(["retry:10 a", "ok b", "trap c", "until:3:trap d", "ok e"].map(|p| Record::new("key", p)));
    case.produce([Record::new("alone", "panic")]);
    let host = case.site(&case.dead_letters(3)).start();
    case.wait(&host, "dead-lettered", 3);
    case.wait(&host, "handled", 3);
    assert_eq!(case.retries(&host), 4.0 * 2.0);
    assert_eq!(host.stop(), 0);
    assert_eq!(case.texts(), ["ok b", "until:3:trap d", "ok e"]);
    let letters = case.letters();
    assert!(letters.iter().all(|letter| letter.header("gristmill-attempts").as_deref() == Some("3")));
    let of_key = letters.iter().filter(|letter| letter.key.as_deref() == Some(b"key"));
    let of_key: Vec<_> = of_key.map(|letter| (letter.text(), letter.header("gristmill-reason"))).collect();
    assert_eq!(of_key[0], ("retry:10 a".into(), Some("asked for at attempt 3".into())));
    assert_eq!(of_key[1].0, "trap c");
    assert!(of_key[1].1.as_ref().is_some_and(|reason| reason.starts_with("trap: ")), "{of_key:?}");
    let reason = case.letter("alone").header("gristmill-reason").expect("a reason");
    assert!(reason.contains("asked for"), "{reason}");
    case.assert_all_committed();
}

#[test]
fn messages_that_are_to_be_skipped_leave_nothing_behind() {
    let case = Case::new("fail");
    case.produce(["reject a", "ok b", "retry:1 c", "ok d"].map(|payload| Record::new("key", payload)));
    let host = case.site("[.retry]\nattempts = 2\n[.failure]\naction = \"skip\"").start();
    case.wait(&host, "skipped", 2);
    case.wait(&host, "handled", 2);
    let lines = host.logged("message skipped");
    assert!(lines.len() == 2 && lines[0].contains("asked for"), "{lines:?}");
    assert_eq!(host.stop(), 0);
    assert_eq!(case.texts(), ["ok b", "ok d"]);
    case.assert_all_committed();
}

#[test]
fn a_failure_handler_has_the_last_word_and_changes_nothing_of_the_end() {
    let case = Case::new("last-word");
    case.produce(["fine", "error", "trap"].map(|word| Record::new(word, word).with_header("trace", word)));
    let host = case.site(&case.dead_letters(5)).start();
    case.wait(&host, "dead-lettered", 3);
    assert_eq!(host.outcomes("last-word", "handled"), 0);
    assert_eq!(host.logged("failure handler failed").len(), 2);
    assert_eq!(host.stop(), 0);
    let outputs = case.outputs();
    let [output] = &outputs[..] else { panic!("{outputs:?}") };
    assert_eq!((output.text(), output.header("reason")), ("fine".into(), Some("not today".into())));
    let letters = ["fine", "error", "trap"].map(|key| case.letter(key));
    for letter in &letters {
        assert_eq!(letter.header("gristmill-reason").as_deref(), Some("not today"));
        assert_eq!(letter.header("trace"), Some(letter.text()));
    }
    let [fine, error, trap] = letters.map(|letter| letter.header("gristmill-failure-handler"));
    assert_eq!(fine, None);
    assert_eq!(error.as_deref(), Some("asked for"));
    assert!(trap.as_ref().is_some_and(|trap| trap.contains("unreachable")), "{trap:?}");
    case.assert_all_committed();
}

#[test]
fn a_missing_dead_letter_topic_is_named_and_waited_for() {
    let case = Case::new("fail");
    let missing = Kafka::unique("missing-dead");
    case.produce([Record::new("a", "reject"), Record::new("b", "ok")]);
    let host = case.site(&case.dead_letters(5).replace(&case.dead, &missing)).start();
    host.wait_for("to name the missing topic", || {
        let (status, reasons) = host.get("/readyz");
        status == 503
            && reasons.contains(&format!("topic `{missing}` does not exist"))
            && reasons.contains(&format!("--create --topic {missing}"))
            && reasons.contains("create_topics")
    });
    assert!(!host.logged(&format!("topic `{missing}` does not exist")).is_empty(), "the log says it too");
    assert_eq!(host.metric("gristmill_messages_total", &[]), 0.0);
    case.kafka.create_topic(&missing, 1);
    host.wait_ready();
    case.wait(&host, "dead-lettered", 1);
    case.wait(&host, "handled", 1);
    assert_eq!(host.stop(), 0);
    assert_eq!(case.kafka.consume_all(&missing, Isolation::ReadCommitted).len(), 1);
}

#[test]
fn an_output_to_a_topic_that_is_not_allowed_ends_its_message_and_goes_nowhere() {
    let case = Case::new("poison");
    let [secret, allowed] = ["secret", "allowed"].map(Kafka::unique);
    [&secret, &allowed].into_iter().for_each(|topic| case.kafka.create_topic(topic, 1));
    case.produce([Record::new("bad", format!("to:{secret}")), Record::new("good", format!("to:{allowed}"))]);
    let tables = format!("{}\n[.allow]\nproduce = [{allowed:?}]", case.dead_letters(5));
    let host = case.site(&tables).start();
    case.wait(&host, "dead-lettered", 1);
    case.wait(&host, "handled", 1);
    assert_eq!(case.retries(&host), 0.0);
    assert_eq!(host.stop(), 0);
    let letter = case.letter("bad");
    let reason = letter.header("gristmill-reason").expect("a reason");
    assert!(reason.contains(&format!("`{secret}`")) && reason.contains("allow.produce"), "{reason}");
    assert_eq!(letter.header("gristmill-attempts").as_deref(), Some("1"));
    let count = |topic| case.kafka.consume_all(topic, Isolation::ReadUncommitted).len();
    assert_eq!((count(&secret), count(&allowed), case.outputs().len()), (0, 1, 0));
}

#[test]
fn lanes_that_wait_for_another_attempt_hold_up_no_others_however_small_the_buffer() {
    const WAITING: usize = 60;
    const HEALTHY: usize = 200;
    let case = Case::new("attempt");
    // An hour is longer than any test waits.
    let failing = |i: usize| Record::new(format!("failing-{i}"), format!("until:2:retry:3600000 {i}"));
    case.produce((0..WAITING).map(failing));
    case.produce((0..HEALTHY).map(|i| Record::new(format!("healthy-{i}"), format!("ok {i}"))));
    let tables = format!("{}\nbuffer = 10\nconcurrency = 4", case.dead_letters(5));
    let site = case.site(&tables);
    let host = site.start();
    case.wait(&host, "handled", HEALTHY as u64);
    host.wait_for("to have tried all that fail", || case.retries(&host) == WAITING as f64);
    // Behind one that waits its lane waits too, and still nobody else.
    case.produce((0..WAITING).map(|i| Record::new(format!("failing-{i}"), "behind")));
    case.produce((0..HEALTHY).map(|i| Record::new(format!("healthy-{i}"), "later")));
    case.wait(&host, "handled", 2 * HEALTHY as u64);
    assert!(case.outputs().iter().all(|output| output.key.as_ref().is_some_and(|key| key[0] == b'h')));
    assert_eq!(host.stop(), 0, "an attempt that is not due is not waited for");

    // They come again, and what was handled behind them does not.
    let host = site.start();
    host.wait_for("to have tried all that fail", || case.retries(&host) == WAITING as f64);
    assert_eq!(host.outcomes("attempt", "handled"), 0);
    assert_eq!(host.stop(), 0);
    assert_eq!(case.outputs().len(), 2 * HEALTHY);
}

#[test]
fn a_lane_that_is_held_holds_its_partition_when_too_much_is_behind_it() {
    const HEALTHY: u64 = 300;
    let case = Case::new("fail");
    let held = |payload: &str| Record::new("held", payload).on_partition(0);
    case.produce([held("reject")]);
    case.produce((0..20).map(|_| held("ok behind")));
    let healthy = |i: u64| Record::new(format!("healthy-{i}"), "ok").on_partition(1);
    case.produce((0..HEALTHY).map(healthy));
    let host = case.site("[.failure]\naction = \"park\"\nmax_parked = 5").start();
    host.wait_for("to hold one partition", || held_partitions(&host) == 1.0);
    case.wait(&host, "handled", HEALTHY);
    // What comes now on the one partition stays in Kafka, and what comes on the other is handled.
    case.produce((0..20).map(|i| Record::new(format!("later-{i}"), "ok").on_partition(0)));
    case.produce((0..HEALTHY).map(healthy));
    case.wait(&host, "handled", 2 * HEALTHY);
    assert_eq!((held_partitions(&host), host.outcomes("fail", "parked")), (1.0, 1));
    assert_eq!(host.get("/readyz").0, 200);
    assert_eq!(host.stop(), 0);
    assert_eq!(case.kafka.committed(&case.from, &case.from)[0].unwrap_or(0), 0);

    // Without the bound the partition goes on, but for the lane.
    let host = case.site("[.failure]\naction = \"park\"").start();
    case.wait(&host, "handled", 20);
    assert_eq!((held_partitions(&host), host.outcomes("fail", "parked")), (0.0, 1));
    assert_eq!(host.stop(), 0);
}

fn held_partitions(host: &Host) -> f64 {
    host.metric("gristmill_held_partitions", &[("plugin", "fail")])
}
