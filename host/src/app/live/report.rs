//! How a reload ended, for people, for logs and for the API.

use crate::api;
use crate::config::problem::{Note, Problem, Problems};

/// How a reload ended.
#[derive(Clone, Debug)]
pub(in crate::app) struct Reloaded {
    pub(in crate::app) by: String,
    pub(in crate::app) result: Result,
    /// What has changed, in words.
    pub(in crate::app) changes: Vec<String>,
    /// What is wrong. Where each plugin stands alone, the others may have changed all the same.
    pub(in crate::app) problems: Vec<Problem>,
    /// Tables that have changed and need a restart.
    pub(in crate::app) ignored: Vec<&'static str>,
    pub(in crate::app) notes: Vec<Note>,
}

/// In a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::app) enum Result {
    /// The new config holds.
    Done,
    /// It says what was said before.
    Unchanged,
    /// Nothing has changed, because something is wrong.
    Refused,
}

impl Result {
    fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Unchanged => "unchanged",
            Self::Refused => "refused",
        }
    }
}

impl Reloaded {
    pub(super) fn refused(by: &str, problems: Vec<Problem>) -> Self {
        let (changes, ignored, notes) = (Vec::new(), Vec::new(), Vec::new());
        Self { by: by.to_owned(), result: Result::Refused, changes, problems, ignored, notes }
    }

    pub(super) fn is_refused(&self) -> bool {
        self.result == Result::Refused
    }

    pub(super) fn into_problems(self) -> Problems {
        Problems { problems: self.problems, notes: Vec::new() }
    }

    /// Whether there is something to show: files are touched for many reasons, and a signal wants an answer.
    pub(super) fn is_news(&self) -> bool {
        self.result != Result::Unchanged || self.by != super::BY_WATCHING || !self.problems.is_empty()
    }

    /// As the API has it.
    pub(super) fn shown(&self) -> api::Reload {
        api::Reload {
            at: jiff::Timestamp::now().to_string(),
            by: self.by.clone(),
            result: self.result.word().to_owned(),
            changes: self.changes.clone(),
            problems: self.problems.iter().map(ToString::to_string).collect(),
            ignored: self.ignored.iter().map(ToString::to_string).collect(),
        }
    }
}

/// Logs how a reload ended, all of it.
pub(in crate::app) fn log(reloaded: &Reloaded) {
    let Reloaded { by, result, changes, problems, ignored, notes } = reloaded;
    for problem in problems {
        let Problem { file, line, column, key, what, found, hint } = problem;
        let place = match (line, column) {
            (Some(line), Some(column)) => format!("{}:{line}:{column}", file.display()),
            _ => file.display().to_string(),
        };
        tracing::error!(
            by,
            place,
            key,
            problem = what,
            found,
            hint,
            "the config is not taken: all stays as it was"
        );
    }
    if reloaded.is_refused() {
        return;
    }
    for table in ignored {
        tracing::warn!(by, table, "a table has changed that only a restart heeds");
    }
    match result {
        Result::Unchanged if !reloaded.is_news() => tracing::debug!(by, "the config says what it said"),
        Result::Unchanged => tracing::info!(by, "the config says what it said: nothing has changed"),
        Result::Done | Result::Refused => tracing::info!(by, ?changes, "the new config holds"),
    }
    for Note { file, line, column, key, what } in notes.iter().filter(|_| *result == Result::Done) {
        let place = format!("{}:{line}:{column}", file.display());
        tracing::warn!(place, key, note = what, "a setting is allowed and probably not meant");
    }
}
