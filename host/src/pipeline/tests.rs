//! The way from end to end on a source and an output in memory, with a guest written as text and paused time.

mod live;
mod traces;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use tokio::time::Instant;

use super::control::{Seat, State, Workshop};
use super::{Parts, Running, start};
use crate::ack::Partition;
use crate::capability::Grants;
use crate::config;
use crate::edge::{Bell, Ended, Event, Output, Receipt, Refused, Room, Source};
use crate::message::Batch;
use crate::outcome::{Outcome, OutputRecord};
use crate::plugin::guests::{ECHO, handler, plugin};
use crate::plugin::{Engine, Generation, Shelf};
use crate::spans::Queue;
use crate::timer::Timer;

/// Returns a reject when the payload is the one byte `x`, else what `ECHO` returns.
fn picky() -> Vec<u8> {
    handler(&format!(
        "(if (i32.and (i32.eq (i32.load offset=60 (local.get $m)) (i32.const 1))
                      (i32.eq (i32.load8_u (i32.load offset=56 (local.get $m))) (i32.const 120)))
            (then
                (i32.store8 (i32.const 1024) (i32.const 1))
                (i32.store8 (i32.const 1028) (i32.const 1))
                (i32.store (i32.const 1032) (i32.const 2048))
                (i32.store (i32.const 1036) (i32.const 9)))
            (else {ECHO}))"
    ))
}

/// A source that says what the test tells it to say, and hands out batches only when there is room.
struct FakeSource {
    script: mpsc::Receiver<Event>,
    waiting: Option<Event>,
    bell: Arc<Bell>,
    released: mpsc::Sender<Vec<Arc<Partition>>>,
}

impl Source for FakeSource {
    fn next(&mut self, room: Room) -> Event {
        let event = self.waiting.take().or_else(|| self.script.try_recv().ok());
        match event {
            Some(Event::Batch(partition, batch)) if room.messages < batch.len() => {
                self.waiting = Some(Event::Batch(partition, batch));
            }
            Some(event) => return event,
            None => {}
        }
        self.bell.wait(Duration::from_millis(5));
        Event::Nothing
    }

    fn bell(&self) -> Arc<Bell> {
        self.bell.clone()
    }

    fn places(&mut self, owned: &[Arc<Partition>]) -> Option<(Vec<u64>, u64)> {
        Some((owned.iter().map(|partition| partition.number as u64).collect(), 4))
    }

    fn release(&mut self, partitions: &[Arc<Partition>]) {
        let _ = self.released.send(partitions.to_vec());
    }

    fn close(self: Box<Self>, _limit: Duration) {}
}

/// An output that confirms at once, or keeps receipts until the test has seen enough.
#[derive(Default)]
struct FakeOutput {
    sent: Mutex<Vec<(Instant, String, OutputRecord)>>,
    kept: Option<Mutex<Vec<Receipt>>>,
    is_transactional: bool,
}

impl Output for FakeOutput {
    fn hand_over<'a>(&'a self, ended: Ended) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(async move {
            for record in ended.records {
                let topic = record.topic.clone().unwrap_or_else(|| "t".to_owned());
                self.sent.lock().unwrap().push((Instant::now(), topic, record));
            }
            match &self.kept {
                Some(kept) => kept.lock().unwrap().push(ended.receipt),
                None => ended.receipt.confirmed(),
            }
        })
    }

    fn is_transactional(&self) -> bool {
        self.is_transactional
    }
}

/// A plugin at work on a topic `in` of one partition.
struct World {
    _data: tempfile::TempDir,
    seat: Arc<Seat>,
    say: mpsc::Sender<Event>,
    bell: Arc<Bell>,
    released: mpsc::Receiver<Vec<Arc<Partition>>>,
    output: Arc<FakeOutput>,
    partition: Arc<Partition>,
    running: Running,
}

impl World {
    fn new(wasm: &[u8], keep_receipts: bool, change: impl FnOnce(&mut config::Plugin)) -> Self {
        Self::traced(wasm, keep_receipts, change, None)
    }

