//! What a plugin handles together: when a batch starts and what is in it, what becomes of one that fails, and that what
//! waits in one is neither lost nor handled twice.

use std::collections::HashMap;

use serde_json::Value;

use crate::world::host::{Host, Site, section};
use crate::world::kafka::{Isolation, Kafka, Record, Stored};
use crate::world::tally::Tally;

/// Settings of a batcher that only a full batch or a flush completes while a test runs.
const PATIENT: &str = "timeout = \"1h\"\nsize";

/// The topics of one case on the shared broker, for the guest `batch`.
struct Case {
    kafka: &'static Kafka,
    from: String,
    out: String,
    dead: String,
}

impl Case {
    fn new() -> Case {
        let kafka = Kafka::shared();
        let [from, out, dead] = ["gathered", "gathered-out", "gathered-dead"].map(Kafka::unique);
        for (topic, partitions) in [(&from, 2), (&out, 1), (&dead, 1)] {
            kafka.create_topic(topic, partitions);
        }
        Case { kafka, from, out, dead }
    }

    fn produce(&self, records: impl IntoIterator<Item = Record>) {
        self.kafka.produce(&self.from, records);
    }

    /// Messages of one key, which are one lane and go to one batch.
    fn produce_together(&self, payloads: &[&str]) {
        self.produce(payloads.iter().map(|payload| Record::new("together", *payload).on_partition(0)));
    }

    /// A site with so many attempts, dead letters and these settings of the batcher, and tables behind it.
    fn site(&self, attempts: u32, batcher: &str) -> Site {
        let more = format!(
            "output = {:?}\n[plugins.batch.retry]\nattempts = {attempts}\nbackoff = \"5ms\"\n\
             [plugins.batch.failure]\ntopic = {:?}\n[plugins.batch.batchers.default]\n{batcher}",
            self.out, self.dead
        );
        Site::new(&self.kafka.bootstrap(), &section("batch", &self.from, &more))
    }

    fn outputs(&self) -> Vec<Stored> {
        self.kafka.consume_all(&self.out, Isolation::ReadCommitted)
    }

    fn output(&self, payload: &str) -> Stored {
        let mut outputs = self.outputs();
        outputs.retain(|output| output.text() == payload);
        assert_eq!(outputs.len(), 1, "outputs of `{payload}`");
        outputs.remove(0)
    }

    /// The one dead letter: its payload, reason and attempts.
    fn letter(&self) -> (String, String, String) {
        let letters = self.kafka.consume_all(&self.dead, Isolation::ReadCommitted);
        let [letter] = &letters[..] else { panic!("not one dead letter: {letters:?}") };
        let header = |name: &str| letter.header(name).expect("a dead letter's header");
        (letter.text(), header("gristmill-reason"), header("gristmill-attempts"))
    }

    fn assert_all_committed(&self) {
        let committed: i64 = self.kafka.committed(&self.from, &self.from).into_iter().flatten().sum();
        assert_eq!(committed, self.kafka.end_offsets(&self.from).iter().sum::<i64>());
    }
}

/// Batcher, batch key, size and trigger of the batch that an output was in.
fn batch_of(output: &Stored) -> [Option<String>; 4] {
    ["batcher", "batch-key", "batch-size", "trigger"].map(|name| output.header(name))
}

fn batch(key: &str, size: &str, trigger: &str) -> [Option<String>; 4] {
    ["default", key, size, trigger].map(|text| Some(text.to_owned()))
}

fn wait_ended(host: &Host, handled: u64, dead_lettered: u64) {
    host.wait_handled("batch", handled);
    host.wait_for("to write its dead letters", || host.outcomes("batch", "dead-lettered") >= dead_lettered);
    let ended = ["handled", "dead-lettered", "parked"].map(|outcome| host.outcomes("batch", outcome));
    assert_eq!(ended, [handled, dead_lettered, 0]);
}

#[test]
fn a_batch_starts_when_it_is_full_or_flushed_and_knows_why() {
    let case = Case::new();
    let of = |key: &'static str, payloads: &'static [&'static str]| {
        payloads.iter().map(move |payload| Record::new(key, *payload))
    };
    case.produce(of("full", &["a", "b", "c"]));
    case.produce(of("flushed", &["d", "flush e"]));
    case.produce(of("waits", &["f", "done g"]));
    let host = case.site(5, &format!("{PATIENT} = 3")).start();
    host.wait_handled("batch", 6);
    for payload in ["a", "b", "c"] {
        assert_eq!(batch_of(&case.output(payload)), batch("full", "3", "size"));
    }
    for payload in ["d", "flush e"] {
        assert_eq!(batch_of(&case.output(payload)), batch("flushed", "2", "flush"));
    }
    assert_eq!(batch_of(&case.output("done g")), [const { None }; 4], "it was handled at once");
    assert_eq!(host.metric("gristmill_buffer_messages", &[]), 1.0, "what waits in a batch is held in memory");
    // More of the same key makes it full.
    case.produce(of("waits", &["h", "i"]));
    host.wait_handled("batch", 9);
    assert_eq!(batch_of(&case.output("f")), batch("waits", "3", "size"));
    assert_eq!(host.metric("gristmill_batch_seconds_count", &[]), 3.0);
    assert_eq!(host.stop(), 0);
    case.assert_all_committed();
}

