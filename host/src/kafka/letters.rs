//! A topic that is read once, partition by partition, from where it begins to where it ended when it was opened; and
//! marks on it, which are the committed offsets of a group that nobody is a member of. What is in the topic and what a
//! mark means is decided by who reads it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{Offset, TopicPartitionList};

use super::context::{Context, Member};
use super::leaving::Leaving;
use super::metadata::commit_metadata;
use super::native::{self, PartitionQueue};
use super::{options, topics};
use crate::config::Kafka;
use crate::edge::Bell;
use crate::message::Batch;

/// How long a broker may take for its first answer: a command that somebody waits for should say soon that nobody is
/// there.
const FIRST_ANSWER_MAX: Duration = Duration::from_secs(5);

/// How long a broker that has answered before may take: a rolling restart of a cluster moves leaders within seconds.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// How long to wait for records before errors are looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// How long a broker may keep a fetch waiting for data, in ms. It answers one fetch at a time, so that the next partition
/// waits for the last one's: the default of 500 makes a topic of 50 partitions take half a minute.
const FETCH_WAIT_MS_MAX: u32 = 10;

/// How long the end waits for a broker that does not answer.
const LEAVE_MAX: Duration = Duration::from_secs(1);

/// Records that are taken in one call.
const TAKE_MAX: usize = 256;

/// Where one partition begins and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The number of the partition.
    pub partition: i32,
    /// The oldest offset that may still be there.
    pub low: i64,
    /// The offset behind the newest record that was there, open transactions left out.
    pub end: i64,
}

/// What the group has committed for one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The offset; none when nothing was ever committed, or it has expired.
    pub offset: Option<i64>,
    /// What was committed beside it, by whatever tool.
    pub metadata: Vec<u8>,
}

/// Why a topic cannot be read.
#[derive(Debug)]
pub enum Unreadable {
    /// There is no such topic.
    Missing,
    /// Anything else; a `Silence` when no broker answers.
    Other(anyhow::Error),
}

/// A topic, open for reading.
pub struct Letters {
    consumer: Arc<Member>,
    topic: Arc<str>,
    spans: Vec<Span>,
    /// Stands last, so that it is dropped after all that holds the consumer.
    _leaving: Leaving,
}

impl Letters {
    /// Opens `topic` as it is now; its marks are those of `group`.
    pub fn open(kafka: &Kafka, topic: &str, group: &str) -> Result<Self, Unreadable> {
        topics::reachable(kafka, FIRST_ANSWER_MAX)
            .map_err(|error| Unreadable::Other(Silence(format!("{error:#}")).into()))?;
        let missing = topics::missing_topics(kafka, &[topic], ANSWER_MAX).map_err(Unreadable::Other)?;
        if !missing.is_empty() {
            return Err(Unreadable::Missing);
        }
        let mut options = options::client(kafka);
        options.set("group.id", group);
        options.set("enable.auto.commit", "false");
        options.set("enable.auto.offset.store", "false");
        options.set("auto.offset.reset", "earliest");
        options.set("isolation.level", "read_committed");
        options.set("allow.auto.create.topics", "false");
        // The end is told, because the last offsets of a partition may hold no record.
        options.set("enable.partition.eof", "true");
        options.set("fetch.wait.max.ms", FETCH_WAIT_MS_MAX.to_string());
        let consumer = BaseConsumer::from_config_and_context(&options, Context::default())
            .context("failed to make a consumer")
            .map_err(Unreadable::Other)?;
        let consumer = Arc::new(consumer);
        let _leaving = Leaving::of(consumer.clone(), LEAVE_MAX);
        let mut letters = Self { consumer, topic: topic.into(), spans: Vec::new(), _leaving };
        letters.spans = letters.ask_spans()?;
        Ok(letters)
    }

    /// The partitions, in the order of their numbers.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// The topic's name.
    pub fn topic(&self) -> &Arc<str> {
        &self.topic
    }

    fn ask_spans(&self) -> Result<Vec<Span>, Unreadable> {
        let failed = |error| {
            let what = format!("failed to ask for the ends of topic `{}`", self.topic);
            Unreadable::Other(fault(error, &what))
        };
        let metadata = self.consumer.fetch_metadata(Some(&self.topic), ANSWER_MAX).map_err(failed)?;
        let partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
        let ask = |partition| {
            let (low, end) =
                self.consumer.fetch_watermarks(&self.topic, partition, ANSWER_MAX).map_err(failed)?;
            Ok(Span { partition, low, end })
        };
        (0..i32::try_from(partitions).unwrap_or(i32::MAX)).map(ask).collect()
    }

    /// Shows `visit` the records of a partition from offset `from` to `end`, in their order, each in a batch of its
    /// own, until it has seen enough and returns false.
    pub fn read(
        &self,
        partition: i32,
        (from, end): (i64, i64),
        visit: &mut dyn FnMut(Batch) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        if from >= end {
            return Ok(());
        }
        let place = || format!("failed to read `{}/{partition}`", self.topic);
        let bell = Arc::new(Bell::default());
        let mut queue = PartitionQueue::split(&self.consumer, (&self.topic, partition), &bell)?;
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(&self.topic, partition, Offset::Offset(from)).with_context(place)?;
        self.consumer.assign(&assignment).with_context(place)?;
        let read = self.pump((&mut queue, partition), &bell, end, visit);
        drop(queue);
        // What it held is gone with the next assignment in any case.
        let _ = self.consumer.unassign();
        read.with_context(place)
    }

