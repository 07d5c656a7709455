//! What a single value of the file may be: each type says how it is read and what its JSON Schema is.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use toml::de::{DeTable, DeValue};

use super::limits::{Bytes, Count, Share, Time};
use super::problem::Place;
use super::tree::{At, Reader, Written, join, list, nearest};
use super::{Rate, Start, env, units};

/// Text.
pub type Text = String;

/// A list.
pub type List<T> = Vec<At<T>>;

/// A table of any names.
pub type Named<T> = BTreeMap<String, At<T>>;

/// Yes or no.
#[derive(Clone, Copy, Debug)]
pub struct Switch(pub bool);

/// Where the admin API listens; none is nowhere.
#[derive(Clone, Copy, Debug)]
pub struct Listen(pub Option<SocketAddr>);

/// Options of librdkafka by their whole name. In TOML `a.b = 1` is a table in a table, here it is the name `a.b`.
#[derive(Clone, Debug)]
pub struct Options(pub Named<String>);

impl Written for Text {
    fn read(value: &DeValue<'_>, place: &Place, reader: &mut Reader<'_>) -> Option<Self> {
        reader.string(value, place, "a string")
    }
}

impl Written for Switch {
    fn read(value: &DeValue<'_>, place: &Place, reader: &mut Reader<'_>) -> Option<Self> {
        match value.as_bool() {
            Some(switch) => Some(Self(switch)),
            None => variable(value, place, reader, "`true` or `false`", |text| text.parse().ok().map(Self)),
        }
    }
}

impl Written for Count {
    fn read(value: &DeValue<'_>, place: &Place, reader: &mut Reader<'_>) -> Option<Self> {
        const EXPECTED: &str = "a whole number, at least `0`";
        let DeValue::Integer(number) = value else {
            return variable(value, place, reader, EXPECTED, |text| text.parse().ok().map(Self));
        };
        let parsed = u64::from_str_radix(number.as_str(), number.radix()).ok().map(Self);
        if parsed.is_none() {
            reader.expected(place, EXPECTED, value);
        }
        parsed
    }
}

impl Written for Share {
    fn read(value: &DeValue<'_>, place: &Place, reader: &mut Reader<'_>) -> Option<Self> {
        const EXPECTED: &str = "a number from `0` to `1`, such as `0.1`";
        let number = match value {
            DeValue::Float(number) => number.to_string(),
            DeValue::Integer(number) if number.radix() == 10 => number.to_string(),
            _ => return variable(value, place, reader, EXPECTED, |text| text.parse().ok().map(Self)),
        };
        let parsed = number.parse().ok().map(Self);
        if parsed.is_none() {
            reader.expected(place, EXPECTED, value);
        }
        parsed
    }
}

impl Written for Time {
    fn read(value: &DeValue<'_>, place: &Place, reader: &mut Reader<'_>) -> Option<Self> {
        if let DeValue::Integer(number) = value {
            let hint = format!("say of what: `\"{number}s\"` or `\"{number}ms\"`");
            reader.expected(place, units::DURATION, value).hint(hint);
            return None;
        }
        parsed(value, place, reader, units::DURATION, |text| units::duration(text).map(Self))
    }
}

impl Written for Bytes {
    fn read(value: &DeValue<'_>, place: &Place, reader: &mut Reader<'_>) -> Option<Self> {
        if let DeValue::Integer(_) = value {
            return Count::read(value, place, reader).map(|count| Self(count.0));
        }
        parsed(value, place, reader, units::SIZE, |text| units::size(text).map(Self))
    }
}

impl Written for Rate {
    fn read(value: &DeValue<'_>, place: &Place, reader: &mut Reader<'_>) -> Option<Self> {
        if let DeValue::Integer(number) = value {
            let hint = format!("say per what: `\"{number}/s\"` or `\"{number}/min\"`");
            reader.expected(place, units::RATE, value).hint(hint);
            return None;
        }
        parsed(value, place, reader, units::RATE, units::rate)
    }
}

impl Written for Start {
    fn read(value: &DeValue<'_>, place: &Place, reader: &mut Reader<'_>) -> Option<Self> {
        const EXPECTED: &str = "`earliest`, `latest`, or a time since 1970 such as `2026-01-31T08:00:00Z`";
        if let DeValue::Datetime(time) = value {
            let start = start(&time.to_string());
            if start.is_none() {
                reader
                    .expected(place, EXPECTED, value)
                    .hint("a time needs its offset, such as `Z` or `+01:00`");
            }
            return start;
        }
        parsed(value, place, reader, EXPECTED, start)
    }
}

impl Written for Listen {
    fn read(value: &DeValue<'_>, place: &Place, reader: &mut Reader<'_>) -> Option<Self> {
        const EXPECTED: &str = "an IP address and a port such as `127.0.0.1:9650`, or nothing to turn it off";
        parsed(value, place, reader, EXPECTED, |text| match text.strip_prefix("localhost:") {
            Some(port) => Some(Self(Some((Ipv4Addr::LOCALHOST, port.parse().ok()?).into()))),
            None if text.is_empty() => Some(Self(None)),
            None => Some(Self(Some(text.parse().ok()?))),
        })
    }
}

