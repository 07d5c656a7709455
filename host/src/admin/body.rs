//! The body of a request, read into memory within bounds: so many bytes, so long, and never so slowly that a client
//! holds memory by sending a byte now and then.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use futures_util::{Stream, StreamExt as _};
use serde_json::{Map, Value};
use tokio::time::{Instant, timeout_at};

use super::problem::Problem;
use crate::config::units::show_size;

/// Largest component, in bytes. A JavaScript engine with its program has some 15 MiB, a Python interpreter 40 MiB; more
/// than 256 MiB of code would also take minutes to compile.
pub(super) const COMPONENT_BYTES_MAX: usize = 256 << 20;

/// Largest body of JSON, in bytes: room for the positions of two thousand parked lanes.
pub(super) const JSON_BYTES_MAX: usize = 256 << 10;

/// Longest a body may take: the largest component over a line of 10 Mbit/s.
const TIME_MAX: Duration = Duration::from_secs(300);

/// In every such span a body brings at least `PACE_BYTES_MIN`, or it is complete.
const PACE_SPAN: Duration = Duration::from_secs(10);

/// 16 KiB a second, which the worst line of a phone has.
const PACE_BYTES_MIN: usize = 160 << 10;

/// What may be said of a body that is JSON. Nothing, and what `curl --data` says of everything, are as good.
const JSON_TYPES: [&str; 3] = ["application/json", "application/merge-patch+json", FORM];
/// What may be said of a body that is a component.
const COMPONENT_TYPES: [&str; 3] = ["application/wasm", "application/octet-stream", FORM];
const FORM: &str = "application/x-www-form-urlencoded";

/// Reads a body that is an object of JSON.
pub(super) async fn object(headers: &HeaderMap, body: Body) -> Result<Map<String, Value>, Problem> {
    check_type(headers, &JSON_TYPES)?;
    let bytes = receive(body.into_data_stream(), declared(headers), JSON_BYTES_MAX).await?;
    let wrong = |found: String| Problem::bad(format!("expected an object of JSON, found: {found}"));
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(Value::Array(_)) => Err(wrong("a list".to_owned())),
        Ok(other) => Err(wrong(format!("`{other}`"))),
        Err(_) if bytes.is_empty() => Err(wrong("nothing".to_owned())),
        Err(error) => Err(Problem::bad(format!("expected an object of JSON: {error}"))),
    }
}

/// Reads a body that is a component; what is in it is looked at by others.
pub(super) async fn component(headers: &HeaderMap, body: Body) -> Result<Vec<u8>, Problem> {
    check_type(headers, &COMPONENT_TYPES)?;
    receive(body.into_data_stream(), declared(headers), COMPONENT_BYTES_MAX).await
}

fn check_type(headers: &HeaderMap, allowed: &[&str]) -> Result<(), Problem> {
    let Some(given) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let given = String::from_utf8_lossy(given.as_bytes());
    let kind = given.split(';').next().unwrap_or_default().trim();
    if allowed.iter().any(|allowed| kind.eq_ignore_ascii_case(allowed)) {
        return Ok(());
    }
    let detail = format!("expected a body of `{}`, found: `{kind}`", allowed[0]);
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail))
}

/// How long the body is, as far as the client says.
fn declared(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Gathers what comes until the end.
async fn receive<S, E>(mut stream: S, declared: Option<usize>, bytes_max: usize) -> Result<Vec<u8>, Problem>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: std::fmt::Display,
{
    if declared.is_some_and(|bytes| bytes > bytes_max) {
        return Err(too_large(bytes_max));
    }
    // The memory is the client's only when it has sent something to put there.
    let mut body = Vec::with_capacity(declared.unwrap_or_default());
    let begun = Instant::now();
    let (mut span_end, mut span_from) = (begun + PACE_SPAN, 0);
    loop {
        match timeout_at(span_end, stream.next()).await {
            Ok(None) => return Ok(body),
            Ok(Some(Ok(chunk))) if chunk.len() > bytes_max - body.len() => return Err(too_large(bytes_max)),
            Ok(Some(Ok(chunk))) => body.extend_from_slice(&chunk),
            Ok(Some(Err(error))) => return Err(Problem::bad(format!("the body broke off: {error}"))),
            Err(_) if body.len() - span_from < PACE_BYTES_MIN || begun.elapsed() >= TIME_MAX => {
                let (seconds, least) =
                    (TIME_MAX.as_secs(), PACE_BYTES_MIN as u64 / PACE_SPAN.as_secs() / 1024);
                let detail = format!("the body came too slowly: at least {least} KiB/s, at most {seconds} s");
                return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, detail));
            }
            Err(_) => {
                span_end += PACE_SPAN;
                span_from = body.len();
            }
        }
    }
}

fn too_large(bytes_max: usize) -> Problem {
    let detail = format!("the body has more than {}, and that is the most", show_size(bytes_max as u64));
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;

    use super::*;

    /// So many chunks of so many bytes, one every `every`.
    fn chunks(
        count: usize,
        bytes: usize,
        every: Duration,
    ) -> impl Stream<Item = Result<Bytes, Infallible>> + Unpin {
        Box::pin(stream::unfold(0, move |sent| async move {
            if sent == count {
                return None;
            }
            tokio::time::sleep(every).await;
            Some((Ok(Bytes::from(vec![0; bytes])), sent + 1))
        }))
    }

    async fn status(stream: impl Stream<Item = Result<Bytes, Infallible>> + Unpin, bytes_max: usize) -> u16 {
        receive(stream, None, bytes_max).await.map_or_else(|problem| problem.status.as_u16(), |_| 200)
    }

    #[tokio::test(start_paused = true)]
    async fn a_byte_a_second_is_given_up_on_after_a_span() {
        let begun = Instant::now();
        assert_eq!(status(chunks(usize::MAX, 1, Duration::from_secs(1)), 1 << 20).await, 408);
        assert_eq!(begun.elapsed(), PACE_SPAN);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_at_all_is_given_up_on_too_and_a_small_body_may_take_its_span() {
        assert_eq!(status(Box::pin(stream::pending()), 10).await, 408);
        assert_eq!(status(chunks(9, 1, Duration::from_secs(1)), 10).await, 200);
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_that_is_slow_all_the_time_has_its_time_and_no_more() {
        let begun = Instant::now();
        let slow = |count| chunks(count, 20 << 10, Duration::from_secs(1));
        assert_eq!(status(slow(250), 256 << 20).await, 200);
        assert_eq!(begun.elapsed(), Duration::from_secs(250));
        let begun = Instant::now();
        assert_eq!(status(slow(usize::MAX), 256 << 20).await, 408);
        assert_eq!(begun.elapsed(), TIME_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_that_falls_asleep_is_given_up_on() {
        let fast = chunks(100, 64 << 10, Duration::from_millis(1)).chain(Box::pin(stream::pending()));
        assert_eq!(status(fast, 256 << 20).await, 408);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_too_large_is_refused_as_soon_as_it_shows() {
        assert_eq!(status(chunks(10, 10, Duration::ZERO), 100).await, 200);
        assert_eq!(status(chunks(usize::MAX, 10, Duration::ZERO), 99).await, 413);
        let never = Box::pin(stream::pending::<Result<Bytes, Infallible>>());
        let refused = receive(never, Some(101), 100).await.unwrap_err();
        assert_eq!(refused.status, 413);
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_told() {
        let broken = stream::iter([Ok(Bytes::from_static(b"a")), Err("reset by peer")]);
        let problem = receive(broken, Some(2), 10).await.unwrap_err();
        assert_eq!(problem.status, 400);
    }
}
