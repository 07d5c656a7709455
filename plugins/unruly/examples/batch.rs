//! Handles messages in batches by their keys. Payloads: `done` is handled at once; `flush` ends its batch; `retry`,
//! `reject` and their kin fail within the batch as `fail` does; `trap`, `loop` and `hang` take the whole batch with
//! them; `short` makes the batch answer with one result too few. Outputs say in the headers `batcher`, `batch-key`,
//! `batch-size` and `trigger` what batch they were in. Config: `batcher` ("default").

use bindings::exports::gristmill::plugin::batcher::{BatchInfo, Guest, Slot, Trigger, Verdict};
use unruly::{Failure, Handled, Header, Message, setting, wish};

mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "batch-processor",
        with: { "gristmill:plugin/types@0.1.0": unruly::bindings::gristmill::plugin::types },
    });
}

struct Plugin;
bindings::export!(Plugin with_types_in bindings);

impl Guest for Plugin {
    fn handle_message(message: Message) -> Result<Verdict, Failure> {
        let word = wish(&message).0;
        if word == "done" {
            return unruly::forward(message).map(Verdict::Done);
        }
        Ok(Verdict::Batch(Slot {
            batcher: setting("batcher").unwrap_or_else(|| "default".into()),
            key: String::from_utf8_lossy(message.key.as_deref().unwrap_or_default()).into_owned(),
            flush: word == "flush",
            payload: message.payload,
        }))
    }

    fn handle_batch(info: BatchInfo, messages: Vec<Message>) -> Vec<Handled> {
        let is_short = messages.iter().any(|message| wish(message).0 == "short");
        let mut results: Vec<Handled> = messages.into_iter().map(|message| handle(&info, message)).collect();
        if is_short {
            results.pop();
        }
        results
    }
}

fn handle(info: &BatchInfo, mut message: Message) -> Handled {
    match wish(&message).0.as_str() {
        "trap" => unruly::trap(),
        "loop" => unruly::spin(),
        "hang" => unruly::hang(),
        _ => {}
    }
    let trigger = match info.trigger {
        Trigger::Size => "size",
        Trigger::Timeout => "timeout",
        Trigger::Flush => "flush",
    };
    let mut add = |name: &str, value: &str| {
        message.headers.push(Header { name: name.into(), value: Some(value.into()) });
    };
    add("batcher", &info.batcher);
    add("batch-key", &info.key);
    add("batch-size", &info.size.to_string());
    add("trigger", trigger);
    unruly::fail(message)
}
