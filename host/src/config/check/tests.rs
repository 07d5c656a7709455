//! What a user sees of a file: several problems at once, each with its place and its hint.

use std::time::Duration;

use super::super::{Action, Failure, Instances, Order, Retry, Start};
use super::*;

/// The contract's example, without what is refused yet.
const EXAMPLE: &str = r#"
[kafka]
brokers = ["localhost:9092"]
create_topics = false
[kafka.options]

[host]
data    = ".gristmill"
threads = 0

[admin]
listen = "127.0.0.1:9650"
token  = "${GRISTMILL_TOKEN:-}"

[plugins.enrich]
component = "enrich.wasm"
topics    = ["orders"]
group     = "gristmill-enrich"
start     = "earliest"
order     = "key"
output    = "orders-enriched"
delivery  = "at-least-once"
drain     = "20s"
config    = { greeting = "hello" }
protocol  = "component"
instances = "reused"

[plugins.enrich.kafka]
brokers = ["other:9092"]

[plugins.enrich.budget]
concurrency  = 5
rate         = "11/s"
burst        = 1
scope        = "instance"
buffer       = 100
buffer_bytes = "16MiB"
timeout      = "30s"
cpu          = "1s"
memory       = "128MiB"

[plugins.enrich.allow]
produce = ["orders-enriched"]
"#;

/// The least that a config says.
const LEAST: &str = "kafka.brokers = [\"k:9092\"]\n[plugins.p]\ncomponent = \"p.wasm\"\ntopics = [\"in\"]\n";

fn checked(text: &str) -> Checked {
    match parse(text, Path::new("dir/gristmill.toml"), &|_| None) {
        Ok(checked) => checked,
        Err(problems) => panic!("{problems}"),
    }
}

fn problems(text: &str) -> Problems {
    match parse(text, Path::new("g.toml"), &|name| (name == "SET").then(|| "7".to_owned())) {
        Ok(checked) => panic!("no problem: {checked:?}"),
        Err(problems) => problems,
    }
}

/// What is shown for `lines` added to the table `[plugins.p]`, which ends at line 4.
fn shown(lines: &str) -> String {
    problems(&format!("{LEAST}{lines}")).to_string()
}

#[test]
fn the_example_holds() {
    let Checked { config, notes, .. } = checked(EXAMPLE);
    assert_eq!(notes, []);
    let plugin = &config.plugins[0];
    assert_eq!((&*plugin.name, plugin.group.as_str()), ("enrich", "gristmill-enrich"));
    assert_eq!(plugin.component, Path::new("dir/enrich.wasm"));
    assert_eq!(plugin.kafka.brokers, ["other:9092"]);
    assert_eq!(plugin.config["greeting"], "hello");
    assert_eq!(plugin.allow_produce, ["orders-enriched"]);
    assert_eq!(plugin.budget.concurrency, 5);
    assert_eq!(plugin.budget.rate.unwrap().per_second(), 11.0);
    assert_eq!(config.host.data, Path::new("dir/.gristmill"));
    assert!(config.admin.unwrap().token.is_none());
}

#[test]
fn the_defaults_are_the_contracts() {
    let config = checked(LEAST).config;
    let plugin = &config.plugins[0];
    assert_eq!(
        (plugin.start, plugin.order, plugin.instances),
        (Start::Earliest, Order::Key, Instances::Reused)
    );
    assert_eq!((plugin.group.as_str(), plugin.drain), ("gristmill-p", Duration::from_secs(20)));
    assert_eq!((&plugin.output, plugin.kafka.create_topics), (&None, false));
    let budget = &plugin.budget;
    assert_eq!((budget.concurrency, budget.rate, budget.burst), (10, None, 1));
    assert_eq!((budget.buffer, budget.buffer_bytes, budget.memory), (100, 16 << 20, 128 << 20));
    assert_eq!((budget.timeout, budget.cpu), (Duration::from_secs(30), Duration::from_secs(1)));
    assert_eq!(config.admin.unwrap().listen.to_string(), "127.0.0.1:9650");
    assert!(config.host.threads >= 1);
}

