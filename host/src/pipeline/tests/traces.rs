//! What becomes of a message's trace: on its outputs, and in what is told of each attempt.

use tokio::sync::mpsc::Receiver;

use super::*;
use crate::config::Telemetry;
use crate::message::HeaderRef;
use crate::plugin::guests::{component, module};
use crate::spans::{Became, Span};
use crate::trace::Context;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const UNRECORDED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
const OWN: &str = "00-11111111111111111111111111111111-2222222222222222-01";

/// Returns the message as `ECHO` does, less its headers.
fn bare() -> Vec<u8> {
    handler(&format!("{ECHO} (i64.store (i32.const 1136) (i64.const 0))"))
}

/// The same, with a `traceparent` of its own.
fn own() -> Vec<u8> {
    let header = "(i32.store (i32.const 1136) (i32.const 1200)) (i32.store (i32.const 1140) (i32.const 1))
        (i32.store (i32.const 1200) (i32.const 3000)) (i32.store (i32.const 1204) (i32.const 11))
        (i32.store8 (i32.const 1208) (i32.const 1))
        (i32.store (i32.const 1212) (i32.const 3011)) (i32.store (i32.const 1216) (i32.const 55))";
    let data = format!("(data (i32.const 3000) \"traceparent{OWN}\")");
    component("plain", &module(&format!("{ECHO} {header}"), &data))
}

fn queue(sample: f64) -> (Queue, Receiver<Span>) {
    let (url, service) = (String::new(), String::new());
    Queue::new(&Telemetry { url, headers: Default::default(), sample, service, keys: true })
}

fn headers<'h>(pairs: &[(&'h str, &'h str)]) -> Vec<HeaderRef<'h>> {
    let header = |(name, value): &(&'h str, &'h str)| HeaderRef {
        name: name.as_bytes(),
        value: Some(value.as_bytes()),
    };
    pairs.iter().map(header).collect()
}

impl World {
    fn deliver_with(&self, offset: i64, payload: &str, pairs: &[(&str, &str)]) {
        let mut batch = Batch::new("t".into(), 0, std::time::Instant::now());
        batch.push(offset, None, (Some(b"k"), Some(payload.as_bytes())), headers(pairs));
        self.say(Event::Batch(self.partition.clone(), batch));
    }

    /// The headers of what was sent for one message with these headers.
    async fn sent_for(&self, pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let before = self.handled();
        self.deliver_with(before as i64, "fine", pairs);
        self.until("it is handled", |world| world.handled() == before + 1).await;
        let (.., record) = self.sent().pop().unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        record.headers.iter().map(|(name, value)| (text(name), text(value.as_ref().unwrap()))).collect()
    }
}

fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn parse(text: &str) -> Context {
    Context::parse(text.as_bytes()).unwrap()
}

#[tokio::test]
async fn without_a_collector_what_came_is_passed_on_and_nothing_else() {
    let world = World::new(&bare(), false, |_| {});
    assert_eq!(world.sent_for(&[]).await, []);
    assert_eq!(world.sent_for(&[("x", "y"), ("tracestate", "a=b")]).await, []);
    assert_eq!(world.sent_for(&[("traceparent", "00-broken"), ("tracestate", "a=b")]).await, []);
    let future = format!("01{}-more", &PARENT[2..]);
    let came = [("x", "y"), ("tracestate", "a=b"), ("traceparent", &future), ("tracestate", "c=d")];
    let passed = [("traceparent", &*future), ("tracestate", "a=b"), ("tracestate", "c=d")];
    assert_eq!(world.sent_for(&came).await, owned(&passed));
    let echo = World::new(&handler(ECHO), false, |_| {});
    assert_eq!(echo.sent_for(&came).await, owned(&came), "what is there already is not added again");
}

#[tokio::test]
async fn outputs_belong_to_the_attempt_that_made_them() {
    let (queue, mut spans) = queue(1.0);
    let world = World::traced(&bare(), false, |_| {}, Some(&queue));
    let sent = world.sent_for(&[("traceparent", PARENT), ("tracestate", "a=b")]).await;
    let span = spans.recv().await.unwrap();
    let context = span.attempt.context;
    assert_eq!(sent, owned(&[("traceparent", &context.to_string()), ("tracestate", "a=b")]));
    assert_eq!((context.trace, span.attempt.parent), (parse(PARENT).trace, Some(parse(PARENT).span)));
    assert!(context.span != parse(PARENT).span && context.is_sampled() && span.attempt.parent_is_remote);
    assert_eq!((span.became, span.number), (Became::Outcome(Outcome::Handled), 1));
    assert_eq!((span.key.as_deref(), span.tracestate.as_str()), (Some("k"), "a=b"));
    assert_eq!((span.position.to_string(), span.attempt.failure.is_none()), ("t/0/0".to_owned(), true));
    assert_eq!(&*span.attempt.component, world.seat.metrics.digest());
    assert!(span.attempt.started_at <= span.ended_at);

    let sent = world.sent_for(&[("tracestate", "a=b")]).await;
    let span = spans.recv().await.unwrap();
    assert_eq!(sent, owned(&[("traceparent", &span.attempt.context.to_string())]), "a trace begins");
    assert_eq!((span.attempt.parent, span.tracestate.as_str()), (None, ""));
}

