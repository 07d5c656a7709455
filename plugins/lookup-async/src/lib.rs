//! Asks two slow services about each message, both at once, and sends on what they said.
//!
//! An instance handles many messages at a time: while this one waits, others go on. The services are made of waiting
//! only, so that the example runs anywhere; put your own asynchronous calls in the place of `look_up`.
//!
//! Config: `customer_ms` (20) and `stock_ms` (30), how long each service takes.

use exports::gristmill::plugin::async_handler::{Failure, Guest, Message, Output};
use futures_util::future::try_join;
use gristmill::plugin::types::{Header, Retry};
use wasi::{clocks::monotonic_clock::wait_for, config::store};

wit_bindgen::generate!({ world: "local:lookup-async/plugin", path: ["../../wit", "wit"], generate_all });

struct Lookup;
export!(Lookup);

impl Guest for Lookup {
    async fn handle_message(message: Message) -> Result<Vec<Output>, Failure> {
        // As long as the slower of the two, not as long as both.
        let (customer, stock) = try_join(look_up("customer", 20), look_up("stock", 30)).await?;
        let mut headers = message.headers;
        headers.extend([customer, stock]);
        Ok(vec![Output { topic: None, key: message.key, payload: message.payload, headers }])
    }
}

/// Stands for a call to a service: takes its time, then answers with a header.
async fn look_up(service: &str, default_ms: u64) -> Result<Header, Failure> {
    let ms = setting(&format!("{service}_ms"))?.unwrap_or(default_ms);
    wait_for(ms.saturating_mul(1_000_000)).await;
    Ok(Header { name: service.into(), value: Some(format!("found in {ms} ms").into_bytes()) })
}

fn setting(key: &str) -> Result<Option<u64>, Failure> {
    let text = store::get(key).map_err(|error| {
        Failure::Retry(Retry { reason: format!("config `{key}`: {error:?}"), after_ms: None })
    })?;
    text.map(|text| {
        text.parse().map_err(|_| Failure::Reject(format!("config `{key}` is not a whole number: `{text}`")))
    })
    .transpose()
}
