//! Looking in: the admin listener, on a thread and runtime of its own, so that no plugin's load delays it.
//!
//! Routes:
//!
//! ```text
//! GET /healthz   200 while the host lives
//! GET /readyz    200 when every plugin handles messages, else 503 and the reasons
//! GET /metrics   Prometheus text
//! ```
//!
//! It knows `pipeline::control`, and neither plugins nor Kafka.

mod exposition;
mod listener;
mod problem;
mod routes;
#[cfg(test)]
mod tests;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use anyhow::Context as _;

use crate::config;
use crate::pipeline::control::Seat;

/// A listener at work. It ends with the process: there is nothing in it to lose.
#[derive(Debug)]
pub struct Admin {
    /// Where it listens; the port is the real one when the config said 0.
    pub address: SocketAddr,
}

/// Starts listening. Fails when the address cannot be had.
pub fn start(settings: &config::Admin, seats: Vec<Arc<Seat>>) -> anyhow::Result<Admin> {
    let wanted = settings.listen;
    let socket =
        TcpListener::bind(wanted).with_context(|| format!("failed to listen on `{wanted}` for admin"))?;
    socket.set_nonblocking(true).with_context(|| format!("failed to set up the listener on `{wanted}`"))?;
    let address = socket.local_addr().with_context(|| format!("failed to read the address of `{wanted}`"))?;
    let routes = routes::router(seats, settings.token.as_deref());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start the admin runtime")?;
    std::thread::Builder::new()
        .name("admin".to_owned())
        .spawn(move || runtime.block_on(listener::serve(socket, routes)))
        .context("failed to start the admin thread")?;
    Ok(Admin { address })
}
