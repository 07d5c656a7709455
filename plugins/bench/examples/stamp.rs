//! Sends one output for every message: the wall clock at its start, in nanoseconds since the Unix epoch, as text.

use std::time::SystemTime;

use bench::{Failure, Guest, Message, Output};

struct Plugin;
bench::bindings::export!(Plugin with_types_in bench::bindings);

impl Guest for Plugin {
    fn handle_message(message: Message) -> Result<Vec<Output>, Failure> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.map_err(|error| Failure::Reject(format!("the clock is before 1970: {error}")))?;
        let payload = Some(now.as_nanos().to_string().into_bytes());
        Ok(vec![Output { topic: None, key: message.key, payload, headers: Vec::new() }])
    }
}