#[test]
fn a_batch_that_does_not_fill_starts_when_its_time_is_over() {
    let case = Case::new();
    case.produce_together(&["a", "b"]);
    let host = case.site(5, "timeout = \"300ms\"\nsize = 100").start();
    host.wait_handled("batch", 2);
    for output in case.outputs() {
        assert_eq!(output.header("trigger").as_deref(), Some("timeout"));
    }
    assert_eq!(host.stop(), 0);
    case.assert_all_committed();
}

#[test]
fn a_batch_is_of_one_batch_key_and_of_all_partitions() {
    let case = Case::new();
    let record =
        |i: i32| Record::new(["red", "blue"][(i / 2 % 2) as usize], i.to_string()).on_partition(i % 2);
    case.produce((0..40).map(record));
    let host = case.site(5, &format!("{PATIENT} = 10")).start();
    host.wait_handled("batch", 40);
    let outputs = case.outputs();
    for output in &outputs {
        let key = String::from_utf8_lossy(output.key.as_deref().expect("a key")).into_owned();
        assert_eq!(batch_of(output), batch(&key, "10", "size"));
    }
    Tally::of(&outputs).assert_once(0..40);
    assert_eq!(host.metric("gristmill_batch_seconds_count", &[]), 4.0);
}

#[test]
fn a_batcher_that_nobody_set_up_is_named() {
    let case = Case::new();
    case.produce_together(&["a"]);
    let toml = |more: &str| {
        format!(
            "output = {:?}\nconfig = {{ batcher = \"nowhere\" }}\n{more}\n[plugins.batch.batchers.some]\nsize = 2",
            case.out
        )
    };
    let site = Site::new(&case.kafka.bootstrap(), &section("batch", &case.from, &toml("")));
    let host = site.start();
    host.wait_for("to park the message", || host.outcomes("batch", "parked") == 1);
    let line: Value = serde_json::from_str(&host.logged("message parked")[0]).expect("the log is JSON");
    let reason = line["reason"].as_str().expect("a reason");
    assert!(reason.contains("there is no batcher `nowhere`; the config has `some`"), "{reason}");
    assert_eq!(host.stop(), 0);
    let dead = format!("[plugins.batch.failure]\ntopic = {:?}", case.dead);
    site.write(&case.kafka.bootstrap(), &section("batch", &case.from, &toml(&dead)));
    let host = site.start();
    wait_ended(&host, 0, 1);
    let (payload, reason, attempts) = case.letter();
    assert_eq!((&*payload, &*attempts), ("a", "1"));
    assert_eq!(reason, "there is no batcher `nowhere`; the config has `some`");
    assert_eq!(host.stop(), 0);
    case.assert_all_committed();
}

#[test]
fn a_trap_in_a_batch_is_charged_only_to_the_message_that_traps_alone_too() {
    for keyed in [true, false] {
        let case = Case::new();
        // `until:2:trap` gets its second attempt only if the batch that it broke was not counted as its first.
        let payloads = ["a", "until:2:trap b", "trap c", "d", "e"];
        let record = |payload: &&str| match keyed {
            true => Record::new("together", *payload),
            false => Record::without_key(*payload),
        };
        case.produce(payloads.iter().map(|payload| record(payload).on_partition(0)));
        let host = case.site(2, "timeout = \"400ms\"\nsize = 5").start();
        wait_ended(&host, 4, 1);
        // The second attempts of `b` and `c`; what is tried alone for the first time is no other attempt.
        assert_eq!(host.metric("gristmill_retries_total", &[]), 2.0);
        assert!(!host.logged("a batch was broken off").is_empty());
        let (payload, reason, attempts) = case.letter();
        assert_eq!((&*payload, &*attempts), ("trap c", "2"));
        assert!(reason.starts_with("trap: "), "{reason}");
        let texts: Vec<String> = case.outputs().iter().map(Stored::text).collect();
        let mut sorted = texts.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, ["a", "d", "e", "until:2:trap b"]);
        if keyed {
            assert_eq!(texts, ["a", "until:2:trap b", "d", "e"], "a lane keeps its order");
        }
        assert_eq!(host.stop(), 0);
        case.assert_all_committed();
    }
}

