//! Plugins that have the last word on a message before it is given up.

use super::*;

/// The core function of a failure handler. By the message's offset: 0 returns one output whose payload is the reason,
/// 1 an error, 2 traps, 3 never returns, 4 returns too many outputs.
const HANDLE_FAILED: &str = r#"
    (func (export "gristmill:plugin/failure-handler@0.1.0#handle-failed") (param $m i32) (result i32)
        (local $offset i32)
        (local.set $offset (i32.load offset=16 (local.get $m)))
        (memory.fill (i32.const 1024) (i32.const 0) (i32.const 200))
        (if (i32.eq (local.get $offset) (i32.const 1)) (then
            (i32.store (i32.const 1024) (i32.const 1))
            (i32.store (i32.const 1028) (i32.const 2048)) (i32.store (i32.const 1032) (i32.const 9))
            (return (i32.const 1024))))
        (if (i32.eq (local.get $offset) (i32.const 2)) (then unreachable))
        (if (i32.eq (local.get $offset) (i32.const 3)) (then (loop (br 0))))
        (if (i32.eq (local.get $offset) (i32.const 4)) (then
            (drop (memory.grow (i32.const 10)))
            (i32.store (i32.const 1028) (i32.const 65536)) (i32.store (i32.const 1032) (i32.const 10001))
            (return (i32.const 1024))))
        (i32.store (i32.const 1028) (i32.const 1100)) (i32.store (i32.const 1032) (i32.const 1))
        (i32.store (i32.const 1124) (i32.const 1))
        (i32.store (i32.const 1128) (i32.load offset=88 (local.get $m)))
        (i32.store (i32.const 1132) (i32.load offset=92 (local.get $m)))
        (global.set $free (i32.const 8192))
        (i32.const 1024))"#;

fn last_word() -> Vec<u8> {
    component("last-word", &module("", HANDLE_FAILED))
}

fn said(words: &str) -> Result<Vec<OutputRecord>, String> {
    Ok(vec![OutputRecord { payload: Some(words.into()), ..OutputRecord::default() }])
}

/// What the worker's plugin says of the message at `offset`.
async fn ask(worker: &mut Worker, offset: usize) -> Result<Vec<OutputRecord>, String> {
    worker.handle_failed(&only(offset).messages[0].delivery, "gone wrong").await
}

#[test]
fn the_reason_goes_in_and_outputs_or_words_come_out() {
    let world = World::new();
    on_one_thread(async {
        let generation = world.load(&last_word()).unwrap();
        assert_eq!((generation.has_failure_handler(), generation.probe().await), (true, Ok(())));
        let mut worker = generation.worker();
        assert_eq!(ask(&mut worker, 0).await, said("gone wrong"));
        assert_eq!(ask(&mut worker, 1).await, Err("not today".into()));
        assert!(ask(&mut worker, 4).await.unwrap_err().contains("more than 10000 outputs"));
        assert_eq!(letters(&worker.handle(run(2).0).await), "dd");
        assert_eq!(world.metrics.instances.load(Ordering::Relaxed), 1, "one instance did all of it");
        assert_eq!(TrapKind::ALL.map(|kind| world.metrics.traps(kind)).iter().sum::<u64>(), 0);
    });
}

#[test]
fn a_last_word_that_breaks_its_instance_costs_nothing_but_the_instance() {
    let mut world = World::new();
    world.plugin.budget.timeout = Duration::from_millis(60);
    on_one_thread(async {
        let mut worker = world.worker(&last_word());
        for (offset, kind) in [(2, TrapKind::Trap), (3, TrapKind::Timeout)] {
            let words = ask(&mut worker, offset).await.unwrap_err();
            assert!(words.starts_with(kind.word()), "{words}");
            assert_eq!(world.metrics.traps(kind), 1);
            assert_eq!(world.metrics.instances.load(Ordering::Relaxed), 0);
            assert_eq!(ask(&mut worker, 0).await, said("gone wrong"));
        }
    });
}

#[test]
fn an_async_plugins_last_word_is_spoken_in_an_instance_of_its_own() {
    let wat =
        module("", HANDLE_FAILED).replace("gristmill:plugin/handler@", "gristmill:plugin/async-handler@");
    let world = World::new();
    on_one_thread(async {
        let generation = world.load(&component("many-last-word", &wat)).unwrap();
        assert_eq!((generation.kind(), generation.probe().await), (Kind::AsyncHandler, Ok(())));
        let mut worker = generation.worker();
        assert_eq!(letters(&worker.handle(only(0)).await), "d");
        for _ in 0..2 {
            assert_eq!(ask(&mut worker, 0).await, said("gone wrong"));
            assert_eq!(world.metrics.instances.load(Ordering::Relaxed), 1, "only the shared one is left");
        }
        worker.stop().await;
    });
}

#[test]
fn who_has_no_last_word_says_so() {
    let world = World::new();
    on_one_thread(async {
        let generation = world.load(&handler("")).unwrap();
        assert!(!generation.has_failure_handler() && !generation.worker().has_failure_handler());
    });
}
