//! Changing a budget while the plugin works.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};

use super::super::body;
use super::super::desk::Desk;
use super::super::problem::Problem;
use super::{By, Chosen};
use crate::api::Detail;
use crate::config::patch::{self, Room};

pub(in crate::admin) async fn change(
    State(desk): State<Arc<Desk>>,
    Chosen(seat): Chosen,
    By(by): By,
    request: Request,
) -> Result<Json<Detail>, Problem> {
    let (head, body) = request.into_parts();
    let wanted = body::object(&head.headers, body).await?;
    // From here on nothing is waited for, so that of two who change the same budget each sees what the other did.
    let room = Room { memory_bytes_min: seat.memory_min(), ..Room::UNBOUNDED };
    let patched = patch::patch(&seat.plugin, &seat.budget(), &wanted, room).map_err(Problem::keys)?;
    if !patched.what.is_empty() {
        seat.change_budget(patched.budget, patched.what, &by);
    }
    Ok(Json(desk.detail(&seat)))
}
