//! Server-sent events: all plugins, once a second.

use std::io::{BufRead as _, BufReader, Read as _};

use ureq::{Body, BodyReader};

use super::{ANSWER_BYTES_MAX, EVENT_MAX, Error, Target};
use crate::api;

/// The events of a host, one after the other. It ends with an error when the connection does.
pub struct Events {
    lines: BufReader<BodyReader<'static>>,
    target: Target,
}

impl Events {
    pub(super) fn new(body: Body, target: Target) -> Self {
        Self { lines: BufReader::new(body.into_reader()), target }
    }

    fn read(&mut self) -> Result<api::Plugins, ureq::Error> {
        let mut event = Event::default();
        loop {
            let mut line = Vec::new();
            let length = (&mut self.lines).take(ANSWER_BYTES_MAX).read_until(b'\n', &mut line)?;
            if length == 0 {
                return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
            }
            if let Some(data) = event.line(&String::from_utf8_lossy(&line)) {
                let plugins = serde_json::from_str(&data);
                return plugins.map_err(|error| {
                    std::io::Error::new(
                        std::io::ErrorKind::InvalidData,
                        format!("an event cannot be read: {error}"),
                    )
                    .into()
                });
            }
        }
    }
}

impl Iterator for Events {
    type Item = Result<api::Plugins, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.read().map_err(|error| Error::of(error, &self.target, EVENT_MAX)))
    }
}

/// What has been read of one event.
#[derive(Default)]
struct Event {
    data: Option<String>,
}

impl Event {
    /// Takes one line, with or without its end; returns the event's data when it is complete. Comments and fields other
    /// than `data` are passed over.
    fn line(&mut self, line: &str) -> Option<String> {
        let line = line.trim_end_matches(['\r', '\n']);
        if line.is_empty() {
            return self.data.take();
        }
        if let Some(("data", value)) = line.split_once(':') {
            let value = value.strip_prefix(' ').unwrap_or(value);
            match &mut self.data {
                Some(data) => data.extend(["\n", value]),
                None => self.data = Some(value.to_owned()),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(text: &str) -> Vec<String> {
        let mut event = Event::default();
        text.split_inclusive('\n').filter_map(|line| event.line(line)).collect()
    }

    #[test]
    fn events_end_with_an_empty_line() {
        assert_eq!(events("data: a\n\ndata:b\r\n\r\ndata: half"), ["a", "b"]);
        assert_eq!(events("data: one\ndata: two\n\n"), ["one\ntwo"]);
        assert_eq!(events(": still here\n\nid: 7\nevent: x\ndata: a:b\n\n"), ["a:b"]);
    }
}