    /// The same, with spans that go somewhere.
    fn traced(
        wasm: &[u8],
        keep_receipts: bool,
        change: impl FnOnce(&mut config::Plugin),
        spans: Option<&Queue>,
    ) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut plugin = plugin();
        plugin.output = Some("t".to_owned());
        plugin.allow_produce = vec!["t".to_owned()];
        change(&mut plugin);
        let host = config::Host { data: data.path().to_owned(), threads: 1 };
        let engine = Engine::new(&host, std::slice::from_ref(&plugin)).unwrap();
        let plugin_delivery = plugin.delivery;
        let seat = Seat::new(Arc::new(plugin));
        let generation =
            Generation::load(&engine, &seat.plugin, wasm, seat.metrics.clone(), &Grants::default()).unwrap();
        let digest = generation.digest().to_owned();
        seat.install(generation, &digest, None);
        let (shelf, runtime) = (Shelf::new(data.path()), tokio::runtime::Handle::current());
        seat.equip(Workshop { engine, grants: Grants::default(), shelf, runtime });
        let ((say, script), (tell, released)) = (mpsc::channel(), mpsc::channel());
        let bell = Arc::new(Bell::default());
        let source = FakeSource { script, waiting: None, bell: bell.clone(), released: tell };
        let kept = keep_receipts.then(Mutex::default);
        let is_transactional = plugin_delivery == config::Delivery::ExactlyOnce;
        let output = Arc::new(FakeOutput { sent: Mutex::default(), kept, is_transactional });
        let parts = Parts {
            seat: seat.clone(),
            source: Box::new(source),
            output: output.clone(),
            timer: Timer::Runtime,
            spans: spans.map(|queue| queue.of(&seat.plugin, seat.metrics.clone())),
        };
        let running = start(parts, &tokio::runtime::Handle::current()).unwrap();
        let partition = Partition::new("t".into(), 0);
        let world = Self { _data: data, seat, say, bell, released, output, partition, running };
        world.say(Event::Assigned(vec![world.partition.clone()]));
        world
    }

    fn say(&self, event: Event) {
        self.say.send(event).unwrap();
        self.bell.ring();
    }

    /// Messages of one key each, with the key's name as payload.
    fn deliver(&self, offsets: std::ops::Range<i64>, payload: impl Fn(i64) -> (Option<String>, String)) {
        for offset in offsets {
            let (key, payload) = payload(offset);
            let mut batch = Batch::new("t".into(), 0, std::time::Instant::now());
            batch.push(offset, None, (key.as_deref().map(str::as_bytes), Some(payload.as_bytes())), []);
            self.say(Event::Batch(self.partition.clone(), batch));
        }
    }

    async fn until(&self, what: &str, done: impl Fn(&Self) -> bool) {
        let deadline = std::time::Instant::now() + Duration::from_secs(30);
        while !done(self) {
            assert!(std::time::Instant::now() < deadline, "waited in vain: {what}; {:?}", self.seat.state());
            // Lets the workers run; under paused time this also lets the clock go on to the next permit.
            tokio::time::sleep(Duration::from_micros(100)).await;
        }
    }

    fn handled(&self) -> u64 {
        self.seat.metrics.outcomes(Outcome::Handled)
    }

    fn sent(&self) -> Vec<(Instant, String, OutputRecord)> {
        self.output.sent.lock().unwrap().clone()
    }

    fn watermark(&self) -> Option<i64> {
        self.partition.progress().watermark()
    }
}

fn keyless(offset: i64) -> (Option<String>, String) {
    (None, format!("payload {offset}"))
}

#[tokio::test]
async fn messages_are_handled_and_progress_follows() {
    let world = World::new(&handler(ECHO), false, |_| {});
    world.deliver(5..25, keyless);
    world.until("all are handled", |world| world.handled() == 20).await;
    assert_eq!((world.watermark(), world.sent().len()), (Some(25), 20));
    assert_eq!(world.seat.state(), State::Running);
    world.running.drain().await;
    assert_eq!(world.seat.state(), State::Draining);
}

#[tokio::test]
async fn a_message_counts_when_its_output_is_confirmed() {
    let world = World::new(&handler(ECHO), true, |_| {});
    world.deliver(0..3, keyless);
    let kept = || world.output.kept.as_ref().unwrap();
    world.until("all are sent", |_| kept().lock().unwrap().len() == 3).await;
    assert_eq!((world.handled(), world.watermark()), (0, Some(0)));
    let mut receipts = std::mem::take(&mut *kept().lock().unwrap());
    receipts.pop().unwrap().refused(Refused::Failed { why: "too large".to_owned(), lasting: true });
    receipts.into_iter().for_each(Receipt::confirmed);
    world.until("two are handled, one parked", |world| world.seat.parked().len() == 1).await;
    world.until("two are handled", |world| world.handled() == 2).await;
    assert!(world.seat.parked()[0].reason.contains("too large"));
}

