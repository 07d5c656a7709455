//! Live control: versions that come and go, budgets that change, pauses, and parked lanes that are let go, all while
//! messages are under way.

use std::collections::HashMap;
use std::time::Duration;

use super::{World, keyless};
use crate::config;
use crate::outcome::{Outcome, SwapResult};
use crate::pipeline::control::{How, NoSwap, Question, Which};
use crate::plugin::guests::{ECHO, component, handler, module};

/// A version whose outputs have payloads of `length` bytes, as a mark of which version made them.
fn version(length: usize) -> Vec<u8> {
    handler(&marked(length))
}

fn marked(length: usize) -> String {
    format!(
        "{ECHO} (i32.store (i32.const 1124) (i32.const 1)) (i32.store (i32.const 1128) (i32.const 2048))
        (i32.store (i32.const 1132) (i32.const {length}))"
    )
}

fn on_keys(keys: i64) -> impl Fn(i64) -> (Option<String>, String) {
    move |offset| (Some(format!("key {}", offset % keys)), format!("{offset}"))
}

impl World {
    /// For each key, the versions of its outputs in the order in which they were sent.
    fn versions_by_key(&self) -> HashMap<Vec<u8>, Vec<usize>> {
        let mut by_key: HashMap<_, Vec<_>> = HashMap::new();
        for (_, _, record) in self.sent() {
            let version = record.payload.map_or(0, |payload| payload.len());
            by_key.entry(record.key.unwrap_or_default()).or_default().push(version);
        }
        by_key
    }

    fn swaps(&self, result: SwapResult) -> u64 {
        self.seat.metrics.swaps(result)
    }
}

