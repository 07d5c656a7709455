//! (n) to (q): what live control costs. The longest pause of a plugin over a swap, throughput while it is swapped all the
//! time, how soon a changed rate holds, and what people who look on cost.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::ground::{Course, Ground, LOOK, MESSAGES, MILLION, PARTITIONS, PLUGIN, Setup, let_pass};
use super::pace::stamps;
use super::report::{Report, Target, median};
use crate::world::host::{Host, plugin};
use crate::world::kafka::Kafka;

/// Of how many runs the median is taken.
const ROUNDS: usize = 3;

/// Swaps whose gaps are looked at; the first compiles, and is not.
const SWAPS: usize = 20;

/// Starts a second while gaps are looked at: one is due every half millisecond.
const GAP_RATE: &str = "rate = \"2000/s\"\nbuffer = 1000";

/// Dashboards that are open.
const DASHBOARDS: usize = 10;

/// The component `guest`, and one that does the same and is another: a custom section tells them apart.
fn twins(guest: &str) -> [Vec<u8>; 2] {
    let wasm = std::fs::read(plugin(guest)).expect("the guest is built");
    let mut twin = wasm.clone();
    // Section 0, five bytes: a name of four.
    twin.extend([0, 5, 4, b't', b'w', b'i', b'n']);
    [wasm, twin]
}

fn swap(host: &Host, wasm: &[u8]) {
    let (status, answer) = host.ask(&format!("PUT /api/v1/plugins/{PLUGIN}/component"), "", wasm);
    assert_eq!(status, 200, "{answer}");
}

/// (n): the longest time between two starts around swaps, and without any.
pub(crate) fn gap(ground: &Ground, report: &mut Report) {
    ground.compile("stamp");
    let twins = twins("stamp");
    let output = Kafka::unique("gaps");
    ground.kafka.create_topic(&output, PARTITIONS);
    let keys = format!("output = \"{output}\"");
    let setup = Setup { guest: "stamp", topic: MILLION, keys: &keys, budget: GAP_RATE, ..Setup::default() };
    let host = ground.site(&setup).start();
    host.wait_handled(PLUGIN, 1);
    twins.iter().rev().for_each(|wasm| swap(&host, wasm));
    let (calm_from, now) = (nanos(), SWAPS as u32);
    let_pass(Duration::from_millis(150) * now);
    let swaps_from = nanos();
    for number in 0..SWAPS {
        swap(&host, &twins[(number + 1) % 2]);
        let_pass(Duration::from_millis(50));
    }
    let swaps_until = nanos();
    assert_eq!(host.stop(), 0);
    let mut starts = stamps(&ground.kafka, &output);
    starts.sort_unstable();
    let longest_ms = |from: u64, until: u64| {
        let within: Vec<u64> = starts.iter().copied().filter(|start| (from..until).contains(start)).collect();
        within.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default() as f64 / 1e6
    };
    let (calm, over) = (longest_ms(calm_from, swaps_from), longest_ms(swaps_from, swaps_until));
    report.line("n", "longest gap between starts at 2 000/s, no swap", format!("{calm:.1} ms"));
    report.judged(
        "n",
        format!("  over {SWAPS} swaps, code cached"),
        format!("{over:.1} ms"),
        Target::at_most(over, 10.0, "ms"),
    );
    report.raw("n_gap", json!({ "calm_ms": calm, "swaps_ms": over, "swaps": SWAPS }));
}

/// How fast the large topic is drained with one output each while `beside` goes on.
fn drained(ground: &Ground, beside: impl Fn(&Host, &AtomicBool) + Send + Sync) -> f64 {
    let output = Kafka::unique("live");
    ground.kafka.create_topic(&output, PARTITIONS);
    let keys = format!("output = \"{output}\"");
    let budget = "buffer = 10000";
    let setup = Setup { guest: "echo", topic: MILLION, keys: &keys, budget, ..Setup::default() };
    let host = ground.site(&setup).start();
    let over = AtomicBool::new(false);
    let rate = thread::scope(|scope| {
        scope.spawn(|| beside(&host, &over));
        let rate = Course::watch(&host, MESSAGES, LOOK).rate();
        over.store(true, Ordering::Release);
        rate
    });
    assert_eq!(host.stop(), 0);
    rate
}

/// Two ways beside each other, in turns: the medians, and the second as a part of the first.
fn compare(without: impl Fn() -> f64, with: impl Fn() -> f64) -> (f64, f64, Vec<(f64, f64)>) {
    let runs: Vec<(f64, f64)> = (0..ROUNDS).map(|_| (without(), with())).collect();
    let plain = median(&runs.iter().map(|run| run.0).collect::<Vec<_>>());
    let ratio = median(&runs.iter().map(|run| run.1).collect::<Vec<_>>()) / plain;
    (plain, ratio, runs)
}