#[tokio::test]
async fn a_failed_message_parks_its_lane_and_no_other() {
    let world = World::new(&picky(), false, |_| {});
    world.deliver(0..1, |_| (Some("a".into()), "x".into()));
    world.deliver(1..4, |_| (Some("a".into()), "fine".into()));
    world.deliver(4..8, |_| (Some("b".into()), "fine".into()));
    world.until("the other lane is done", |world| world.handled() == 4).await;
    world
        .until("the lane has all its messages", |world| {
            world.seat.parked().first().is_some_and(|lane| lane.messages == 4)
        })
        .await;
    let lane = &world.seat.parked()[0];
    assert_eq!((lane.position.offset, lane.reason.contains("not today")), (0, true));
    assert_eq!((world.watermark(), world.sent().len()), (Some(0), 4));
}

#[tokio::test]
async fn an_output_that_is_not_allowed_fails_its_message_with_the_topic_named() {
    let world =
        World::new(&handler(ECHO), false, |plugin| plugin.allow_produce = vec!["elsewhere".to_owned()]);
    world.deliver(0..1, keyless);
    world.until("it is parked", |world| world.seat.parked().len() == 1).await;
    assert!(world.seat.parked()[0].reason.contains("topic `t`"), "{:?}", world.seat.parked());
    assert!(world.sent().is_empty());
}

#[tokio::test]
async fn one_key_is_handled_in_order_among_many_workers() {
    let world = World::new(&handler(ECHO), false, |plugin| {
        plugin.budget.concurrency = 8;
        plugin.budget.buffer = 1_000;
    });
    world.deliver(0..400, |offset| (Some(format!("key {}", offset % 7)), format!("{offset:04}")));
    world.until("all are handled", |world| world.handled() == 400).await;
    let mut by_key: HashMap<_, Vec<_>> = HashMap::new();
    for (_, _, record) in world.sent() {
        by_key.entry(record.key).or_default().push(record.payload);
    }
    assert_eq!(by_key.len(), 7);
    assert!(by_key.values().all(|payloads| payloads.is_sorted()), "{by_key:?}");
}

#[tokio::test(start_paused = true)]
async fn a_rate_spaces_starts_evenly_whatever_waits() {
    let world = World::new(&handler(ECHO), false, |plugin| {
        plugin.budget.concurrency = 5;
        plugin.budget.rate = Some(config::Rate { period: Duration::from_millis(100) });
    });
    world.deliver(0..21, keyless);
    world.until("all are handled", |world| world.handled() == 21).await;
    let starts: Vec<Instant> = world.sent().into_iter().map(|(at, ..)| at).collect();
    for pair in starts.windows(2) {
        let spacing = pair[1] - pair[0];
        assert!(spacing >= Duration::from_millis(95), "{spacing:?}");
    }
    let whole = *starts.last().unwrap() - starts[0];
    // The clock goes on while the source's thread is at work: a permit may be missed for that.
    assert!(whole < Duration::from_millis(2_600), "{whole:?}");
}

#[tokio::test]
async fn a_full_buffer_takes_nothing_until_there_is_room() {
    let world = World::new(&handler(ECHO), true, |plugin| plugin.budget.buffer = 4);
    world.deliver(0..50, keyless);
    let kept = || world.output.kept.as_ref().unwrap().lock().unwrap().len();
    // Kafka's word is awaited for as many as the buffer holds, and no more is taken meanwhile.
    world.until("the buffer is full", |_| kept() >= 4).await;
    let delivered = world.partition.progress().span();
    assert!(delivered <= 4 + world.seat.plugin.budget.concurrency, "{delivered} are held");
    while world.handled() < 50 {
        let receipts = std::mem::take(&mut *world.output.kept.as_ref().unwrap().lock().unwrap());
        receipts.into_iter().for_each(Receipt::confirmed);
        assert!(world.seat.metrics.buffer_messages.load(std::sync::atomic::Ordering::Relaxed) <= 4);
        tokio::time::sleep(Duration::from_micros(100)).await;
    }
}

