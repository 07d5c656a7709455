//! Composes a plugin with the trampoline: one component that takes a run and loops over the plugin's unmodified
//! `handle-message` inside the sandbox.

use std::sync::OnceLock;

use anyhow::Context;
use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, SourceMap};

use super::inspect::{FAILURE_HANDLER, HANDLER, LIFECYCLE};

const TRAMPOLINE: &str = include_str!("trampoline.wat");
const RUN_WIT: &str = include_str!("run.wit");
const TYPES_WIT: &str = include_str!("../../../wit/types.wit");
const HANDLER_WIT: &str = include_str!("../../../wit/handler.wit");

/// The interface that the composed component exports.
const RUNS: &str = "gristmill:run/runs";

/// `component` behind the trampoline. What else the component exports of ours is exported from the same instance;
/// what it imports is imported.
pub(super) fn compose(component: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut graph = CompositionGraph::new();
    let plugin = Package::from_bytes("gristmill:composed-plugin", None, component, graph.types_mut())?;
    let plugin = graph.register_package(plugin)?;
    let trampoline =
        Package::from_bytes("gristmill:composed-trampoline", None, trampoline()?, graph.types_mut())?;
    let trampoline = graph.register_package(trampoline)?;

    let plugin_instance = graph.instantiate(plugin);
    let trampoline_instance = graph.instantiate(trampoline);
    let handler = graph.alias_instance_export(plugin_instance, HANDLER)?;
    graph.set_instantiation_argument(trampoline_instance, HANDLER, handler)?;
    let runs = graph.alias_instance_export(trampoline_instance, RUNS)?;
    graph.export(runs, RUNS)?;

    let exported = |name: &str| graph.types()[graph[plugin].ty()].exports.contains_key(name);
    let besides = [LIFECYCLE, FAILURE_HANDLER].into_iter().filter(|name| exported(name)).collect::<Vec<_>>();
    for name in besides {
        let export = graph.alias_instance_export(plugin_instance, name)?;
        graph.export(export, name)?;
    }
    let options = EncodeOptions { validate: false, ..EncodeOptions::default() };
    Ok(graph.encode(options)?)
}

/// What the cache must tell apart: composed code of another trampoline is not the same code.
pub(super) fn trampoline_version() -> [&'static str; 2] {
    [TRAMPOLINE, RUN_WIT]
}

/// The trampoline as a component; encoded once.
fn trampoline() -> anyhow::Result<Vec<u8>> {
    static ENCODED: OnceLock<Vec<u8>> = OnceLock::new();
    if let Some(encoded) = ENCODED.get() {
        return Ok(encoded.clone());
    }
    let encoded = encode_trampoline().context("failed to encode the trampoline")?;
    Ok(ENCODED.get_or_init(|| encoded).clone())
}

fn encode_trampoline() -> anyhow::Result<Vec<u8>> {
    let mut resolve = Resolve::default();
    let mut ours = SourceMap::new();
    ours.push_str("types.wit", TYPES_WIT);
    ours.push_str("handler.wit", HANDLER_WIT);
    resolve.push_group(ours.parse().map_err(|(_, error)| anyhow::anyhow!("{error}"))?)?;
    let run = resolve.push_str("run.wit", RUN_WIT)?;
    let world = resolve.select_world(&[run], Some("trampoline"))?;
    let mut module = wat::parse_str(TRAMPOLINE)?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    ComponentEncoder::default().module(&module)?.validate(true).encode()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trampoline_is_a_component() {
        assert!(encode_trampoline().is_ok_and(|encoded| !encoded.is_empty()));
    }
}
