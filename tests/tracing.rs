//! Traces go on: from a message's headers through a span for each attempt onto its outputs; and whatever the collector
//! of the spans does, messages are handled.

use crate::world::collector::{Collector, Manner, Span};
use crate::world::host::{Host, Site, section};
use crate::world::kafka::{Isolation, Kafka, Record, Stored};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const UNSAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

/// The topics of one case on the shared broker.
struct Case {
    kafka: &'static Kafka,
    guest: &'static str,
    from: String,
    out: String,
    dead: String,
}

impl Case {
    fn new(guest: &'static str) -> Case {
        let kafka = Kafka::shared();
        let [from, out, dead] = ["traced", "traced-out", "traced-dead"].map(Kafka::unique);
        [&from, &out, &dead].iter().for_each(|topic| kafka.create_topic(topic, 1));
        Case { kafka, guest, from, out, dead }
    }

    fn produce<R: Into<Record>>(&self, records: impl IntoIterator<Item = R>) {
        self.kafka.produce(&self.from, records);
    }

    /// A host with these lines in the plugin's table, and these tables before it.
    fn start(&self, telemetry: &str, lines: &str) -> Host {
        let (out, dead, guest) = (&self.out, &self.dead, self.guest);
        let more = format!(
            "output = {out:?}\n{lines}\n[plugins.{guest}.retry]\nattempts = 3\nbackoff = \"5ms\"\n\
             [plugins.{guest}.failure]\ntopic = {dead:?}"
        );
        let toml = format!("{telemetry}{}", section(guest, &self.from, &more));
        Site::new(&self.kafka.bootstrap(), &toml).start()
    }

    /// The one output with this payload.
    fn output(&self, payload: &str) -> Stored {
        let mut outputs = self.kafka.consume_all(&self.out, Isolation::ReadCommitted);
        outputs.retain(|output| output.text() == payload);
        assert_eq!(outputs.len(), 1, "outputs of `{payload}`");
        outputs.remove(0)
    }

    /// The spans of the message at this offset, once there are so many of it; by their attempts.
    fn spans(&self, collector: &Collector, host: &Host, (offset, count): (i64, usize)) -> Vec<Span> {
        let is_meant = |span: &Span| {
            span.get("messaging.destination.name").as_deref() == Some(&self.from)
                && span.get("messaging.kafka.offset") == Some(offset.to_string())
        };
        let of_message = || collector.spans().into_iter().filter(is_meant).collect::<Vec<_>>();
        host.wait_for("to export its spans", || of_message().len() >= count);
        let mut spans = of_message();
        assert_eq!(spans.len(), count, "{spans:?}");
        spans.sort_by_key(|span| span.get("gristmill.attempt"));
        spans
    }

    fn metric(&self, host: &Host, name: &str) -> u64 {
        host.metric(name, &[("plugin", self.guest)]) as u64
    }
}

fn traceparent(stored: &Stored) -> Option<String> {
    stored.header("traceparent")
}

