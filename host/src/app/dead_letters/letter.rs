//! What a dead letter says of itself: its record, and what the host wrote into its headers when it was given up.

use crate::message::{Batch, HeaderRef, MessageRef, Position};

/// What the names of the host's own headers begin with.
const OURS: &[u8] = b"gristmill-";

/// A record of a dead-letter topic.
#[derive(Debug)]
pub struct Letter {
    /// The record, alone in its batch.
    batch: Batch,
    /// What the host wrote; none when the record was not written by gristmill.
    pub note: Option<Note>,
}

/// What the host wrote when it gave the message up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The plugin that did not handle it.
    pub plugin: String,
    /// Why.
    pub reason: String,
    /// Calls of `handle-message` in all.
    pub attempts: Option<u32>,
    /// Where the message came from.
    pub origin: Position,
    /// The message's own timestamp, in milliseconds since the Unix epoch.
    pub timestamp: Option<i64>,
    /// The component: `sha256:` and 64 hex digits.
    pub component: Option<String>,
    /// What went wrong in the plugin's failure handler.
    pub failure_handler: Option<String>,
}

impl Letter {
    /// The letter that the first record of `batch` is.
    pub fn new(batch: Batch) -> Self {
        let note = note(batch.get(0));
        Self { batch, note }
    }

    /// The record.
    pub fn message(&self) -> MessageRef<'_> {
        self.batch.get(0)
    }

    /// Headers that are the message's own.
    pub fn own_headers(&self) -> Vec<HeaderRef<'_>> {
        let is_own = |header: &HeaderRef<'_>| note_of(header).is_none();
        self.message().headers().filter(is_own).collect()
    }

    /// The message as it was before it was given up, if the note says so; else the record without the host's headers.
    pub fn restored(&self) -> Batch {
        let message = self.message();
        let place = self.note.as_ref().map_or_else(|| message.position(), |note| note.origin.clone());
        let timestamp = self.note.as_ref().map_or(message.timestamp(), |note| note.timestamp);
        let mut batch = Batch::new(place.topic, place.partition, self.batch.fetched_at());
        batch.push(place.offset, timestamp, (message.key(), message.payload()), self.own_headers());
        batch
    }

    /// When it was written to the dead-letter topic, in milliseconds since the Unix epoch.
    pub fn written_at(&self) -> Option<i64> {
        self.message().timestamp()
    }
}

/// The rest of a header's name if it is one of the host's own.
fn note_of<'a>(header: &HeaderRef<'a>) -> Option<&'a [u8]> {
    header.name.strip_prefix(OURS)
}

/// The note of a record. Without plugin and origin there is none: where it would go back to is not known.
fn note(message: MessageRef<'_>) -> Option<Note> {
    // Should one be there twice, the later one is the host's: it writes behind what it forwards.
    let text = |name: &str| {
        let found = message.headers().filter(|header| note_of(header) == Some(name.as_bytes())).last();
        found.and_then(|header| Some(String::from_utf8_lossy(header.value?).into_owned()))
    };
    let topic = text("topic").filter(|topic| !topic.is_empty())?;
    Some(Note {
        plugin: text("plugin")?,
        reason: text("reason").unwrap_or_default(),
        attempts: text("attempts").and_then(|attempts| attempts.parse().ok()),
        origin: Position {
            topic: topic.into(),
            partition: text("partition")?.parse().ok()?,
            offset: text("offset")?.parse().ok()?,
        },
        timestamp: text("timestamp").and_then(|timestamp| timestamp.parse().ok()),
        component: text("component"),
        failure_handler: text("failure-handler"),
    })
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Instant;

    use super::*;

    /// A letter at `dead/0/OFFSET` of the message `orders/3/7` with key `k`, whose headers are `headers` and the own `trace`.
    pub(in crate::app::dead_letters) fn letter(offset: i64, headers: &[(&str, &str)]) -> Letter {
        let mut batch = Batch::new("dead".into(), 0, Instant::now());
        let all = [("trace", "t1")].into_iter().chain(headers.iter().copied());
        let all = all.map(|(name, value)| HeaderRef { name: name.as_bytes(), value: Some(value.as_bytes()) });
        batch.push(offset, Some(1_000), (Some(b"k"), Some(b"p")), all);
        Letter::new(batch)
    }

    /// What the host writes.
    pub(in crate::app::dead_letters) const WRITTEN: [(&str, &str); 8] = [
        ("gristmill-plugin", "enrich"),
        ("gristmill-reason", "rejected: no customer"),
        ("gristmill-attempts", "5"),
        ("gristmill-topic", "orders"),
        ("gristmill-partition", "3"),
        ("gristmill-offset", "7"),
        ("gristmill-timestamp", "12"),
        ("gristmill-component", "sha256:00"),
    ];

    #[test]
    fn a_letter_says_where_it_came_from_and_goes_back_as_it_was() {
        let letter = letter(4, &WRITTEN);
        let note = letter.note.clone().unwrap();
        assert_eq!((note.plugin.as_str(), note.attempts, note.timestamp), ("enrich", Some(5), Some(12)));
        assert_eq!(note.origin.to_string(), "orders/3/7");
        assert_eq!((note.component.as_deref(), note.failure_handler), (Some("sha256:00"), None));
        let restored = letter.restored();
        let message = restored.get(0);
        assert_eq!(
            (message.position().to_string(), message.timestamp()),
            ("orders/3/7".to_owned(), Some(12))
        );
        assert_eq!((message.key(), message.payload()), (Some(&b"k"[..]), Some(&b"p"[..])));
        let names: Vec<_> = message.headers().map(|header| header.name).collect();
        assert_eq!(names, [b"trace"]);
    }

    #[test]
    fn what_gristmill_did_not_write_has_no_note() {
        assert_eq!(letter(0, &[]).note, None);
        for missing in ["gristmill-plugin", "gristmill-topic", "gristmill-partition", "gristmill-offset"] {
            let headers: Vec<_> = WRITTEN.into_iter().filter(|(name, _)| *name != missing).collect();
            assert_eq!(letter(0, &headers).note, None, "{missing}");
            let headers: Vec<_> =
                WRITTEN.map(|(name, value)| (name, if name == missing { "\u{0}x" } else { value })).into();
            let broken = letter(0, &headers).note;
            assert_eq!(broken.is_none(), missing.ends_with("partition") || missing.ends_with("offset"));
        }
        let optional = WRITTEN.into_iter().filter(|(name, _)| {
            ["plugin", "topic", "partition", "offset"].iter().any(|wanted| name.ends_with(wanted))
        });
        let note = letter(0, &optional.collect::<Vec<_>>()).note.unwrap();
        assert_eq!((note.reason.as_str(), note.attempts, note.timestamp), ("", None, None));
    }
}
