//! What tests say to a broker: make topics, produce, and read back what is there. Every call waits until it is done and
//! panics when it cannot be.

#![expect(clippy::result_large_err, reason = "rdkafka hands back the record that it could not queue")]

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{
    BaseProducer, BaseRecord, DefaultProducerContext, DeliveryResult, Producer, ProducerContext,
    ThreadedProducer,
};
use rdkafka::{Offset, TopicPartitionList};

use super::Kafka;

/// How long one answer of the broker may take.
const ANSWER: Duration = Duration::from_secs(30);

/// What is produced. A key or payload of none differs from an empty one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) payload: Option<Vec<u8>>,
    /// None: by the key, or any.
    pub(crate) partition: Option<i32>,
    /// Milliseconds since the Unix epoch. None: now.
    pub(crate) timestamp: Option<i64>,
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Record {
    pub(crate) fn new(key: impl Into<Vec<u8>>, payload: impl Into<Vec<u8>>) -> Record {
        Record { key: Some(key.into()), payload: Some(payload.into()), ..Record::default() }
    }

    pub(crate) fn without_key(payload: impl Into<Vec<u8>>) -> Record {
        Record { payload: Some(payload.into()), ..Record::default() }
    }

    pub(crate) fn tombstone(key: impl Into<Vec<u8>>) -> Record {
        Record { key: Some(key.into()), ..Record::default() }
    }

    pub(crate) fn on_partition(self, partition: i32) -> Record {
        Record { partition: Some(partition), ..self }
    }

    pub(crate) fn at(self, timestamp: i64) -> Record {
        Record { timestamp: Some(timestamp), ..self }
    }

    pub(crate) fn with_header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Record {
        self.headers.push((name.into(), Some(value.into())));
        self
    }
}

impl<K: Into<Vec<u8>>, P: Into<Vec<u8>>> From<(K, P)> for Record {
    fn from((key, payload): (K, P)) -> Record {
        Record::new(key, payload)
    }
}

/// What is read back.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stored {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    /// Milliseconds since the Unix epoch.
    pub(crate) timestamp: Option<i64>,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) payload: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Stored {
    /// The payload as text; empty for a tombstone.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(self.payload.as_deref().unwrap_or_default()).into_owned()
    }

    /// The value of the last header of that name, as text.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let (_, value) = self.headers.iter().rev().find(|(other, _)| other == name)?;
        Some(String::from_utf8_lossy(value.as_deref()?).into_owned())
    }
}

/// How a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum End {
    Commit,
    Abort,
}

/// Whether a reader sees what was aborted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Isolation {
    ReadCommitted,
    ReadUncommitted,
}

impl Kafka {
    pub(crate) fn create_topic(&self, topic: &str, partitions: i32) {
        self.create_topic_with(topic, partitions, &[]);
    }

    /// A topic with settings, e.g. `("cleanup.policy", "compact")`.
    pub(crate) fn create_topic_with(&self, topic: &str, partitions: i32, settings: &[(&str, &str)]) {
        let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        for (key, value) in settings {
            new = new.set(key, value);
        }
        let admin: AdminClient<DefaultClientContext> = self.client().create().expect("an admin client");
        let results =
            block_on(admin.create_topics([&new], &AdminOptions::new().operation_timeout(Some(ANSWER))));
        for result in results.expect("the broker answers") {
            result.unwrap_or_else(|(topic, error)| panic!("failed to create topic `{topic}`: {error}"));
        }
    }

    /// Deletes a topic, and returns when it is gone: one of the same name can be created.
    pub(crate) fn delete_topic(&self, topic: &str) {
        let admin: AdminClient<DefaultClientContext> = self.client().create().expect("an admin client");
        let results =
            block_on(admin.delete_topics(&[topic], &AdminOptions::new().operation_timeout(Some(ANSWER))));
        for result in results.expect("the broker answers") {
            result.unwrap_or_else(|(topic, error)| panic!("failed to delete topic `{topic}`: {error}"));
        }
    }

