//! What is asked of the host from the live view: one thing after the other, on a thread of its own, so that a slow answer
//! never holds up the keys.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use anyhow::Context as _;
use serde_json::json;

use super::super::budget;
use super::super::status;
use super::super::words::one_line;
use super::News;
use crate::client::{Client, Error};

/// Something to ask of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// Pause the plugin, or let it go on.
    Pause(String, bool),
    /// Change one key of its budget to what was typed.
    Budget(String, &'static str, String),
    /// All that is known of it.
    Page(String),
}

/// Starts; what is sent to it is done, and told.
pub(super) fn start(client: Arc<Client>, to: Sender<News>) -> anyhow::Result<Sender<Ask>> {
    let (asks, asked) = channel();
    let work = move || {
        for ask in asked {
            if to.send(done(&client, ask)).is_err() {
                return;
            }
        }
    };
    thread::Builder::new().name("hands".to_owned()).spawn(work).context("failed to start a thread")?;
    Ok(asks)
}

fn done(client: &Client, ask: Ask) -> News {
    let why = |error: Error| one_line(&error.to_string());
    match ask {
        Ask::Pause(name, pause) => {
            let said = format!("`{name}` {}", if pause { "is paused" } else { "goes on" });
            News::Done(client.pause(&name, pause).map(|()| said).map_err(why))
        }
        Ask::Budget(name, key, typed) => {
            let patched = client.patch_budget(&name, &json!({ key: budget::value(key, &typed) }));
            News::Done(patched.map(|_| format!("{key} of `{name}` is {typed}")).map_err(why))
        }
        Ask::Page(name) => {
            let lines = status::full(client, &name, None).map_err(why);
            News::Page(name, lines)
        }
    }
}
