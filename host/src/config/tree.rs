//! Reads TOML into Rust shapes, with a place for everything and without stopping at the first problem. What the
//! shapes are is `file`'s business, what a single value may be is `value`'s.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::env::{self, Gap, Lookup};
use super::problem::{Place, Problem, Report};

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Its place.
    pub place: Place,
}

/// What the file says of one key.
#[derive(Clone, Debug, Default)]
pub enum Field<T> {
    /// Nothing.
    #[default]
    Absent,
    /// Something that is wrong and has been reported.
    Wrong,
    /// A value of the right type.
    Given(At<T>),
}

impl<T> Field<T> {
    /// The value with its place, if there is a good one.
    pub fn given(&self) -> Option<&At<T>> {
        if let Self::Given(at) = self { Some(at) } else { None }
    }

    /// The value, if there is a good one.
    pub fn value(&self) -> Option<&T> {
        self.given().map(|at| &at.value)
    }

    /// Whether what the file has is wrong.
    pub fn is_wrong(&self) -> bool {
        matches!(self, Self::Wrong)
    }

    /// Whether the file lacks the key; a wrong value is not absent.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

/// A type that stands in the file.
pub trait Written: Sized {
    /// Reads `value`; none when it is wrong, which has then been reported.
    fn read(value: &DeValue<'_>, place: &Place, reader: &mut Reader<'_>) -> Option<Self>;
}

/// The text and what is needed to read it.
pub struct Reader<'a> {
    text: &'a str,
    /// Where variables come from; none where strings are taken as they stand.
    env: Option<Lookup<'a>>,
    /// What was wrong so far.
    pub report: &'a mut Report,
    /// The place of every key that was met, by its path.
    pub places: BTreeMap<String, Place>,
}

impl<'a> Reader<'a> {
    /// A reader of `text`.
    pub fn new(text: &'a str, env: Lookup<'a>, report: &'a mut Report) -> Self {
        Self { text, env: Some(env), report, places: BTreeMap::new() }
    }

    /// A reader of values that stand in no file. Variables in them are not filled in: whoever sends a value does not get
    /// to see the host's environment.
    pub fn without_file(report: &'a mut Report) -> Self {
        Self { text: "", env: None, report, places: BTreeMap::new() }
    }

