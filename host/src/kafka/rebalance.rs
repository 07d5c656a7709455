//! Taking partitions and giving them up, in the order in which the group asks for it. The group waits for each
//! answer, so a partition is given up only once the way has let go of it, and meanwhile the others are read on.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rdkafka::consumer::Consumer;
use rdkafka::{Offset, TopicPartitionList};

use super::consumer::{KafkaSource, LAST_COMMIT_MS_MAX};
use super::context::{Rebalance, decline, is_cooperative};
use super::metadata::commit_metadata;
use super::native::PartitionQueue;
use super::reader::Reader;
use super::{commit, context};
use crate::ack::{Partition, map};
use crate::config::Start;
use crate::edge::Event;

/// How long one look-up of offsets may take, in ms. It holds up reading, but a broker that does not answer holds
/// that up as well.
const LOOKUP_MS_MAX: u64 = 1_000;

/// How long after a look-up that failed it is tried again, in ms.
const LOOKUP_AGAIN_MS: u64 = 500;

/// How long look-ups may fail before the consumer is replaced, in ms: the group waits for our answer, and joining
/// anew may find a better coordinator.
const LOOKUP_FAILING_MS_MAX: u64 = 30_000;

/// Partitions that the way still has to let go of.
pub(super) struct Revoking {
    /// What the group asked for, acknowledged as a whole.
    pub(super) rebalance: Rebalance,
    waiting: Vec<Arc<Partition>>,
}

/// Since when an assignment cannot be taken, and when it was tried last.
#[derive(Debug, Default)]
pub(super) struct Assigning {
    failing: Option<(Instant, Instant)>,
}

impl Assigning {
    fn is_due(&self) -> bool {
        self.failing.is_none_or(|(_, tried)| tried.elapsed() >= Duration::from_millis(LOOKUP_AGAIN_MS))
    }

    /// Notes that it failed again; returns whether it has for too long.
    fn failed(&mut self) -> bool {
        let now = Instant::now();
        let since = self.failing.map_or(now, |(since, _)| since);
        self.failing = Some((since, now));
        since.elapsed() >= Duration::from_millis(LOOKUP_FAILING_MS_MAX)
    }
}

impl KafkaSource {
    /// Handles the oldest change of the assignment, unless the one before it is still being waited for.
    pub(super) fn rebalance(&mut self) -> Option<Event> {
        if self.revoking.is_some() || !self.assigning.is_due() {
            return None;
        }
        let rebalance = self.consumer.context().rebalances().pop_front()?;
        match rebalance {
            Rebalance::Assign(partitions) => self.assign(partitions),
            Rebalance::Revoke(partitions) => self.revoke(partitions),
            Rebalance::Lose(partitions) => self.lose(partitions),
        }
    }

    fn assign(&mut self, partitions: TopicPartitionList) -> Option<Event> {
        match self.try_assign(&partitions) {
            Ok(assigned) => {
                self.assigning = Assigning::default();
                self.metrics.rebalances.fetch_add(1, Ordering::Relaxed);
                if !assigned.is_empty() {
                    self.health.note_messages();
                }
                Some(Event::Assigned(assigned))
            }
            Err(_) if self.consumer.assignment_lost() => {
                self.assigning = Assigning::default();
                decline(&self.consumer, &Rebalance::Assign(partitions));
                None
            }
            Err(error) => {
                self.health.note_refusal(format!("{error:#}"));
                if self.assigning.failed() {
                    self.broken = Some(format!("{error:#}"));
                }
                self.consumer.context().rebalances().push_front(Rebalance::Assign(partitions));
                None
            }
        }
    }

