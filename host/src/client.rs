//! The admin API from the other side: asks a running host, and tells why there is no answer. One blocking request at a
//! time, each with time limits, over http or https. How answers look to people is the door's business.

mod error;
mod events;
mod target;
#[cfg(test)]
mod tests;

use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::http::{Request, Response, header};
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, Body};

pub use error::Error;
pub use events::Events;
pub use target::{Target, Token};

use crate::api;

/// Longest until a connection stands: a host that is there takes milliseconds, one behind a slow link a second.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// Longest for a request and its answer. The admin side answers at once, whatever its plugins do.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// Longest for a swap: a large component in a debug build compiles for a minute, and starts once before it comes in.
const SWAP_MAX: Duration = Duration::from_secs(600);

/// Longest between two events. One is sent each second.
const EVENT_MAX: Duration = Duration::from_secs(10);

/// Largest answer, in bytes: a plugin is some 3 KiB, so that is thousands of them.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// What need not be encoded in a part of a URL.
const PLAIN: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The header in which a client says who is at it.
const USER_HEADER: &str = "gristmill-user";

/// A client of one host.
#[derive(Debug)]
pub struct Client {
    target: Target,
    agent: Agent,
    user: String,
}

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

/// What is sent to the host.
#[derive(Default)]
struct Asked<'a> {
    method: &'a str,
    /// Behind `/api/v1/`, encoded.
    path: String,
    /// Names and values, not encoded yet.
    query: Vec<(&'a str, String)>,
    /// The body and its media type.
    body: Option<(&'a [u8], &'a str)>,
}

impl Client {
    /// A client of the host at `target`; `user` is who asks, as the host's log will have it.
    pub fn new(target: Target, user: &str) -> Self {
        let tls = TlsConfig::builder()
            .provider(TlsProvider::NativeTls)
            .root_certs(RootCerts::PlatformVerifier)
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            // The token goes to the host that was named, and to nobody else.
            .max_redirects(0)
            .proxy(None)
            .timeout_connect(Some(CONNECT_MAX))
            .timeout_resolve(Some(CONNECT_MAX))
            .build();
        // A header's value is visible ASCII.
        let user = user.chars().map(|letter| if letter.is_ascii_graphic() { letter } else { '?' }).collect();
        Self { target, agent: config.new_agent(), user }
    }

    /// The host that is asked.
    pub fn target(&self) -> &Target {
        &self.target
    }

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
        let answer: Value = self.json(&asked, ANSWER_MAX)?;
        let lanes = answer.get("lanes").and_then(Value::as_u64);
        lanes.ok_or_else(|| self.strange("its answer does not say how many lanes that were"))
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

    /// All plugins once a second, until the host or the connection ends; none if the host has no events to give.
    ///
    /// # Errors
    ///
    /// As `plugins`.
    pub fn events(&self) -> Result<Option<Events>, Error> {
        let request = self.request(&Asked { method: "GET", path: "events".to_owned(), ..Asked::default() })?;
        let limited = self.agent.configure_request(request).timeout_per_read(Some(EVENT_MAX)).build();
        let response = self.agent.run(limited).map_err(|error| Error::of(error, &self.target, EVENT_MAX))?;
        match response.status().as_u16() {
            404 | 405 => Ok(None),
            200 if response.body().mime_type() != Some("text/event-stream") => Ok(None),
            200 => Ok(Some(Events::new(response.into_body(), self.target.clone()))),
            _ => Err(self.refusal(response)),
        }
    }

    fn post<T: DeserializeOwned>(&self, name: &str, route: &str, limit: Duration) -> Result<T, Error> {
        self.json(&Asked { method: "POST", path: of_plugin(name, route), ..Asked::default() }, limit)
    }

    /// Asks, and reads the answer.
    fn json<T: DeserializeOwned>(&self, asked: &Asked<'_>, limit: Duration) -> Result<T, Error> {
        let mut response = match asked.body {
            None => self.send(self.request(asked)?, limit)?,
            Some((body, _)) => self.send(self.request(asked)?.map(|()| body), limit)?,
        };
        if !response.status().is_success() {
            return Err(self.refusal(response));
        }
        let text = text_of(&mut response).map_err(|error| Error::of(error, &self.target, limit))?;
        serde_json::from_str(&text).map_err(|error| self.strange(&format!("its answer cannot be read: {error}")))
    }

    fn send<B: ureq::AsSendBody>(
        &self,
        request: Request<B>,
        limit: Duration,
    ) -> Result<Response<Body>, Error> {
        let limited = self.agent.configure_request(request).timeout_global(Some(limit)).build();
        self.agent.run(limited).map_err(|error| Error::of(error, &self.target, limit))
    }

    fn request(&self, asked: &Asked<'_>) -> Result<Request<()>, Error> {
        let mut url = format!("{}/api/v1/{}", self.target.url, asked.path);
        for (index, (name, value)) in asked.query.iter().enumerate() {
            let mark = if index == 0 { '?' } else { '&' };
            url.push_str(&format!("{mark}{name}={}", encoded(value)));
        }
        let mut request = Request::builder().method(asked.method).uri(url).header(USER_HEADER, &self.user);
        if let Some(Token { secret, .. }) = &self.target.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {secret}"));
        }
        if let Some((body, media_type)) = asked.body {
            request = request.header(header::CONTENT_TYPE, media_type);
            if body.len() > EXPECT_BYTES {
                request = request.header(header::EXPECT, "100-continue");
            }
        }
        request.body(()).map_err(|error| match &self.target.token {
            // All else was made here or checked before.
            Some(token) => Error::Unauthorized(format!("the token from {} cannot be sent: {error}", token.from)),
            None => Error::Strange(error.to_string()),
        })
    }

    /// Why the host says no.
    fn refusal(&self, mut response: Response<Body>) -> Error {
        let status = response.status();
        let text = text_of(&mut response).unwrap_or_default();
        if status.as_u16() == 401 {
            return Error::Unauthorized(self.target.unauthorized());
        }
        let problem: Value = serde_json::from_str(&text).unwrap_or_default();
        match problem.get("detail").and_then(Value::as_str) {
            Some(detail) => Error::Refused { status: status.as_u16(), detail: detail.trim_end().to_owned() },
            None => self.strange(&format!("it answers {status}")),
        }
    }

    fn strange(&self, what: &str) -> Error {
        Error::Strange(format!(
            "what is at `{}` does not answer as gristmill's admin API does: {what}",
            self.target.url
        ))
    }
}

/// Larger bodies wait until the host wants them: one that refuses by the head alone is then heard, rather than cut off
/// while the body is still being sent. In bytes.
const EXPECT_BYTES: usize = 1024;

/// The path of what belongs to a plugin.
fn of_plugin(name: &str, route: &str) -> String {
    format!("plugins/{}{route}", encoded(name))
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, &PLAIN).to_string()
}

fn text_of(response: &mut Response<Body>) -> Result<String, ureq::Error> {
    response.body_mut().with_config().limit(ANSWER_BYTES_MAX).lossy_utf8(true).read_to_string()
}