    /// Produces fast, and returns when the broker has confirmed every record. Records of one partition keep their order.
    pub(crate) fn produce<R: Into<Record>>(&self, topic: &str, records: impl IntoIterator<Item = R>) {
        let producer: ThreadedProducer<CountFailures> = self
            .client()
            .set("enable.idempotence", "true")
            .set("linger.ms", "5")
            .set("queue.buffering.max.messages", "1000000")
            .set("queue.buffering.max.kbytes", "262144")
            .create_with_context(CountFailures::default())
            .expect("a producer");
        for record in records {
            send(&record.into(), topic, |base| producer.send(base));
        }
        producer.flush(ANSWER * 4).expect("the broker confirms all records");
        let failed = producer.context().failed.load(Ordering::Relaxed);
        assert_eq!(failed, 0, "so many records could not be produced to `{topic}`");
    }

    /// Produces in one transaction; its end marker takes an offset of its own in each partition it wrote to.
    pub(crate) fn produce_transaction<R: Into<Record>>(
        &self,
        topic: &str,
        end: End,
        records: impl IntoIterator<Item = R>,
    ) {
        let producer: BaseProducer<DefaultProducerContext> =
            self.client().set("transactional.id", Kafka::unique("tests")).create().expect("a producer");
        producer.init_transactions(ANSWER).expect("transactions begin");
        producer.begin_transaction().expect("a transaction begins");
        for record in records {
            send(&record.into(), topic, |base| producer.send(base));
        }
        // Flushed first, so that records are there which an abort has to hide.
        producer.flush(ANSWER).expect("the broker confirms all records");
        match end {
            End::Commit => producer.commit_transaction(ANSWER).expect("the transaction is committed"),
            End::Abort => producer.abort_transaction(ANSWER).expect("the transaction is aborted"),
        }
    }

    /// Removes the records of a partition below `offset`, as retention does.
    pub(crate) fn remove_below(&self, topic: &str, partition: i32, offset: i64) {
        let admin: AdminClient<DefaultClientContext> = self.client().create().expect("an admin client");
        let mut until = TopicPartitionList::new();
        until.add_partition_offset(topic, partition, Offset::Offset(offset)).expect("an offset");
        let options = AdminOptions::new().operation_timeout(Some(ANSWER));
        block_on(admin.delete_records(&until, &options)).expect("the broker removes records");
    }

    /// For each partition, the offset that the next record gets.
    pub(crate) fn end_offsets(&self, topic: &str) -> Vec<i64> {
        let consumer = self.consumer(Isolation::ReadUncommitted);
        let end =
            |partition| consumer.fetch_watermarks(topic, partition, ANSWER).expect("the broker answers").1;
        (0..partitions(&consumer, topic)).map(end).collect()
    }

