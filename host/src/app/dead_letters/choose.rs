//! Which letters are meant: by their place, by what they say, by whether they were replayed. Pure.

use std::str::FromStr;

use super::letter::Letter;

/// The place of a letter as people write it: `PARTITION/OFFSET` or `TOPIC/PARTITION/OFFSET`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spot {
    /// The dead-letter topic, if it was written.
    pub topic: Option<String>,
    /// The partition.
    pub partition: i32,
    /// The offset in the partition.
    pub offset: i64,
}

impl FromStr for Spot {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "expected PARTITION/OFFSET or TOPIC/PARTITION/OFFSET, such as `0/17`".to_owned();
        let mut parts = text.rsplitn(3, '/');
        let offset = parts.next().and_then(|part| part.parse().ok()).filter(|offset| *offset >= 0);
        let partition = parts.next().and_then(|part| part.parse().ok()).filter(|partition| *partition >= 0);
        let topic = parts.next().map(str::to_owned);
        if topic.as_ref().is_some_and(|topic| topic.is_empty() || topic.contains('/')) {
            return Err(expected());
        }
        let (partition, offset) = partition.zip(offset).ok_or_else(expected)?;
        Ok(Self { topic, partition, offset })
    }
}

impl std::fmt::Display for Spot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(topic) = &self.topic {
            write!(f, "{topic}/")?;
        }
        write!(f, "{}/{}", self.partition, self.offset)
    }
}

/// What a letter has to say to be meant; what is none or empty is not asked for.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// The plugin that gave it up. A record that was not written by gristmill passes: it is of no plugin.
    pub plugin: Option<String>,
    /// A part of the reason, in whatever case.
    pub reason: Option<String>,
    /// The topic that the message came from.
    pub from: Option<String>,
    /// The key.
    pub key: Option<Vec<u8>>,
    /// Written at this time or later, in milliseconds since the Unix epoch.
    pub since: Option<i64>,
}

impl Filter {
    /// Whether anything beside the plugin is asked for.
    pub fn narrows(&self) -> bool {
        self.reason.is_some() || self.from.is_some() || self.key.is_some() || self.since.is_some()
    }

    /// Whether `letter` is meant.
    pub fn takes(&self, letter: &Letter) -> bool {
        let note = letter.note.as_ref();
        let plugin = |name: &String| note.is_none_or(|note| note.plugin == *name);
        let reason = |part: &String| {
            note.is_some_and(|note| note.reason.to_lowercase().contains(&part.to_lowercase()))
        };
        let from = |topic: &String| note.is_some_and(|note| *note.origin.topic == **topic);
        let key = |key: &Vec<u8>| letter.message().key() == Some(key);
        let since = |since: &i64| letter.written_at().is_some_and(|at| at >= *since);
        self.plugin.as_ref().is_none_or(plugin)
            && self.reason.as_ref().is_none_or(reason)
            && self.from.as_ref().is_none_or(from)
            && self.key.as_ref().is_none_or(key)
            && self.since.as_ref().is_none_or(since)
    }
}

#[cfg(test)]
mod tests {
    use super::super::letter::tests::{WRITTEN, letter};
    use super::*;

    #[test]
    fn a_place_is_read_as_it_is_shown() {
        for text in ["0/17", "orders-dead/3/0", "a.b_c/2147483647/9223372036854775807"] {
            assert_eq!(text.parse::<Spot>().unwrap().to_string(), text);
        }
        for text in
            ["", "17", "/1/2", "a/b/1/2", "x/1", "1/x", "0/-1", "-1/0", "0/9223372036854775808", "a/1/"]
        {
            assert!(text.parse::<Spot>().is_err(), "{text}");
        }
    }

    #[test]
    fn each_wish_is_heeded_and_a_foreign_record_is_of_no_plugin() {
        let (ours, foreign) = (letter(0, &WRITTEN), letter(1, &[]));
        let text = |text: &str| Some(text.to_owned());
        let filter = Filter::default();
        assert!(filter.takes(&ours) && filter.takes(&foreign) && !filter.narrows());
        for (filter, takes) in [
            (Filter { plugin: text("enrich"), ..Filter::default() }, (true, true)),
            (Filter { plugin: text("other"), ..Filter::default() }, (false, true)),
            (Filter { reason: text("NO CUST"), ..Filter::default() }, (true, false)),
            (Filter { reason: text("timeout"), ..Filter::default() }, (false, false)),
            (Filter { from: text("orders"), ..Filter::default() }, (true, false)),
            (Filter { from: text("order"), ..Filter::default() }, (false, false)),
            (Filter { key: Some(b"k".to_vec()), ..Filter::default() }, (true, true)),
            (Filter { key: Some(b"".to_vec()), ..Filter::default() }, (false, false)),
            (Filter { since: Some(1_000), ..Filter::default() }, (true, true)),
            (Filter { since: Some(1_001), ..Filter::default() }, (false, false)),
        ] {
            assert_eq!((filter.takes(&ours), filter.takes(&foreign)), takes, "{filter:?}");
            assert_eq!(filter.narrows(), filter.plugin.is_none(), "{filter:?}");
        }
    }
}
