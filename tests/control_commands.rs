//! The commands that ask a running host and change something at it: what they print, what they end with, and that it
//! happens.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::world::host::{Host, Site, binary, plugin, section};
use crate::world::kafka::Kafka;

/// What a command said.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    /// Asserts how it ended, and that stderr has each of these.
    fn fails(&self, code: i32, says: &[&str]) {
        assert_eq!(self.code, Some(code), "{}\n{}", self.out, self.err);
        for text in says {
            assert!(self.err.contains(text), "stderr lacks `{text}`, it is\n{}", self.err);
        }
    }

    /// Asserts that it has done what it was to do, and that stdout has each of these.
    fn prints(&self, says: &[&str]) {
        assert_eq!((self.code, self.err.as_str()), (Some(0), ""), "{}", self.out);
        for text in says {
            assert!(self.out.contains(text), "stdout lacks `{text}`, it is\n{}", self.out);
        }
    }

    fn json(&self) -> Value {
        self.prints(&[]);
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }
}

/// Runs a command in a folder, in a pipe.
fn gristmill(folder: &Path, arguments: &[&str], token: &str) -> Said {
    let output = Command::new(binary())
        .args(arguments)
        .current_dir(folder)
        .env("GRISTMILL_TOKEN", token)
        .env("USER", "ada")
        .stdin(Stdio::null())
        .output()
        .expect("the binary can be started");
    Said {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).expect("stdout is text"),
        err: String::from_utf8(output.stderr).expect("stderr is text"),
    }
}

/// A host whose plugin `poison` does what its messages say, and the topic that it reads.
struct Case {
    kafka: &'static Kafka,
    host: Host,
    topic: String,
}

impl Case {
    /// `admin` is more of the host's `[admin]`.
    fn new(admin: &str) -> Case {
        let kafka = Kafka::shared();
        let (topic, output) = (Kafka::unique("asked"), Kafka::unique("asked-out"));
        kafka.create_topic(&topic, 2);
        kafka.create_topic(&output, 1);
        let more = format!("output = {output:?}\nretry.attempts = 1");
        let toml = format!("{admin}\n{}", section("poison", &topic, &more));
        let host = Site::new(&kafka.bootstrap(), &toml).start();
        host.wait_ready();
        Case { kafka, host, topic }
    }

    fn produce(&self, messages: &[(&str, &str)]) {
        self.kafka
            .produce(&self.topic, messages.iter().map(|(key, text)| (key.to_string(), text.to_string())));
    }

    /// Runs a command that asks this host.
    fn ask(&self, arguments: &[&str]) -> Said {
        self.ask_with("", arguments)
    }

    fn ask_with(&self, token: &str, arguments: &[&str]) -> Said {
        let admin = ["--admin", self.host.admin()];
        gristmill(Path::new("/"), &[arguments, &admin].concat(), token)
    }

    /// The plugin as `status --json` has it.
    fn status(&self) -> Value {
        self.ask(&["status", "poison", "--json"]).json()
    }
}

#[test]
fn a_host_that_is_not_there_ends_each_command_with_69_and_how_to_mend_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
    let config = format!("[admin]\nlisten = \"{free}\"\n");
    fs::write(dir.path().join("gristmill.toml"), config).expect("a config");
    fs::write(dir.path().join("new.wasm"), "new").expect("a file");
    let commands: [&[&str]; 8] = [
        &["status"],
        &["status", "echo", "--json"],
        &["budget", "echo", "--rate", "11/s"],
        &["swap", "echo", "new.wasm"],
        &["promote", "echo"],
        &["rollback", "echo"],
        &["pause", "echo"],
        &["parked", "echo"],
    ];
    for command in commands {
        let said = gristmill(dir.path(), command, "");
        let tried =
            format!("error: no host answers at `http://{free}` (from `admin.listen` in `gristmill.toml`)");
        said.fails(69, &[&tried, "\n  hint: is `gristmill run` running there?"]);
        assert_eq!(said.out, "", "{command:?}");
    }
    let admin = format!("http://{free}");
    let said = gristmill(dir.path(), &["status", "--admin", &admin], "");
    said.fails(69, &[&format!("no host answers at `http://{free}` (from `--admin`)")]);
}