    /// For each partition, what the group has committed; none where it has not.
    pub(crate) fn committed(&self, group: &str, topic: &str) -> Vec<Option<i64>> {
        let consumer: BaseConsumer = self.client().set("group.id", group).create().expect("a consumer");
        let mut asked = TopicPartitionList::new();
        asked.add_partition_range(topic, 0, partitions(&consumer, topic) - 1);
        let committed = consumer.committed_offsets(asked, ANSWER).expect("the broker answers");
        let mut elements = committed.elements();
        elements.sort_by_key(|element| element.partition());
        elements
            .iter()
            .map(|element| match element.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            })
            .collect()
    }

    /// What the group has committed of one partition, with the text beside it; none where it has not.
    pub(crate) fn committed_with(&self, group: &str, topic: &str, partition: i32) -> Option<(i64, Vec<u8>)> {
        let consumer: BaseConsumer = self.client().set("group.id", group).create().expect("a consumer");
        let mut asked = TopicPartitionList::new();
        asked.add_partition(topic, partition);
        let committed = consumer.committed_offsets(asked, ANSWER).expect("the broker answers");
        let elements = committed.elements();
        let element = elements.first().expect("the partition asked for");
        let Offset::Offset(offset) = element.offset() else { return None };
        Some((offset, element.metadata().as_bytes().to_vec()))
    }

    /// Commits an offset of one partition, with some text beside it, for a group that has no members.
    pub(crate) fn commit_with(&self, group: &str, topic: &str, (partition, offset): (i32, i64), text: &str) {
        let consumer: BaseConsumer = self.client().set("group.id", group).create().expect("a consumer");
        let mut offsets = TopicPartitionList::new();
        let mut element = offsets.add_partition(topic, partition);
        element.set_offset(Offset::Offset(offset)).expect("an offset");
        element.set_metadata(text);
        consumer.commit(&offsets, CommitMode::Sync).expect("the broker takes the commit");
    }

    /// Everything in a topic now, by partition and offset.
    pub(crate) fn consume_all(&self, topic: &str, isolation: Isolation) -> Vec<Stored> {
        let consumer = self.consumer(isolation);
        let mut assignment = TopicPartitionList::new();
        let mut unfinished = partitions(&consumer, topic);
        for partition in 0..unfinished {
            assignment.add_partition_offset(topic, partition, Offset::Beginning).expect("an offset");
        }
        consumer.assign(&assignment).expect("partitions are assigned");
        let mut all = Vec::new();
        while unfinished > 0 {
            match consumer.poll(ANSWER) {
                Some(Ok(message)) => all.push(stored(&message)),
                Some(Err(KafkaError::PartitionEOF(_))) => unfinished -= 1,
                Some(Err(error)) => panic!("failed to read `{topic}`: {error}"),
                None => panic!("failed to read `{topic}`: the broker does not answer"),
            }
        }
        all.sort_by_key(|stored| (stored.partition, stored.offset));
        all
    }

    /// Whether the broker knows itself by now.
    pub(super) fn broker_answers(&self) -> bool {
        let consumer = self.consumer(Isolation::ReadUncommitted);
        let metadata = consumer.fetch_metadata(None, Duration::from_secs(5));
        metadata.is_ok_and(|metadata| !metadata.brokers().is_empty())
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.bootstrap());
        config.set_log_level(RDKafkaLogLevel::Critical);
        config
    }

    fn consumer(&self, isolation: Isolation) -> BaseConsumer {
        self.client()
            .set("group.id", "tests")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("fetch.wait.max.ms", "10")
            .set("fetch.queue.backoff.ms", "10")
            .set(
                "isolation.level",
                match isolation {
                    Isolation::ReadCommitted => "read_committed",
                    Isolation::ReadUncommitted => "read_uncommitted",
                },
            )
            .create()
            .expect("a consumer")
    }
}

fn partitions(consumer: &BaseConsumer, topic: &str) -> i32 {
    let metadata = consumer.fetch_metadata(Some(topic), ANSWER).expect("the broker answers");
    let found = metadata.topics().first().expect("the topic asked for");
    if let Some(error) = found.error() {
        panic!("topic `{topic}` cannot be read: {}", RDKafkaErrorCode::from(error));
    }
    found.partitions().len() as i32
}

type SendResult<'a> = Result<(), (KafkaError, BaseRecord<'a, [u8], [u8]>)>;

/// Hands one record to a producer; a full queue is waited for.
fn send<'a>(
    record: &'a Record,
    topic: &'a str,
    mut send: impl FnMut(BaseRecord<'a, [u8], [u8]>) -> SendResult<'a>,
) {
    let mut base = BaseRecord::to(topic);
    base.key = record.key.as_deref();
    base.payload = record.payload.as_deref();
    base.partition = record.partition;
    base.timestamp = record.timestamp;
    if !record.headers.is_empty() {
        base.headers = Some(record.headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: value.as_deref() })
        }));
    }
    while let Err((error, returned)) = send(base) {
        assert_eq!(
            error.rdkafka_error_code(),
            Some(RDKafkaErrorCode::QueueFull),
            "failed to produce to `{topic}`: {error}"
        );
        thread::park_timeout(Duration::from_millis(1));
        base = returned;
    }
}

fn stored(message: &BorrowedMessage<'_>) -> Stored {
    let headers = message.headers().map_or_else(Vec::new, |headers| {
        let owned = |header: Header<'_, &[u8]>| (header.key.to_owned(), header.value.map(<[u8]>::to_vec));
        headers.iter().map(owned).collect()
    });
    Stored {
        partition: message.partition(),
        offset: message.offset(),
        timestamp: message.timestamp().to_millis(),
        key: message.key().map(<[u8]>::to_vec),
        payload: message.payload().map(<[u8]>::to_vec),
        headers,
    }
}

/// Counts the records that the broker did not take.
#[derive(Default)]
struct CountFailures {
    failed: AtomicU64,
}

impl ClientContext for CountFailures {}

impl ProducerContext for CountFailures {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_err() {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Waits for a future on this thread: the admin client has no other way, and one call needs no runtime.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
