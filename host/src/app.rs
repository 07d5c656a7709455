//! Assembly: builds the rooms in order, and takes them down in order.

mod bring_up;
mod signals;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use crate::admin;
use crate::capability::Grants;
use crate::config::{self, Config};
use crate::pipeline::control::Seat;
use crate::plugin::engine::Engine;
use crate::plugin::generation::Generation;
use crate::shutdown;

/// Components that cannot be plugins: the plugin's name, its component's file, and what is wrong with it.
#[derive(Debug)]
pub struct Refused(pub Vec<(String, String, String)>);

impl std::error::Error for Refused {}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, (plugin, file, refusal)) in self.0.iter().enumerate() {
            let line_break = if index > 0 { "\n" } else { "" };
            write!(f, "{line_break}{file}: the component of plugin `{plugin}` is refused: {refusal}")?;
        }
        Ok(())
    }
}

/// Runs the host until the first SIGINT or SIGTERM, then drains. The second signal ends the process at once.
///
/// # Errors
///
/// `Refused` when a component cannot be a plugin; anything else is the host's or the machine's fault. A broker that
/// cannot be reached is no error: it is waited for.
pub fn run(config: &Config) -> anyhow::Result<()> {
    let runtime = runtime(config.host.threads)?;
    let seats: Vec<_> = config.plugins.iter().map(|plugin| Seat::new(Arc::new(plugin.clone()))).collect();
    let engine = Engine::new(&config.host, &config.plugins)?;
    let generations = load(&engine, &seats)?;
    if let Some(settings) = &config.admin {
        let admin = admin::start(settings, seats.clone())?;
        tracing::info!(address = %admin.address, "admin is listening");
    }
    runtime.block_on(async {
        let (trigger, signal) = shutdown::channel();
        let signals = signals::listen(trigger)?;
        probe(&seats, &generations).await?;
        bring_up::work(&seats, generations, signal).await;
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
///
/// # Errors
///
/// `Refused`.
fn load(engine: &Arc<Engine>, seats: &[Arc<Seat>]) -> anyhow::Result<Vec<Arc<Generation>>> {
    let (mut generations, mut refused) = (Vec::new(), Vec::new());
    for seat in seats {
        match load_one(engine, seat) {
            Ok(generation) => generations.push(generation),
            Err(refusal) => refused.push(refuse(&seat.plugin, &refusal)),
        }
    }
    if refused.is_empty() { Ok(generations) } else { Err(Refused(refused).into()) }
}

fn load_one(engine: &Arc<Engine>, seat: &Arc<Seat>) -> anyhow::Result<Arc<Generation>> {
    let wasm = read_component(&seat.plugin)?;
    Ok(Generation::load(engine, &seat.plugin, &wasm, seat.metrics.clone(), &Grants::default())?)
}

fn refuse(plugin: &config::Plugin, refusal: &anyhow::Error) -> (String, String, String) {
    (plugin.name.to_string(), plugin.component.display().to_string(), format!("{refusal:#}"))
}

/// Starts one instance of each component before anything is taken from Kafka.
async fn probe(seats: &[Arc<Seat>], generations: &[Arc<Generation>]) -> anyhow::Result<()> {
    let mut refused = Vec::new();
    for (seat, generation) in seats.iter().zip(generations) {
        if let Err(refusal) = generation.probe().await {
            refused.push(refuse(&seat.plugin, &refusal.into()));
        }
    }
    if refused.is_empty() { Ok(()) } else { Err(Refused(refused).into()) }
}

/// Reads the file of a plugin's component.
///
/// # Errors
///
/// When the file cannot be read, with what to do.
pub fn read_component(plugin: &config::Plugin) -> anyhow::Result<Vec<u8>> {
    let file = plugin.component.display();
    std::fs::read(&plugin.component).with_context(|| {
        format!("failed to read `{file}`; `component` is a path relative to gristmill.toml: build the plugin, or mend the path")
    })
}
