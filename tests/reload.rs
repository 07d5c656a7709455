//! The config is read again while messages flow: all of it takes effect or nothing does, and plugins that it says nothing
//! new of do not notice. What operators changed survives a restart as far as the config says.

use std::fs;
use std::io::Write as _;

use rustix::process::Signal;
use serde_json::Value;

use crate::swap::version;
use crate::world::host::{Host, Site, plugin, section};
use crate::world::kafka::{Isolation, Kafka};
use crate::world::tally::Tally;

/// What the API says at `path`.
fn api(host: &Host, path: &str) -> Value {
    serde_json::from_str(&host.get(&format!("/api/v1/plugins{path}")).1).unwrap_or(Value::Null)
}

/// How the last reload ended.
fn reload(host: &Host) -> Value {
    api(host, "")["reload"].clone()
}

/// Has the config read again, and returns how that ended.
fn hang_up(host: &Host) -> Value {
    let before = reload(host);
    host.signal(Signal::HUP);
    host.wait_for("to reload", || reload(host) != before);
    reload(host)
}

fn digest(wasm: &[u8]) -> String {
    // The host's own word for it; that it is a SHA-256 is tested elsewhere.
    gristmill::plugin::digest_of(wasm)
}

/// A plugin named `p` whose component is the file `p.wasm` of the site.
fn own_file(topic: &str, more: &str) -> String {
    format!("[plugins.p]\ncomponent = \"p.wasm\"\ntopics = [{topic:?}]\ngroup = {topic:?}\n{more}\n")
}

#[test]
fn a_changed_rate_takes_effect_at_a_signal_and_nothing_is_lost() {
    let kafka = Kafka::shared();
    let (from, to) = (Kafka::unique("reload"), Kafka::unique("reloaded"));
    kafka.create_topic(&from, 6);
    kafka.create_topic(&to, 1);
    kafka.produce(&from, (0..3_000).map(|i| (i.to_string(), i.to_string())));
    let settings = |rate: &str| {
        section("echo", &from, &format!("output = {to:?}\n[plugins.echo.budget]\nrate = {rate:?}\nburst = 5"))
    };
    let site = Site::new(&kafka.bootstrap(), &settings("50/s"));
    let host = site.start();
    host.wait_handled("echo", 20);
    let rebalances = host.metric("gristmill_rebalances_total", &[]);
    site.write(&kafka.bootstrap(), &settings("5k/s"));
    let ended = hang_up(&host);
    assert_eq!((&ended["result"], &ended["by"]), (&"done".into(), &"SIGHUP".into()), "{ended}");
    assert_eq!(ended["changes"], serde_json::json!(["plugin `echo`: budget: rate 50/s -> 5k/s"]));
    host.wait_for("to have no lag", || host.has_no_lag(6));
    let shown = api(&host, "/echo");
    assert_eq!((&shown["budget"]["rate"], &shown["configured"]["rate"]), (&"5k/s".into(), &"5k/s".into()));
    assert_eq!(shown["changes"][0]["by"], "gristmill.toml");
    assert_eq!(host.metric("gristmill_rebalances_total", &[]), rebalances, "it never left its group");
    // Said again, it is nothing new.
    assert_eq!(hang_up(&host)["result"], "unchanged");
    assert_eq!(host.stop(), 0);
    Tally::of(&kafka.consume_all(&to, Isolation::ReadUncommitted)).assert_once(0..3_000);
}

