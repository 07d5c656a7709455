//! Where the dead letters are: which topic of which cluster, from what the user typed and what the config says.

use std::path::Path;

use super::{Usage, group};
use crate::config::check::{self, FILE_DEFAULT};
use crate::config::{self, Kafka};

/// What the user typed.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The config file, if one was named.
    pub config: Option<&'a Path>,
    /// The brokers; none leaves it to the config.
    pub brokers: &'a [String],
    /// The plugin whose dead letters are meant.
    pub plugin: Option<&'a str>,
    /// The dead-letter topic.
    pub topic: Option<&'a str>,
}

/// A dead-letter topic and its cluster.
#[derive(Clone, Debug)]
pub struct Place {
    /// The cluster.
    pub kafka: Kafka,
    /// The dead-letter topic.
    pub topic: String,
    /// The plugin that was named.
    pub plugin: Option<config::Plugin>,
    /// The settings of the host, if there is a config.
    pub host: Option<config::Host>,
}

impl Place {
    /// The consumer group whose committed offsets say what was replayed.
    pub fn group(&self) -> String {
        group(&self.topic)
    }
}

/// Finds the topic and its cluster. The config is read only when something is missing without it, or it was named.
///
/// # Errors
///
/// `Problems` when the config is wrong, `Usage` when what was typed does not tell one topic of one cluster.
pub fn locate(wanted: Wanted<'_>) -> anyhow::Result<Place> {
    let complete = !wanted.brokers.is_empty() && wanted.topic.is_some() && wanted.plugin.is_none();
    let config = if complete && wanted.config.is_none() {
        None
    } else {
        Some(check::survey(wanted.config.unwrap_or(Path::new(FILE_DEFAULT))).finish()?.config)
    };
    let plugins = config.as_ref().map_or(&[][..], |config| &config.plugins);
    let plugin = wanted.plugin.map(|name| find(plugins, name)).transpose()?;
    let candidates = plugin.map_or(plugins, std::slice::from_ref);
    let topic = match wanted.topic {
        Some(topic) => topic.to_owned(),
        None => only_topic(candidates)?,
    };
    Ok(Place {
        kafka: cluster(wanted, candidates)?,
        topic,
        plugin: plugin.cloned(),
        host: config.as_ref().map(|config| config.host.clone()),
    })
}

/// The topic that a plugin's dead letters go to.
fn dead_letter_topic(plugin: &config::Plugin) -> Option<String> {
    plugin.failure.topic.clone()
}

fn find<'a>(plugins: &'a [config::Plugin], name: &str) -> Result<&'a config::Plugin, Usage> {
    plugins.iter().find(|plugin| *plugin.name == *name).ok_or_else(|| {
        let names: Vec<&str> = plugins.iter().map(|plugin| &*plugin.name).collect();
        Usage(format!("there is no plugin `{name}` in the config; it has `{}`", names.join("`, `")))
    })
}

fn only_topic(plugins: &[config::Plugin]) -> Result<String, Usage> {
    let mut topics: Vec<String> = plugins.iter().filter_map(dead_letter_topic).collect();
    topics.sort();
    topics.dedup();
    match (topics.len(), plugins) {
        (1, _) => Ok(topics.remove(0)),
        (0, [plugin]) => Err(Usage(format!(
            "the plugin `{name}` has no dead-letter topic: set `topic` under [plugins.{name}.failure], or name one with \
             `--topic`",
            name = plugin.name
        ))),
        (0, _) => Err(Usage("no plugin has a dead-letter topic: name one with `--topic`".to_owned())),
        _ => Err(Usage(format!(
            "there are several dead-letter topics (`{}`): name a plugin, or one of them with `--topic`",
            topics.join("`, `")
        ))),
    }
}

fn cluster(wanted: Wanted<'_>, plugins: &[config::Plugin]) -> Result<Kafka, Usage> {
    let brokers = wanted.brokers.to_vec();
    let same = |pair: &[config::Plugin]| pair[0].kafka == pair[1].kafka;
    match plugins {
        [first, ..] if plugins.windows(2).all(same) => {
            let brokers = if brokers.is_empty() { first.kafka.brokers.clone() } else { brokers };
            Ok(Kafka { brokers, ..first.kafka.clone() })
        }
        [] => Ok(Kafka { brokers, create_topics: false, options: Default::default() }),
        _ => Err(Usage(
            "the plugins use several clusters, or one with several options: name a plugin".to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "[kafka]\nbrokers = [\"one:9092\"]\n[plugins.a]\ncomponent = \"a.wasm\"\ntopics = [\"t\"]\n\
                       [plugins.b]\ncomponent = \"b.wasm\"\ntopics = [\"u\"]\n";

    fn locate_in(text: &str, plugin: Option<&str>, brokers: &[&str]) -> Result<Place, String> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("gristmill.toml");
        std::fs::write(&file, text).unwrap();
        let brokers: Vec<String> = brokers.iter().map(|&broker| broker.to_owned()).collect();
        let wanted = Wanted { config: Some(&file), brokers: &brokers, plugin, topic: Some("dead") };
        locate(wanted).map_err(|error| error.to_string())
    }

    #[test]
    fn a_topic_and_brokers_need_no_config() {
        let brokers = ["one:9092".to_owned()];
        let wanted = Wanted { config: None, brokers: &brokers, plugin: None, topic: Some("dead") };
        let place = locate(wanted).unwrap();
        assert_eq!((place.topic.as_str(), place.kafka.brokers), ("dead", brokers.to_vec()));
    }

    #[test]
    fn the_cluster_is_the_plugins_and_brokers_replace_its_own() {
        assert_eq!(locate_in(TWO, None, &[]).unwrap().kafka.brokers, ["one:9092"]);
        assert_eq!(locate_in(TWO, Some("b"), &["two:9092"]).unwrap().kafka.brokers, ["two:9092"]);
        let apart = format!("{TWO}[plugins.b.kafka]\nbrokers = [\"two:9092\"]\n");
        assert_eq!(locate_in(&apart, Some("b"), &[]).unwrap().kafka.brokers, ["two:9092"]);
        assert!(locate_in(&apart, None, &[]).unwrap_err().contains("several clusters"));
        let error = locate_in(TWO, Some("c"), &[]).unwrap_err();
        assert_eq!(error, "there is no plugin `c` in the config; it has `a`, `b`");
    }
}
