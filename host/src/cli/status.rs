//! `gristmill status`: all plugins in a table, one plugin in full, or one message's place on its way.

pub(super) mod list;
pub(super) mod page;
pub(super) mod trial;

use std::process::ExitCode;

use jiff::Timestamp;
use serde_json::Value;

use super::reach::{Reach, Refusal};
use super::words::{counted, harmless};
use super::{EXIT_USAGE, figures, logs, place};
use crate::api;
use crate::client::{Client, Error, Question};

/// Parked lanes that a plugin's page shows; `parked` lists all.
const PARKED_SHOWN: usize = 5;

/// What to show.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only this plugin, in full
    plugin: Option<String>,
    /// Why this message is waiting: TOPIC/PARTITION/OFFSET
    #[arg(long, value_name = "POSITION", requires = "plugin", conflicts_with = "key", value_parser = place::read)]
    message: Option<api::Place>,
    /// Why the first unfinished message of this key is waiting
    #[arg(long, requires = "plugin")]
    key: Option<String>,
    /// Print the answer of the admin API as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

/// Shows it.
///
/// # Errors
///
/// When the host is not there or does not know the plugin.
pub(super) fn status(args: &Args) -> anyhow::Result<ExitCode> {
    let client = args.reach.client()?;
    let question = match (&args.message, &args.key) {
        (Some(place), _) => Some(Question::At(place.clone())),
        (None, Some(key)) => Some(Question::Key(key.clone())),
        (None, None) => None,
    };
    match (&args.plugin, question) {
        (Some(name), Some(question)) => waiting(&client, name, &question, args.json)?,
        (Some(name), None) => one(&client, name, args.json)?,
        (None, _) => all(&client, args.json)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn all(client: &Client, json: bool) -> anyhow::Result<()> {
    if json {
        return logs::print_json(&client.plugins::<Value>()?);
    }
    let api::Plugins { plugins, reload } = client.plugins()?;
    if plugins.is_empty() {
        logs::say(&format!("the host at `{}` has no plugins", client.target().url));
        return Ok(());
    }
    let mut lines = list::list(&plugins, logs::terminal_width());
    lines.extend(reload.iter().flat_map(list::reload));
    logs::print(&lines.join("\n"))
}

fn one(client: &Client, name: &str, json: bool) -> anyhow::Result<()> {
    let no = |error| Refusal::of(client, name, error, &format!("no status of `{name}`"), EXIT_USAGE);
    if json {
        return logs::print_json(&client.plugin::<Value>(name).map_err(no)?);
    }
    logs::print(&full(client, name, logs::terminal_width()).map_err(no)?.join("\n"))
}

/// All that is known of one plugin, a line each.
///
/// # Errors
///
/// When the host is not there or does not know the plugin.
pub(super) fn full(client: &Client, name: &str, room: Option<usize>) -> Result<Vec<String>, Error> {
    let detail: api::Detail = client.plugin(name)?;
    let mut lines = page::page(&detail, Timestamp::now(), room);
    if detail.plugin.parked_lanes > 0 {
        lines.extend(parked_lines(name, &client.parked(name)?, room));
    }
    Ok(lines)
}

/// The first of the parked lanes, and how to see the rest.
fn parked_lines(name: &str, parked: &api::ParkedLanes, room: Option<usize>) -> Vec<String> {
    let shown = &parked.lanes[..parked.lanes.len().min(PARKED_SHOWN)];
    let mut lines = vec![String::new(), format!("{} parked", counted(parked.total, "lane"))];
    lines.extend(
        super::parked::lines(shown, room.map(|room| room.saturating_sub(2)))
            .iter()
            .map(|line| format!("  {line}")),
    );
    let hidden = parked.total.saturating_sub(shown.len() as u64);
    if hidden > 0 {
        lines.push(format!("  and {hidden} more: `gristmill parked {name}`"));
    }
    lines
}

fn waiting(client: &Client, name: &str, question: &Question, json: bool) -> anyhow::Result<()> {
    let no = |error| Refusal::of(client, name, error, &format!("no answer about `{name}`"), EXIT_USAGE);
    if json {
        return logs::print_json(&client.waiting::<Value>(name, question).map_err(no)?);
    }
    let waiting = client.waiting(name, question).map_err(no)?;
    logs::print(&waiting_lines(question, &waiting, Timestamp::now()).join("\n"))
}

/// Where the message is, in words.
fn waiting_lines(question: &Question, waiting: &api::Waiting, now: Timestamp) -> Vec<String> {
    let which = match (&waiting.message, question) {
        (Some(found), Question::Key(key)) => {
            format!("{}, the first unfinished of key `{key}`", place::show(found))
        }
        (Some(found), Question::At(_)) => place::show(found),
        (None, Question::At(asked)) => place::show(asked),
        (None, Question::Key(key)) => format!("key `{key}`"),
    };
    let mut lines = vec![
        format!("{}: {}", harmless(&which), harmless(&waiting.state)),
        format!("  {}", harmless(&waiting.why).replace('\n', "\n  ")),
    ];
    if let Some(behind) = waiting.behind {
        lines.push(format!("  {} before it", counted(behind, "message")));
    }
    if let Some(until) = &waiting.until {
        lines.push(format!("  goes on at {}", figures::when(&harmless(until), now)));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waiting_message_is_told_with_what_is_known() {
        let now = "2026-01-01T12:00:00Z".parse().unwrap();
        let at = api::Place { topic: "in".to_owned(), partition: 3, offset: 17 };
        let mut waiting = api::Waiting {
            message: Some(at.clone()),
            state: "retry".to_owned(),
            why: "attempt 2 failed".to_owned(),
            behind: Some(1),
            until: Some("2026-01-01T12:00:30Z".to_owned()),
        };
        let lines = waiting_lines(&Question::Key("k".to_owned()), &waiting, now);
        let expected = [
            "in/3/17, the first unfinished of key `k`: retry",
            "  attempt 2 failed",
            "  1 message before it",
            "  goes on at 2026-01-01T12:00:30Z (in 30s)",
        ];
        assert_eq!(lines, expected);
        waiting = api::Waiting { message: None, behind: None, until: None, ..waiting };
        assert_eq!(waiting_lines(&Question::At(at), &waiting, now), ["in/3/17: retry", "  attempt 2 failed"]);
    }
}
