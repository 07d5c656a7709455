//! The routes, and who may use them.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sha2::{Digest, Sha256};

use super::exposition;
use super::problem::Problem;
use crate::pipeline::control::Seat;

/// Every route, behind the token if there is one. `/healthz` and `/readyz` ask for none: what looks at them
/// (a supervisor, a load balancer) rarely can keep a secret.
pub(super) fn router(seats: Vec<Arc<Seat>>, token: Option<&str>) -> Router {
    let seats: Arc<[Arc<Seat>]> = seats.into();
    let open = Router::new().route("/healthz", get(healthz)).route("/readyz", get(readyz));
    let mut guarded = Router::new().route("/metrics", get(metrics));
    if let Some(token) = token {
        let expected: Arc<[u8]> = Sha256::digest(token).to_vec().into();
        let guard = move |request, next| authorize(expected.clone(), request, next);
        guarded = guarded.layer(axum::middleware::from_fn(guard));
    }
    open.merge(guarded).fallback(unknown).method_not_allowed_fallback(wrong_method).with_state(seats)
}

async fn healthz() -> &'static str {
    "ok\n"
}

async fn readyz(State(seats): State<Arc<[Arc<Seat>]>>) -> Response {
    let reasons: Vec<String> = seats
        .iter()
        .filter_map(|seat| {
            seat.state().not_ready().map(|why| format!("plugin `{}`: {why}\n", seat.plugin.name))
        })
        .collect();
    match reasons.is_empty() {
        true => "ready\n".into_response(),
        false => (StatusCode::SERVICE_UNAVAILABLE, reasons.concat()).into_response(),
    }
}

async fn metrics(State(seats): State<Arc<[Arc<Seat>]>>) -> Result<Response, Problem> {
    let text = exposition::text(seats).map_err(|error| Problem {
        status: StatusCode::INTERNAL_SERVER_ERROR,
        detail: format!("failed to write the metrics: {error}"),
    })?;
    Ok(([(header::CONTENT_TYPE, exposition::CONTENT_TYPE)], text).into_response())
}

async fn unknown(request: Request) -> Problem {
    let detail = format!("there is nothing at `{}`", request.uri().path());
    Problem { status: StatusCode::NOT_FOUND, detail }
}

async fn wrong_method(request: Request) -> Problem {
    let detail = format!("`{}` does not answer {}", request.uri().path(), request.method());
    Problem { status: StatusCode::METHOD_NOT_ALLOWED, detail }
}

/// Lets a request with the right bearer token through. Both tokens are hashed before they are compared, so how long
/// the comparison takes tells nothing about the right one.
async fn authorize(expected: Arc<[u8]>, request: Request, next: Next) -> Response {
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    if given.is_some_and(|token| Sha256::digest(token)[..] == expected[..]) {
        return next.run(request).await;
    }
    let detail = "send the admin token as `Authorization: Bearer TOKEN`".to_owned();
    let mut response = Problem { status: StatusCode::UNAUTHORIZED, detail }.into_response();
    response.headers_mut().insert(header::WWW_AUTHENTICATE, axum::http::HeaderValue::from_static("Bearer"));
    response
}