    /// Reads the whole document. If it is not TOML, only that is reported, since what can be read of the rest would
    /// bring problems that are none.
    pub fn document<T: Written>(&mut self) -> Option<At<T>> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in &errors {
            let place = self.place(String::new(), error.span().unwrap_or_default());
            let problem = self.report.problem(&place, format!("not valid TOML: {}", error.message().trim()));
            if let Some(hint) = syntax_hint(self.text, place.line) {
                problem.hint(hint);
            }
        }
        if !errors.is_empty() {
            return None;
        }
        let place = self.place(String::new(), 0..0);
        let value = T::read(&DeValue::Table(table.into_inner()), &place, self)?;
        Some(At { value, place })
    }

    /// The entries of a table whose keys are all in `known`; every other key is reported.
    pub fn section<'t, 'i>(
        &mut self,
        value: &'t DeValue<'i>,
        place: &Place,
        known: &[&str],
    ) -> Option<&'t DeTable<'i>> {
        let table = self.table(value, place)?;
        for (key, _) in table.iter().filter(|(key, _)| !known.contains(&key.get_ref().as_ref())) {
            let key_place = self.place(join(&place.key, key.get_ref()), key.span());
            let hint = hint_for(key.get_ref(), known);
            self.report.problem(&key_place, format!("unknown key `{}`", key.get_ref())).hint(hint);
        }
        Some(table)
    }

    /// One key of a section.
    pub fn field<T: Written>(&mut self, table: &DeTable<'_>, place: &Place, name: &str) -> Field<T> {
        match table.get(name) {
            None => Field::Absent,
            Some(value) => self.child(value, join(&place.key, name)).map_or(Field::Wrong, Field::Given),
        }
    }

    /// A value below another one; `key` is its whole path.
    pub fn child<T: Written>(&mut self, value: &Spanned<DeValue<'_>>, key: String) -> Option<At<T>> {
        let place = self.place(key, value.span());
        self.places.insert(place.key.clone(), place.clone());
        let value = T::read(value.get_ref(), &place, self)?;
        Some(At { value, place })
    }

    /// A table of whatever keys.
    pub fn table<'t, 'i>(&mut self, value: &'t DeValue<'i>, place: &Place) -> Option<&'t DeTable<'i>> {
        if value.as_table().is_none() {
            self.expected(place, "a table", value);
        }
        value.as_table()
    }

    /// A string with its variables filled in.
    pub fn string(&mut self, value: &DeValue<'_>, place: &Place, expected: &str) -> Option<String> {
        let Some(text) = value.as_str() else {
            self.expected(place, expected, value);
            return None;
        };
        let Some(env) = self.env else { return Some(text.to_owned()) };
        match env::fill(text, env) {
            Ok(filled) => Some(filled),
            Err(gaps) => {
                gaps.iter().for_each(|gap| self.gap(place, gap));
                None
            }
        }
    }

    /// Reports that `value` is not what was `expected`.
    pub fn expected(&mut self, place: &Place, expected: &str, value: &DeValue<'_>) -> &mut Problem {
        self.report.problem(place, format!("expected {expected}")).found(describe(value))
    }

    /// Where the bytes `span` of the text begin.
    pub fn place(&self, key: String, span: Range<usize>) -> Place {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Place {
            key,
            line: before.bytes().filter(|byte| *byte == b'\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    fn gap(&mut self, place: &Place, gap: &Gap) {
        match gap {
            Gap::Missing(name) => self
                .report
                .problem(place, format!("the environment variable `{name}` is not set"))
                .hint(format!("set it, or give a default: `${{{name}:-default}}`")),
            Gap::Unclosed => self.report.problem(place, "`${` without `}`").hint("write `${NAME}`"),
            Gap::Misnamed(name) => self
                .report
                .problem(place, "expected the name of an environment variable in `${…}`")
                .found(format!("`{name}`"))
                .hint("names are letters, digits and `_`, as in `${NAME}` or `${NAME:-default}`"),
        };
    }
}

/// The path of a key below `parent`; the file itself has the empty path.
pub fn join(parent: &str, key: &str) -> String {
    if parent.is_empty() { key.to_owned() } else { format!("{parent}.{key}") }
}

/// The likeliest of `known` for a name that is none of them.
pub fn nearest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    /// Below this likeness (0 to 1) a guess would confuse more than help.
    const LIKENESS_MIN: f64 = 0.7;
    known
        .into_iter()
        .map(|key| (strsim::jaro_winkler(name, key), key))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, key)| key)
}

fn hint_for(name: &str, known: &[&str]) -> String {
    match nearest(name, known.iter().copied()) {
        Some(key) => format!("did you mean `{key}`?"),
        None => format!("known here: {}", list(known.iter().copied())),
    }
}

/// Names in backticks, with commas between them.
pub fn list<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// A value as a message shows it.
pub fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("`\"{text}\"`"),
        DeValue::Integer(number) => format!("`{number}`"),
        DeValue::Float(number) => format!("`{number}`"),
        DeValue::Boolean(switch) => format!("`{switch}`"),
        DeValue::Datetime(time) => format!("`{time}`"),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// A value with a unit, written without quotes, is the likeliest slip.
fn syntax_hint(text: &str, line: usize) -> Option<String> {
    let (_, value) = text.lines().nth(line.checked_sub(1)?)?.split_once('=')?;
    let value = value.split('#').next()?.trim();
    let first = value.chars().next()?;
    let bare = first.is_ascii_alphanumeric() && !value.contains(['"', '\'', '[', '{']);
    bare.then(|| format!("strings stand in quotes: `\"{value}\"`"))
}
