//! What was measured: a table for people and a file for programs.

use std::path::Path;

use serde_json::{Map, Value};

/// One line of the table.
struct Line {
    row: &'static str,
    what: String,
    figure: String,
    target: String,
    verdict: &'static str,
}

/// What a figure is held against.
pub(crate) struct Target {
    text: String,
    met: bool,
}

impl Target {
    /// `figure` should be at least `least`.
    pub(crate) fn at_least(figure: f64, least: f64, unit: &str) -> Target {
        Target { text: format!(">= {least} {unit}"), met: figure >= least }
    }

    /// `figure` should be at most `most`.
    pub(crate) fn at_most(figure: f64, most: f64, unit: &str) -> Target {
        Target { text: format!("<= {most} {unit}"), met: figure <= most }
    }
}

/// The table and the raw figures as they come.
#[derive(Default)]
pub(crate) struct Report {
    about: Vec<(String, String)>,
    lines: Vec<Line>,
    raw: Map<String, Value>,
}

impl Report {
    /// Something about the circumstances.
    pub(crate) fn about(&mut self, what: &str, value: impl Into<String>) {
        let value = value.into();
        self.raw.insert(what.to_owned(), value.clone().into());
        self.about.push((what.to_owned(), value));
    }

    /// A line of the table without a target.
    pub(crate) fn line(&mut self, row: &'static str, what: impl Into<String>, figure: impl Into<String>) {
        self.add(row, what.into(), figure.into(), None);
    }

    /// A line of the table that is held against a target.
    pub(crate) fn judged(
        &mut self,
        row: &'static str,
        what: impl Into<String>,
        figure: impl Into<String>,
        target: Target,
    ) {
        self.add(row, what.into(), figure.into(), Some(target));
    }

    /// Everything that was measured for a line, as it was measured.
    pub(crate) fn raw(&mut self, key: impl Into<String>, value: Value) {
        self.raw.insert(key.into(), value);
    }

    fn add(&mut self, row: &'static str, what: String, figure: String, target: Option<Target>) {
        let verdict = match &target {
            None => "",
            Some(target) if target.met => "pass",
            Some(_) => "MISS",
        };
        eprintln!("({row}) {what}: {figure} {verdict}");
        let target = target.map(|target| target.text).unwrap_or_default();
        self.lines.push(Line { row, what, figure, target, verdict });
    }

    /// Prints the table.
    pub(crate) fn print(&self) {
        println!();
        for (what, value) in &self.about {
            println!("{what:<12} {value}");
        }
        let width = |of: fn(&Line) -> &str| {
            self.lines.iter().map(|line| of(line).chars().count()).max().unwrap_or_default()
        };
        let (what, figure, target) = (width(|l| &l.what), width(|l| &l.figure), width(|l| &l.target));
        println!();
        let mut row_before = "";
        for line in &self.lines {
            let row = if line.row == row_before { "" } else { line.row };
            row_before = line.row;
            let (text, value, goal, verdict) = (&line.what, &line.figure, &line.target, line.verdict);
            println!("{row:<2} {text:<what$}  {value:>figure$}  {goal:<target$}  {verdict}");
        }
    }

    /// Writes all raw figures to target/bench.json.
    pub(crate) fn write(&self) {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench.json");
        let lines = self.lines.iter().map(|line| {
            serde_json::json!({
                "row": line.row, "what": line.what, "figure": line.figure, "target": line.target,
                "verdict": line.verdict,
            })
        });
        let whole = serde_json::json!({ "table": lines.collect::<Value>(), "raw": self.raw });
        let text = serde_json::to_string_pretty(&whole).expect("figures are JSON");
        std::fs::write(file, text).expect("target/bench.json can be written");
        println!("\nall raw figures: target/bench.json");
    }
}

/// The middle one.
pub(crate) fn median(figures: &[f64]) -> f64 {
    quantile(figures, 0.5)
}

/// The figure below which `share` of all figures lie; 0 when there are none.
pub(crate) fn quantile(figures: &[f64], share: f64) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let index = ((sorted.len().saturating_sub(1)) as f64 * share).round() as usize;
    sorted.get(index).copied().unwrap_or_default()
}
