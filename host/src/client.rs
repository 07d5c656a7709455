//! The admin API from the other side: asks a running host, and tells why there is no answer. One blocking request at a
//! time, each with time limits, over http or https. How answers look to people is the door's business.

mod error;
mod events;
mod routes;
mod target;
#[cfg(test)]
mod tests;

use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use ureq::http::{Request, Response, header};
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, Body};

pub use error::Error;
pub use events::Events;
pub use routes::{How, Question, Verdict};
pub use target::{Target, Token};

use crate::api;

/// Longest until a connection stands: a host that is there takes milliseconds, one behind a slow link a second.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// Longest for a request and its answer. The admin side answers at once, whatever its plugins do.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// Longest between two events. One is sent each second.
const EVENT_MAX: Duration = Duration::from_secs(10);

/// Largest answer, in bytes: a plugin is some 3 KiB, so that is thousands of them.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// Larger bodies wait until the host wants them: one that refuses by the head alone is then heard, rather than cut off
/// while the body is still being sent. In bytes.
const EXPECT_BYTES: usize = 1024;

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
            .max_redirects_will_error(false)
            .proxy(None)
            // The host ends connections that are idle. A request of its own each does not find out too late.
            .max_idle_connections(0)
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

    /// All plugins once a second, until the host or the connection ends; none if the host has no events, or none left, to
    /// give.
    ///
    /// # Errors
    ///
    /// As `plugins`.
    pub fn events(&self) -> Result<Option<Events>, Error> {
        let request =
            self.request(&Asked { method: "GET", path: "events".to_owned(), ..Asked::default() })?;
        let limited = self.agent.configure_request(request).timeout_per_read(Some(EVENT_MAX)).build();
        let response = self.agent.run(limited).map_err(|error| Error::of(error, &self.target, EVENT_MAX))?;
        match response.status().as_u16() {
            404 | 405 | 503 => Ok(None),
            200 if response.body().mime_type() != Some("text/event-stream") => Ok(None),
            200 => Ok(Some(Events::new(response.into_body(), self.target.clone()))),
            _ => Err(self.refusal(response)),
        }
    }

    /// Asks, and reads the answer.
    fn json<T: DeserializeOwned>(&self, asked: &Asked<'_>, limit: Duration) -> Result<T, Error> {
        let request = self.request(asked)?;
        let mut response = match asked.body {
            None if asked.method == "GET" => self.send(request, limit)?,
            body => self.send(request.map(|()| body.map_or(&[][..], |(body, _)| body)), limit)?,
        };
        if !response.status().is_success() {
            return Err(self.refusal(response));
        }
        let text = text_of(&mut response).map_err(|error| Error::of(error, &self.target, limit))?;
        serde_json::from_str(&text)
            .map_err(|error| self.strange(&format!("its answer cannot be read: {error}")))
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
            Some(token) => {
                Error::Unauthorized(format!("the token from {} cannot be sent: {error}", token.from))
            }
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
        match serde_json::from_str::<api::Problem>(&text) {
            Ok(problem) => Error::Refused { status: problem.status, detail: problem.detail },
            Err(_) => self.strange(&format!("it answers {status}")),
        }
    }

    fn strange(&self, what: &str) -> Error {
        Error::Strange(format!(
            "what is at `{}` does not answer as gristmill's admin API does: {what}",
            self.target.url
        ))
    }
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, &PLAIN).to_string()
}

fn text_of(response: &mut Response<Body>) -> Result<String, ureq::Error> {
    response.body_mut().with_config().limit(ANSWER_BYTES_MAX).lossy_utf8(true).read_to_string()
}
