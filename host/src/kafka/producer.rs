//! The way of outputs to Kafka: each is handed over, confirmed or refused, and never lost without a word. What is
//! on its way is bounded here, below librdkafka's own bounds, so that waiting is ours and costs no error.

use std::ffi::{CStr, CString};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use rdkafka::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{Producer, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{ClientConfig, producer::NoCustomPartitioner};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::native;
use super::{context, options};
use crate::config::Plugin;
use crate::edge::{Ended, Output, Receipt, Refused};
use crate::message::HeaderRef;
use crate::outcome::OutputRecord;

/// Outputs on their way at the same time: half of librdkafka's own 100 000, beyond which it refuses.
const OUTSTANDING_MAX: usize = 50_000;

/// Bytes on their way at the same time: a quarter of a second at 256 MB/s, and well below librdkafka's own 1 GiB.
/// A larger output goes alone.
const OUTSTANDING_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes of one output beside its key, payload and headers, so that a million empty ones are not free.
const OUTPUT_OVERHEAD_BYTES: usize = 128;

/// How long to wait, in ms, when librdkafka is full all the same (an option made its queue smaller).
const FULL_WAIT_MS: u64 = 10;

/// How long outputs may still take when the output is dropped, in ms. Whoever needs them confirmed has waited for
/// their receipts before.
const DROP_FLUSH_MS_MAX: u64 = 1_000;

type Handle = ThreadedProducer<Reports, NoCustomPartitioner>;

/// Where the outputs of a plugin go.
pub struct KafkaOutput {
    options: ClientConfig,
    /// Where outputs go that name no topic; whether they may is decided before.
    topic: String,
    /// Replaced after an error that ends a producer for good. The lock is held to clone or replace it only.
    producer: Mutex<Arc<Handle>>,
    messages: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
}

impl KafkaOutput {
    /// An output to the plugin's cluster. Does not wait for Kafka.
    pub fn connect(plugin: &Plugin) -> anyhow::Result<Self> {
        let options = options::producer(plugin);
        let producer = Mutex::new(open(&options)?);
        Ok(Self {
            options,
            topic: plugin.output.clone().unwrap_or_default(),
            producer,
            messages: Arc::new(Semaphore::new(OUTSTANDING_MAX)),
            bytes: Arc::new(Semaphore::new(OUTSTANDING_BYTES_MAX)),
        })
    }

    /// Waits until nothing is on its way any more, at most `limit`; returns whether that is so.
    pub fn flush(&self, limit: Duration) -> bool {
        self.producer().flush(limit).is_ok()
    }

    fn producer(&self) -> Arc<Handle> {
        self.producer.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces a producer that has failed for good, unless someone else has done so.
    fn replace(&self, failed: &Arc<Handle>) -> anyhow::Result<()> {
        let mut producer = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&producer, failed) {
            *producer = open(&self.options)?;
            tracing::warn!("the producer could not go on and was replaced by a new one");
        }
        Ok(())
    }

    /// Waits for room, so that librdkafka always has some.
    async fn room(&self, size: usize) -> Option<Permits> {
        let bytes = u32::try_from(size.min(OUTSTANDING_BYTES_MAX)).unwrap_or(u32::MAX);
        let message = self.messages.clone().acquire_owned().await.ok()?;
        let bytes = self.bytes.clone().acquire_many_owned(bytes).await.ok()?;
        Some(Permits { _message: message, _bytes: bytes })
    }

    async fn send(&self, record: &OutputRecord, receipt: Receipt) {
        let topic = record.topic.as_deref().unwrap_or(&self.topic);
        let size = size_bytes(record);
        let Ok(name) = CString::new(topic) else {
            let why = format!("`{}` is not a topic's name", topic.escape_debug());
            return receipt.refused(Refused::Failed { why, lasting: true });
        };
        // Never none: the semaphores are not closed.
        let Some(permits) = self.room(size).await else { return };
        let record_ref = Produced {
            topic: &name,
            partition: None,
            key: record.key.as_deref(),
            payload: record.payload.as_deref(),
        };
        let mut sent = Box::new(Sent { receipt, size, _permits: permits });
        let mut replaced = false;
        loop {
            let producer = self.producer();
            let headers =
                record.headers.iter().map(|(name, value)| HeaderRef { name, value: value.as_deref() });
            let (code, back) = match native::produce(&*producer, record_ref, headers, sent) {
                Ok(()) => return,
                Err(refused) => refused,
            };
            sent = back;
            match code {
                Code::QueueFull => tokio::time::sleep(Duration::from_millis(FULL_WAIT_MS)).await,
                Code::Fatal if !replaced => {
                    replaced = true;
                    if let Err(error) = self.replace(&producer) {
                        return sent
                            .receipt
                            .refused(Refused::Failed { why: format!("{error:#}"), lasting: false });
                    }
                }
                _ => return sent.receipt.refused(refused(code, topic, size)),
            }
        }
    }
}

impl Output for KafkaOutput {
    fn hand_over<'a>(&'a self, ended: Ended) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(async move {
            for record in &ended.records {
                self.send(record, ended.receipt.another()).await;
            }
            ended.receipt.confirmed();
        })
    }
}

