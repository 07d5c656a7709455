//! Changing a budget while the plugin works.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};

use super::super::body;
use super::super::desk::Desk;
use super::super::problem::Problem;
use super::{By, Chosen};
use crate::api::Detail;

pub(in crate::admin) async fn change(
    State(desk): State<Arc<Desk>>,
    Chosen(seat): Chosen,
    By(by): By,
    request: Request,
) -> Result<Json<Detail>, Problem> {
    let (head, body) = request.into_parts();
    let wanted = body::object(&head.headers, body).await?;
    desk.roster.change_budget(&seat, &wanted, &by).map_err(Problem::keys)?;
    Ok(Json(desk.detail(&seat)))
}
