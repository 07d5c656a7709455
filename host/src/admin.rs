//! Looking in: the admin listener, on a thread and runtime of its own, so that no plugin's load delays it.
//!
//! `routes` lists everything that is answered, and `/openapi.json` is made from that list. `api` asks plugins for what
//! the client wants, `window` remembers their last minute, `events` shows it once a second.
//!
//! It knows `pipeline::control`, and neither plugins nor Kafka.

mod api;
mod body;
mod dashboard;
mod desk;
mod events;
mod exposition;
mod guard;
mod health;
mod linger;
mod listener;
mod openapi;
mod problem;
mod query;
mod routes;
mod snapshot;
#[cfg(test)]
mod tests;
mod window;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use anyhow::Context as _;

use crate::config;
use crate::pipeline::control::Roster;
use desk::Desk;

/// A listener at work. It ends with the process: there is nothing in it to lose.
#[derive(Debug)]
pub struct Admin {
    /// Where it listens; the port is the real one when the config said 0.
    pub address: SocketAddr,
}

/// Starts listening. Fails when the address cannot be had.
pub fn start(settings: &config::Admin, roster: Arc<Roster>) -> anyhow::Result<Admin> {
    let wanted = settings.listen;
    let socket =
        TcpListener::bind(wanted).with_context(|| format!("failed to listen on `{wanted}` for admin"))?;
    socket.set_nonblocking(true).with_context(|| format!("failed to set up the listener on `{wanted}`"))?;
    let address = socket.local_addr().with_context(|| format!("failed to read the address of `{wanted}`"))?;
    let desk = Arc::new(Desk::new(roster, settings.token.is_some()));
    let routes = routes::router(desk.clone(), settings.token.as_deref());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start the admin runtime")?;
    std::thread::Builder::new()
        .name("admin".to_owned())
        .spawn(move || {
            runtime.spawn(events::sample(desk));
            runtime.block_on(listener::serve(socket, routes));
        })
        .context("failed to start the admin thread")?;
    Ok(Admin { address })
}
