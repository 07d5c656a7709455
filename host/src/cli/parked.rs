//! `gristmill parked`: lanes that are held by a message that cannot be finished, and what becomes of them.

use std::process::ExitCode;

use clap::ValueEnum;
use serde_json::{Value, json};

use super::reach::{Reach, Refusal};
use super::table::{self, Column, Kind};
use super::words::{counted, harmless, one_line};
use super::{EXIT_OTHER, EXIT_USAGE, logs, place};
use crate::api::{ParkedLane, ParkedLanes, Place, Positions};
use crate::app::dead_letters::Usage;
use crate::client::{Client, Verdict};

/// What stands below the help.
pub(super) const HELP: &str = "\
A parked lane holds everything behind its first message. Released, that message is tried again as if
it had just come; skipped, it is given up and the lane goes on behind it.

Examples:
  gristmill parked enrich
  gristmill parked enrich release --all
  gristmill parked enrich skip orders/0/17";

const COLUMNS: [Column; 3] = [
    Column::new("POSITION", Kind::Left),
    Column::new("MESSAGES", Kind::Right),
    Column::new("REASON", Kind::Cut),
];

/// Whose lanes, and what to do with which of them.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The plugin
    plugin: String,
    /// Whether to show them, to try their first message again, or to give it up
    #[arg(value_enum, default_value_t)]
    action: Action,
    /// The lanes whose first message stands here: TOPIC/PARTITION/OFFSET each, as `list` has it
    #[arg(value_name = "POSITION", value_parser = place::read)]
    lanes: Vec<Place>,
    /// All parked lanes
    #[arg(long, conflicts_with = "lanes")]
    all: bool,
    /// Do not ask before skipping
    #[arg(short, long)]
    yes: bool,
    /// Print the answer of the admin API as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

// A comment on each would be a paragraph of help.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Action {
    #[default]
    List,
    Release,
    Skip,
}

/// Does what `args` say.
///
/// # Errors
///
/// `Usage` when it is not said which lanes; when the host is not there or does not know the plugin.
pub(super) fn parked(args: &Args) -> anyhow::Result<ExitCode> {
    let is_narrowed = args.all || !args.lanes.is_empty();
    let verdict = match args.action {
        Action::List if is_narrowed => {
            return Err(Usage("say `release` or `skip` before the positions".to_owned()).into());
        }
        Action::List => {
            list(&args.reach.client()?, &args.plugin, args.json)?;
            return Ok(ExitCode::SUCCESS);
        }
        Action::Release => Verdict::Release,
        Action::Skip => Verdict::Skip,
    };
    if !is_narrowed {
        let what = format!(
            "which ones? Name POSITIONs, as `gristmill parked {}` lists them, or `--all`",
            args.plugin
        );
        return Err(Usage(what).into());
    }
    unpark(&args.reach.client()?, args, verdict)
}

fn list(client: &Client, name: &str, json: bool) -> anyhow::Result<()> {
    let no = |error| Refusal::of(client, name, error, &format!("no list of `{name}`"), EXIT_USAGE);
    if json {
        return logs::print_json(&client.parked::<Value>(name).map_err(no)?);
    }
    let parked: ParkedLanes = client.parked(name).map_err(no)?;
    if parked.lanes.is_empty() {
        logs::say(&format!("no lane of `{name}` is parked"));
        return Ok(());
    }
    logs::print(&lines(&parked.lanes, logs::terminal_width()).join("\n"))?;
    let hidden = parked.total.saturating_sub(parked.lanes.len() as u64);
    if hidden > 0 {
        logs::say(&format!("and {hidden} more"));
    }
    Ok(())
}

/// The lanes as a table.
pub(super) fn lines(lanes: &[ParkedLane], room: Option<usize>) -> Vec<String> {
    let row = |lane: &ParkedLane| {
        vec![harmless(&place::show(&lane.first)), lane.messages.to_string(), one_line(&lane.reason)]
    };
    table::lines(&COLUMNS, &lanes.iter().map(row).collect::<Vec<_>>(), room)
}

fn unpark(client: &Client, args: &Args, verdict: Verdict) -> anyhow::Result<ExitCode> {
    let name = &args.plugin;
    let no = |error| Refusal::of(client, name, error, &format!("nothing changes for `{name}`"), EXIT_USAGE);
    if verdict == Verdict::Skip && !args.yes {
        if !logs::can_ask() {
            let what = "skipping gives messages up; where nobody can be asked, it needs `--yes`";
            return Err(Usage(what.to_owned()).into());
        }
        let lanes = match args.all {
            true => client.parked::<ParkedLanes>(name).map_err(no)?.total,
            false => args.lanes.len() as u64,
        };
        let first = if lanes == 1 { "the first message" } else { "the first message each" };
        if !logs::ask(&format!("Give up {first} of {} of `{name}`?", counted(lanes, "parked lane")))? {
            logs::say("nothing was skipped");
            return Ok(ExitCode::from(EXIT_OTHER));
        }
    }
    let which = Positions { all: args.all, lanes: args.lanes.clone() };
    let lanes = client.unpark(name, verdict, &which).map_err(no)?;
    if args.json {
        logs::print_json(&json!({ "lanes": lanes }))?;
    } else {
        let done = if verdict == Verdict::Release { "released" } else { "skipped" };
        logs::print(&format!("{done} {} of `{name}`", counted(lanes, "lane")))?;
    }
    let missed = args.lanes.len() as u64 > lanes;
    if missed {
        logs::say(&format!(
            "the others are not parked any more; `gristmill parked {name}` lists those that are"
        ));
    }
    Ok(if missed { ExitCode::from(EXIT_OTHER) } else { ExitCode::SUCCESS })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_cut_to_the_terminal() {
        let lane = ParkedLane {
            first: Place { topic: "orders".to_owned(), partition: 0, offset: 17 },
            reason: "attempts are used up:\nHTTP 503 from https://crm.example.com".to_owned(),
            messages: 3,
        };
        let expected = [
            "POSITION     MESSAGES  REASON",
            "orders/0/17         3  attempts are used up: HTTP 503 from https://crm.example.com",
        ];
        assert_eq!(lines(std::slice::from_ref(&lane), None), expected);
        assert_eq!(lines(&[lane], Some(50))[1], "orders/0/17        3 attempts are used up: HTTP 5…");
    }
}
