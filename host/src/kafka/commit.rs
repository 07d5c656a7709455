//! Making progress durable. librdkafka is given the low watermark of each partition and sends it once a second;
//! only at the end do we ask for a commit ourselves, and with a bound.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::{Offset, TopicPartitionList};

use super::context::Member;
use super::native;
use super::reader::{Reader, Readers};
use crate::metrics::PluginMetrics;

/// Lets progress pass what is no message: where all that was read is finished, Kafka may be told how far reading
/// has come, transaction markers at the end included. Otherwise they would be a lag for ever.
pub(super) fn pass_markers(consumer: &Member, readers: &mut Readers) {
    let is_idle = |reader: &Reader| {
        let progress = reader.partition.progress();
        // What was handed out may not be noted as delivered yet.
        let noted = progress.watermark().unwrap_or(0) >= reader.handed_out;
        noted && !reader.rewound && progress.unfinished() == 0 && !reader.queue.holds_any()
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
        if let Some(Offset::Offset(position)) = positions.get(&(&*partition.topic, partition.number)) {
            partition.progress().pass(*position);
        }
    }
}

/// Gives librdkafka the watermarks that moved. A partition that is not ours any more is passed over.
pub(super) fn store<'a>(consumer: &Member, readers: impl Iterator<Item = &'a mut Reader>) {
    let mut moved: Vec<(&mut Reader, i64)> = readers
        .filter_map(|reader| {
            let watermark = reader.partition.progress().watermark()?;
            (reader.stored != Some(watermark)).then_some((reader, watermark))
        })
        .collect();
    if moved.is_empty() {
        return;
    }
    let offsets = list(moved.iter().map(|(reader, watermark)| (&**reader, *watermark)));
    if let Err(error) = consumer.store_offsets(&offsets) {
        // Not assigned any more, which the group will tell next; or not yet, and it is tried again.
        tracing::debug!(%error, "offsets could not be stored");
        return;
    }
    for ((reader, watermark), element) in moved.iter_mut().zip(offsets.elements()) {
        if element.error().is_ok() {
            reader.stored = Some(*watermark);
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

/// Notes what Kafka has confirmed.
pub(super) fn note_confirmed(consumer: &Member, readers: &mut Readers) {
    for (topic, number, offset) in consumer.context().take_confirmed() {
        let of_it =
            |reader: &&mut Reader| *reader.partition.topic == *topic && reader.partition.number == number;
        if let Some(reader) = readers.iter_mut().find(of_it) {
            reader.committed = Some(offset);
        }
    }
}

/// Shows how far each partition is, and how far from its end.
pub(super) fn show(consumer: &Member, readers: &Readers, metrics: &PluginMetrics) {
    for reader in readers.iter() {
        let partition = &reader.partition;
        let watermark = partition.progress().watermark();
        let end = native::cached_end(consumer, &partition.topic, partition.number).max(reader.end);
        metrics.update_partition(&partition.topic, partition.number, |gauges| {
            gauges.committed_offset = reader.committed;
            gauges.lag_messages = end.zip(watermark).map(|(end, watermark)| (end - watermark).max(0));
        });
    }
}

/// Commits all watermarks and waits for the answer, at most `limit`.
pub(super) fn commit(consumer: &Arc<Member>, readers: &Readers, limit: Duration) -> anyhow::Result<()> {
    let watermarks = readers.iter().filter_map(|reader| {
        let watermark = reader.partition.progress().watermark()?;
        Some((reader, watermark))
    });
    let offsets = list(watermarks);
    if offsets.count() == 0 {
        return Ok(());
    }
    anyhow::ensure!(!consumer.assignment_lost(), "the group has given the partitions to others");
    native::commit(consumer, &offsets, limit)
}

fn list<'a>(watermarks: impl Iterator<Item = (&'a Reader, i64)>) -> TopicPartitionList {
    let mut offsets = TopicPartitionList::new();
    for (reader, watermark) in watermarks {
        let (topic, number) = (&reader.partition.topic, reader.partition.number);
        let added = offsets.add_partition_offset(topic, number, Offset::Offset(watermark));
        if let Err(error) = added {
            // Only a negative offset does that, and Kafka has none.
            tracing::warn!(topic = &**topic, number, watermark, %error, "an offset cannot be told to Kafka");
        }
    }
    offsets
}
