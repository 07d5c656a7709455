//! All plugins: a row each, and below what has to be said of them.

use super::super::figures;
use super::super::table::{self, Column, Kind};
use super::super::words::{harmless, one_line};
use super::trial;
use crate::api::{Plugin, Reload};

/// The columns. In a terminal of 80 most names leave room for all of them.
pub(in super::super) const COLUMNS: [Column; 10] = [
    Column::new("PLUGIN", Kind::Cut),
    Column::new("STATE", Kind::Left),
    Column::new("HANDLED/S", Kind::Right),
    Column::new("RATE", Kind::Right),
    Column::new("IN FLIGHT", Kind::Right),
    Column::new("BUFFER", Kind::Right).spare(1),
    Column::new("LAG", Kind::Right),
    Column::new("PARKED", Kind::Right),
    Column::new("P99", Kind::Right).spare(2),
    Column::new("COMPONENT", Kind::Left).spare(3),
];

/// The table, and a line for everything that a figure cannot say.
pub(super) fn list(plugins: &[Plugin], room: Option<usize>) -> Vec<String> {
    let rows: Vec<Vec<String>> = plugins.iter().map(|plugin| row(plugin).to_vec()).collect();
    let mut lines = table::lines(&COLUMNS, &rows, room);
    let remarks: Vec<String> = plugins
        .iter()
        .flat_map(|plugin| {
            remarks(plugin).into_iter().map(|text| format!("{}: {text}", harmless(&plugin.name)))
        })
        .collect();
    if !remarks.is_empty() {
        lines.push(String::new());
        lines.extend(remarks);
    }
    lines
}

/// What is to be known of the last reload of the config: that it was refused, or what of it only a restart would heed.
pub(super) fn reload(reload: &Reload) -> Vec<String> {
    let mut lines = Vec::new();
    if reload.result == "refused" {
        let (at, by) = (harmless(&reload.at), harmless(&reload.by));
        lines.push(format!("the config was read again at {at} by {by} and refused; what was before goes on"));
        lines.extend(reload.problems.iter().map(|problem| format!("  {}", one_line(problem))));
    }
    lines.extend(reload.ignored.iter().map(|what| format!("needs a restart: {}", one_line(what))));
    if !lines.is_empty() {
        lines.insert(0, String::new());
    }
    lines
}

/// One plugin's cells.
pub(in super::super) fn row(plugin: &Plugin) -> [String; 10] {
    let budget = &plugin.budget;
    [
        harmless(&plugin.name),
        harmless(&plugin.state),
        figures::per_second(plugin.handled_per_second),
        budget.rate.as_deref().map_or_else(|| "none".to_owned(), harmless),
        format!("{}/{}", figures::count(plugin.in_flight), figures::count(budget.concurrency)),
        format!("{}/{}", figures::count(plugin.buffer_messages), figures::count(budget.buffer)),
        figures::signed(plugin.lag),
        figures::count(plugin.parked_lanes),
        figures::quantile(plugin.handle_seconds.p99),
        component(plugin),
    ]
}

/// The digest at sight; a star says that it is not the one that the config names.
fn component(plugin: &Plugin) -> String {
    let mark = if plugin.component.source == "swapped" { "*" } else { "" };
    figures::digest(&plugin.digest) + mark
}

/// What is in the way of a plugin, if that is more than the name of its state.
pub(super) fn reason(plugin: &Plugin) -> Option<String> {
    plugin.reason.as_ref().filter(|reason| **reason != plugin.state).map(|reason| one_line(reason))
}

/// What has to be said of a plugin besides its figures.
pub(in super::super) fn remarks(plugin: &Plugin) -> Vec<String> {
    let mut remarks: Vec<String> = reason(plugin).into_iter().collect();
    remarks.extend(plugin.trial.as_ref().map(trial::sentence));
    remarks.extend(plugin.advice.iter().map(|advice| one_line(&advice.text)));
    if plugin.component.source == "swapped" {
        remarks.push("runs a component that was swapped in (*)".to_owned());
    }
    remarks
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::plugin;
    use super::*;
    use crate::api::{Advice, Quantiles};

    fn busy() -> Plugin {
        let mut busy = plugin("enrich");
        busy.budget.rate = Some("11/s".to_owned());
        busy.handled_per_second = 10.96;
        (busy.in_flight, busy.buffer_messages, busy.lag, busy.parked_lanes) = (5, 98, Some(1_234_567), 3);
        busy.handle_seconds = Quantiles { p50: Some(0.08), p99: Some(0.25) };
        busy.advice = vec![Advice { about: "lag".to_owned(), text: "gone in 6 min".to_owned() }];
        busy
    }

    #[test]
    fn a_plugin_fits_into_80_columns() {
        let lines = list(&[busy(), plugin("idle")], Some(80));
        let expected = [
            "PLUGIN STATE   HANDLED/S RATE IN FLIGHT BUFFER   LAG PARKED   P99 COMPONENT",
            "enrich running      11.0 11/s      5/10 98/100 1.23M      3 250ms 3f2a9c01",
            "idle   running         0 none      0/10  0/100     -      0     - 3f2a9c01",
            "",
            "enrich: gone in 6 min",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn long_names_and_huge_figures_fit_too() {
        let mut huge = plugin("mail-customers-who-ordered-yesterday-and-have-not-been-mailed");
        huge.state = "troubled".to_owned();
        huge.budget.rate = Some("950k/day".to_owned());
        huge.handled_per_second = 1e9;
        huge.budget.concurrency = u64::MAX;
        (huge.in_flight, huge.buffer_messages, huge.parked_lanes) = (u64::MAX, u64::MAX, u64::MAX);
        huge.lag = Some(i64::MAX);
        huge.reason = Some("the broker\nis away \u{1b}[31m".to_owned());
        let lines = list(&[busy(), huge.clone()], Some(80));
        assert!(lines[..3].iter().all(|line| line.chars().count() <= 80), "{lines:#?}");
        assert!(lines[2].starts_with("mail-cus"), "{lines:#?}");
        assert_eq!(lines[5], format!("{}: the broker is away \\u{{1b}}[31m", huge.name));
        let narrow = list(&[busy(), huge.clone()], Some(64));
        assert!(narrow[..2].iter().all(|line| line.chars().count() <= 64), "{narrow:#?}");
        assert!(narrow[1].contains(" 11/s ") && narrow[1].ends_with(" 3"), "{narrow:#?}");
        let wide = list(&[huge.clone()], None);
        assert!(wide[1].starts_with(&huge.name) && wide[1].ends_with("3f2a9c01"), "{wide:#?}");
    }
}