    fn try_assign(&mut self, partitions: &TopicPartitionList) -> anyhow::Result<Vec<Arc<Partition>>> {
        let (offsets, begins) = self.look_up(partitions)?;
        let mut readers = Vec::new();
        for (index, element) in offsets.elements().iter().enumerate() {
            let (topic, number) = (element.topic(), element.partition());
            // Before the assignment, or the first messages would go the common way.
            let queue = PartitionQueue::split(&self.consumer, (topic, number), &self.bell)?;
            let partition = Partition::new(topic.into(), number);
            let mut finished = Vec::new();
            if let Offset::Offset(offset) = element.offset() {
                if begins.contains(&(topic.to_owned(), number)) {
                    // Told to Kafka too: the group has begun here, even if no message ever comes.
                    partition.progress().pass(offset);
                } else {
                    finished = read_map(&offsets, index, offset, &partition);
                    partition.progress().resume(offset, &finished);
                }
            }
            readers.push(Reader::new(partition, queue, finished));
        }
        let assigned = if is_cooperative(&self.consumer) {
            self.consumer.incremental_assign(&offsets)
        } else {
            self.consumer.assign(&offsets)
        };
        assigned.context("failed to take the assigned partitions")?;
        let partitions = readers.iter().map(|reader| reader.partition.clone()).collect();
        readers.into_iter().for_each(|reader| self.readers.push(reader));
        self.commit_begins();
        commit::show(&self.consumer, &self.readers, &self.metrics);
        Ok(partitions)
    }

    /// Where each partition is to be read from, and which of them the group begins with.
    fn look_up(
        &self,
        partitions: &TopicPartitionList,
    ) -> anyhow::Result<(TopicPartitionList, HashSet<(String, i32)>)> {
        if partitions.count() == 0 {
            return Ok((TopicPartitionList::new(), HashSet::new()));
        }
        let limit = Duration::from_millis(LOOKUP_MS_MAX);
        let mut offsets = self
            .consumer
            .committed_offsets(partitions.clone(), limit)
            .context("failed to look up committed offsets")?;
        let mut begins = HashSet::new();
        for element in offsets.elements() {
            let name = || format!("failed to look up the committed offset of `{}`", element.topic());
            element.error().with_context(name)?;
            if !matches!(element.offset(), Offset::Offset(_)) {
                begins.insert((element.topic().to_owned(), element.partition()));
            }
        }
        self.note_removed(&offsets, &begins)?;
        let at = match self.subscription.start {
            Start::Earliest => Offset::Beginning,
            Start::Latest => Offset::End,
            Start::At(ms) => Offset::Offset(ms.max(0)),
        };
        let late = self.look_up_begin(&mut offsets, &begins, at)?;
        // No message is as late as that: the group begins with the next one.
        self.look_up_begin(&mut offsets, &late, Offset::End)?;
        Ok((offsets, begins))
    }

    /// Says which messages the topic's retention has removed before they were handled: what was parked for too long, or
    /// what nobody read in time.
    fn note_removed(
        &self,
        offsets: &TopicPartitionList,
        begins: &HashSet<(String, i32)>,
    ) -> anyhow::Result<()> {
        let key = |topic: &str, number| (topic.to_owned(), number);
        let elements = offsets.elements();
        let committed = elements.iter().filter_map(|element| match element.offset() {
            Offset::Offset(offset) => Some((key(element.topic(), element.partition()), offset)),
            _ => None,
        });
        let committed: HashMap<_, _> = committed.filter(|(key, _)| !begins.contains(key)).collect();
        if committed.is_empty() {
            return Ok(());
        }
        let mut first = offsets.clone();
        self.look_up_begin(&mut first, &committed.keys().cloned().collect(), Offset::Beginning)?;
        for element in first.elements() {
            let Offset::Offset(first) = element.offset() else { continue };
            let Some(watermark) = committed.get(&key(element.topic(), element.partition())) else { continue };
            if first > *watermark {
                let removed = first - watermark;
                self.metrics.removed_messages.fetch_add(removed as u64, Ordering::Relaxed);
                tracing::error!(
                    topic = element.topic(),
                    partition = element.partition(),
                    from = watermark,
                    until = first,
                    "messages were removed from Kafka before they were handled: lengthen the topic's retention, and mend \
                     parked lanes before it is over"
                );
            }
        }
        Ok(())
    }