#[test]
fn a_trace_goes_on_through_a_span_onto_the_outputs() {
    for delivery in ["at-least-once", "exactly-once"] {
        let (case, collector) = (Case::new("echo"), Collector::start(Manner::Takes));
        case.produce([
            Record::new("k", "sampled")
                .with_header("traceparent", PARENT)
                .with_header("tracestate", "a=b,c=d"),
            Record::new("k", "unsampled").with_header("traceparent", UNSAMPLED),
            Record::new("k", "fresh"),
            Record::new("k", "broken").with_header("traceparent", "00-broken"),
        ]);
        let more = "service = \"mill\"\nheaders = { api-key = \"${NOT_SET_ANYWHERE:-abc}\" }";
        let host = case.start(&collector.table(more), &format!("delivery = {delivery:?}"));
        let [sampled] = &case.spans(&collector, &host, (0, 1))[..] else { unreachable!() };
        assert_eq!((sampled.trace().as_str(), sampled.parent().as_str()), (TRACE, "00f067aa0ba902b7"));
        assert_eq!((sampled.name(), sampled.is_consumer()), (&*format!("process {}", case.from), true));
        assert_eq!((sampled.service.as_str(), sampled.tracestate()), ("mill", "a=b,c=d"));
        assert!(sampled.head.to_ascii_lowercase().contains("\r\napi-key: abc\r\n"), "{}", sampled.head);
        let get = |name: &str| sampled.get(name).unwrap_or_else(|| panic!("`{name}` is missing"));
        assert_eq!(get("messaging.system"), "kafka");
        assert_eq!(get("messaging.operation.type"), "process");
        assert_eq!(get("messaging.destination.partition.id"), "0");
        assert_eq!(get("messaging.consumer.group.name"), case.from);
        assert_eq!((get("gristmill.plugin"), get("gristmill.outcome")), ("echo".into(), "handled".into()));
        assert_eq!(get("gristmill.attempt"), "1");
        assert!(get("gristmill.component").starts_with("sha256:"));
        let seconds = |name: &str| get(name).parse::<f64>().expect("seconds");
        assert!(seconds("gristmill.wait_seconds") > 0.0 && seconds("gristmill.handle_seconds") > 0.0);
        // The span ends when Kafka has the output, which is later.
        assert!(sampled.nanos() as f64 / 1e9 > seconds("gristmill.handle_seconds"));
        assert_eq!(sampled.get("messaging.kafka.message.key"), None, "keys are data");
        assert_eq!((sampled.error(), sampled.events().len()), (None, 0));
        let output = case.output("sampled");
        assert_eq!(traceparent(&output), Some(sampled.traceparent()));
        assert_eq!(output.header("tracestate").as_deref(), Some("a=b,c=d"));
        assert_eq!(output.headers.len(), 2, "{:?}", output.headers);

        for (offset, payload) in [(2, "fresh"), (3, "broken")] {
            let [span] = &case.spans(&collector, &host, (offset, 1))[..] else { unreachable!() };
            assert_eq!(span.parent(), "");
            assert_ne!(span.trace(), TRACE);
            assert_eq!(traceparent(&case.output(payload)), Some(span.traceparent()));
        }
        // What comes behind it has been told, so it would have been by now.
        case.spans(&collector, &host, (1, 0));
        assert_eq!(traceparent(&case.output("unsampled")).as_deref(), Some(UNSAMPLED));
        host.wait_for("to count its spans", || case.metric(&host, "gristmill_spans_exported_total") == 3);
        assert_eq!(case.metric(&host, "gristmill_spans_dropped_total"), 0);
        assert_eq!(host.stop(), 0);
    }
}

#[test]
fn each_attempt_is_a_span_and_a_dead_letter_is_told() {
    let (case, collector) = (Case::new("attempt"), Collector::start(Manner::Takes));
    case.produce([
        Record::new("a", "until:3:retry soon").with_header("traceparent", PARENT),
        Record::new("b", "until:2:trap"),
        Record::new("c", "reject:no-such-customer").with_header("traceparent", PARENT),
    ]);
    let host = case.start(&collector.table("keys = true"), "");
    let attempts = case.spans(&collector, &host, (0, 3));
    assert!(attempts.iter().all(|span| span.trace() == TRACE && span.parent() == "00f067aa0ba902b7"));
    for failed in &attempts[..2] {
        assert!(failed.error().is_some_and(|error| error.contains("asked for")), "{failed:?}");
        assert_eq!((failed.events(), failed.get("error.type").as_deref()), (vec!["retry"], Some("retry")));
        assert_eq!(failed.get("gristmill.outcome"), None, "a retry is not an outcome");
    }
    assert_eq!(
        (attempts[2].error(), attempts[2].get("gristmill.outcome").as_deref()),
        (None, Some("handled"))
    );
    assert_eq!(traceparent(&case.output("3")), Some(attempts[2].traceparent()));
    assert_eq!(attempts[0].get("messaging.kafka.message.key").as_deref(), Some("a"));

    let attempts = case.spans(&collector, &host, (1, 2));
    assert_eq!((attempts[0].parent().as_str(), attempts[1].parent()), ("", attempts[0].id()));
    assert_eq!(attempts[0].get("error.type").as_deref(), Some("trap"));
    assert!(attempts[0].error().is_some_and(|error| !error.contains('\n')));

    let [given_up] = &case.spans(&collector, &host, (2, 1))[..] else { unreachable!() };
    assert_eq!(given_up.get("gristmill.outcome").as_deref(), Some("dead-lettered"));
    assert_eq!(given_up.events(), ["dead-lettered"]);
    assert!(given_up.error().is_some_and(|error| error.contains("no-such-customer")));
    let letters = case.kafka.consume_all(&case.dead, Isolation::ReadCommitted);
    let [letter] = &letters[..] else { panic!("not one dead letter: {letters:?}") };
    assert_eq!(traceparent(letter).as_deref(), Some(PARENT), "its own headers are untouched");
    assert_eq!(host.stop(), 0);
}

