//! The admin listener over real sockets, with seats that nobody sits in.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

mod api;
mod document;
mod events;
mod limits;

use super::exposition::Format;
use super::*;
use crate::config::check;
use crate::pipeline::control::{Seat, State};
use crate::plugin::Room;

/// How long an answer may take; none takes a hundredth of it.
const ANSWER: Duration = Duration::from_secs(20);

/// Every metric that the host has by now, as the series are called.
const NAMES: [&str; 21] = [
    "gristmill_messages_total",
    "gristmill_handle_seconds_bucket",
    "gristmill_wait_seconds_bucket",
    "gristmill_in_flight",
    "gristmill_buffer_messages",
    "gristmill_buffer_bytes",
    "gristmill_parked_lanes",
    "gristmill_retries_total",
    "gristmill_budget_concurrency",
    "gristmill_budget_rate",
    "gristmill_throttled_seconds_total",
    "gristmill_lag_messages",
    "gristmill_committed_offset",
    "gristmill_oldest_unfinished_seconds",
    "gristmill_instances",
    "gristmill_guest_memory_bytes",
    "gristmill_guest_cpu_seconds_total",
    "gristmill_traps_total",
    "gristmill_swaps_total",
    "gristmill_generation_info",
    "gristmill_rebalances_total",
];

/// A listener with the plugins `one` (no rate) and `two` (11/s).
fn admin(token: Option<&str>) -> (SocketAddr, Vec<Arc<Seat>>) {
    let text = "kafka.brokers = [\"k:9092\"]\n\
                [plugins.one]\ncomponent = \"p.wasm\"\ntopics = [\"a\"]\n\
                [plugins.two]\ncomponent = \"p.wasm\"\ntopics = [\"b\"]\nbudget.rate = \"11/s\"\n";
    let checked = check::parse(text, Path::new("gristmill.toml"), &|_| None).unwrap();
    let seats: Vec<_> =
        checked.config.plugins.into_iter().map(|plugin| Seat::new(Arc::new(plugin))).collect();
    let settings = config::Admin { listen: "127.0.0.1:0".parse().unwrap(), token: token.map(str::to_owned) };
    let room = Room { workers: 100, memory: 1 << 30 };
    (start(&settings, Roster::new(room, seats.clone())).unwrap().address, seats)
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(ANSWER)).unwrap();
    stream
}

/// What comes back for `bytes` until the other side hangs up.
fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = connect(address);
    // The other side may hang up before it has read everything; what it said is there all the same.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("no answer: {error}"),
        _ => String::from_utf8(answer).unwrap(),
    }
}

/// Status, head in lower case, and body.
type Answer = (u16, String, String);

fn ask(address: SocketAddr, request: &str, headers: &str) -> Answer {
    send(address, request, headers, b"")
}

/// The answer to a request with a body.
fn send(address: SocketAddr, request: &str, headers: &str, body: &[u8]) -> Answer {
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let head = format!("{request} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{length}{headers}\r\n");
    read(&exchange(address, &[head.as_bytes(), body].concat()))
}

fn read(answer: &str) -> Answer {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_lowercase(), body.to_owned())
}

fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let (status, _, body) = ask(address, &format!("GET {path}"), "");
    (status, body)
}

fn get_answer(address: SocketAddr, path: &str) -> Answer {
    ask(address, &format!("GET {path}"), "")
}

/// Looks again and again until there is something.
fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let begun = std::time::Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < ANSWER, "waited in vain");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// Asserts that an answer is a problem as RFC 9457 has it, and returns its detail.
fn detail(answer: &Answer) -> String {
    let (status, head, body) = answer;
    assert!(head.contains("content-type: application/problem+json"), "{head}");
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["status"], *status);
    assert_eq!(body["type"], "about:blank");
    assert!(body["title"].is_string());
    body["detail"].as_str().unwrap().to_owned()
}

