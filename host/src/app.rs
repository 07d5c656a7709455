//! Assembly: builds the rooms in order, and takes them down in order.

mod bring_up;
pub mod dead_letters;
pub mod demo;
pub mod examine;
mod signals;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use crate::admin;
use crate::capability::Grants;
use crate::config::check::Checked;
use crate::config::problem::{Problem, Problems};
use crate::pipeline::control::{Seat, Workshop};
use crate::plugin::{Engine, Generation, Refusal, Shelf, digest_of};
use crate::{shutdown, telemetry};

/// Runs the host until the first SIGINT or SIGTERM, then drains. The second signal ends the process at once.
///
/// # Errors
///
/// `Problems` when a component cannot be a plugin; anything else is the host's or the machine's fault. A broker that
/// cannot be reached is no error: it is waited for.
pub fn run(checked: &Checked) -> anyhow::Result<()> {
    let config = &checked.config;
    let runtime = runtime(config.host.threads)?;
    let seats: Vec<_> = config.plugins.iter().map(|plugin| Seat::new(Arc::new(plugin.clone()))).collect();
    let engine = Engine::new(&config.host, &config.plugins)?;
    let shelf = Shelf::new(&config.host.data);
    for seat in &seats {
        let (engine, shelf, runtime) = (engine.clone(), shelf.clone(), runtime.handle().clone());
        seat.equip(Workshop { engine, grants: Grants::default(), shelf, runtime });
    }
    let generations = load(checked, &engine, &shelf, &seats)?;
    if let Some(settings) = &config.admin {
        let admin = admin::start(settings, seats.clone())?;
        tracing::info!(address = %admin.address, "admin is listening");
    }
    let telemetry = config.telemetry.as_ref().map(telemetry::start).transpose()?;
    let (telemetry, spans) = telemetry.unzip();
    runtime.block_on(async {
        let (trigger, signal) = shutdown::channel();
        let signals = signals::listen(trigger)?;
        probe(checked, &seats, &generations).await?;
        drop(generations);
        bring_up::work(&config.host, &seats, spans, signal).await;
        signals.abort();
        anyhow::Ok(())
    })?;
    if let Some(telemetry) = telemetry {
        telemetry.finish();
    }
    // Whatever still runs has had its time; waiting for it here would have no bound.
    runtime.shutdown_timeout(Duration::from_millis(100));
    Ok(())
}

/// The runtime that plugins work on.
///
/// # Errors
///
/// When the machine refuses threads.
pub fn runtime(threads: usize) -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("worker")
        .enable_all()
        .build()
        .context("failed to start the runtime")
}

/// Loads every plugin's component; all that are refused are reported together.
fn load(
    checked: &Checked,
    engine: &Arc<Engine>,
    shelf: &Shelf,
    seats: &[Arc<Seat>],
) -> anyhow::Result<Vec<Arc<Generation>>> {
    let (mut generations, mut problems) = (Vec::new(), Vec::new());
    for seat in seats {
        match load_one(engine, shelf, seat) {
            Ok(generation) => generations.push(generation),
            Err(refusal) => problems.extend(examine::problems(checked, &seat.plugin, &refusal)),
        }
    }
    unless_any(problems)?;
    Ok(generations)
}

/// Loads the component that the config names, or the one that was put in its place as long as the config's file is what it
/// was then.
fn load_one(engine: &Arc<Engine>, shelf: &Shelf, seat: &Arc<Seat>) -> Result<Arc<Generation>, Refusal> {
    let (plugin, name) = (&seat.plugin, &*seat.plugin.name);
    let wasm = examine::read(plugin)?;
    let base = digest_of(&wasm);
    let load = |wasm: &[u8]| Generation::load(engine, plugin, wasm, seat.metrics.clone(), &Grants::default());
    let kept = shelf.record(name).component;
    if let Some(kept) = kept.filter(|kept| kept.instead_of == base) {
        let loaded = shelf.read(&kept.digest).and_then(|wasm| Ok(load(&wasm)?));
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
                tracing::error!(plugin = name, error, "the swapped-in component is gone: the config's runs");
            }
        }
    }
    let generation = load(&wasm)?;
    // What is not kept cannot be gone back to after a restart, and nothing else.
    if let Err(error) = shelf.keep(&wasm) {
        tracing::warn!(plugin = name, error = %format!("{error:#}"), "the component is not kept");
    }
    seat.install(generation.clone(), &base, None);
    Ok(generation)
}

/// Starts one instance of each component before anything is taken from Kafka.
async fn probe(
    checked: &Checked,
    seats: &[Arc<Seat>],
    generations: &[Arc<Generation>],
) -> anyhow::Result<()> {
    let mut problems = Vec::new();
    for (seat, generation) in seats.iter().zip(generations) {
        if let Err(refusal) = generation.probe().await {
            problems.extend(examine::problems(checked, &seat.plugin, &refusal));
        }
    }
    unless_any(problems)
}

fn unless_any(problems: Vec<Problem>) -> anyhow::Result<()> {
    if problems.is_empty() { Ok(()) } else { Err(Problems { problems, notes: Vec::new() }.sorted().into()) }
}
