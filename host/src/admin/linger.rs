//! Reads what is left of a request's body before its answer is sent: a client that is hung up on while it still sends
//! sees a broken connection instead of the answer.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::header;
use axum::middleware::Next;
use axum::response::Response;
use futures_util::{Stream, StreamExt as _};
use tokio::time::timeout;

/// Longest time for which a body is read that nobody wants. Whoever sends more than fits into it is hung up on.
const LINGER_MAX: Duration = Duration::from_secs(3);

/// Longest silence in it: a client that sends nothing more waits for its answer.
const SILENCE_MAX: Duration = Duration::from_millis(300);

/// Answers a request, having read its body to the end if that does not take long.
pub(super) async fn linger(request: Request, next: Next) -> Response {
    // Who asks whether to send the body does not send it when it is told no.
    if request.body().is_end_stream() || request.headers().contains_key(header::EXPECT) {
        return next.run(request).await;
    }
    let (head, body) = request.into_parts();
    let mut rest = Rest(Arc::new(Mutex::new(body.into_data_stream())));
    let response = next.run(Request::from_parts(head, Body::from_stream(rest.clone()))).await;
    let end = async { while let Ok(Some(Ok(_))) = timeout(SILENCE_MAX, rest.next()).await {} };
    // It is the client who is told less if this is not enough.
    let _ = timeout(LINGER_MAX, end).await;
    response
}

/// A body that is read from by whoever answers, and then by us.
#[derive(Clone)]
struct Rest(Arc<Mutex<BodyDataStream>>);

impl Rest {
    fn lock(&self) -> MutexGuard<'_, BodyDataStream> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stream for Rest {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.lock().poll_next_unpin(context)
    }
}
