//! What supervisors and scrapers look at.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::desk::Desk;
use super::exposition::{self, Format};
use super::problem::Problem;
use crate::api::Status;

pub(super) async fn healthz() -> Json<Status> {
    Json(Status { status: "ok".to_owned() })
}

pub(super) async fn readyz(State(desk): State<Arc<Desk>>) -> Result<Json<Status>, Problem> {
    let reasons: Vec<String> = desk
        .seats()
        .iter()
        .filter_map(|seat| {
            seat.state().not_ready().map(|why| format!("plugin `{}`: {why}", seat.plugin.name))
        })
        .collect();
    if reasons.is_empty() {
        return Ok(Json(Status { status: "ready".to_owned() }));
    }
    Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n")))
}

pub(super) async fn metrics(State(desk): State<Arc<Desk>>, headers: HeaderMap) -> Result<Response, Problem> {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let format = Format::of(accept);
    let text = exposition::text(desk.seats(), format).map_err(|error| {
        let detail = format!("failed to write the metrics: {error}");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
    })?;
    Ok(([(header::CONTENT_TYPE, format.content_type())], text).into_response())
}
