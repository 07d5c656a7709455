//! What the tests of several commands start from.

use crate::api::{Budget, Component, Detail, Plugin, Quantiles, Trial, Version};

/// A plugin that is idle, with the default budget.
pub(super) fn plugin(name: &str) -> Plugin {
    let budget = Budget {
        concurrency: 10,
        rate: None,
        burst: 1,
        scope: "instance".to_owned(),
        buffer: 100,
        buffer_bytes: "16MiB".to_owned(),
        timeout: "30s".to_owned(),
        cpu: "1s".to_owned(),
        memory: "128MiB".to_owned(),
    };
    Plugin {
        name: name.to_owned(),
        state: "running".to_owned(),
        reason: None,
        paused: false,
        digest: format!("sha256:3f2a9c01{:056}", 0),
        component: Component {
            source: "config".to_owned(),
            why: "the file that `gristmill.toml` names".to_owned(),
            since: "2026-01-01T11:00:00Z".to_owned(),
            previous: None,
        },
        topics: vec!["orders".to_owned()],
        group: format!("gristmill-{name}"),
        output: None,
        order: "key".to_owned(),
        delivery: "at-least-once".to_owned(),
        failure_action: "park".to_owned(),
        dead_letter_topic: None,
        configured: budget.clone(),
        budget,
        in_flight: 0,
        buffer_messages: 0,
        buffer_bytes: 0,
        lag: None,
        messages: ["handled", "dead-lettered", "parked", "skipped"].map(|word| (word.to_owned(), 0)).into(),
        handled_per_second: 0.0,
        retries: 0,
        traps: ["trap", "timeout", "cpu", "memory", "exit"].map(|word| (word.to_owned(), 0)).into(),
        dead_letter_failures: 0,
        handle_seconds: Quantiles::default(),
        wait_seconds: Quantiles::default(),
        throttled_seconds: ["rate", "concurrency", "buffer"].map(|word| (word.to_owned(), 0.0)).into(),
        parked_lanes: 0,
        partitions: 50,
        held_partitions: 0,
        oldest_unfinished_seconds: 0.0,
        instances: 0,
        guest_memory_bytes: 0,
        guest_cpu_seconds: 0.0,
        advice: Vec::new(),
        trial: None,
        last_swap: None,
    }
}

/// The same with what is too much for a list.
pub(super) fn detail(name: &str) -> Detail {
    Detail { plugin: plugin(name), assigned: Vec::new(), changes: Vec::new() }
}

/// A trial that goes badly.
pub(super) fn trial(mode: &str) -> Trial {
    let old = Version {
        digest: "sha256:3f2a9c01aa".to_owned(),
        messages: 15_234,
        failures: 13,
        traps: 1,
        p50_seconds: Some(0.08),
        p99_seconds: Some(0.25),
    };
    let new = Version {
        digest: "sha256:77aa01bcaa".to_owned(),
        messages: 812,
        failures: 31,
        traps: 2,
        ..Version::default()
    };
    Trial {
        mode: mode.to_owned(),
        percent: 5.0,
        since: "2026-01-01T11:58:00Z".to_owned(),
        by: "anna@ops".to_owned(),
        old,
        new,
        differences: None,
    }
}
