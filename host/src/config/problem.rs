//! What is wrong with a config, and where: one `Problem` each, all of them together in `Problems`. Finding them is
//! left to the files that read and check.

use std::fmt;
use std::path::{Path, PathBuf};

/// Where something stands in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The path of keys, such as `plugins.enrich.budget.rate`; empty for the file itself.
    pub key: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

/// One thing that is wrong. It is shown as
///
/// ```text
/// gristmill.toml:14:8: plugins.enrich.budget.rate
///   expected a rate such as `11/s`, found: `11`
///   hint: say per what: `"11/s"`
/// ```
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// The config file.
    pub file: PathBuf,
    /// The line, from 1; none when the file could not be read.
    pub line: Option<usize>,
    /// The column in characters, from 1; none when the file could not be read.
    pub column: Option<usize>,
    /// The path of keys; empty when the problem is the file's as a whole.
    pub key: String,
    /// What is wrong, or what was expected instead.
    pub what: String,
    /// The value that stands there, when it helps to see it and may be shown.
    pub found: Option<String>,
    /// How to put it right.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem with a file as a whole.
    pub fn of_file(file: &Path, what: impl Into<String>) -> Self {
        Self {
            file: file.to_path_buf(),
            line: None,
            column: None,
            key: String::new(),
            what: what.into(),
            found: None,
            hint: None,
        }
    }

    /// A problem at a place in the file.
    pub fn at(file: &Path, place: &Place, what: impl Into<String>) -> Self {
        Self {
            line: Some(place.line),
            column: Some(place.column),
            key: place.key.clone(),
            ..Self::of_file(file, what)
        }
    }

    /// Adds the value that stands there.
    pub fn found(&mut self, found: impl Into<String>) -> &mut Self {
        self.found = Some(found.into());
        self
    }

    /// Adds how to put it right.
    pub fn hint(&mut self, hint: impl Into<String>) -> &mut Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(f, ":{line}:{column}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, "\n  {}", self.what)?;
        if let Some(found) = &self.found {
            write!(f, ", found: {found}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

/// A remark on a setting that is allowed and probably not meant.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Note {
    /// The config file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The path of keys.
    pub key: String,
    /// The remark.
    pub what: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, key, what } = self;
        write!(f, "{}:{line}:{column}: {key}\n  note: {what}", file.display())
    }
}

/// Every problem of one config, in the order of the file. As an error there is at least one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    /// The problems.
    pub problems: Vec<Problem>,
    /// The remarks that were found beside them.
    pub notes: Vec<Note>,
}

impl Problems {
    /// The same in the order of the file, when more was found by looking further.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        self.problems.sort_by(|a, b| (a.line, a.column, &a.what).cmp(&(b.line, b.column, &b.what)));
        self.notes.sort_by_key(|note| (note.line, note.column));
        self
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Gathers problems and notes while a file is read and checked.
#[derive(Debug)]
pub struct Report {
    file: PathBuf,
    problems: Vec<Problem>,
    notes: Vec<Note>,
}

impl Report {
    /// An empty report on `file`.
    pub fn new(file: &Path) -> Self {
        Self { file: file.to_path_buf(), problems: Vec::new(), notes: Vec::new() }
    }

    /// Adds a problem; what is returned takes what was found and a hint.
    pub fn problem(&mut self, place: &Place, what: impl Into<String>) -> &mut Problem {
        let index = self.problems.len();
        self.problems.push(Problem::at(&self.file, place, what));
        &mut self.problems[index]
    }

    /// Adds a note.
    pub fn note(&mut self, place: &Place, what: impl Into<String>) {
        let Place { key, line, column } = place.clone();
        self.notes.push(Note { file: self.file.clone(), line, column, key, what: what.into() });
    }

    /// Everything that is wrong, in the order of the file and each only once.
    pub fn fail(self) -> Problems {
        let mut problems = Problems { problems: self.problems, notes: self.notes }.sorted();
        // What `[kafka]` has wrong, every plugin that uses it has wrong.
        problems.problems.dedup();
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_reads_well_without_colour() {
        let place = Place { key: "plugins.enrich.budget.rate".into(), line: 14, column: 8 };
        let mut problem = Problem::at(Path::new("gristmill.toml"), &place, "expected a rate such as `11/s`");
        problem.found("`11`").hint("say per what, for example `11/s`");
        assert_eq!(
            problem.to_string(),
            "gristmill.toml:14:8: plugins.enrich.budget.rate\n  expected a rate such as `11/s`, found: `11`\n  \
             hint: say per what, for example `11/s`"
        );
    }

    #[test]
    fn problems_come_in_the_order_of_the_file() {
        let mut report = Report::new(Path::new("x"));
        let place = |line, column| Place { key: "k".into(), line, column };
        report.problem(&place(3, 1), "third");
        report.problem(&place(1, 9), "second");
        report.problem(&place(1, 2), "first");
        let problems = report.fail();
        assert_eq!(problems.to_string(), "x:1:2: k\n  first\nx:1:9: k\n  second\nx:3:1: k\n  third");
    }
}
