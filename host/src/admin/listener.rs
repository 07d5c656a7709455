//! Serves connections, few and bounded: the admin side is for a handful of people and scrapers, and must stay up
//! whatever is sent to it.

use std::collections::VecDeque;
use std::net::TcpListener;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_io_timeout::TimeoutStream;
use tower_service::Service as _;

use super::api::Peer;

/// Most connections at the same time. Each costs a buffer of some 8 KiB.
const CONNECTIONS_MAX: usize = 256;

/// Longest a client may take for a request's head: one byte a second must not hold a connection for ever.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Largest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Longest for which a client may take nothing of an answer: one that listens and reads no more is hung up on.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Serves for ever. When there are too many connections the oldest goes, so that whoever comes is served, however many
/// others came only to stay.
pub(super) async fn serve(socket: TcpListener, routes: Router) {
    let listener = match tokio::net::TcpListener::from_std(socket) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "failed to listen for admin"),
    };
    let mut connections: VecDeque<JoinHandle<()>> = VecDeque::with_capacity(CONNECTIONS_MAX);
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                connections.retain(|connection| !connection.is_finished());
                if connections.len() >= CONNECTIONS_MAX
                    && let Some(oldest) = connections.pop_front()
                {
                    oldest.abort();
                }
                connections.push_back(tokio::spawn(converse(stream, Peer(peer), routes.clone())));
            }
            Err(error) => {
                tracing::warn!(%error, "failed to accept an admin connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Answers the requests of one connection.
async fn converse(stream: TcpStream, peer: Peer, routes: Router) {
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(hyper_util::rt::TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX);
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        routes.clone().call(request)
    });
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(STALL_TIMEOUT));
    let io = hyper_util::rt::TokioIo::new(Box::pin(stream));
    // What a client does wrong is answered or hung up on by hyper; there is nobody else to tell.
    if let Err(error) = http.serve_connection(io, service).await {
        tracing::debug!(%error, "an admin connection ended badly");
    }
}
