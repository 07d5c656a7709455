//! One unruly guest after the other, in a host with a plugin that behaves: the one is broken off and its messages are
//! parked with the reason, the other handles all of its messages, and the host stays up.

use std::path::Path;

use serde_json::Value;

use crate::world::host::{Host, Site, plugin};
use crate::world::kafka::{Isolation, Kafka, Record};

/// Messages of the plugin that behaves.
const HEALTHY: u64 = 400;

/// Messages of the unruly one, each with a key of its own.
const UNRULY: u64 = 4;

/// Most bytes that the host may have resident, whatever a guest tries: some four times what a debug build with the two
/// plugins takes, and a fraction of what the guests ask for.
const RESIDENT_MAX: u64 = 600 << 20;

/// Lines that a guest prints for each message if it floods the log.
const FLOOD: u64 = 5_000;

/// Time for one message.
#[derive(Clone, Copy)]
struct Times {
    timeout: &'static str,
    cpu: &'static str,
}

/// More than anything takes that ends by itself, on a machine that has much else to do.
const AMPLE: Times = Times { timeout: "30s", cpu: "10s" };

/// The topics of one case on the shared broker, and the settings of its two plugins.
struct Case {
    kafka: &'static Kafka,
    healthy: String,
    unruly: String,
    out: String,
}

impl Case {
    fn new(name: &str) -> Case {
        let kafka = Kafka::shared();
        let [healthy, unruly, out] = ["healthy", name, "out"].map(Kafka::unique);
        for topic in [&healthy, &unruly, &out] {
            kafka.create_topic(topic, 2);
        }
        Case { kafka, healthy, unruly, out }
    }

    /// The settings, with `component` as the unruly plugin, which has so much time for a message.
    fn toml(&self, component: &Path, times: Times) -> String {
        let Times { timeout, cpu } = times;
        let Case { healthy, unruly, out, .. } = self;
        format!(
            "[plugins.healthy]\ncomponent = {:?}\ntopics = [\"{healthy}\"]\ngroup = \"{healthy}\"\noutput = \"{out}\"\n\
             [plugins.unruly]\ncomponent = {component:?}\ntopics = [\"{unruly}\"]\ngroup = \"{unruly}\"\n\
             output = \"{out}\"\nconfig = {{ lines = \"{FLOOD}\" }}\n\
             [plugins.unruly.budget]\ntimeout = \"{timeout}\"\ncpu = \"{cpu}\"\nmemory = \"32MiB\"\nconcurrency = 2\n\
             [plugins.unruly.retry]\nattempts = 1\n",
            plugin("echo"),
        )
    }

    fn produce_healthy(&self, messages: u64) {
        self.kafka.produce(&self.healthy, (0..messages).map(|i| (format!("h{i}"), "{}")));
    }

    /// Messages of the unruly plugin, each in a lane of its own; the payload is what `fail` and `poison` go by.
    fn produce_unruly(&self, payload: &str) {
        let records = (0..UNRULY).map(|i| Record::new(format!("u{i}"), payload).on_partition((i % 2) as i32));
        self.kafka.produce(&self.unruly, records);
    }

    fn committed(&self) -> i64 {
        self.kafka.committed(&self.unruly, &self.unruly).into_iter().flatten().sum()
    }

    /// Asserts that a host with a plugin of the same group that behaves gets every message that was parked.
    fn comes_again(&self, site: &Site) {
        site.write(&self.kafka.bootstrap(), &self.toml(&plugin("echo"), AMPLE));
        let host = site.start();
        host.wait_handled("unruly", UNRULY);
        assert_eq!(host.stop(), 0);
        let outputs = self.kafka.consume_all(&self.out, Isolation::ReadCommitted);
        let again = outputs.iter().filter(|stored| stored.key.as_ref().is_some_and(|key| key[0] == b'u'));
        assert_eq!(again.count() as u64, UNRULY, "every parked message came again");
        assert_eq!(self.committed(), self.kafka.end_offsets(&self.unruly).iter().sum::<i64>());
    }
}

/// The reasons that were logged for parked messages of the unruly plugin.
fn reasons(host: &Host) -> Vec<String> {
    let lines = host.logged("message parked").into_iter();
    let lines = lines.map(|line| serde_json::from_str::<Value>(&line).expect("the log is JSON"));
    lines
        .inspect(|line| assert_eq!((&line["plugin"], &line["level"]), (&"unruly".into(), &"WARN".into())))
        .map(|line| line["reason"].as_str().expect("a reason").to_owned())
        .collect()
}

