//! Server-sent events over real sockets.

use std::io::{BufRead as _, BufReader};

use super::super::desk::LISTENERS_MAX;
use super::*;
use crate::api::Plugins;

/// The data of the next event.
fn next_event(lines: &mut impl Iterator<Item = std::io::Result<String>>) -> Plugins {
    let data = lines.map(Result::unwrap).find_map(|line| line.strip_prefix("data: ").map(str::to_owned));
    serde_json::from_str(&data.unwrap()).unwrap()
}

fn listen(address: SocketAddr) -> std::io::Lines<BufReader<TcpStream>> {
    let mut stream = connect(address);
    stream.write_all(b"GET /api/v1/events HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    BufReader::new(stream).lines()
}

#[test]
fn who_listens_is_told_at_once_and_then_again_and_again() {
    let (address, seats) = admin(None);
    let mut lines = listen(address);
    let head: Vec<_> = lines.by_ref().map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
    assert_eq!(head[0], "HTTP/1.1 200 OK");
    assert!(head.iter().any(|line| line == "content-type: text/event-stream"), "{head:?}");
    assert!(head.iter().any(|line| line == "cache-control: no-store"), "{head:?}");
    assert_eq!(next_event(&mut lines).plugins[0].state, "starting");
    seats[0].say(|_| Some(State::Running));
    let running = std::iter::repeat_with(|| next_event(&mut lines))
        .take(10)
        .find(|all| all.plugins[0].state == "running");
    assert!(running.is_some());
}

#[test]
fn listeners_that_read_nothing_hold_up_nobody_and_there_are_only_so_many() {
    let (address, _) = admin(None);
    let mut silent: Vec<_> = (0..LISTENERS_MAX).map(|_| listen(address)).collect();
    // Each has been let in when its first line is there.
    for lines in &mut silent {
        assert_eq!(lines.next().unwrap().unwrap(), "HTTP/1.1 200 OK");
    }
    let answer = get_answer(address, "/api/v1/events");
    assert_eq!((answer.0, answer.1.contains("retry-after: ")), (503, true));
    assert!(detail(&answer).contains("64 listeners already"));
    silent.pop();
    // The place is free when the host has seen that nobody is there any more.
    let mut lines = until(|| {
        let mut lines = listen(address);
        (lines.next()?.ok()? == "HTTP/1.1 200 OK").then_some(lines)
    });
    next_event(&mut lines);
}
