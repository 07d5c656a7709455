//! Putting another component in, and taking it out again.

use std::future::Future;
use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::super::body;
use super::super::desk::{Desk, UPLOADS_MAX};
use super::super::problem::Problem;
use super::super::query::{Parameter, Query};
use super::{By, Chosen};
use crate::api::Swapped;
use crate::pipeline::control::{How, NoSwap};

/// The parameters that say how a component is to come in.
pub(in crate::admin) const PARAMETERS: [Parameter; 4] = [
    Parameter {
        name: "canary",
        says: "The share of the lanes in percent that it handles until it is promoted or rolled back; `5` or `5%`.",
        shape: || {
            json!({ "anyOf": [
                { "type": "number", "exclusiveMinimum": 0, "maximum": 100 },
                { "type": "string", "pattern": "^(100|[1-9][0-9]?(\\.[0-9]+)?)%$" },
            ] })
        },
    },
    Parameter {
        name: "shadow",
        says: "It sees copies of messages, and nothing that it does counts.",
        shape: || json!({ "type": "boolean", "default": false }),
    },
    Parameter {
        name: "wait",
        says: "Answer when new messages go to it; else at once.",
        shape: || json!({ "type": "boolean", "default": true }),
    },
    Parameter {
        name: "accept_new_imports",
        says: "It may import what the old one does not.",
        shape: || json!({ "type": "boolean", "default": false }),
    },
];

pub(in crate::admin) async fn component(
    State(desk): State<Arc<Desk>>,
    Chosen(seat): Chosen,
    RawQuery(raw): RawQuery,
    By(by): By,
    request: Request,
) -> Result<Response, Problem> {
    let query = Query::read(raw.as_deref(), &PARAMETERS)?;
    let how = how(&query)?;
    let wait = query.switch("wait", true)?;
    let Ok(permit) = desk.uploads.clone().try_acquire_owned() else {
        let detail =
            format!("{UPLOADS_MAX} components are being put in already, and that is the most at a time");
        return Err(Problem::busy(detail));
    };
    let (head, body) = request.into_parts();
    let wasm = body::component(&head.headers, body).await?;
    let digest = seat.metrics.digest();
    // What was begun goes on when the client goes away, and holds its permit as long as it holds the component.
    let swap = tokio::spawn(async move {
        let end = seat.swap(wasm, how, &by).await;
        drop(permit);
        if let (false, Err(NoSwap::Busy(why) | NoSwap::Failed(why))) = (wait, &end) {
            // What is refused shows in `last_swap`; of this nobody else hears.
            tracing::warn!(plugin = %seat.plugin.name, by, why, "a component was not put in");
        }
        end
    });
    if !wait {
        let loading = Swapped { result: "loading".to_owned(), digest, trial: None, new_imports: Vec::new() };
        return Ok((StatusCode::ACCEPTED, Json(loading)).into_response());
    }
    let end = swap.await.unwrap_or_else(|error| Err(NoSwap::Failed(format!("the swap broke off: {error}"))));
    Ok(Json(end.map_err(no_swap)?).into_response())
}

pub(in crate::admin) async fn promote(Chosen(seat): Chosen, By(by): By) -> Result<Json<Swapped>, Problem> {
    in_full(async move { seat.promote(&by).await }).await
}

pub(in crate::admin) async fn rollback(Chosen(seat): Chosen, By(by): By) -> Result<Json<Swapped>, Problem> {
    in_full(async move { seat.rollback(&by).await }).await
}

/// Lets what was begun go on when the client goes away.
async fn in_full(
    work: impl Future<Output = Result<Swapped, NoSwap>> + Send + 'static,
) -> Result<Json<Swapped>, Problem> {
    let broken = |error| Err(NoSwap::Failed(format!("the swap broke off: {error}")));
    tokio::spawn(work).await.unwrap_or_else(broken).map(Json).map_err(no_swap)
}

fn how(query: &Query<'_>) -> Result<How, Problem> {
    const SHARE: &str = "a share in percent above `0` and at most `100`, such as `5` or `5%`";
    let canary = query.parsed::<Percent>("canary", SHARE)?.map(|Percent(percent)| percent);
    let shadow = query.switch("shadow", false)?;
    if canary.is_some() && shadow {
        return Err(Problem::bad("`canary` and `shadow` exclude each other: expected one of them"));
    }
    Ok(How { canary, shadow, accept_new_imports: query.switch("accept_new_imports", false)? })
}

/// A share, with or without its sign.
struct Percent(f64);

impl std::str::FromStr for Percent {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let percent: f64 = text.strip_suffix('%').unwrap_or(text).trim_end().parse().map_err(|_| ())?;
        if percent > 0.0 && percent <= 100.0 { Ok(Self(percent)) } else { Err(()) }
    }
}

fn no_swap(why: NoSwap) -> Problem {
    match why {
        NoSwap::Busy(why) => Problem::new(StatusCode::CONFLICT, why),
        NoSwap::Refused(why) => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, why),
        NoSwap::Failed(why) => Problem::new(StatusCode::INTERNAL_SERVER_ERROR, why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_fault_it_is_shows_in_the_status() {
        let status = |why: fn(String) -> NoSwap| no_swap(why("why".to_owned())).status.as_u16();
        assert_eq!([NoSwap::Busy, NoSwap::Refused, NoSwap::Failed].map(status), [409, 422, 500]);
    }

    #[test]
    fn a_share_is_above_nothing_and_at_most_all() {
        let share = |text: &str| {
            let raw = format!("canary={text}");
            Query::read(Some(&raw), &PARAMETERS).and_then(|query| how(&query)).ok().and_then(|how| how.canary)
        };
        assert_eq!([share("5"), share("5%"), share("5%25")], [Some(5.0); 3]);
        assert_eq!((share("0.5"), share("100%")), (Some(0.5), Some(100.0)));
        for wrong in ["0", "0%", "-5", "101", "100.1%", "inf", "NaN", "", "%", "5%%", "five", "1e999"] {
            assert_eq!(share(wrong), None, "{wrong}");
        }
    }
}
