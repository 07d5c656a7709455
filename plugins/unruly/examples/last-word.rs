//! Rejects every message and, as its `failure-handler`, sends what it was told to the default output: the payload, with
//! the reason in the header `reason`. The payloads `trap` and `error` make the failure handler itself fail.

use bindings::exports::gristmill::plugin::failure_handler::Guest as FailureHandler;
use bindings::exports::gristmill::plugin::handler::Guest as Handler;
use unruly::{Failure, Handled, Header, Message, Output};

mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package local:last-word;
            world plugin {
                include gristmill:plugin/processor@0.1.0;
                export gristmill:plugin/failure-handler@0.1.0;
            }
        ",
        with: { "gristmill:plugin/types@0.1.0": unruly::bindings::gristmill::plugin::types },
    });
}

struct Plugin;
bindings::export!(Plugin with_types_in bindings);

impl Handler for Plugin {
    fn handle_message(_: Message) -> Handled {
        Err(Failure::Reject("not today".into()))
    }
}

impl FailureHandler for Plugin {
    fn handle_failed(message: Message, reason: String) -> Result<Vec<Output>, String> {
        let Message { key, payload, mut headers, .. } = message;
        match payload.as_deref() {
            Some(b"trap") => unruly::trap(),
            Some(b"error") => return Err("asked for".into()),
            _ => {}
        }
        headers.push(Header { name: "reason".into(), value: Some(reason.into_bytes()) });
        Ok(vec![Output { topic: None, key, payload, headers }])
    }
}
