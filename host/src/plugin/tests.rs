//! Guests of every kind under the limits; they are written in `guests`.

mod batches;
mod last_word;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::guests::{ECHO, component, handler, module, plugin};
use super::*;
use crate::ack::{Delivered, Partition};
use crate::capability::Grants;
use crate::capability::demo::{Answer, Database};
use crate::config::{self, Instances};
use crate::message::{Batch, HeaderRef};
use crate::metrics::PluginMetrics;
use crate::outcome::{Failure, Handling, OutputRecord, TrapKind};
use crate::run::{Run, RunMessage};

struct World {
    _data: tempfile::TempDir,
    host: config::Host,
    plugin: config::Plugin,
    metrics: Arc<PluginMetrics>,
}

impl World {
    fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let host = config::Host { data: data.path().to_owned(), threads: 1 };
        Self { _data: data, host, plugin: plugin(), metrics: Arc::default() }
    }

    fn engine(&self) -> Arc<Engine> {
        Engine::new(&self.host, std::slice::from_ref(&self.plugin)).unwrap()
    }

    fn load(&self, wasm: &[u8]) -> Result<Arc<Generation>, Refusal> {
        Generation::load(&self.engine(), &self.plugin, wasm, self.metrics.clone(), &Grants::default())
    }

    fn worker(&self, wasm: &[u8]) -> Worker {
        self.load(wasm).unwrap().worker()
    }
}

/// A run of `count` messages, each in a lane of its own, with keys, payloads and headers by their number.
fn run(count: usize) -> (Run, Arc<Partition>) {
    let partition = Partition::new("topic".into(), 3);
    let mut batch = Batch::new("topic".into(), 3, Instant::now());
    for number in 0..count {
        let (key, payload) = (format!("key{number}"), "p".repeat(number * 7));
        let headers: Vec<(String, String)> =
            (0..number % 4).map(|header| (format!("name{header}"), format!("value{number}"))).collect();
        let value = |index: usize, value: &str| index.is_multiple_of(2).then(|| value.as_bytes().to_vec());
        let values: Vec<_> =
            headers.iter().enumerate().map(|(index, (_, text))| value(index, text)).collect();
        let headers = headers.iter().zip(&values);
        let headers =
            headers.map(|((name, _), value)| HeaderRef { name: name.as_bytes(), value: value.as_deref() });
        let timestamp = number.is_multiple_of(2).then_some(number as i64);
        batch.push(number as i64, timestamp, (Some(key.as_bytes()), Some(payload.as_bytes())), headers);
    }
    let message = |(lane, delivery)| RunMessage::new(lane, delivery);
    let messages = (0..).zip(Delivered::deliver(batch, partition.clone())).map(message).collect();
    (Run::new(messages, Arc::new(AtomicBool::new(false))), partition)
}

fn on_one_thread<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

/// One letter for each message: what became of it.
fn letters(run: &Run) -> String {
    let letter = |message: &RunMessage| match &message.handling {
        Handling::Done(_) => 'd',
        Handling::Batched(_) => 'b',
        Handling::Failed(Failure::Retry { .. }) => 'r',
        Handling::Failed(Failure::Reject { .. }) => 'x',
        Handling::Failed(_) => 't',
        Handling::NotStarted => '-',
    };
    run.messages.iter().map(letter).collect()
}

fn trap(message: &RunMessage) -> (TrapKind, &str) {
    match &message.handling {
        Handling::Failed(Failure::Trap { kind, reason }) => (*kind, reason),
        other => panic!("not a trap: {other:?}"),
    }
}

