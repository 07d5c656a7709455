//! What goes to stderr and stdout.

use std::io::{ErrorKind, IsTerminal as _, Write as _};

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;

use super::LogFormat;

/// What `run` logs when RUST_LOG says nothing: the host's own lines and the plugins'.
pub(super) const OF_RUN: &str = "info";

/// What `demo` logs: it shows what happens itself, and its first act fails on purpose, by the thousand.
pub(super) const OF_DEMO: &str = "error";

/// What `dead-letters` logs: somebody is looking at the terminal, and is told everything else there.
pub(super) const OF_DEAD_LETTERS: &str = "warn,librdkafka=off,gristmill::kafka::consumer=error";

/// Starts logging to stderr what RUST_LOG says, or else `default_filter`.
pub(super) fn start(format: LogFormat, default_filter: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default_filter));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).with_target(false).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
}

/// Says one thing on stderr. A stderr that is closed has nobody to tell.
pub(super) fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Prints a result. A reader that has seen enough, as `head` has, is no error.
///
/// # Errors
///
/// When stdout cannot be written.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("failed to write to stdout")
        }
        _ => Ok(()),
    }
}

/// Prints a result as JSON.
///
/// # Errors
///
/// When stdout cannot be written.
pub(super) fn print_json(value: &serde_json::Value) -> anyhow::Result<()> {
    print(&serde_json::to_string_pretty(value)?)
}

/// Columns of the terminal that stdout is; none in a pipe, where nothing is cut.
pub(super) fn terminal_width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}

/// Whether there is somebody to ask.
pub(super) fn can_ask() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks a question on the terminal, and whether the answer is yes.
///
/// # Errors
///
/// When the terminal is gone.
pub(super) fn ask(question: &str) -> anyhow::Result<bool> {
    let mut stderr = std::io::stderr();
    write!(stderr, "{question} [y/N] ")?;
    stderr.flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}
