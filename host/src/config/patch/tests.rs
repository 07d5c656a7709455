//! Budgets that are changed while the host runs: what is taken, what is refused and in which words.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::super::limits::{Bytes, Count, Time};
use super::super::{Rate, Scope, check};
use super::*;

/// A plugin with `rate = "11/s"` and `concurrency = 5`; `more` is the rest of its table, and tables of its own.
fn plugin(more: &str) -> Plugin {
    let text = format!(
        "[plugins.p]\ncomponent = \"p.wasm\"\n{more}\n[plugins.p.budget]\nrate = \"11/s\"\nconcurrency = 5\n"
    );
    let checked = check::parse(&text, Path::new("gristmill.toml"), &|_| None).unwrap();
    checked.config.plugins.into_iter().next().unwrap()
}

fn simple() -> Plugin {
    plugin("topics = [\"t\"]")
}

fn try_patch(plugin: &Plugin, wanted: Value) -> Result<Patched, Vec<Problem>> {
    patch(plugin, &plugin.budget, wanted.as_object().unwrap(), Room::UNBOUNDED)
}

/// What is said of `wanted`, a line each.
fn refusal(plugin: &Plugin, wanted: Value) -> String {
    let problems = try_patch(plugin, wanted).unwrap_err();
    let line = |problem: &Problem| {
        let found = problem.found.as_ref().map(|found| format!(", found: {found}")).unwrap_or_default();
        let hint = problem.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        format!("{}: {}{found}{hint}", problem.key, problem.what)
    };
    problems.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn any_part_of_a_budget_is_changed_and_the_rest_stays() {
    let plugin = simple();
    let patched = try_patch(&plugin, json!({ "rate": "50/s", "concurrency": 10 })).unwrap();
    assert_eq!(patched.what, "concurrency 5 -> 10, rate 11/s -> 50/s");
    let rate = Some(Rate { period: Duration::from_millis(20) });
    assert_eq!(patched.budget, Budget { rate, concurrency: 10, ..plugin.budget.clone() });

    let all = json!({
        "concurrency": 7, "rate": "600/min", "burst": 3, "scope": "group", "buffer": 50, "buffer_bytes": 1_048_576,
        "timeout": "1m", "cpu": "250ms", "memory": "64MiB",
    });
    let patched = try_patch(&plugin, all).unwrap();
    assert_eq!(
        patched.what,
        "concurrency 5 -> 7, rate 11/s -> 10/s, burst 1 -> 3, scope instance -> group, buffer 100 -> 50, \
         buffer_bytes 16MiB -> 1MiB, timeout 30s -> 1m, cpu 1s -> 250ms, memory 128MiB -> 64MiB"
    );
}

#[test]
fn null_lifts_the_rate_and_nothing_else() {
    let plugin = simple();
    let patched = try_patch(&plugin, json!({ "rate": null })).unwrap();
    assert_eq!((patched.budget.rate, patched.what.as_str()), (None, "rate 11/s -> none"));
    assert_eq!(
        refusal(&plugin, json!({ "buffer": null })),
        "buffer: expected a value, found: `null` (leave the key out to keep what it is; only `rate` may be `null`, \
         which lifts it)"
    );
    assert_eq!(refusal(&plugin, json!({ "rte": null })), "rte: unknown key `rte` (did you mean `rate`?)");
}

#[test]
fn nothing_new_is_no_change() {
    let plugin = simple();
    for wanted in [json!({}), json!({ "rate": "11/s" }), json!({ "buffer_bytes": "16384KiB", "burst": 1 })] {
        let patched = try_patch(&plugin, wanted).unwrap();
        assert_eq!(patched, Patched { budget: plugin.budget.clone(), what: String::new() });
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once_with_what_is_allowed() {
    let wanted = json!({
        "concurrency": 0, "rate": 50, "burst": -1, "scope": "groop", "buffer": "100", "buffer_bytes": "1KiB",
        "timeout": 30, "cpu": "1 ms", "memory": [], "concurency": 3,
    });
    assert_eq!(
        refusal(&simple(), wanted),
        "buffer: expected a whole number, at least `0`, found: `\"100\"` (write it without quotes: `100`)\n\
         buffer_bytes: expected a value from `64KiB` to `4GiB`, found: `1KiB`\n\
         burst: expected a whole number, at least `0`, found: `-1`\n\
         concurency: unknown key `concurency` (did you mean `concurrency`?)\n\
         concurrency: expected a value from `1` to `10000`, found: `0`\n\
         cpu: expected a value from `5ms` to `1h`, found: `1ms`\n\
         memory: expected a size such as `500B`, `64KiB`, `16MiB` or `1GiB`, found: a list\n\
         rate: expected a rate from `1/day` to `1M/s` such as `11/s`, `600/min`, `10/h` or `950k/day`, found: `50` \
         (say per what: `\"50/s\"` or `\"50/min\"`)\n\
         scope: expected one of `instance`, `group`, found: `\"groop\"` (did you mean `group`?)\n\
         timeout: expected a duration such as `100ms`, `1s`, `5m`, `2h` or `1d`, found: `30` (say of what: `\"30s\"` \
         or `\"30ms\"`)"
    );
}

#[test]
fn absurd_values_are_refused_as_they_stand() {
    let plugin = simple();
    for (wanted, says) in [
        (json!({ "rate": "0/s" }), "rate: expected a rate from `1/day` to `1M/s` such as"),
        (json!({ "rate": "off" }), "found: `\"off\"` (`null` lifts the rate)"),
        (json!({ "concurrency": u64::MAX }), "found: `18446744073709551615`"),
        (json!({ "concurrency": 1e300 }), "expected a whole number"),
        (json!({ "concurrency": 2.5 }), "found: `2.5`"),
        (json!({ "concurrency": true }), "found: `true`"),
        (json!({ "memory": "1TiB" }), "expected a size"),
        (json!({ "timeout": "-1s" }), "expected a duration"),
        (json!({ "timeout": "99999999999d" }), "expected a duration"),
        (json!({ "cpu": {} }), "found: a table"),
        (json!({ "": 1 }), "unknown key ``"),
        (json!({ "keep": true }), "keep: the config alone says whether changes are kept over a restart"),
    ] {
        let refusal = refusal(&plugin, wanted);
        assert!(refusal.contains(says), "{refusal}");
    }
}

#[test]
fn variables_are_not_filled_in_and_the_environment_is_not_shown() {
    let refusal = refusal(&simple(), json!({ "rate": "${HOME:-11/s}", "concurrency": "${HOME}" }));
    assert!(refusal.contains("found: `\"${HOME}\"`") && refusal.contains("`\"${HOME:-11/s}\"`"), "{refusal}");
}

#[test]
fn what_a_file_may_not_say_together_nobody_may() {
    let batcher = plugin("topics = [\"t\"]\nbatchers.load.size = 80");
    assert_eq!(
        refusal(&batcher, json!({ "buffer": 79 })),
        "buffer: a batch of the batcher `load` would never fill: its size is `80`, found: `79` (hold at least `80`)"
    );
    assert!(try_patch(&batcher, json!({ "buffer": 80 })).is_ok());
    // The size of a batcher that the file does not name goes with the buffer.
    assert!(try_patch(&simple(), json!({ "buffer": 1 })).is_ok());

    let matched = plugin("topics = [\"^orders-.*\"]");
    assert!(
        refusal(&matched, json!({ "scope": "group" })).starts_with("scope: the group's rate is shared by")
    );
    assert!(try_patch(&matched, json!({ "scope": "instance" })).is_ok());
}

#[test]
fn more_than_the_running_host_has_room_for_needs_a_restart() {
    let plugin = simple();
    let room = Room { concurrency_max: 8, memory_bytes_min: 1 << 20, memory_bytes_max: 128 << 20 };
    let wanted = json!({ "concurrency": 9, "memory": "129MiB" });
    let problems = patch(&plugin, &plugin.budget, wanted.as_object().unwrap(), room).unwrap_err();
    let said: Vec<_> = problems.iter().map(|problem| (problem.key.as_str(), problem.what.as_str())).collect();
    assert_eq!(
        said,
        [
            ("concurrency", "the running host has room for `8` at the same time"),
            ("memory", "the running host has room for `128MiB` an instance")
        ]
    );
    let wanted = json!({ "memory": "1023KiB" });
    let problems = patch(&plugin, &plugin.budget, wanted.as_object().unwrap(), room).unwrap_err();
    assert_eq!(problems[0].what, "the component does not start with less than `1MiB`");
    let wanted = json!({ "concurrency": 8, "memory": "128MiB", "cpu": "2s" });
    assert!(patch(&plugin, &plugin.budget, wanted.as_object().unwrap(), room).is_ok());
}

#[test]
fn every_key_of_the_file_is_shown_when_it_changes() {
    let mut keys = SHOWN.map(|(key, _)| key).to_vec();
    keys.push(KEEP);
    assert_eq!(keys, file::Budget::KEYS);
}

/// Any budget that a file may have.
fn budgets() -> impl Strategy<Value = Budget> {
    let rates = prop::option::of(
        (1_000..=86_400_000_000_000_u64).prop_map(|nanos| Rate { period: Duration::from_nanos(nanos) }),
    );
    let millis = |limit: super::limits::Limit<Time>| {
        (limit.min.0.as_millis() as u64..=limit.max.0.as_millis() as u64).prop_map(Duration::from_millis)
    };
    let whole = |limit: super::limits::Limit<Count>| limit.min.0..=limit.max.0;
    let bytes = |limit: super::limits::Limit<Bytes>| limit.min.0..=limit.max.0;
    let counts = (whole(limits::CONCURRENCY), whole(limits::BURST), whole(limits::BUFFER));
    let sizes = (bytes(limits::BUFFER_BYTES), bytes(limits::MEMORY));
    let scopes = prop_oneof![Just(Scope::Instance), Just(Scope::Group)];
    (rates, counts, sizes, millis(limits::TIMEOUT), millis(limits::CPU), scopes).prop_map(
        |(rate, (concurrency, burst, buffer), (buffer_bytes, memory), timeout, cpu, scope)| Budget {
            concurrency: concurrency as usize,
            rate,
            burst: burst as u32,
            scope,
            buffer: buffer as usize,
            buffer_bytes: buffer_bytes as usize,
            timeout,
            cpu,
            memory: memory as usize,
            keep: false,
        },
    )
}

/// A value as somebody who tries things might send it.
fn values() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (0_u64..20_000).prop_map(Value::from),
        "[0-9]{1,3}(ms|s|m|MiB|KiB|/s|/min)?".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(json!([1, { "a": null }])),
        Just(json!({ "a": [] })),
    ]
}

fn keys() -> impl Strategy<Value = String> {
    prop_oneof![4 => prop::sample::select(file::Budget::KEYS).prop_map(str::to_owned), 1 => any::<String>()]
}

/// A budget as an object that a client may send.
fn written(budget: &Budget) -> serde_json::Map<String, Value> {
    let value = |(key, show): &(&str, Show)| {
        let shown = show(budget);
        let value = match shown.parse::<u64>() {
            Ok(number) => json!(number),
            Err(_) if shown == "none" => Value::Null,
            Err(_) => json!(shown),
        };
        ((*key).to_owned(), value)
    };
    SHOWN.iter().map(value).collect()
}

proptest! {
    #[test]
    fn any_budget_becomes_any_other(from in budgets(), to in budgets()) {
        let plugin = simple();
        let patched = patch(&plugin, &from, &written(&to), Room::UNBOUNDED).unwrap();
        prop_assert_eq!(&patched.budget, &to);
        prop_assert_eq!(patched.what.is_empty(), from == to);
    }

    #[test]
    fn whatever_is_sent_it_is_all_or_nothing_and_within_what_a_file_may_say(
        now in budgets(),
        wanted in prop::collection::btree_map(keys(), values(), 0..6),
    ) {
        let plugin = simple();
        let wanted: serde_json::Map<_, _> = wanted.into_iter().collect();
        match patch(&plugin, &now, &wanted, Room::UNBOUNDED) {
            Err(problems) => {
                prop_assert!(!problems.is_empty());
                for problem in &problems {
                    prop_assert!(wanted.contains_key(&problem.key), "{:?}", problem);
                }
            }
            Ok(Patched { budget, .. }) => {
                for (key, show) in SHOWN {
                    if !wanted.contains_key(key) {
                        prop_assert_eq!(show(&now), show(&budget));
                    }
                }
                // What is in effect can be said in a file, and is the same there.
                let again = patch(&plugin, &Budget::default(), &written(&budget), Room::UNBOUNDED).unwrap();
                prop_assert_eq!(again.budget, budget);
            }
        }
    }
}
