//! Fills the demo's topic.

use std::time::Duration;

use anyhow::Context as _;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

/// How long the last messages may take to arrive.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(30);

/// How long to serve the producer when its queue is full.
const BACKLOG_WAIT: Duration = Duration::from_millis(5);

/// Writes `messages` small orders, evenly over `partitions`, and tells `progress` how far it is.
///
/// # Errors
///
/// When the broker does not take them.
pub(super) fn fill(
    bootstrap: &str,
    topic: &str,
    (messages, partitions): (u64, i32),
    mut progress: impl FnMut(u64),
) -> anyhow::Result<()> {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        // The embedded broker keeps at most 5 MiB and 100 000 batches of a partition: few, compressed batches.
        .set("compression.type", "lz4")
        .set("linger.ms", "50")
        .set("queue.buffering.max.messages", "200000")
        .create()
        .context("failed to create the demo's producer")?;
    for number in 0..messages {
        let key = number.to_string();
        let payload = format!(r#"{{"order":{number}}}"#);
        let partition = (number % partitions.max(1) as u64) as i32;
        let mut record = BaseRecord::to(topic).partition(partition).key(&key).payload(&payload);
        while let Err((error, back)) = producer.send(record) {
            if error != KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) {
                return Err(error).context("failed to fill the demo's topic");
            }
            producer.poll(BACKLOG_WAIT);
            record = back;
        }
        if number % 10_000 == 0 {
            producer.poll(Duration::ZERO);
            progress(number);
        }
    }
    producer.flush(FLUSH_TIMEOUT).context("failed to fill the demo's topic")?;
    progress(messages);
    Ok(())
}
