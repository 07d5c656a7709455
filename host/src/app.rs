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
use crate::pipeline::control::Seat;
use crate::plugin::{Engine, Generation, Refusal};
use crate::shutdown;

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
    let generations = load(checked, &engine, &seats)?;
    if let Some(settings) = &config.admin {
        let admin = admin::start(settings, seats.clone())?;
        tracing::info!(address = %admin.address, "admin is listening");
    }
    runtime.block_on(async {
        let (trigger, signal) = shutdown::channel();
        let signals = signals::listen(trigger)?;
        probe(checked, &seats, &generations).await?;
        bring_up::work(&config.host, &seats, generations, signal).await;
        signals.abort();
        anyhow::Ok(())
    })?;
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
    seats: &[Arc<Seat>],
) -> anyhow::Result<Vec<Arc<Generation>>> {
    let (mut generations, mut problems) = (Vec::new(), Vec::new());
    for seat in seats {
        match load_one(engine, seat) {
            Ok(generation) => generations.push(generation),
            Err(refusal) => problems.extend(examine::problems(checked, &seat.plugin, &refusal)),
        }
    }
    unless_any(problems)?;
    Ok(generations)
}

fn load_one(engine: &Arc<Engine>, seat: &Arc<Seat>) -> Result<Arc<Generation>, Refusal> {
    let wasm = examine::read(&seat.plugin)?;
    let generation = Generation::load(engine, &seat.plugin, &wasm, seat.metrics.clone(), &Grants::default())?;
    seat.metrics.set_digest(generation.digest());
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
