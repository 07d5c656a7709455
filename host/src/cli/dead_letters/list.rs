//! `gristmill dead-letters list`

use std::process::ExitCode;

use super::super::words::{age, cut, one_line};
use super::words::as_json;
use super::{Pick, Where, logs, now_ms, open};
use crate::app::dead_letters::{Choice, Letter, Seen};

/// Rows that are laid out together: a million letters are not held to find out how wide their columns are.
const PAGE_ROWS: usize = 1_000;

/// Least characters of a reason, however narrow the terminal is.
const REASON_WIDTH_MIN: usize = 20;

/// Columns before the reason.
const COLUMNS: usize = 6;

/// What to list.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only dead letters of this plugin, in its dead-letter topic
    plugin: Option<String>,
    #[command(flatten)]
    place: Where,
    /// Those that were replayed already, too
    #[arg(long)]
    all: bool,
    /// Only those that were replayed already
    #[arg(long, conflicts_with = "all")]
    replayed: bool,
    /// At most so many
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Print one JSON object a line: the record, what is known of it, whether it was replayed
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pick: Pick,
}

/// Lists what there is.
///
/// # Errors
///
/// Those of Kafka and of the config.
pub(super) fn list(args: &Args) -> anyhow::Result<ExitCode> {
    let place = args.place.find(args.plugin.as_deref(), &[])?;
    let desk = open(&place)?;
    let choice = Choice {
        spots: Vec::new(),
        filter: args.pick.filter(args.plugin.as_deref()),
        skip_replayed: !args.all && !args.replayed,
    };
    let mut left = args.limit.unwrap_or(u64::MAX);
    let mut table = Table::new(args.all);
    let mut any = false;
    desk.look(&choice, &mut |seen| {
        let Seen::Letter(letter, replayed) = seen else { return Ok(left > 0) };
        if left == 0 {
            return Ok(false);
        }
        if args.replayed && !replayed {
            return Ok(true);
        }
        (left, any) = (left - 1, true);
        if args.json {
            logs::print(&serde_json::to_string(&as_json(&letter, replayed))?)?;
        } else {
            table.add(&letter, replayed)?;
        }
        Ok(left > 0)
    })?;
    table.flush()?;
    if !any && !args.json {
        let (which, hint) = match (args.replayed, args.all) {
            (true, _) => (" that was replayed", ""),
            (_, true) => ("", ""),
            _ => (" that was not replayed", "; `--all` lists those too that were"),
        };
        logs::say(&format!("no such dead letter in `{}`{which}{hint}", place.topic));
    }
    Ok(ExitCode::SUCCESS)
}

/// Rows that wait to be laid out.
struct Table {
    with_replayed: bool,
    rows: Vec<([String; COLUMNS], String)>,
    widths: [usize; COLUMNS],
    now: i64,
    begun: bool,
}

impl Table {
    fn new(with_replayed: bool) -> Self {
        Self { with_replayed, rows: Vec::new(), widths: [0; COLUMNS], now: now_ms(), begun: false }
    }

    fn add(&mut self, letter: &Letter, replayed: bool) -> anyhow::Result<()> {
        let note = letter.note.as_ref();
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let cells = [
            letter.message().position().to_string(),
            or_dash(note.map(|note| one_line(&note.origin.to_string()))),
            or_dash(note.map(|note| one_line(&note.plugin))),
            or_dash(note.and_then(|note| Some(note.attempts?.to_string()))),
            age(letter.written_at(), self.now),
            if replayed { "yes" } else { "no" }.to_owned(),
        ];
        let reason = note.map_or("(not written by gristmill)".to_owned(), |note| one_line(&note.reason));
        self.rows.push((cells, reason));
        if self.rows.len() < PAGE_ROWS { Ok(()) } else { self.flush() }
    }

    /// Prints what waits. Columns only grow, so that a later page is not narrower than an earlier one.
    fn flush(&mut self) -> anyhow::Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let head = ["POSITION", "FROM", "PLUGIN", "ATTEMPTS", "AGE", "REPLAYED"].map(str::to_owned);
        let mut rows = std::mem::take(&mut self.rows);
        if !std::mem::replace(&mut self.begun, true) {
            rows.insert(0, (head, "REASON".to_owned()));
        }
        for (cells, _) in &rows {
            for (width, cell) in self.widths.iter_mut().zip(cells) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let columns = if self.with_replayed { COLUMNS } else { COLUMNS - 1 };
        let before = self.widths[..columns].iter().map(|width| width + 2).sum::<usize>();
        let room = logs::terminal_width().map(|width| width.saturating_sub(before).max(REASON_WIDTH_MIN));
        for (cells, reason) in &rows {
            let mut line = String::new();
            for (cell, width) in cells[..columns].iter().zip(self.widths) {
                line.push_str(&format!("{cell:width$}  "));
            }
            line.push_str(&room.map_or_else(|| reason.clone(), |room| cut(reason, room)));
            logs::print(line.trim_end())?;
        }
        Ok(())
    }
}
