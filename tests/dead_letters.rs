//! Dead letters as an operator handles them: listed, shown, tried on a component; and, in `replay`, sent back once.

mod replay;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::world::host::{binary, plugin};
use crate::world::kafka::{Isolation, Kafka, Record, Stored};

/// A dead-letter topic and the topic that its letters came from.
struct World {
    kafka: &'static Kafka,
    dead: String,
    from: String,
    dir: tempfile::TempDir,
}

/// What a command said.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{}\n{}", self.out, self.err);
        self.out
    }

    /// The objects of JSON lines.
    fn objects(self) -> Vec<Value> {
        self.ok().lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }
}

impl World {
    fn new(partitions: i32) -> World {
        let kafka = Kafka::shared();
        let (dead, from) = (Kafka::unique("dead"), Kafka::unique("orders"));
        kafka.create_topic(&dead, partitions);
        kafka.create_topic(&from, 2);
        World { kafka, dead, from, dir: tempfile::tempdir().expect("a folder") }
    }

    /// A letter as the host writes it, of the message at `FROM/1/OFFSET`.
    fn letter(&self, offset: usize, reason: &str) -> Record {
        Record::new(format!("key{offset}"), format!("{{\"customer\":\"c{offset}\"}}"))
            .on_partition(0)
            .with_header("trace", format!("t{offset}"))
            .with_header("gristmill-plugin", "enrich")
            .with_header("gristmill-reason", reason)
            .with_header("gristmill-attempts", "5")
            .with_header("gristmill-topic", self.from.as_str())
            .with_header("gristmill-partition", "1")
            .with_header("gristmill-offset", offset.to_string())
            .with_header("gristmill-timestamp", "1700000000000")
            .with_header("gristmill-component", format!("sha256:{}", "0f".repeat(32)))
    }

    fn put(&self, letters: impl IntoIterator<Item = Record>) {
        self.kafka.produce(&self.dead, letters);
    }

    /// Runs `gristmill dead-letters` on the topic.
    fn run(&self, arguments: &[&str]) -> Said {
        let brokers = self.kafka.bootstrap();
        self.run_bare(&[arguments, &["--topic", &self.dead, "--brokers", &brokers]].concat())
    }

    fn run_bare(&self, arguments: &[&str]) -> Said {
        let output = Command::new(binary())
            .arg("dead-letters")
            .args(arguments)
            .current_dir(self.dir.path())
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .output()
            .expect("the binary can be started");
        Said {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).expect("stdout is text"),
            err: String::from_utf8(output.stderr).expect("stderr is text"),
        }
    }

    /// The positions that `list` has.
    fn listed(&self, arguments: &[&str]) -> Vec<String> {
        let said = self.run(&[&["list", "--json"], arguments].concat());
        let place = |object: &Value| format!("{}/{}", object["partition"], object["offset"]);
        said.objects().iter().map(place).collect()
    }

    /// What came back, sorted by its key.
    fn came_back(&self) -> Vec<Stored> {
        let mut all = self.kafka.consume_all(&self.from, Isolation::ReadCommitted);
        all.sort_by(|one, other| one.key.cmp(&other.key));
        all
    }

    /// How many came back.
    fn count(&self) -> usize {
        self.came_back().len()
    }
}