#[test]
fn what_a_failure_handler_sends_belongs_to_the_attempt_that_failed() {
    let (case, collector) = (Case::new("last-word"), Collector::start(Manner::Takes));
    case.produce([Record::new("k", "too late").with_header("traceparent", PARENT)]);
    let host = case.start(&collector.table(""), "");
    let [span] = &case.spans(&collector, &host, (0, 1))[..] else { unreachable!() };
    assert_eq!(
        (span.trace().as_str(), span.get("gristmill.outcome").as_deref()),
        (TRACE, Some("dead-lettered"))
    );
    assert_eq!(traceparent(&case.output("too late")), Some(span.traceparent()));
    assert_eq!(host.stop(), 0);
}

#[test]
fn the_results_of_a_batch_belong_to_their_messages() {
    let (case, collector) = (Case::new("batch"), Collector::start(Manner::Takes));
    let other = PARENT.replace("4bf9", "aaaa");
    case.produce([
        Record::new("k", "one").with_header("traceparent", PARENT),
        Record::new("k", "until:2:retry").with_header("traceparent", other.as_str()),
        Record::new("k", "flush"),
    ]);
    let host = case.start(&collector.table(""), "batchers.default = { timeout = \"1s\" }");
    let [one] = &case.spans(&collector, &host, (0, 1))[..] else { unreachable!() };
    assert_eq!((one.trace().as_str(), one.events()), (TRACE, vec!["batched"]));
    assert_eq!(traceparent(&case.output("one")), Some(one.traceparent()));
    let attempts = case.spans(&collector, &host, (1, 2));
    assert_eq!((attempts[0].events(), attempts[1].events()), (vec!["batched", "retry"], vec!["batched"]));
    assert_eq!(attempts[0].trace(), &other[3..35]);
    assert_eq!(traceparent(&case.output("until:2:retry")), Some(attempts[1].traceparent()));
    assert_eq!(host.stop(), 0);
}

#[test]
fn without_a_collector_a_trace_is_passed_on_and_none_begins() {
    let case = Case::new("echo");
    case.produce([
        Record::new("k", "traced").with_header("traceparent", PARENT).with_header("tracestate", "a=b"),
        Record::new("k", "plain").with_header("x", "y"),
        Record::new("k", "bare"),
    ]);
    let host = case.start("", "");
    host.wait_handled("echo", 3);
    let headers = |payload: &str| case.output(payload).headers;
    let header = |name: &str, value: &str| (name.to_owned(), Some(value.as_bytes().to_vec()));
    assert_eq!(headers("traced"), [header("traceparent", PARENT), header("tracestate", "a=b")]);
    assert_eq!(headers("plain"), [header("x", "y")]);
    assert_eq!(headers("bare"), []);
    assert_eq!(host.stop(), 0);
}

/// More than the queue for spans holds.
const MANY: usize = 12_000;

#[test]
fn a_collector_that_is_away_or_unhelpful_costs_no_message() {
    let away = "[telemetry]\notlp = \"http://127.0.0.1:9\"\n".to_owned();
    let hanging = Collector::start(Manner::Hangs);
    let refusing = Collector::start(Manner::Refuses);
    for (telemetry, error) in [
        (away, Some("Connection refused")),
        (hanging.table(""), None),
        (refusing.table(""), Some("it answered 403 Forbidden")),
    ] {
        let case = Case::new("echo");
        case.produce((0..MANY).map(|i| (format!("key {}", i % 50), i.to_string())));
        let host = case.start(&telemetry, "budget.buffer = 1000");
        host.wait_handled("echo", MANY as u64);
        host.wait_for("to drop spans", || case.metric(&host, "gristmill_spans_dropped_total") > 0);
        if let Some(error) = error {
            let said = || host.logged("the collector does not take spans");
            host.wait_for("to say why", || said().iter().any(|line| line.contains(error)));
            assert_eq!(said().len(), 1, "once in a while is enough");
        }
        assert_eq!(case.metric(&host, "gristmill_spans_exported_total"), 0);
        assert_eq!(case.kafka.end_offsets(&case.out), [MANY as i64]);
        assert_eq!(host.stop(), 0);
    }
}

#[test]
fn what_waits_at_the_end_is_still_sent() {
    let (case, collector) = (Case::new("echo"), Collector::start(Manner::Takes));
    case.produce((0..1_000).map(|i| ("k", i.to_string())));
    let host = case.start(&collector.table(""), "budget.buffer = 1000");
    host.wait_handled("echo", 1_000);
    assert_eq!(host.stop(), 0);
    assert_eq!(collector.spans().len(), 1_000);
}
