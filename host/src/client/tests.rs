//! The client against a host that says one thing.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};

use super::*;

/// A client, and what its requests were, of a host that gives these answers, one a connection.
fn client_of(answers: &[&str]) -> (Client, Receiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Target::url_of(listener.local_addr().unwrap());
    let answers: Vec<String> = answers.iter().map(|&answer| answer.to_owned()).collect();
    let (heard, hears) = channel();
    std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                assert_ne!(reader.read_line(&mut head).unwrap(), 0);
            }
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
            // One that asks whether its body is wanted gets its answer first.
            if !head.contains("100-continue") {
                reader.read_exact(&mut body).unwrap();
            }
            heard.send((head, body)).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    (Client::new(target(&url, Some("hunter2")), "anna@ops"), hears)
}

fn target(url: &str, token: Option<&str>) -> Target {
    Target {
        url: url.to_owned(),
        url_from: "`--admin`".to_owned(),
        token: token.map(|secret| Token { secret: secret.to_owned(), from: "`GRISTMILL_TOKEN`".to_owned() }),
        token_place: "`GRISTMILL_TOKEN`".to_owned(),
    }
}

fn answer(status: &str, media_type: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: {media_type}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

fn problem(status: &str, detail: &str) -> String {
    let code = status[..3].parse::<u16>().unwrap();
    let problem = json!({ "type": "about:blank", "title": "x", "status": code, "detail": detail });
    answer(status, "application/problem+json", &problem.to_string())
}

#[test]
fn a_request_says_who_asks_and_with_which_token() {
    let (client, hears) = client_of(&[&answer("200 OK", "application/json", r#"{"plugins": []}"#)]);
    let plugins: api::Plugins = client.plugins().unwrap();
    assert_eq!(plugins.plugins, []);
    let (head, _) = hears.recv().unwrap();
    assert!(head.starts_with("GET /api/v1/plugins HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("authorization: Bearer hunter2\r\n"), "{head}");
    assert!(head.contains("gristmill-user: anna@ops\r\n"), "{head}");
}

#[test]
fn names_and_keys_fit_into_the_url() {
    let waiting = r#"{"message": null, "state": "elsewhere", "why": "w", "behind": null, "until": null}"#;
    let (client, hears) = client_of(&[&answer("200 OK", "application/json", waiting)]);
    let found: api::Waiting = client.waiting("a/b", &Question::Key("k&y =ü".to_owned())).unwrap();
    assert_eq!(found.state, "elsewhere");
    let (head, _) = hears.recv().unwrap();
    assert!(head.starts_with("GET /api/v1/plugins/a%2Fb/message?key=k%26y%20%3D%C3%BC HTTP"), "{head}");
}

#[test]
fn lanes_are_named_in_the_body() {
    let (client, hears) = client_of(&[&answer("200 OK", "application/json", r#"{"lanes": 1}"#)]);
    let place = api::Place { topic: "in".to_owned(), partition: 3, offset: 17 };
    let which = api::Positions { all: false, lanes: vec![place] };
    assert_eq!(client.unpark("echo", Verdict::Skip, &which), Ok(1));
    let (head, body) = hears.recv().unwrap();
    assert!(head.starts_with("POST /api/v1/plugins/echo/parked/skip HTTP"), "{head}");
    let sent: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(sent, json!({ "all": false, "lanes": [{ "topic": "in", "partition": 3, "offset": 17 }] }));
}

#[test]
fn a_swap_says_how() {
    let swapped = r#"{"result": "canary", "digest": "sha256:1", "trial": "sha256:2", "new_imports": []}"#;
    let (client, hears) = client_of(&[&answer("200 OK", "application/json", swapped)]);
    let how = How { canary: Some("5%".to_owned()), accept_new_imports: true, ..How::default() };
    let answered = client.swap("echo", b"\0asm", &how).unwrap();
    assert_eq!(answered.trial.as_deref(), Some("sha256:2"));
    let (head, body) = hears.recv().unwrap();
    let request = "PUT /api/v1/plugins/echo/component?canary=5%25&accept_new_imports=true HTTP/1.1\r\n";
    assert!(head.starts_with(request), "{head}");
    assert_eq!(body, b"\0asm");
}

#[test]
fn a_refusal_comes_before_a_large_body_is_sent() {
    let refusal = problem("413 Content Too Large", "a component has at most 64MiB");
    let (client, _hears) = client_of(&[&refusal]);
    let error = client.swap("echo", &vec![0; 32 << 20], &How::default()).unwrap_err();
    let detail = "a component has at most 64MiB".to_owned();
    assert_eq!(error, Error::Refused { status: 413, detail });
}

#[test]
fn problem_details_are_told_as_they_are() {
    let (client, _hears) = client_of(&[&problem("404 Not Found", "there is no plugin `x`")]);
    let error = client.plugin::<api::Detail>("x").unwrap_err();
    assert_eq!(error, Error::Refused { status: 404, detail: "there is no plugin `x`".to_owned() });
    assert!(!error.is_unreachable());
}

#[test]
fn a_token_that_is_refused_is_named_and_not_shown() {
    let (client, _hears) = client_of(&[&problem("401 Unauthorized", "send the token")]);
    let error = client.plugins::<Value>().unwrap_err();
    let Error::Unauthorized(text) = &error else { panic!("{error:?}") };
    assert!(text.contains("does not accept the token from `GRISTMILL_TOKEN`"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn somebody_else_on_the_port_is_told_from_a_host() {
    let page = answer("200 OK", "text/html", "<html>");
    let gateway = answer("502 Bad Gateway", "text/html", "<html>");
    let elsewhere = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
    let (client, _hears) = client_of(&[&page, &gateway, elsewhere, "SSH-2.0-OpenSSH_9.2\r\n\r\n"]);
    for _ in 0..4 {
        let error = client.plugins::<api::Plugins>().unwrap_err();
        let Error::Strange(text) = &error else { panic!("{error:?}") };
        assert!(text.contains("does not answer as gristmill's admin API does"), "{text}");
    }
}

#[test]
fn nobody_there_is_told_with_what_was_tried() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = Client::new(target(&Target::url_of(free), None), "anna@ops");
    let error = client.plugins::<Value>().unwrap_err();
    assert!(error.is_unreachable());
    let text = error.to_string();
    assert!(text.contains(&format!("no host answers at `http://{free}` (from `--admin`)")), "{text}");
    assert!(text.contains("\n  hint: "), "{text}");
}

#[test]
fn an_answer_that_breaks_off_leaves_open_what_became_of_it() {
    let (client, _hears) = client_of(&["HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{", ""]);
    for _ in 0..2 {
        let error = client.promote("echo").unwrap_err();
        assert!(matches!(error, Error::Lost(_)), "{error:?}");
    }
}

#[test]
fn events_come_until_the_host_ends() {
    let event = r#"data: {"plugins": []}"#;
    let stream =
        format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n{event}\n\n: hum\n\n{event}\n\n");
    let (client, _hears) = client_of(&[&stream]);
    let mut events = client.events().unwrap().unwrap();
    for _ in 0..2 {
        assert_eq!(events.next().unwrap().unwrap().plugins, []);
    }
    assert!(events.next().unwrap().unwrap_err().is_unreachable());
}

#[test]
fn a_host_without_events_says_so() {
    let answers = [
        problem("404 Not Found", "nothing there"),
        problem("503 Service Unavailable", "there are 64 listeners"),
        answer("200 OK", "application/json", "{}"),
    ];
    let (client, _hears) = client_of(&answers.each_ref().map(String::as_str));
    for _ in 0..answers.len() {
        assert!(client.events().unwrap().is_none());
    }
}