#[test]
fn letters_are_listed_with_where_they_came_from_and_why() {
    let world = World::new(2);
    world.put([
        world.letter(0, "rejected: no\ncustomer \u{1b}[31m"),
        Record::new(vec![0xff], vec![0xfe]).on_partition(0).with_header("other", vec![0xfd]),
        world.letter(2, "timeout: took longer than 30s").on_partition(1),
    ]);
    let table = world.run(&["list"]).ok();
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["POSITION", "FROM", "PLUGIN", "ATTEMPTS", "AGE", "REASON"]);
    let place = |partition: i32, offset: i64| format!("{}/{partition}/{offset}", world.dead);
    let origin = format!("{}/1/0", world.from);
    assert_eq!(rows[1][..4], [place(0, 0).as_str(), &origin, "enrich", "5"]);
    assert_eq!(rows[1][5..], ["rejected:", "no", "customer", "\\u{1b}[31m"]);
    assert_eq!(rows[2][..4], [place(0, 1).as_str(), "-", "-", "-"]);
    assert_eq!(rows[2][5..].join(" "), "(not written by gristmill)");
    assert_eq!(rows[3][0], place(1, 0));

    let objects = world.run(&["list", "--json"]).objects();
    assert_eq!(objects.len(), 3);
    assert_eq!(objects[0]["position"], place(0, 0));
    assert_eq!(
        (&objects[0]["key"], &objects[0]["payload"]),
        (&json!("key0"), &json!("{\"customer\":\"c0\"}"))
    );
    assert_eq!(objects[0]["headers"][0], json!({"name": "trace", "value": "t0"}));
    let note = &objects[0]["dead_letter"];
    assert_eq!(
        (&note["plugin"], &note["attempts"], &note["offset"]),
        (&json!("enrich"), &json!(5), &json!(0))
    );
    assert_eq!((&note["timestamp"], &objects[0]["replayed"]), (&json!(1_700_000_000_000_i64), &json!(false)));
    assert_eq!(objects[1]["dead_letter"], Value::Null);
    assert_eq!(objects[1]["payload"], json!({"base64": "/g=="}));
    assert_eq!(objects[1]["headers"], json!([{"name": "other", "value": {"base64": "/Q=="}}]));
}

#[test]
fn filters_choose() {
    let world = World::new(2);
    let old = 1_700_000_000_000;
    world.put([
        world.letter(0, "Timeout: slow").at(old),
        world.letter(1, "rejected"),
        world.letter(2, "timeout: slow").on_partition(1),
        Record::new("foreign", "x").on_partition(1),
    ]);
    assert_eq!(world.listed(&[]), ["0/0", "0/1", "1/0", "1/1"]);
    assert_eq!(world.listed(&["--reason", "TIMEOUT"]), ["0/0", "1/0"]);
    assert_eq!(world.listed(&["--reason", "timeout", "--since", "2h"]), ["1/0"]);
    assert_eq!(world.listed(&["--key", "key1"]), ["0/1"]);
    assert_eq!(world.listed(&["--from", &world.from]), ["0/0", "0/1", "1/0"]);
    assert_eq!(world.listed(&["--from", "elsewhere"]), [""; 0]);
    assert_eq!(world.listed(&["--limit", "2"]), ["0/0", "0/1"]);
    assert_eq!(world.listed(&["--limit", "0"]), [""; 0]);
    let said = world.run(&["list", "--key", "nobody"]);
    assert!(said.err.contains("no such dead letter in"), "{}", said.err);
    assert_eq!(said.ok(), "");
}

#[test]
fn show_has_the_whole_of_a_letter() {
    let world = World::new(1);
    let reason = format!("rejected: {}\nsecond line", "long ".repeat(60).trim_end());
    let letter = world.letter(7, &reason).with_header("gristmill-failure-handler", "it trapped");
    world.put([letter, Record::tombstone(vec![0xff, b'a'])]);
    let page = world.run(&["show", "0/0"]).ok();
    for part in [
        format!("position         {}/0/0\n", world.dead),
        format!("from             {}/1/7\n", world.from),
        "  produced       2023-11-14T22:13:20Z (".to_owned(),
        format!("  component      sha256:{}\n", "0f".repeat(32)),
        "attempts         5\n".to_owned(),
        "long\n                 second line\n".to_owned(),
        "failure handler  it trapped\n".to_owned(),
        "\nkey (4 bytes)\nkey7\n".to_owned(),
        "\nheaders\n  trace          t7\n".to_owned(),
        "\npayload (17 bytes)\n{\"customer\":\"c7\"}\n".to_owned(),
    ] {
        assert!(page.contains(&part), "lacks\n{part}\n--- it is\n{page}");
    }
    let brokers = world.kafka.bootstrap();
    let page = world.run_bare(&["show", &format!("{}/0/1", world.dead), "--brokers", &brokers]).ok();
    assert!(page.contains("(not written by gristmill)"), "{page}");
    assert!(
        page.contains("\nkey (2 bytes)\n00000000  ff 61 ") && page.ends_with("\npayload\n(none)\n"),
        "{page}"
    );
    for nowhere in ["0/2", "1/0"] {
        let said = world.run(&["show", nowhere]);
        assert_eq!(said.code, Some(1));
        assert!(
            said.err.contains(&format!("there is no letter at `{}/{nowhere}`", world.dead)),
            "{}",
            said.err
        );
    }
}

