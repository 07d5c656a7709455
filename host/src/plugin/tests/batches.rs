//! Plugins that handle messages in batches.

use super::*;
use crate::batch::{Batch, Waiting};
use crate::outcome::{Slot, Trigger};

/// A batcher that knows messages by their offsets. `handle-message`: 0 is done, 1 asks for a retry, 2 traps, 3 names a
/// batcher too long, 4 never returns; all others go to `default` under their key, 5 as its last, 6 with the payload
/// `today`, and 9 after it was refused more memory. `handle-batch`: 10 traps, 11 never returns, 12 makes it forget one result, 13 is rejected with a letter for
/// each trigger up to the batch's; all others become an output of the batcher's name, the batch key and the payload.
const BATCHER: &str = r#"(module
    (memory (export "memory") 1)
    (global $free (mut i32) (i32.const 8192))
    (data (i32.const 2048) "not today")
    (data (i32.const 2064) "default")
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
        (local $at i32)
        (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
        (global.set $free (i32.add (local.get $at) (local.get 3)))
        (local.get $at))
    (func $list (param $at i32) (param $start i32) (param $len i32)
        (i32.store (local.get $at) (local.get $start))
        (i32.store offset=4 (local.get $at) (local.get $len)))
    (func (export "gristmill:plugin/batcher@0.1.0#handle-message") (param $m i32) (result i32)
        (local $offset i32)
        (local.set $offset (i32.load offset=16 (local.get $m)))
        (memory.fill (i32.const 1024) (i32.const 0) (i32.const 64))
        (if (i32.eq (local.get $offset) (i32.const 0)) (then (return (i32.const 1024))))
        (if (i32.eq (local.get $offset) (i32.const 1)) (then
            (i32.store8 (i32.const 1024) (i32.const 1))
            (call $list (i32.const 1032) (i32.const 2048) (i32.const 9))
            (return (i32.const 1024))))
        (if (i32.eq (local.get $offset) (i32.const 2)) (then unreachable))
        (if (i32.eq (local.get $offset) (i32.const 4)) (then (loop (br 0))))
        (if (i32.eq (local.get $offset) (i32.const 9)) (then (drop (memory.grow (i32.const 100)))))
        (i32.store8 (i32.const 1028) (i32.const 1))
        (call $list (i32.const 1032) (i32.const 2064) (i32.const 7))
        (if (i32.eq (local.get $offset) (i32.const 3))
            (then (call $list (i32.const 1032) (i32.const 4096) (i32.const 1025))))
        (call $list (i32.const 1040) (i32.load offset=44 (local.get $m)) (i32.load offset=48 (local.get $m)))
        (i32.store8 (i32.const 1048) (i32.eq (local.get $offset) (i32.const 5)))
        (if (i32.eq (local.get $offset) (i32.const 6)) (then
            (i32.store8 (i32.const 1052) (i32.const 1))
            (call $list (i32.const 1056) (i32.const 2052) (i32.const 5))))
        (global.set $free (i32.const 8192))
        (i32.const 1024))
    (func (export "gristmill:plugin/batcher@0.1.0#handle-batch")
        (param $batcher i32) (param $batcher-len i32) (param $key i32) (param $key-len i32)
        (param $size i32) (param $trigger i32) (param $m i32) (param $count i32) (result i32)
        (local $offset i32) (local $result i32) (local $output i32)
        (if (i32.ne (local.get $size) (local.get $count)) (then unreachable))
        (memory.fill (i32.const 3000) (i32.const 0) (i32.const 5000))
        (call $list (i32.const 1024) (i32.const 3000) (local.get $count))
        (local.set $result (i32.const 3000))
        (local.set $output (i32.const 5000))
        (loop $next
            (local.set $offset (i32.load offset=16 (local.get $m)))
            (if (i32.eq (local.get $offset) (i32.const 10)) (then unreachable))
            (if (i32.eq (local.get $offset) (i32.const 11)) (then (loop (br 0))))
            (if (i32.eq (local.get $offset) (i32.const 12)) (then
                (i32.store (i32.const 1028) (i32.sub (local.get $count) (i32.const 1)))))
            (if (i32.eq (local.get $offset) (i32.const 13))
                (then
                    (i32.store8 (local.get $result) (i32.const 1))
                    (i32.store8 offset=4 (local.get $result) (i32.const 1))
                    (call $list (i32.add (local.get $result) (i32.const 8)) (i32.const 2048)
                        (i32.add (local.get $trigger) (i32.const 1))))
                (else
                    (call $list (i32.add (local.get $result) (i32.const 4)) (local.get $output) (i32.const 1))
                    (i32.store8 (local.get $output) (i32.const 1))
                    (call $list (i32.add (local.get $output) (i32.const 4))
                        (local.get $batcher) (local.get $batcher-len))
                    (i32.store8 offset=12 (local.get $output) (i32.const 1))
                    (call $list (i32.add (local.get $output) (i32.const 16)) (local.get $key) (local.get $key-len))
                    (memory.copy (i32.add (local.get $output) (i32.const 24))
                        (i32.add (local.get $m) (i32.const 52)) (i32.const 12))))
            (local.set $m (i32.add (local.get $m) (i32.const 88)))
            (local.set $result (i32.add (local.get $result) (i32.const 24)))
            (local.set $output (i32.add (local.get $output) (i32.const 44)))
            (br_if $next (local.tee $size (i32.sub (local.get $size) (i32.const 1)))))
        (global.set $free (i32.const 8192))
        (i32.const 1024)))"#;