#[tokio::test]
async fn a_copied_trace_is_replaced_and_one_of_the_plugins_own_is_left() {
    let (queue, mut spans) = queue(1.0);
    let world = World::traced(&handler(ECHO), false, |_| {}, Some(&queue));
    let sent = world.sent_for(&[("traceparent", PARENT), ("x", "y")]).await;
    let context = spans.recv().await.unwrap().attempt.context.to_string();
    assert_eq!(sent, owned(&[("traceparent", &context), ("x", "y")]));
    let sent = world.sent_for(&[("traceparent", "broken")]).await;
    let context = spans.recv().await.unwrap().attempt.context.to_string();
    assert_eq!(sent, owned(&[("traceparent", &context)]), "it is as if there were none");
    let world = World::traced(&own(), false, |_| {}, Some(&queue));
    assert_eq!(world.sent_for(&[("traceparent", PARENT)]).await, owned(&[("traceparent", OWN)]));
    assert_eq!(spans.recv().await.unwrap().attempt.context.trace, parse(PARENT).trace);
}

#[tokio::test]
async fn what_is_not_sampled_is_not_told_and_stays_unsampled() {
    let (queue, mut spans) = queue(0.0);
    let world = World::traced(&bare(), false, |_| {}, Some(&queue));
    let came = [("traceparent", UNRECORDED), ("tracestate", "a=b")];
    assert_eq!(world.sent_for(&came).await, owned(&came));
    let begun = world.sent_for(&[]).await;
    assert_eq!(begun[0].0, "traceparent");
    assert!(!parse(&begun[0].1).is_sampled());
    // Whoever comes before decides, whatever the share is here.
    world.sent_for(&[("traceparent", PARENT)]).await;
    assert_eq!(spans.recv().await.unwrap().attempt.parent, Some(parse(PARENT).span));
    assert!(spans.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn every_attempt_is_told_in_one_trace() {
    for came in [&[("traceparent", PARENT)][..], &[]] {
        let (queue, mut spans) = queue(1.0);
        let world = World::traced(&stubborn(), false, |_| {}, Some(&queue));
        world.deliver_with(0, "x", came);
        world.until("it is handled", |world| world.handled() == 1).await;
        let mut told = Vec::new();
        while let Ok(span) = spans.try_recv() {
            told.push(span);
        }
        let numbers: Vec<_> = told.iter().map(|span| span.number).collect();
        assert_eq!(numbers, [1, 2, 3]);
        let first = told[0].attempt.context;
        assert!(told.iter().all(|span| span.attempt.context.trace == first.trace));
        let parents = told.iter().map(|span| span.attempt.parent).collect::<Vec<_>>();
        match came {
            [] => assert_eq!(parents, [None, Some(first.span), Some(first.span)]),
            _ => assert_eq!(parents, [Some(parse(PARENT).span); 3]),
        }
        let failure = |span: &Span| span.attempt.failure.clone();
        let expected = ("retry", "the plugin asked for a retry: not today".to_owned());
        assert_eq!((failure(&told[0]), failure(&told[1])), (Some(expected.clone()), Some(expected)));
        assert_eq!(failure(&told[2]), None);
        assert!(matches!(told[0].became, Became::Retried(wait) if wait >= Duration::from_secs(40)));
        assert_eq!(told[2].became, Became::Outcome(Outcome::Handled));
    }
}

#[tokio::test]
async fn a_dead_letter_is_told_when_it_counts_and_keeps_its_headers() {
    let (queue, mut spans) = queue(1.0);
    let dead_letters = |plugin: &mut config::Plugin| {
        plugin.failure.action = config::Action::DeadLetter;
        plugin.failure.topic = Some("dead".to_owned());
    };
    let world = World::traced(&picky(), true, dead_letters, Some(&queue));
    world.deliver_with(0, "x", &[("traceparent", PARENT)]);
    let kept = || world.output.kept.as_ref().unwrap();
    world.until("it is sent", |_| kept().lock().unwrap().len() == 1).await;
    assert!(spans.try_recv().is_err());
    let (.., letter) = world.sent().pop().unwrap();
    assert_eq!(letter.headers[0], (b"traceparent".to_vec(), Some(PARENT.as_bytes().to_vec())));
    kept().lock().unwrap().pop().unwrap().confirmed();
    let span = spans.recv().await.unwrap();
    assert_eq!(span.became, Became::Outcome(Outcome::DeadLettered));
    assert_eq!(span.attempt.failure, Some(("reject", "rejected: not today".to_owned())));
}

#[tokio::test]
async fn a_queue_that_is_full_drops_and_counts_and_holds_up_nobody() {
    let (queue, spans) = queue(1.0);
    let world = World::traced(&bare(), false, |plugin| plugin.budget.buffer = 10_000, Some(&queue));
    world.deliver(0..9_000, keyless);
    world.until("all are handled", |world| world.handled() == 9_000).await;
    let dropped = || world.seat.metrics.spans_dropped.load(std::sync::atomic::Ordering::Relaxed);
    world.until("all are told", |_| spans.len() as u64 + dropped() == 9_000).await;
    assert_eq!((spans.len(), queue.take_dropped()), (8_192, 808));
}