#[tokio::test]
async fn a_revoked_partition_is_released_when_what_is_in_flight_is_done() {
    let world = World::new(&handler(ECHO), true, |_| {});
    world.deliver(0..2, keyless);
    let kept = || world.output.kept.as_ref().unwrap();
    world.until("both are sent", |_| kept().lock().unwrap().len() == 2).await;
    world.say(Event::Revoked(vec![world.partition.clone()]));
    world.until("it is known", |world| world.partition.is_revoked()).await;
    assert!(world.released.try_recv().is_err(), "released with messages in flight");
    std::mem::take(&mut *kept().lock().unwrap()).into_iter().for_each(Receipt::confirmed);
    world.until("it is released", |world| world.released.try_recv().is_ok()).await;
    assert_eq!(world.watermark(), Some(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_message_does_not_hold_up_those_that_were_taken_with_it() {
    // The payload of one byte `x` never ends; all others are done at once.
    let endless = handler(
        "(loop $ever (br_if $ever (i32.and
            (i32.eq (i32.load offset=60 (local.get $m)) (i32.const 1))
            (i32.eq (i32.load8_u (i32.load offset=56 (local.get $m))) (i32.const 120)))))",
    );
    let world = World::new(&endless, false, |plugin| plugin.budget.buffer = 1_000);
    // Quick ones first, until runs are long.
    world.deliver(0..500, keyless);
    world.until("runs are long", |world| world.handled() == 500).await;
    let mut batch = Batch::new("t".into(), 0, std::time::Instant::now());
    batch.push(500, None, (None, Some(b"x")), []);
    (501..600).for_each(|offset| batch.push(offset, None, (None, Some(b"quick")), []));
    world.say(Event::Batch(world.partition.clone(), batch));
    world.until("all others are handled", |world| world.handled() == 599).await;
    assert_eq!(world.watermark(), Some(500));
}

/// A guest that asks for a retry in 40 s of each message whose payload is the one byte `x`, up to its second attempt.
fn stubborn() -> Vec<u8> {
    handler(&format!(
        "(if (i32.and (i32.lt_u (i32.load offset=72 (local.get $m)) (i32.const 3))
                (i32.and (i32.eq (i32.load offset=60 (local.get $m)) (i32.const 1))
                      (i32.eq (i32.load8_u (i32.load offset=56 (local.get $m))) (i32.const 120))))
            (then
                (i32.store8 (i32.const 1024) (i32.const 1))
                (i32.store8 (i32.const 1028) (i32.const 0))
                (i32.store (i32.const 1032) (i32.const 2048))
                (i32.store (i32.const 1036) (i32.const 9))
                (i32.store8 (i32.const 1040) (i32.const 1))
                (i32.store (i32.const 1044) (i32.const 40000)))
            (else {ECHO}))"
    ))
}