/// Runs `guest` beside a plugin that behaves. All its messages must be parked for a reason that holds `reason`, and
/// the traps counted under `kind`, if it traps. Then they must come again to one that behaves.
fn parks(guest: &str, payload: &str, kind: Option<&str>, reason: &str) {
    let case = Case::new(guest);
    case.produce_healthy(HEALTHY / 2);
    case.produce_unruly(payload);
    // What one limit is to break off must not meet the other first, however busy the machine is.
    let times = match kind {
        Some("cpu") => Times { cpu: "200ms", ..AMPLE },
        Some("timeout") => Times { timeout: "500ms", ..AMPLE },
        _ => AMPLE,
    };
    let site = Site::new(&case.kafka.bootstrap(), &case.toml(&plugin(guest), times));
    let host = site.start();
    host.wait_for("to park every message", || host.outcomes("unruly", "parked") == UNRULY);
    // The other one goes on while the lanes are held.
    case.produce_healthy(HEALTHY / 2);
    host.wait_handled("healthy", HEALTHY);

    let reasons = reasons(&host);
    assert_eq!(reasons.len() as u64, UNRULY);
    assert!(reasons.iter().all(|one| one.contains(reason)), "`{reason}` is not in {reasons:?}");
    for each in ["trap", "timeout", "cpu", "memory", "exit"] {
        let traps = host.metric("gristmill_traps_total", &[("plugin", "unruly"), ("kind", each)]);
        assert_eq!(traps > 0.0, kind == Some(each), "{traps} traps of kind {each}, reasons: {reasons:?}");
    }
    assert_eq!(host.metric("gristmill_parked_lanes", &[("plugin", "unruly")]), UNRULY as f64);
    assert_eq!(host.outcomes("unruly", "handled"), 0);
    assert_eq!(host.outcomes("healthy", "parked"), 0);
    assert_eq!(host.get("/readyz").0, 200);
    let resident = host.memory_bytes();
    assert!(resident < RESIDENT_MAX, "the host has {} MiB resident", resident >> 20);
    assert_eq!(host.stop(), 0);
    assert_eq!(case.committed(), 0, "nothing that is parked is committed past");
    case.comes_again(&site);
}

#[test]
fn one_that_computes_for_ever_is_broken_off() {
    parks("endless", "", Some("cpu"), "used more CPU than the budget's cpu of 200ms");
}

#[test]
fn one_that_waits_for_ever_is_broken_off() {
    parks("hang", "", Some("timeout"), "took longer than the budget's timeout of 500ms");
}

#[test]
fn one_that_takes_all_memory_gets_no_more_than_its_budget() {
    parks("memory", "", Some("memory"), "of memory, of the budget's 32MiB");
}

#[test]
fn one_that_calls_itself_without_end_breaks_only_itself() {
    parks("recursion", "", Some("trap"), "stack");
}

#[test]
fn one_that_traps_breaks_only_itself() {
    parks("trap", "", Some("trap"), "unreachable");
}

#[test]
fn one_that_panics_says_why_in_a_line_of_bounded_length() {
    parks("panics", "", Some("trap"), "a long story");
}

#[test]
fn one_that_ends_its_program_ends_only_its_instance() {
    parks("exit", "", Some("exit"), "the plugin ended its own program with code");
}

#[test]
fn outputs_that_are_too_large_park_their_message() {
    parks("outputs-huge", "", Some("memory"), "of memory, of the budget's 32MiB");
}

#[test]
fn too_many_outputs_park_their_message() {
    parks("outputs-many", "", None, "outputs");
}

#[test]
fn one_that_rejects_parks_with_its_own_reason() {
    parks("fail", "reject:no-such-customer", None, "no-such-customer");
}

