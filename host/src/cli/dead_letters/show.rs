//! `gristmill dead-letters show`

use std::process::ExitCode;

use super::super::words::{age, harmless};
use super::words::{as_json, shown};
use super::{Where, logs, now_ms, open};
use crate::app::dead_letters::{Choice, Letter, Note, Seen, Spot};

/// Characters of a label.
const LABEL_WIDTH: usize = 16;

/// What to show.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where the letter is: PARTITION/OFFSET or TOPIC/PARTITION/OFFSET, as `list` has it
    #[arg(value_name = "POSITION")]
    spot: Spot,
    /// The plugin whose dead-letter topic it is in
    #[arg(long, value_name = "NAME")]
    plugin: Option<String>,
    #[command(flatten)]
    place: Where,
    /// Print it as one JSON object
    #[arg(long)]
    json: bool,
}

/// Shows one letter.
///
/// # Errors
///
/// When there is none at that place; those of Kafka and of the config.
pub(super) fn show(args: &Args) -> anyhow::Result<ExitCode> {
    let spots = vec![args.spot.clone()];
    let place = args.place.find(args.plugin.as_deref(), &spots)?;
    let desk = open(&place)?;
    let choice = Choice { spots, ..Choice::default() };
    let missing = desk.look(&choice, &mut |seen| {
        if let Seen::Letter(letter, replayed) = seen {
            if args.json {
                logs::print_json(&as_json(&letter, replayed).into())?;
            } else {
                logs::print(&page(&letter, replayed))?;
            }
        }
        Ok(true)
    })?;
    anyhow::ensure!(
        missing.is_empty(),
        "there is no letter at `{}/{}/{}`; `gristmill dead-letters list --all` shows where there are",
        place.topic,
        args.spot.partition,
        args.spot.offset
    );
    Ok(ExitCode::SUCCESS)
}

/// The whole of a letter.
fn page(letter: &Letter, replayed: bool) -> String {
    let message = letter.message();
    let mut lines = vec![labelled("position", &message.position().to_string())];
    lines.push(labelled("written", &when(letter.written_at())));
    lines.push(labelled("replayed", if replayed { "yes" } else { "no" }));
    match &letter.note {
        Some(note) => lines.extend(note_lines(note)),
        None => lines.push("(not written by gristmill)".to_owned()),
    }
    lines.push(part("key", message.key()));
    let headers: Vec<String> = letter
        .own_headers()
        .iter()
        .map(|header| {
            let name = harmless(&String::from_utf8_lossy(header.name));
            labelled(&format!("  {name}"), &indented(&shown(header.value)))
        })
        .collect();
    if headers.is_empty() {
        lines.push("\nheaders: none".to_owned());
    } else {
        lines.push(format!("\nheaders\n{}", headers.join("\n")));
    }
    lines.push(part("payload", message.payload()));
    lines.join("\n")
}

fn note_lines(note: &Note) -> Vec<String> {
    let mut lines = vec![
        labelled("from", &harmless(&note.origin.to_string())),
        labelled("  produced", &when(note.timestamp)),
        labelled("plugin", &harmless(&note.plugin)),
        labelled("  component", &harmless(note.component.as_deref().unwrap_or("-"))),
        labelled("attempts", &note.attempts.map_or_else(|| "-".to_owned(), |attempts| attempts.to_string())),
        labelled("reason", &indented(&harmless(&note.reason))),
    ];
    if let Some(failure) = &note.failure_handler {
        lines.push(labelled("failure handler", &indented(&harmless(failure))));
    }
    lines
}

fn labelled(label: &str, value: &str) -> String {
    format!("{label:LABEL_WIDTH$} {value}").trim_end().to_owned()
}

/// Lines behind the first begin where the first does.
fn indented(text: &str) -> String {
    text.replace('\n', &format!("\n{:LABEL_WIDTH$} ", ""))
}

fn part(name: &str, bytes: Option<&[u8]>) -> String {
    let size = bytes.map_or_else(String::new, |bytes| format!(" ({} bytes)", bytes.len()));
    format!("\n{name}{size}\n{}", shown(bytes))
}

/// A time in milliseconds since the Unix epoch, and how long ago it was.
fn when(at: Option<i64>) -> String {
    let time = at.and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
    time.map_or_else(|| "-".to_owned(), |time| format!("{time} ({} ago)", age(at, now_ms())))
}