#[test]
fn a_bad_file_changes_nothing_and_everything_that_is_wrong_is_said() {
    let kafka = Kafka::shared();
    let (from, more) = (Kafka::unique("bad"), Kafka::unique("bad"));
    kafka.create_topic(&from, 1);
    kafka.create_topic(&more, 1);
    let good = section("noop", &from, "[plugins.noop.budget]\nrate = \"50/s\"");
    let site = Site::new(&kafka.bootstrap(), &good);
    let host = site.start();
    host.wait_ready();
    let wrong = [
        good.replace("50/s", "60"),
        format!("[plugins.gone]\ncomponent = \"gone.wasm\"\ntopics = [{more:?}]\nordre = \"key\"\n"),
        section("wrong-world", &more, "group = \"other\"\n").replace(&format!("group = {more:?}\n"), ""),
    ];
    site.write(&kafka.bootstrap(), &wrong.concat());
    let ended = hang_up(&host);
    assert_eq!(ended["result"], "refused", "{ended}");
    let problems = ended["problems"].to_string();
    for says in [
        "rate from `1/day`",
        "unknown key `ordre`",
        "No such file or directory",
        "exports `run` and no handler",
    ] {
        assert!(problems.contains(says), "`{says}` is missing: {problems}");
        assert_eq!(host.logged(says).len(), 1, "`{says}` is logged once");
    }
    // One whose every key is right, and whose component is not.
    site.write(&kafka.bootstrap(), &(good.replace("50/s", "60/s") + &section("unprovided", &more, "")));
    let ended = hang_up(&host);
    assert!(ended["problems"].to_string().contains("which nobody provides"), "{ended}");
    let plugins = api(&host, "");
    assert_eq!(plugins["plugins"].as_array().map(Vec::len), Some(1));
    assert_eq!(plugins["plugins"][0]["budget"]["rate"], "50/s");
    kafka.produce(&from, (0..10).map(|i| (i.to_string(), "x")));
    host.wait_handled("noop", 10);
    // More than the engine was made for needs a restart, and no host is changed by it.
    site.write(&kafka.bootstrap(), &good.replace("rate = \"50/s\"", "concurrency = 10000\nbuffer = 10000"));
    let ended = hang_up(&host);
    assert!(ended["problems"][0].as_str().is_some_and(|says| says.contains("restart the host")), "{ended}");
    // Neither is one that is not there at all.
    fs::remove_file(site.path().join("gristmill.toml")).expect("the file is there");
    assert!(hang_up(&host)["problems"].to_string().contains("failed to read the file"));
    assert_eq!(api(&host, "/noop")["budget"]["concurrency"], 10);
    assert_eq!(host.stop(), 0);
}

#[test]
fn plugins_come_go_and_begin_anew_while_another_flows() {
    let kafka = Kafka::shared();
    let [steady, out, leaves, changes, comes] =
        ["steady", "out", "leaves", "changes", "comes"].map(Kafka::unique);
    for topic in [&steady, &out, &leaves, &changes, &comes] {
        kafka.create_topic(topic, 1);
        let messages = if *topic == steady { 4_000 } else { 50 };
        if *topic != out {
            kafka.produce(topic, (0..messages).map(|i| (i.to_string(), i.to_string())));
        }
    }
    let echo = section("echo", &steady, &format!("output = {out:?}\nbudget.rate = \"400/s\""));
    let noop = section("noop", &leaves, "");
    let stamp = |more| section("stamp", &changes, &format!("output = {out:?}\n{more}")).replace(&out, &comes);
    let route = section("fail", &comes, "failure.action = \"skip\"\nretry.attempts = 1");
    let site = Site::new(&kafka.bootstrap(), &[&*echo, &noop, &stamp("")].concat());
    let host = site.start();
    host.wait_handled("noop", 50);
    host.wait_handled("stamp", 50);
    let rebalances = || host.metric("gristmill_rebalances_total", &[("plugin", "echo")]);
    let before = rebalances();
    assert_eq!(host.ask("POST /api/v1/plugins/stamp/pause", "", "").0, 200);
    site.write(&kafka.bootstrap(), &[&*echo, &stamp("retry.attempts = 2\ndrain = \"3s\""), &route].concat());
    let ended = hang_up(&host);
    assert_eq!(ended["result"], "done", "{ended}");
    assert_eq!(
        ended["changes"],
        serde_json::json!([
            "plugin `fail`: begins",
            "plugin `noop`: ends",
            "plugin `stamp`: begins anew, with other drain, retry",
        ])
    );
    host.wait_for("to try what the new one reads", || host.outcomes("fail", "skipped") >= 50);
    assert_eq!(api(&host, "/noop")["status"], 404);
    host.wait_for("to forget its figures", || {
        host.metric("gristmill_messages_total", &[("plugin", "noop")]) == 0.0
    });
    // It is as paused as before, and goes on where it was.
    host.wait_for("to have it back", || api(&host, "/stamp")["state"] == "paused");
    kafka.produce(&changes, (0..7).map(|i| (i.to_string(), "x")));
    assert_eq!(host.ask("POST /api/v1/plugins/stamp/resume", "", "").0, 200);
    host.wait_handled("stamp", 7);
    assert_eq!(host.outcomes("stamp", "handled"), 7, "nothing is handled again");
    host.wait_handled("echo", 4_000);
    assert_eq!(rebalances(), before, "the other did not notice");
    assert_eq!(host.stop(), 0);
    Tally::of(&kafka.consume_all(&out, Isolation::ReadUncommitted)).assert_once(0..4_000);
}

