//! A guest that was broken off: how, and why in one line. Never a page of backtrace: the reason ends in headers of
//! dead letters and in the dashboard.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use wasmtime::{Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use super::limits::{MemoryLimit, TRAMPOLINE_MEMORY_MAX};
use crate::bindings::shortened;
use crate::outcome::{Failure, TrapKind};

/// Most bytes kept of what a guest wrote to stderr during one message: a panic's line and the one after it, were both
/// as long as a log line may be, and the advice after them.
const LAST_WORDS_BYTES_MAX: usize = 12 * 1024;

/// How and why a guest was broken off.
#[derive(Clone, Debug)]
pub(super) struct Broken {
    pub(super) kind: TrapKind,
    pub(super) reason: String,
}

impl Broken {
    pub(super) fn new(kind: TrapKind, reason: String) -> Self {
        Self { kind, reason: shortened(reason) }
    }

    /// What became of a call that returned `error`.
    pub(super) fn explain(error: &wasmtime::Error, memory: &MemoryLimit, words: &LastWords) -> Self {
        if let Some(broken) = error.downcast_ref::<Self>() {
            return broken.clone();
        }
        if let Some(I32Exit(code)) = error.downcast_ref() {
            return Self::new(TrapKind::Exit, format!("the plugin ended its own program with code {code}"));
        }
        if memory.overflowed() {
            let reason = format!(
                "the message with its outputs is larger than the {TRAMPOLINE_MEMORY_MAX} bytes that cross the border"
            );
            return Self::new(TrapKind::Trap, reason);
        }
        let said = words.take().or_else(|| trap_text(error));
        let reason = said.unwrap_or_else(|| error.root_cause().to_string());
        match memory.refusal() {
            Some(refusal) => Self::new(TrapKind::Memory, format!("{refusal}, then: {reason}")),
            None => Self::new(TrapKind::Trap, reason),
        }
    }

    pub(super) fn into_failure(self) -> Failure {
        Failure::Trap { kind: self.kind, reason: self.reason }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.word(), self.reason)
    }
}

impl std::error::Error for Broken {}

/// The trap's own text and the function that it happened in.
fn trap_text(error: &wasmtime::Error) -> Option<String> {
    let text = match error.downcast_ref::<Trap>()? {
        Trap::StackOverflow => "the call stack is exhausted".to_owned(),
        // Most languages keep a stack of their own at the memory's lower end.
        Trap::MemoryOutOfBounds => {
            "access beyond the memory's end: a bad pointer, or an exhausted stack".to_owned()
        }
        Trap::UnreachableCodeReached => "the plugin stopped itself (wasm `unreachable`)".to_owned(),
        trap => trap.to_string(),
    };
    let frame = error.downcast_ref::<WasmBacktrace>().and_then(|trace| trace.frames().first());
    let function = frame.and_then(|frame| frame.func_name());
    Some(match function {
        Some(function) => format!("{text}, in {function}"),
        None => text,
    })
}

/// The end of what the guest wrote to stderr during this message.
#[derive(Default)]
pub(super) struct LastWords {
    // Held for one copy of at most a few KiB, never across an await.
    text: Mutex<String>,
}

impl LastWords {
    /// Notes a line, no longer than a line of the log.
    pub(super) fn note(&self, line: &str) {
        let mut text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        if text.len() + line.len() > LAST_WORDS_BYTES_MAX {
            text.clear();
        }
        text.push_str(line);
        text.push('\n');
    }

    /// Forgets everything: a new message begins.
    pub(super) fn clear(&self) {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The line that most likely says why the guest ended; none when it said nothing.
    fn take(&self) -> Option<String> {
        let text = std::mem::take(&mut *self.text.lock().unwrap_or_else(PoisonError::into_inner));
        telling_line(&text)
    }
}

/// A panic's message where one is known by its words (Rust, Go, Zig), else the last line that is not advice.
fn telling_line(text: &str) -> Option<String> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut last = None;
    while let Some(line) = lines.next() {
        if line.contains(" panicked at ") {
            let message = lines.next().filter(|next| !next.starts_with("note: ")).unwrap_or_default();
            return Some(format!("{line} {message}").trim_end().to_owned());
        }
        if ["panic:", "fatal error:"].iter().any(|start| line.starts_with(start)) {
            return Some(line.to_owned());
        }
        if !line.starts_with("note: ") {
            last = Some(line);
        }
    }
    last.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_story_is_told_in_part() {
        let words = LastWords::default();
        let story = "x".repeat(LAST_WORDS_BYTES_MAX / 3);
        ["early words", "thread 'x' panicked at y:", &story, "note: more"]
            .iter()
            .for_each(|line| words.note(line));
        assert!(words.take().is_some_and(|said| said.starts_with("thread 'x' panicked at y: xxx")));
    }

    #[test]
    fn the_telling_line_is_the_panic_not_the_advice() {
        let rust = "hello\n\nthread '<unnamed>' (1) panicked at src/lib.rs:7:5:\nno such order\nnote: run with `RUST_BACKTRACE=1`";
        let said = telling_line(rust).unwrap();
        assert_eq!(said, "thread '<unnamed>' (1) panicked at src/lib.rs:7:5: no such order");
        let silent = "thread 'main' panicked at src/lib.rs:7:5:\n\nnote: run with `RUST_BACKTRACE=1`";
        assert_eq!(telling_line(silent).unwrap(), "thread 'main' panicked at src/lib.rs:7:5:");
        assert_eq!(telling_line("panic: nil map\n\ngoroutine 1 [running]:").unwrap(), "panic: nil map");
        assert_eq!(telling_line("Traceback:\n  File x\nValueError: bad\n").unwrap(), "ValueError: bad");
        assert_eq!(telling_line("\n"), None);
    }
}