const CANARY: fn(f64) -> How = |percent| How { canary: Some(percent), ..How::default() };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_lane_changes_over_once_and_nothing_is_lost_or_done_twice() {
    let world = World::new(&version(1), false, |plugin| {
        plugin.budget.concurrency = 4;
        plugin.budget.buffer = 2_000;
    });
    let mut delivered = 0;
    for swap in 1..6 {
        world.deliver(delivered..delivered + 200, on_keys(9));
        delivered += 200;
        world.until("some are handled", |world| world.handled() >= delivered as u64 - 190).await;
        let swapped = world.seat.swap(version(swap + 1), How::default(), "a test").await.unwrap();
        assert_eq!((&*swapped.result, swapped.digest), ("swapped", world.seat.metrics.digest()));
    }
    world.deliver(delivered..delivered + 100, on_keys(9));
    world.until("all are handled", |world| world.handled() == 1_100).await;
    assert_eq!((world.watermark(), world.sent().len()), (Some(1_100), 1_100));
    let by_key = world.versions_by_key();
    assert!(by_key.values().all(|versions| versions.is_sorted()), "{by_key:?}");
    assert!(by_key.values().all(|versions| versions.last() == Some(&6)));
    assert_eq!(
        (
            world.swaps(SwapResult::Done),
            world.seat.metrics.retries.load(std::sync::atomic::Ordering::Relaxed)
        ),
        (5, 0)
    );
    world
        .until("old instances are gone", |world| {
            world.seat.metrics.instances.load(std::sync::atomic::Ordering::Relaxed) <= 4
        })
        .await;
    world.running.drain().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_new_version_is_said_and_the_old_one_goes_on() {
    let world = World::new(&version(1), false, |_| {});
    let trap = component(
        "alive",
        &module(
            ECHO,
            r#"
        (func (export "gristmill:plugin/lifecycle@0.1.0#start") (result i32) unreachable)
        (func (export "gristmill:plugin/lifecycle@0.1.0#stop"))"#,
        ),
    );
    let import = r#"(module (import "wasi:cli/exit@0.2.6" "exit" (func (param i32)))"#;
    let asking = component("wasi", &module(&marked(2), "").replace("(module", import));
    for (wasm, says) in
        [(b"garbage".to_vec(), "not"), (trap, "does not start"), (asking.clone(), "wasi:cli/exit")]
    {
        match world.seat.swap(wasm, How::default(), "a test").await {
            Err(NoSwap::Refused(reason)) => assert!(reason.contains(says), "{reason}"),
            other => panic!("{other:?}"),
        }
        let last = world.seat.last_swap().unwrap();
        assert_eq!((&*last.result, &*last.by, last.reason.is_some()), ("refused", "a test", true));
    }
    world.deliver(0..10, keyless);
    world.until("all are handled", |world| world.handled() == 10).await;
    assert_eq!((world.swaps(SwapResult::Refused), world.swaps(SwapResult::Done)), (3, 0));
    assert!(world.versions_by_key().values().flatten().all(|version| *version == 1));
    assert!(matches!(world.seat.promote("a test").await, Err(NoSwap::Busy(_))));
    assert!(matches!(world.seat.rollback("a test").await, Err(NoSwap::Busy(_))));
    let yes = How { accept_new_imports: true, ..How::default() };
    assert_eq!(world.seat.swap(asking, yes, "a test").await.unwrap().new_imports, ["wasi:cli/exit@0.2.6"]);
}

#[tokio::test]
async fn a_canary_has_its_share_of_the_keys_until_it_is_promoted_and_may_be_gone_back_from() {
    let world = World::new(&version(1), false, |plugin| plugin.budget.buffer = 4_000);
    let began = world.seat.swap(version(2), CANARY(20.0), "a test").await.unwrap();
    assert_eq!((&*began.result, began.trial.is_some()), ("canary", true));
    assert!(matches!(world.seat.swap(version(3), How::default(), "x").await, Err(NoSwap::Busy(_))));
    world.deliver(0..2_000, on_keys(1_000));
    world.until("all are handled", |world| world.handled() == 2_000).await;
    let by_key = world.versions_by_key();
    let new = by_key.values().filter(|versions| versions[..] == [2, 2]).count();
    let old = by_key.values().filter(|versions| versions[..] == [1, 1]).count();
    assert_eq!(new + old, 1_000, "a key stays with its version");
    assert!((160..=240).contains(&new), "{new} of 1000 keys");
    let trial = world.seat.trial().unwrap();
    assert_eq!((trial.new.messages, trial.old.messages), (new as u64 * 2, old as u64 * 2));
    assert_eq!((&*trial.mode, trial.percent, trial.new.failures), ("canary", 20.0, 0));

    assert_eq!(world.seat.promote("a test").await.unwrap().result, "promoted");
    assert_eq!(world.seat.component().unwrap().previous, Some(trial.old.digest.clone()));
    world.deliver(2_000..2_100, on_keys(1_000));
    world.until("all are handled", |world| world.handled() == 2_100).await;
    let payloads: Vec<_> =
        world.sent().drain(2_000..).map(|(_, _, record)| record.payload.unwrap().len()).collect();
    assert!(payloads.iter().all(|version| *version == 2));
    let back = world.seat.rollback("a test").await.unwrap();
    assert_eq!((&*back.result, back.digest), ("rolled-back", trial.old.digest));
    world.deliver(2_100..2_200, on_keys(1_000));
    world.until("all are handled", |world| world.handled() == 2_200).await;
    assert!(world.sent().drain(2_100..).all(|(_, _, record)| record.payload.unwrap().len() == 1));
}

#[tokio::test]
async fn a_canary_that_traps_is_rolled_back_and_nobody_is_charged() {
    let world = World::new(&version(1), false, |plugin| plugin.retry.attempts = 1);
    world.seat.swap(handler("unreachable"), CANARY(50.0), "a test").await.unwrap();
    world.deliver(0..200, on_keys(100));
    world.until("all are handled", |world| world.handled() == 200).await;
    assert!(world.seat.trial().is_none());
    let last = world.seat.last_swap().unwrap();
    assert_eq!((&*last.result, &*last.by), ("rolled-back", "gristmill"));
    assert!(last.reason.as_ref().is_some_and(|reason| reason.contains("traps in a row")), "{last:?}");
    assert!(world.versions_by_key().values().flatten().all(|version| *version == 1));
    let metrics = &world.seat.metrics;
    assert_eq!((metrics.outcomes(Outcome::Parked), world.swaps(SwapResult::RolledBack)), (0, 1));
    assert_eq!(metrics.retries.load(std::sync::atomic::Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_shadow_is_compared_and_leaves_no_trace() {
    let world = World::new(&version(1), false, |_| {});
    let shadow = How { shadow: true, ..How::default() };
    assert_eq!(world.seat.swap(version(2), shadow, "a test").await.unwrap().result, "shadow");
    world.deliver(0..50, on_keys(5));
    let seen = |world: &World| {
        let differences = world.seat.trial().unwrap().differences.unwrap();
        differences.compared + differences.missed
    };
    world.until("all are compared", |world| seen(world) == 50).await;
    let differences = world.seat.trial().unwrap().differences.unwrap();
    assert_eq!((differences.outputs, differences.outcomes), (differences.compared, 0));
    assert!(differences.samples[0].old.contains("1 outputs"), "{:?}", differences.samples[0]);
    assert_eq!((world.handled(), world.sent().len(), world.partition.abandoned()), (50, 50, 0));
    assert!(world.versions_by_key().values().flatten().all(|version| *version == 1));
    assert_eq!(world.seat.promote("a test").await.unwrap().result, "promoted");
    world.deliver(50..60, on_keys(5));
    world.until("all are handled", |world| world.handled() == 60).await;
    assert!(world.sent().drain(50..).all(|(_, _, record)| record.payload.unwrap().len() == 2));
}

fn budget(world: &World, change: impl FnOnce(&mut config::Budget)) {
    let mut budget = world.seat.budget();
    change(&mut budget);
    world.seat.change_budget(budget, "changed".to_owned(), "a test");
}

fn rate(per_second: u64) -> Option<config::Rate> {
    Some(config::Rate { period: Duration::from_nanos(1_000_000_000 / per_second) })
}

#[tokio::test(start_paused = true)]
async fn a_rate_is_changed_lifted_and_put_back_and_holds_at_once() {
    let world = World::new(&version(1), false, |plugin| {
        plugin.budget.rate = rate(1);
        plugin.budget.buffer = 1_000;
    });
    world.deliver(0..400, keyless);
    world.until("it has begun", |world| world.handled() == 2).await;
    budget(&world, |budget| budget.rate = rate(100));
    let changed = tokio::time::Instant::now();
    world.until("it goes faster", |world| world.handled() == 202).await;
    let elapsed = changed.elapsed();
    assert!((Duration::from_millis(1_950)..Duration::from_millis(2_100)).contains(&elapsed), "{elapsed:?}");
    budget(&world, |budget| budget.rate = None);
    world.until("nothing holds it", |world| world.handled() == 400).await;
    assert!(changed.elapsed() < elapsed + Duration::from_millis(100));
    budget(&world, |budget| budget.rate = rate(10));
    let starts = world.sent().len();
    world.deliver(400..411, keyless);
    world.until("all are handled", |world| world.handled() == 411).await;
    let times: Vec<_> = world.sent().drain(starts..).map(|(at, ..)| at).collect();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= Duration::from_millis(95)), "{times:?}");
    assert_eq!(world.seat.changes().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_come_and_go_with_the_concurrency() {
    // Waits for ever on payloads of the one byte `x`: so many are in flight as there are workers.
    let endless = handler(&format!(
        "(if (i32.eq (i32.load8_u (i32.load offset=56 (local.get $m))) (i32.const 120))
            (then (loop $ever (br $ever)))) {ECHO}"
    ));
    let world = World::new(&endless, false, |plugin| {
        plugin.budget.concurrency = 1;
        plugin.budget.timeout = Duration::from_secs(3_600);
        plugin.budget.cpu = Duration::from_secs(3_600);
    });
    let in_flight = |world: &World| world.seat.metrics.in_flight.load(std::sync::atomic::Ordering::Relaxed);
    world.deliver(0..1, |_| (None, "x".into()));
    world.until("one is in flight", |world| in_flight(world) == 1).await;
    world.deliver(1..20, |_| (None, "fine".into()));
    budget(&world, |budget| budget.concurrency = 3);
    world.until("the others are handled", |world| world.handled() == 19).await;
    budget(&world, |budget| budget.concurrency = 1);
    world.deliver(20..30, |_| (None, "fine".into()));
    world
        .until("those who are too many have gone", |world| world.seat.way().unwrap().staff.present() == 1)
        .await;
    assert_eq!(world.handled(), 19, "the only worker is busy");
    budget(&world, |budget| {
        budget.concurrency = 2;
        budget.timeout = Duration::from_millis(50);
    });
    world.until("the others are handled", |world| world.handled() == 29).await;
}

#[tokio::test]
async fn a_pause_keeps_what_there_is_and_starts_nothing() {
    let world = World::new(&version(1), false, |_| {});
    world.deliver(0..5, keyless);
    world.until("all are handled", |world| world.handled() == 5).await;
    world.seat.pause("a test");
    assert_eq!(world.seat.word(), "paused");
    world.deliver(5..10, keyless);
    tokio::time::timeout(Duration::from_millis(200), world.until("never", |world| world.handled() > 5))
        .await
        .unwrap_err();
    assert_eq!(world.handled(), 5);
    world.seat.resume("a test");
    world.until("it goes on", |world| world.handled() == 10).await;
    assert_eq!(
        world.seat.changes().iter().map(|change| &*change.what).collect::<Vec<_>>(),
        ["resumed", "paused"]
    );
}

#[tokio::test]
async fn parked_lanes_are_released_or_skipped_and_say_why_they_wait() {
    let world = World::new(&super::picky(), false, |_| {});
    for key in ["a", "b"] {
        let from = if key == "a" { 0 } else { 3 };
        world.deliver(from..from + 1, |_| (Some(key.into()), "x".into()));
        world.deliver(from + 1..from + 3, |_| (Some(key.into()), "fine".into()));
    }
    world
        .until("both are parked", |world| {
            world.seat.parked().iter().map(|lane| lane.messages).sum::<usize>() == 6
        })
        .await;
    let position = |offset| crate::message::Position { topic: "t".into(), partition: 0, offset };
    let ask = |offset| world.seat.waiting(&Question::At(position(offset)));
    assert_eq!((&*ask(0).state, &*ask(2).state, ask(2).behind), ("parked", "parked", Some(2)));
    assert_eq!((&*ask(99).state, ask(99).behind), ("kafka", Some(93)));
    let by_key = world.seat.waiting(&Question::Key(b"b".to_vec()));
    assert_eq!((by_key.message.map(|place| place.offset), &*by_key.state), (Some(3), "parked"));

    assert_eq!(world.seat.skip(&Which::At(vec![position(0)]), "a test"), 1);
    world.until("the lane goes on", |world| world.handled() == 2).await;
    assert_eq!(world.seat.metrics.outcomes(Outcome::Skipped), 1);
    assert_eq!((world.watermark(), &*ask(0).state), (Some(3), "handled"));
    // The next version can handle what this one cannot.
    world.seat.swap(version(1), How::default(), "a test").await.unwrap();
    assert_eq!(world.seat.release(&Which::All, "a test"), 1);
    world.until("all are handled", |world| world.handled() == 5).await;
    assert_eq!((world.watermark(), world.seat.parked().len()), (Some(6), 0));
    assert_eq!(world.seat.release(&Which::All, "a test"), 0);
}
