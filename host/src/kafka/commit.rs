//! Making progress durable: once a second the low watermark of each partition that moved, with a map of what is finished
//! beyond it; and once more before a partition is given up.
//!
//! librdkafka's own commits are off: it does not send a watermark that stands still, and that is when the map changes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{Offset, TopicPartitionList};

use super::context::Member;
use super::native::{self, Answer, CommitQueue};
use super::reader::{Reader, Readers};
use crate::ack::{Partition, Told, map};
use crate::metrics::PluginMetrics;

/// How long an answer to a commit is waited for, in ms, before the commit counts as lost and another is sent.
const ANSWER_MS_MAX: u64 = 30_000;

/// How long to wait, in ms, before a commit is sent again that the group refused for a reason that passes.
const AGAIN_MS: u64 = 100;

/// Tells Kafka of progress, one commit at a time.
pub(super) struct Committer {
    queue: CommitQueue,
    interval: Duration,
    sent: Option<Sent>,
    sent_at: Option<Instant>,
    /// Most characters of metadata; less after a broker has refused that many.
    chars_max: usize,
}

type Sent = Vec<(Arc<Partition>, Told)>;

impl Committer {
    /// A committer for `consumer` that commits every `interval`.
    pub(super) fn new(consumer: &Arc<Member>, interval: Duration) -> anyhow::Result<Self> {
        let queue = CommitQueue::new(consumer)?;
        Ok(Self { queue, interval, sent: None, sent_at: None, chars_max: map::CHARS_MAX })
    }

    /// Looks whether an answer has come, and sends the next commit when it is time.
    pub(super) fn attend(&mut self, readers: &Readers, metrics: &PluginMetrics) {
        while let Some(answer) = self.queue.poll(Duration::ZERO) {
            self.hear(&answer);
        }
        let age = self.sent_at.map(|sent_at| sent_at.elapsed());
        if self.sent.is_some() && age < Some(Duration::from_millis(ANSWER_MS_MAX)) {
            return;
        }
        if age.is_some_and(|age| age < self.interval) {
            return;
        }
        self.sent_at = Some(Instant::now());
        if let Err(error) = self.send(readers.iter(), metrics) {
            tracing::debug!(error = %format!("{error:#}"), "progress could not be sent");
        }
    }

    /// Commits what `readers` have to tell and waits for the answer, at most `limit`. What the group refuses for a
    /// reason that passes is sent again.
    pub(super) fn commit(
        &mut self,
        readers: &[&Reader],
        limit: Duration,
        metrics: &PluginMetrics,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            let mut outcome = Ok(());
            // An answer that is still on its way belongs to a commit from before.
            if self.sent.is_none() {
                self.send(readers.iter().copied(), metrics)?;
            }
            while self.sent.is_some() && outcome.is_ok() {
                let left = deadline.saturating_duration_since(Instant::now());
                match self.queue.poll(left) {
                    Some(answer) => outcome = self.hear(&answer).map_or(Ok(()), Err),
                    None => anyhow::bail!("failed to commit: no answer within {} ms", limit.as_millis()),
                }
            }
            let is_told = readers.iter().all(|reader| reader.to_tell(self.chars_max).is_none());
            match outcome {
                Ok(()) if is_told => return Ok(()),
                Ok(()) => {}
                Err(code) if !is_passing(code) || Instant::now() >= deadline => {
                    return Err(anyhow::Error::from(code).context("failed to commit"));
                }
                Err(_) => drop(self.queue.poll(Duration::from_millis(AGAIN_MS))),
            }
        }
    }

    fn send<'a>(
        &mut self,
        readers: impl Iterator<Item = &'a Reader>,
        metrics: &PluginMetrics,
    ) -> anyhow::Result<()> {
        let told =
            readers.filter_map(|reader| Some((reader.partition.clone(), reader.to_tell(self.chars_max)?)));
        let told: Sent = told.collect();
        if told.is_empty() {
            return Ok(());
        }
        note_left_out(&told, metrics);
        self.queue.ask(&list(&told)?)?;
        self.sent = Some(told);
        Ok(())
    }

    /// Notes what Kafka has. Returns what went wrong, if anything did.
    fn hear(&mut self, answer: &Answer) -> Option<Code> {
        let sent = self.sent.take()?;
        let refused: HashMap<(&str, i32), Option<Code>> =
            answer.offsets.iter().map(|(topic, number, error)| ((&**topic, *number), *error)).collect();
        let mut wrong = None;
        for (partition, told) in sent {
            let error = refused.get(&(&*partition.topic, partition.number)).copied().unwrap_or(answer.error);
            match error {
                None => partition.progress().confirm(&told),
                Some(code) => wrong = Some(code),
            }
        }
        match wrong {
            Some(Code::OffsetMetadataTooLarge) if self.chars_max > 0 => {
                self.chars_max = if self.chars_max > MAP_CHARS_WORTH { self.chars_max / 2 } else { 0 };
                tracing::warn!(
                    chars = self.chars_max,
                    "the broker takes less metadata with an offset than usual (`offset.metadata.max.bytes`): less of what \
                     is finished out of order is remembered over a crash"
                );
            }
            Some(code) => tracing::debug!(%code, "Kafka did not take a commit; it is sent again"),
            None => {}
        }
        wrong
    }
}

