//! Server-sent events: a snapshot of all plugins, once a second. It is made once for all who listen, and who does not
//! take it in time is sent the next one instead.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt as _, stream};
use tokio::time::MissedTickBehavior;

use super::desk::{Desk, LISTENERS_MAX, Sampler};
use super::problem::Problem;

/// How often plugins are looked at and listeners are told.
const INTERVAL: Duration = Duration::from_secs(1);

/// Sent first: how long a browser is to wait before it comes again after a connection has ended.
const RETRY: Bytes = Bytes::from_static(b"retry: 2000\n\n");

/// Looks at the plugins for ever.
pub(super) async fn sample(desk: Arc<Desk>) {
    let mut sampler = Sampler::default();
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        sampler.tick(&desk, Instant::now());
    }
}

/// Answers with events for as long as the client listens. Each is also a sign of life.
pub(super) async fn events(State(desk): State<Arc<Desk>>) -> Result<Response, Problem> {
    let Ok(permit) = desk.listeners.clone().try_acquire_owned() else {
        return Err(Problem::busy(format!(
            "there are {LISTENERS_MAX} listeners already, and that is the most"
        )));
    };
    let begin = stream::iter([RETRY, desk.event()]);
    let rest = stream::unfold((desk.listen(), permit), |(mut events, permit)| async move {
        // It ends with the host.
        events.changed().await.ok()?;
        let event = events.borrow_and_update().clone();
        Some((event, (events, permit)))
    });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        // Proxies that gather answers before they pass them on would hold the events back.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Body::from_stream(begin.chain(rest).map(Ok::<_, Infallible>))).into_response())
}
