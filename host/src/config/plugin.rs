//! One plugin: `[plugins.NAME]` and the tables below it.

use std::path::Path;

use super::check::within;
use super::file;
use super::kafka::{self, Cluster};
use super::limits;
use super::problem::{Place, Report};
use super::tree::{At, Field};
use super::value::{List, Named, Text};
use super::{Delivery, Instances, Order, Plugin, Start, budget, failure, later, librdkafka, names};

/// Checks one plugin; what is wrong has been reported, and stands as its default in what is returned.
pub(super) fn check(
    name: &str,
    written: &At<file::Plugin>,
    shared: &Field<file::Kafka>,
    folder: &Path,
    report: &mut Report,
) -> Plugin {
    let At { value: written, place } = written;
    check_name(name, place, report);
    let Cluster { kafka, options } = kafka::overlay(shared, &written.kafka, report);
    let budget = budget::check(written.budget.value(), report);
    let plugin = Plugin {
        name: name.into(),
        component: folder.join(component(written, place, report)),
        topics: topics(written, place, report),
        group: group(name, &written.group, report),
        start: written.start.value().copied().unwrap_or(Start::Earliest),
        order: written.order.value().copied().unwrap_or(Order::Key),
        output: output(written, report),
        drain: within(Some(&written.drain), &limits::DRAIN, report).0,
        config: written
            .config
            .value()
            .into_iter()
            .flatten()
            .map(|(key, at)| (key.clone(), at.value.clone()))
            .collect(),
        instances: written.instances.value().copied().unwrap_or(Instances::Reused),
        kafka,
        retry: failure::retry(written.retry.value(), report),
        failure: failure::failure(written, report),
        canary: failure::canary(written.canary.value(), report),
        delivery: written.delivery.value().copied().unwrap_or(Delivery::AtLeastOnce),
        batchers: failure::batchers(written, budget.buffer, report),
        budget,
        allow_produce: allow_produce(written, report),
    };
    let scope = written.budget.value().and_then(|budget| budget.scope.given());
    budget::check_scope(scope, &plugin.topics, report);
    check_drain(&written.drain, &plugin, &options, report);
    later::check(written, report);
    plugin
}

/// Two plugins of one group that share a topic would each get a part of it, which nobody wants of two plugins.
pub(super) fn check_groups(plugins: &[Plugin], written: &Named<file::Plugin>, report: &mut Report) {
    for (index, plugin) in plugins.iter().enumerate() {
        for other in &plugins[..index] {
            let shared = plugin.topics.iter().find(|topic| other.topics.contains(topic));
            let (Some(topic), true) = (shared, plugin.group == other.group && same_cluster(plugin, other))
            else {
                continue;
            };
            let Some(At { value, place }) = written.get(&*plugin.name) else { continue };
            let place = value.group.given().map_or(place, |group| &group.place);
            report
                .problem(place, format!("the plugin `{}` has the same group and topic `{topic}`", other.name))
                .found(format!("`\"{}\"`", plugin.group))
                .hint("give each plugin its own group, or they get only a part of the topic each");
        }
    }
}

fn same_cluster(one: &Plugin, other: &Plugin) -> bool {
    one.kafka.brokers.iter().any(|broker| other.kafka.brokers.contains(broker))
}

fn check_name(name: &str, place: &Place, report: &mut Report) {
    if !names::is_plugin(name) {
        let most = limits::PLUGIN_NAME_LENGTH_MAX;
        report
            .problem(place, format!("a plugin's name has 1 to {most} letters, digits, `-` and `_`"))
            .found(format!("`{name}`"));
    }
}

fn component(written: &file::Plugin, plugin: &Place, report: &mut Report) -> String {
    if written.component.is_absent() {
        report.problem(plugin, "`component` is missing").hint("add `component = \"plugin.wasm\"`");
    }
    let Some(At { value, place }) = written.component.given() else { return String::new() };
    if value.is_empty() {
        report.problem(place, "expected the file of a component").found("`\"\"`");
    }
    value.clone()
}

fn topics(written: &file::Plugin, plugin: &Place, report: &mut Report) -> Vec<String> {
    if written.topics.is_absent() {
        report.problem(plugin, "`topics` is missing").hint("add `topics = [\"my-topic\"]`");
    }
    let Some(At { value: topics, place }) = written.topics.given() else { return Vec::new() };
    if topics.is_empty() {
        report.problem(place, "expected at least one topic").hint("for example `[\"my-topic\"]`");
    }
    topics.iter().for_each(|topic| names::check_subscription(topic, report));
    check_twice(topics, report);
    topics.iter().map(|topic| topic.value.clone()).collect()
}

fn check_twice(topics: &List<Text>, report: &mut Report) {
    for (index, At { value, place }) in topics.iter().enumerate() {
        if topics[..index].iter().any(|before| before.value == *value) {
            report.problem(place, format!("the topic `{value}` stands here twice")).hint("remove one");
        }
    }
}

fn group(name: &str, written: &Field<Text>, report: &mut Report) -> String {
    let Some(group) = written.given() else { return format!("gristmill-{name}") };
    names::check_group(group, report);
    group.value.clone()
}

fn output(written: &file::Plugin, report: &mut Report) -> Option<String> {
    let output = written.output.given()?;
    names::check_topic(output, report);
    if is_input(&output.value, written) {
        report
            .problem(
                &output.place,
                "`output` is one of this plugin's `topics`: it would handle its own outputs for ever",
            )
            .found(format!("`\"{}\"`", output.value))
            .hint("write outputs to another topic");
    }
    Some(output.value.clone())
}

/// Whether the plugin reads the topic, as far as that can be seen without knowing what an expression matches.
pub(super) fn is_input(topic: &str, written: &file::Plugin) -> bool {
    written.topics.value().into_iter().flatten().any(|input| input.value == topic)
}

fn allow_produce(written: &file::Plugin, report: &mut Report) -> Vec<String> {
    let produce = written.allow.value().and_then(|allow| allow.produce.value());
    let mut topics: Vec<String> = written.output.value().cloned().into_iter().collect();
    for topic in produce.into_iter().flatten() {
        names::check_topic(topic, report);
        if !topics.contains(&topic.value) {
            topics.push(topic.value.clone());
        }
    }
    topics
}

fn check_drain(drain: &Field<limits::Time>, plugin: &Plugin, options: &Named<String>, report: &mut Report) {
    let most = limits::drain_max(librdkafka::max_poll_interval(options));
    if plugin.drain <= most || !limits::DRAIN.contains(&limits::Time(plugin.drain)) {
        return;
    }
    let option = options.get("max.poll.interval.ms").map(|at| &at.place);
    let Some(place) = drain.given().map(|drain| &drain.place).or(option) else { return };
    report
        .problem(place, format!("`drain` may be at most `{}` here", limits::Time(most)))
        .found(format!("`{}`", limits::Time(plugin.drain)))
        .hint("draining has to end well within `max.poll.interval.ms`: shorten one or lengthen the other");
}