#[test]
fn changed_files_are_followed_however_they_are_replaced_once_they_are_whole() {
    let kafka = Kafka::shared();
    let from = Kafka::unique("watched");
    kafka.create_topic(&from, 1);
    let site = Site::new(&kafka.bootstrap(), &own_file(&from, "failure.action = \"skip\""));
    let file = site.path().join("p.wasm");
    fs::write(&file, version(1, 'f')).expect("a component");
    let host = site.start_with(&["--watch"]);
    host.wait_ready();
    let runs = |wasm: &[u8]| api(&host, "/p")["digest"] == *digest(wasm);
    assert!(runs(&version(1, 'f')));
    // As a build replaces it.
    let next = site.path().join("next.wasm");
    fs::write(&next, version(2, 'f')).expect("a component");
    fs::rename(&next, &file).expect("a rename");
    host.wait_for("to run version 2", || runs(&version(2, 'f')));
    assert_eq!(api(&host, "/p")["component"]["source"], "config");
    // As a copy replaces it, which is never taken half.
    let whole = version(3, 'f');
    let mut copy = fs::File::create(&file).expect("the file can be written");
    whole.chunks(1_000).for_each(|part| copy.write_all(part).expect("the file can be written"));
    drop(copy);
    host.wait_for("to run version 3", || runs(&whole));
    assert_eq!(host.metric("gristmill_swaps_total", &[("result", "refused")]), 0.0);
    // One that is none is refused, and the next that is one is taken.
    fs::write(&file, "no component").expect("the file can be written");
    host.wait_for("to refuse it", || reload(&host)["result"] == "refused");
    assert!(runs(&whole));
    fs::write(&file, version(4, 'f')).expect("a component");
    host.wait_for("to run version 4", || runs(&version(4, 'f')));
    // The config as an editor replaces it, and a component in a folder that is not there yet.
    let (config, new) = (site.path().join("gristmill.toml"), site.path().join("new.toml"));
    let text = fs::read_to_string(&config).expect("the config");
    let more = format!(
        "[plugins.q]\ncomponent = \"later/q.wasm\"\ntopics = [{from:?}]\nfailure.action = \"skip\"\n"
    );
    fs::write(&new, text + &more).expect("the config can be written");
    fs::rename(&new, &config).expect("a rename");
    host.wait_for("to miss it", || reload(&host)["problems"].to_string().contains("No such file"));
    fs::create_dir(site.path().join("later")).expect("a folder");
    fs::copy(plugin("noop"), site.path().join("later/q.wasm")).expect("a component");
    host.wait_for("to have both", || api(&host, "/q")["state"] == "running");
    assert_eq!(reload(&host)["by"], "a changed file");
    assert_eq!(host.stop(), 0);
}

