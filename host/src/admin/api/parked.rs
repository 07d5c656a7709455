//! Parked lanes: listed, released, skipped.

use axum::Json;
use axum::extract::Request;
use serde_json::Value;

use super::super::body;
use super::super::problem::Problem;
use super::{By, Chosen};
use crate::api::{Lanes, ParkedLane, ParkedLanes, Place, Positions};
use crate::message::Position;
use crate::pipeline::control::Which;

/// Most lanes that one answer lists; of more, the first are shown and all are counted.
const LISTED_MAX: usize = 1_000;

pub(in crate::admin) async fn list(Chosen(seat): Chosen) -> Json<ParkedLanes> {
    let mut parked = seat.parked();
    let total = parked.len() as u64;
    parked.sort_unstable_by(|a, b| {
        let place = |position: &Position| (position.partition, position.offset);
        a.position.topic.cmp(&b.position.topic).then_with(|| place(&a.position).cmp(&place(&b.position)))
    });
    parked.truncate(LISTED_MAX);
    let lane = |lane: crate::buffer::ParkedLane| ParkedLane {
        first: Place {
            topic: lane.position.topic.to_string(),
            partition: lane.position.partition,
            offset: lane.position.offset,
        },
        reason: lane.reason,
        messages: lane.messages as u64,
    };
    Json(ParkedLanes { lanes: parked.into_iter().map(lane).collect(), total })
}

pub(in crate::admin) async fn release(
    Chosen(seat): Chosen,
    By(by): By,
    request: Request,
) -> Result<Json<Lanes>, Problem> {
    let which = which(request).await?;
    Ok(Json(Lanes { lanes: seat.release(&which, &by) as u64 }))
}

pub(in crate::admin) async fn skip(
    Chosen(seat): Chosen,
    By(by): By,
    request: Request,
) -> Result<Json<Lanes>, Problem> {
    let which = which(request).await?;
    Ok(Json(Lanes { lanes: seat.skip(&which, &by) as u64 }))
}

async fn which(request: Request) -> Result<Which, Problem> {
    const EXPECTED: &str =
        r#"expected `{"all": true}`, or `{"lanes": [{"topic": "…", "partition": 0, "offset": 0}]}`"#;
    let (head, body) = request.into_parts();
    let object = body::object(&head.headers, body).await?;
    let wrong = |error: serde_json::Error| Problem::bad(format!("{EXPECTED}: {error}"));
    let positions: Positions = serde_json::from_value(Value::Object(object)).map_err(wrong)?;
    match positions {
        Positions { all: true, lanes } if lanes.is_empty() => Ok(Which::All),
        Positions { all: false, lanes } if !lanes.is_empty() => {
            let position = |place: Place| Position {
                topic: place.topic.into(),
                partition: place.partition,
                offset: place.offset,
            };
            Ok(Which::At(lanes.into_iter().map(position).collect()))
        }
        Positions { all: true, .. } => Err(Problem::bad(format!("{EXPECTED}, found both"))),
        Positions { all: false, .. } => Err(Problem::bad(format!("{EXPECTED}, found neither"))),
    }
}
