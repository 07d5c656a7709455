//! One open transaction: the messages in it, and what has become of their outputs so far.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{NoCustomPartitioner, Producer, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{ClientConfig, ClientContext};

use super::super::producer::{Produced, refused, size_bytes};
use super::super::{context, native};
use crate::ack::{Mark, Partition, Told};
use crate::edge::{Ended, Receipt, Refused};
use crate::message::{HeaderRef, Position};
use crate::outcome::OutputRecord;

/// How long to wait, in ms, when librdkafka can take no more for the moment.
const FULL_WAIT_MS: u64 = 1;

/// The producer of a ledger.
pub(super) type Handle = ThreadedProducer<Reports, NoCustomPartitioner>;

/// A producer whose transactions may begin: whoever had its name before is shut out, and what that one left open aborted.
pub(super) fn producer(options: &ClientConfig, limit: Duration) -> anyhow::Result<Arc<Handle>> {
    let producer = Handle::from_config_and_context(options, Reports).context("failed to make a producer")?;
    producer.init_transactions(limit).context("failed to announce transactions")?;
    Ok(Arc::new(producer))
}

/// The messages of an open transaction.
#[derive(Default)]
pub(super) struct Open {
    entries: Vec<(Option<Mark>, Receipt)>,
    bytes: usize,
    fates: Arc<Fates>,
}

impl Open {
    pub(super) fn messages(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes a message in, and hands its outputs over; those that name no topic go to `topic`.
    pub(super) fn enter(&mut self, producer: &Handle, topic: &str, ended: Ended) {
        let Ended { mark, records, receipt } = ended;
        for record in &records {
            self.bytes += size_bytes(record);
            self.produce(producer, record.topic.as_deref().unwrap_or(topic), record, mark.as_ref());
        }
        self.entries.push((mark, receipt));
    }

    fn produce(&self, producer: &Handle, topic: &str, record: &OutputRecord, mark: Option<&Mark>) {
        let position = mark.map(|mark| Position {
            topic: mark.partition.topic.clone(),
            partition: mark.partition.number,
            offset: mark.offset,
        });
        let size = size_bytes(record);
        let Ok(name) = CString::new(topic) else {
            let why = format!("`{}` is not a topic's name", topic.escape_debug());
            return self.fates.fail(position, Refused::Failed { why, lasting: true });
        };
        let produced = Produced {
            topic: &name,
            partition: None,
            key: record.key.as_deref(),
            payload: record.payload.as_deref(),
        };
        self.fates.lock().outstanding += 1;
        let mut sent = Box::new(Sent { position, size, fates: self.fates.clone() });
        loop {
            let headers =
                record.headers.iter().map(|(name, value)| HeaderRef { name, value: value.as_deref() });
            match native::produce(producer, produced, headers, sent) {
                Ok(()) => return,
                Err((Code::QueueFull, back)) => {
                    sent = back;
                    std::thread::park_timeout(Duration::from_millis(FULL_WAIT_MS));
                }
                Err((code, back)) => return back.over(Some(refused(code, topic, size))),
            }
        }
    }

    /// Waits until the fate of every output is known, at most `limit`. Returns the first that was refused, with the
    /// message that it belongs to.
    pub(super) fn settled(&self, limit: Duration) -> anyhow::Result<Option<(Option<Position>, Refused)>> {
        let fates = self.fates.lock();
        let (mut fates, _) = self
            .fates
            .changed
            .wait_timeout_while(fates, limit, |fates| fates.outstanding > 0 && fates.failed.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        let failed = fates.failed.take();
        anyhow::ensure!(failed.is_some() || fates.outstanding == 0, "no word from Kafka on outputs");
        Ok(failed)
    }

    /// Marks the messages as finished, and returns what Kafka is to be told of their partitions.
    ///
    /// # Errors
    ///
    /// When one of the partitions is not ours any more.
    pub(super) fn finish(&self) -> anyhow::Result<Vec<(Arc<Partition>, Told)>> {
        let mut partitions = BTreeMap::new();
        for mark in self.entries.iter().filter_map(|(mark, _)| mark.as_ref()) {
            anyhow::ensure!(
                !mark.partition.is_released(),
                "partition {} is not ours any more",
                mark.partition
            );
            mark.finish();
            partitions.insert(mark.partition.id, mark.partition.clone());
        }
        let told = partitions.into_values().filter_map(|partition| {
            let told = partition.progress().to_tell(crate::ack::map::CHARS_MAX)?;
            Some((partition, told))
        });
        Ok(told.collect())
    }

    /// The transaction is committed.
    pub(super) fn confirm(&mut self) {
        self.entries.drain(..).for_each(|(_, receipt)| receipt.confirmed());
    }

    /// The transaction is aborted. What has no partition to wait for is told at once.
    pub(super) fn void(self) -> Vec<(Arc<Partition>, Receipt)> {
        let void = |(mark, receipt): (Option<Mark>, Receipt)| {
            let receipt = receipt.void_when_dropped();
            mark.map(|mark| (mark.partition, receipt))
        };
        self.entries.into_iter().filter_map(void).collect()
    }
}

/// What has become of the outputs of a transaction.
#[derive(Default)]
struct Fates {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    outstanding: usize,
    failed: Option<(Option<Position>, Refused)>,
}

impl Fates {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, position: Option<Position>, refused: Refused) {
        self.lock().failed.get_or_insert((position, refused));
        self.changed.notify_all();
    }
}

/// What comes back with the delivery report of an output.
pub(super) struct Sent {
    position: Option<Position>,
    size: usize,
    fates: Arc<Fates>,
}

impl Sent {
    fn over(self, refused: Option<Refused>) {
        let mut state = self.fates.lock();
        state.outstanding -= 1;
        if let Some(refused) = refused {
            state.failed.get_or_insert((self.position, refused));
        }
        if state.outstanding == 0 || state.failed.is_some() {
            self.fates.changed.notify_all();
        }
    }
}

/// Learns the fate of each output, on the producer's own thread.
pub(super) struct Reports;

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, fac: &str, message: &str) {
        context::log(level, fac, message);
    }

    fn stats_raw(&self, _: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "the producer of transactions reports an error");
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<Sent>;

    fn delivery(&self, report: &DeliveryResult<'_>, sent: Box<Sent>) {
        let refused = report.as_ref().err().map(|(error, message)| {
            let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
            refused(code, message.topic(), sent.size)
        });
        sent.over(refused);
    }
}
