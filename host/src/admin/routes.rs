//! The routes, and who may use them.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::exposition::{self, Format};
use super::problem::Problem;
use crate::pipeline::control::Seat;

/// What answers without the token: a supervisor or load balancer that looks there rarely can keep a secret.
const OPEN: [&str; 2] = ["/healthz", "/readyz"];

/// Every route, and everything that is none, behind the token if there is one.
pub(super) fn router(seats: Vec<Arc<Seat>>, token: Option<&str>) -> Router {
    let seats: Arc<[Arc<Seat>]> = seats.into();
    let routes = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .with_state(seats);
    let Some(token) = token else { return routes };
    let expected: Arc<[u8]> = Sha256::digest(token).to_vec().into();
    let guard = move |request, next| authorize(expected.clone(), request, next);
    routes.layer(axum::middleware::from_fn(guard))
}

async fn healthz() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

async fn readyz(State(seats): State<Arc<[Arc<Seat>]>>) -> Result<Json<Value>, Problem> {
    let reasons: Vec<String> = seats
        .iter()
        .filter_map(|seat| {
            seat.state().not_ready().map(|why| format!("plugin `{}`: {why}", seat.plugin.name))
        })
        .collect();
    if reasons.is_empty() {
        return Ok(Json(json!({ "status": "ready" })));
    }
    Err(Problem { status: StatusCode::SERVICE_UNAVAILABLE, detail: reasons.join("\n") })
}

async fn metrics(State(seats): State<Arc<[Arc<Seat>]>>, headers: HeaderMap) -> Result<Response, Problem> {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let format = Format::of(accept);
    let text = exposition::text(seats, format).map_err(|error| Problem {
        status: StatusCode::INTERNAL_SERVER_ERROR,
        detail: format!("failed to write the metrics: {error}"),
    })?;
    Ok(([(header::CONTENT_TYPE, format.content_type())], text).into_response())
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
    if OPEN.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| bearer(value.as_bytes()));
    if given.is_some_and(|token| Sha256::digest(token)[..] == expected[..]) {
        return next.run(request).await;
    }
    let detail = "send the admin token as `Authorization: Bearer TOKEN`".to_owned();
    let mut response = Problem { status: StatusCode::UNAUTHORIZED, detail }.into_response();
    response.headers_mut().insert(header::WWW_AUTHENTICATE, axum::http::HeaderValue::from_static("Bearer"));
    response
}

/// The token of a header's value; the scheme's name may be written in any case.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token)
}