    /// Sets the offsets of `wanted` to where `at` is (a logical offset, or a time in ms in the place of an offset, as
    /// librdkafka has it), and returns those where there is nothing.
    fn look_up_begin(
        &self,
        offsets: &mut TopicPartitionList,
        wanted: &HashSet<(String, i32)>,
        at: Offset,
    ) -> anyhow::Result<HashSet<(String, i32)>> {
        let mut question = TopicPartitionList::new();
        for (topic, number) in wanted {
            question.add_partition_offset(topic, *number, at)?;
        }
        if wanted.is_empty() {
            return Ok(HashSet::new());
        }
        let answer = self
            .consumer
            .offsets_for_times(question, Duration::from_millis(LOOKUP_MS_MAX))
            .context("failed to look up where the group begins")?;
        let mut nothing = HashSet::new();
        for element in answer.elements() {
            let (topic, number) = (element.topic(), element.partition());
            element.error().with_context(|| format!("failed to look up where `{topic}/{number}` begins"))?;
            if !matches!(element.offset(), Offset::Offset(_)) {
                nothing.insert((topic.to_owned(), number));
            }
            offsets.set_partition_offset(topic, number, element.offset())?;
        }
        Ok(nothing)
    }

    fn revoke(&mut self, partitions: TopicPartitionList) -> Option<Event> {
        self.metrics.rebalances.fetch_add(1, Ordering::Relaxed);
        let names = names(&partitions);
        let mut waiting = Vec::new();
        for reader in self.readers.iter_mut().filter(|reader| is_named(reader, &names)) {
            reader.revoked = true;
            reader.queue.discard();
            reader.partition.revoke();
            waiting.push(reader.partition.clone());
        }
        self.revoking = Some(Revoking { rebalance: Rebalance::Revoke(partitions), waiting: waiting.clone() });
        if waiting.is_empty() {
            self.release_revoked(&[]);
            return None;
        }
        Some(Event::Revoked(waiting))
    }

    /// Gives up what was revoked, once all of it was released.
    pub(super) fn release_revoked(&mut self, released: &[Arc<Partition>]) {
        let Some(mut revoking) = self.revoking.take() else { return };
        let is_released = |partition: &Arc<Partition>| released.iter().any(|one| Arc::ptr_eq(one, partition));
        revoking.waiting.retain(|partition| !is_released(partition));
        if !revoking.waiting.is_empty() {
            self.revoking = Some(revoking);
            return;
        }
        self.commit_last(|reader| reader.revoked, Duration::from_millis(LAST_COMMIT_MS_MAX));
        let gone = self.readers.remove(|reader| reader.revoked);
        self.forget(&gone.into_iter().map(|reader| reader.partition).collect::<Vec<_>>());
        if let Rebalance::Revoke(partitions) = &revoking.rebalance {
            self.unassign(partitions);
        }
    }

    fn lose(&mut self, partitions: TopicPartitionList) -> Option<Event> {
        self.metrics.rebalances.fetch_add(1, Ordering::Relaxed);
        let names = names(&partitions);
        let gone = self.readers.remove(|reader| is_named(reader, &names));
        let gone: Vec<_> = gone.into_iter().map(|reader| reader.partition).collect();
        self.forget(&gone);
        self.unassign(&partitions);
        (!gone.is_empty()).then_some(Event::Lost(gone))
    }

    fn unassign(&mut self, partitions: &TopicPartitionList) {
        let unassigned = if context::is_cooperative(&self.consumer) {
            self.consumer.incremental_unassign(partitions)
        } else {
            self.consumer.unassign()
        };
        if let Err(error) = unassigned {
            self.broken = Some(format!("partitions could not be given up: {error}"));
        }
    }
}

/// What an earlier member had finished beyond the watermark, if the commit says so.
fn read_map(
    offsets: &TopicPartitionList,
    index: usize,
    watermark: i64,
    partition: &Partition,
) -> Vec<Range<i64>> {
    let text = commit_metadata(offsets, index).unwrap_or_default();
    map::decode(watermark, &text).unwrap_or_else(|reason| {
        tracing::warn!(
            %partition, %reason,
            "the metadata of the partition's commit is not used: what was finished out of order is handled again"
        );
        Vec::new()
    })
}

fn names(partitions: &TopicPartitionList) -> HashSet<(String, i32)> {
    let elements = partitions.elements();
    elements.iter().map(|element| (element.topic().to_owned(), element.partition())).collect()
}

fn is_named(reader: &Reader, names: &HashSet<(String, i32)>) -> bool {
    names.contains(&(reader.partition.topic.to_string(), reader.partition.number))
}
