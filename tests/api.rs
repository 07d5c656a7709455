//! The admin API of a running host: who looks in sees what is, who changes something sees it changed, and whatever is
//! sent, the answers are what `/openapi.json` says.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::world::host::{Host, Site, section};
use crate::world::kafka::Kafka;

/// A host with the plugin `poison`, whose messages do what they say; and its topic. `admin` is more of `[admin]`.
fn host(kafka: &Kafka, admin: &str) -> (Host, String) {
    let (topic, output) = (Kafka::unique("api"), Kafka::unique("api-out"));
    kafka.create_topic(&topic, 2);
    kafka.create_topic(&output, 1);
    let more = format!("output = {output:?}\nretry.attempts = 1");
    let site = Site::new(&kafka.bootstrap(), &format!("{admin}\n{}", section("poison", &topic, &more)));
    let host = site.start();
    host.wait_ready();
    (host, topic)
}

/// The plugin as the API shows it.
fn shown(host: &Host) -> Value {
    let (status, body) = host.get("/api/v1/plugins/poison");
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).expect("JSON")
}

/// Asks something of the plugin, and returns the answer to it.
fn ask(host: &Host, method: &str, path: &str, body: &Value) -> Value {
    let request = format!("{method} /api/v1/plugins/poison/{path}");
    let (status, answer) =
        host.ask(&request, "Content-Type: application/json\r\nGristmill-User: ada\r\n", &body.to_string());
    assert_eq!(status, 200, "{request} {body}: {answer}");
    serde_json::from_str(&answer).expect("JSON")
}

#[test]
fn parked_lanes_are_listed_released_and_skipped_one_by_one() {
    let kafka = Kafka::shared();
    let (host, topic) = host(kafka, "");
    kafka.produce(&topic, ["a", "b", "c"].map(|key| (key.to_owned(), "reject".to_owned())));
    kafka.produce(&topic, ["a", "b", "c"].map(|key| (key.to_owned(), "ok".to_owned())));
    host.wait_for("to park three lanes", || shown(&host)["parked_lanes"] == 3);
    let (_, body) = host.get("/api/v1/plugins/poison/parked");
    let parked: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(parked["total"], 3, "{parked}");
    let place = |lane: usize| {
        let lane = &parked["lanes"][lane];
        json!({ "topic": lane["topic"], "partition": lane["partition"], "offset": lane["offset"] })
    };
    host.wait_for("to give advice", || shown(&host)["advice"][0]["about"] == "parked");

    assert_eq!(ask(&host, "POST", "parked/skip", &json!({ "lanes": [place(0)] })), json!({ "lanes": 1 }));
    assert_eq!(ask(&host, "POST", "parked/skip", &json!({ "lanes": [place(0)] })), json!({ "lanes": 0 }));
    host.wait_for("to go on behind it", || host.outcomes("poison", "handled") == 1);
    // What is released is tried again, and parked again.
    assert_eq!(ask(&host, "POST", "parked/release", &json!({ "lanes": [place(1)] })), json!({ "lanes": 1 }));
    host.wait_for("to park it again", || host.outcomes("poison", "parked") == 4);
    assert_eq!(ask(&host, "POST", "parked/skip", &json!({ "all": true })), json!({ "lanes": 2 }));
    host.wait_for("to go on with all", || {
        host.outcomes("poison", "handled") == 3 && host.outcomes("poison", "skipped") == 3
    });
    host.wait_for("to have no lag", || shown(&host)["lag"] == 0);
    let changes = &shown(&host)["changes"];
    assert_eq!(changes.as_array().map(Vec::len), Some(3), "{changes}");
    assert!(changes[0]["by"].as_str().is_some_and(|by| by.starts_with("ada from 127.0.0.1:")), "{changes}");
    assert_eq!(host.stop(), 0);
}

#[test]
fn whatever_is_sent_the_answers_are_what_the_document_says() {
    let kafka = Kafka::shared();
    let (host, topic) = host(kafka, "token = \"grain\"");
    let words = ["ok", "reject", "sleep:20", "trap"];
    kafka.produce(&topic, (0..400).map(|i| (i.to_string(), words[i % words.len()].to_owned())));
    let root =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the repository's root");
    let tool = root.join("target/tools/schemathesis/bin/schemathesis");
    assert!(tool.exists(), "`{}` is missing: run tests/schemathesis/fetch.sh (make fuzz)", tool.display());
    let dir = tempfile::tempdir().expect("a folder for what schemathesis writes");
    let output = Command::new(tool)
        .current_dir(dir.path())
        .arg("--config-file")
        .arg(root.join("tests/schemathesis/schemathesis.toml"))
        .arg("run")
        .arg(format!("http://{}/openapi.json", host.admin()))
        .args(["--header", "Authorization: Bearer grain", "--no-color"])
        .output()
        .expect("schemathesis runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    println!("{said}");
    assert_eq!(host.get("/healthz").0, 200);
    assert_eq!(host.stop(), 0);
}