#[test]
fn every_problem_of_a_file_is_reported_at_its_place() {
    let text = r#"
[kafka]
brokers = ["localhost:9092"]
[kafka.options]
group.id = "x"
"fetch.min.byte" = 1

[plugins.enrich]
topics = "orders"
outptu = "out"
start = "yesterday"

[plugins.enrich.budget]
rate = "11"
concurrency = 0
timeout = 30
"#;
    assert_eq!(
        problems(text).to_string(),
        r#"g.toml:5:12: kafka.options.group.id
  `group.id` is set by the host: set the plugin's `group` instead
  hint: remove it
g.toml:6:20: kafka.options.fetch.min.byte
  librdkafka has no option `fetch.min.byte`
  hint: did you mean `fetch.min.bytes`?
g.toml:8:1: plugins.enrich
  `component` is missing
  hint: add `component = "plugin.wasm"`
g.toml:9:10: plugins.enrich.topics
  expected a list, found: `"orders"`
  hint: put it in brackets: `["orders"]`
g.toml:10:1: plugins.enrich.outptu
  unknown key `outptu`
  hint: did you mean `output`?
g.toml:11:9: plugins.enrich.start
  expected `earliest`, `latest`, or a time since 1970 such as `2026-01-31T08:00:00Z`, found: `"yesterday"`
g.toml:14:8: plugins.enrich.budget.rate
  expected a rate from `1/day` to `1M/s` such as `11/s`, `600/min`, `10/h` or `950k/day`, found: `"11"`
g.toml:15:15: plugins.enrich.budget.concurrency
  expected a value from `1` to `10000`, found: `0`
g.toml:16:11: plugins.enrich.budget.timeout
  expected a duration such as `100ms`, `1s`, `5m`, `2h` or `1d`, found: `30`
  hint: say of what: `"30s"` or `"30ms"`"#
    );
}

#[test]
fn a_missing_file_and_bad_toml_are_problems_too() {
    let problems_of_file = survey(Path::new("no-such-file.toml")).finish().unwrap_err();
    let text = problems_of_file.to_string();
    assert!(text.starts_with("no-such-file.toml\n  failed to read the file: "), "{text}");
    assert!(text.contains("hint: name another file with `-c`"), "{text}");
    let text = problems("[plugins.p.budget]\nrate = 11/s\n[kafka\n").to_string();
    assert!(text.contains("g.toml:2:"), "{text}");
    assert!(text.contains("hint: strings stand in quotes: `\"11/s\"`"), "{text}");
    assert!(text.contains("g.toml:3:"), "{text}");
}

#[test]
fn failures_and_batchers_are_checked_and_what_comes_later_is_refused() {
    let refused =
        [("protocol = \"lines\"", "protocol"), ("allow.http = [\"https://crm.example.com\"]", "http")];
    for (lines, key) in refused {
        let Problems { problems, .. } = problems(&format!("{LEAST}{lines}"));
        assert_eq!(problems.len(), 1, "{lines}: {problems:?}");
        assert_eq!(problems[0].what, format!("`{key}` is not supported yet"));
        assert_eq!(problems[0].line, Some(5));
    }
    let wrong = [
        ("failure = { max_span = 0 }", "expected a value from `1` to `10000000`, found: `0`"),
        ("retry = { attempts = 0 }", "expected a value from `1` to `1000`, found: `0`"),
        ("retry = { backoff = \"1m\" }", "`backoff` is `1m` and `max_backoff` only `30s`"),
        ("failure = { action = \"dead-letter\" }", "`action` is `dead-letter` and there is no `topic`"),
        ("failure = { topic = \"in\" }", "dead letters would come back"),
        ("batchers = { b = { size = 200 } }", "a batch of `200` never fills: `budget.buffer` holds `100`"),
        ("allow = { http = [\"https://a/b\"] }", "expected an origin"),
        (
            "budget = { scope = \"group\", rate = \"1/s\" }\n[plugins.q]\ncomponent = \"q\"\ntopics = [\"^q\"]\nbudget.scope = \"group\"",
            "every topic has to be named",
        ),
        ("protocol = \"line\"", "hint: did you mean `lines`?"),
    ];
    for (lines, what) in wrong {
        let text = shown(lines);
        assert!(text.contains(what), "{lines}: {text}");
    }
    let parked = format!("{LEAST}failure = {{ action = \"park\", topic = \"dead\" }}");
    let notes = parse(&parked, Path::new("g.toml"), &|_| None).unwrap().notes;
    assert_eq!(notes[0].what, "the topic is unused: `action` is `park`");
}