#[test]
fn a_run_of_all_sizes_comes_back_as_it_went() {
    let world = World::new();
    let mut worker = world.worker(&handler(ECHO));
    on_one_thread(async {
        for count in [1, 2, 64, 64] {
            let run = worker.handle(run(count).0).await;
            for message in &run.messages {
                let sent = message.delivery.message();
                let headers =
                    sent.headers().map(|header| (header.name.to_vec(), header.value.map(<[u8]>::to_vec)));
                let expected = OutputRecord {
                    topic: Some("topic".into()),
                    key: sent.key().map(<[u8]>::to_vec),
                    payload: sent.payload().map(<[u8]>::to_vec),
                    headers: headers.collect(),
                };
                assert_eq!(message.handling, Handling::Done(vec![expected]));
                assert!(message.started_at.is_some());
            }
        }
        assert_eq!(world.metrics.instances.load(Ordering::Relaxed), 1);
        assert_eq!(world.metrics.guest_memory_bytes.load(Ordering::Relaxed), 2 * 65536);
        worker.stop().await;
        assert_eq!(world.metrics.instances.load(Ordering::Relaxed), 0);
        assert_eq!(world.metrics.guest_memory_bytes.load(Ordering::Relaxed), 0);
    });
}

#[test]
fn fields_stand_where_the_record_says() {
    // Traps unless partition, offset, attempt, timestamp and the length of previous-error are as sent.
    let check = |offset: &str, load: &str, value: &str| {
        format!(
            "(if ({load}.ne ({load}.load offset={offset} (local.get $m)) ({load}.const {value})) (then unreachable))"
        )
    };
    let body = [
        check("8", "i32", "3"),
        check("16", "i64", "0"),
        check("24", "i32", "1"),
        check("32", "i64", "0"),
        check("72", "i32", "2"),
        check("84", "i32", "5"),
    ];
    let world = World::new();
    let mut worker = world.worker(&handler(&body.concat()));
    let (mut run, _partition) = run(1);
    run.messages[0].delivery.failed("again".to_owned(), Duration::ZERO);
    let run = on_one_thread(worker.handle(run));
    assert_eq!(letters(&run), "d", "{:?}", run.messages[0].handling);
}

#[test]
fn failures_keep_their_words_and_stop_their_lane_only() {
    // The second message is retried in 500 ms, the fourth rejected.
    let fail = "(if (i32.eq (global.get $calls) (i32.const 2)) (then
            (i32.store (i32.const 1024) (i32.const 1))
            (i32.store (i32.const 1032) (i32.const 2048)) (i32.store (i32.const 1036) (i32.const 9))
            (i32.store (i32.const 1040) (i32.const 1)) (i32.store (i32.const 1044) (i32.const 500))))
        (if (i32.eq (global.get $calls) (i32.const 3)) (then
            (i32.store (i32.const 1024) (i32.const 1)) (i32.store (i32.const 1028) (i32.const 1))
            (i32.store (i32.const 1032) (i32.const 2048)) (i32.store (i32.const 1036) (i32.const 3))))";
    let world = World::new();
    let mut worker = world.worker(&handler(fail));
    let (mut run, _partition) = run(5);
    run.messages[2].lane = 1;
    let run = on_one_thread(worker.handle(run));
    assert_eq!(letters(&run), "dr-xd");
    let retry = Failure::Retry { reason: "not today".into(), after_ms: Some(500) };
    assert_eq!(run.messages[1].handling, Handling::Failed(retry));
    assert_eq!(run.messages[3].handling, Handling::Failed(Failure::Reject { reason: "not".into() }));
}

#[test]
fn a_trap_is_charged_to_the_message_that_begin_named() {
    let world = World::new();
    let mut worker =
        world.worker(&handler("(if (i32.eq (global.get $calls) (i32.const 6)) (then unreachable))"));
    on_one_thread(async {
        let run = worker.handle(run(10).0).await;
        assert_eq!(letters(&run), "dddddt----");
        assert_eq!(trap(&run.messages[5]).0, TrapKind::Trap);
        assert!(run.messages[6].started_at.is_none());
        assert_eq!(world.metrics.traps(TrapKind::Trap), 1);
        assert_eq!(world.metrics.instances.load(Ordering::Relaxed), 0);
        assert_eq!(letters(&worker.handle(self::run(5).0).await), "ddddd");
    });
}

#[test]
fn what_may_not_start_is_skipped() {
    let world = World::new();
    let mut worker = world.worker(&handler(""));
    on_one_thread(async {
        let (stopped, _partition) = run(3);
        stopped.stop.store(true, Ordering::Relaxed);
        assert_eq!(letters(&worker.handle(stopped).await), "---");
        let (revoked, partition) = run(3);
        partition.revoke();
        assert_eq!(letters(&worker.handle(revoked).await), "---");
        assert_eq!(letters(&worker.handle(run(3).0).await), "ddd");
    });
}

