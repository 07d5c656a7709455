//! `gristmill run`

use std::path::Path;

use crate::app;
use crate::config::check;

/// Runs the host by the settings in `file`.
///
/// # Errors
///
/// `Problems` when settings or components are wrong; else what the host could not do.
pub(super) fn run(file: &Path) -> anyhow::Result<()> {
    let checked = check::load(file)?;
    for note in &checked.notes {
        tracing::warn!("{note}");
    }
    app::run(&checked)
}
