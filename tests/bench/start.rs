//! (f): from the start of the process to the first call of `handle-message`, on a warm broker that has messages. The
//! first call is observed by the guest, which sends the time of it; what comes before is read from the host's log.

use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::json;

use super::ground::{Ground, MILLION, PARTITIONS, PLUGIN, Setup};
use super::pace::stamps;
use super::report::{Report, Target, median};
use crate::world::host::Host;
use crate::world::kafka::Kafka;

const ROUNDS: usize = 5;

/// Few messages a start, so that a start is not the beginning of a race through the topic.
const BUDGET: &str = "rate = \"100/s\"";

/// What a start is like.
#[derive(Clone, Copy)]
struct Kind {
    key: &'static str,
    what: &'static str,
    /// Each start finds no compiled code.
    is_cold: bool,
    /// The group's members keep their place while they are away.
    is_static: bool,
    is_judged: bool,
}

const KINDS: [Kind; 3] = [
    Kind { key: "cold", what: "first call, cold", is_cold: true, is_static: false, is_judged: false },
    Kind {
        key: "cached",
        what: "first call, code cached",
        is_cold: false,
        is_static: false,
        is_judged: true,
    },
    Kind {
        key: "static",
        what: "first call, code cached, static member again",
        is_cold: false,
        is_static: true,
        is_judged: false,
    },
];

/// Milliseconds since the start of the process.
#[derive(Clone, Copy)]
struct Start {
    /// The admin listener answers: components are loaded.
    loaded: f64,
    /// The group has given it partitions, which is when it is ready.
    ready: f64,
    first_call: f64,
}

pub(crate) fn measure(ground: &Ground, report: &mut Report) {
    ground.compile("stamp");
    for kind in KINDS {
        let group = Kafka::unique("static");
        let group = if kind.is_static { group.as_str() } else { "" };
        if kind.is_static {
            start(ground, kind, group);
        }
        let starts: Vec<Start> = (0..ROUNDS).map(|_| start(ground, kind, group)).collect();
        show(kind, &starts, report);
    }
}

fn start(ground: &Ground, kind: Kind, group: &str) -> Start {
    let output = Kafka::unique("firsts");
    ground.kafka.create_topic(&output, PARTITIONS);
    let keys = format!("output = \"{output}\"");
    let options = if kind.is_static { "\"group.instance.id\" = \"one\"" } else { "" };
    // A relative path: a folder beside the site's settings, which are new each time.
    let data = kind.is_cold.then_some(Path::new("cold"));
    let setup = Setup { guest: "stamp", topic: MILLION, group, keys: &keys, budget: BUDGET, options, data };
    let site = ground.site(&setup);
    let began = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock after 1970");
    let host = site.start();
    host.wait_handled(PLUGIN, 1);
    let at = |text| ms_after(began, &host, text);
    let (loaded, ready) = (at("admin is listening"), at("partitions assigned"));
    assert_eq!(host.stop(), 0);
    let first = stamps(&ground.kafka, &output).into_iter().min().expect("an output");
    Start { loaded, ready, first_call: (u128::from(first) - began.as_nanos()) as f64 / 1e6 }
}

/// When the host logged the first line that holds `text`, in milliseconds after `began`.
fn ms_after(began: Duration, host: &Host, text: &str) -> f64 {
    const DAY_MS: f64 = 86_400_000.0;
    let line = host.logged(text).into_iter().next().expect("the host logs it");
    let line: serde_json::Value = serde_json::from_str(&line).expect("a line of JSON");
    let timestamp = line["timestamp"].as_str().expect("a line has its time");
    let (_, time) = timestamp.trim_end_matches('Z').split_once('T').expect("a date and a time");
    let of_day = time.split(':').fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().expect("a number"));
    (of_day * 1e3 - began.as_nanos() as f64 / 1e6).rem_euclid(DAY_MS)
}

fn show(kind: Kind, starts: &[Start], report: &mut Report) {
    let of = |figure: fn(&Start) -> f64| median(&starts.iter().map(figure).collect::<Vec<_>>());
    let (loaded, ready, first_call) = (of(|s| s.loaded), of(|s| s.ready), of(|s| s.first_call));
    let join = of(|s| s.ready - s.loaded);
    let figure = format!("{first_call:.0} ms");
    if kind.is_judged {
        report.judged("f", kind.what, figure, Target::at_most(first_call, 300.0, "ms"));
    } else {
        report.line("f", kind.what, figure);
    }
    report.line(
        "f",
        "  of that loading; joining the group; until ready",
        format!("{loaded:.0}; {join:.0}; {ready:.0} ms"),
    );
    let runs = starts
        .iter()
        .map(|s| json!({ "loaded_ms": s.loaded, "ready_ms": s.ready, "first_call_ms": s.first_call }));
    report.raw(format!("f_{}", kind.key), json!({ "runs": runs.collect::<Vec<_>>() }));
}
