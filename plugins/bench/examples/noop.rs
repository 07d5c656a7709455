//! Handles every message and sends nothing: what the host itself costs.

use bench::{Failure, Guest, Message, Output};

struct Plugin;
bench::bindings::export!(Plugin with_types_in bench::bindings);

impl Guest for Plugin {
    fn handle_message(_: Message) -> Result<Vec<Output>, Failure> {
        Ok(vec![])
    }
}