#[test]
fn too_few_results_are_charged_only_to_the_message_that_has_none_alone_too() {
    let case = Case::new();
    case.produce_together(&["a", "short b", "c"]);
    let host = case.site(3, "timeout = \"400ms\"\nsize = 3").start();
    wait_ended(&host, 2, 1);
    assert_eq!(host.metric("gristmill_retries_total", &[]), 2.0);
    let (payload, reason, attempts) = case.letter();
    assert_eq!((&*payload, &*attempts), ("short b", "3"));
    assert!(reason.contains("results"), "{reason}");
    let outputs = case.outputs();
    assert_eq!(outputs.iter().map(Stored::text).collect::<Vec<_>>(), ["a", "c"]);
    assert_eq!(host.stop(), 0);
    case.assert_all_committed();
}

#[test]
fn messages_of_a_batch_fail_one_by_one_and_the_others_are_handled() {
    let case = Case::new();
    case.produce_together(&["a", "until:2:retry:10 b", "reject:never c", "d"]);
    let host = case.site(5, "timeout = \"400ms\"\nsize = 4").start();
    wait_ended(&host, 3, 1);
    assert_eq!(host.metric("gristmill_retries_total", &[]), 1.0);
    let (payload, reason, attempts) = case.letter();
    assert_eq!((&*payload, &*reason, &*attempts), ("reject:never c", "never", "1"));
    assert_eq!(case.outputs().len(), 3);
    assert_eq!(host.stop(), 0);
    case.assert_all_committed();
}

#[test]
fn a_full_buffer_starts_the_oldest_batch() {
    let case = Case::new();
    case.produce((0..100).map(|i| Record::new((i % 20).to_string(), i.to_string())));
    let host = case.site(5, &format!("{PATIENT} = 10\n[plugins.batch.budget]\nbuffer = 10")).start();
    host.wait_handled("batch", 90);
    assert_eq!(host.stop(), 0);
    let outputs = case.outputs();
    Tally::of(&outputs).assert_once(0..100);
    for output in outputs {
        assert_eq!(output.header("trigger").as_deref(), Some("flush"));
    }
    case.assert_all_committed();
}

#[test]
fn batches_that_wait_are_handled_before_the_end() {
    let case = Case::new();
    case.produce((0..200).map(|i| Record::new((i % 7).to_string(), i.to_string())));
    let host = case.site(5, &format!("{PATIENT} = 500\n[plugins.batch.budget]\nbuffer = 500")).start();
    host.wait_for("to hold all messages", || {
        let started = host.metric("gristmill_handle_seconds_count", &[]);
        started == 200.0 && host.metric("gristmill_in_flight", &[]) == 0.0
    });
    assert_eq!(host.outcomes("batch", "handled"), 0);
    assert_eq!(host.stop(), 0);
    let outputs = case.outputs();
    Tally::of(&outputs).assert_once(0..200);
    for output in outputs {
        assert_eq!(output.header("trigger").as_deref(), Some("flush"));
    }
    case.assert_all_committed();
}

#[test]
fn hosts_that_end_and_start_again_lose_nothing_and_repeat_nothing_and_keep_the_order() {
    const MESSAGES: usize = 3_000;
    const KEYS: usize = 30;
    let case = Case::new();
    case.produce((0..MESSAGES).map(|i| Record::new((i % KEYS).to_string(), i.to_string())));
    // Some fill and some do not; batches of different keys go side by side.
    let batcher = "timeout = \"200ms\"\nsize = 7\nconcurrency = 4\n[plugins.batch.budget]\nbuffer = 300\nrate = \"800/s\"";
    let site = case.site(5, batcher);
    for _ in 0..2 {
        let host = site.start();
        host.wait_handled("batch", 700);
        assert_eq!(host.stop(), 0);
    }
    let before = case.outputs().len();
    assert!(before < MESSAGES, "the test is over before it began");
    let host = site.start();
    host.wait_handled("batch", (MESSAGES - before) as u64);
    assert_eq!(host.stop(), 0);
    let outputs = case.outputs();
    Tally::of(&outputs).assert_once(0..MESSAGES);
    let mut lanes: HashMap<Option<Vec<u8>>, Vec<usize>> = HashMap::new();
    for output in &outputs {
        lanes.entry(output.key.clone()).or_default().push(output.text().parse().expect("a number"));
    }
    assert_eq!(lanes.len(), KEYS);
    for (key, numbers) in lanes {
        assert!(numbers.is_sorted(), "key {key:?} came out as {numbers:?}");
    }
    case.assert_all_committed();
}
