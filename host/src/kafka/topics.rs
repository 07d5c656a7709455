//! Questions to a cluster that are asked once: is it there, do these topics exist, make those that do not.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rdkafka::ClientContext;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;

use super::context::Member;
use super::{context, options};
use crate::ack::Partition;
use crate::config::Kafka;

/// Leaves partitions and replicas of a new topic to the broker (KIP-464).
const BROKER_DEFAULT: i32 = -1;

/// Fails unless a broker of the cluster answers within `timeout`.
pub fn reachable(kafka: &Kafka, timeout: Duration) -> anyhow::Result<()> {
    let id = asker(kafka)?.client().fetch_cluster_id(timeout);
    id.map(drop).ok_or_else(|| no_answer(kafka, timeout)).context("failed to reach Kafka")
}

fn no_answer(kafka: &Kafka, timeout: Duration) -> anyhow::Error {
    let brokers = kafka.brokers.join("`, `");
    anyhow::anyhow!("no answer within {} ms from Kafka at `{brokers}`", timeout.as_millis())
}

/// Those of `topics` that do not exist, without creating them by asking. Each question may take `timeout`.
pub fn missing_topics(kafka: &Kafka, topics: &[&str], timeout: Duration) -> anyhow::Result<Vec<String>> {
    let asker = asker(kafka)?;
    let mut missing = Vec::new();
    for &topic in topics {
        let asked = || format!("failed to ask Kafka about topic `{topic}`");
        let answer = match asker.fetch_metadata(Some(topic), timeout) {
            Ok(metadata) => metadata.topics().first().and_then(|topic| topic.error()),
            Err(KafkaError::MetadataFetch(code)) if is_unknown(code) => {
                missing.push(topic.to_owned());
                continue;
            }
            Err(KafkaError::MetadataFetch(Code::BrokerTransportFailure | Code::OperationTimedOut)) => {
                return Err(no_answer(kafka, timeout)).with_context(asked);
            }
            Err(error) => return Err(error).with_context(asked),
        };
        match answer.map(Code::from) {
            None => {}
            Some(code) if is_unknown(code) => missing.push(topic.to_owned()),
            Some(code) => return Err(code).with_context(asked),
        }
    }
    Ok(missing)
}

/// How long counting the partitions of one topic may take, in ms. It holds up reading.
const COUNT_MS_MAX: u64 = 1_000;

/// How many partitions each of `topics` has.
pub(super) fn partition_counts(
    consumer: &Member,
    topics: &[String],
) -> anyhow::Result<BTreeMap<String, u64>> {
    let count = |topic: &String| {
        let metadata = consumer
            .fetch_metadata(Some(topic), Duration::from_millis(COUNT_MS_MAX))
            .with_context(|| format!("failed to ask Kafka about topic `{topic}`"))?;
        let partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
        anyhow::Ok((topic.clone(), partitions as u64))
    };
    topics.iter().map(count).collect()
}

/// The places of `owned` among all partitions, by topic and number; and how many there are. None when `counts` does not
/// know one of them.
pub(super) fn places(counts: &BTreeMap<String, u64>, owned: &[Arc<Partition>]) -> Option<(Vec<u64>, u64)> {
    let place = |partition: &Arc<Partition>| {
        let number = u64::try_from(partition.number).ok()?;
        let own = counts.get(&*partition.topic)?;
        let before = counts.iter().take_while(|(topic, _)| ***topic < *partition.topic);
        let before: u64 = before.map(|(_, count)| count).sum();
        (number < *own).then_some(before + number)
    };
    Some((owned.iter().map(place).collect::<Option<_>>()?, counts.values().sum()))
}

/// Creates `topics` with the broker's defaults for partitions and replicas; those that exist stay as they are.
pub async fn create_topics(kafka: &Kafka, topics: &[&str], timeout: Duration) -> anyhow::Result<()> {
    let admin = AdminClient::from_config_and_context(&options::client(kafka), Quiet);
    let admin = admin.context("failed to make an admin client")?;
    let replicas = || TopicReplication::Fixed(BROKER_DEFAULT);
    let new: Vec<_> = topics.iter().map(|topic| NewTopic::new(topic, BROKER_DEFAULT, replicas())).collect();
    let limits = AdminOptions::new().request_timeout(Some(timeout)).operation_timeout(Some(timeout));
    let answers = admin.create_topics(&new, &limits).await.context("failed to create topics")?;
    for answer in answers {
        match answer {
            Ok(_) | Err((_, Code::TopicAlreadyExists)) => {}
            Err((topic, code)) => {
                return Err(code).with_context(|| format!("failed to create topic `{topic}`"));
            }
        }
    }
    Ok(())
}

/// A client that belongs to no group and creates no topic by asking about it.
fn asker(kafka: &Kafka) -> anyhow::Result<BaseConsumer<Quiet>> {
    let mut options = options::client(kafka);
    options.set("allow.auto.create.topics", "false");
    BaseConsumer::from_config_and_context(&options, Quiet).context("failed to make a Kafka client")
}

fn is_unknown(code: Code) -> bool {
    matches!(code, Code::UnknownTopic | Code::UnknownTopicOrPartition)
}

/// Logs like the others, and no louder.
struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, fac: &str, message: &str) {
        context::log(level, fac, message);
    }

    fn stats_raw(&self, _: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "Kafka reports an error");
    }
}

impl ConsumerContext for Quiet {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_gives_a_partition_the_same_place() {
        let counts = BTreeMap::from([("b".to_owned(), 3), ("a".to_owned(), 2)]);
        let owned =
            [("b", 0), ("a", 1), ("b", 2)].map(|(topic, number)| Partition::new(topic.into(), number));
        assert_eq!(places(&counts, &owned), Some((vec![2, 1, 4], 5)));
        assert_eq!(places(&counts, &[Partition::new("a".into(), 2)]), None, "it was added after the count");
    }
}
