//! Assembly: builds the rooms in order, and takes them down in order.

mod bring_up;
mod crew;
pub mod dead_letters;
pub mod demo;
pub mod examine;
mod live;
mod load;
mod signals;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::mpsc;

use crate::admin;
use crate::capability::Grants;
use crate::config;
use crate::config::check::{self, Checked};
use crate::pipeline::control::Workshop;
use crate::plugin::{Engine, Shelf};
use crate::{shutdown, telemetry};
use live::{Live, Manner};
use watch::Watch;

/// Reloads that may wait while one is under way; further signals say nothing that those do not.
const RELOADS_WAITING_MAX: usize = 1;

/// Runs the host until the first SIGINT or SIGTERM, then drains. The second signal ends the process at once. SIGHUP has it
/// read the config again, and with `watch` changes of the config and of components do.
///
/// # Errors
///
/// `Problems` when a component cannot be a plugin; anything else is the host's or the machine's fault. A broker that
/// cannot be reached is no error: it is waited for.
pub fn run(checked: Checked, watch: bool) -> anyhow::Result<()> {
    let config = &checked.config;
    let telemetry = config.telemetry.as_ref().map(telemetry::start).transpose()?;
    let (telemetry, spans) = telemetry.unzip();
    let file = config.file.clone();
    let manner = Manner {
        read: Arc::new(move || check::survey(&file)),
        each_alone: false,
        spans,
        tap: None,
        tell: Box::new(live::log),
    };
    let runtime = runtime(config.host.threads)?;
    let (trigger, end) = shutdown::channel();
    let workshop = workshop(config, runtime.handle().clone())?;
    let mut live = Live::new(config, workshop, manner, end.clone());
    if let Some(settings) = &config.admin {
        let admin = admin::start(settings, live.roster().clone())?;
        tracing::info!(address = %admin.address, "admin is listening");
    }
    runtime.block_on(async {
        let signals = signals::listen(trigger)?;
        let (ask, asks) = mpsc::channel(RELOADS_WAITING_MAX);
        let reloads = signals::listen_for_reloads(ask)?;
        let mut stopped = end.clone();
        tokio::select! {
            () = stopped.wait() => return Ok(()),
            begun = live.begin(checked) => begun?,
        };
        live.tend(end, asks, if watch { Watch::files() } else { Watch::nothing() }).await;
        reloads.abort();
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

/// What components are made with.
fn workshop(config: &config::Config, runtime: tokio::runtime::Handle) -> anyhow::Result<Workshop> {
    let engine = Engine::new(&config.host, &config.plugins)?;
    Ok(Workshop { engine, grants: Grants::default(), shelf: Shelf::new(&config.host.data), runtime })
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