/// Returns from its first call and never from its second.
const ENDLESS: &str = "(if (i32.eq (global.get $calls) (i32.const 2)) (then (loop (br 0))))";

#[test]
fn an_endless_guest_is_broken_off() {
    for (kind, timeout_ms, cpu_ms) in [(TrapKind::Timeout, 60, 60_000), (TrapKind::Cpu, 60_000, 60)] {
        let mut world = World::new();
        world.plugin.budget.timeout = Duration::from_millis(timeout_ms);
        world.plugin.budget.cpu = Duration::from_millis(cpu_ms);
        let run = on_one_thread(async { world.worker(&handler(ENDLESS)).handle(run(3).0).await });
        assert_eq!((letters(&run), trap(&run.messages[1]).0), ("dt-".into(), kind));
        assert!(world.metrics.guest_cpu_ns.load(Ordering::Relaxed) > 0);
    }
}

#[test]
fn others_on_the_thread_go_on_beside_an_endless_guest() {
    let world = World::new();
    on_one_thread(async {
        let mut endless = world.worker(&handler(ENDLESS));
        let mut turns = 0;
        let handled = endless.handle(run(3).0);
        tokio::pin!(handled);
        while turns < 3 {
            tokio::select! {
                biased;
                _ = &mut handled => panic!("the endless guest has ended"),
                () = tokio::task::yield_now() => turns += 1,
            }
        }
    });
    // What was given up is gone with its instance.
    assert_eq!(world.metrics.instances.load(Ordering::Relaxed), 0);
    assert_eq!(world.metrics.guest_memory_bytes.load(Ordering::Relaxed), 0);
}

#[test]
fn memory_beyond_the_budget_is_refused_and_a_trap_after_it_is_of_that_kind() {
    let world = World::new();
    // 1 MiB is 16 pages, of which the guest has one: 15 more are granted, and the next is not.
    let grow = "(if (i32.ne (memory.grow (i32.const 15)) (i32.const 1)) (then (return (i32.const 0))))
        (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then unreachable))";
    let run = on_one_thread(async { world.worker(&handler(grow)).handle(run(1).0).await });
    let (kind, reason) = trap(&run.messages[0]);
    assert_eq!(kind, TrapKind::Memory);
    assert!(reason.contains("asked for 1088KiB of memory"), "{reason}");
    assert_eq!(world.metrics.guest_memory_bytes.load(Ordering::Relaxed), 0);
}

#[test]
fn endless_recursion_is_a_trap_of_one_line() {
    let world = World::new();
    let mut worker = world.worker(&handler("(drop (call $recurse (i32.const 0)))"));
    let run = on_one_thread(worker.handle(run(1).0));
    let (kind, reason) = trap(&run.messages[0]);
    assert_eq!(kind, TrapKind::Trap);
    assert!(reason.starts_with("the call stack is exhausted"), "{reason}");
    assert!(!reason.contains('\n'), "{reason}");
}

#[test]
fn too_many_outputs_are_the_guests_fault() {
    let world = World::new();
    let mut worker = world.worker(&handler(
        "(i32.store (i32.const 1028) (i32.const 65536)) (i32.store (i32.const 1032) (i32.const 10001))
         (drop (memory.grow (i32.const 10)))",
    ));
    let run = on_one_thread(worker.handle(run(2).0));
    assert_eq!(letters(&run), "xx", "{:?}", run.messages[0].handling);
}

#[test]
fn an_instance_for_each_message_remembers_nothing() {
    let mut world = World::new();
    world.plugin.instances = Instances::PerMessage;
    let mut worker =
        world.worker(&handler("(if (i32.gt_u (global.get $calls) (i32.const 1)) (then unreachable))"));
    assert_eq!(worker.longest_run(), 1);
    let run = on_one_thread(worker.handle(run(3).0));
    assert_eq!(letters(&run), "ddd");
}

