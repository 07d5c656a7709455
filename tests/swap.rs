//! Another component takes over while messages flow: nothing is lost, nothing is done twice, and a key never goes back to
//! an earlier version. One that does worse is rolled back by itself.

use std::collections::HashMap;

use serde_json::Value;

use crate::world::host::{Host, Site, plugin, section};
use crate::world::kafka::{Isolation, Kafka, Record, Stored};
use crate::world::tally::Tally;

/// Starts in a second.
const RATE: usize = 2_000;

/// The component `version` as number `number`, with `mode` wrong about it.
pub(crate) fn version(number: usize, mode: char) -> Vec<u8> {
    const MARK: &[u8] = b"<<version 00000000 mode n>>";
    let mut wasm = std::fs::read(plugin("version")).expect("the guest is built");
    let places: Vec<usize> =
        (0..wasm.len() - MARK.len()).filter(|at| wasm[*at..].starts_with(MARK)).collect();
    assert!(!places.is_empty(), "the mark is not in the component");
    let mark = format!("<<version {number:08} mode {mode}>>");
    places.into_iter().for_each(|at| wasm[at..at + MARK.len()].copy_from_slice(mark.as_bytes()));
    wasm
}

/// A plugin at work, whose topic has `messages` of `keys` keys.
struct Case {
    kafka: &'static Kafka,
    out: String,
    host: Host,
}

impl Case {
    fn new(messages: usize, keys: usize, more: &str) -> Case {
        let kafka = Kafka::shared();
        let (from, out) = (Kafka::unique("swap"), Kafka::unique("swapped"));
        kafka.create_topic(&from, 6);
        // One partition, so that outputs are read in the order of their making.
        kafka.create_topic(&out, 1);
        kafka.produce(&from, (0..messages).map(|i| Record::new((i % keys).to_string(), i.to_string())));
        let toml = section("version", &from, &format!("output = {out:?}\n{more}"));
        let host = Site::new(&kafka.bootstrap(), &toml).start();
        Case { kafka, out, host }
    }

    /// Asks the admin side something of the plugin.
    fn ask(&self, request: &str, body: impl AsRef<[u8]>) -> (u16, Value) {
        let (method, path) = request.split_once(' ').expect("a method and a path");
        let (status, answer) = self.host.ask(&format!("{method} /api/v1/plugins/version{path}"), "", body);
        (status, serde_json::from_str(&answer).unwrap_or(Value::Null))
    }

    fn shown(&self) -> Value {
        self.ask("GET ", "").1
    }

    fn swap(&self, wasm: Vec<u8>, query: &str) -> (u16, Value) {
        self.ask(&format!("PUT /component{query}"), wasm)
    }

    fn outputs(&self) -> Vec<Stored> {
        self.kafka.consume_all(&self.out, Isolation::ReadUncommitted)
    }

