//! The admin API of a running host: who looks in sees what is, who changes something sees it changed, and whatever is
//! sent, the answers are what `/openapi.json` says.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::world::host::{Host, Site, plugin, section};
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

/// Asks something of the plugin; the status of the answer, and the answer.
fn ask(host: &Host, method: &str, path: &str, body: &[u8]) -> (u16, Value) {
    let request = format!("{method} /api/v1/plugins/poison/{path}");
    let (status, answer) = host.ask(&request, "Gristmill-User: ada\r\n", body);
    (status, serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{request}: {status} {answer}")))
}

/// Asks for parked lanes to go on; how many do.
fn go_on(host: &Host, way: &str, which: &Value) -> u64 {
    let (status, answer) = ask(host, "POST", &format!("parked/{way}"), which.to_string().as_bytes());
    assert_eq!(status, 200, "{answer}");
    answer["lanes"].as_u64().expect("how many")
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

    assert_eq!(go_on(&host, "skip", &json!({ "lanes": [place(0)] })), 1);
    assert_eq!(go_on(&host, "skip", &json!({ "lanes": [place(0)] })), 0);
    host.wait_for("to go on behind it", || host.outcomes("poison", "handled") == 1);
    // What is released is tried again, and parked again.
    assert_eq!(go_on(&host, "release", &json!({ "lanes": [place(1)] })), 1);
    host.wait_for("to park it again", || host.outcomes("poison", "parked") == 4);
    assert_eq!(go_on(&host, "skip", &json!({ "all": true })), 2);
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
fn a_component_is_put_in_tried_and_taken_out_and_what_is_refused_is_told_why() {
    let (host, _) = host(Kafka::shared(), "");
    let component = |name: &str| fs::read(plugin(name)).expect("a guest");
    let first = shown(&host)["digest"].clone();
    let (status, swapped) = ask(&host, "PUT", "component", &component("noop"));
    assert_eq!((status, &swapped["result"]), (200, &json!("swapped")), "{swapped}");
    assert_eq!(shown(&host)["component"]["previous"], first);
    for (body, says) in [(b"no component".to_vec(), "not WebAssembly"), (component("wrong-world"), "handler")]
    {
        let (status, refused) = ask(&host, "PUT", "component?canary=5", &body);
        assert_eq!(status, 422, "{refused}");
        assert!(refused["detail"].as_str().is_some_and(|detail| detail.contains(says)), "{refused}");
        assert_eq!(shown(&host)["last_swap"]["result"], "refused");
    }
    let (status, nothing) = ask(&host, "POST", "promote", b"");
    assert_eq!(status, 409, "{nothing}");
    // It reads the clock, which the one that runs does not.
    let (status, refused) = ask(&host, "PUT", "component?canary=5", &component("stamp"));
    assert!(status == 422 && refused["detail"].to_string().contains("`wasi:clocks/"), "{refused}");
    let how = "component?canary=5%25&accept_new_imports=true";
    let (status, tried) = ask(&host, "PUT", how, &component("stamp"));
    assert_eq!((status, &tried["result"]), (200, &json!("canary")), "{tried}");
    assert_eq!(shown(&host)["trial"]["percent"], 5.0);
    assert_eq!(ask(&host, "PUT", "component", &component("echo")).0, 409);
    assert_eq!(ask(&host, "POST", "promote", b"").0, 200);
    assert_eq!(shown(&host)["digest"], tried["trial"]);
    assert_eq!(ask(&host, "POST", "rollback", b"").0, 200);
    assert_eq!(shown(&host)["digest"], swapped["digest"]);
    let (status, loading) = ask(&host, "PUT", "component?wait=false", &component("echo"));
    assert_eq!((status, &loading["result"]), (202, &json!("loading")), "{loading}");
    let counted = |result: &str| host.metric("gristmill_swaps_total", &[("result", result)]);
    host.wait_for("to swap", || counted("done") == 3.0);
    assert_eq!(shown(&host)["component"]["previous"], swapped["digest"]);
    assert_eq!([counted("refused"), counted("rolled-back")], [3.0, 1.0]);
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
