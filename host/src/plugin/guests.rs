//! Guests for tests, written as text, so that tests need no guest toolchain: core Wasm with our WIT around it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::config::{self, Budget, Instances, Order, Start};

const WORLD: &str = "package test:guest;
    interface other { ask: func() -> u32; }
    world plain { include gristmill:plugin/processor@0.1.0; }
    world alive { include gristmill:plugin/processor@0.1.0; export gristmill:plugin/lifecycle@0.1.0; }
    world last-word {
        include gristmill:plugin/processor@0.1.0;
        export gristmill:plugin/failure-handler@0.1.0;
    }
    world many-last-word {
        include gristmill:plugin/async-processor@0.1.0;
        export gristmill:plugin/failure-handler@0.1.0;
    }
    world many { include gristmill:plugin/async-processor@0.1.0; }
    world both { include gristmill:plugin/processor@0.1.0; include gristmill:plugin/async-processor@0.1.0; }
    world batches { include gristmill:plugin/batch-processor@0.1.0; }
    world asking { import other; import gristmill:elsewhere/thing; include gristmill:plugin/processor@0.1.0; }
    world wasi {
        import wasi:clocks/monotonic-clock@0.2.6;
        import wasi:cli/exit@0.2.6;
        import wasi:cli/stderr@0.2.6;
        import wasi:config/store@0.2.0-rc.1;
        include gristmill:plugin/processor@0.1.0;
    }
    world querying { import gristmill:demo/database; include gristmill:plugin/processor@0.1.0; }
    world neither { export other; }";

/// As much of WASI 0.2 as the guests here use.
const WASI: [&str; 3] = [
    "package wasi:io@0.2.6;
    interface poll { resource pollable { block: func(); } }
    interface error { resource error; }
    interface streams {
        use error.{error};
        variant stream-error { last-operation-failed(error), closed }
        resource output-stream { blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>; }
    }",
    "package wasi:clocks@0.2.6;
    interface monotonic-clock {
        use wasi:io/poll@0.2.6.{pollable};
        subscribe-duration: func(when: u64) -> pollable;
    }",
    "package wasi:cli@0.2.6;
    interface exit { exit: func(status: result); }
    interface stderr { use wasi:io/streams@0.2.6.{output-stream}; get-stderr: func() -> output-stream; }",
];

/// A core module as a component of `world`.
pub(crate) fn component(world: &str, wat: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    resolve.push_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../wit")).unwrap();
    resolve.push_str("else.wit", "package gristmill:elsewhere; interface thing { tell: func(); }").unwrap();
    resolve.push_str("demo.wit", include_str!("../capability/demo.wit")).unwrap();
    for package in WASI {
        resolve.push_str("wasi.wit", package).unwrap();
    }
    let package = resolve.push_str("test.wit", WORLD).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    let mut module = wat::parse_str(wat).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&module).unwrap().validate(true).encode().unwrap()
}

/// A handler whose `handle-message` is `body`: it is given the 18 flat parameters' record at `$m` and writes its
/// result at 1024. Memory below 8192 is the body's; what the host sends lies above.
pub(crate) fn handler(body: &str) -> Vec<u8> {
    component("plain", &module(body, ""))
}

pub(crate) fn module(body: &str, more: &str) -> String {
    format!(
        r#"(module
            (memory (export "memory") 1)
            (global $free (mut i32) (i32.const 8192))
            (global $calls (mut i32) (i32.const 0))
            (data (i32.const 2048) "not today")
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                (local $at i32)
                (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
                (global.set $free (i32.add (local.get $at) (local.get 3)))
                (local.get $at))
            (func $recurse (param i32) (result i32)
                (i32.add (i32.const 1) (call $recurse (i32.add (local.get 0) (i32.const 1)))))
            (func (export "gristmill:plugin/handler@0.1.0#handle-message") (param $m i32) (result i32)
                (memory.fill (i32.const 1024) (i32.const 0) (i32.const 64))
                (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
                {body}
                (global.set $free (i32.const 8192))
                (i32.const 1024))
            {more})"#
    )
}

/// Returns one output made of the message: topic, key, payload, headers.
pub(crate) const ECHO: &str =
    "(i32.store (i32.const 1028) (i32.const 1100)) (i32.store (i32.const 1032) (i32.const 1))
    (i32.store (i32.const 1100) (i32.const 1))
    (i32.store (i32.const 1104) (i32.load (local.get $m)))
    (i32.store (i32.const 1108) (i32.load offset=4 (local.get $m)))
    (memory.copy (i32.const 1112) (i32.add (local.get $m) (i32.const 40)) (i32.const 12))
    (memory.copy (i32.const 1124) (i32.add (local.get $m) (i32.const 52)) (i32.const 12))
    (memory.copy (i32.const 1136) (i32.add (local.get $m) (i32.const 64)) (i32.const 8))";

/// Settings that are out of the way of most tests.
pub(crate) fn plugin() -> config::Plugin {
    config::Plugin {
        name: "test".into(),
        component: PathBuf::new(),
        topics: vec!["t".into()],
        group: "g".into(),
        start: Start::Earliest,
        order: Order::Key,
        output: None,
        drain: Duration::from_secs(1),
        config: BTreeMap::new(),
        instances: Instances::Reused,
        kafka: config::Kafka { brokers: vec![], create_topics: false, options: BTreeMap::new() },
        budget: Budget {
            concurrency: 2,
            rate: None,
            burst: 1,
            scope: config::Scope::Instance,
            buffer: 100,
            buffer_bytes: 1 << 20,
            timeout: Duration::from_secs(60),
            cpu: Duration::from_secs(60),
            memory: 1 << 20,
            keep: false,
        },
        retry: config::Retry::default(),
        failure: config::Failure::default(),
        canary: config::Canary::default(),
        delivery: config::Delivery::AtLeastOnce,
        batchers: Vec::new(),
        allow_produce: vec![],
    }
}
