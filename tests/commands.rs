//! What a user types and reads: `check`, `run`, `schema` and `completions` from outside, with their texts and exit codes.
//! None of it needs a broker.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::world::host::{binary, plugin};

/// A core module with nothing in it: the magic number and version 1.
const CORE_MODULE: &[u8] = b"\0asm\x01\0\0\0";

/// What a command said.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    /// Asserts that stderr has each of these blocks, and ends with how many there are.
    fn problems(&self, blocks: &[&str]) {
        assert_eq!(self.code, Some(78), "{}", self.err);
        for block in blocks {
            assert!(self.err.contains(block), "stderr lacks\n{block}\n--- it is\n{}", self.err);
        }
        let plural = if blocks.len() == 1 { "" } else { "s" };
        let count = format!("\nerror: {} problem{plural} with `gristmill.toml`\n", blocks.len());
        assert!(self.err.ends_with(&count), "stderr does not end with {count}--- it is\n{}", self.err);
    }
}

fn gristmill(folder: &Path, arguments: &[&str]) -> Said {
    let output = Command::new(binary())
        .args(arguments)
        .current_dir(folder)
        .env_remove("GRISTMILL_TOKEN")
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

/// A folder with a `gristmill.toml` that begins with a cluster which nobody is at.
fn folder(toml: &str) -> TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("gristmill.toml"), format!("kafka.brokers = [\"127.0.0.1:1\"]\n{toml}"))
        .expect("the config can be written");
    dir
}

/// A plugin `name` with the component at `component`, on four lines.
fn table(name: &str, component: &Path) -> String {
    format!("\n[plugins.{name}]\ncomponent = {component:?}\ntopics = [\"in\"]\n")
}

