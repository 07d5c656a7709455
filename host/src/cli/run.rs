//! `gristmill run`

use std::path::Path;

use crate::app;
use crate::app::examine::examine;
use crate::config::check;

/// Runs the host by the config in `file`.
///
/// # Errors
///
/// `Problems` when config or components are wrong; else what the host could not do.
pub(super) fn run(file: &Path, watch: bool) -> anyhow::Result<()> {
    let survey = check::survey(file);
    if !survey.problems.problems.is_empty() {
        // The components are looked at too, so that everything can be mended at once.
        return Err(examine(survey)?.problems.into());
    }
    let checked = survey.finish()?;
    for note in &checked.notes {
        let place = format!("{}:{}:{}", note.file.display(), note.line, note.column);
        tracing::warn!(
            place,
            key = note.key,
            note = note.what,
            "a setting is allowed and probably not meant"
        );
    }
    app::run(checked, watch)
}
