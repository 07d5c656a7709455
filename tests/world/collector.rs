//! A collector of spans: takes what hosts export by OTLP over HTTP and keeps it, or is as unhelpful as a test wants it.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{Span as Exported, span::SpanKind, status::StatusCode};
use prost::Message;

/// What the collector does with a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Manner {
    /// Takes it.
    Takes,
    /// Reads it and never answers.
    Hangs,
    /// Wants nothing of it.
    Refuses,
}

/// A span as it was exported, with what it was exported beside.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    exported: Exported,
    /// The `service.name` of the host.
    pub(crate) service: String,
    /// The head of the request.
    pub(crate) head: String,
}

impl Span {
    /// As the value of a `traceparent`.
    pub(crate) fn traceparent(&self) -> String {
        let (trace, span) = (hex(&self.exported.trace_id), hex(&self.exported.span_id));
        format!("00-{trace}-{span}-{:02x}", self.exported.flags & 0xff)
    }

    pub(crate) fn trace(&self) -> String {
        hex(&self.exported.trace_id)
    }

    pub(crate) fn id(&self) -> String {
        hex(&self.exported.span_id)
    }

    /// The id of the span that caused it; empty when there is none.
    pub(crate) fn parent(&self) -> String {
        hex(&self.exported.parent_span_id)
    }

    pub(crate) fn name(&self) -> &str {
        &self.exported.name
    }

    pub(crate) fn is_consumer(&self) -> bool {
        self.exported.kind() == SpanKind::Consumer
    }

    pub(crate) fn tracestate(&self) -> &str {
        &self.exported.trace_state
    }

    /// Why it failed, if it did.
    pub(crate) fn error(&self) -> Option<&str> {
        let status = self.exported.status.as_ref()?;
        (status.code() == StatusCode::Error).then_some(&status.message)
    }

    /// The names of what happened in it.
    pub(crate) fn events(&self) -> Vec<&str> {
        self.exported.events.iter().map(|event| event.name.as_str()).collect()
    }

    /// An attribute, as text.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        attribute(&self.exported.attributes, name)
    }

    /// Nanoseconds from its start to its end.
    pub(crate) fn nanos(&self) -> u64 {
        self.exported.end_time_unix_nano - self.exported.start_time_unix_nano
    }
}

/// A collector at work. Its threads end with the test process.
pub(crate) struct Collector {
    address: String,
    spans: Arc<Mutex<Vec<Span>>>,
}

impl Collector {
    /// A collector on a free port.
    pub(crate) fn start(manner: Manner) -> Collector {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port for the collector");
        let address = listener.local_addr().expect("the collector's address").to_string();
        let spans = Arc::new(Mutex::new(Vec::new()));
        let kept = spans.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let kept = kept.clone();
                thread::spawn(move || serve(stream, manner, &kept));
            }
        });
        Collector { address, spans }
    }

    /// The table of a host that exports here.
    pub(crate) fn table(&self, more: &str) -> String {
        format!("[telemetry]\notlp = \"http://{}\"\n{more}\n", self.address)
    }

    /// All spans so far.
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.spans.lock().expect("the spans").clone()
    }
}

/// Answers the requests of one connection, until it is closed.
fn serve(stream: TcpStream, manner: Manner, kept: &Mutex<Vec<Span>>) {
    let mut answers = stream.try_clone().expect("the other half of a connection");
    let mut requests = BufReader::new(stream);
    while let Some((head, body)) = request(&mut requests) {
        let status = match manner {
            Manner::Hangs => continue,
            Manner::Refuses => "403 Forbidden",
            Manner::Takes => {
                assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
                kept.lock().expect("the spans").extend(read(&head, &body));
                "200 OK"
            }
        };
        let answer =
            format!("HTTP/1.1 {status}\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n");
        if answers.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// The head and the body of the next request; none when the connection is closed.
fn request(stream: &mut impl BufRead) -> Option<(String, Vec<u8>)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let lower = head.to_ascii_lowercase();
    let length = lower.lines().find_map(|line| line.strip_prefix("content-length:"))?.trim().parse().ok()?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((head, body))
}

fn read(head: &str, body: &[u8]) -> Vec<Span> {
    let request = ExportTraceServiceRequest::decode(body).expect("spans as protobuf");
    let mut spans = Vec::new();
    for resource in request.resource_spans {
        let attributes = resource.resource.map(|resource| resource.attributes).unwrap_or_default();
        let service = attribute(&attributes, "service.name").expect("a service's name");
        for exported in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            spans.push(Span { exported, service: service.clone(), head: head.to_owned() });
        }
    }
    spans
}

fn attribute(attributes: &[KeyValue], name: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == name)?;
    Some(match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        Value::DoubleValue(number) => number.to_string(),
        Value::BoolValue(switch) => switch.to_string(),
        other => panic!("`{name}` has an unexpected value: {other:?}"),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
