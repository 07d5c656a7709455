//! How letters look: as JSON, and the parts of a line or a page. Everything from Kafka is made harmless for a terminal.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::app::dead_letters::Letter;
use crate::jsonl;

/// Bytes on one line of a dump.
const DUMP_BYTES: usize = 16;

/// A letter as one JSON object: the record, what the host wrote about it, and whether it was replayed.
pub(super) fn as_json(letter: &Letter, replayed: bool) -> Map<String, Value> {
    let mut object = jsonl::message(letter.message());
    let note = letter.note.as_ref().map(|note| {
        json!({
            "plugin": note.plugin,
            "reason": note.reason,
            "attempts": note.attempts,
            "topic": *note.origin.topic,
            "partition": note.origin.partition,
            "offset": note.origin.offset,
            "timestamp": note.timestamp,
            "component": note.component,
            "failure_handler": note.failure_handler,
        })
    });
    object.insert("position".into(), letter.message().position().to_string().into());
    object.insert("dead_letter".into(), note.unwrap_or_default());
    object.insert("replayed".into(), replayed.into());
    object
}

/// How long ago `at` was, in the largest unit that fits: both in milliseconds since the Unix epoch.
pub(super) fn age(at: Option<i64>, now: i64) -> String {
    let Some(at) = at else { return "-".to_owned() };
    let seconds = now.saturating_sub(at).max(0) / 1_000;
    match seconds {
        0..=119 => format!("{seconds}s"),
        120..=7_199 => format!("{}m", seconds / 60),
        7_200..=172_799 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// `text` on one line.
pub(super) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&harmless(word));
    }
    line
}

/// `text` cut to `width` characters.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(width.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// `text` with everything escaped that a terminal would act on, line ends and tabs left alone.
pub(super) fn harmless(text: &str) -> String {
    let mut harmless = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() && !matches!(letter, '\n' | '\t') {
            harmless.extend(letter.escape_default());
        } else {
            harmless.push(letter);
        }
    }
    harmless
}

/// A key, payload or header's value: text as it is, other bytes as a dump.
pub(super) fn shown(bytes: Option<&[u8]>) -> String {
    match bytes.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => "(none)".to_owned(),
        Some((b"", _)) => "(empty)".to_owned(),
        Some((_, Ok(text))) => harmless(text),
        Some((bytes, Err(_))) => dump(bytes),
    }
}

/// Offset, bytes in hexadecimal, and what of them is ASCII.
fn dump(bytes: &[u8]) -> String {
    let mut dump = String::new();
    for (index, line) in bytes.chunks(DUMP_BYTES).enumerate() {
        let hex: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        let printable = |byte: &u8| if (b' '..=b'~').contains(byte) { char::from(*byte) } else { '.' };
        let text: String = line.iter().map(printable).collect();
        let width = DUMP_BYTES * 3 - 1;
        // Writing to a string never fails.
        let _ = writeln!(dump, "{:08x}  {:width$}  {text}", index * DUMP_BYTES, hex.join(" "));
    }
    dump.trim_end().to_owned()
}

/// `count` of a thing, in words.
pub(super) fn counted(count: u64, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_the_unit_that_says_most() {
        let ages = [0, 119_999, 120_000, 7_200_000, 172_800_000].map(|now| age(Some(0), now));
        assert_eq!(ages, ["0s", "119s", "2m", "2h", "2d"]);
        assert_eq!((age(Some(5_000), 0), age(None, 7)), ("0s".to_owned(), "-".to_owned()));
    }

    #[test]
    fn nothing_from_kafka_reaches_the_terminal_as_a_command() {
        assert_eq!(harmless("a\u{1b}[31m\r\n\tb"), "a\\u{1b}[31m\\r\n\tb");
        assert_eq!(one_line(" a\n  b\u{7} "), "a b\\u{7}");
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdef", 4), "abc…");
    }

    #[test]
    fn bytes_that_are_no_text_are_dumped() {
        assert_eq!(shown(None), "(none)");
        assert_eq!(shown(Some(b"")), "(empty)");
        assert_eq!(shown(Some("kü".as_bytes())), "kü");
        let dump = shown(Some(b"\xff0123456789abcdefg"));
        assert_eq!(
            dump,
            "00000000  ff 30 31 32 33 34 35 36 37 38 39 61 62 63 64 65  .0123456789abcde\n\
             00000010  66 67                                            fg"
        );
    }
}
