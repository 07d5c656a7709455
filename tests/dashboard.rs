//! The dashboard in a real browser, on a real host: what operators see, and what they do with it (`dashboard/check.mjs`);
//! and what of it can be tried without a browser (`dashboard/parts.mjs`).

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::world::host::{Site, plugin, section};
use crate::world::kafka::Kafka;

/// Enough for the plugin to be at work for as long as the script takes.
const MESSAGES: usize = 20_000;

#[test]
fn operators_see_and_steer_a_plugin_in_a_browser() {
    let fetched = Command::new(file("fetch.sh")).status().expect("`tests/dashboard/fetch.sh` runs");
    assert!(fetched.success(), "no browser could be set up: tests/dashboard/fetch.sh says why");

    let (kafka, topic, token) = (Kafka::shared(), Kafka::unique("dashboard"), "grain and stone");
    kafka.create_topic(&topic, 4);
    kafka.produce(&topic, (0..MESSAGES).map(|i| (i.to_string(), "a message".to_owned())));
    let wait = section("wait", &topic, "[plugins.wait.budget]\nconcurrency = 4\nrate = \"20/s\"");
    let site = Site::new(&kafka.bootstrap(), &format!("token = {token:?}\n{wait}"));
    let host = site.start();
    host.wait_ready();

    // Of the two components the first imports less than the one that runs, which is the second.
    let components = [plugin("noop"), plugin("wait")];
    run(Command::new("node").arg(file("check.mjs")).args([host.admin(), token, "wait"]).args(components));
}

#[test]
fn what_the_dashboard_makes_of_figures_is_right() {
    run(Command::new("node").arg("--test").arg(file("parts.mjs")));
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboard").join(name)
}

/// Runs a script, and fails with all that it said.
fn run(command: &mut Command) {
    let output = command.output().expect("`node` runs: Node.js 20 or newer is needed");
    let [said, complained] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(output.status.success(), "{said}\n{complained}");
}