#[test]
fn the_lifecycle_starts_and_stops() {
    let lifecycle = |start: i32| {
        let more = format!(
            r#"(func (export "gristmill:plugin/lifecycle@0.1.0#start") (result i32)
                (i32.store (i32.const 1500) (i32.const {start}))
                (i32.store (i32.const 1504) (i32.const 2048)) (i32.store (i32.const 1508) (i32.const 9))
                (i32.const 1500))
            (func (export "gristmill:plugin/lifecycle@0.1.0#stop"))"#
        );
        component("alive", &module("", &more))
    };
    let world = World::new();
    on_one_thread(async {
        assert_eq!(world.load(&lifecycle(0)).unwrap().probe().await, Ok(()));
        let refusal = world.load(&lifecycle(1)).unwrap().probe().await.unwrap_err();
        assert!(refusal.to_string().contains("not today"), "{refusal}");
    });
}

#[test]
fn what_is_no_plugin_is_refused_with_advice() {
    let world = World::new();
    let refusal = |wasm: &[u8]| world.load(wasm).err().map(|refusal| refusal.to_string()).unwrap_or_default();
    let cases: [(Vec<u8>, &[&str]); 8] = [
        (b"".into(), &["empty"]),
        (b"hello".into(), &["not WebAssembly"]),
        (b" (module)".into(), &["text", "wasm-tools parse"]),
        (wat::parse_str("(module)").unwrap(), &["core module", "wasm32-wasip2", "wasm-tools component new"]),
        (wat::parse_str("(component)").unwrap(), &["exports nothing", "gristmill:plugin/handler@0.1.0"]),
        (
            component(
                "neither",
                r#"(module (func (export "test:guest/other#ask") (result i32) (i32.const 1)))"#,
            ),
            &["test:guest/other", "no handler"],
        ),
        (vec![0, b'a', b's', b'm', 0xd, 0, 1, 0, 99], &["cannot be read"]),
        (handler_of_memory(17), &["needs `1088KiB` of memory", "raise `budget.memory`"]),
    ];
    for (wasm, words) in cases {
        let refusal = refusal(&wasm);
        assert!(words.iter().all(|word| refusal.contains(word)), "{words:?} in: {refusal}");
    }
}

