//! What changed between two configs, as files.

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::config::check;

const ONE: &str = "component = \"one.wasm\"\ntopics = [\"a\"]\n";

/// A config with these plugins, each with its table.
fn config(plugins: &[(&str, &str)]) -> Config {
    config_with("", plugins)
}

fn config_with(head: &str, plugins: &[(&str, &str)]) -> Config {
    let tables = plugins.iter().map(|(name, table)| format!("[plugins.{name}]\n{table}"));
    let text = format!("{head}{}", tables.collect::<String>());
    let parsed = check::parse(&text, Path::new("gristmill.toml"), &|_| None);
    parsed.unwrap_or_else(|problems| panic!("{text}\n{problems}")).config
}

/// What becomes of a plugin whose table gets `more`.
fn with(more: &str) -> Change {
    let (old, new) = (config(&[("p", ONE)]), config(&[("p", &format!("{ONE}{more}"))]));
    let there = diff(&old, &new).plugins["p"].clone();
    assert_eq!(diff(&new, &old).plugins["p"], there, "the way back of `{more}`");
    there
}

#[test]
fn every_key_that_a_plugin_is_brought_up_with_has_it_begin_anew() {
    for (more, key) in [
        ("group = \"g\"", "group"),
        ("start = \"latest\"", "start"),
        ("order = \"none\"", "order"),
        ("output = \"o\"", "output"),
        ("drain = \"3s\"", "drain"),
        ("config = { x = \"y\" }", "config"),
        ("instances = \"per-message\"", "instances"),
        ("kafka.brokers = [\"other:9092\"]", "kafka"),
        ("retry.attempts = 3", "retry"),
        ("failure.action = \"skip\"", "failure"),
        ("canary.traps = 9", "canary"),
        ("delivery = \"exactly-once\"", "delivery"),
        ("batchers.default.size = 10", "batchers"),
        ("allow.produce = [\"o\"]", "allow"),
    ] {
        assert_eq!(with(more), Change::Anew(vec![key]), "{more}");
    }
    let both = with("order = \"none\"\ngroup = \"g\"\nbudget.rate = \"1/s\"");
    assert_eq!(both, Change::Anew(vec!["group", "order"]));
    let old = config(&[("p", "component = \"one.wasm\"\ntopics = [\"b\"]\n")]);
    assert_eq!(diff(&old, &config(&[("p", ONE)])).plugins["p"], Change::Anew(vec!["topics"]));
}

#[test]
fn a_budget_changes_live_and_a_component_is_known_by_what_is_in_its_file() {
    for more in ["rate = \"11/s\"", "concurrency = 3", "buffer = 7", "memory = \"1MiB\"", "keep = true"] {
        assert_eq!(with(&format!("budget.{more}")), Change::Budget, "{more}");
    }
    let moved = config(&[("p", "component = \"elsewhere/two.wasm\"\ntopics = [\"a\"]\n")]);
    assert_eq!(diff(&config(&[("p", ONE)]), &moved).plugins["p"], Change::Same);
}

#[test]
fn host_and_admin_are_told_and_the_cluster_is_every_plugin_s() {
    let old = config(&[("p", ONE), ("q", ONE)]);
    for (head, ignored) in [
        ("[host]\nthreads = 7\n", vec!["[host]"]),
        ("[admin]\nlisten = \"\"\n", vec!["[admin]"]),
        ("[host]\ndata = \"x\"\n[admin]\ntoken = \"t\"\n", vec!["[host]", "[admin]"]),
    ] {
        let difference = diff(&old, &config_with(head, &[("p", ONE), ("q", ONE)]));
        assert_eq!(difference.ignored, ignored);
        assert!(difference.plugins.values().all(|change| *change == Change::Same));
    }
    let moved = diff(&old, &config_with("[kafka]\nbrokers = [\"other:9092\"]\n", &[("p", ONE), ("q", ONE)]));
    assert!(moved.plugins.values().all(|change| *change == Change::Anew(vec!["kafka"])), "{moved:?}");
}

/// What can stand in a plugin's table: nothing that matters, budgets, and keys that it is brought up with.
const TABLES: [&str; 5] =
    ["", "budget.rate = \"1/s\"", "budget.buffer = 5", "retry.attempts = 3", "drain = \"1s\""];

proptest! {
    #[test]
    fn each_plugin_has_the_change_that_it_would_have_alone(
        old in prop::collection::btree_map("[a-e]", 0..TABLES.len(), 1..5),
        new in prop::collection::btree_map("[a-e]", 0..TABLES.len(), 1..5),
    ) {
        let config_of = |plugins: &BTreeMap<String, usize>| {
            let table = |index: &usize| format!("{ONE}{}\n", TABLES[*index]);
            let tables: Vec<_> = plugins.iter().map(|(name, index)| (name.as_str(), table(index))).collect();
            config(&tables.iter().map(|(name, table)| (*name, table.as_str())).collect::<Vec<_>>())
        };
        let found = diff(&config_of(&old), &config_of(&new)).plugins;
        let names: Vec<&String> = old.keys().chain(new.keys()).collect();
        prop_assert!(names.iter().all(|name| found.contains_key(name.as_str())));
        for (name, change) in &found {
            let is_budget = |index: &usize| TABLES[*index].is_empty() || TABLES[*index].starts_with("budget");
            match (old.get(&**name), new.get(&**name)) {
                (None, Some(_)) => prop_assert_eq!(change, &Change::Added),
                (Some(_), None) => prop_assert_eq!(change, &Change::Removed),
                (Some(a), Some(b)) if a == b => prop_assert_eq!(change, &Change::Same),
                (Some(a), Some(b)) if is_budget(a) && is_budget(b) => prop_assert_eq!(change, &Change::Budget),
                _ => prop_assert!(matches!(change, Change::Anew(_))),
            }
        }
    }
}
