//! Where news come from: the host's events, the keyboard, signals. A thread each, which ends when nobody listens.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use ratatui::crossterm::event::{Event, KeyEventKind, read};
use tokio::signal::unix::{SignalKind, signal};

use super::News;
use crate::client::{Client, Error};

/// Time between two attempts to reach a host that is gone, and between two questions to one without events.
const PAUSE: Duration = Duration::from_secs(1);

/// Nobody listens any more.
struct Closed;

/// Tells how the plugins are once a second, for as long as there is somebody to tell: by the host's events, or by asking
/// where it has none. A host that is gone is tried again and again.
pub(super) fn events(client: Arc<Client>, to: Sender<News>) -> anyhow::Result<()> {
    spawn("events", move || {
        loop {
            let told = match follow(&client, &to) {
                Err(error) => to.send(News::Gone(error.to_string())),
                Ok(Closed) => return,
            };
            if told.is_err() {
                return;
            }
            thread::park_timeout(PAUSE);
        }
    })
}

fn follow(client: &Client, to: &Sender<News>) -> Result<Closed, Error> {
    if let Some(events) = client.events()? {
        for plugins in events {
            if to.send(News::Plugins(plugins?)).is_err() {
                return Ok(Closed);
            }
        }
    }
    while to.send(News::Plugins(client.plugins()?)).is_ok() {
        thread::park_timeout(PAUSE);
    }
    Ok(Closed)
}

/// Tells which keys are pressed.
pub(super) fn keys(to: Sender<News>) -> anyhow::Result<()> {
    spawn("keys", move || {
        loop {
            let news = match read() {
                Ok(Event::Key(key)) if key.kind == KeyEventKind::Press => News::Key(key),
                Ok(Event::Resize(..)) => News::Resized,
                Ok(_) => continue,
                Err(_) => News::End,
            };
            let is_end = matches!(news, News::End);
            if to.send(news).is_err() || is_end {
                return;
            }
        }
    })
}

/// Tells of the first signal that asks for the end, so that the terminal is left as it was found.
pub(super) fn signals(to: Sender<News>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listen = |kind| {
        let _inside = runtime.enter();
        signal(kind).context("failed to listen for signals")
    };
    let mut hangup = listen(SignalKind::hangup())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    spawn("signals", move || {
        runtime.block_on(async {
            tokio::select! {
                _ = hangup.recv() => {}
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        // Without anybody to tell, the end is near anyway.
        let _ = to.send(News::End);
    })
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> anyhow::Result<()> {
    thread::Builder::new().name(name.to_owned()).spawn(work).context("failed to start a thread")?;
    Ok(())
}
