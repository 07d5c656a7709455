//! Serves connections, few and bounded: the admin side is for a handful of people and scrapers, and must stay up
//! whatever is sent to it.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use tokio::sync::Semaphore;

/// Most connections at the same time. Each costs a buffer of some 8 KiB.
const CONNECTIONS_MAX: usize = 256;

/// Longest a client may take for a request's head: one byte a second must not hold a connection for ever.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Largest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Largest body of a request, in bytes; no route here takes one.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// Serves for ever.
pub(super) async fn serve(socket: TcpListener, routes: Router) {
    let listener = match tokio::net::TcpListener::from_std(socket) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "failed to listen for admin"),
    };
    let routes = routes.layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        // The semaphore is never closed, so a permit always comes.
        let Ok(permit) = connections.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let service = hyper_util::service::TowerToHyperService::new(routes.clone());
                tokio::spawn(async move {
                    let mut http = hyper::server::conn::http1::Builder::new();
                    http.timer(hyper_util::rt::TokioTimer::new())
                        .header_read_timeout(HEAD_TIMEOUT)
                        .max_buf_size(HEAD_BYTES_MAX);
                    let stream = hyper_util::rt::TokioIo::new(stream);
                    // What a client does wrong is answered or hung up on by hyper; there is nobody else to tell.
                    if let Err(error) = http.serve_connection(stream, service).await {
                        tracing::debug!(%error, "an admin connection ended badly");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "failed to accept an admin connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
