//! `gristmill dead-letters`: what is common to its commands.

mod list;
mod replay;
mod show;
mod words;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::Subcommand;

use super::logs;
use crate::app::dead_letters::{Desk, Filter, Place, Spot, Usage, Wanted, locate};
use crate::config::units;

/// What the help says of marks.
const MARKS: &str = "\
What was replayed is remembered in Kafka, as committed offsets of the consumer group
`gristmill-replay-TOPIC`, for as long as the broker keeps offsets of a group without members
(`offsets.retention.minutes`, 7 days by default; each replay renews them).";

/// Look through the messages that were given up, and send them back.
#[derive(Debug, clap::Args)]
#[command(disable_help_subcommand = true, after_help = MARKS)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List dead letters that were not replayed yet: where they are, where they came from, and why
    List(list::Args),
    /// Show the whole of one dead letter
    Show(show::Args),
    /// Send dead letters back to the topics that they came from
    #[command(after_help = replay::HELP)]
    Replay(replay::Args),
}

/// Where the letters are.
#[derive(Debug, clap::Args)]
struct Where {
    /// The config file, for brokers and the plugin's dead-letter topic [default: gristmill.toml]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The dead-letter topic, if it is not the plugin's own
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// Brokers, instead of the config's; with --topic no config is needed
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',')]
    brokers: Vec<String>,
}

/// Which letters are meant.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Filters")]
struct Pick {
    /// Only those with this in their reason, in whatever case
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Only those whose message came from this topic
    #[arg(long, value_name = "TOPIC")]
    from: Option<String>,
    /// Only those with this key
    #[arg(long)]
    key: Option<String>,
    /// Only those given up since then, as in `2h` or `30m`
    #[arg(long, value_name = "TIME", value_parser = duration)]
    since: Option<Duration>,
}

impl Where {
    /// The topic and its cluster. A topic may stand in the positions, too.
    fn find(&self, plugin: Option<&str>, spots: &[Spot]) -> anyhow::Result<Place> {
        let mut topics: Vec<&str> = spots.iter().filter_map(|spot| spot.topic.as_deref()).collect();
        topics.extend(self.topic.as_deref());
        topics.sort_unstable();
        topics.dedup();
        if let [one, other, ..] = topics[..] {
            return Err(Usage(format!("one topic at a time: there are `{one}` and `{other}`")).into());
        }
        locate(Wanted {
            config: self.config.as_deref(),
            brokers: &self.brokers,
            plugin,
            topic: topics.first().copied(),
        })
    }
}

impl Pick {
    fn filter(&self, plugin: Option<&str>) -> Filter {
        let since = self.since.map(|since| now_ms().saturating_sub(millis(since)));
        Filter {
            plugin: plugin.map(str::to_owned),
            reason: self.reason.clone(),
            from: self.from.clone(),
            key: self.key.clone().map(String::into_bytes),
            since,
        }
    }
}

/// Does what `args` say, and tells the exit code.
///
/// # Errors
///
/// `Usage`, `Silence`, `Problems`, or what else went wrong.
pub(super) fn dead_letters(args: Args) -> anyhow::Result<ExitCode> {
    match args.action {
        Action::List(args) => list::list(&args),
        Action::Show(args) => show::show(&args),
        Action::Replay(args) => replay::replay(args),
    }
}

/// Opens the topic, and says what of its marks cannot be read.
fn open(place: &Place) -> anyhow::Result<Desk> {
    let desk = Desk::open(place)?;
    for problem in desk.unreadable() {
        logs::say(&format!("warning: {problem}; what was replayed of it may be shown as if it were not"));
    }
    Ok(desk)
}

fn duration(text: &str) -> Result<Duration, String> {
    units::duration(text).ok_or_else(|| format!("expected {}", units::DURATION))
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// Milliseconds since the Unix epoch.
fn now_ms() -> i64 {
    millis(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}