#[test]
fn what_is_typed_wrong_is_told_before_anybody_is_asked() {
    let dir = tempfile::tempdir().expect("a folder");
    let missing = ["gristmill.toml", "failed to read the file", "`--admin http://HOST:9650`"];
    gristmill(dir.path(), &["status"], "").fails(78, &missing);
    let admin = ["--admin", "127.0.0.1:1"];
    let cases: [(&[&str], &str); 7] = [
        (&["top"], "`gristmill status` prints the same figures once"),
        (&["status", "--message", "in/0/1"], "<PLUGIN>"),
        (&["status", "echo", "--message", "in/0"], "expected TOPIC/PARTITION/OFFSET"),
        (&["parked", "echo", "skip"], "or `--all`"),
        (&["parked", "echo", "skip", "--all"], "`--yes`"),
        (&["swap", "echo", "new.wasm", "--canary", "some"], "such as `5%`"),
        (&["swap", "echo", "new.wasm", "--canary", "5%", "--shadow"], "--shadow"),
    ];
    for (command, says) in cases {
        gristmill(dir.path(), &[command, &admin].concat(), "").fails(2, &[says]);
    }
    let missing = gristmill(dir.path(), &[&["swap", "echo", "new.wasm"][..], &admin].concat(), "");
    missing.fails(78, &["failed to read the component `new.wasm`", "hint: build the plugin"]);
}

#[test]
fn a_plugin_is_shown_in_the_table_in_full_and_as_json() {
    let case = Case::new("");
    case.produce(&[("a", "ok"), ("b", "ok"), ("c", "reject"), ("c", "ok")]);
    case.host.wait_handled("poison", 2);
    case.host.wait_for("to park a lane", || case.status()["parked_lanes"] == 1);
    case.ask(&["status"]).prints(&["PLUGIN ", "\npoison  running ", "none", "0/10", "/100"]);
    let status = case.status();
    assert_eq!((&status["name"], &status["messages"]["handled"]), (&"poison".into(), &2.into()), "{status}");
    let in_full = format!("reads        `{0}` as group `{0}`, in order of key, at-least-once", case.topic);
    case.ask(&["status", "poison"]).prints(&[
        "plugin       poison\nstate        running\n",
        &in_full,
        "outcomes     2 handled, 0 dead-lettered, 1 parked, 0 skipped",
        "  concurrency   10\n",
        "\n1 lane parked\n",
    ]);

    let parked = case.ask(&["parked", "poison", "--json"]).json();
    let lane = &parked["lanes"][0];
    let place = format!("{}/{}/{}", case.topic, lane["partition"], lane["offset"]);
    case.ask(&["status", "poison", "--message", &place]).prints(&[&format!("{place}: parked\n")]);
    case.ask(&["status", "poison", "--key", "c"]).prints(&["the first unfinished of key `c`: parked"]);
    let nope = case.ask(&["status", "nope"]);
    nope.fails(2, &["error: there is no plugin `nope` at `http://", "it has `poison`"]);
    assert_eq!(case.host.stop(), 0);
}

#[test]
fn a_budget_is_changed_at_once_or_not_at_all() {
    let case = Case::new("");
    let metric = |name: &str| case.host.metric(name, &[("plugin", "poison")]);
    let changed = case.ask(&["budget", "poison", "--rate", "50/s", "--concurrency", "3"]);
    changed.prints(&["concurrency of `poison`: 10 -> 3\n", "rate of `poison`: none -> 50/s\n"]);
    assert_eq!((metric("gristmill_budget_rate"), metric("gristmill_budget_concurrency")), (50.0, 3.0));
    case.ask(&["budget", "poison"]).prints(&[
        "concurrency   3 (configured: 10)\n",
        "rate          50/s (configured: none)\n",
        "burst         1\n",
    ]);

    let refused = case.ask(&["budget", "poison", "--rate", "11", "--concurrency", "0", "--burst", "2"]);
    refused.fails(2, &["error: the budget of `poison` stays as it is\n", "concurrency", "rate", "`11/s`"]);
    assert_eq!((metric("gristmill_budget_rate"), metric("gristmill_budget_concurrency")), (50.0, 3.0));
    assert_eq!(case.status()["budget"]["burst"], 1);

    case.ask(&["budget", "poison", "--rate", "none"]).prints(&["rate of `poison`: 50/s -> none\n"]);
    assert_eq!(metric("gristmill_budget_rate"), f64::INFINITY);
    case.ask(&["budget", "poison", "--rate", "none"]).prints(&["is like that already"]);
    let status = case.status();
    let who = status["changes"][0]["by"].as_str().unwrap_or_default();
    assert!(who.starts_with("ada@"), "{status}");
    assert_eq!(case.host.stop(), 0);
}