impl<T: Written> Written for List<T> {
    fn read(value: &DeValue<'_>, place: &Place, reader: &mut Reader<'_>) -> Option<Self> {
        let Some(items) = value.as_array() else {
            let problem = reader.expected(place, "a list", value);
            if let DeValue::String(text) = value {
                problem.hint(format!("put it in brackets: `[\"{text}\"]`"));
            }
            return None;
        };
        let mut list = Self::new();
        for (index, item) in items.iter().enumerate() {
            list.extend(reader.child(item, format!("{}[{index}]", place.key)));
        }
        unless_all_wrong(list.is_empty() && !items.is_empty(), list)
    }
}

impl<T: Written> Written for Named<T> {
    fn read(value: &DeValue<'_>, place: &Place, reader: &mut Reader<'_>) -> Option<Self> {
        let table = reader.table(value, place)?;
        let mut named = Self::new();
        for (key, value) in table {
            if let Some(at) = reader.child(value, join(&place.key, key.get_ref())) {
                named.insert(key.get_ref().to_string(), at);
            }
        }
        unless_all_wrong(named.is_empty() && !table.is_empty(), named)
    }
}

/// What is good of several values is looked at further. If nothing is, nobody should be told besides that it is empty.
fn unless_all_wrong<T>(all_wrong: bool, good: T) -> Option<T> {
    (!all_wrong).then_some(good)
}

impl Written for Options {
    fn read(value: &DeValue<'_>, place: &Place, reader: &mut Reader<'_>) -> Option<Self> {
        let mut options = Self(Named::new());
        options.add(reader.table(value, place)?, place, "", reader);
        Some(options)
    }
}

impl Options {
    fn add(&mut self, table: &DeTable<'_>, place: &Place, parent: &str, reader: &mut Reader<'_>) {
        for (key, value) in table {
            let name = join(parent, key.get_ref());
            if let DeValue::Table(inner) = value.get_ref() {
                self.add(inner, place, &name, reader);
            } else if let Some(At { value: Scalar(value), place }) =
                reader.child(value, join(&place.key, &name))
            {
                self.0.insert(name, At { value, place });
            }
        }
    }
}

/// A string, number or truth value, as text.
struct Scalar(String);

impl Written for Scalar {
    fn read(value: &DeValue<'_>, place: &Place, reader: &mut Reader<'_>) -> Option<Self> {
        match value {
            DeValue::Integer(number) if number.radix() == 10 => Some(Self(number.to_string())),
            DeValue::Float(number) => Some(Self(number.to_string())),
            DeValue::Boolean(switch) => Some(Self(switch.to_string())),
            _ => reader.string(value, place, "a string, a decimal number, `true` or `false`").map(Self),
        }
    }
}

/// A string that `parse` understands; what is shown when it does not is the string with its variables filled in.
fn parsed<T>(
    value: &DeValue<'_>,
    place: &Place,
    reader: &mut Reader<'_>,
    expected: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Option<T> {
    let text = reader.string(value, place, expected)?;
    let read = parse(&text);
    if read.is_none() {
        reader.expected(place, expected, &DeValue::String(Cow::Borrowed(&text)));
    }
    read
}

/// A value that is no string in TOML may be one if that has a variable in it.
fn variable<T>(
    value: &DeValue<'_>,
    place: &Place,
    reader: &mut Reader<'_>,
    expected: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Option<T> {
    if value.as_str().is_some_and(env::has_variable) {
        return parsed(value, place, reader, expected, parse);
    }
    let problem = reader.expected(place, expected, value);
    if let Some(text) = value.as_str().filter(|text| parse(text).is_some()) {
        problem.hint(format!("write it without quotes: `{text}`"));
    }
    None
}

/// One of a few words.
pub(super) fn word<T: Copy>(
    value: &DeValue<'_>,
    place: &Place,
    reader: &mut Reader<'_>,
    words: &[(&'static str, T)],
) -> Option<T> {
    let expected = format!("one of {}", list(words.iter().map(|(word, _)| *word)));
    let text = reader.string(value, place, &expected)?;
    let found = words.iter().find(|(word, _)| *word == text);
    if found.is_none() {
        let problem = reader.expected(place, &expected, &DeValue::String(Cow::Borrowed(&text)));
        if let Some(near) = nearest(&text, words.iter().map(|(word, _)| *word)) {
            problem.hint(format!("did you mean `{near}`?"));
        }
    }
    found.map(|(_, value)| *value)
}

fn start(text: &str) -> Option<Start> {
    match text {
        "earliest" => Some(Start::Earliest),
        "latest" => Some(Start::Latest),
        time => {
            // Kafka reads times below 0 as words of its own.
            let millis = time.parse::<jiff::Timestamp>().ok()?.as_millisecond();
            (millis >= 0).then_some(Start::At(millis))
        }
    }
}
