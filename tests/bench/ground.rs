//! The ground of all rows: one warm broker with its topics, and hosts that are started on it.

use std::fmt::Write as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use tempfile::TempDir;

use super::bare;
use crate::world::host::{Host, Site, plugin};
use crate::world::kafka::{Kafka, Record};

/// Messages of the large topic.
pub(crate) const MESSAGES: u64 = 1_000_000;

/// Bytes of a message.
pub(crate) const PAYLOAD_BYTES: usize = 100;

/// Partitions of every topic.
pub(crate) const PARTITIONS: i32 = 50;

/// Different keys in every topic.
pub(crate) const KEYS: u64 = 10_000;

/// Bytes of a batch as Kafka's own producers make it by default. A consumer holds whole batches, however few messages
/// of them it wants, so this is part of every figure about memory.
pub(crate) const ORDINARY_BATCH_BYTES: u32 = 16_384;

/// Bytes of a batch as large as a broker takes it by default: a bulk import.
pub(crate) const BULK_BATCH_BYTES: u32 = 1_000_000;

/// The large topic.
pub(crate) const MILLION: &str = "million";

/// What the plugin under measurement is called.
pub(crate) const PLUGIN: &str = "bench";

/// Between two looks at the host. Each costs it a fraction of a millisecond.
pub(crate) const LOOK: Duration = Duration::from_millis(10);

/// How long a row may take at most.
const PATIENCE: Duration = Duration::from_secs(180);

/// The broker, its topics, and the folder in which all hosts but cold ones find compiled code.
pub(crate) struct Ground {
    pub(crate) kafka: Kafka,
    data: TempDir,
}

/// How a host is set up for a row.
#[derive(Default)]
pub(crate) struct Setup<'a> {
    pub(crate) guest: &'a str,
    pub(crate) topic: &'a str,
    /// A group of its own if empty.
    pub(crate) group: &'a str,
    /// Further lines of `[plugins.bench]`.
    pub(crate) keys: &'a str,
    /// The lines of its budget.
    pub(crate) budget: &'a str,
    /// librdkafka's options.
    pub(crate) options: &'a str,
    /// Where compiled code is; the common folder if none.
    pub(crate) data: Option<&'a Path>,
}

impl Ground {
    /// Starts the broker, fills the large topic and reads it once, so that nothing measured is the broker's first.
    pub(crate) fn prepare() -> Ground {
        eprintln!("starting Kafka, filling a topic of {MESSAGES} messages");
        let kafka = Kafka::start_for_bench();
        let data = tempfile::Builder::new().prefix("gristmill-bench-").tempdir().expect("a folder");
        let ground = Ground { kafka, data };
        ground.fill(MILLION, MESSAGES);
        for _ in 0..2 {
            bare::drain(&ground.kafka.bootstrap(), MILLION);
        }
        ground
    }

    /// A new topic of so many messages, in batches of `ORDINARY_BATCH_BYTES`.
    pub(crate) fn fill(&self, topic: &str, messages: u64) {
        self.fill_in_batches(topic, messages, ORDINARY_BATCH_BYTES);
    }

    /// A new topic of so many messages, in batches of at most so many bytes.
    pub(crate) fn fill_in_batches(&self, topic: &str, messages: u64, batch_bytes: u32) {
        self.kafka.create_topic(topic, PARTITIONS);
        let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
            .set("bootstrap.servers", self.kafka.bootstrap())
            .set("enable.idempotence", "true")
            .set("linger.ms", "100")
            .set("batch.size", batch_bytes.to_string())
            .set("queue.buffering.max.messages", (MESSAGES * 2).to_string())
            .set_log_level(RDKafkaLogLevel::Critical)
            .create()
            .expect("a producer");
        let payload = [b'x'; PAYLOAD_BYTES];
        for index in 0..messages {
            let key = (index % KEYS).to_string();
            let sent = producer.send(BaseRecord::to(topic).key(&key).payload(&payload[..]));
            sent.map_err(|(error, _)| error).expect("the queue holds all messages");
        }
        producer.flush(PATIENCE).expect("the broker confirms all records");
        let there: i64 = self.kafka.end_offsets(topic).iter().sum();
        assert_eq!(there, messages as i64, "all messages are in the topic");
    }