#[test]
fn a_paused_plugin_starts_nothing_until_it_is_resumed() {
    let case = Case::new("");
    case.ask(&["pause", "poison"]).prints(&["`poison` is paused; it keeps its 2 partitions\n"]);
    assert_eq!(case.status()["state"], "paused");
    case.produce(&[("a", "ok"), ("b", "ok")]);
    case.host.wait_for("to see what it does not start", || case.status()["lag"] == 2);
    assert_eq!(case.host.outcomes("poison", "handled"), 0);
    case.ask(&["resume", "poison"]).prints(&["`poison` goes on: running\n"]);
    case.host.wait_handled("poison", 2);
    assert_eq!(case.host.stop(), 0);
}

#[test]
fn parked_lanes_are_listed_released_and_skipped() {
    let case = Case::new("");
    case.produce(&[("a", "reject"), ("b", "reject"), ("a", "ok"), ("b", "ok")]);
    case.host.wait_for("to park two lanes", || case.status()["parked_lanes"] == 2);
    case.ask(&["parked", "poison"]).prints(&["POSITION", "MESSAGES", "REASON", &case.topic]);
    let parked = case.ask(&["parked", "poison", "--json"]).json();
    let lane = &parked["lanes"][0];
    let place = format!("{}/{}/{}", case.topic, lane["partition"], lane["offset"]);
    case.ask(&["parked", "poison", "release", &place]).prints(&["released 1 lane of `poison`\n"]);
    case.host.wait_for("to park it again", || case.host.outcomes("poison", "parked") == 3);
    case.ask(&["parked", "poison", "skip", "--all", "--yes"]).prints(&["skipped 2 lanes of `poison`\n"]);
    case.host.wait_handled("poison", 2);
    let late = case.ask(&["parked", "poison", "release", &place]);
    late.fails(1, &["the others are not parked any more"]);
    let none = case.ask(&["parked", "poison"]);
    assert_eq!((none.code, none.out.as_str()), (Some(0), ""));
    assert_eq!(none.err, "no lane of `poison` is parked\n");
    assert_eq!(case.host.stop(), 0);
}

#[test]
fn a_swap_says_what_came_in_and_one_that_is_refused_changes_nothing() {
    let case = Case::new("");
    let digest = || case.status()["digest"].as_str().unwrap_or_default().to_owned();
    let dir = tempfile::tempdir().expect("a folder");
    let garbage = dir.path().join("garbage.wasm");
    fs::write(&garbage, "no wasm").expect("a file");
    let garbage = garbage.to_str().expect("a name that is text");
    let before = digest();
    let refused = case.ask(&["swap", "poison", garbage]);
    refused.fails(78, &["error: the component of `poison` stays as it is", "this is not WebAssembly"]);
    assert_eq!(digest(), before);
    case.ask(&["promote", "poison"]).fails(1, &["the component of `poison` stays as it is"]);

    let echo = plugin("echo");
    let swap = ["swap", "poison", echo.to_str().expect("a name that is text"), "--accept-new-imports"];
    let swapped = case.ask(&swap);
    let after = digest();
    assert_ne!(after, before);
    let short = |digest: &str| digest.trim_start_matches("sha256:")[..8].to_owned();
    swapped.prints(&[&format!("`poison`: `{}` -> `{}`\n", short(&before), short(&after))]);
    let back = case.ask(&["rollback", "poison"]);
    back.prints(&[&format!("`poison`: `{}` -> `{}`, rolled back\n", short(&after), short(&before))]);
    assert_eq!(digest(), before);
    let canary = case.ask(&[&swap[..], &["--canary", "5%"]].concat());
    canary.prints(&[&format!(
        "`{}` is a canary on 5% of the lanes, beside `{}`",
        short(&after),
        short(&before)
    )]);
    case.ask(&["status"]).prints(&[&format!("poison: canary of {} on 5%", short(&after))]);
    case.ask(&["promote", "poison", "--json"]).json();
    assert_eq!(digest(), after);
    assert_eq!(case.host.stop(), 0);
}

#[test]
fn a_token_that_is_wrong_or_missing_is_told_with_where_it_comes_from() {
    let case = Case::new("token = \"grain\"");
    case.ask_with("", &["status"]).fails(1, &["asks for a token", "`GRISTMILL_TOKEN`"]);
    let wrong = case.ask_with("chaff", &["pause", "poison"]);
    wrong.fails(1, &["does not accept the token from `GRISTMILL_TOKEN`"]);
    assert!(!wrong.err.contains("chaff"), "{}", wrong.err);
    case.ask_with("grain", &["status"]).prints(&["\npoison  running "]);
    assert_eq!(case.host.stop(), 0);
}
