//! `gristmill demo`

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::logs;
use crate::app::demo::{Act, Settings, Show, Sight, tell};
use crate::config::Rate;
use crate::config::units;

/// In how much time the second act handles all messages, if no rate is given: it shows in a minute what 11/s shows
/// in a day.
const DEFAULT_DRAIN: Duration = Duration::from_secs(50);

/// Steps of a progress bar.
const STEPS: u64 = 1_000;

/// What to show.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Messages on the topic
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=2_000_000))]
    messages: u64,
    /// Partitions of the topic
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(i32).range(1..=1_000))]
    partitions: i32,
    /// Rate of the second act, as in `11/s` or `950k/day` [default: drains all messages in 50 s]
    #[arg(long, value_parser = rate)]
    rate: Option<Rate>,
    /// Concurrency of the second act
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    concurrency: u16,
    /// Serve /metrics here meanwhile
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
}

fn rate(text: &str) -> Result<Rate, String> {
    units::rate(text).ok_or_else(|| format!("expected {}", units::RATE))
}

/// Tells the story: live on a terminal, its headlines in a pipe, the figures on stdout.
///
/// # Errors
///
/// When the machine refuses what it needs.
pub(super) fn demo(args: &Args) -> anyhow::Result<()> {
    let per_message = DEFAULT_DRAIN.div_f64(args.messages as f64).max(Duration::from_micros(1));
    let settings = Settings {
        messages: args.messages,
        partitions: args.partitions,
        rate: args.rate.unwrap_or(Rate { period: per_message }),
        concurrency: usize::from(args.concurrency),
        listen: args.listen,
    };
    let summary = tell(&settings, &mut Screen::new())?;
    logs::print(&format!("\n{summary}"))
}

/// The live view. In a pipe only the headlines are said.
struct Screen {
    live: bool,
    act: Option<Act>,
    lines: Option<(ProgressBar, ProgressBar)>,
}

impl Screen {
    fn new() -> Self {
        Self { live: std::io::stderr().is_terminal(), act: None, lines: None }
    }

    fn close(&mut self) {
        if let Some((bar, detail)) = self.lines.take() {
            bar.finish();
            detail.finish();
        }
    }
}

impl Show for Screen {
    fn act(&mut self, act: &Act) {
        self.close();
        logs::say(&headline(act));
        self.act = Some(act.clone());
        if !self.live {
            return;
        }
        let screen = MultiProgress::new();
        let bar = screen.add(ProgressBar::new(STEPS));
        let detail = screen.add(ProgressBar::new_spinner());
        // Both templates are constants; were one wrong, indicatif's own default would do.
        if let Ok(style) = ProgressStyle::with_template("  {bar:50} {msg}") {
            bar.set_style(style);
        }
        if let Ok(style) = ProgressStyle::with_template("  {msg}") {
            detail.set_style(style);
        }
        self.lines = Some((bar, detail));
    }

    fn sight(&mut self, sight: &Sight) {
        let Some((bar, detail)) = &self.lines else { return };
        bar.set_position((sight.progress * STEPS as f64) as u64);
        bar.set_message(format!("{} messages", sight.messages));
        let memory = sight.memory_bytes >> 20;
        if matches!(self.act, Some(Act::Load { .. })) {
            return detail.set_message(format!("memory {memory} MiB"));
        }
        let ((now, most), (answered, refused)) = (sight.connections(), sight.queries());
        detail.set_message(format!(
            "connections {now:>4} (most {most:>4})   answered {answered:>8}   refused {refused:>6}   \
             buffer {:>4}   left in Kafka {:>8}   memory {memory} MiB",
            sight.buffered, sight.lag
        ));
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.close();
    }
}

fn headline(act: &Act) -> String {
    match act {
        Act::Load { messages, partitions } => {
            format!("Writing {messages} messages to {partitions} partitions of an embedded broker")
        }
        Act::Unbudgeted { concurrency } => format!(
            "\nWithout a budget: {concurrency} messages at once, as fast as they come, each a query of a database that \
             holds 20 connections"
        ),
        Act::Budgeted { concurrency, rate } => format!(
            "\nWith concurrency = {concurrency} and rate = \"{:.1}/s\": the same plugin, the same messages",
            rate.per_second()
        ),
    }
}