#[test]
fn what_happens_to_a_failed_message_follows_from_the_topic() {
    let failure = |lines: &str| {
        let config = parse(&format!("{LEAST}{lines}"), Path::new("g.toml"), &|_| None).unwrap().config;
        (config.plugins[0].failure.clone(), config.plugins[0].retry.clone())
    };
    assert_eq!(failure(""), (Failure::default(), Retry::default()));
    let (dead, _) = failure("failure.topic = \"dead\"");
    assert_eq!((dead.action, dead.topic.as_deref()), (Action::DeadLetter, Some("dead")));
    let (parked, _) = failure("failure = { action = \"park\", topic = \"dead\", max_parked = 7 }");
    assert_eq!((parked.action, parked.topic, parked.max_parked), (Action::Park, None, 7));
    // A longest wait that is shorter than the first wait's default is meant for both.
    let (_, retry) = failure("retry.max_backoff = \"50ms\"");
    assert_eq!(retry.backoff, std::time::Duration::from_millis(50));
}

#[test]
fn ranges_and_names_are_checked() {
    let wrong = [
        ("budget.cpu = \"4ms\"", "expected a value from `5ms` to `1h`, found: `4ms`"),
        ("budget.memory = \"1KiB\"", "expected a value from `64KiB` to `4GiB`, found: `1KiB`"),
        ("budget.buffer = 1_000_001", "expected a value from `1` to `1000000`, found: `1000001`"),
        ("budget.burst = -1", "expected a whole number, at least `0`, found: `-1`"),
        ("budget.burst = \"2\"", "hint: write it without quotes: `2`"),
        ("drain = \"5m\"", "expected a value from `0s` to `4m`, found: `5m`"),
        ("output = \"in\"", "it would handle its own outputs for ever"),
        ("output = \"a b\"", "letters, digits, `.`, `_` and `-` only, found: `\"a b\"`"),
        ("output = \"^a\"", "hint: only `topics` takes regular expressions"),
        ("group = \"\"", "a group's name has 1 to 32767 bytes"),
        ("config = { a = 1 }", "g.toml:5:16: plugins.p.config.a\n  expected a string, found: `1`"),
        ("start = 1969-12-31T00:00:00Z", "a time since 1970"),
        ("start = 2026-01-01T00:00:00", "hint: a time needs its offset"),
        ("kafka.brokers = [\"a:9092,b:9092\"]", "expected the address of a broker"),
        ("kafka.brokers = []", "expected at least one broker"),
        ("[plugins.\"a.b\"]\ncomponent = \"x\"\ntopics = [\"t\"]", "1 to 64 letters, digits, `-` and `_`"),
        (
            "[plugins.q]\ncomponent = \"\"\ntopics = [\"t\", \"^\", \"t\", \"^a.*\"]",
            "the topic `t` stands here twice",
        ),
        ("[host]\nthreads = 2_000", "expected a value from `0` to `1024`"),
        ("[plugin.x]", "g.toml:5:2: plugin\n  unknown key `plugin`\n  hint: did you mean `plugins`?"),
    ];
    for (lines, what) in wrong {
        let text = shown(lines);
        assert!(text.contains(what), "{lines}: {text}");
    }
}