    fn pump(
        &self,
        (queue, partition): (&mut PartitionQueue, i32),
        bell: &Bell,
        end: i64,
        visit: &mut dyn FnMut(Batch) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let mut heard_at = Instant::now();
        loop {
            // Events of the consumer itself are errors, and told again where they matter.
            let _ = self.consumer.poll(Duration::ZERO);
            self.fail_on_refusal()?;
            while let Some(record) = queue.front(TAKE_MAX) {
                match record.error() {
                    Some((Code::PartitionEOF, _)) => return Ok(()),
                    Some((code, text)) if is_passing(code) => {
                        tracing::debug!(%code, text, "reading is held up");
                        queue.pop();
                        continue;
                    }
                    Some((_, text)) => anyhow::bail!("{text}"),
                    None if record.offset() >= end => return Ok(()),
                    None => {}
                }
                let mut batch = Batch::new(self.topic.clone(), partition, Instant::now());
                batch.push(
                    record.offset(),
                    record.timestamp(),
                    (record.key(), record.payload()),
                    record.headers(),
                );
                let is_last = record.offset() + 1 >= end;
                queue.pop();
                if !visit(batch)? || is_last {
                    return Ok(());
                }
                heard_at = Instant::now();
            }
            if heard_at.elapsed() >= ANSWER_MAX {
                let silence = format!("no broker has answered for {} s", ANSWER_MAX.as_secs());
                return Err(Silence(silence).into());
            }
            bell.wait(LOOK_INTERVAL);
        }
    }

    /// A broker that does not let us in will not do so later.
    fn fail_on_refusal(&self) -> anyhow::Result<()> {
        for (error, reason) in self.consumer.context().take_errors() {
            match error.rdkafka_error_code() {
                Some(
                    Code::Authentication
                    | Code::SaslAuthenticationFailed
                    | Code::TopicAuthorizationFailed
                    | Code::GroupAuthorizationFailed,
                ) => anyhow::bail!("{reason}"),
                _ => tracing::debug!(%error, reason, "Kafka reports an error"),
            }
        }
        Ok(())
    }

    /// What the group has committed, for each partition in the order of `spans`.
    pub fn committed(&self) -> anyhow::Result<Vec<Committed>> {
        let mut question = TopicPartitionList::new();
        for span in &self.spans {
            question.add_partition(&self.topic, span.partition);
        }
        if question.count() == 0 {
            return Ok(Vec::new());
        }
        let answer = self.consumer.committed_offsets(question, ANSWER_MAX);
        let failed = |error| fault(error, "failed to ask for the marks on what was replayed");
        let answer = answer.map_err(failed)?;
        let elements = answer.elements();
        let committed = elements.iter().enumerate().map(|(index, element)| {
            element
                .error()
                .with_context(|| format!("failed to read the mark of partition {}", element.partition()))?;
            let offset = match element.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            };
            Ok(Committed { offset, metadata: commit_metadata(&answer, index).unwrap_or_default() })
        });
        committed.collect()
    }

    /// Commits an offset and a text beside it for each of some partitions, and waits until Kafka has them.
    pub fn commit<'a>(&self, marks: impl IntoIterator<Item = (i32, i64, &'a str)>) -> anyhow::Result<()> {
        let mut offsets = TopicPartitionList::new();
        for (partition, offset, text) in marks {
            let mut element = offsets.add_partition(&self.topic, partition);
            element.set_offset(Offset::Offset(offset)).context("failed to set a mark")?;
            if !text.is_empty() {
                element.set_metadata(text);
            }
        }
        if offsets.count() == 0 {
            return Ok(());
        }
        let failed = || format!("failed to mark what was replayed of `{}`", self.topic);
        let queue = native::CommitQueue::new(&self.consumer).with_context(failed)?;
        queue.ask(&offsets).with_context(failed)?;
        let Some(answer) = queue.poll(ANSWER_MAX) else {
            anyhow::bail!("{}: no answer within {} ms", failed(), ANSWER_MAX.as_millis());
        };
        let errors = answer.offsets.into_iter().filter_map(|(_, _, error)| error);
        match errors.chain(answer.error).next() {
            Some(code) => Err(code).with_context(failed),
            None => Ok(()),
        }
    }
}

/// No broker answers, or none answers any more.
#[derive(Debug)]
pub struct Silence(pub String);

impl std::fmt::Display for Silence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Silence {}

/// Whether librdkafka mends it by itself.
fn is_passing(code: Code) -> bool {
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::OperationTimedOut
            | Code::NotLeaderForPartition
            | Code::LeaderNotAvailable
            | Code::RequestTimedOut
    )
}

fn fault(error: KafkaError, what: &str) -> anyhow::Error {
    let is_silence = error.rdkafka_error_code().is_some_and(is_passing);
    let error = if is_silence { Silence(error.to_string()).into() } else { anyhow::Error::new(error) };
    error.context(what.to_owned())
}
