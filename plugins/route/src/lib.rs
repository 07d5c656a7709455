//! Sends each event to the topic that its `type` is mapped to; drops events nobody asked for.
//!
//! Config: one entry per type, naming a topic, e.g. `{ click = "clicks", order = "orders" }`. An entry with an empty
//! name drops that type; types without an entry go to the topic under `*`, or are dropped when there is none.
//! Tombstones have no type: they go to the plugin's default output. The topics must be in `allow.produce`.

use exports::gristmill::plugin::handler::{Failure, Guest, Message, Output};
use gristmill::plugin::types::Retry;
use serde_json::Value;
use wasi::config::store;

wit_bindgen::generate!({ world: "local:route/plugin", path: ["../../wit", "wit"], generate_all });

struct Route;
export!(Route);

impl Guest for Route {
    fn handle_message(message: Message) -> Result<Vec<Output>, Failure> {
        let topic = match &message.payload {
            None => None,
            Some(payload) => match topic_of(payload)? {
                Some(topic) => Some(topic),
                // No outputs and no failure: the message is handled, and that was all.
                None => return Ok(vec![]),
            },
        };
        Ok(vec![Output { topic, key: message.key, payload: message.payload, headers: message.headers }])
    }
}

/// Where an event goes; none to drop it.
fn topic_of(payload: &[u8]) -> Result<Option<String>, Failure> {
    let event: Value =
        serde_json::from_slice(payload).map_err(|error| Failure::Reject(format!("not JSON: {error}")))?;
    let kind = event
        .get("type")
        .and_then(Value::as_str)
        .ok_or_else(|| Failure::Reject("`type` is missing or not a string".into()))?;
    let topic = match setting(kind)? {
        Some(topic) => Some(topic),
        None => setting("*")?,
    };
    Ok(topic.filter(|topic| !topic.is_empty()))
}

fn setting(key: &str) -> Result<Option<String>, Failure> {
    store::get(key).map_err(|error| {
        Failure::Retry(Retry { reason: format!("config `{key}`: {error:?}"), after_ms: None })
    })
}