#[test]
fn a_config_without_plugins_says_so_and_one_without_brokers_means_this_machine() {
    assert!(problems("").to_string().contains("there is no plugin\n  hint: add a table `[plugins.NAME]`"));
    assert!(problems("[plugins]").to_string().contains("there is no plugin"));
    let config = checked("[plugins.p]\ncomponent = \"p\"\ntopics = [\"t\"]");
    assert_eq!(config.config.plugins[0].kafka.brokers, ["localhost:9092"]);
}

#[test]
fn one_mistake_is_one_problem() {
    for (text, what) in [
        ("kafka = 5\n[plugins.p]\ncomponent = \"p\"\ntopics = [\"t\"]", "expected a table, found: `5`"),
        ("plugins.p = 5", "expected a table, found: `5`"),
        (
            "kafka.brokers = [1]\n[plugins.p]\ncomponent = \"p\"\ntopics = [\"t\"]",
            "expected a string, found: `1`",
        ),
    ] {
        let problems = problems(text).problems;
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].to_string().contains(what), "{problems:?}");
    }
    let two = shown("allow.produce = [1, \"a b\"]");
    assert!(two.contains("found: `1`") && two.contains("found: `\"a b\"`"), "{two}");
}

#[test]
fn variables_come_from_the_environment() {
    let text = format!("{LEAST}output = \"out-${{A:-x}}\"\nbudget.concurrency = \"${{B:-7}}\"");
    let config = checked(&text).config;
    assert_eq!(config.plugins[0].output.as_deref(), Some("out-x"));
    assert_eq!(config.plugins[0].budget.concurrency, 7);
    let text = shown("output = \"${MISSING}\"\ngroup = \"${SET}${\"");
    assert_eq!(
        text,
        "g.toml:5:10: plugins.p.output\n  the environment variable `MISSING` is not set\n  \
         hint: set it, or give a default: `${MISSING:-default}`\ng.toml:6:9: plugins.p.group\n  \
         `${` without `}`\n  hint: write `${NAME}`"
    );
}

#[test]
fn listening_beyond_this_machine_needs_a_token() {
    let with = |admin: &str| format!("{LEAST}[admin]\n{admin}");
    let text = problems(&with("listen = \"0.0.0.0:9650\"\ntoken = \"${T:-}\"")).to_string();
    assert!(
        text.starts_with("g.toml:6:10: admin.listen\n  listening beyond this machine needs a `token`"),
        "{text}"
    );
    let admin = checked(&with("listen = \"0.0.0.0:9650\"\ntoken = \"secret\"")).config.admin.unwrap();
    assert_eq!(admin.token.as_deref(), Some("secret"));
    assert!(checked(&with("listen = \"\"")).config.admin.is_none());
    assert!(checked(&with("listen = \"localhost:1\"")).config.admin.unwrap().listen.ip().is_loopback());
    assert!(checked(&with("listen = \"[::1]:1\"")).config.admin.unwrap().token.is_none());
}

#[test]
fn a_plugins_cluster_overlays_the_shared_one() {
    let text = format!(
        "{LEAST}[plugins.p.kafka.options]\nlinger.ms = 5\n\"client.id\" = \"own\"\n[plugins.q]\ncomponent = \"q\"\n\
         topics = [\"in\"]\n[kafka.options]\nclient.id = \"all\"\nsocket.keepalive.enable = true\n"
    );
    let config = checked(&text.replace("kafka.brokers = [\"k:9092\"]\n", "").replace(
        "[kafka.options]",
        "[kafka]\nbrokers = [\"k:9092\"]\ncreate_topics = true\n[kafka.options]",
    ))
    .config;
    let options = |index: usize| {
        let options = &config.plugins[index].kafka.options;
        options.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>()
    };
    assert_eq!(options(0), ["client.id=own", "linger.ms=5", "socket.keepalive.enable=true"]);
    assert_eq!(options(1), ["client.id=all", "socket.keepalive.enable=true"]);
    assert!(config.plugins[0].kafka.create_topics);
}