fn handler_of_memory(pages: u32) -> Vec<u8> {
    component(
        "plain",
        &module("", "")
            .replace(r#"(memory (export "memory") 1)"#, &format!(r#"(memory (export "memory") {pages})"#)),
    )
}

#[test]
fn every_unknown_import_is_named() {
    let wat = module("(call $tell) (drop (call $ask))", "").replace(
        "(module",
        r#"(module (import "test:guest/other" "ask" (func $ask (result i32)))
                   (import "gristmill:elsewhere/thing" "tell" (func $tell))"#,
    );
    let refusal = World::new().load(&component("asking", &wat)).err().unwrap();
    let text = refusal.to_string();
    assert_eq!(refusal.problems.len(), 2, "{text}");
    assert!(text.contains("`test:guest/other`") && text.contains("`gristmill:elsewhere/thing`"), "{text}");
}

#[test]
fn compiled_code_is_kept_and_a_damaged_file_is_ignored() {
    let world = World::new();
    let wasm = handler("");
    let digest = world.load(&wasm).unwrap().digest().to_owned();
    assert!(digest.starts_with("sha256:") && digest.len() == 7 + 64);
    let folder = world.host.data.join("compiled");
    let files = || std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let [file] = &files()[..] else { panic!("{:?}", files()) };
    let whole = std::fs::read(file).unwrap();
    let engine = world.engine();
    let sum = super::cache::tests_sum(&wasm);
    assert!(engine.plain.cache.load(&engine.plain.wasm, &sum).is_some());

    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    for bad in [&damaged[..], &whole[..10], b"", b"\x7fELF"] {
        std::fs::write(file, bad).unwrap();
        assert!(engine.plain.cache.load(&engine.plain.wasm, &sum).is_none());
        let mut worker = world.worker(&wasm);
        assert_eq!(letters(&on_one_thread(worker.handle(run(2).0))), "dd");
        assert!(
            engine.plain.cache.load(&engine.plain.wasm, &sum).is_some(),
            "the file was not written again"
        );
    }
}

/// An async handler. The message at offset 0 goes on for 20 000 turns before it returns, the one at offset 1 traps,
/// the one at offset 2 never ends, all others return at once.
fn async_handler() -> Vec<u8> {
    let name = "gristmill:plugin/async-handler@0.1.0";
    let wat = format!(
        r#"(module
            (import "[export]{name}" "[task-return]handle-message" (func $return (param i32 i32 i32 i32 i32 i32)))
            (memory (export "memory") 1)
            (global $free (mut i32) (i32.const 8192))
            (global $turns (mut i32) (i32.const 20000))
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                (local $at i32)
                (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
                (global.set $free (i32.add (local.get $at) (local.get 3)))
                (local.get $at))
            (func $over (result i32)
                (call $return (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
                (i32.const 0))
            (func (export "[async-lift]{name}#handle-message") (param $m i32) (result i32)
                (local $offset i64)
                (local.set $offset (i64.load offset=16 (local.get $m)))
                (if (i64.eq (local.get $offset) (i64.const 0)) (then (return (i32.const 1))))
                (if (i64.eq (local.get $offset) (i64.const 1)) (then unreachable))
                (if (i64.eq (local.get $offset) (i64.const 2)) (then
                    (global.set $turns (i32.const -1))
                    (return (i32.const 1))))
                (call $over))
            (func (export "[callback][async-lift]{name}#handle-message") (param i32 i32 i32) (result i32)
                (if (i32.eqz (global.get $turns)) (then (return (call $over))))
                (if (i32.gt_s (global.get $turns) (i32.const 0))
                    (then (global.set $turns (i32.sub (global.get $turns) (i32.const 1)))))
                (i32.const 1)))"#
    );
    component("many", &wat)
}

/// The message of `run` at `offset`, in a run of its own.
fn only(offset: usize) -> Run {
    let (mut run, _partition) = run(offset + 1);
    run.messages.drain(..offset);
    run
}

#[test]
fn an_async_handler_takes_several_messages_at_once() {
    let world = World::new();
    on_one_thread(async {
        let generation = world.load(&async_handler()).unwrap();
        assert_eq!((generation.kind(), generation.probe().await), (Kind::AsyncHandler, Ok(())));
        let (mut slow, mut fast) = (generation.worker(), generation.worker());
        let slow = slow.handle(only(0));
        tokio::pin!(slow);
        let fast = async {
            // The slow one has been taken before the fast one comes, and the fast one is over before it.
            tokio::task::yield_now().await;
            fast.handle(only(5)).await
        };
        let fast = tokio::select! {
            fast = fast => fast,
            _ = &mut slow => panic!("the fast message waited for the slow one"),
        };
        assert_eq!((letters(&fast), letters(&slow.await)), ("d".into(), "d".into()));
        assert_eq!(world.metrics.instances.load(Ordering::Relaxed), 1);
        generation.worker().stop().await;
        assert_eq!(world.metrics.instances.load(Ordering::Relaxed), 1, "other workers are still there");
    });
}

#[test]
fn shared_instances_end_with_the_last_worker() {
    let world = World::new();
    on_one_thread(async {
        let generation = world.load(&async_handler()).unwrap();
        for _ in 0..2 {
            let (mut one, other) = (generation.worker(), generation.worker());
            assert_eq!(letters(&one.handle(only(4)).await), "d");
            other.stop().await;
            assert_eq!(world.metrics.instances.load(Ordering::Relaxed), 1);
            one.stop().await;
            assert_eq!(world.metrics.instances.load(Ordering::Relaxed), 0);
        }
    });
}

#[test]
fn who_only_shared_a_broken_instance_is_not_charged() {
    let world = World::new();
    on_one_thread(async {
        let generation = world.load(&async_handler()).unwrap();
        let (mut one, mut other) = (generation.worker(), generation.worker());
        let (slow, trapped) = tokio::join!(one.handle(only(0)), other.handle(only(1)));
        assert_eq!((letters(&slow), letters(&trapped)), ("-".into(), "-".into()));
        assert!(slow.messages[0].delivery.alone && trapped.messages[0].delivery.alone);
        let (slow, trapped) = tokio::join!(one.handle(slow), other.handle(trapped));
        assert_eq!((letters(&slow), letters(&trapped)), ("d".into(), "t".into()));
        assert!(!slow.messages[0].delivery.alone && !trapped.messages[0].delivery.alone);
    });
}

#[test]
fn a_time_out_among_several_is_charged_to_the_one_that_took_too_long() {
    let mut world = World::new();
    world.plugin.budget.timeout = Duration::from_millis(50);
    on_one_thread(async {
        let generation = world.load(&async_handler()).unwrap();
        let (mut one, mut other) = (generation.worker(), generation.worker());
        let (endless, fast) = tokio::join!(one.handle(only(2)), other.handle(only(7)));
        assert_eq!((letters(&endless), letters(&fast)), ("t".into(), "d".into()));
        assert_eq!(trap(&endless.messages[0]).0, TrapKind::Timeout);
        one.stop().await;
        assert_eq!(letters(&other.handle(only(3)).await), "d");
    });
}

#[test]
fn an_async_handler_that_was_lifted_without_async_takes_them_in_turn() {
    let wat = module("", "").replace("gristmill:plugin/handler@", "gristmill:plugin/async-handler@");
    let world = World::new();
    on_one_thread(async {
        let generation = world.load(&component("many", &wat)).unwrap();
        let (mut one, mut other) = (generation.worker(), generation.worker());
        let (first, second) = tokio::join!(one.handle(only(0)), other.handle(only(1)));
        assert_eq!((letters(&first), letters(&second)), ("d".into(), "d".into()));
    });
}

/// A handler that uses WASI: `body` as in `handler`, with the functions `$wait` (nanoseconds), `$say` (where, how many
/// bytes), `$exit` and `$get` (a setting's name, and where to).
fn wasi_handler(body: &str) -> Vec<u8> {
    let more = r#"
        (func $wait (param i64) (local $pollable i32)
            (local.set $pollable (call $subscribe (local.get 0)))
            (call $block (local.get $pollable))
            (call $drop-pollable (local.get $pollable)))
        (func $say (param i32 i32) (call $write (call $stderr) (local.get 0) (local.get 1) (i32.const 3000)))
        (data (i32.const 3100) "thread 'x' panicked at y:1:2:\0ano such order\0anote: run with more\0a")
        (data (i32.const 3200) "greeting")"#;
    let imports = r#"(module
        (import "wasi:clocks/monotonic-clock@0.2.6" "subscribe-duration" (func $subscribe (param i64) (result i32)))
        (import "wasi:io/poll@0.2.6" "[method]pollable.block" (func $block (param i32)))
        (import "wasi:io/poll@0.2.6" "[resource-drop]pollable" (func $drop-pollable (param i32)))
        (import "wasi:cli/exit@0.2.6" "exit" (func $exit (param i32)))
        (import "wasi:cli/stderr@0.2.6" "get-stderr" (func $stderr (result i32)))
        (import "wasi:io/streams@0.2.6" "[method]output-stream.blocking-write-and-flush"
            (func $write (param i32 i32 i32 i32)))
        (import "wasi:config/store@0.2.0-rc.1" "get" (func $get (param i32 i32 i32)))"#;
    component("wasi", &module(body, more).replace("(module", imports))
}

#[test]
fn a_guest_may_wait_and_is_not_woken_early() {
    let world = World::new();
    let mut worker = world.worker(&wasi_handler("(call $wait (i64.const 5000000))"));
    let run = on_one_thread(worker.handle(run(4).0));
    assert_eq!(letters(&run), "dddd", "{:?}", run.messages[0].handling);
    assert!(run.messages.iter().all(|message| message.handle_ns >= 5_000_000));
}

#[test]
fn a_guest_that_waits_too_long_is_broken_off_where_it_is_parked() {
    let mut world = World::new();
    world.plugin.budget.timeout = Duration::from_millis(50);
    let wasm =
        wasi_handler("(if (i32.eq (global.get $calls) (i32.const 2)) (then (call $wait (i64.const -1))))");
    let run = on_one_thread(async { world.worker(&wasm).handle(run(3).0).await });
    assert_eq!((letters(&run), trap(&run.messages[1]).0), ("dt-".into(), TrapKind::Timeout));
    assert!(run.messages[1].handle_ns >= 50_000_000);
}

#[test]
fn a_guest_that_exits_is_broken_off_even_with_success() {
    let world = World::new();
    let run = on_one_thread(async {
        world.worker(&wasi_handler("(call $exit (i32.const 0))")).handle(run(2).0).await
    });
    assert_eq!((letters(&run), trap(&run.messages[0]).0), ("t-".into(), TrapKind::Exit));
}

#[test]
fn what_a_guest_said_last_is_the_reason_of_its_trap() {
    let world = World::new();
    let mut worker = world.worker(&wasi_handler("(call $say (i32.const 3100) (i32.const 64)) unreachable"));
    let run = on_one_thread(worker.handle(run(1).0));
    assert_eq!(trap(&run.messages[0]), (TrapKind::Trap, "thread 'x' panicked at y:1:2: no such order"));
}

#[test]
fn a_plugin_reads_its_config() {
    // Rejects with the setting's value.
    let body = "(call $get (i32.const 3200) (i32.const 8) (i32.const 3300))
        (i32.store (i32.const 1024) (i32.const 1)) (i32.store (i32.const 1028) (i32.const 1))
        (memory.copy (i32.const 1032) (i32.const 3308) (i32.const 8))";
    let mut world = World::new();
    world.plugin.config.insert("greeting".into(), "hello".into());
    let mut worker = world.worker(&wasi_handler(body));
    let run = on_one_thread(worker.handle(run(1).0));
    assert_eq!(run.messages[0].handling, Handling::Failed(Failure::Reject { reason: "hello".into() }));
}

/// Answers with the key itself, in capitals.
struct Shouting;

impl Database for Shouting {
    fn query(&self, key: String) -> Answer<'_> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            Err(key.to_uppercase())
        })
    }
}