#[test]
fn a_swapped_in_component_survives_a_restart_until_the_config_s_file_changes() {
    let kafka = Kafka::shared();
    let from = Kafka::unique("kept");
    kafka.create_topic(&from, 1);
    let site = Site::new(&kafka.bootstrap(), &own_file(&from, "failure.action = \"skip\""));
    fs::write(site.path().join("p.wasm"), version(1, 'f')).expect("a component");
    let runs =
        |host: &Host| (api(host, "/p")["digest"].clone(), api(host, "/p")["component"]["source"].clone());
    let expected = |number, source: &str| (Value::from(digest(&version(number, 'f'))), Value::from(source));
    let host = site.start();
    host.wait_ready();
    assert_eq!(host.ask("PUT /api/v1/plugins/p/component", "", version(2, 'f')).0, 200);
    assert_eq!(runs(&host), expected(2, "swapped"));
    // The file is what it was: it stays, over a reload and over a restart.
    assert_eq!(hang_up(&host)["result"], "unchanged");
    assert_eq!(host.stop(), 0);
    let host = site.start();
    host.wait_ready();
    assert_eq!(runs(&host), expected(2, "swapped"));
    fs::write(site.path().join("p.wasm"), version(3, 'f')).expect("a component");
    assert_eq!(hang_up(&host)["result"], "done");
    assert_eq!(runs(&host), expected(3, "config"));
    assert_eq!(host.ask("PUT /api/v1/plugins/p/component", "", version(4, 'f')).0, 200);
    assert_eq!(host.stop(), 0);
    // Changed while no host ran.
    fs::write(site.path().join("p.wasm"), version(5, 'f')).expect("a component");
    let host = site.start();
    host.wait_ready();
    assert_eq!(runs(&host), expected(5, "config"));
    assert_eq!(host.stop(), 0);
    // What is over is over, also when the file is what it was once.
    fs::write(site.path().join("p.wasm"), version(3, 'f')).expect("a component");
    let host = site.start();
    host.wait_ready();
    assert_eq!(runs(&host), expected(3, "config"));
}

#[test]
fn a_changed_budget_survives_a_restart_if_the_config_says_so_and_has_not_changed_itself() {
    let kafka = Kafka::shared();
    let from = Kafka::unique("budget-kept");
    kafka.create_topic(&from, 1);
    let settings = |more: &str| section("noop", &from, &format!("[plugins.noop.budget]\n{more}"));
    let shown = |host: &Host| {
        let shown = api(host, "/noop");
        (shown["budget"]["rate"].clone(), shown["configured"]["rate"].clone())
    };
    let patch = |host: &Host, rate: &str| {
        let body = format!("{{\"rate\": {rate}}}");
        assert_eq!(host.ask("PATCH /api/v1/plugins/noop/budget", "", &body).0, 200);
    };
    let rate = |rate: &str| Value::from(rate);
    let site = Site::new(&kafka.bootstrap(), &settings("rate = \"50/s\"\nkeep = true"));
    let host = site.start();
    host.wait_ready();
    patch(&host, "\"70/s\"");
    assert_eq!(host.stop(), 0);
    let host = site.start();
    host.wait_ready();
    assert_eq!(shown(&host), (rate("70/s"), rate("50/s")));
    let change = api(&host, "/noop")["changes"][0].clone();
    assert_eq!(change["what"], "kept rate 50/s -> 70/s");
    assert!(change["by"].as_str().is_some_and(|by| by.starts_with("the last run")), "{change}");
    assert!(!host.logged("kept rate 50/s -> 70/s").is_empty());
    // A rate that was lifted is kept too; a reload that says nothing new of the budget leaves it.
    patch(&host, "null");
    site.write(
        &kafka.bootstrap(),
        &settings("rate = \"50/s\"\nkeep = true\n[plugins.noop.retry]\nattempts = 2"),
    );
    assert_eq!(hang_up(&host)["result"], "done");
    assert_eq!(shown(&host), (Value::Null, rate("50/s")));
    assert_eq!(host.stop(), 0);
    let host = site.start();
    host.wait_ready();
    assert_eq!(shown(&host), (Value::Null, rate("50/s")));
    assert_eq!(host.stop(), 0);
    // The config's own budget has changed: it holds.
    site.write(&kafka.bootstrap(), &settings("rate = \"60/s\"\nkeep = true"));
    let host = site.start();
    host.wait_ready();
    assert_eq!(shown(&host), (rate("60/s"), rate("60/s")));
    assert!(!host.logged("the budget of the last run is forgotten").is_empty());
    patch(&host, "\"80/s\"");
    // It is not kept any more from here on, and not found again when it would be.
    site.write(&kafka.bootstrap(), &settings("rate = \"60/s\""));
    assert_eq!(hang_up(&host)["result"], "done");
    assert_eq!(shown(&host), (rate("80/s"), rate("60/s")));
    assert_eq!(host.stop(), 0);
    site.write(&kafka.bootstrap(), &settings("rate = \"60/s\"\nkeep = true"));
    let host = site.start();
    host.wait_ready();
    assert_eq!(shown(&host), (rate("60/s"), rate("60/s")));
    assert_eq!(host.stop(), 0);
}