#[test]
fn options_that_break_a_promise_are_refused() {
    let wrong = [
        ("enable.idempotence = false", "is set by the host"),
        ("metadata.broker.list = \"x\"", "set `brokers` instead"),
        ("acks = 1", "expected `all`, found: `1`"),
        ("max.in.flight = 6", "expected at most `5`, found: `6`"),
        (
            "max.poll.interval.ms = 10000\nsession.timeout.ms = 6000",
            "`drain` may be at most `8s` here, found: `20s`",
        ),
        (
            "max.poll.interval.ms = 40000",
            "may not be longer than `max.poll.interval.ms`\n  hint: the session is `45s`",
        ),
        (
            "group.protocol = \"consumer\"\nsession.timeout.ms = 9",
            "cannot stand beside `group.protocol` = `consumer`",
        ),
        ("rebalance_cb = \"x\"", "librdkafka has no option `rebalance_cb`"),
        ("debug = []", "expected a string, a decimal number, `true` or `false`, found: a list"),
    ];
    for (option, what) in wrong {
        let text = shown(&format!("[plugins.p.kafka.options]\n{option}"));
        assert!(text.contains(what), "{option}: {text}");
    }
}

#[test]
fn two_plugins_of_one_group_may_not_share_a_topic() {
    let second =
        "[plugins.q]\ncomponent = \"q.wasm\"\ntopics = [\"other\", \"in\"]\ngroup = \"gristmill-p\"\n";
    assert_eq!(
        shown(second),
        "g.toml:8:9: plugins.q.group\n  the plugin `p` has the same group and topic `in`, found: `\"gristmill-p\"`\n  \
         hint: give each plugin its own group, or they get only a part of the topic each"
    );
    checked(&format!("{LEAST}{second}kafka.brokers = [\"elsewhere\"]"));
}

#[test]
fn notes_are_no_problems() {
    let checked = checked(&format!("{LEAST}[plugins.p.budget]\ncpu = \"2s\"\ntimeout = \"1s\"\nburst = 3"));
    let notes: Vec<String> = checked.notes.iter().map(ToString::to_string).collect();
    assert_eq!(
        notes,
        [
            "dir/gristmill.toml:6:7: plugins.p.budget.cpu\n  note: `cpu` is never reached: `timeout` ends a message \
             after `1s`",
            "dir/gristmill.toml:8:9: plugins.p.budget.burst\n  note: `burst` has no effect without a `rate`",
        ]
    );
}

#[test]
fn others_report_problems_at_the_place_of_a_key() {
    let checked = checked(LEAST);
    let problem = checked.problem("plugins.p.component", "failed to read the component");
    assert_eq!(
        problem.to_string(),
        "dir/gristmill.toml:3:13: plugins.p.component\n  failed to read the component"
    );
    assert_eq!(checked.problem("plugins.p.budget.memory", "too little").line, Some(2));
}

#[test]
fn a_start_may_be_a_time() {
    for start in ["\"2026-01-31T08:00:00Z\"", "2026-01-31T09:00:00+01:00"] {
        let config = checked(&format!("{LEAST}start = {start}")).config;
        assert_eq!(config.plugins[0].start, Start::At(1_769_846_400_000));
    }
}

#[test]
fn a_plugin_whose_component_is_named_is_there_whatever_else_is_wrong_with_it() {
    let text = r#"
kafka.brokers = ["k:9092"]
plugins.table = 3
[plugins.sound]
component = "p.wasm"
topics = ["a"]
[plugins.rated]
component = "p.wasm"
budget.rate = 11
[plugins.unnamed]
topics = ["a"]
[plugins.measured]
component = "p.wasm"
topics = ["a"]
budget.memory = "a lot"
"#;
    let survey = survey_text(text, Path::new("g.toml"), &|_| None);
    let plugins = survey.checked.map(|checked| checked.config.plugins).unwrap_or_default();
    let names: Vec<&str> = plugins.iter().map(|plugin| &*plugin.name).collect();
    assert_eq!(names, ["rated", "sound"], "{}", survey.problems);
    assert_eq!(survey.problems.problems.len(), 5, "{}", survey.problems);
}
