//! What the admin API answers, a file for each thing that is asked of a plugin; and what they have in common: which
//! plugin is meant, and who asks.

pub(super) mod budget;
pub(super) mod parked;
pub(super) mod plugins;
pub(super) mod swap;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Path};
use axum::http::StatusCode;
use axum::http::request::Parts;

use super::desk::Desk;
use super::problem::Problem;
use crate::config::tree::{list, nearest};
use crate::pipeline::control::Seat;

/// The header in which a client says who uses it.
const USER: &str = "gristmill-user";

/// Longest name of a user in characters: it stands in every change that is shown.
const USER_LENGTH_MAX: usize = 64;

/// Most plugins that are named to somebody who asks for another.
const NAMED_MAX: usize = 20;

/// The plugin that the path names.
pub(super) struct Chosen(pub(super) Arc<Seat>);

impl FromRequestParts<Arc<Desk>> for Chosen {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, desk: &Arc<Desk>) -> Result<Self, Problem> {
        let Path(name) = Path::<String>::from_request_parts(parts, desk)
            .await
            .map_err(|error| Problem::bad(format!("the path is wrong: {}", error.body_text())))?;
        let seats = desk.seats();
        if let Some(seat) = seats.iter().find(|seat| *seat.plugin.name == *name) {
            return Ok(Self(seat.clone()));
        }
        let names = || seats.iter().map(|seat| &*seat.plugin.name);
        let hint = match nearest(&name, names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if seats.len() > NAMED_MAX => {
                format!("there are {}", list(names().take(NAMED_MAX))) + ", and more"
            }
            None => format!("there are {}", list(names())),
        };
        Err(Problem::new(StatusCode::NOT_FOUND, format!("there is no plugin `{name}`")).hint(hint))
    }
}

/// Where a connection comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) SocketAddr);

/// Who asks, as far as it is known: what the client says of itself, and its address.
pub(super) struct By(pub(super) String);

impl<S: Sync> FromRequestParts<S> for By {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let address = parts.extensions.get::<Peer>().map(|Peer(address)| address.to_string());
        let user = parts.headers.get(USER).map(|user| printable(user.as_bytes()));
        let known: Vec<_> = user.into_iter().filter(|user| !user.is_empty()).chain(address).collect();
        Ok(Self(known.join(" from ")))
    }
}

/// What a name has that can be shown, and no more than fits.
fn printable(name: &[u8]) -> String {
    let name = String::from_utf8_lossy(name);
    name.trim().chars().filter(|c| !c.is_control()).take(USER_LENGTH_MAX).collect()
}
