//! One plugin's cluster: `[kafka]` overlaid with `[plugins.NAME.kafka]`.

use super::Kafka;
use super::file;
use super::librdkafka;
use super::names;
use super::problem::Report;
use super::tree::{At, Field};
use super::value::{List, Named, Options, Switch, Text};

/// The broker of a file that names none: Kafka's own port on this machine.
const BROKER_DEFAULT: &str = "localhost:9092";

/// A plugin's cluster, and its options with their places for further checks.
pub(super) struct Cluster {
    pub(super) kafka: Kafka,
    pub(super) options: Named<String>,
}

/// Checks what is wrong with `[kafka]` whoever uses it.
pub(super) fn check_shared(kafka: Option<&file::Kafka>, report: &mut Report) {
    if let Some(kafka) = kafka {
        check_table(kafka, report);
    }
}

/// Overlays `[kafka]` with a plugin's own: brokers and `create_topics` replace, options are merged key by key.
pub(super) fn overlay(shared: &Field<file::Kafka>, own: &Field<file::Kafka>, report: &mut Report) -> Cluster {
    let (shared, own) = (shared.value(), own.value());
    own.iter().for_each(|own| check_table(own, report));
    let layers = || [own, shared].into_iter().flatten();
    let brokers: Option<&List<Text>> = layers().find_map(|layer| layer.brokers.value());
    let mut options = Named::new();
    for Options(layer) in [shared, own].into_iter().flatten().filter_map(|layer| layer.options.value()) {
        options.extend(layer.iter().map(|(name, at)| (name.clone(), at.clone())));
    }
    librdkafka::check_together(&options, report);
    let create_topics = layers().find_map(|layer| layer.create_topics.value());
    Cluster {
        kafka: Kafka {
            brokers: match brokers {
                Some(brokers) => brokers.iter().map(|broker| broker.value.clone()).collect(),
                None => vec![BROKER_DEFAULT.to_owned()],
            },
            create_topics: create_topics.is_some_and(|Switch(create)| *create),
            options: options.iter().map(|(name, at)| (name.clone(), at.value.clone())).collect(),
        },
        options,
    }
}

fn check_table(kafka: &file::Kafka, report: &mut Report) {
    if let Some(At { value: brokers, place }) = kafka.brokers.given() {
        if brokers.is_empty() {
            report.problem(place, "expected at least one broker").hint("for example `[\"localhost:9092\"]`");
        }
        brokers.iter().for_each(|broker| names::check_broker(broker, report));
    }
    if let Some(Options(options)) = kafka.options.value() {
        librdkafka::check_names(options, report);
    }
}
