//! What runs now, and how another config takes its place while it does: read and checked as a whole before anything
//! changes, then all of it or nothing.

mod prepare;
mod reload;
mod report;
mod room;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::bring_up::Common;
use super::crew::Crew;
use super::watch::Watch;
use crate::config::check::{Checked, Survey};
use crate::config::{self, Config};
use crate::pipeline::control::{Roster, Seat, State, Tap, Workshop};
use crate::plugin::Room;
use crate::shutdown::Signal;
use crate::spans::Queue;
pub(super) use report::{Reloaded, log};

/// Who asks for a reload when a file has changed.
const BY_WATCHING: &str = "a changed file";

/// How this host goes about it.
pub(super) struct Manner {
    /// Reads the config as it is now.
    pub(super) read: Arc<dyn Fn() -> Survey + Send + Sync>,
    /// A component that cannot run holds up its own plugin and no other.
    pub(super) each_alone: bool,
    /// Where spans go, if somewhere.
    pub(super) spans: Option<Queue>,
    /// Sees every message.
    pub(super) tap: Option<Arc<dyn Tap>>,
    /// Tells how a reload ended.
    pub(super) tell: Box<dyn Fn(&Reloaded) + Send>,
}

/// What runs now.
pub(super) struct Live {
    manner: Manner,
    workshop: Workshop,
    roster: Arc<Roster>,
    crew: Crew,
    /// The config that holds. Of its plugins only those are in it that have a component.
    now: Config,
    /// Component files that the config named when it was read last, whether or not it holds.
    named: Vec<PathBuf>,
}

impl Live {
    /// Nothing runs yet; every plugin of `config` has its seat.
    pub(super) fn new(config: &Config, workshop: Workshop, manner: Manner, end: Signal) -> Self {
        let common = Common { data: config.host.data.clone(), spans: manner.spans.clone() };
        let crew = Crew::new(common, end);
        let live = Self {
            roster: Roster::new(workshop.engine.room(), Vec::new()),
            manner,
            workshop,
            crew,
            now: Config { plugins: Vec::new(), ..config.clone() },
            named: named(config),
        };
        let plugins = config.plugins.iter();
        plugins.for_each(|plugin| live.roster.put(live.seat(plugin)));
        live
    }

    /// Who is there.
    pub(super) fn roster(&self) -> &Arc<Roster> {
        &self.roster
    }

    /// Brings up everything that `checked` has.
    ///
    /// # Errors
    ///
    /// `Problems` when a component cannot be a plugin, unless each stands alone.
    pub(super) async fn begin(&mut self, checked: Checked) -> anyhow::Result<Reloaded> {
        // The engine was made for it.
        let room = Room { workers: usize::MAX, memory: usize::MAX };
        let begun = self.change_to(checked, &self.file_name(), room).await;
        if begun.is_refused() { Err(begun.into_problems().into()) } else { Ok(begun) }
    }

    /// Goes by what `asks` and changed files say, until the end is asked for, and takes everything down. A reload that is
    /// under way then is left where it is.
    pub(super) async fn tend(mut self, mut end: Signal, mut asks: mpsc::Receiver<String>, mut watch: Watch) {
        loop {
            watch.look_after(self.files());
            let by = tokio::select! {
                () = end.wait() => break,
                Some(by) = asks.recv() => by,
                () = watch.changed() => BY_WATCHING.to_owned(),
            };
            tokio::select! {
                () = end.wait() => break,
                reloaded = self.reload(&by) => (self.manner.tell)(&reloaded),
            }
        }
        self.crew.end().await;
    }

    /// The files that matter: the config and every component.
    fn files(&self) -> Vec<PathBuf> {
        let mut files = vec![self.now.file.clone()];
        files.extend(named(&self.now));
        files.extend(self.named.iter().cloned());
        files.sort();
        files.dedup();
        files
    }

    /// A seat for a plugin that is not at work yet.
    fn seat(&self, plugin: &config::Plugin) -> Arc<Seat> {
        let seat = Seat::new(Arc::new(plugin.clone()));
        seat.equip(self.workshop.clone());
        if let Some(tap) = &self.manner.tap {
            seat.watch(tap.clone());
        }
        seat
    }

    /// Has a plugin wait for a component that can run.
    fn wait_for_component(&self, plugin: &config::Plugin, reason: String) {
        let seat = self.seat(plugin);
        seat.say(|_| Some(State::Starting { reason }));
        self.roster.put(seat);
    }

    /// What the config is called where it is said who changed something.
    fn file_name(&self) -> String {
        let name = self.now.file.file_name().unwrap_or(self.now.file.as_os_str());
        name.display().to_string()
    }
}

fn named(config: &Config) -> Vec<PathBuf> {
    config.plugins.iter().map(|plugin| plugin.component.clone()).collect()
}