#[tokio::test(start_paused = true)]
async fn a_retry_waits_as_long_as_the_plugin_says_and_only_its_lane_waits_with_it() {
    let world = World::new(&stubborn(), false, |_| {});
    let begun = Instant::now();
    world.deliver(0..2, |offset| (Some("a".into()), if offset == 0 { "x" } else { "after" }.into()));
    world.deliver(2..5, |_| (Some("b".into()), "fine".into()));
    world.until("the other lane is done", |world| world.handled() == 3).await;
    assert!(begun.elapsed() < Duration::from_secs(40));
    world.until("all are handled", |world| world.handled() == 5).await;
    // While the source's thread is at work, the paused clock goes on.
    assert!((80..120).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    let payloads: Vec<_> = world.sent().into_iter().map(|(.., record)| record.payload.unwrap()).collect();
    assert_eq!(payloads[3..], [b"x".to_vec(), b"after".to_vec()]);
    assert_eq!(world.seat.metrics.retries.load(std::sync::atomic::Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn attempts_outlive_a_rebalance() {
    let world = World::new(&stubborn(), false, |plugin| plugin.retry.attempts = 2);
    world.deliver(0..1, |_| (Some("a".into()), "x".into()));
    let retries = |world: &World| world.seat.metrics.retries.load(std::sync::atomic::Ordering::Relaxed);
    world.until("it is tried again", |world| retries(world) == 1).await;
    world.say(Event::Revoked(vec![world.partition.clone()]));
    world.until("it is released", |world| world.released.try_recv().is_ok()).await;
    let again = Partition::new("t".into(), 0);
    world.say(Event::Assigned(vec![again.clone()]));
    let mut batch = Batch::new("t".into(), 0, std::time::Instant::now());
    batch.push(0, None, (Some(b"a"), Some(b"x")), []);
    world.say(Event::Batch(again, batch));
    world.until("it is parked", |world| world.seat.parked().len() == 1).await;
    assert_eq!(retries(&world), 1);
}

#[tokio::test]
async fn what_is_rejected_is_a_dead_letter_before_it_counts_and_keeps_what_it_was() {
    let world = World::new(&picky(), true, |plugin| {
        plugin.failure.action = config::Action::DeadLetter;
        plugin.failure.topic = Some("dead".to_owned());
    });
    let mut batch = Batch::new("t".into(), 0, std::time::Instant::now());
    let headers = [(&b"\xff"[..], None), (b"gristmill-reason", Some(&b"old"[..]))];
    let headers = headers.map(|(name, value)| crate::message::HeaderRef { name, value });
    batch.push(7, Some(12), (Some(b"k"), Some(b"x")), headers);
    world.say(Event::Batch(world.partition.clone(), batch));
    let kept = || world.output.kept.as_ref().unwrap();
    let dead = |world: &World| world.seat.metrics.outcomes(Outcome::DeadLettered);
    world.until("it is sent", |_| kept().lock().unwrap().len() == 1).await;
    let refused = Refused::Failed { why: "no leader".to_owned(), lasting: false };
    kept().lock().unwrap().pop().unwrap().refused(refused);
    world.until("it is sent again", |_| kept().lock().unwrap().len() == 1).await;
    assert_eq!((dead(&world), world.watermark()), (0, Some(7)));
    kept().lock().unwrap().pop().unwrap().confirmed();
    world.until("it counts", |world| dead(world) == 1).await;
    assert_eq!(world.watermark(), Some(8));
    let (_, topic, letter) = world.sent().remove(1);
    assert_eq!(
        (topic.as_str(), letter.key, letter.payload),
        ("dead", Some(b"k".to_vec()), Some(b"x".to_vec()))
    );
    let named = |name: &str| {
        let name = format!("gristmill-{name}").into_bytes();
        let values: Vec<_> = letter.headers.iter().filter(|(other, _)| *other == name).collect();
        assert_eq!(values.len(), 1, "{name:?}");
        String::from_utf8(values[0].1.clone().unwrap()).unwrap()
    };
    assert_eq!(letter.headers[0], (b"\xff".to_vec(), None));
    assert_eq!((named("reason").as_str(), named("attempts").as_str()), ("not today", "1"));
    assert_eq!((named("topic"), named("partition"), named("offset")), ("t".into(), "0".into(), "7".into()));
    assert_eq!((named("timestamp").as_str(), named("plugin").as_str()), ("12", "test"));
}

#[tokio::test]
async fn in_transactions_a_lane_goes_on_before_its_messages_are_final_and_void_ones_come_again_uncharged() {
    let world = World::new(&picky(), true, |plugin| {
        plugin.delivery = config::Delivery::ExactlyOnce;
        plugin.failure.action = config::Action::Skip;
    });
    world.deliver(0..4, |offset| (Some("a".into()), if offset == 3 { "x" } else { "fine" }.into()));
    let kept = || world.output.kept.as_ref().unwrap();
    world.until("all of the lane are handed over", |_| kept().lock().unwrap().len() == 4).await;
    assert_eq!((world.handled(), world.sent().len(), world.watermark()), (0, 3, Some(0)));
    let receipts = std::mem::take(&mut *kept().lock().unwrap());
    receipts.into_iter().for_each(|receipt| receipt.refused(Refused::Void));
    let confirm = || std::mem::take(&mut *kept().lock().unwrap()).into_iter().for_each(Receipt::confirmed);
    world.until("they are final", |world| (confirm(), world.handled() == 3).1).await;
    let skipped = |world: &World| world.seat.metrics.outcomes(Outcome::Skipped);
    world.until("the last is skipped", |world| (confirm(), skipped(world) == 1).1).await;
    assert_eq!((world.watermark(), world.sent().len()), (Some(4), 6));
}

#[tokio::test]
async fn what_is_skipped_is_passed_over() {
    let world = World::new(&picky(), false, |plugin| plugin.failure.action = config::Action::Skip);
    world.deliver(0..3, |offset| (Some("a".into()), if offset == 0 { "x" } else { "fine" }.into()));
    world.until("the others are handled", |world| world.handled() == 2).await;
    assert_eq!((world.seat.metrics.outcomes(Outcome::Skipped), world.watermark()), (1, Some(3)));
}

#[tokio::test]
async fn trouble_outside_is_seen_and_passes() {
    let world = World::new(&handler(ECHO), false, |_| {});
    world.until("it runs", |world| world.seat.state() == State::Running).await;
    world.say(Event::Trouble(Some("no broker".to_owned())));
    world
        .until("it is seen", |world| world.seat.state().not_ready().is_some_and(|why| why == "no broker"))
        .await;
    world.say(Event::Trouble(None));
    world.until("it passes", |world| world.seat.state() == State::Running).await;
}