    /// A new topic of messages that `message` makes: key and payload.
    pub(crate) fn fill_with(
        &self,
        topic: &str,
        messages: u64,
        message: impl Fn(u64) -> (Option<String>, String),
    ) {
        self.kafka.create_topic(topic, PARTITIONS);
        let record = |index| {
            let (key, payload) = message(index);
            Record { key: key.map(String::into_bytes), ..Record::new("", payload) }
        };
        self.kafka.produce(topic, (0..messages).map(record));
    }

    /// The settings' `toml`, but for the cluster's address and the admin listener.
    pub(crate) fn toml(&self, setup: &Setup<'_>) -> String {
        let data = setup.data.unwrap_or(self.data.path());
        let group = if setup.group.is_empty() { Kafka::unique("bench") } else { setup.group.to_owned() };
        let mut toml = format!(
            "[host]\ndata = {data:?}\n[plugins.{PLUGIN}]\ncomponent = {:?}\ntopics = [\"{}\"]\ngroup = \"{group}\"\n{}\n",
            plugin(setup.guest),
            setup.topic,
            setup.keys,
        );
        // Writing to a string does not fail.
        let _ = write!(toml, "[plugins.{PLUGIN}.budget]\n{}\n", setup.budget);
        let _ = write!(toml, "[plugins.{PLUGIN}.kafka.options]\n{}\n", setup.options);
        toml
    }

    /// A site for a host; its code is compiled by the first host that needs it.
    pub(crate) fn site(&self, setup: &Setup<'_>) -> Site {
        Site::new(&self.kafka.bootstrap(), &self.toml(setup))
    }

    /// Sees to it that the guest's code is compiled: a host that compiles has more memory than one that works.
    pub(crate) fn compile(&self, guest: &str) {
        let host = self.site(&Setup { guest, topic: MILLION, budget: "rate = \"1/s\"", ..Setup::default() });
        assert_eq!(host.start().stop(), 0);
    }
}

/// What a host said at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) at: Instant,
    pub(crate) handled: u64,
    pub(crate) in_flight: u64,
}

impl Sample {
    /// Asks the host now. The moment is the middle of asking.
    pub(crate) fn of(host: &Host) -> Sample {
        let asked = Instant::now();
        let (_, text) = host.get("/metrics");
        let at = asked + asked.elapsed() / 2;
        let figure = |series: &str| {
            let line = text.lines().find(|line| line.starts_with(series));
            line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).unwrap_or(0.0) as u64
        };
        Sample {
            at,
            handled: figure(&format!("gristmill_messages_total{{plugin=\"{PLUGIN}\",outcome=\"handled\"}}")),
            in_flight: figure(&format!("gristmill_in_flight{{plugin=\"{PLUGIN}\"}}")),
        }
    }
}

/// The way of a host from its first message to its last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Course {
    /// The first look at which something was being handled or had been.
    pub(crate) first: Sample,
    /// The first look at which everything had been handled.
    pub(crate) last: Sample,
}

impl Course {
    /// Looks every `every` until so many messages are handled.
    pub(crate) fn watch(host: &Host, messages: u64, every: Duration) -> Course {
        let began = Instant::now();
        let mut first = None;
        loop {
            let sample = Sample::of(host);
            if first.is_none() && (sample.handled > 0 || sample.in_flight > 0) {
                first = Some(sample);
            }
            if let Some(first) = first.filter(|_| sample.handled >= messages) {
                return Course { first, last: sample };
            }
            assert!(
                began.elapsed() < PATIENCE,
                "the host handled {} only:\n{}",
                sample.handled,
                host.log_tail()
            );
            thread::park_timeout(every);
        }
    }

    pub(crate) fn seconds(&self) -> f64 {
        (self.last.at - self.first.at).as_secs_f64()
    }

    /// Messages a second, of those that were handled after the first look.
    pub(crate) fn rate(&self) -> f64 {
        (self.last.handled - self.first.handled) as f64 / self.seconds()
    }
}

/// Waits for `time` to pass: what is measured is what happens meanwhile.
pub(crate) fn let_pass(time: Duration) {
    let until = Instant::now() + time;
    while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        thread::park_timeout(left);
    }
}
