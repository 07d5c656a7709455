//! Plugins as they are, one message's place, pausing and resuming.

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use serde_json::json;

use super::super::desk::Desk;
use super::super::problem::Problem;
use super::super::query::{Parameter, Query};
use super::{By, Chosen};
use crate::api::{Detail, Plugins, Waiting};
use crate::message::Position;
use crate::pipeline::control::Question;

/// The parameters that say which message is meant.
pub(in crate::admin) const MESSAGE: [Parameter; 4] = [
    Parameter {
        name: "topic",
        says: "The message's topic, together with `partition` and `offset`.",
        shape: || json!({ "type": "string" }),
    },
    Parameter {
        name: "partition",
        says: "The number of its partition.",
        shape: || json!({ "type": "integer", "minimum": 0, "maximum": i32::MAX }),
    },
    Parameter {
        name: "offset",
        says: "Its offset in the partition.",
        shape: || json!({ "type": "integer", "minimum": 0, "maximum": i64::MAX }),
    },
    Parameter {
        name: "key",
        says: "Its key; any byte may be written `%XX`. Of several messages, the first that is not finished.",
        shape: || json!({ "type": "string" }),
    },
];

pub(in crate::admin) async fn all(State(desk): State<Arc<Desk>>) -> Json<Plugins> {
    Json(desk.plugins())
}

pub(in crate::admin) async fn one(State(desk): State<Arc<Desk>>, Chosen(seat): Chosen) -> Json<Detail> {
    Json(desk.detail(&seat))
}

pub(in crate::admin) async fn pause(
    State(desk): State<Arc<Desk>>,
    Chosen(seat): Chosen,
    By(by): By,
) -> Json<Detail> {
    seat.pause(&by);
    Json(desk.detail(&seat))
}

pub(in crate::admin) async fn resume(
    State(desk): State<Arc<Desk>>,
    Chosen(seat): Chosen,
    By(by): By,
) -> Json<Detail> {
    seat.resume(&by);
    Json(desk.detail(&seat))
}

pub(in crate::admin) async fn message(
    Chosen(seat): Chosen,
    RawQuery(raw): RawQuery,
) -> Result<Json<Waiting>, Problem> {
    let question = question(&Query::read(raw.as_deref(), &MESSAGE)?)?;
    Ok(Json(seat.waiting(&question)))
}

fn question(query: &Query<'_>) -> Result<Question, Problem> {
    const WHOLE: &str = "a whole number, at least `0`";
    let partition = query.parsed::<u32>("partition", WHOLE)?.map(i32::try_from);
    let offset = query.parsed::<u64>("offset", WHOLE)?.map(i64::try_from);
    match (query.text("topic")?, partition, offset, query.bytes("key")) {
        (None, None, None, Some(key)) => Ok(Question::Key(key.to_vec())),
        (Some(topic), Some(Ok(partition)), Some(Ok(offset)), None) => {
            Ok(Question::At(Position { topic: topic.into(), partition, offset }))
        }
        _ => Err(Problem::bad("expected `?topic=…&partition=…&offset=…`, or `?key=…`")),
    }
}
