//! (a), (b), (c), (i): how fast messages come through, and what that costs. Rounds take turns, so that a machine that is
//! slow for a while is slow for all of them.

use serde_json::json;

use super::Rows;
use super::bare::{self, Drain};
use super::ground::{Course, Ground, LOOK, MESSAGES, MILLION, PARTITIONS, Setup};
use super::process::{cpu_seconds, peak_mib};
use super::report::{Report, Target, median};
use crate::world::kafka::Kafka;

/// Of how many runs the median is taken.
const ROUNDS: usize = 3;

/// A buffer that 50 partitions fill with batches: what someone would set who wants throughput.
const WIDE: &str = "buffer = 10000";

/// One run of a host over the whole topic.
struct Run {
    rate: f64,
    cpu_seconds: f64,
    peak_mib: f64,
}

/// What the host does in a line of the table.
struct Line {
    row: &'static str,
    key: &'static str,
    what: &'static str,
    guest: &'static str,
    budget: &'static str,
    delivery: &'static str,
    is_judged: bool,
    runs: Vec<Run>,
}

fn line(row: &'static str, key: &'static str, what: &'static str, guest: &'static str) -> Line {
    Line {
        row,
        key,
        what,
        guest,
        budget: WIDE,
        delivery: "at-least-once",
        is_judged: row == "b",
        runs: Vec::new(),
    }
}

pub(crate) fn measure(ground: &Ground, rows: &Rows, report: &mut Report) {
    let mut lines = vec![
        line("b", "noop", "host, no-op handler, buffer 10 000", "noop"),
        Line {
            budget: "",
            is_judged: false,
            ..line("b", "noop_default", "host, no-op handler, default budget", "noop")
        },
        line("c", "echo", "host, one output each, buffer 10 000", "echo"),
        Line {
            delivery: "exactly-once",
            ..line("i", "exactly_once", "host, one output each, exactly-once, buffer 10 000", "echo")
        },
    ];
    lines.retain(|line| rows.want(line.row));
    for line in &lines {
        ground.compile(line.guest);
    }
    let mut bare = Vec::new();
    for _ in 0..ROUNDS {
        bare.push(bare::drain(&ground.kafka.bootstrap(), MILLION));
        for line in &mut lines {
            line.runs.push(host(ground, line));
        }
    }
    let limit = median(&bare.iter().map(|drain| drain.rate).collect::<Vec<_>>());
    show_bare(&bare, limit, report);
    compare(&lines, report);
    for line in &lines {
        show(line, limit, report);
    }
}

/// Exactly-once beside at-least-once, if both were measured.
fn compare(lines: &[Line], report: &mut Report) {
    let rate = |row: &str| {
        let line = lines.iter().find(|line| line.row == row)?;
        Some(median(&line.runs.iter().map(|run| run.rate).collect::<Vec<_>>()))
    };
    if let (Some(at_least), Some(exactly)) = (rate("c"), rate("i")) {
        let ratio = exactly / at_least;
        let target = Target::at_least(ratio, 0.7, "x (c)");
        report.judged("i", "exactly-once beside at-least-once", format!("{ratio:.2} x (c)"), target);
    }
}

fn host(ground: &Ground, line: &Line) -> Run {
    let output = Kafka::unique("echoed");
    let mut keys = String::new();
    if line.guest == "echo" {
        ground.kafka.create_topic(&output, PARTITIONS);
        keys = format!("output = \"{output}\"\ndelivery = \"{}\"", line.delivery);
    }
    let setup =
        Setup { guest: line.guest, topic: MILLION, keys: &keys, budget: line.budget, ..Setup::default() };
    let site = ground.site(&setup);
    let host = site.start();
    let course = Course::watch(&host, MESSAGES, LOOK);
    let run = Run { rate: course.rate(), cpu_seconds: cpu_seconds(host.id()), peak_mib: peak_mib(host.id()) };
    assert_eq!(host.stop(), 0);
    run
}

fn show_bare(bare: &[Drain], limit: f64, report: &mut Report) {
    report.line("a", "bare librdkafka batch drain, 1 M x 100 bytes", format!("{:.0} k msg/s", limit / 1e3));
    let runs = bare.iter().map(|d| json!({ "msg_per_s": d.rate, "cpu_s": d.cpu_seconds }));
    report.raw("a_bare", json!({ "median_msg_per_s": limit, "runs": runs.collect::<Vec<_>>() }));
}

fn show(line: &Line, limit: f64, report: &mut Report) {
    let of = |figure: fn(&Run) -> f64| median(&line.runs.iter().map(figure).collect::<Vec<_>>());
    let (rate, cpu_seconds, peak_mib) = (of(|r| r.rate), of(|r| r.cpu_seconds), of(|r| r.peak_mib));
    let (row, what, ratio) = (line.row, line.what, rate / limit);
    report.line(row, what, format!("{:.0} k msg/s", rate / 1e3));
    let (share, peak) = (format!("{ratio:.2} x (a)"), format!("{peak_mib:.0} MiB"));
    if line.is_judged {
        report.judged(row, "  beside (a)", share, Target::at_least(ratio, 0.3, "x (a)"));
        report.judged(row, "  peak resident memory", peak, Target::at_most(peak_mib, 200.0, "MiB"));
    } else {
        report.line(row, "  beside (a)", share);
        report.line(row, "  peak resident memory", peak);
    }
    report.line(row, "  CPU, start and end included", format!("{cpu_seconds:.2} s"));
    let runs = line
        .runs
        .iter()
        .map(|r| json!({ "msg_per_s": r.rate, "cpu_s": r.cpu_seconds, "peak_mib": r.peak_mib }));
    report.raw(
        format!("{row}_{}", line.key),
        json!({ "median_msg_per_s": rate, "ratio_to_bare": ratio, "runs": runs.collect::<Vec<_>>() }),
    );
}
