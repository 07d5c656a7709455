//! Errors as RFC 9457 problem details.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::api::{self, KeyProblem};
use crate::config;

/// What went wrong with a request, as the client reads it.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    /// What was wrong and what would be right.
    detail: String,
    problems: Vec<KeyProblem>,
    header: Option<(HeaderName, &'static str)>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), problems: Vec::new(), header: None }
    }

    /// Adds how to put it right.
    pub(super) fn hint(mut self, hint: impl std::fmt::Display) -> Self {
        self.detail += &format!("\nhint: {hint}");
        self
    }

    /// The client's mistake.
    pub(super) fn bad(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// Too many do the same at the moment.
    pub(super) fn busy(detail: impl Into<String>) -> Self {
        /// What is busy is so for seconds.
        const RETRY_AFTER_SECONDS: &str = "5";
        let header = Some((header::RETRY_AFTER, RETRY_AFTER_SECONDS));
        Self { header, ..Self::new(StatusCode::SERVICE_UNAVAILABLE, detail) }
    }

    /// No token, or a wrong one.
    pub(super) fn unauthorized() -> Self {
        let header = Some((header::WWW_AUTHENTICATE, "Bearer"));
        let detail = "send the admin token as `Authorization: Bearer TOKEN`";
        Self { header, ..Self::new(StatusCode::UNAUTHORIZED, detail) }
    }

    /// Everything that is wrong with the keys of a body.
    pub(super) fn keys(problems: Vec<config::problem::Problem>) -> Self {
        let problem = |problem: config::problem::Problem| KeyProblem {
            key: problem.key,
            what: problem.what,
            found: problem.found,
            hint: problem.hint,
        };
        let problems: Vec<_> = problems.into_iter().map(problem).collect();
        let words: Vec<_> = problems.iter().map(words).collect();
        Self { problems, ..Self::bad(words.join("\n")) }
    }
}

/// A problem with a key in words, for those who show the detail alone.
fn words(problem: &KeyProblem) -> String {
    let mut words = format!("`{}`: {}", problem.key, problem.what);
    if let Some(found) = &problem.found {
        words += &format!(", found: {found}");
    }
    if let Some(hint) = &problem.hint {
        words += &format!("\nhint: {hint}");
    }
    words
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = api::Problem {
            kind: "about:blank".to_owned(),
            title: self.status.canonical_reason().unwrap_or("error").to_owned(),
            status: self.status.as_u16(),
            detail: self.detail,
            problems: self.problems,
        };
        let mut response = (self.status, Json(body)).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
            .headers_mut()
            .extend(self.header.map(|(name, value)| (name, HeaderValue::from_static(value))));
        response
    }
}