/// (o): throughput with a swap every second.
pub(crate) fn swapping(ground: &Ground, report: &mut Report) {
    ground.compile("echo");
    let twins = twins("echo");
    let swap_on = |host: &Host, over: &AtomicBool| {
        for number in 1.. {
            let_pass(Duration::from_secs(1));
            if over.load(Ordering::Acquire) {
                return;
            }
            swap(host, &twins[number % 2]);
        }
    };
    // Both are compiled before anything is measured.
    drained(ground, swap_on);
    let (plain, ratio, runs) = compare(|| drained(ground, |_, _| {}), || drained(ground, swap_on));
    report.line("o", "one output each, no swap", format!("{:.0} k msg/s", plain / 1e3));
    let target = Target::at_least(ratio, 0.95, "x without");
    report.judged("o", "  a swap every second", format!("{ratio:.2} x without"), target);
    report.raw("o_swapping", json!({ "runs": runs, "ratio": ratio }));
}

/// (p): from sending a changed rate to the first start that it permits.
pub(crate) fn patch(ground: &Ground, report: &mut Report) {
    ground.compile("stamp");
    let output = Kafka::unique("patched");
    ground.kafka.create_topic(&output, PARTITIONS);
    let keys = format!("output = \"{output}\"");
    let budget = "rate = \"1/min\"";
    let setup = Setup { guest: "stamp", topic: MILLION, keys: &keys, budget, ..Setup::default() };
    let host = ground.site(&setup).start();
    host.wait_handled(PLUGIN, 1);
    let change = |rate: &str| {
        let body = json!({ "rate": rate }).to_string();
        let sent = nanos();
        let (status, answer) = host.ask(&format!("PATCH /api/v1/plugins/{PLUGIN}/budget"), "", body);
        assert_eq!(status, 200, "{answer}");
        sent
    };
    let mut patched = Vec::new();
    for _ in 0..10 {
        patched.push(change("1000/s"));
        let_pass(Duration::from_millis(100));
        change("1/min");
        let_pass(Duration::from_millis(100));
    }
    assert_eq!(host.stop(), 0);
    let mut starts = stamps(&ground.kafka, &output);
    starts.sort_unstable();
    let first_after = |sent: &u64| {
        starts.iter().find(|start| *start >= sent).map_or(f64::INFINITY, |start| (start - sent) as f64 / 1e6)
    };
    let effects: Vec<f64> = patched.iter().map(first_after).collect();
    let (middle, longest) = (median(&effects), effects.iter().copied().fold(0.0, f64::max));
    report.line(
        "p",
        "from PATCH of a rate to its first start",
        format!("median {middle:.1}, longest {longest:.1} ms"),
    );
    report.raw("p_patch", json!({ "ms": effects }));
}

/// (q): throughput with open dashboards.
pub(crate) fn watched(ground: &Ground, report: &mut Report) {
    ground.compile("echo");
    let look_on = |host: &Host, over: &AtomicBool| {
        let over = Arc::new(over);
        thread::scope(|scope| {
            for _ in 0..DASHBOARDS {
                let over = over.clone();
                scope.spawn(move || look(host.admin(), &over));
            }
        });
    };
    let (plain, ratio, runs) = compare(|| drained(ground, |_, _| {}), || drained(ground, look_on));
    report.line("q", "one output each, nobody looks", format!("{:.0} k msg/s", plain / 1e3));
    let target = Target::at_least(ratio, 0.98, "x without");
    report.judged("q", format!("  {DASHBOARDS} open dashboards"), format!("{ratio:.2} x without"), target);
    report.raw("q_watched", json!({ "runs": runs, "ratio": ratio }));
}

/// Reads the events of a host as a dashboard does, until it is over.
fn look(admin: &str, over: &AtomicBool) {
    let mut stream = TcpStream::connect(admin).expect("the admin side");
    stream.set_read_timeout(Some(Duration::from_millis(200))).expect("a time limit");
    write!(stream, "GET /api/v1/events HTTP/1.1\r\nHost: host\r\n\r\n").expect("the request is sent");
    let mut events = [0; 64 * 1024];
    while !over.load(Ordering::Acquire) {
        // Nothing came within the limit, which is as good as something.
        let _ = stream.read(&mut events);
    }
}

fn nanos() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos() as u64)
}