#[test]
fn ready_is_when_every_plugin_is_and_until_then_each_says_why_not() {
    let (address, seats) = admin(None);
    assert_eq!(get(address, "/healthz").0, 200);
    let answer = ask(address, "GET /readyz", "");
    assert_eq!(answer.0, 503);
    assert_eq!(detail(&answer), "plugin `one`: loading the component\nplugin `two`: loading the component");

    seats[0].say(|_| Some(State::Running));
    seats[1].say(|_| Some(State::Joining { trouble: Some("the broker is away".to_owned()) }));
    assert_eq!(detail(&ask(address, "GET /readyz", "")), "plugin `two`: the broker is away");

    seats[1].say(|_| Some(State::Running));
    assert_eq!(get(address, "/readyz"), (200, r#"{"status":"ready"}"#.to_owned()));

    seats[0].say(|_| Some(State::Draining));
    assert_eq!(get(address, "/readyz").0, 503);
    assert_eq!(get(address, "/healthz"), (200, r#"{"status":"ok"}"#.to_owned()));
}

#[test]
fn every_series_is_there_at_0_from_the_start() {
    let (address, seats) = admin(None);
    seats[0].metrics.update_partition("a", 0, |gauges| {
        gauges.lag_messages = Some(0);
        gauges.committed_offset = Some(0);
    });
    let (status, text) = get(address, "/metrics");
    assert_eq!(status, 200);
    for name in NAMES {
        let series = |line: &str| line.starts_with(&format!("{name}{{")) && line.contains("plugin=\"one\"");
        assert!(text.lines().any(series), "`{name}` is missing:\n{text}");
    }
    for exact in [
        r#"gristmill_messages_total{plugin="two",outcome="handled"} 0"#,
        r#"gristmill_messages_total{plugin="two",outcome="dead-lettered"} 0"#,
        r#"gristmill_messages_total{plugin="two",outcome="parked"} 0"#,
        r#"gristmill_messages_total{plugin="two",outcome="skipped"} 0"#,
        r#"gristmill_traps_total{plugin="two",kind="trap"} 0"#,
        r#"gristmill_traps_total{plugin="two",kind="timeout"} 0"#,
        r#"gristmill_traps_total{plugin="two",kind="cpu"} 0"#,
        r#"gristmill_traps_total{plugin="two",kind="memory"} 0"#,
        r#"gristmill_traps_total{plugin="two",kind="exit"} 0"#,
        r#"gristmill_swaps_total{plugin="two",result="done"} 0"#,
        r#"gristmill_swaps_total{plugin="two",result="refused"} 0"#,
        r#"gristmill_swaps_total{plugin="two",result="rolled-back"} 0"#,
        r#"gristmill_handle_seconds_bucket{le="+Inf",plugin="two"} 0"#,
        r#"gristmill_budget_rate{plugin="one"} +Inf"#,
        r#"gristmill_budget_rate{plugin="two"} 11.0"#,
        r#"gristmill_lag_messages{plugin="one",topic="a",partition="0"} 0.0"#,
    ] {
        assert!(text.lines().any(|line| line == exact), "`{exact}` is missing:\n{text}");
    }
    for by in ["rate", "concurrency", "buffer"] {
        let series = format!("gristmill_throttled_seconds_total{{plugin=\"one\",by=\"{by}\"}} 0");
        assert!(text.contains(&series), "`{series}` is missing:\n{text}");
    }
    let values = text.lines().filter(|line| !line.starts_with('#')).map(|line| line.rsplit(' ').next());
    assert!(values.flatten().all(|value| value.parse::<f64>().is_ok()), "{text}");
}

#[test]
fn metrics_come_in_the_text_that_the_scraper_asks_for() {
    let (address, _) = admin(None);
    let (_, head, text) = ask(address, "GET /metrics", "Accept: text/html, */*;q=0.1\r\n");
    assert!(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{head}");
    assert!(text.contains("# TYPE gristmill_messages_total counter\n"), "{text}");
    assert!(text.contains("# HELP gristmill_messages_total Messages by what became of them"), "{text}");
    assert!(text.contains("# TYPE gristmill_handle_seconds histogram\n"), "{text}");
    assert!(!text.contains("# EOF"), "{text}");

    let accept =
        "Accept: application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2\r\n";
    let (_, head, text) = ask(address, "GET /metrics", accept);
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{head}");
    assert!(text.contains("# TYPE gristmill_messages counter\n"), "{text}");
    assert!(text.ends_with("# EOF\n"), "{text}");
    assert_eq!(Format::of(""), Format::Classic);
}

#[test]
fn with_a_token_only_health_and_readiness_are_open() {
    let (address, _) = admin(Some("grain and stone"));
    let right = "Authorization: Bearer grain and stone\r\n";
    assert_eq!(ask(address, "GET /metrics", right).0, 200);
    assert_eq!(ask(address, "GET /metrics", "authorization: bearer grain and stone\r\n").0, 200);
    assert_eq!(ask(address, "GET /nothing", right).0, 404);
    for wrong in [
        "",
        "Authorization: Bearer grain\r\n",
        "Authorization: Bearer \r\n",
        "Authorization: grain and stone\r\n",
        "Authorization: Basic Z3JhaW4=\r\n",
    ] {
        for request in ["GET /metrics", "GET /nothing", "POST /metrics", "GET //healthz", "GET /healthz/"] {
            let answer = ask(address, request, wrong);
            assert_eq!(answer.0, 401, "{request} with {wrong:?}");
            assert!(answer.1.contains("www-authenticate: bearer"), "{}", answer.1);
            assert!(detail(&answer).contains("Authorization: Bearer TOKEN"));
        }
    }
    assert_eq!(get(address, "/healthz").0, 200);
    assert_eq!(get(address, "/readyz").0, 503);
}

#[test]
fn a_browser_without_the_token_gets_the_page_that_asks_for_it() {
    let (address, _) = admin(Some("t"));
    let answer = ask(address, "GET /", "Accept: text/html,*/*;q=0.8\r\n");
    assert_eq!(answer.0, 401);
    assert!(
        answer.1.contains("content-type: text/html") && answer.1.contains("www-authenticate: bearer"),
        "{}",
        answer.1
    );
    assert!(answer.2.to_lowercase().contains("<!doctype html>"), "{}", answer.2);
    for sealed in ["x-frame-options: deny", "x-content-type-options: nosniff", "cache-control: no-store"] {
        assert!(answer.1.contains(sealed), "{}", answer.1);
    }
    detail(&ask(address, "GET /", ""));
    detail(&ask(address, "GET /api/v1/plugins", "Accept: text/html\r\n"));
    let answer = ask(address, "GET /", "Authorization: Bearer t\r\n");
    assert_eq!((answer.0, answer.1.contains("content-type: text/html")), (200, true));
}

#[test]
fn a_page_of_another_site_changes_nothing() {
    let (address, seats) = admin(None);
    let answer = ask(address, "POST /api/v1/plugins/one/pause", "Origin: http://evil.example\r\n");
    assert_eq!((answer.0, seats[0].is_paused()), (403, false));
    detail(&answer);
    assert_eq!(ask(address, "GET /api/v1/plugins", "Origin: http://evil.example\r\n").0, 200);
    // With a token nobody else's page can know it.
    let (address, _) = admin(Some("t"));
    let headers = "Origin: https://behind.a.proxy\r\nAuthorization: Bearer t\r\n";
    assert_eq!(ask(address, "POST /api/v1/plugins/one/pause", headers).0, 200);
}

#[test]
fn what_is_not_there_is_told_as_a_problem() {
    let (address, _) = admin(None);
    let answer = ask(address, "GET /nothing?x=1", "");
    assert_eq!((answer.0, detail(&answer).as_str()), (404, "there is nothing at `/nothing`"));
    let answer = ask(address, "DELETE /metrics", "");
    assert_eq!((answer.0, detail(&answer).as_str()), (405, "`/metrics` does not answer DELETE"));
    assert!(answer.1.contains("allow: get,head"), "{}", answer.1);
}

#[test]
fn head_and_kept_connections_work() {
    let (address, _) = admin(None);
    let (status, head, body) = ask(address, "HEAD /metrics", "");
    assert_eq!((status, body.as_str()), (200, ""));
    assert!(head.contains("content-length: "), "{head}");

    let mut stream = connect(address);
    for _ in 0..3 {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
        let mut answer = String::new();
        while !answer.ends_with('}') {
            let mut bytes = [0; 512];
            let read = stream.read(&mut bytes).unwrap();
            assert!(read > 0, "hung up after {answer:?}");
            answer.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
        }
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
}

#[test]
fn garbage_and_heads_without_end_are_answered_and_hung_up_on() {
    let (address, _) = admin(None);
    for garbage in [&b"\x16\x03\x01\x02\0\x01\0"[..], b"hello\r\n\r\n", b"GET\0/ HTTP/1.1\r\n\r\n"] {
        let answer = exchange(address, &[garbage, &b"\r\n\r\n"[..]].concat());
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{answer:?}");
    }
    let long = format!("GET /healthz HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    let answer = exchange(address, long.as_bytes());
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer:?}");
    assert_eq!(get(address, "/healthz").0, 200);
}

#[test]
fn whoever_comes_only_to_stay_blocks_nobody() {
    let (address, _) = admin(None);
    let silent: Vec<_> = (0..600).map(|_| connect(address)).collect();
    let mut begun = connect(address);
    begun.write_all(b"GET /healthz HT").unwrap();
    for _ in 0..100 {
        assert_eq!(get(address, "/healthz").0, 200);
    }
    drop(silent);
    assert_eq!(get(address, "/metrics").0, 200);
}