#[test]
fn a_broker_that_is_not_there_is_noticed_soon() {
    let world = World::new(1);
    for arguments in [&["list"][..], &["show", "0/0"], &["replay", "--all"]] {
        let began = Instant::now();
        let said = world.run_bare(&[arguments, &["--topic", "dead", "--brokers", "127.0.0.1:1"]].concat());
        assert_eq!(said.code, Some(69), "{}", said.err);
        assert!(said.err.contains("no answer within 5000 ms from Kafka at `127.0.0.1:1`"), "{}", said.err);
        assert!(began.elapsed() < Duration::from_secs(20), "took {:?}", began.elapsed());
    }
}

#[test]
fn usage_says_what_is_missing_and_the_config_is_heeded() {
    let world = World::new(1);
    world.put([world.letter(0, "rejected")]);
    let said = world.run(&["replay"]);
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("which ones? Name POSITIONs, a filter"), "{}", said.err);
    for (arguments, says) in [
        (&["show", "x/1"][..], "expected PARTITION/OFFSET or TOPIC/PARTITION/OFFSET"),
        (&["replay", "0/1", "--all"], "cannot be used with"),
        (&["list", "--since", "2 parsecs"], "expected a duration such as"),
        (&["show", "other/0/1"], "one topic at a time"),
    ] {
        let said = world.run(arguments);
        assert_eq!(said.code, Some(2), "{}", said.err);
        assert!(said.err.contains(says), "{}", said.err);
    }
    let said = world.run_bare(&["list", "--topic", &world.dead]);
    assert_eq!(said.code, Some(78), "{}", said.err);

    let toml = format!(
        "[kafka]\nbrokers = [{:?}]\n[plugins.enrich]\ncomponent = \"enrich.wasm\"\ntopics = [\"in\"]\n",
        world.kafka.bootstrap()
    );
    std::fs::write(world.dir.path().join("gristmill.toml"), toml).expect("the config can be written");
    let out = world.run_bare(&["list", "--topic", &world.dead]).ok();
    assert!(out.contains("rejected"), "{out}");
    assert!(world.run_bare(&["list", "enrich", "--topic", &world.dead]).ok().contains("rejected"));
    let said = world.run_bare(&["list", "enirch", "--topic", &world.dead]);
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("there is no plugin `enirch` in the config; it has `enrich`"), "{}", said.err);
}

#[test]
fn letters_are_tried_on_a_component_and_stay_where_they_are() {
    let world = World::new(1);
    let order = r#"{"customer":"c","items":[{"quantity":2,"unit_cents":50}]}"#;
    let fine = Record { payload: Some(order.into()), ..world.letter(1, "rejected") };
    world.put([world.letter(0, "rejected"), fine]);
    let said = world.run(&["replay", "--all", "--through", plugin("enrich").to_str().expect("a path")]);
    assert_eq!(said.code, Some(1), "{}", said.err);
    assert!(said.err.contains("tried 2 letters: 1 failed"), "{}", said.err);
    let lines: Vec<Value> = said.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((&lines[0]["outcome"], &lines[1]["outcome"]), (&json!("failed"), &json!("handled")));
    assert_eq!(lines[0]["position"], format!("{}/0/0", world.dead));
    assert!(
        lines[0]["reason"].as_str().is_some_and(|reason| reason.starts_with("rejected: ")),
        "{}",
        lines[0]
    );
    assert!(
        lines[1]["outputs"][0]["payload"].as_str().is_some_and(|text| text.contains("total")),
        "{}",
        lines[1]
    );
    assert_eq!((world.count(), world.listed(&[]).len()), (0, 2));

    // The guest gets the message that it was.
    let objects =
        world.run(&["replay", "0/0", "--through", plugin("echo").to_str().expect("a path")]).objects();
    let output = &objects[0]["outputs"][0];
    assert_eq!((&output["key"], &output["payload"]), (&json!("key0"), &json!("{\"customer\":\"c0\"}")));
    assert_eq!(output["headers"], json!([{"name": "trace", "value": "t0"}]));

    let said = world.run(&["replay", "--all", "--through", "missing.wasm"]);
    assert_eq!(said.code, Some(78));
    assert!(said.err.contains("missing.wasm\n  failed to read the component"), "{}", said.err);
}
