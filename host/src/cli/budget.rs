//! `gristmill budget`: what a plugin may use, configured and in effect, and changes of it while it runs.

use std::process::ExitCode;

use serde_json::{Map, Value, json};

use super::reach::{Reach, Refusal};
use super::words::harmless;
use super::{EXIT_USAGE, logs};
use crate::api::{self, Detail, Plugin};

/// Characters of a key.
const KEY_WIDTH: usize = 13;

/// What stands below the help.
pub(super) const HELP: &str = "\
All changes come into effect together or not at all: at once for what has not started, never for
what runs. Without any, the budget is shown.

Examples:
  gristmill budget enrich --rate 20/s --concurrency 8
  gristmill budget enrich --rate none";

/// Whose budget, and what of it to change.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The plugin
    plugin: String,
    /// Print budgets and changes as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    keys: Keys,
    #[command(flatten)]
    reach: Reach,
}

// The host knows what each key may be, as `check` does; so values go there as they are typed.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Changes")]
struct Keys {
    /// Messages handled at the same time
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    concurrency: Option<String>,
    /// Starts of handle-message, as in `11/s` or `950k/day`; `none` lifts it
    #[arg(long, allow_hyphen_values = true)]
    rate: Option<String>,
    /// Starts that may come back to back
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    burst: Option<String>,
    /// Whose the rate is: `instance` or `group`
    #[arg(long, allow_hyphen_values = true)]
    scope: Option<String>,
    /// Messages held in memory
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    buffer: Option<String>,
    /// Bytes held in memory, as in `16MiB`
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    buffer_bytes: Option<String>,
    /// Wall clock for one message, as in `30s`
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    timeout: Option<String>,
    /// Guest CPU for one message, as in `1s`
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    cpu: Option<String>,
    /// Linear memory of one instance, as in `128MiB`; for new instances
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    memory: Option<String>,
}

impl Keys {
    /// The keys that were given, as the API takes them.
    fn patch(&self) -> Map<String, Value> {
        [
            ("concurrency", &self.concurrency),
            ("rate", &self.rate),
            ("burst", &self.burst),
            ("scope", &self.scope),
            ("buffer", &self.buffer),
            ("buffer_bytes", &self.buffer_bytes),
            ("timeout", &self.timeout),
            ("cpu", &self.cpu),
            ("memory", &self.memory),
        ]
        .into_iter()
        .filter_map(|(key, typed)| Some((key.to_owned(), value(key, typed.as_ref()?))))
        .collect()
    }
}

/// What was typed for a key, as JSON has it: a number where it is one, and null for no rate.
pub(super) fn value(key: &str, typed: &str) -> Value {
    match (key, typed.trim()) {
        // `null` is how the API says it.
        ("rate", "none" | "null") => Value::Null,
        ("concurrency" | "burst" | "buffer", typed) => typed.parse::<i64>().map_or(typed.into(), Value::from),
        (_, typed) => typed.into(),
    }
}

/// Shows the budget, or changes it.
///
/// # Errors
///
/// When the host is not there, does not know the plugin, or refuses a value.
pub(super) fn budget(args: &Args) -> anyhow::Result<ExitCode> {
    let (client, name) = (args.reach.client()?, &args.plugin);
    let what = format!("the budget of `{name}` stays as it is");
    let no = |error| Refusal::of(&client, name, error, &what, EXIT_USAGE);
    let before: Detail = client.plugin(name).map_err(no)?;
    let patch = args.keys.patch();
    if patch.is_empty() {
        let plugin = &before.plugin;
        if args.json {
            logs::print_json(&json!({ "budget": plugin.budget, "configured": plugin.configured }))?;
        } else {
            logs::print(&lines(plugin).join("\n"))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let after = client.patch_budget(name, &patch.into()).map_err(no)?.plugin;
    let changes = changes(&before.plugin.budget, &after.budget);
    if args.json {
        let changes: Map<String, Value> = changes
            .into_iter()
            .map(|(key, from, to)| (key.to_owned(), json!({ "from": from, "to": to })))
            .collect();
        logs::print_json(
            &json!({ "budget": after.budget, "configured": after.configured, "changes": changes }),
        )?;
    } else if changes.is_empty() {
        logs::print(&format!("the budget of `{name}` is like that already"))?;
    } else {
        let lines = changes.iter().map(|(key, from, to)| format!("{key} of `{name}`: {from} -> {to}"));
        logs::print(&lines.collect::<Vec<_>>().join("\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The budget in effect, a line for each key, and what is configured where that differs.
pub(super) fn lines(plugin: &Plugin) -> Vec<String> {
    let configured = values(&plugin.configured);
    let line = |((key, in_effect), (_, configured)): ((&str, String), (&str, String))| {
        let line = format!("{key:KEY_WIDTH$} {in_effect}");
        if in_effect == configured { line } else { format!("{line} (configured: {configured})") }
    };
    values(&plugin.budget).into_iter().zip(configured).map(line).collect()
}

/// The keys that differ: what they were and what they are.
fn changes(before: &api::Budget, after: &api::Budget) -> Vec<(&'static str, String, String)> {
    let pairs = values(before).into_iter().zip(values(after));
    let changed = pairs.filter(|((_, from), (_, to))| from != to);
    changed.map(|((key, from), (_, to))| (key, from, to)).collect()
}

fn values(budget: &api::Budget) -> [(&'static str, String); 9] {
    let text = |text: &str| harmless(text);
    [
        ("concurrency", budget.concurrency.to_string()),
        ("rate", budget.rate.as_deref().map_or_else(|| "none".to_owned(), text)),
        ("burst", budget.burst.to_string()),
        ("scope", text(&budget.scope)),
        ("buffer", budget.buffer.to_string()),
        ("buffer_bytes", text(&budget.buffer_bytes)),
        ("timeout", text(&budget.timeout)),
        ("cpu", text(&budget.cpu)),
        ("memory", text(&budget.memory)),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::tests::plugin;
    use super::*;

    #[test]
    fn what_is_configured_is_shown_where_it_differs() {
        let mut plugin = plugin("enrich");
        plugin.budget.rate = Some("20/s".to_owned());
        let lines = lines(&plugin);
        assert_eq!(lines[0], "concurrency   10");
        assert_eq!(lines[1], "rate          20/s (configured: none)");
        assert_eq!(lines[8], "memory        128MiB");
        let changed = changes(&plugin.configured, &plugin.budget);
        assert_eq!(changed, [("rate", "none".to_owned(), "20/s".to_owned())]);
    }

    #[test]
    fn values_go_to_the_host_as_they_are_typed() {
        assert_eq!(value("concurrency", "8"), json!(8));
        assert_eq!(value("concurrency", "-1"), json!(-1));
        assert_eq!(value("buffer", "many"), json!("many"));
        assert_eq!(value("rate", "none"), json!(null));
        assert_eq!(value("rate", "11"), json!("11"));
        assert_eq!(value("memory", "1"), json!("1"));
    }
}