#[test]
fn the_demos_database_is_there_only_when_granted() {
    // Rejects with the database's error.
    let body = "(call $query (i32.const 2048) (i32.const 9) (i32.const 3300))
        (i32.store (i32.const 1024) (i32.const 1)) (i32.store (i32.const 1028) (i32.const 1))
        (memory.copy (i32.const 1032) (i32.const 3304) (i32.const 8))";
    let import = r#"(module (import "gristmill:demo/database" "query" (func $query (param i32 i32 i32)))"#;
    let wasm = component("querying", &module(body, "").replace("(module", import));
    let world = World::new();
    let refusal = world.load(&wasm).err().unwrap().to_string();
    assert!(refusal.contains("`gristmill:demo/database`"), "{refusal}");

    let grants = Grants { database: Some(Arc::new(Shouting)) };
    let generation =
        Generation::load(&world.engine(), &world.plugin, &wasm, world.metrics.clone(), &grants).unwrap();
    let run = on_one_thread(async { generation.worker().handle(run(1).0).await });
    assert_eq!(run.messages[0].handling, Handling::Failed(Failure::Reject { reason: "NOT TODAY".into() }));
}

#[test]
fn outputs_that_do_not_fit_across_the_border_say_so() {
    // 3 000 outputs of the same 64 KiB; `$m` counts them, the message is not looked at.
    let body = "(local.set $m (i32.const 0)) (drop (memory.grow (i32.const 5)))
        (i32.store (i32.const 1028) (i32.const 65536)) (i32.store (i32.const 1032) (i32.const 3000))
        (loop $next
            (i32.store offset=65560 (i32.mul (local.get $m) (i32.const 44)) (i32.const 1))
            (i32.store offset=65564 (i32.mul (local.get $m) (i32.const 44)) (i32.const 262144))
            (i32.store offset=65568 (i32.mul (local.get $m) (i32.const 44)) (i32.const 65536))
            (br_if $next (i32.lt_u (local.tee $m (i32.add (local.get $m) (i32.const 1))) (i32.const 3000))))";
    let world = World::new();
    let run = on_one_thread(async { world.worker(&handler(body)).handle(run(1).0).await });
    let (kind, reason) = trap(&run.messages[0]);
    assert_eq!(kind, TrapKind::Trap);
    assert!(reason.contains("larger than"), "{reason}");
}
