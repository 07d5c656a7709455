//! Who may send a request: whoever has the token; and without one, nobody's page but ours.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use super::problem::Problem;
use super::{dashboard, routes};

/// What is asked of a request before it is answered.
#[derive(Clone, Debug)]
pub(super) enum Guard {
    /// The token with this hash.
    Token(Arc<[u8]>),
    /// Nothing of programs: the listener is on loopback, so whoever reaches it is on this machine. But so is a browser
    /// that shows pages of others.
    Page,
}

impl Guard {
    pub(super) fn new(token: Option<&str>) -> Self {
        token.map_or(Self::Page, |token| Self::Token(Sha256::digest(token).to_vec().into()))
    }

    /// Lets a request through, or says why not.
    pub(super) async fn pass(self, request: Request, next: Next) -> Response {
        let refused = match &self {
            Self::Token(_) if routes::is_open(request.uri().path()) => None,
            Self::Token(expected) => (!has_token(request.headers(), expected)).then(|| no_token(&request)),
            Self::Page => is_foreign(request.method(), request.headers()).then(|| {
                let detail =
                    "a page of another site may not change anything here; set `admin.token` if this is yours";
                Problem::new(StatusCode::FORBIDDEN, detail).into_response()
            }),
        };
        match refused {
            Some(refusal) => refusal,
            None => next.run(request).await,
        }
    }
}

/// Tells browsers what they must not do with an answer: show it inside a page of another site, whose visitors would press
/// buttons that they do not see; take it for something else than it is; keep it.
pub(super) async fn seal(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A browser gets the page, which asks for the token.
fn no_token(request: &Request) -> Response {
    let accept = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let refusal = Problem::unauthorized().into_response();
    if request.uri().path() != "/" || !accept.is_some_and(|accept| accept.contains("text/html")) {
        return refusal;
    }
    let mut page = dashboard::page().into_response();
    *page.status_mut() = refusal.status();
    let asks = refusal.headers().get(header::WWW_AUTHENTICATE).cloned();
    page.headers_mut().extend(asks.map(|asks| (header::WWW_AUTHENTICATE, asks)));
    page
}

/// Both tokens are hashed before they are compared, so how long the comparison takes tells nothing about the right one.
fn has_token(headers: &HeaderMap, expected: &[u8]) -> bool {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| bearer(value.as_bytes()));
    given.is_some_and(|token| Sha256::digest(token)[..] == *expected)
}

/// The token of a header's value; the scheme's name may be written in any case.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token)
}

/// Whether a browser sends this for a page that is not ours. It says where the page is from whenever something is to be
/// changed. A name that somebody else has pointed at this machine makes a foreign page look like ours, so only names
/// that nobody else can have are.
fn is_foreign(method: &Method, headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return false };
    let text = |value: &HeaderValue| value.to_str().unwrap_or_default().to_owned();
    let (origin, host) = (text(origin), headers.get(header::HOST).map(text).unwrap_or_default());
    let is_of_host = origin.split_once("://").is_some_and(|(_, from)| from.eq_ignore_ascii_case(&host));
    let is_ours = is_of_host && is_this_machine(&host);
    !is_ours && !method.is_safe()
}

/// Whether a host, with or without a port, is an address or a name that is always this machine's.
fn is_this_machine(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_page_may_change_anything_and_programs_are_no_pages() {
        let ask = |method: Method, origin: Option<&str>, host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            headers.extend(origin.map(|origin| (header::ORIGIN, origin.parse().unwrap())));
            !is_foreign(&method, &headers)
        };
        assert!(ask(Method::POST, None, "anything"));
        assert!(ask(Method::GET, Some("http://evil.example"), "127.0.0.1:9650"));
        for host in ["127.0.0.1:9650", "localhost:9650", "[::1]:9650", "LOCALHOST", "192.168.1.2:80"] {
            assert!(ask(Method::PATCH, Some(&format!("http://{host}")), host), "{host}");
        }
        for (origin, host) in [
            ("http://evil.example", "127.0.0.1:9650"),
            ("http://127.0.0.1:3000", "127.0.0.1:9650"),
            ("http://rebound.example:9650", "rebound.example:9650"),
            ("null", "127.0.0.1:9650"),
            ("", ""),
        ] {
            assert!(!ask(Method::POST, Some(origin), host), "{origin} {host}");
        }
    }
}
