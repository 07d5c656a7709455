//! Sends every message on as it came: one output of the same size.

use bench::{Failure, Guest, Message, Output};

struct Plugin;
bench::bindings::export!(Plugin with_types_in bench::bindings);

impl Guest for Plugin {
    fn handle_message(message: Message) -> Result<Vec<Output>, Failure> {
        let Message { key, payload, headers, .. } = message;
        Ok(vec![Output { topic: None, key, payload, headers }])
    }
}
