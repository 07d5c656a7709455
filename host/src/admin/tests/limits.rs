//! What is too large, cut off or too slow, over real sockets. How slow is too slow is tested where bodies are read.

use std::net::Shutdown;

use super::super::body::{COMPONENT_BYTES_MAX, JSON_BYTES_MAX};
use super::super::desk::UPLOADS_MAX;
use super::*;

const PUT: &str = "PUT /api/v1/plugins/one/component";

/// A request of which the body is still to come.
fn begin(address: SocketAddr, request: &str, length: usize) -> TcpStream {
    let mut stream = connect(address);
    let head =
        format!("{request} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

fn answer(mut stream: TcpStream) -> Answer {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    read(&text)
}

#[test]
fn a_body_that_is_too_large_is_refused_and_who_sent_it_reads_why() {
    let (address, _) = admin(None);
    let path = "PATCH /api/v1/plugins/two/budget";
    let large = vec![b' '; JSON_BYTES_MAX + 1];
    let refused = send(address, path, "", &large);
    assert_eq!(refused.0, 413);
    assert_eq!(detail(&refused), "the body has more than 256KiB, and that is the most");
    let mut chunked =
        format!("{path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
            .into_bytes();
    chunked.extend(format!("{:x}\r\n", large.len()).as_bytes());
    chunked.extend(&large);
    chunked.extend(b"\r\n0\r\n\r\n");
    assert_eq!(read(&exchange(address, &chunked)).0, 413);
    // It is not waited for what a client says that it will send.
    let refused = answer(begin(address, PUT, COMPONENT_BYTES_MAX + 1));
    assert_eq!(
        (refused.0, detail(&refused).as_str()),
        (413, "the body has more than 256MiB, and that is the most")
    );
    assert_eq!(get(address, "/healthz").0, 200);
}

#[test]
fn a_client_that_is_refused_while_it_sends_reads_why() {
    let (address, _) = admin(Some("t"));
    let body = vec![0; 32 << 20];
    let refused = send(address, PUT, "", &body);
    assert_eq!(refused.0, 401);
    detail(&refused);
    let refused = send(address, "PUT /api/v1/plugins/none/component", "Authorization: Bearer t\r\n", &body);
    assert_eq!(refused.0, 404);
}

#[test]
fn a_body_that_breaks_off_is_told_and_holds_nothing() {
    let (address, _) = admin(None);
    for _ in 0..2 * UPLOADS_MAX {
        let mut stream = begin(address, PUT, 1_000);
        stream.write_all(b"\0asm").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let told = answer(stream);
        assert_eq!(told.0, 400);
        assert!(detail(&told).contains("broke off"), "{}", told.2);
    }
}

#[test]
fn only_so_many_components_are_received_at_a_time() {
    let (address, _) = admin(None);
    let open: Vec<_> = (0..UPLOADS_MAX)
        .map(|_| {
            let mut stream = begin(address, PUT, 8);
            stream.write_all(b"\0as").unwrap();
            stream
        })
        .collect();
    // They have been let in when another is not.
    let refused = until(|| {
        let refused = send(address, PUT, "", b"\0asm");
        (refused.0 == 503).then_some(refused)
    });
    assert!(
        refused.1.contains("retry-after: ") && detail(&refused).contains("2 components"),
        "{}",
        refused.2
    );
    assert_eq!(get(address, "/api/v1/plugins").0, 200);
    for mut stream in open {
        stream.write_all(b"m\x0d\0\x01\0").unwrap();
        assert_ne!(answer(stream).0, 503);
    }
    assert_ne!(send(address, PUT, "", b"\0asm").0, 503);
}
