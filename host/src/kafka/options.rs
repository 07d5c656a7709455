//! librdkafka's options as this room sets them: what the host owns, what it merely prefers, and why. Whether a user
//! may set an option at all is checked by `config`.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use crate::config::{Delivery, Kafka, Plugin, Start};

/// How often progress is committed, in ms: what may be repeated after a crash is at most what was in flight and what
/// finished in this time.
const COMMIT_INTERVAL_MS: u64 = 1_000;

/// Messages that librdkafka holds ready for one partition before it stops fetching more. Each partition has a queue
/// of its own, so this counts for each. A million messages of 100 bytes waiting in 50 partitions of the embedded
/// cluster kept the whole process at 35 to 66 MiB, by how they had been batched, and at up to 82 MiB while drained at
/// full speed. Raise it for few partitions with tiny messages.
const QUEUED_MESSAGES_MIN: u32 = 1_000;

/// Bytes that librdkafka holds ready for one partition, in KiB: the bound for large messages, where the one in
/// messages would be too much. 50 partitions hold at most 25 MiB, and what the last fetch of each overshoots by.
const QUEUED_KBYTES_MAX: u32 = 512;

/// Bytes that one fetch asks for of one partition: what a partition's queue may be overshot by, 6 MiB for 50. Chosen
/// by this sum and not measured: the embedded cluster answers with one batch whatever is asked for. A larger message
/// still comes, alone. Raise it, with the two above, where a broker is far away and few partitions must be fast: one
/// fetch a round trip is at most 130 MB/s a partition at 1 ms, and 2.6 MB/s at 50 ms.
const FETCH_PARTITION_BYTES: u32 = 131_072;

/// How long a broker may keep a fetch waiting for data, in ms. A broker answers one fetch at a time, so a partition
/// whose queue has just run low waits as long for the others' empty answer; 500 (the default) is a visible stall, and
/// less than this is many questions of an idle consumer.
const FETCH_WAIT_MS_MAX: u32 = 50;

/// How long a partition is not fetched after its queue was full, in ms. The default of 1 000 drains a queue in 50 ms
/// and idles for the rest of the second (librdkafka #3662): 4 to 9 times less throughput, measured.
const FETCH_QUEUE_BACKOFF_MS: u32 = 10;

/// How often topics are looked for that match a regular expression, in ms; librdkafka's own 5 minutes are long for
/// someone who has just made a topic.
const TOPIC_REFRESH_MS: u32 = 30_000;

/// How long outputs wait for company, in ms. Part of the time to the outcome of each message that has outputs;
/// enough to fill batches under load.
const LINGER_MS: u32 = 2;

/// How long a transaction may be open, in ms, before Kafka aborts it: so long may those who read its topics, and whoever
/// takes over its partitions, have to wait when a host is gone for good. Some times as long as one ever takes.
const TRANSACTION_TIMEOUT_MS: u32 = 10_000;

/// How long outputs in a transaction wait for company, in ms: they come many at a time, and the transaction ends when the
/// last of them has arrived.
const TRANSACTION_LINGER_MS: f64 = 0.2;

/// How long the producer waits, in ms, before it asks again while the broker is still ending the transaction before: with
/// the default of 100 that is what most transactions would take.
const TRANSACTION_BACKOFF_MS: u32 = 5;

/// Options for anything that only asks (metadata, administration).
pub(super) fn client(kafka: &Kafka) -> ClientConfig {
    let mut options = ClientConfig::new();
    // More than this is chatter, and is asked for with librdkafka's own `debug` option.
    options.set_log_level(RDKafkaLogLevel::Info);
    overlay(&mut options, kafka);
    options
}