impl Drop for KafkaOutput {
    fn drop(&mut self) {
        if !self.flush(Duration::from_millis(DROP_FLUSH_MS_MAX)) {
            tracing::warn!("outputs were still on their way to Kafka; their messages come again");
        }
    }
}

fn open(options: &ClientConfig) -> anyhow::Result<Arc<Handle>> {
    let producer = Handle::from_config_and_context(options, Reports).context("failed to make a producer")?;
    Ok(Arc::new(producer))
}

/// Why Kafka does not take an output, in words that say what to do.
pub(super) fn reason(code: Code, topic: &str, size: usize) -> String {
    match code {
        Code::MessageSizeTooLarge => format!(
            "{size} bytes are too large for topic `{topic}`: the limit is the option `message.max.bytes` \
             (`[kafka.options]`, 1000000 if not set), and `max.message.bytes` of the topic"
        ),
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => {
            format!("topic `{topic}` does not exist")
        }
        Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => {
            format!("not allowed to write to topic `{topic}` by the cluster's access rules")
        }
        Code::InvalidTopic => format!("`{topic}` is not a topic's name"),
        _ => format!("topic `{topic}`: {code}"),
    }
}

pub(super) fn refused(code: Code, topic: &str, size: usize) -> Refused {
    let lasting = matches!(code, Code::MessageSizeTooLarge | Code::InvalidTopic);
    Refused::Failed { why: reason(code, topic, size), lasting }
}

/// What the output weighs, as librdkafka counts it against `message.max.bytes`, and some for itself.
pub(super) fn size_bytes(record: &OutputRecord) -> usize {
    let len = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
    let headers: usize = record.headers.iter().map(|(name, value)| name.len() + len(value)).sum();
    OUTPUT_OVERHEAD_BYTES + len(&record.key) + len(&record.payload) + headers
}

/// A record to produce, borrowed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Produced<'a> {
    pub(super) topic: &'a CStr,
    /// None lets librdkafka choose by the key.
    pub(super) partition: Option<i32>,
    pub(super) key: Option<&'a [u8]>,
    pub(super) payload: Option<&'a [u8]>,
}

/// Room for one output, given back when its fate is known.
struct Permits {
    _message: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

/// What comes back with the delivery report of an output.
struct Sent {
    receipt: Receipt,
    size: usize,
    _permits: Permits,
}

/// Answers receipts, on the producer's own thread.
struct Reports;

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
        match report {
            Ok(_) => sent.receipt.confirmed(),
            Err((error, message)) => {
                let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
                sent.receipt.refused(refused(code, message.topic(), sent.size));
            }
        }
    }
}
