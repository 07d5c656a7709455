//! Components from files to what can run, where a thread may be held: compiling takes up to seconds.

use std::sync::Arc;

use super::examine;
use crate::config;
use crate::pipeline::control::{Seat, Workshop};
use crate::plugin::{Generation, Refusal, digest_of};

/// What the file of a component holds now.
pub(super) struct File {
    pub(super) wasm: Vec<u8>,
    pub(super) digest: String,
}

/// Reads the component's file; none if it holds what `seat` knows already.
pub(super) fn read_news(plugin: &config::Plugin, seat: &Seat) -> Result<Option<File>, Refusal> {
    let wasm = examine::read(plugin)?;
    let digest = digest_of(&wasm);
    Ok((digest != seat.base()).then_some(File { wasm, digest }))
}

/// Loads a component for a plugin that works already.
pub(super) fn load_news(
    workshop: &Workshop,
    plugin: &config::Plugin,
    seat: &Seat,
    file: &File,
) -> Result<Arc<Generation>, Refusal> {
    Generation::load(&workshop.engine, plugin, &file.wasm, seat.metrics.clone(), &workshop.grants)
}

/// Loads the component that the config names, or the one that was put in its place as long as the config's file is what it
/// was then, and installs it.
pub(super) fn install(workshop: &Workshop, seat: &Seat) -> Result<Arc<Generation>, Refusal> {
    let (plugin, shelf, name) = (&seat.plugin, &workshop.shelf, &*seat.plugin.name);
    let wasm = examine::read(plugin)?;
    let base = digest_of(&wasm);
    let load = |wasm: &[u8]| {
        Generation::load(&workshop.engine, plugin, wasm, seat.metrics.clone(), &workshop.grants)
    };
    if let Some(kept) = shelf.record(name).component {
        let loaded = match kept.instead_of == base {
            true => shelf.read(&kept.digest).and_then(|wasm| Ok(load(&wasm)?)),
            false => Err(anyhow::anyhow!("the config's file has changed since it was put in its place")),
        };
        match loaded {
            Ok(generation) => {
                tracing::info!(
                    plugin = name,
                    digest = kept.digest,
                    by = kept.by,
                    "a swapped-in component runs"
                );
                seat.install(generation.clone(), &base, Some(&kept));
                return Ok(generation);
            }
            Err(error) => {
                let error = format!("{error:#}");
                tracing::warn!(plugin = name, error, "the swapped-in component is gone: the config's runs");
            }
        }
    }
    let generation = load(&wasm)?;
    // What is not kept cannot be gone back to after a restart, and nothing else.
    if let Err(error) = shelf.keep(&wasm) {
        tracing::warn!(plugin = name, error = %format!("{error:#}"), "the component is not kept");
    }
    if let Err(error) = shelf.change(name, |record| record.component = None) {
        tracing::warn!(plugin = name, error = %format!("{error:#}"), "what was swapped in before is not forgotten");
    }
    seat.install(generation.clone(), &base, None);
    Ok(generation)
}
