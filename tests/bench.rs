//! The rows of the table, in their order, and the ground that they are measured on.
//!
//! - `throughput`: (a) bare librdkafka, (b) the host without outputs, (c) with one output each, (i) exactly-once
//! - `stages`: (d) where the time of a message goes
//! - `pace`: (e) whether starts keep to the rate
//! - `start`: (f) from the start of the process to the first message
//! - `memory`: (g) resident memory, idle and under lag
//! - `waiting`: (h) messages that wait, many at once
//! - `failures`: (j) beside keys that fail, (k) batches, (l) progress out of order, (m) memory of parked messages
//! - `live`: (n) the longest pause over a swap, (o) swaps all the time, (p) how soon a rate holds, (q) open dashboards
//! - `bare` is the drain of (a), `ground` the broker with its topics and the hosts, `process` what the system says of
//!   a process, `machine` where all of this ran, and `report` the table and the JSON

mod bare;
mod failures;
mod ground;
mod live;
mod machine;
mod memory;
mod pace;
mod process;
mod report;
mod stages;
mod start;
mod throughput;
mod waiting;

use ground::Ground;
use report::Report;

/// Measures a row.
type Measure = fn(&Ground, &mut Report);

/// Which rows are wanted.
pub(crate) struct Rows(Option<Vec<String>>);

impl Rows {
    /// `--only b,h`, or all.
    pub(crate) fn from_args(arguments: impl Iterator<Item = String>) -> Rows {
        let mut only = arguments.skip_while(|argument| argument != "--only").skip(1);
        Rows(only.next().map(|rows| rows.split(',').map(|row| row.trim().to_owned()).collect()))
    }

    fn want(&self, row: &str) -> bool {
        self.0.as_ref().is_none_or(|rows| rows.iter().any(|wanted| wanted == row))
    }
}

/// Measures the rows that are wanted, prints the table and writes the JSON.
pub(crate) fn run(rows: &Rows) {
    let mut report = Report::default();
    machine::describe(&mut report);
    let ground = Ground::prepare();
    if ["a", "b", "c", "i"].iter().any(|row| rows.want(row)) {
        throughput::measure(&ground, rows, &mut report);
    }
    let rest: [(&str, Measure); 13] = [
        ("d", stages::measure),
        ("e", pace::measure),
        ("f", start::measure),
        ("g", memory::measure),
        ("h", waiting::measure),
        ("j", failures::beside_failures),
        ("k", failures::batches),
        ("l", failures::progress_map),
        ("m", failures::parked),
        ("n", live::gap),
        ("o", live::swapping),
        ("p", live::patch),
        ("q", live::watched),
    ];
    for (row, measure) in rest {
        if rows.want(row) {
            measure(&ground, &mut report);
        }
    }
    machine::note_load(&mut report, "load_after");
    report.print();
    report.write();
}