#[test]
fn a_config_that_holds_is_fine_without_any_network() {
    // Whoever connects to this would be seen.
    let broker = TcpListener::bind("127.0.0.1:0").expect("a port");
    broker.set_nonblocking(true).expect("a listener that does not wait");
    let dir = folder(&format!(
        "{}[plugins.echo.kafka]\nbrokers = [\"{}\"]\n[plugins.echo.budget]\nburst = 2\n",
        table("echo", &plugin("echo")),
        broker.local_addr().expect("its address")
    ));
    let began = Instant::now();
    let said = gristmill(dir.path(), &["check"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(began.elapsed() < Duration::from_secs(30), "took {:?}", began.elapsed());
    assert!(said.out.starts_with("plugin `echo`: gristmill:plugin/handler@0.1.0 in "), "{}", said.out);
    assert!(said.out.contains("\n  reads `in` as group `gristmill-echo`, writes nothing\n"), "{}", said.out);
    assert!(
        said.out.contains("concurrency 10, rate unlimited, buffer 100 messages or 16MiB"),
        "{}",
        said.out
    );
    assert!(said.out.ends_with("gristmill.toml: no problems\n"), "{}", said.out);
    let note =
        "gristmill.toml:9:9: plugins.echo.budget.burst\n  note: `burst` has no effect without a `rate`\n";
    assert_eq!(said.err, note);
    assert!(broker.accept().is_err(), "`check` has connected to the broker");
}

#[test]
fn check_tells_machines_what_it_tells_people() {
    let dir = folder(&table("echo", &plugin("echo")));
    let said = gristmill(dir.path(), &["check", "--json"]);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    let json: Value = serde_json::from_str(&said.out).expect("stdout is JSON");
    assert_eq!(json["plugins"][0]["name"], "echo");
    assert_eq!(json["plugins"][0]["kind"], "gristmill:plugin/handler@0.1.0");
    assert_eq!(json["plugins"][0]["digest"].as_str().map(str::len), Some("sha256:".len() + 64));
    assert_eq!(json["problems"], serde_json::json!([]));

    let dir = folder(&format!("{}rate = 3\n", table("echo", &plugin("echo"))));
    let said = gristmill(dir.path(), &["check", "--json"]);
    assert_eq!((said.code, said.err.as_str()), (Some(78), ""));
    let json: Value = serde_json::from_str(&said.out).expect("stdout is JSON");
    assert_eq!(json["plugins"][0]["name"], "echo", "its component is fine all the same");
    let problem = serde_json::json!([{
        "file": "gristmill.toml", "line": 6, "column": 1, "key": "plugins.echo.rate",
        "what": "unknown key `rate`", "found": null, "hint": json["problems"][0]["hint"],
    }]);
    assert_eq!(json["problems"], problem);
}

#[test]
fn every_problem_of_config_and_components_is_told_at_once_in_the_order_of_the_file() {
    let dir = folder(&format!(
        "[host]\nthread = 2\n{}[plugins.a.budget]\nrate = 11\ntimeout = \"5 parsecs\"\n{}{}",
        table("a", Path::new("missing.wasm")),
        table("b", Path::new("core.wasm")),
        "order = \"keys\"\n[plugins.b.retry]\nattempts = 0\n",
    ));
    fs::write(dir.path().join("core.wasm"), CORE_MODULE).expect("a file");
    let blocks = [
        "gristmill.toml:3:1: host.thread\n  unknown key `thread`\n  hint: did you mean `threads`?\n",
        "gristmill.toml:6:13: plugins.a.component\n  failed to read the component: No such file or directory (os error \
         2), found: `missing.wasm`\n  hint: build the plugin, or mend the path",
        "gristmill.toml:9:8: plugins.a.budget.rate\n  expected a rate from `1/day` to `1M/s` such as `11/s`, `600/min`, \
         `10/h` or `950k/day`, found: `11`\n  hint: say per what: `\"11/s\"` or `\"11/min\"`\n",
        "gristmill.toml:10:11: plugins.a.budget.timeout\n  expected a duration such as `100ms`, `1s`, `5m`, `2h` or `1d`, \
         found: `\"5 parsecs\"`\n",
        "gristmill.toml:13:13: plugins.b.component\n  this is a core module, not a component, found: `core.wasm`\n  hint: \
         build for wasm32-wasip2, or turn it into a component with `wasm-tools component new`\n",
        "gristmill.toml:15:9: plugins.b.order\n  expected one of `key`, `partition`, `none`, found: `\"keys\"`\n  hint: did you mean `key`?\n",
        "gristmill.toml:17:12: plugins.b.retry.attempts\n  expected a value from `1` to `1000`, found: `0`\n",
    ];
    for command in ["check", "run"] {
        let said = gristmill(dir.path(), &[command]);
        said.problems(&blocks);
        let places: Vec<_> = blocks.iter().map(|block| said.err.find(block)).collect();
        assert!(places.is_sorted(), "{}", said.err);
        assert!(!said.err.contains("listening"), "{}", said.err);
        assert_eq!(said.out, "");
    }
}

#[test]
fn each_way_to_be_no_plugin_is_told_with_how_to_mend_it() {
    let dir = folder("");
    let toml = [
        table("empty", Path::new("empty.wasm")),
        table("text", Path::new("text.wasm")),
        table("world", &plugin("wrong-world")),
        table("import", &plugin("unprovided")),
        table("memory", &plugin("echo")) + "budget.memory = \"1MiB\"\n",
    ];
    let config = dir.path().join("gristmill.toml");
    fs::write(config, format!("kafka.brokers = [\"127.0.0.1:1\"]{}", toml.concat())).expect("a config");
    fs::write(dir.path().join("empty.wasm"), "").expect("a file");
    fs::write(dir.path().join("text.wasm"), "no wasm").expect("a file");
    gristmill(dir.path(), &["check"]).problems(&[
        "plugins.empty.component\n  the file is empty, found: `empty.wasm`\n  hint: build the plugin again\n",
        "plugins.text.component\n  this is not WebAssembly, found: `text.wasm`\n  hint: give the .wasm file that",
        "plugins.world.component\n  exports `run` and no handler, found: `",
        "plugins.import.component\n  imports `nobody:provides/this@1.0.0`, which nobody provides, found: `",
        "plugins.memory.component\n  needs `1088KiB` of memory to start, but the budget's `memory` is `1MiB`, found: `",
    ]);
}

#[test]
fn what_is_still_to_come_is_refused_by_name() {
    let dir = folder(&format!(
        "{}protocol = \"lines\"\n\
         [plugins.echo.allow]\nhttp = [\"https://example.com\"]\n",
        table("echo", &plugin("echo"))
    ));
    let blocks =
        ["protocol", "http"].map(|name| format!("\n  `{name}` is not supported yet\n  hint: remove it\n"));
    gristmill(dir.path(), &["check"]).problems(&blocks.each_ref().map(String::as_str));
}

#[test]
fn a_config_that_is_not_there_or_not_toml_is_one_problem() {
    let dir = tempfile::tempdir().expect("a folder");
    for command in ["check", "run"] {
        gristmill(dir.path(), &[command]).problems(&[
            "gristmill.toml\n  failed to read the file: No such file or directory (os error 2)\n  hint: name another \
             file with `-c`; without it the file is `gristmill.toml`\n",
        ]);
    }
    let dir = folder("[host]\ndata = folder\n");
    gristmill(dir.path(), &["check"]).problems(&["gristmill.toml:3:"]);
}

#[test]
fn usage_errors_end_with_2_and_say_what_would_be_right() {
    let dir = tempfile::tempdir().expect("a folder");
    for (arguments, says) in [
        (&["check", "--jsn"][..], "'--json'"),
        (&["chekc"], "unrecognized subcommand 'chekc'"),
        (&["completions", "fishy"], "'fish'"),
        (&["demo", "--rate", "11"], "such as `11/s`"),
        (&[], "Usage: gristmill [OPTIONS] <COMMAND>"),
    ] {
        let said = gristmill(dir.path(), arguments);
        assert_eq!(said.code, Some(2), "{arguments:?}");
        assert!(said.err.contains(says), "{arguments:?}: {}", said.err);
    }
}

#[test]
fn help_names_every_command_and_exit_code() {
    let dir = tempfile::tempdir().expect("a folder");
    let help = gristmill(dir.path(), &["--help"]);
    assert_eq!((help.code, help.err.as_str()), (Some(0), ""));
    let asking = ["status", "top", "budget", "swap", "promote", "rollback", "pause", "resume", "parked"];
    let commands =
        ["run", "check", "demo", "dead-letters", "schema", "completions"].into_iter().chain(asking);
    for word in commands.clone().chain(["69  Kafka or the admin address not reachable"]) {
        assert!(help.out.contains(&format!("\n  {word}")), "the help lacks `{word}`:\n{}", help.out);
    }
    let of_dead_letters = ["list", "show", "replay"].map(|action| vec!["dead-letters", action]);
    for command in commands.map(|command| vec![command]).chain(of_dead_letters) {
        let help = gristmill(dir.path(), &[&command[..], &["--help"]].concat()).out;
        assert!(help.contains(&format!("Usage: gristmill {}", command.join(" "))), "{help}");
        assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
    }
}

#[test]
fn schema_and_completions_go_to_stdout() {
    let dir = tempfile::tempdir().expect("a folder");
    let schema = gristmill(dir.path(), &["schema"]);
    assert_eq!(schema.code, Some(0));
    let schema: Value = serde_json::from_str(&schema.out).expect("the schema is JSON");
    assert_eq!(schema["title"], "gristmill.toml");
    let plugin = &schema["$defs"]["Plugin"];
    assert_eq!(plugin["required"], serde_json::json!(["component", "topics"]));
    assert_eq!(plugin["additionalProperties"], false);
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let said = gristmill(dir.path(), &["completions", shell]);
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
        assert!(said.out.contains("gristmill") && said.out.contains("check"), "{shell}: {}", said.out);
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let script = format!("'{}' completions bash | head -n 1", binary().display());
    let output = Command::new("sh").args(["-c", &script]).output().expect("`sh` runs");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
