//! What is asked of plugins, and what is answered, over real sockets.

use std::thread;

use serde_json::json;

use super::super::routes::ROUTES;
use super::*;
use crate::api::{Detail, ParkedLanes, Plugins, Swapped};

const JSON: &str = "Content-Type: application/json\r\n";

fn plugins(address: SocketAddr) -> Plugins {
    let (status, head, body) = ask(address, "GET /api/v1/plugins", "");
    assert_eq!(status, 200, "{body}");
    assert!(head.contains("content-type: application/json"), "{head}");
    serde_json::from_str(&body).unwrap()
}

fn one(address: SocketAddr, name: &str) -> Detail {
    let (status, body) = get(address, &format!("/api/v1/plugins/{name}"));
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

/// Changes the budget of `two`.
fn patch(address: SocketAddr, body: &Value, headers: &str) -> Answer {
    let headers = format!("{JSON}{headers}");
    send(address, "PATCH /api/v1/plugins/two/budget", &headers, body.to_string().as_bytes())
}

#[test]
fn plugins_are_listed_with_what_is_configured_and_what_is_in_effect() {
    let (address, seats) = admin(None);
    seats[1].say(|_| Some(State::Running));
    seats[1].metrics.update_partition("b", 3, |gauges| {
        gauges.lag_messages = Some(7);
        gauges.committed_offset = Some(40);
    });
    let all = plugins(address);
    let names: Vec<_> = all.plugins.iter().map(|plugin| (&*plugin.name, &*plugin.state)).collect();
    assert_eq!(names, [("one", "starting"), ("two", "running")]);
    assert_eq!(all.plugins[0].reason.as_deref(), Some("loading the component"));
    let two = &all.plugins[1];
    assert_eq!((two.budget.rate.as_deref(), two.lag, two.partitions), (Some("11/s"), Some(7), 1));
    assert_eq!(
        (two.group.as_str(), two.order.as_str(), two.failure_action.as_str()),
        ("gristmill-two", "key", "park")
    );
    assert_eq!(two.messages.keys().collect::<Vec<_>>(), ["dead-lettered", "handled", "parked", "skipped"]);
    assert_eq!(two.traps.len(), 5);
    let shown = one(address, "two");
    assert_eq!((shown.assigned.len(), shown.assigned[0].committed_offset), (1, Some(40)));
    assert!(shown.changes.is_empty());
    // The names of the contract, as they stand in the JSON.
    let (_, body) = get(address, "/api/v1/plugins");
    let body: Value = serde_json::from_str(&body).unwrap();
    for key in ["name", "state", "digest", "budget", "in_flight", "buffer_messages", "lag"] {
        assert!(body["plugins"][1].get(key).is_some(), "{key}");
    }
}

#[test]
fn a_budget_is_changed_by_any_part_of_it_and_it_is_told_who_did_it() {
    let (address, seats) = admin(None);
    let who = "Gristmill-User: ada lovelace\r\n";
    let (status, _, body) = patch(address, &json!({ "rate": "50/s", "concurrency": 3 }), who);
    assert_eq!(status, 200, "{body}");
    let shown: Detail = serde_json::from_str(&body).unwrap();
    assert_eq!((shown.plugin.budget.rate.as_deref(), shown.plugin.budget.concurrency), (Some("50/s"), 3));
    assert_eq!(shown.plugin.configured.rate.as_deref(), Some("11/s"));
    assert_eq!(shown.changes.len(), 1);
    assert_eq!(shown.changes[0].what, "concurrency 10 -> 3, rate 11/s -> 50/s");
    assert!(shown.changes[0].by.starts_with("ada lovelace from 127.0.0.1:"), "{:?}", shown.changes);
    assert_eq!(seats[1].budget().concurrency, 3);

    assert_eq!(patch(address, &json!({ "rate": null }), "").0, 200);
    assert!(get(address, "/metrics").1.contains(r#"gristmill_budget_rate{plugin="two"} +Inf"#));
    // What changes nothing is no change.
    assert_eq!(patch(address, &json!({}), "").0, 200);
    assert_eq!(patch(address, &json!({ "concurrency": 3 }), "").0, 200);
    assert_eq!(one(address, "two").changes.len(), 2);
    assert!(one(address, "one").changes.is_empty());
}

#[test]
fn a_budget_with_anything_wrong_in_it_changes_nothing_and_is_told_in_full() {
    let (address, seats) = admin(None);
    let before = seats[1].budget();
    let answer = patch(address, &json!({ "concurrency": 0, "rate": "50", "bufer": 1, "timeout": "1s" }), "");
    assert_eq!(answer.0, 400);
    let said = detail(&answer);
    assert!(said.contains("`concurrency`: expected a value from `1` to `10000`, found: `0`"), "{said}");
    assert!(said.contains("`bufer`: unknown key `bufer`\nhint: did you mean `buffer`?"), "{said}");
    let body: Value = serde_json::from_str(&answer.2).unwrap();
    let keys: Vec<_> = body["problems"].as_array().unwrap().iter().map(|problem| &problem["key"]).collect();
    assert_eq!(keys, ["bufer", "concurrency", "rate"]);
    assert_eq!(body["problems"][1]["found"], "`0`");
    assert_eq!(seats[1].budget(), before);
    assert!(seats[1].changes().is_empty());
}

#[test]
fn bodies_that_are_no_object_of_json_are_told_what_was_expected() {
    let (address, _) = admin(None);
    let path = "PATCH /api/v1/plugins/two/budget";
    for (body, says) in [
        ("", "found: nothing"),
        ("[1]", "found: a list"),
        ("\"x\"", "found: `\"x\"`"),
        ("{\"rate\": ", "EOF while parsing"),
        ("{\"rate\": \"\u{0}\"}", "control character"),
    ] {
        let answer = send(address, path, JSON, body.as_bytes());
        assert_eq!(answer.0, 400, "{body}");
        assert!(detail(&answer).contains(says), "{}", answer.2);
    }
    assert_eq!(send(address, path, JSON, b"{\"rate\": \"\xff\"}").0, 400);
    assert_eq!(send(address, path, JSON, "[".repeat(100_000).as_bytes()).0, 400);
    let answer = send(address, path, "Content-Type: text/xml\r\n", b"<rate/>");
    assert_eq!(
        (answer.0, detail(&answer).as_str()),
        (415, "expected a body of `application/json`, found: `text/xml`")
    );
    for plain in [
        "",
        "Content-Type: application/x-www-form-urlencoded\r\n",
        "Content-Type: Application/JSON; charset=utf-8\r\n",
    ] {
        assert_eq!(send(address, path, plain, b"{\"burst\": 2}").0, 200, "{plain}");
    }
}

#[test]
fn of_two_operators_at_once_the_last_one_wins_and_both_are_told_of() {
    const EACH: u64 = 20;
    let (address, _) = admin(None);
    thread::scope(|scope| {
        for (who, from) in [("ada", 100), ("grace", 200)] {
            scope.spawn(move || {
                for i in 0..EACH {
                    let body = json!({ "buffer": from + i });
                    assert_eq!(patch(address, &body, &format!("Gristmill-User: {who}\r\n")).0, 200);
                }
            });
        }
    });
    let shown = one(address, "two");
    let made = |who: &str| shown.changes.iter().filter(|change| change.by.starts_with(who)).count() as u64;
    // The first of ada's asks for what is there already.
    assert!(made("grace") == EACH && made("ada") >= EACH - 1, "{:?}", shown.changes);
    assert!(
        shown.changes[0].what.ends_with(&format!("-> {}", shown.plugin.budget.buffer)),
        "{:?}",
        shown.changes[0]
    );
    // Each saw what the other did.
    for pair in shown.changes.windows(2) {
        let (_, from, _) = words(&pair[0].what);
        let (_, _, to) = words(&pair[1].what);
        assert_eq!(from, to);
    }
}

/// `key old -> new`
fn words(what: &str) -> (&str, &str, &str) {
    let (key, change) = what.split_once(' ').unwrap();
    let (old, new) = change.split_once(" -> ").unwrap();
    (key, old, new)
}

#[test]
fn a_plugin_is_paused_and_goes_on() {
    let (address, seats) = admin(None);
    seats[0].say(|_| Some(State::Running));
    let (status, _, body) = ask(address, "POST /api/v1/plugins/one/pause", "");
    let shown: Detail = serde_json::from_str(&body).unwrap();
    assert_eq!((status, shown.plugin.state.as_str(), seats[0].is_paused()), (200, "paused", true));
    assert_eq!(ask(address, "POST /api/v1/plugins/one/pause", "").0, 200);
    let (status, _, body) = ask(address, "POST /api/v1/plugins/one/resume", "");
    let shown: Detail = serde_json::from_str(&body).unwrap();
    assert_eq!((status, shown.plugin.state.as_str(), seats[0].is_paused()), (200, "running", false));
    let said: Vec<_> = shown.changes.iter().map(|change| change.what.as_str()).collect();
    assert_eq!(said, ["resumed", "paused"]);
}

#[test]
fn a_plugin_that_is_not_there_is_told_with_those_that_are() {
    let (address, _) = admin(None);
    let answer = get_answer(address, "/api/v1/plugins/enrich");
    assert_eq!(
        (answer.0, detail(&answer).as_str()),
        (404, "there is no plugin `enrich`\nhint: there are `one`, `two`")
    );
    assert!(detail(&get_answer(address, "/api/v1/plugins/onne")).contains("did you mean `one`?"));
    for route in ROUTES.iter().filter(|route| route.path.contains("{name}")) {
        let path = route.path.replace("{name}", "none");
        let answer = ask(address, &format!("{} {path}", route.method.word().to_uppercase()), "");
        assert_eq!(answer.0, 404, "{path}");
        detail(&answer);
    }
    let answer = get_answer(address, "/api/v1/plugins/%FF");
    assert_eq!(answer.0, 400);
    detail(&answer);
    assert_eq!(get(address, "/api/v1/plugins/on%65").0, 200);
    assert_eq!(get(address, "/api/v1/plugins/").0, 404);
    let answer = ask(address, "DELETE /api/v1/plugins/one", "");
    assert_eq!((answer.0, detail(&answer).as_str()), (405, "`/api/v1/plugins/one` does not answer DELETE"));
    assert_eq!(ask(address, "BREW /api/v1/plugins/one/pause", "").0, 405);
}

#[test]
fn how_a_component_comes_in_is_said_in_the_query_and_slips_are_told() {
    let (address, _) = admin(None);
    let put = |query: &str, headers: &str| {
        send(address, &format!("PUT /api/v1/plugins/one/component{query}"), headers, b"\0asm")
    };
    for (query, says) in [
        (
            "?canary=0",
            "`canary`: expected a share in percent above `0` and at most `100`, such as `5` or `5%`, found: `0`",
        ),
        ("?canary=101%25", "found: `101%`"),
        ("?canary=5&shadow=true", "exclude each other"),
        ("?shadow=yes", "`shadow`: expected `true` or `false`, found: `yes`"),
        ("?canry=5", "unknown parameter `canry`\nhint: did you mean `canary`?"),
        ("?wait=false&wait=true", "twice"),
    ] {
        let answer = put(query, "");
        assert_eq!(answer.0, 400, "{query}");
        assert!(detail(&answer).contains(says), "{}", answer.2);
    }
    let answer = put("", "Content-Type: multipart/form-data; boundary=x\r\n");
    assert_eq!(
        (answer.0, detail(&answer).as_str()),
        (415, "expected a body of `application/wasm`, found: `multipart/form-data`")
    );
    let (status, _, body) = put("?wait=false", "Content-Type: application/wasm\r\n");
    let loading: Swapped = serde_json::from_str(&body).unwrap();
    assert_eq!((status, loading.result.as_str(), loading.trial), (202, "loading", None));
    // Nobody sits in these seats, so nothing can be put in; that is told too.
    for answer in [
        put("?canary=5%", ""),
        ask(address, "POST /api/v1/plugins/one/promote", ""),
        ask(address, "POST /api/v1/plugins/one/rollback", ""),
    ] {
        assert!([409, 500].contains(&answer.0), "{}", answer.2);
        detail(&answer);
    }
}

#[test]
fn parked_lanes_are_chosen_by_all_or_by_place() {
    let (address, _) = admin(None);
    let (status, body) = get(address, "/api/v1/plugins/one/parked");
    assert_eq!(
        (status, serde_json::from_str::<ParkedLanes>(&body).unwrap()),
        (200, ParkedLanes { lanes: vec![], total: 0 })
    );
    let place = json!({ "topic": "a", "partition": 0, "offset": 7 });
    for way in ["release", "skip"] {
        let post = |body: Value| {
            let request = format!("POST /api/v1/plugins/one/parked/{way}");
            send(address, &request, JSON, body.to_string().as_bytes())
        };
        for good in [json!({ "all": true }), json!({ "all": true, "lanes": [] }), json!({ "lanes": [place] })]
        {
            let (status, _, body) = post(good);
            assert_eq!((status, body.as_str()), (200, "{\"lanes\":0}"));
        }
        for (bad, says) in [
            (json!({}), "found neither"),
            (json!({ "all": false }), "found neither"),
            (json!({ "all": true, "lanes": [place] }), "found both"),
            (json!({ "al": true }), "unknown field `al`"),
            (json!({ "lanes": [{ "topic": "a", "partition": 0 }] }), "missing field `offset`"),
            (
                json!({ "lanes": [{ "topic": "a", "partition": 3_000_000_000_u32, "offset": 0 }] }),
                "invalid value",
            ),
        ] {
            let answer = post(bad);
            assert_eq!(answer.0, 400);
            let said = detail(&answer);
            assert!(said.contains(says) && said.starts_with("expected `{\"all\": true}`, or"), "{said}");
        }
    }
}

#[test]
fn one_message_is_asked_for_by_its_place_or_by_its_key() {
    let (address, _) = admin(None);
    for good in ["?topic=a&partition=0&offset=7", "?key=a%20b", "?key=", "?key=%FF%00"] {
        let (status, body) = get(address, &format!("/api/v1/plugins/one/message{good}"));
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<crate::api::Waiting>(&body).unwrap();
    }
    for bad in [
        "",
        "?topic=a",
        "?topic=a&partition=0",
        "?topic=a&partition=0&offset=7&key=k",
        "?topic=a&partition=2147483648&offset=0",
    ] {
        let answer = get_answer(address, &format!("/api/v1/plugins/one/message{bad}"));
        assert_eq!(answer.0, 400, "{bad}");
        assert_eq!(detail(&answer), "expected `?topic=…&partition=…&offset=…`, or `?key=…`");
    }
    let answer = get_answer(address, "/api/v1/plugins/one/message?topic=a&partition=-1&offset=x");
    assert_eq!(detail(&answer), "`partition`: expected a whole number, at least `0`, found: `-1`");
    assert_eq!(get(address, "/api/v1/plugins/one/message?topic=%FF&partition=0&offset=0").0, 400);
}
