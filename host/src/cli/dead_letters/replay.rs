//! `gristmill dead-letters replay`

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::super::EXIT_OTHER;
use super::super::words::counted;
use super::{Pick, Where, logs, open};
use crate::app::dead_letters::{
    self, Choice, Desk, Done, Filter, Letter, Place, Plan, Request, Spot, Usage, Watch, plan, try_through,
};
use crate::config::{Rate, units};
use crate::jsonl;
use crate::outcome::Handling;

/// What stands below the help.
pub(super) const HELP: &str = "\
A letter goes back as the message that it was: key, payload and its own headers, without those of
gristmill. It counts as replayed once Kafka has confirmed it, and is then passed over unless
`--again` is given. Do not replay one topic twice at the same time: each replay knows what had been
replayed when it began, and the two would send the rest twice.

Examples:
  gristmill dead-letters replay --plugin enrich --reason timeout --rate 11/s
  gristmill dead-letters replay orders-dead/0/17 orders-dead/2/4
  gristmill dead-letters replay --plugin enrich --all --through new.wasm";

/// What to replay, and how.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// These letters alone: PARTITION/OFFSET or TOPIC/PARTITION/OFFSET each, as `list` has it
    #[arg(value_name = "POSITION")]
    spots: Vec<Spot>,
    /// Only dead letters of this plugin, in its dead-letter topic
    #[arg(long, value_name = "NAME")]
    plugin: Option<String>,
    #[command(flatten)]
    place: Where,
    /// All letters that were not replayed yet
    #[arg(long, conflicts_with = "spots")]
    all: bool,
    /// Those that were replayed already, too
    #[arg(long)]
    again: bool,
    /// Send them to this topic instead of the ones that they came from
    #[arg(long, value_name = "TOPIC")]
    to: Option<String>,
    /// At most so fast, evenly spaced, as in `11/s` or `600/min`
    #[arg(long, value_parser = rate)]
    rate: Option<Rate>,
    /// Say what would be sent where; send nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask on a terminal
    #[arg(short, long)]
    yes: bool,
    /// Try them offline on this component, under the budget of --plugin or the default one: print what becomes of each
    /// as a JSON line, and send nothing
    #[arg(long, value_name = "FILE.wasm", conflicts_with_all = ["to", "rate", "dry_run", "yes"])]
    through: Option<PathBuf>,
    #[command(flatten)]
    pick: Pick,
}

fn rate(text: &str) -> Result<Rate, String> {
    units::rate(text).ok_or_else(|| format!("expected {}", units::RATE))
}

/// Replays.
///
/// # Errors
///
/// `Usage` without any choice; those of Kafka and of the config.
pub(super) fn replay(args: Args) -> anyhow::Result<ExitCode> {
    let filter = args.pick.filter(args.plugin.as_deref());
    if args.spots.is_empty() && !filter.narrows() && !args.all {
        let what =
            "which ones? Name POSITIONs, a filter (`--reason`, `--from`, `--key`, `--since`), or `--all`";
        return Err(Usage(what.to_owned()).into());
    }
    let place = args.place.find(args.plugin.as_deref(), &args.spots)?;
    let mut desk = open(&place)?;
    let request = Request {
        choice: choice(&args.spots, filter),
        to: args.to.clone(),
        rate: args.rate,
        again: args.again,
    };
    match &args.through {
        Some(file) => through(&desk, (&place, file), request),
        None => send(&mut desk, &place, &request, &args),
    }
}

/// Each place once, however often it was named.
fn choice(spots: &[Spot], filter: Filter) -> Choice {
    let mut once: Vec<Spot> = Vec::new();
    for spot in spots {
        let spot = Spot { topic: None, ..spot.clone() };
        if !once.contains(&spot) {
            once.push(spot);
        }
    }
    Choice { spots: once, filter, skip_replayed: false }
}

fn send(desk: &mut Desk, place: &Place, request: &Request, args: &Args) -> anyhow::Result<ExitCode> {
    let plan = plan(desk, request, &mut Lines { print: args.dry_run })?;
    // Named places have to be there, and to be letters.
    let amiss = !plan.missing.is_empty() || (plan.foreign > 0 && !args.spots.is_empty());
    if plan.letters() == 0 || args.dry_run {
        let verb = if args.dry_run { "would replay" } else { "replayed" };
        logs::print(&summary(verb, plan.letters(), &plan))?;
        return Ok(if amiss { ExitCode::from(EXIT_OTHER) } else { ExitCode::SUCCESS });
    }
    if args.spots.is_empty() && !args.yes && !confirmed(&plan)? {
        logs::say("nothing was replayed");
        return Ok(ExitCode::from(EXIT_OTHER));
    }
    let mut screen = Screen::new(plan.letters());
    let done = dead_letters::replay(desk, (place, &plan), request, &mut screen)?;
    drop(screen);
    for reason in &done.reasons {
        logs::say(&format!("not taken: {reason}"));
    }
    if done.refused > done.reasons.len() as u64 {
        logs::say(&format!("not taken: {} more", done.refused - done.reasons.len() as u64));
    }
    if done.unmarked > 0 {
        logs::say(&format!(
            "warning: {} were replayed and cannot be remembered as such: a mark is at most 4096 characters, and there \
             are too many gaps before them. They would be replayed again; replay those before them to close the gaps",
            counted(done.unmarked, "letter")
        ));
    }
    logs::print(&summary("replayed", done.replayed, &plan))?;
    let Done { refused, interrupted, .. } = done;
    if interrupted {
        logs::say("interrupted: what was replayed until then is marked, and passed over without `--again`");
    }
    let failed = amiss || refused > 0 || interrupted;
    Ok(if failed { ExitCode::from(EXIT_OTHER) } else { ExitCode::SUCCESS })
}

