//! (j) to (m): what failures and batches cost. Keys that fail for ever beside healthy ones, batches beside messages one
//! at a time, what progress out of order takes in a commit, and what a parked message takes in memory.

use std::ops::Range;
use std::time::Duration;

use gristmill::ack::map::{CHARS_MAX, decode, encode};
use serde_json::json;

use super::ground::{Course, Ground, LOOK, Setup};
use super::process::resident_mib;
use super::report::{Report, Target, median};
use crate::world::kafka::Kafka;

const ROUNDS: usize = 3;

/// Messages of a topic, and as many keys.
const MESSAGES: u64 = 100_000;

/// One in so many keys fails for ever.
const FAILING: u64 = 100;

/// (j): how fast the healthy keys come through beside some that fail for ever, and without them.
pub(crate) fn beside_failures(ground: &Ground, report: &mut Report) {
    let word = |index: u64| if index.is_multiple_of(FAILING) { "retry x" } else { "ok" };
    ground.fill_with("ill", MESSAGES, |index| (Some(index.to_string()), word(index).to_owned()));
    ground.fill_with("well", MESSAGES, |index| (Some(index.to_string()), "ok".to_owned()));
    ground.compile("fail");
    let healthy = MESSAGES - MESSAGES / FAILING;
    let run = |topic: &str| {
        let output = Kafka::unique("healthy");
        ground.kafka.create_topic(&output, 10);
        let keys = format!("output = \"{output}\"");
        let setup = Setup { guest: "fail", topic, keys: &keys, budget: "buffer = 1000", ..Setup::default() };
        let host = ground.site(&setup).start();
        let rate = Course::watch(&host, healthy, LOOK).rate();
        assert_eq!(host.stop(), 0);
        rate
    };
    let runs: Vec<(f64, f64)> = (0..ROUNDS).map(|_| (run("well"), run("ill"))).collect();
    let without = median(&runs.iter().map(|run| run.0).collect::<Vec<_>>());
    let beside = median(&runs.iter().map(|run| run.1).collect::<Vec<_>>());
    let ratio = beside / without;
    report.line("j", "100 000 keys, one output each, none fails", format!("{:.0} k msg/s", without / 1e3));
    report.judged(
        "j",
        "  1 in 100 keys fails for ever: the healthy ones",
        format!("{ratio:.2} x without"),
        Target::at_least(ratio, 0.9, "x without"),
    );
    report
        .raw("j_failures", json!({ "without_msg_per_s": without, "beside_msg_per_s": beside, "runs": runs }));
}

/// (k): batches of 100 beside the same component handling one message at a time.
pub(crate) fn batches(ground: &Ground, report: &mut Report) {
    for (topic, word) in [("singly", "done"), ("batched", "ok")] {
        ground.fill_with(topic, MESSAGES, |_| (None, word.to_owned()));
    }
    ground.compile("batch");
    let run = |topic: &str| {
        let output = Kafka::unique("batches");
        ground.kafka.create_topic(&output, 10);
        let keys = format!(
            "output = \"{output}\"\n[plugins.bench.batchers.default]\nsize = 100\ntimeout = \"100ms\"\nconcurrency = 4"
        );
        let setup = Setup { guest: "batch", topic, keys: &keys, budget: "buffer = 1000", ..Setup::default() };
        let host = ground.site(&setup).start();
        let rate = Course::watch(&host, MESSAGES, LOOK).rate();
        assert_eq!(host.stop(), 0);
        rate
    };
    let runs: Vec<(f64, f64)> = (0..ROUNDS).map(|_| (run("singly"), run("batched"))).collect();
    let singly = median(&runs.iter().map(|run| run.0).collect::<Vec<_>>());
    let batched = median(&runs.iter().map(|run| run.1).collect::<Vec<_>>());
    report.line("k", "batcher, each message done at once", format!("{:.0} k msg/s", singly / 1e3));
    report.line("k", "  batches of 100", format!("{:.2} x that", batched / singly));
    report
        .raw("k_batches", json!({ "singly_msg_per_s": singly, "batched_msg_per_s": batched, "runs": runs }));
}

/// (l): characters of a commit's metadata for 100 000 messages that finished behind one which has not.
pub(crate) fn progress_map(_: &Ground, report: &mut Report) {
    /// The seed of what finished, so that the figure stays what it is.
    const SEED: u64 = 4;
    let mut random = fastrand::Rng::with_seed(SEED);
    let jumble = |of: i64, random: &mut fastrand::Rng| {
        let mut offsets: Vec<i64> = (1..=of).collect();
        random.shuffle(&mut offsets);
        offsets.truncate(MESSAGES as usize);
        offsets.sort_unstable();
        offsets.into_iter().map(|offset| offset..offset + 1).collect::<Vec<Range<i64>>>()
    };
    let finished = MESSAGES as i64;
    for (what, of) in [("all of them", finished), ("all but 64", finished + 64), ("one in two", finished * 2)]
    {
        let mut ranges: Vec<Range<i64>> = Vec::new();
        for one in jumble(of, &mut random) {
            match ranges.last_mut() {
                Some(last) if last.end == one.start => last.end = one.end,
                _ => ranges.push(one),
            }
        }
        let map = encode(0, ranges, CHARS_MAX);
        let kept = decode(0, map.text.as_bytes()).expect("it was just encoded");
        let kept: i64 = kept.iter().map(|range| range.end - range.start).sum();
        let figure = format!("{} characters, {kept} kept", map.text.len());
        report.line("l", format!("100 000 finished behind a hole, {what} there"), figure);
        report
            .raw(format!("l_map_{of}"), json!({ "characters": map.text.len(), "kept": kept, "seed": SEED }));
    }
}

/// (m): resident memory for each parked message of 100 bytes.
pub(crate) fn parked(ground: &Ground, report: &mut Report) {
    let payload = format!("reject {}", "x".repeat(93));
    ground.fill_with("parked", MESSAGES, |index| (Some(index.to_string()), payload.clone()));
    ground.compile("fail");
    let keys = "[plugins.bench.failure]\nmax_parked = 1000000";
    let setup = Setup { guest: "fail", topic: "parked", keys, budget: "buffer = 100", ..Setup::default() };
    let host = ground.site(&setup).start();
    host.wait_for("to park some", || host.outcomes("bench", "parked") >= MESSAGES / 10);
    let (before, parked_before) = (resident_mib(host.id()).0, host.outcomes("bench", "parked"));
    host.wait_for("to park all", || host.outcomes("bench", "parked") == MESSAGES);
    super::ground::let_pass(Duration::from_secs(2));
    let grown = (resident_mib(host.id()).0 - before) * f64::from(1 << 20);
    let each = grown / (MESSAGES - parked_before) as f64;
    assert_eq!(host.stop(), 0);
    report.line("m", "memory for each parked message of 100 bytes", format!("{each:.0} bytes"));
    report.raw("m_parked", json!({ "bytes_each": each }));
}
