//! Every route, once: what answers it, and what `/openapi.json` says of it.

use axum::routing::{MethodRouter, on};
use schemars::JsonSchema;

use super::super::api::{budget, parked, plugins, swap};
use super::super::{dashboard, events, health, openapi};
use super::{Answer, Body, Content, Method, Route};
use crate::api::{Detail, Lanes, ParkedLanes, Plugins, Status, Swapped, Waiting};

const fn ok(says: &'static str, content: Content) -> Answer {
    Answer { status: 200, says, content }
}

const fn problem(status: u16, says: &'static str) -> Answer {
    Answer { status, says, content: Content::Problem }
}

const fn json<T: JsonSchema>() -> Content {
    Content::Json(|generator| generator.subschema_for::<T>())
}

const fn stream<T: JsonSchema>() -> Content {
    Content::Events(|generator| generator.subschema_for::<T>())
}

const DETAIL: &[Answer] = &[ok("The plugin as it is now", json::<Detail>())];
const LANES: &[Answer] = &[ok("How many lanes go on", json::<Lanes>())];
const SWAPPED: &[Answer] = &[
    ok("Done", json::<Swapped>()),
    problem(409, "Another swap is under way, or there is nothing to promote or to go back to"),
    problem(422, "The component does not start any more"),
    problem(500, "The host failed"),
];

/// What a route is unless it says otherwise.
const PLAIN: Route = Route {
    method: Method::Get,
    path: "",
    id: "",
    says: "",
    is_open: false,
    query: &[],
    body: Body::Nothing,
    answers: &[],
    to: |_| MethodRouter::new(),
};

/// Every route.
pub(in crate::admin) const ROUTES: &[Route] = &[
    Route {
        path: "/healthz",
        id: "healthz",
        says: "Whether the host lives",
        is_open: true,
        answers: &[ok("It does", json::<Status>())],
        to: |method| on(method, health::healthz),
        ..PLAIN
    },
    Route {
        path: "/readyz",
        id: "readyz",
        says: "Whether every plugin handles messages",
        is_open: true,
        answers: &[ok("All do", json::<Status>()), problem(503, "What is in the way of which plugin")],
        to: |method| on(method, health::readyz),
        ..PLAIN
    },
    Route {
        path: "/metrics",
        id: "metrics",
        says: "Metrics as Prometheus reads them",
        answers: &[
            ok("All metrics", Content::Text(&["text/plain", "application/openmetrics-text"])),
            problem(500, "The host failed"),
        ],
        to: |method| on(method, health::metrics),
        ..PLAIN
    },
    Route {
        path: "/openapi.json",
        id: "openapi",
        says: "This document",
        answers: &[ok("This document", Content::AnyJson)],
        to: |method| on(method, openapi::document),
        ..PLAIN
    },
    Route {
        path: "/",
        id: "dashboard",
        says: "The dashboard",
        answers: &[ok("A page", Content::Text(&["text/html"]))],
        to: |method| on(method, async || dashboard::page()),
        ..PLAIN
    },
    Route {
        path: "/api/v1/plugins",
        id: "listPlugins",
        says: "All plugins as they are now",
        answers: &[ok("All plugins", json::<Plugins>())],
        to: |method| on(method, plugins::all),
        ..PLAIN
    },
    Route {
        path: "/api/v1/events",
        id: "watchPlugins",
        says: "Server-sent events: all plugins (`Plugins`) once a second, for as long as the client listens",
        answers: &[
            ok("Events without end", stream::<Plugins>()),
            problem(503, "There are too many listeners"),
        ],
        to: |method| on(method, events::events),
        ..PLAIN
    },
    Route {
        path: "/api/v1/plugins/{name}",
        id: "getPlugin",
        says: "One plugin, its partitions and who changed what",
        answers: DETAIL,
        to: |method| on(method, plugins::one),
        ..PLAIN
    },
    Route {
        method: Method::Patch,
        path: "/api/v1/plugins/{name}/budget",
        id: "changeBudget",
        says: "Changes any part of a budget, all or nothing; takes effect at once for what has not started",
        body: Body::Budget,
        answers: DETAIL,
        to: |method| on(method, budget::change),
        ..PLAIN
    },
    Route {
        method: Method::Post,
        path: "/api/v1/plugins/{name}/pause",
        id: "pausePlugin",
        says: "Starts nothing more until resumed; what is in flight is finished, partitions are kept",
        answers: DETAIL,
        to: |method| on(method, plugins::pause),
        ..PLAIN
    },
    Route {
        method: Method::Post,
        path: "/api/v1/plugins/{name}/resume",
        id: "resumePlugin",
        says: "Goes on after a pause",
        answers: DETAIL,
        to: |method| on(method, plugins::resume),
        ..PLAIN
    },
    Route {
        method: Method::Put,
        path: "/api/v1/plugins/{name}/component",
        id: "swapComponent",
        says: "Puts another component in the place of the one that runs, when it has been loaded, checked and started",
        query: &swap::PARAMETERS,
        body: Body::Wasm,
        answers: &[
            ok("New messages go to it, or it is being tried", json::<Swapped>()),
            Answer {
                status: 202,
                says: "It is being loaded; `last_swap` will tell",
                content: json::<Swapped>(),
            },
            problem(409, "Another swap is under way"),
            problem(422, "The component is refused, and why"),
            problem(500, "The host failed"),
            problem(503, "Too many components are being put in"),
        ],
        to: |method| on(method, swap::component),
        ..PLAIN
    },
    Route {
        method: Method::Post,
        path: "/api/v1/plugins/{name}/promote",
        id: "promote",
        says: "The version that is being tried takes over",
        answers: SWAPPED,
        to: |method| on(method, swap::promote),
        ..PLAIN
    },
    Route {
        method: Method::Post,
        path: "/api/v1/plugins/{name}/rollback",
        id: "rollback",
        says: "Ends a trial; without one, returns to the version before",
        answers: SWAPPED,
        to: |method| on(method, swap::rollback),
        ..PLAIN
    },
    Route {
        path: "/api/v1/plugins/{name}/parked",
        id: "listParkedLanes",
        says: "Lanes that are held, and why",
        answers: &[ok("The first thousand, and how many there are", json::<ParkedLanes>())],
        to: |method| on(method, parked::list),
        ..PLAIN
    },
    Route {
        method: Method::Post,
        path: "/api/v1/plugins/{name}/parked/release",
        id: "releaseParkedLanes",
        says: "Tries the first messages of parked lanes again, as if they had just come",
        body: Body::Positions,
        answers: LANES,
        to: |method| on(method, parked::release),
        ..PLAIN
    },
    Route {
        method: Method::Post,
        path: "/api/v1/plugins/{name}/parked/skip",
        id: "skipParkedLanes",
        says: "Gives up the first messages of parked lanes; the lanes go on behind them",
        body: Body::Positions,
        answers: LANES,
        to: |method| on(method, parked::skip),
        ..PLAIN
    },
    Route {
        path: "/api/v1/plugins/{name}/message",
        id: "findMessage",
        says: "Where a message is and what it waits for: by topic, partition and offset, or the first of a key",
        query: &plugins::MESSAGE,
        answers: &[ok("Where it is", json::<Waiting>())],
        to: |method| on(method, plugins::message),
        ..PLAIN
    },
];