/// The final line: what was done, and what was passed over.
fn summary(verb: &str, letters: u64, plan: &Plan) -> String {
    let mut text = format!("{verb} {}", counted(letters, "letter"));
    if letters > 0 {
        let topics: Vec<String> = plan.topics.keys().map(|topic| format!("`{topic}`")).collect();
        text.push_str(&format!(" to {}", topics.join(", ")));
    }
    if plan.replayed > 0 {
        text.push_str(&format!(
            "; passed over {} replayed before (`--again` replays them too)",
            plan.replayed
        ));
    }
    if plan.foreign > 0 {
        text.push_str(&format!(
            "; passed over {} not written by gristmill (`--to` says where to)",
            counted(plan.foreign, "record")
        ));
    }
    if !plan.missing.is_empty() {
        text.push_str(&format!("; there is no letter at `{}`", plan.missing.join("`, `")));
    }
    text
}

/// Asks on a terminal. In a pipe nobody could answer, and whoever wrote the script has decided.
fn confirmed(plan: &Plan) -> anyhow::Result<bool> {
    if !logs::can_ask() {
        return Ok(true);
    }
    let topics: Vec<String> =
        plan.topics.iter().map(|(topic, letters)| format!("{letters} to `{topic}`")).collect();
    logs::ask(&format!("Replay {}: {}?", counted(plan.letters(), "letter"), topics.join(", ")))
}

/// Prints a line for each letter that would go.
struct Lines {
    print: bool,
}

impl Watch for Lines {
    fn goes(&mut self, letter: &Letter, topic: &str) {
        if self.print {
            // A stdout that is closed has nobody to tell.
            let _ = logs::print(&format!("{} -> {topic}", letter.message().position()));
        }
    }

    fn through(&mut self, _: u64) {}
}

/// A bar on a terminal, nothing in a pipe.
struct Screen {
    bar: Option<ProgressBar>,
}

impl Screen {
    fn new(letters: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| ProgressBar::new(letters));
        // The template is a constant; were it wrong, indicatif's own default would do.
        if let Some(bar) = &bar
            && let Ok(style) = ProgressStyle::with_template("  {bar:50} {pos} of {len} letters, {eta} left")
        {
            bar.set_style(style);
        }
        Self { bar }
    }
}

impl Watch for Screen {
    fn goes(&mut self, _: &Letter, _: &str) {}

    fn through(&mut self, letters: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(letters);
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn through(desk: &Desk, (place, file): (&Place, &Path), request: Request) -> anyhow::Result<ExitCode> {
    // Those that were named are tried whatever became of them.
    let skip_replayed = !request.again && request.choice.spots.is_empty();
    let choice = Choice { skip_replayed, ..request.choice };
    let tried = try_through(desk, (place, file), &choice, &mut |letter, handling| {
        logs::print(&serde_json::to_string(&tried_as_json(letter, handling))?)
    })?;
    logs::say(&format!("tried {}: {} failed", counted(tried.letters, "letter"), tried.failed));
    for spot in &tried.missing {
        logs::say(&format!("there is no letter at `{spot}`"));
    }
    let failed = tried.failed > 0 || !tried.missing.is_empty();
    Ok(if failed { ExitCode::from(EXIT_OTHER) } else { ExitCode::SUCCESS })
}

fn tried_as_json(letter: &Letter, handling: &Handling) -> Value {
    let (outcome, reason, outputs) = match handling {
        Handling::Done(outputs) => ("handled", None, outputs.as_slice()),
        Handling::Failed(failure) => ("failed", Some(failure.to_string()), &[][..]),
        Handling::Batched(slot) => {
            ("failed", Some(format!("it waits for a batch of `{}`", slot.batcher)), &[][..])
        }
        Handling::NotStarted => ("failed", Some("it did not start".to_owned()), &[][..]),
    };
    let outputs: Vec<Value> = outputs.iter().map(jsonl::output).collect();
    json!({
        "position": letter.message().position().to_string(),
        "outcome": outcome,
        "reason": reason,
        "outputs": outputs,
    })
}