#[test]
fn a_flood_of_log_lines_is_cut_and_counted_and_its_messages_are_handled() {
    let case = Case::new("flood");
    case.produce_healthy(HEALTHY);
    case.produce_unruly("");
    let host = Site::new(&case.kafka.bootstrap(), &case.toml(&plugin("flood"), AMPLE)).start();
    host.wait_handled("unruly", UNRULY);
    host.wait_handled("healthy", HEALTHY);
    let dropped = |line: &String| {
        let line: Value = serde_json::from_str(line).expect("the log is JSON");
        assert_eq!(line["plugin"], "unruly");
        line["lines"].as_u64().expect("a number of lines")
    };
    let written = || host.logged("nobody asked for this").len() + host.logged("nor for this").len();
    let asked = FLOOD * UNRULY;
    host.wait_for("to say how many lines it dropped", || {
        let told: u64 = host.logged("log lines were dropped").iter().map(dropped).sum();
        told + written() as u64 == asked
    });
    assert!((written() as u64) < asked / 4, "{} lines were written", written());
    assert_eq!(host.stop(), 0);
}

#[test]
fn poison_holds_its_own_lane_and_all_others_go_on() {
    let case = Case::new("poison");
    let record = |key: &str, payload: String| Record::new(key, payload).on_partition(0);
    case.kafka.produce(&case.unruly, (0..20).map(|i| record("good", format!("ok {i}"))));
    case.kafka.produce(&case.unruly, [record("bad", "trap".into()), record("worse", "exit:3".into())]);
    case.kafka.produce(&case.unruly, (0..10).map(|i| record("bad", format!("ok behind {i}"))));
    case.kafka.produce(&case.unruly, (20..40).map(|i| record("good", format!("ok {i}"))));
    let site = Site::new(&case.kafka.bootstrap(), &case.toml(&plugin("poison"), AMPLE));
    let host = site.start();
    host.wait_handled("unruly", 40);
    host.wait_for("to park both", || host.outcomes("unruly", "parked") == 2);
    assert_eq!(host.metric("gristmill_parked_lanes", &[("plugin", "unruly")]), 2.0);
    assert_eq!(host.stop(), 0);
    let outputs = case.kafka.consume_all(&case.out, Isolation::ReadCommitted);
    assert!(outputs.iter().all(|stored| stored.text().starts_with("ok ")));
    assert!(outputs.iter().all(|stored| !stored.text().contains("behind")), "a message passed a parked one");
    assert_eq!(case.committed(), 20, "the first parked message holds the progress of its partition");

    site.write(&case.kafka.bootstrap(), &case.toml(&plugin("echo"), AMPLE));
    let host = site.start();
    host.wait_handled("unruly", 32);
    assert_eq!(host.stop(), 0);
    assert_eq!(case.committed(), 52);
    let outputs = case.kafka.consume_all(&case.out, Isolation::ReadCommitted);
    let of = |key: &str| {
        let texts = outputs.iter().filter(|stored| stored.key.as_deref() == Some(key.as_bytes()));
        texts.map(|stored| stored.text()).collect::<Vec<_>>()
    };
    let bad = of("bad");
    assert_eq!(bad.first().map(String::as_str), Some("trap"));
    assert_eq!(bad[1..], (0..10).map(|i| format!("ok behind {i}")).collect::<Vec<_>>());
    assert_eq!(of("worse"), ["exit:3"]);
}

#[test]
fn a_flood_of_failures_is_logged_in_a_few_lines_that_hold_no_payload() {
    let case = Case::new("fail");
    let secret = "nobody-may-read-this";
    case.kafka.produce(&case.unruly, (0..90).map(|i| (i.to_string(), format!("reject {secret}"))));
    let host = Site::new(&case.kafka.bootstrap(), &case.toml(&plugin("fail"), AMPLE)).start();
    host.wait_for("to park every message", || host.outcomes("unruly", "parked") == 90);
    let counted = |line: &String| {
        let line: Value = serde_json::from_str(line).expect("the log is JSON");
        line["messages"].as_u64().expect("a number of messages") as usize
    };
    host.wait_for("to say how many more were parked", || {
        let more: usize = host.logged("more messages failed").iter().map(counted).sum();
        host.logged("message parked").len() + more == 90
    });
    assert!(host.logged("message parked").len() < 45, "{}", host.log_tail());
    assert!(host.logged(secret).is_empty(), "a payload is in the log");
    let first: Value = serde_json::from_str(&host.logged("message parked")[0]).expect("the log is JSON");
    assert!(first["position"].as_str().is_some_and(|position| position.starts_with(&case.unruly)), "{first}");
    assert_eq!(host.stop(), 0);
}
