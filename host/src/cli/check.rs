//! `gristmill check`

use std::path::Path;
use std::process::ExitCode;

use super::{EXIT_CONFIG, logs};
use crate::app::examine::{Examined, examine};
use crate::config::problem::Problems;
use crate::config::{self, check, units};
use crate::plugin::Summary;

/// Checks the config in `file` and every component that it names.
///
/// # Errors
///
/// `Problems`, all of them, unless they were printed as JSON.
pub(super) fn check(file: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let Examined { plugins, problems } = examine(check::survey(file))?;
    let is_fine = problems.problems.is_empty();
    if json {
        let Problems { problems, notes } = problems;
        let plugins: Vec<_> = plugins.iter().map(as_json).collect();
        logs::print_json(&serde_json::json!({ "plugins": plugins, "problems": problems, "notes": notes }))?;
        return Ok(if is_fine { ExitCode::SUCCESS } else { ExitCode::from(EXIT_CONFIG) });
    }
    for note in &problems.notes {
        logs::say(&note.to_string());
    }
    if !is_fine {
        return Err(problems.into());
    }
    for plugin in &plugins {
        logs::print(&as_text(plugin))?;
    }
    logs::print(&format!("{}: no problems", file.display()))?;
    Ok(ExitCode::SUCCESS)
}

fn as_text((plugin, summary): &(config::Plugin, Summary)) -> String {
    let budget = &plugin.budget;
    let rate = budget.rate.map_or_else(|| "unlimited".to_owned(), |rate| rate.to_string());
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

fn as_json((plugin, summary): &(config::Plugin, Summary)) -> serde_json::Value {
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
