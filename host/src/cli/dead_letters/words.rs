//! How letters look: as JSON, and the parts of a line or a page. Everything from Kafka is made harmless for a terminal.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::super::words::harmless;
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

#[cfg(test)]
mod tests {
    use super::*;

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