/// A map of fewer characters than this is not worth its commit.
const MAP_CHARS_WORTH: usize = 64;

/// Whether the group refuses a commit only for the moment: while it rebalances, or until the next heartbeat.
fn is_passing(code: Code) -> bool {
    matches!(
        code,
        Code::RebalanceInProgress
            | Code::IllegalGeneration
            | Code::StaleMemberEpoch
            | Code::OffsetMetadataTooLarge
            | Code::CoordinatorLoadInProgress
            | Code::CoordinatorNotAvailable
            | Code::NotCoordinator
    )
}

/// Shows how much is finished and not in the maps.
pub(super) fn note_left_out(told: &[(Arc<Partition>, Told)], metrics: &PluginMetrics) {
    for (partition, told) in told {
        metrics.update_partition(&partition.topic, partition.number, |gauges| {
            gauges.left_out_of_map = told.left_out;
        });
    }
}

/// Offsets with their maps, as Kafka is told them.
pub(super) fn list(told: &[(Arc<Partition>, Told)]) -> anyhow::Result<TopicPartitionList> {
    let mut offsets = TopicPartitionList::new();
    for (partition, told) in told {
        let mut element = offsets.add_partition(&partition.topic, partition.number);
        element.set_offset(Offset::Offset(told.watermark))?;
        element.set_metadata(&told.map.text);
    }
    Ok(offsets)
}

/// Lets progress pass what is no message: where all that was read is finished, Kafka may be told how far reading
/// has come, transaction markers at the end included. Otherwise they would be a lag for ever.
pub(super) fn pass_markers(consumer: &Member, readers: &Readers) {
    let is_idle = |reader: &Reader| {
        let progress = reader.partition.progress();
        // What was handed out may not be noted as delivered yet.
        let noted = progress.watermark().unwrap_or(0) >= reader.handed_out;
        noted && progress.unfinished() == 0 && !reader.queue.holds_any()
    };
    if !readers.iter().any(is_idle) {
        return;
    }
    let Ok(positions) = consumer.position() else { return };
    let elements = positions.elements();
    let positions: HashMap<(&str, i32), Offset> =
        elements.iter().map(|element| ((element.topic(), element.partition()), element.offset())).collect();
    for reader in readers.iter().filter(|reader| is_idle(reader)) {
        let partition = &reader.partition;
        if let Some(Offset::Offset(position)) = positions.get(&(&*partition.topic, partition.number))
            && reader.believes(*position)
        {
            partition.progress().pass(*position);
        }
    }
}

/// Asks the brokers for the ends of all partitions, at most `limit`. A fetch tells them too, but a partition whose queue
/// is full is not fetched, for hours if its messages are handled slowly, and its lag would stand still.
pub(super) fn ask_ends(consumer: &Member, readers: &mut Readers, limit: Duration) {
    let mut question = TopicPartitionList::new();
    for reader in readers.iter() {
        question.add_partition(&reader.partition.topic, reader.partition.number);
    }
    if question.count() == 0 || question.set_all_offsets(Offset::End).is_err() {
        return;
    }
    let answer = match consumer.offsets_for_times(question, limit) {
        Ok(answer) => answer,
        Err(error) => return tracing::debug!(%error, "the ends of the partitions could not be asked for"),
    };
    for (reader, element) in readers.iter_mut().zip(answer.elements()) {
        if let (Ok(()), Offset::Offset(end)) = (element.error(), element.offset()) {
            reader.end = Some(end);
        }
    }
}

/// Shows how far each partition is, and how far from its end.
pub(super) fn show(consumer: &Member, readers: &Readers, metrics: &PluginMetrics) {
    for reader in readers.iter() {
        let partition = &reader.partition;
        let (watermark, ahead, confirmed) = {
            let progress = partition.progress();
            (progress.watermark(), progress.finished_ahead(), progress.confirmed())
        };
        let end = native::cached_end(consumer, &partition.topic, partition.number).max(reader.end);
        metrics.update_partition(&partition.topic, partition.number, |gauges| {
            gauges.committed_offset = confirmed;
            gauges.lag_messages = end.zip(watermark).map(|(end, watermark)| (end - watermark - ahead).max(0));
        });
    }
}
