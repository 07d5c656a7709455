//! What is different between the config that holds and the one that is to take its place, and what it takes to get there.
//! Component files are not looked at here: what is in them may change while their names stay.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Batcher, Config, Plugin, failure};

/// What is different.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Every plugin that either config has.
    pub plugins: BTreeMap<Arc<str>, Change>,
    /// Tables that differ and that the running host cannot heed.
    pub ignored: Vec<&'static str>,
}

/// What becomes of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It goes on as it is.
    Same,
    /// It goes on with another budget.
    Budget,
    /// It ends and begins again, because of these keys.
    Anew(Vec<&'static str>),
    /// It was not there.
    Added,
    /// It is not there any more.
    Removed,
}

/// What is different in `new`.
pub fn diff(old: &Config, new: &Config) -> Difference {
    let by_name =
        |config: &Config, name: &str| config.plugins.iter().find(|plugin| *plugin.name == *name).cloned();
    let names = old.plugins.iter().chain(&new.plugins).map(|plugin| plugin.name.clone());
    let change = |name: Arc<str>| {
        let change = match (by_name(old, &name), by_name(new, &name)) {
            (Some(old), Some(new)) => change(&old, &new),
            (Some(_), None) => Change::Removed,
            (None, _) => Change::Added,
        };
        (name, change)
    };
    let mut ignored = Vec::new();
    if old.host != new.host {
        ignored.push("[host]");
    }
    if old.admin != new.admin {
        ignored.push("[admin]");
    }
    if old.telemetry != new.telemetry {
        ignored.push("[telemetry]");
    }
    Difference { plugins: names.map(change).collect(), ignored }
}

fn change(old: &Plugin, new: &Plugin) -> Change {
    let keys = keys(old, new);
    match () {
        () if !keys.is_empty() => Change::Anew(keys),
        () if old.budget != new.budget => Change::Budget,
        () => Change::Same,
    }
}

/// The keys that differ and that a plugin is brought up with.
fn keys(old: &Plugin, new: &Plugin) -> Vec<&'static str> {
    // Named one by one, so that whoever adds a key has to say here what becomes of it.
    let Plugin {
        name: _,
        // A file is followed by what is in it.
        component: _,
        topics,
        group,
        start,
        order,
        output,
        drain,
        config,
        instances,
        kafka,
        budget: _,
        retry,
        failure,
        canary,
        delivery,
        batchers: _,
        allow_produce: _,
    } = old;
    let compared = [
        ("topics", *topics == new.topics),
        ("group", *group == new.group),
        ("start", *start == new.start),
        ("order", *order == new.order),
        ("output", *output == new.output),
        ("drain", *drain == new.drain),
        ("config", *config == new.config),
        ("instances", *instances == new.instances),
        ("kafka", *kafka == new.kafka),
        ("retry", *retry == new.retry),
        ("failure", *failure == new.failure),
        ("canary", *canary == new.canary),
        ("delivery", *delivery == new.delivery),
        ("batchers", batchers(old) == batchers(new)),
        ("allow", produce(old).eq(produce(new))),
    ];
    compared.into_iter().filter(|(_, is_same)| !is_same).map(|(key, _)| key).collect()
}

/// The batchers that the file names; the one by itself goes with the buffer, which changes live.
fn batchers(plugin: &Plugin) -> &[Batcher] {
    match plugin.batchers.as_slice() {
        [one] if *one == failure::default_batcher(plugin.budget.buffer) => &[],
        named => named,
    }
}

/// The topics that outputs may go to beside `output`.
fn produce(plugin: &Plugin) -> impl Iterator<Item = &String> {
    plugin.allow_produce.iter().filter(|topic| Some(*topic) != plugin.output.as_ref())
}

#[cfg(test)]
mod tests;
