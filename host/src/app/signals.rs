//! SIGINT and SIGTERM: the first asks for the end, the second is the end. SIGHUP asks for the config to be read again.

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::shutdown::Trigger;

/// Exit code of a process that was told twice: what is in flight is abandoned, and comes again.
const TOLD_TWICE: i32 = 1;

/// Listens from now on.
///
/// # Errors
///
/// When the system refuses a signal handler.
pub(super) fn listen(trigger: Trigger) -> anyhow::Result<JoinHandle<()>> {
    let mut interrupt = signal(SignalKind::interrupt()).context("failed to listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("failed to listen for SIGTERM")?;
    Ok(tokio::spawn(async move {
        either(&mut interrupt, &mut terminate).await;
        tracing::info!("draining: what is in flight is finished, a second signal ends at once");
        trigger.pull();
        either(&mut interrupt, &mut terminate).await;
        tracing::warn!("ending at once: what is in flight will be handled again");
        std::process::exit(TOLD_TWICE);
    }))
}

/// Asks for a reload at every SIGHUP from now on.
///
/// # Errors
///
/// When the system refuses a signal handler.
pub(super) fn listen_for_reloads(asks: mpsc::Sender<String>) -> anyhow::Result<JoinHandle<()>> {
    let mut hangup = signal(SignalKind::hangup()).context("failed to listen for SIGHUP")?;
    Ok(tokio::spawn(async move {
        // Nobody listens any more when the host ends.
        while hangup.recv().await.is_some() && asks.send("SIGHUP".to_owned()).await.is_ok() {}
    }))
}

async fn either(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