/// Options for the consumer of a plugin.
pub(super) fn consumer(plugin: &Plugin) -> ClientConfig {
    let mut options = client(&plugin.kafka);
    let mut prefer = |key: &str, value: &str| {
        if options.get(key).is_none() {
            options.set(key, value);
        }
    };
    prefer("client.id", &format!("gristmill-{}", plugin.name));
    prefer("isolation.level", "read_committed");
    prefer("fetch.queue.backoff.ms", &FETCH_QUEUE_BACKOFF_MS.to_string());
    prefer("fetch.wait.max.ms", &FETCH_WAIT_MS_MAX.to_string());
    prefer("fetch.message.max.bytes", &FETCH_PARTITION_BYTES.to_string());
    prefer("queued.min.messages", &QUEUED_MESSAGES_MIN.to_string());
    prefer("queued.max.messages.kbytes", &QUEUED_KBYTES_MAX.to_string());
    if plugin.topics.iter().any(|topic| topic.starts_with('^')) {
        prefer("topic.metadata.refresh.interval.ms", &TOPIC_REFRESH_MS.to_string());
    }
    // The broker assigns under KIP-848, and librdkafka refuses the strategy then.
    if options.get("group.protocol") != Some("consumer")
        && options.get("partition.assignment.strategy").is_none()
    {
        options.set("partition.assignment.strategy", "cooperative-sticky");
    }
    options.set("group.id", &plugin.group);
    // Offsets are sent by `commit`, with what is finished beyond them: nothing unfinished is ever told.
    options.set("enable.auto.commit", "false");
    options.set("enable.auto.offset.store", "false");
    // Where a group begins is looked up at assignment; this is for offsets that have left the topic since.
    let reset = if plugin.start == Start::Latest { "latest" } else { "earliest" };
    options.set("auto.offset.reset", reset);
    if plugin.delivery == Delivery::ExactlyOnce {
        // What was aborted must not be read, or it would be handled once more.
        options.set("isolation.level", "read_committed");
    }
    // An end told as an error moves the position in librdkafka 2.12 (#4844), and we have no use for it.
    options.set("enable.partition.eof", "false");
    options
}

/// How often the plugin's progress is committed: as often as librdkafka would, had it to.
pub(super) fn commit_interval(plugin: &Plugin) -> Duration {
    let written = plugin.kafka.options.get("auto.commit.interval.ms").and_then(|ms| ms.parse().ok());
    Duration::from_millis(written.unwrap_or(COMMIT_INTERVAL_MS))
}

/// Options for the producer of a plugin.
pub(super) fn producer(plugin: &Plugin) -> ClientConfig {
    let mut options = client(&plugin.kafka);
    let mut prefer = |key: &str, value: &str| {
        if options.get(key).is_none() {
            options.set(key, value);
        }
    };
    prefer("client.id", &format!("gristmill-{}", plugin.name));
    if ["queue.buffering.max.ms", "linger.ms"].iter().all(|key| !plugin.kafka.options.contains_key(*key)) {
        options.set("linger.ms", LINGER_MS.to_string());
    }
    // A broker that goes away loses nothing: outputs wait for it, and their messages with them.
    if ["message.timeout.ms", "delivery.timeout.ms"]
        .iter()
        .all(|key| !plugin.kafka.options.contains_key(*key))
    {
        options.set("message.timeout.ms", "0");
    }
    // A retry inside librdkafka neither doubles nor reorders.
    options.set("enable.idempotence", "true");
    options
}

/// Options for the producer of an exactly-once plugin.
pub(super) fn transactional(plugin: &Plugin, transactional_id: &str) -> ClientConfig {
    let mut options = producer(plugin);
    let given = |key: &str| plugin.kafka.options.contains_key(key);
    if !given("transaction.timeout.ms") {
        options.set("transaction.timeout.ms", TRANSACTION_TIMEOUT_MS.to_string());
    }
    if !["message.timeout.ms", "delivery.timeout.ms"].iter().any(|key| given(key)) {
        // librdkafka's own choice: as long as the transaction.
        options.remove("message.timeout.ms");
    }
    if ["queue.buffering.max.ms", "linger.ms"].iter().all(|key| !given(key)) {
        options.set("linger.ms", TRANSACTION_LINGER_MS.to_string());
    }
    if !given("retry.backoff.ms") {
        options.set("retry.backoff.ms", TRANSACTION_BACKOFF_MS.to_string());
    }
    options.set("transactional.id", transactional_id);
    options
}

fn overlay(options: &mut ClientConfig, kafka: &Kafka) {
    for (key, value) in &kafka.options {
        options.set(key, value);
    }
    options.set("bootstrap.servers", kafka.brokers.join(","));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::tests::plugin;

    #[test]
    fn a_user_may_override_what_is_preferred_but_not_what_is_owned() {
        let mut plugin = plugin("localhost:9092", &["orders"]);
        plugin.kafka.options =
            [("isolation.level", "read_uncommitted"), ("enable.auto.offset.store", "true")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into();
        let options = consumer(&plugin);
        assert_eq!(options.get("isolation.level"), Some("read_uncommitted"));
        assert_eq!(options.get("enable.auto.offset.store"), Some("false"));
        assert_eq!(options.get("partition.assignment.strategy"), Some("cooperative-sticky"));
        plugin.kafka.options = [("group.protocol".to_owned(), "consumer".to_owned())].into();
        assert_eq!(consumer(&plugin).get("partition.assignment.strategy"), None);
    }
}
