//! What is told of an attempt, and what is not.

use super::*;
use crate::ack::{Delivered, Partition};
use crate::message::{Batch, HeaderRef};
use crate::outcome::TrapKind;

fn spans(keys: bool) -> (Spans, mpsc::Receiver<Span>) {
    let (url, service) = (String::new(), String::new());
    let settings = config::Telemetry { url, headers: Default::default(), sample: 1.0, service, keys };
    let (queue, receiver) = Queue::new(&settings);
    let origin = Origin { plugin: "p".into(), group: "g".to_owned(), metrics: Arc::default() };
    (Spans { queue, origin: Arc::new(origin) }, receiver)
}

fn delivery(key: Option<&[u8]>, headers: &[(&str, &str)]) -> Delivery {
    let mut batch = Batch::new("t".into(), 0, Instant::now());
    let headers = headers
        .iter()
        .map(|(name, value)| HeaderRef { name: name.as_bytes(), value: Some(value.as_bytes()) });
    batch.push(0, None, (key, None), headers);
    Delivered::deliver(batch, Partition::new("t".into(), 0)).next().unwrap()
}

fn told(spans: &Spans, delivery: &mut Delivery) -> Span {
    assert!(spans.begin(delivery, (Instant::now(), 1), || "sha256:x".into()).is_none());
    spans.end(delivery, Became::Outcome(Outcome::Handled)).unwrap()
}

#[test]
fn an_attempt_is_told_once() {
    let (spans, _receiver) = spans(false);
    let mut delivery = delivery(None, &[]);
    assert!(told(&spans, &mut delivery).is_tombstone);
    assert!(spans.end(&mut delivery, Became::GivenBack).is_none());
}

#[test]
fn an_attempt_that_nothing_came_of_is_told_before_the_next() {
    let (spans, _receiver) = spans(false);
    let mut delivery = delivery(None, &[]);
    let begin = |delivery: &mut Delivery| spans.begin(delivery, (Instant::now(), 1), || "sha256:x".into());
    assert!(begin(&mut delivery).is_none());
    batch(&mut delivery);
    let unfinished = begin(&mut delivery).unwrap();
    assert!(unfinished.became == Became::GivenBack && unfinished.attempt.batched_at.is_some());
    let next = spans.end(&mut delivery, Became::Outcome(Outcome::Parked)).unwrap();
    assert_eq!(next.attempt.parent, Some(unfinished.attempt.context.span));
    assert!(!next.attempt.parent_is_remote && next.attempt.batched_at.is_none());
}

#[test]
fn keys_are_told_when_they_may_be_and_are_short_texts() {
    let key = |keys: bool, key: &[u8]| told(&spans(keys).0, &mut delivery(Some(key), &[])).key;
    assert_eq!(key(false, b"A-17"), None);
    assert_eq!(key(true, b"A-17").as_deref(), Some("A-17"));
    assert_eq!((key(true, b"\xff"), key(true, &[b'x'; 129])), (None, None));
}

#[test]
fn of_a_reason_the_first_line_is_told_and_not_too_much_of_it() {
    let reason = |reason: &str| {
        let (spans, _receiver) = spans(false);
        let mut delivery = delivery(None, &[]);
        spans.begin(&mut delivery, (Instant::now(), 1), || "sha256:x".into());
        let (kind, reason) = (TrapKind::Memory, reason.to_owned());
        fail(&mut delivery, &Failure::Trap { kind, reason });
        spans.end(&mut delivery, Became::Retried(Duration::ZERO)).unwrap().attempt.failure.unwrap()
    };
    assert_eq!(reason("asked for 2MiB\nmore"), ("memory", "memory: asked for 2MiB".to_owned()));
    let (_, long) = reason(&"ü".repeat(2_000));
    assert!((REASON_BYTES_MAX - 2..=REASON_BYTES_MAX).contains(&long.len()), "{}", long.len());
}

#[test]
fn a_tracestate_is_told_in_one_line_where_there_is_a_trace() {
    let parent = ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    let state = |headers: &[(&str, &str)]| told(&spans(false).0, &mut delivery(None, headers)).tracestate;
    assert_eq!(state(&[("tracestate", "a=b"), parent, ("tracestate", "c=d")]), "a=b,c=d");
    assert_eq!(state(&[("tracestate", "a=b")]), "");
    assert_eq!(state(&[parent, ("tracestate", &"x".repeat(513))]), "");
}
