//! What a guest says becomes log lines of its plugin: stdout at level info, stderr at level warn (it is where panics
//! go), `wasi:logging` at its own levels; target `gristmill::plugin`, fields `plugin` and `stream`.

use std::io;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;
use tracing::{debug, error, info, trace, warn};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use super::broken::LastWords;
use super::guest::Guest;
use crate::bindings::logging::{self, Level};
use crate::log_limit::LogLimit;

/// Most bytes of a line; what is longer is cut and says so.
const LOG_LINE_BYTES_MAX: usize = 4 * 1024;

/// Lines a second of one plugin: what a person can still read, and no disk fears.
const LINES_PER_SECOND: NonZeroU32 = NonZeroU32::MIN.saturating_add(99);

/// Lines that may come at once: a few stack traces.
const LINES_BURST: NonZeroU32 = NonZeroU32::MIN.saturating_add(199);

/// Bytes that a guest may hand over in one write: more than one line is cut to anyway.
const WRITE_BYTES_MAX: usize = 64 * 1024;

/// The log of one plugin, shared by all its instances.
pub(super) struct PluginLog {
    plugin: Arc<str>,
    limit: Arc<LogLimit>,
}

impl PluginLog {
    pub(super) fn new(plugin: Arc<str>) -> Self {
        Self { plugin, limit: LogLimit::new(LINES_PER_SECOND, LINES_BURST) }
    }

    /// Says something of the plugin in the host's own words, under the same limit as the plugin's.
    pub(super) fn host(&self, line: &str) {
        self.line(Level::Warn, "host", line);
    }

    /// Writes one line, unless the plugin has said too much lately; how many lines were dropped is said a second later.
    fn line(&self, level: Level, stream: &str, line: &str) {
        let name = self.plugin.clone();
        let tell = move |lines| {
            warn!(target: "gristmill::plugin", plugin = &*name, lines, "log lines were dropped: too many a second");
        };
        if !self.limit.allow(tell) {
            return;
        }
        let plugin = &*self.plugin;
        match level {
            Level::Trace => trace!(target: "gristmill::plugin", plugin, stream, "{line}"),
            Level::Debug => debug!(target: "gristmill::plugin", plugin, stream, "{line}"),
            Level::Info => info!(target: "gristmill::plugin", plugin, stream, "{line}"),
            Level::Warn => warn!(target: "gristmill::plugin", plugin, stream, "{line}"),
            Level::Error | Level::Critical => error!(target: "gristmill::plugin", plugin, stream, "{line}"),
        }
    }
}

/// One of an instance's two streams; clones write to the same line.
#[derive(Clone)]
pub(super) struct Stream {
    log: Arc<PluginLog>,
    /// Where stderr's lines are noted for the reason of a trap; none for stdout.
    last_words: Option<Arc<LastWords>>,
    // Held while bytes are looked through, never across an await.
    line: Arc<Mutex<Line>>,
}

impl Stream {
    pub(super) fn stdout(log: Arc<PluginLog>) -> Self {
        Self { log, last_words: None, line: Arc::default() }
    }

    pub(super) fn stderr(log: Arc<PluginLog>, last_words: Arc<LastWords>) -> Self {
        Self { log, last_words: Some(last_words), line: Arc::default() }
    }

    fn take(&self, bytes: &[u8]) {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        line.take(bytes, |text| self.tell(text));
    }

    fn tell(&self, text: &str) {
        match &self.last_words {
            Some(words) => {
                words.note(text);
                self.log.line(Level::Warn, "stderr", text);
            }
            None => self.log.line(Level::Info, "stdout", text),
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // The last one writes what was begun and never ended: a guest's dying words often lack their line's end.
        if Arc::strong_count(&self.line) == 1 {
            let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
            line.end(|text| self.tell(text));
        }
    }
}

/// A line that is being written, over as many writes as it takes.
#[derive(Default)]
struct Line {
    bytes: Vec<u8>,
    cut: usize,
}

impl Line {
    fn take(&mut self, bytes: &[u8], tell: impl Fn(&str)) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let text = part.strip_suffix(b"\n").unwrap_or(part);
            let room = LOG_LINE_BYTES_MAX - self.bytes.len();
            let kept = text.len().min(room);
            self.bytes.extend_from_slice(&text[..kept]);
            self.cut += text.len() - kept;
            if part.ends_with(b"\n") {
                self.end(&tell);
            }
        }
    }

    fn end(&mut self, tell: impl Fn(&str)) {
        let text = String::from_utf8_lossy(&self.bytes);
        let text = text.trim_end();
        if self.cut > 0 {
            tell(&format!("{text}… ({} bytes more)", self.cut));
        } else if !text.is_empty() {
            tell(text);
        }
        self.bytes.clear();
        self.cut = 0;
    }
}

impl IsTerminal for Stream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Stream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Stream {
    async fn ready(&mut self) {}
}

impl OutputStream for Stream {
    fn write(&mut self, bytes: bytes::Bytes) -> StreamResult<()> {
        self.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, _cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.take(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl logging::Host for Guest {
    fn log(&mut self, level: Level, context: String, message: String) {
        let mut line = Line::default();
        let context = if context.is_empty() { "log" } else { &context };
        line.take(message.as_bytes(), |text| self.log.line(level, context, text));
        line.end(|text| self.log.line(level, context, text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn a_plugin_that_says_too_much_is_not_written() {
        let log = PluginLog::new("chatty".into());
        // Ends when the limit has bitten: a line is dropped as soon as lines come faster than they may.
        while log.limit.allow(|_| {}) {
            log.host("again");
        }
    }

    #[test]
    fn lines_come_together_over_writes_and_long_ones_are_cut() {
        let told = RefCell::new(Vec::new());
        let tell = |text: &str| told.borrow_mut().push(text.to_owned());
        let mut line = Line::default();
        line.take(b"one\ntw", tell);
        line.take(b"o\r\n\n", tell);
        line.take(&[b'x'; LOG_LINE_BYTES_MAX + 3], tell);
        line.take(b"y\n", tell);
        let told = told.take();
        assert_eq!(told[..2], ["one".to_owned(), "two".to_owned()]);
        assert!(told[2].ends_with("x… (4 bytes more)"), "{}", &told[2][LOG_LINE_BYTES_MAX - 3..]);
        assert_eq!(told.len(), 3);
    }
}