fn batcher() -> Vec<u8> {
    component("batches", BATCHER)
}

/// A batch of the messages at these offsets; the one at 6 has another payload.
fn batch(offsets: &[usize], trigger: Trigger) -> Batch {
    let waiting = |offset: &usize| Waiting {
        lane: *offset as u64,
        delivery: only(*offset).messages.remove(0).delivery,
        payload: (*offset == 6).then(|| b"today".to_vec()),
    };
    let (batcher, key) = ("default".into(), "k".into());
    Batch { id: 0, batcher, key, trigger, version: 0, messages: offsets.iter().map(waiting).collect() }
}

fn run_of(messages: Vec<RunMessage>) -> Run {
    Run::new(messages, Arc::new(AtomicBool::new(false)))
}

fn produced(payload: &str) -> Handling {
    Handling::Done(vec![OutputRecord {
        topic: Some("default".into()),
        key: Some("k".into()),
        payload: Some(payload.into()),
        headers: vec![],
    }])
}

#[test]
fn a_batcher_handles_a_message_at_once_or_puts_it_into_a_batch() {
    let world = World::new();
    on_one_thread(async {
        let generation = world.load(&batcher()).unwrap();
        assert_eq!((generation.kind(), generation.probe().await), (Kind::Batcher, Ok(())));
        let mut worker = generation.worker();
        let (mut run, _partition) = run(8);
        run.messages.remove(2);
        run.messages.remove(3);
        // The one that is put into a batch leaves its lane free; the one that failed does not.
        run.messages[5].lane = run.messages[4].lane;
        let retried = run.messages[1].lane;
        run.messages.push(RunMessage::new(retried, only(8).messages.remove(0).delivery));
        let run = worker.handle(run_of(run.messages)).await;
        let slot = |key: &str, flush, payload: Option<&str>| {
            Handling::Batched(Slot {
                batcher: "default".into(),
                key: key.into(),
                flush,
                payload: payload.map(Into::into),
            })
        };
        let handlings: Vec<_> = run.messages.iter().map(|message| &message.handling).collect();
        let retry = Handling::Failed(Failure::Retry { reason: "not today".into(), after_ms: None });
        assert_eq!(handlings[..2], [&Handling::Done(vec![]), &retry]);
        assert!(
            matches!(handlings[2], Handling::Failed(Failure::Reject { reason }) if reason.contains("1025 bytes"))
        );
        let batched =
            [slot("key5", true, None), slot("key6", false, Some("today")), slot("key7", false, None)];
        assert_eq!(handlings[3..6], batched.each_ref());
        assert_eq!(handlings[6], &Handling::NotStarted);
        assert!(run.messages[5].started_at.is_some() && run.messages[6].started_at.is_none());
        assert_eq!(world.metrics.instances.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn a_batchers_trap_ends_the_run_and_its_instance() {
    for (offset, kind) in [(2, TrapKind::Trap), (4, TrapKind::Timeout)] {
        let mut world = World::new();
        world.plugin.budget.timeout = Duration::from_millis(60);
        on_one_thread(async {
            let mut worker = world.worker(&batcher());
            let refused = worker.handle(run_of(only(9).messages)).await;
            assert_eq!(letters(&refused), "b", "what was refused to it is not held against the next");
            let (mut run, partition) = run(9);
            run.messages.drain(..offset);
            let run = worker.handle(run_of(run.messages)).await;
            assert_eq!(trap(&run.messages[0]).0, kind);
            assert!(run.messages[1..].iter().all(|message| message.handling == Handling::NotStarted));
            assert_eq!(world.metrics.traps(kind), 1);
            assert_eq!(world.metrics.instances.load(Ordering::Relaxed), 0);
            assert_eq!(letters(&worker.handle(only(0)).await), "d");
            partition.revoke();
            let revoked = worker.handle(run_of(run.messages)).await;
            assert!(revoked.messages.iter().all(|message| message.started_at.is_none()));
        });
    }
}

#[test]
fn every_message_of_a_batch_gets_its_own_result() {
    for instances in [Instances::Reused, Instances::PerMessage] {
        let mut world = World::new();
        world.plugin.instances = instances;
        on_one_thread(async {
            let mut worker = world.worker(&batcher());
            for (letters, trigger) in
                [("n", Trigger::Size), ("no", Trigger::Timeout), ("not", Trigger::Flush)]
            {
                let mut batch = batch(&[7, 13, 6, 1], trigger);
                batch.messages[0].delivery.alone = true;
                let reject = Handling::Failed(Failure::Reject { reason: letters.into() });
                let each = vec![produced(&"p".repeat(49)), reject, produced("today"), produced("ppppppp")];
                assert_eq!(worker.handle_batch(&mut batch).await, BatchEnd::Each(each));
                assert!(!batch.messages[0].delivery.alone, "it has been tried");
            }
            let kept = i64::from(instances == Instances::Reused);
            assert_eq!(world.metrics.instances.load(Ordering::Relaxed), kept);
        });
    }
}

#[test]
fn a_batch_that_is_broken_off_charges_only_a_message_that_was_alone() {
    let mut world = World::new();
    world.plugin.budget.timeout = Duration::from_millis(60);
    let cases = [
        (10, TrapKind::Trap, "unreachable"),
        (11, TrapKind::Timeout, "timeout"),
        (12, TrapKind::Trap, "returned 1 results for 2 messages"),
    ];
    on_one_thread(async {
        let mut worker = world.worker(&batcher());
        for (offset, expected, words) in cases {
            let before = world.metrics.traps(expected);
            let mut several = batch(&[7, offset], Trigger::Size);
            match worker.handle_batch(&mut several).await {
                BatchEnd::BrokenOff { kind, reason } => {
                    assert_eq!(kind, expected);
                    assert!(reason.contains(words), "{reason}");
                }
                end => panic!("not broken off: {end:?}"),
            }
            assert!(several.messages.iter().all(|waiting| waiting.delivery.alone));
            assert_eq!(world.metrics.instances.load(Ordering::Relaxed), 0);
            let mut alone = batch(&[offset], Trigger::Flush);
            alone.messages[0].delivery.alone = true;
            let end = worker.handle_batch(&mut alone).await;
            let BatchEnd::Each(handlings) = end else { panic!("not charged: {end:?}") };
            assert!(
                matches!(&handlings[..], [Handling::Failed(Failure::Trap { kind, .. })] if *kind == expected)
            );
            assert!(!alone.messages[0].delivery.alone);
            assert_eq!(world.metrics.traps(expected) - before, 2);
            let whole = worker.handle_batch(&mut batch(&[7], Trigger::Size)).await;
            assert_eq!(whole, BatchEnd::Each(vec![produced(&"p".repeat(49))]));
        }
    });
}

#[test]
fn a_batch_that_cannot_start_is_as_if_never_taken() {
    let world = World::new();
    on_one_thread(async {
        // A swap may bring a plugin of another kind while batches wait.
        let mut worker = world.worker(&handler(""));
        let mut batch = batch(&[7, 8], Trigger::Size);
        batch.messages[1].delivery.alone = true;
        let end = worker.handle_batch(&mut batch).await;
        assert_eq!(end, BatchEnd::Each(vec![Handling::NotStarted, Handling::NotStarted]));
        let alone: Vec<bool> = batch.messages.iter().map(|waiting| waiting.delivery.alone).collect();
        assert_eq!(alone, [false, true]);
    });
}

#[test]
fn a_batcher_of_another_type_is_refused_by_name() {
    let wasm = wat::parse_str(
        r#"(component
            (core module $code (func (export "f")))
            (core instance $core (instantiate $code))
            (func $f (canon lift (core func $core "f")))
            (instance $batcher (export "handle-message" (func $f)) (export "handle-batch" (func $f)))
            (export "gristmill:plugin/batcher@0.1.0" (instance $batcher)))"#,
    );
    let world = World::new();
    on_one_thread(async {
        let refusal = world.load(&wasm.unwrap()).unwrap().probe().await.unwrap_err().to_string();
        assert!(refusal.contains("not what `gristmill:plugin@0.1.0` says"), "{refusal}");
    });
}
