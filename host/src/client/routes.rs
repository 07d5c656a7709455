//! What a host may be asked: one method for each route of the admin API.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{ANSWER_MAX, Asked, Client, Error, encoded};
use crate::api;

/// Longest for a swap: a large component in a debug build compiles for a minute, and starts once before it comes in.
const SWAP_MAX: Duration = Duration::from_secs(600);

/// How a component is to come in.
#[derive(Clone, Debug, Default)]
pub struct How {
    /// The share of the lanes that it handles at first, as it was typed.
    pub canary: Option<String>,
    /// It only sees copies of the messages.
    pub shadow: bool,
    /// It may import what the old one does not.
    pub accept_new_imports: bool,
    /// Answer as soon as the swap has begun.
    pub no_wait: bool,
}

/// Which message is asked for.
#[derive(Clone, Debug)]
pub enum Question {
    /// The one that stands here.
    At(api::Place),
    /// The first unfinished one of this key.
    Key(String),
}

/// What is to become of parked lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Their first message is tried again.
    Release,
    /// Their first message is given up.
    Skip,
}

impl Client {
    /// All plugins: `api::Plugins`, or the JSON as it is.
    ///
    /// # Errors
    ///
    /// As every request here: the host is not there, does not know the token, or says no.
    pub fn plugins<T: DeserializeOwned>(&self) -> Result<T, Error> {
        self.json(&Asked { method: "GET", path: "plugins".to_owned(), ..Asked::default() }, ANSWER_MAX)
    }

    /// One plugin: `api::Detail`, or the JSON as it is.
    ///
    /// # Errors
    ///
    /// As `plugins`.
    pub fn plugin<T: DeserializeOwned>(&self, name: &str) -> Result<T, Error> {
        self.json(&Asked { method: "GET", path: of_plugin(name, ""), ..Asked::default() }, ANSWER_MAX)
    }

    /// Changes the keys of a budget that stand in `keys`, all or none of them.
    ///
    /// # Errors
    ///
    /// As `plugins`.
    pub fn patch_budget(&self, name: &str, keys: &Value) -> Result<api::Detail, Error> {
        let body = keys.to_string();
        let body = Some((body.as_bytes(), "application/json"));
        let asked = Asked { method: "PATCH", path: of_plugin(name, "/budget"), body, ..Asked::default() };
        self.json(&asked, ANSWER_MAX)
    }

    /// Pauses a plugin, or lets it go on.
    ///
    /// # Errors
    ///
    /// As `plugins`.
    pub fn pause(&self, name: &str, pause: bool) -> Result<(), Error> {
        self.post(name, if pause { "/pause" } else { "/resume" }, ANSWER_MAX).map(|_: Value| ())
    }

    /// Puts a component in the place of the one that runs.
    ///
    /// # Errors
    ///
    /// As `plugins`; what is wrong with the component is a refusal.
    pub fn swap(&self, name: &str, wasm: &[u8], how: &How) -> Result<api::Swapped, Error> {
        let canary = how.canary.iter().map(|share| ("canary", share.clone()));
        let flags = [
            ("shadow", how.shadow, "true"),
            ("accept_new_imports", how.accept_new_imports, "true"),
            ("wait", how.no_wait, "false"),
        ];
        let set = flags.into_iter().filter(|(_, set, _)| *set);
        let query = canary.chain(set.map(|(flag, _, value)| (flag, value.to_owned()))).collect();
        let body = Some((wasm, "application/wasm"));
        self.json(&Asked { method: "PUT", path: of_plugin(name, "/component"), query, body }, SWAP_MAX)
    }

    /// Lets the version that is being tried take over.
    ///
    /// # Errors
    ///
    /// As `plugins`; 409 when none is.
    pub fn promote(&self, name: &str) -> Result<api::Swapped, Error> {
        self.post(name, "/promote", SWAP_MAX)
    }

    /// Ends a trial, or returns to the version before.
    ///
    /// # Errors
    ///
    /// As `plugins`; 409 when there is nothing to return to.
    pub fn rollback(&self, name: &str) -> Result<api::Swapped, Error> {
        self.post(name, "/rollback", SWAP_MAX)
    }

    /// A plugin's parked lanes: `api::ParkedLanes`, or the JSON as it is.
    ///
    /// # Errors
    ///
    /// As `plugins`.
    pub fn parked<T: DeserializeOwned>(&self, name: &str) -> Result<T, Error> {
        self.json(&Asked { method: "GET", path: of_plugin(name, "/parked"), ..Asked::default() }, ANSWER_MAX)
    }

    /// Releases or skips parked lanes, and tells how many.
    ///
    /// # Errors
    ///
    /// As `plugins`.
    pub fn unpark(&self, name: &str, verdict: Verdict, which: &api::Positions) -> Result<u64, Error> {
        let route = match verdict {
            Verdict::Release => "/parked/release",
            Verdict::Skip => "/parked/skip",
        };
        let body = serde_json::to_vec(which).map_err(|error| Error::Strange(error.to_string()))?;
        let body = Some((&body[..], "application/json"));
        let asked = Asked { method: "POST", path: of_plugin(name, route), body, ..Asked::default() };
        let api::Lanes { lanes } = self.json(&asked, ANSWER_MAX)?;
        Ok(lanes)
    }

    /// Where a message is on its way, and what it waits for: `api::Waiting`, or the JSON as it is.
    ///
    /// # Errors
    ///
    /// As `plugins`.
    pub fn waiting<T: DeserializeOwned>(&self, name: &str, question: &Question) -> Result<T, Error> {
        let query = match question {
            Question::At(api::Place { topic, partition, offset }) => vec![
                ("topic", topic.clone()),
                ("partition", partition.to_string()),
                ("offset", offset.to_string()),
            ],
            Question::Key(key) => vec![("key", key.clone())],
        };
        let path = of_plugin(name, "/message");
        self.json(&Asked { method: "GET", path, query, ..Asked::default() }, ANSWER_MAX)
    }

    fn post<T: DeserializeOwned>(&self, name: &str, route: &str, limit: Duration) -> Result<T, Error> {
        self.json(&Asked { method: "POST", path: of_plugin(name, route), ..Asked::default() }, limit)
    }
}

/// The path of what belongs to a plugin.
fn of_plugin(name: &str, route: &str) -> String {
    format!("plugins/{}{route}", encoded(name))
}
