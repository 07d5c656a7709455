//! Produces records for somebody who waits: each is handed over with a number, and its fate comes back under that
//! number. Unlike a plugin's output, which waits for a broker for ever, a record is given up after a while.

use std::ffi::CString;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rdkafka::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{NoCustomPartitioner, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode as Code;

use super::producer::{Produced, reason};
use super::{context, native, options};
use crate::config::Kafka;
use crate::message::HeaderRef;

/// How long Kafka may take to confirm a record, in ms, unless an option says otherwise: a rolling restart of a cluster
/// is waited for, and a cluster that is gone is noticed.
const CONFIRM_MS_MAX: u32 = 30_000;

/// Records on their way at the same time: enough to fill batches, and what a crash may leave unmarked.
const OUTSTANDING_MAX: usize = 1_000;

/// Bytes on their way at the same time. A larger record goes alone.
const OUTSTANDING_BYTES_MAX: usize = 32 * 1024 * 1024;

/// How long to wait when librdkafka is full all the same (an option made its queue smaller).
const FULL_WAIT: Duration = Duration::from_millis(10);

/// What became of a record.
#[derive(Debug)]
pub struct Posted {
    /// The number that it was handed over with.
    pub number: u64,
    /// Nothing once Kafka has it, else why not.
    pub result: Result<(), Refused>,
}

/// Why Kafka does not have a record.
#[derive(Debug)]
pub struct Refused {
    /// In words that say what to do.
    pub why: String,
    /// Nobody answers: the next will fare no better.
    pub is_silence: bool,
}

/// A producer, and what it has to say.
pub struct Post {
    producer: ThreadedProducer<Reports, NoCustomPartitioner>,
    fates: mpsc::Receiver<(Posted, usize)>,
    outstanding: usize,
    outstanding_bytes: usize,
}

impl Post {
    /// A producer to a cluster. Does not wait for Kafka.
    pub fn open(kafka: &Kafka) -> anyhow::Result<Self> {
        let mut options = options::client(kafka);
        // A retry inside librdkafka neither doubles nor reorders.
        options.set("enable.idempotence", "true");
        let names = ["message.timeout.ms", "delivery.timeout.ms"];
        if !names.iter().any(|name| kafka.options.contains_key(*name)) {
            options.set("message.timeout.ms", CONFIRM_MS_MAX.to_string());
        }
        let (tell, fates) = mpsc::channel();
        let producer = ThreadedProducer::from_config_and_context(&options, Reports { tell });
        let producer = producer.context("failed to make a producer")?;
        Ok(Self { producer, fates, outstanding: 0, outstanding_bytes: 0 })
    }

    /// Hands a record over. To be called when there `is_room`; its partition is chosen by the key.
    pub fn send<'a>(
        &mut self,
        number: u64,
        topic: &str,
        (key, payload): (Option<&[u8]>, Option<&[u8]>),
        headers: &[HeaderRef<'a>],
    ) -> Result<(), Refused> {
        let refused = |why: String| Refused { why, is_silence: false };
        let name = CString::new(topic)
            .map_err(|_| refused(format!("`{}` is not a topic's name", topic.escape_debug())))?;
        let len = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
        let size = headers.iter().map(|header| header.name.len() + len(header.value)).sum::<usize>()
            + len(key)
            + len(payload);
        let record = Produced { topic: &name, partition: None, key, payload };
        loop {
            let sent = Box::new(Sent { number, size });
            match native::produce(&self.producer, record, headers.iter().copied(), sent) {
                Ok(()) => break,
                Err((Code::QueueFull, _)) => std::thread::park_timeout(FULL_WAIT),
                Err((code, _)) => return Err(refused(reason(code, topic, size))),
            }
        }
        self.outstanding += 1;
        self.outstanding_bytes += size;
        Ok(())
    }

    /// Whether another record may be handed over.
    pub fn is_room(&self) -> bool {
        self.outstanding < OUTSTANDING_MAX && self.outstanding_bytes < OUTSTANDING_BYTES_MAX
    }

    /// How many records are on their way.
    pub fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// The fate of a record, if one is known by `deadline`.
    pub fn next(&mut self, deadline: Instant) -> Option<Posted> {
        let wait = deadline.saturating_duration_since(Instant::now());
        match self.fates.recv_timeout(wait) {
            Ok((posted, size)) => {
                self.outstanding -= 1;
                self.outstanding_bytes -= size;
                Some(posted)
            }
            // Never disconnected: the producer holds the other end.
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => None,
        }
    }
}

/// What comes back with the delivery report of a record.
struct Sent {
    number: u64,
    size: usize,
}

/// Tells fates, on the producer's own thread.
struct Reports {
    tell: mpsc::Sender<(Posted, usize)>,
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, fac: &str, message: &str) {
        context::log(level, fac, message);
    }

    fn stats_raw(&self, _: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "the producer reports an error");
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<Sent>;

    fn delivery(&self, report: &DeliveryResult<'_>, sent: Box<Sent>) {
        let Sent { number, size } = *sent;
        let result = report.as_ref().map(drop).map_err(|(error, message)| {
            let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
            let is_silence = matches!(code, Code::MessageTimedOut | Code::AllBrokersDown);
            Refused { why: reason(code, message.topic(), size), is_silence }
        });
        // Nobody listens when the post was dropped early.
        let _ = self.tell.send((Posted { number, result }, size));
    }
}