    /// Everything came out once, for each key in order, and from versions that never go back.
    fn assert_orderly(&self, messages: usize) {
        let outputs = self.outputs();
        let parts = |output: &Stored| {
            let text = output.text();
            let (version, number) = text.split_once(' ').expect("a version and a number");
            (version.parse::<usize>().expect("a version"), number.parse::<usize>().expect("a number"))
        };
        let mut numbers: Vec<usize> = outputs.iter().map(|output| parts(output).1).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..messages).collect::<Vec<_>>(), "each message is handled once");
        let mut last: HashMap<_, (usize, usize)> = HashMap::new();
        for output in &outputs {
            let now = parts(output);
            let before = last.insert(output.key.clone(), now).unwrap_or_default();
            assert!(before.0 <= now.0, "a key went from version {} back to {}", before.0, now.0);
            assert!(before.1 <= now.1, "a key's message {} came after {}", now.1, before.1);
        }
    }

    fn lift_the_rate(&self) {
        assert_eq!(self.ask("PATCH /budget", r#"{"rate": null}"#).0, 200);
    }
}

#[test]
fn a_hundred_swaps_under_load_half_of_them_broken_lose_and_double_nothing() {
    const MESSAGES: usize = 150_000;
    let case =
        Case::new(MESSAGES, 1_000, &format!("[plugins.version.budget]\nrate = \"{RATE}/s\"\nbuffer = 500"));
    case.host.wait_handled("version", 500);
    let good = version(1, 'n');
    let broken: [Vec<u8>; 4] = [
        good[..good.len() / 2].to_vec(),
        b"no component at all".to_vec(),
        std::fs::read(plugin("wrong-world")).expect("the guest is built"),
        std::fs::read(plugin("unprovided")).expect("the guest is built"),
    ];
    for swap in 1..=50 {
        let (status, answer) = case.swap(broken[swap % broken.len()].clone(), "");
        assert_eq!(status, 422, "{answer}");
        assert!(answer["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{answer}");
        let (status, answer) = case.swap(version(swap, 'n'), "");
        assert_eq!((status, &answer["result"]), (200, &Value::from("swapped")), "{answer}");
    }
    let lag = case.shown()["lag"].as_i64();
    case.lift_the_rate();
    case.host.wait_handled("version", MESSAGES as u64);
    assert_eq!(case.host.metric("gristmill_swaps_total", &[("result", "done")]), 50.0);
    assert_eq!(case.host.metric("gristmill_swaps_total", &[("result", "refused")]), 50.0);
    assert!(lag.is_some_and(|lag| lag > 0), "the load ended before the swaps did: {lag:?}");
    case.assert_orderly(MESSAGES);
    assert_eq!(case.host.stop(), 0);
}

#[test]
fn a_canary_has_its_share_of_the_keys_and_nothing_is_lost_when_it_is_promoted() {
    const MESSAGES: usize = 20_000;
    const KEYS: usize = 10_000;
    let case = Case::new(MESSAGES, KEYS, "[plugins.version.budget]\nrate = \"1/s\"\nbuffer = 1000");
    case.host.wait_handled("version", 1);
    assert_eq!(case.swap(version(1, 'n'), "?canary=20").0, 200);
    assert_eq!(case.swap(version(2, 'n'), "").0, 409);
    case.lift_the_rate();
    case.host.wait_handled("version", MESSAGES as u64 / 2);
    let (status, answer) = case.ask("POST /promote", "");
    assert_eq!((status, &answer["result"]), (200, &Value::from("promoted")), "{answer}");
    case.host.wait_handled("version", MESSAGES as u64);
    case.assert_orderly(MESSAGES);
    let outputs = case.outputs();
    // The first message of each key, while the canary was on trial for all of them.
    let first = outputs.iter().take(MESSAGES / 4);
    let share =
        first.filter(|output| output.text().starts_with("00000001")).count() as f64 * 400.0 / MESSAGES as f64;
    assert!((18.0..=22.0).contains(&share), "{share} % went to the canary");
    assert_eq!(case.host.stop(), 0);
}

#[test]
fn a_canary_that_traps_is_rolled_back() {
    assert_rolled_back('t', "traps in a row");
}

#[test]
fn a_canary_that_is_slow_is_rolled_back() {
    assert_rolled_back('s', "its p99 is");
}

#[test]
fn a_canary_that_leaks_is_rolled_back() {
    assert_rolled_back('l', "failed, and 0.0 % of the old version's");
}

#[test]
fn a_canary_that_rejects_is_rolled_back() {
    assert_rolled_back('f', "failed, and 0.0 % of the old version's");
}

fn assert_rolled_back(mode: char, why: &str) {
    const MESSAGES: usize = 6_000;
    let more = "[plugins.version.retry]\nattempts = 1\n[plugins.version.budget]\nrate = \"500/s\"\nmemory = \"128MiB\"";
    let case = Case::new(MESSAGES, 1_000, more);
    case.host.wait_handled("version", 200);
    assert_eq!(case.swap(version(1, mode), "?canary=20").0, 200);
    case.host.wait_for("to roll back", || case.shown()["last_swap"]["result"] == "rolled-back");
    let shown = case.shown();
    let reason = shown["last_swap"]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains(why), "{reason}");
    assert_eq!(shown["trial"], Value::Null);
    case.lift_the_rate();
    case.host.wait_handled("version", MESSAGES as u64);
    assert_eq!(case.host.outcomes("version", "parked"), 0, "nobody is charged for a canary");
    let numbers = case.outputs().iter().map(|output| output.text()[9..].to_owned()).collect::<Vec<_>>();
    assert_eq!(numbers.len(), MESSAGES);
    assert_eq!(Tally::of(&case.outputs()).repeated(), 0);
    assert_eq!(case.host.stop(), 0);
}

#[test]
fn a_shadow_tells_what_would_be_different_and_nothing_of_it_shows() {
    const MESSAGES: usize = 2_000;
    let case = Case::new(MESSAGES, 100, "[plugins.version.budget]\nrate = \"500/s\"");
    case.host.wait_handled("version", 10);
    assert_eq!(case.swap(version(7, 'n'), "?shadow=true").0, 200);
    case.host.wait_for("to compare", || {
        case.shown()["trial"]["differences"]["outputs"].as_u64().is_some_and(|outputs| outputs >= 100)
    });
    let shown = case.shown();
    let sample = &shown["trial"]["differences"]["samples"][0];
    assert!(sample["new"].as_str().is_some_and(|text| text.contains("00000007")), "{sample}");
    let (status, answer) = case.ask("POST /rollback", "");
    assert_eq!((status, &answer["result"]), (200, &Value::from("rolled-back")), "{answer}");
    case.lift_the_rate();
    case.host.wait_handled("version", MESSAGES as u64);
    case.assert_orderly(MESSAGES);
    assert!(case.outputs().iter().all(|output| output.text().starts_with("00000000")));
    assert_eq!(case.host.stop(), 0);
}

#[test]
fn two_hundred_swaps_leave_no_memory_behind() {
    let case = Case::new(1_000, 100, "[plugins.version.budget]\nrate = \"50/s\"");
    case.host.wait_handled("version", 1);
    let versions = [version(1, 'n'), version(2, 'n')];
    let mut after_the_tenth = 0;
    for swap in 1..=200 {
        assert_eq!(case.swap(versions[swap % 2].clone(), "").0, 200);
        if swap == 10 {
            after_the_tenth = case.host.memory_bytes();
        }
    }
    let end = case.host.memory_bytes();
    println!("resident after 10 swaps: {after_the_tenth}, after 200: {end}");
    assert!(
        end as f64 <= after_the_tenth as f64 * 1.1,
        "{end} bytes after 200 swaps, {after_the_tenth} after 10"
    );
    assert_eq!(case.host.stop(), 0);
}
