//! What a route is, and how requests find theirs. The routes themselves are in `table`.

mod table;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{from_fn, map_response};
use axum::routing::{MethodFilter, MethodRouter};
use schemars::{Schema, SchemaGenerator};

use super::desk::Desk;
use super::guard::{self, Guard};
use super::linger::linger;
use super::problem::Problem;
use super::query::Parameter;
pub(super) use table::ROUTES;

/// One route.
pub(super) struct Route {
    pub(super) method: Method,
    /// With the names of its parameters in braces.
    pub(super) path: &'static str,
    /// Names it among all routes.
    pub(super) id: &'static str,
    /// What it is for.
    pub(super) says: &'static str,
    /// Answers without the token: a supervisor or load balancer that looks there rarely can keep a secret.
    pub(super) is_open: bool,
    /// What the query may say.
    pub(super) query: &'static [Parameter],
    pub(super) body: Body,
    pub(super) answers: &'static [Answer],
    /// What answers it.
    to: fn(MethodFilter) -> MethodRouter<Arc<Desk>>,
}

/// A method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Post,
    Put,
    Patch,
}

impl Method {
    /// The document's word for it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Post => "post",
            Self::Put => "put",
            Self::Patch => "patch",
        }
    }

    fn filter(self) -> MethodFilter {
        match self {
            Self::Get => MethodFilter::GET,
            Self::Post => MethodFilter::POST,
            Self::Put => MethodFilter::PUT,
            Self::Patch => MethodFilter::PATCH,
        }
    }
}

/// What a request carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    Nothing,
    /// Keys of a budget.
    Budget,
    /// Which lanes.
    Positions,
    /// A component.
    Wasm,
}

/// What an answer carries.
#[derive(Clone, Copy, Debug)]
pub(super) enum Content {
    /// JSON of this shape.
    Json(Shape),
    /// JSON of any shape.
    AnyJson,
    /// Text of these kinds.
    Text(&'static [&'static str]),
    /// Events whose data is JSON of this shape.
    Events(Shape),
    /// What went wrong.
    Problem,
}

/// Says what a type looks like in the document.
type Shape = fn(&mut SchemaGenerator) -> Schema;

/// One answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) says: &'static str,
    pub(super) content: Content,
}

/// Every route, and everything that is none, behind the token if there is one.
pub(super) fn router(desk: Arc<Desk>, token: Option<&str>) -> Router {
    let add = |router: Router<Arc<Desk>>, route: &Route| {
        router.route(route.path, (route.to)(route.method.filter()))
    };
    let routes = ROUTES.iter().fold(Router::new(), add);
    let guard = Guard::new(token);
    routes
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .with_state(desk)
        .layer(from_fn(move |request, next| guard.clone().pass(request, next)))
        .layer(map_response(guard::seal))
        .layer(from_fn(linger))
}

/// Whether a path answers without the token.
pub(super) fn is_open(path: &str) -> bool {
    ROUTES.iter().any(|route| route.is_open && route.path == path)
}

async fn unknown(request: Request) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, format!("there is nothing at `{}`", request.uri().path()))
}

async fn wrong_method(request: Request) -> Problem {
    let detail = format!("`{}` does not answer {}", request.uri().path(), request.method());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}
