//! `gristmill check`

use std::path::Path;
use std::sync::Arc;

use super::logs;
use crate::app;
use crate::config::check::{self, Checked};
use crate::config::problem::Problems;
use crate::config::{self, units};
use crate::plugin::{self, Engine, Summary};

/// Checks the settings in `file` and every component they name.
///
/// # Errors
///
/// `Problems`, all of them.
pub(super) fn check(file: &Path, json: bool) -> anyhow::Result<()> {
    let checked = check::load(file)?;
    let summaries = components(&checked)?;
    for note in &checked.notes {
        logs::say(&note.to_string());
    }
    let rows: Vec<_> = checked.config.plugins.iter().zip(&summaries).collect();
    if json {
        let plugins: Vec<_> = rows.iter().map(|(plugin, summary)| as_json(plugin, summary)).collect();
        return logs::print_json(&serde_json::json!({ "plugins": plugins, "notes": checked.notes }));
    }
    for (plugin, summary) in rows {
        logs::print(&as_text(plugin, summary))?;
    }
    logs::print(&format!("{}: no problems", file.display()))
}

/// Looks into every component. All that are refused are reported together, at the place that names them.
fn components(checked: &Checked) -> anyhow::Result<Vec<Summary>> {
    let engine = Engine::new(&checked.config.host, &checked.config.plugins)?;
    let (mut summaries, mut problems) = (Vec::new(), Vec::new());
    for plugin in &checked.config.plugins {
        match component(&engine, plugin) {
            Ok(summary) => summaries.push(summary),
            Err(refusal) => problems.push(app::refusal(checked, plugin, &refusal)),
        }
    }
    if problems.is_empty() { Ok(summaries) } else { Err(Problems { problems, notes: Vec::new() }.into()) }
}

fn component(engine: &Arc<Engine>, plugin: &config::Plugin) -> anyhow::Result<Summary> {
    Ok(plugin::check(engine, plugin, &app::read_component(plugin)?)?)
}

fn as_text(plugin: &config::Plugin, summary: &Summary) -> String {
    let budget = &plugin.budget;
    let rate = budget.rate.map_or_else(|| "as fast as it goes".to_owned(), |rate| rate.to_string());
    format!(
        "plugin `{}`: {} in {} ({}, {})\n  reads {} as group `{}`, writes {}\n  concurrency {}, rate {rate}, \
         buffer {} messages or {}, timeout {}, cpu {}, memory {}",
        plugin.name,
        summary.kind.interface(),
        plugin.component.display(),
        units::show_size(summary.size_bytes as u64),
        &summary.digest[..summary.digest.len().min(19)],
        quoted(&plugin.topics),
        plugin.group,
        if plugin.allow_produce.is_empty() { "nothing".to_owned() } else { quoted(&plugin.allow_produce) },
        budget.concurrency,
        budget.buffer,
        units::show_size(budget.buffer_bytes as u64),
        units::show_duration(budget.timeout),
        units::show_duration(budget.cpu),
        units::show_size(budget.memory as u64),
    )
}

fn quoted(names: &[String]) -> String {
    format!("`{}`", names.join("`, `"))
}

fn as_json(plugin: &config::Plugin, summary: &Summary) -> serde_json::Value {
    serde_json::json!({
        "name": *plugin.name,
        "component": plugin.component,
        "kind": summary.kind.interface(),
        "digest": summary.digest,
        "size_bytes": summary.size_bytes,
        "topics": plugin.topics,
        "group": plugin.group,
        "produces": plugin.allow_produce,
    })
}
