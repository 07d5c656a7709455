//! The dashboard in a real browser, on a real host: what operators see, and what they do with it. The script that does it
//! is `dashboard/check.mjs`.

use std::path::Path;
use std::process::Command;

use crate::world::host::{Site, plugin, section};
use crate::world::kafka::Kafka;

/// Enough for the plugin to be at work for as long as the script takes.
const MESSAGES: usize = 20_000;

#[test]
fn operators_see_and_steer_a_plugin_in_a_browser() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboard");
    let fetched = Command::new(folder.join("fetch.sh")).status().expect("`tests/dashboard/fetch.sh` runs");
    assert!(fetched.success(), "no browser could be set up: tests/dashboard/fetch.sh says why");

    let (kafka, topic, token) = (Kafka::shared(), Kafka::unique("dashboard"), "grain and stone");
    kafka.create_topic(&topic, 4);
    kafka.produce(&topic, (0..MESSAGES).map(|i| (i.to_string(), "a message".to_owned())));
    let wait = section("wait", &topic, "[plugins.wait.budget]\nconcurrency = 4\nrate = \"20/s\"");
    let host = Site::new(&kafka.bootstrap(), &format!("token = {token:?}\n{wait}")).start();
    host.wait_ready();

    let output = Command::new("node")
        .arg(folder.join("check.mjs"))
        .args([host.admin(), token, "wait"])
        .args([plugin("noop"), plugin("wait")])
        .output()
        .expect("`node` runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
}
