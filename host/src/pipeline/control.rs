//! What others may see of a plugin at work, and ask of it.

mod budget;
mod lanes;
mod roster;
mod state;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use tokio::sync::watch;

use super::shared::Shared;
pub use super::swap::{Prepared, Workshop};
pub use super::tap::{Seen, Tap, Turn};
use super::versions::{Origin, Placed, Versions};
use crate::api;
use crate::config;
use crate::message::Position;
use crate::metrics::PluginMetrics;
use crate::plugin::{Generation, Kept};
pub use lanes::Which;
pub use roster::Roster;
pub use state::State;

/// Most changes that are remembered, to be shown.
const CHANGES_MAX: usize = 100;

/// Which message is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// The one that stands here.
    At(Position),
    /// The first unfinished one of this key.
    Key(Vec<u8>),
}

/// One plugin of the host, from outside: there from the host's start, whether or not the plugin works yet.
#[derive(Debug)]
pub struct Seat {
    /// The plugin's settings, as the config had them when the plugin was brought up. A reload may have changed the budget
    /// and the component's file since.
    pub plugin: Arc<config::Plugin>,
    /// Where the plugin is counted.
    pub metrics: Arc<PluginMetrics>,
    state: watch::Sender<State>,
    is_paused: AtomicBool,
    /// The budget in effect. It and the others below are held for a copy.
    budget: Mutex<config::Budget>,
    /// The budget of the config, which a reload changes.
    configured: Mutex<config::Budget>,
    changes: Mutex<VecDeque<api::Change>>,
    last_swap: Mutex<Option<api::Ended>>,
    /// The digest of the file that the config names.
    base: Mutex<String>,
    /// Held while a swap is under way.
    pub(super) swapping: Arc<tokio::sync::Mutex<()>>,
    workshop: OnceLock<Workshop>,
    versions: OnceLock<Arc<Versions>>,
    /// The way, once it runs. Weak, because the way holds its seat.
    way: OnceLock<Weak<Shared>>,
    tap: OnceLock<Arc<dyn Tap>>,
}

impl Seat {
    /// A plugin that is being started.
    pub fn new(plugin: Arc<config::Plugin>) -> Arc<Self> {
        let metrics = Arc::new(PluginMetrics::default());
        let state = watch::Sender::new(State::Starting { reason: "loading the component".to_owned() });
        let seat = Self {
            budget: Mutex::new(plugin.budget.clone()),
            configured: Mutex::new(plugin.budget.clone()),
            plugin,
            metrics,
            state,
            is_paused: AtomicBool::new(false),
            changes: Mutex::default(),
            last_swap: Mutex::default(),
            base: Mutex::default(),
            swapping: Arc::default(),
            workshop: OnceLock::new(),
            versions: OnceLock::new(),
            way: OnceLock::new(),
            tap: OnceLock::new(),
        };
        seat.show_budget(&seat.plugin.budget);
        Arc::new(seat)
    }

    /// Makes swaps possible.
    pub fn equip(&self, workshop: Workshop) {
        // A seat is equipped once; were it twice, the first equipment would stay.
        let _ = self.workshop.set(workshop);
    }

    /// Has `tap` see what becomes of each message from now on.
    pub fn watch(&self, tap: Arc<dyn Tap>) {
        // A seat is watched by one; a second would see nothing.
        let _ = self.tap.set(tap);
    }

    /// Who sees what becomes of each message, if anybody does.
    pub(super) fn tap(&self) -> Option<&dyn Tap> {
        self.tap.get().map(|tap| &**tap)
    }

    /// The component that messages go to from the start: the one in the config's file, whose digest is `base`, or the one
    /// that was `kept` in its place.
    pub fn install(&self, generation: Arc<Generation>, base: &str, kept: Option<&Kept>) {
        self.metrics.set_digest(generation.digest());
        self.set_base(base);
        let placed = match kept {
            None => Placed {
                generation,
                origin: Origin::Config,
                why: "the config names it".to_owned(),
                since: jiff::Timestamp::now(),
                by: "the config".to_owned(),
            },
            Some(kept) => Placed {
                generation,
                origin: Origin::Swapped,
                why: format!(
                    "{} put it in the place of the config's component, whose file has not changed since",
                    kept.by
                ),
                since: kept.at.parse().unwrap_or_else(|_| jiff::Timestamp::now()),
                by: kept.by.clone(),
            },
        };
        // A second component comes by a swap.
        let _ = self.versions.set(Arc::new(Versions::new(placed, self.plugin.canary)));
    }

    /// What the plugin is doing.
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// What the plugin is doing, in the API's word.
    pub fn word(&self) -> &'static str {
        match self.state() {
            State::Running if self.is_paused() => "paused",
            state => state.word(),
        }
    }

    /// Changes what the plugin is seen doing. Once it drains, it drains.
    pub fn say(&self, next: impl FnOnce(&State) -> Option<State>) {
        self.state.send_if_modified(|now| match next(now) {
            Some(state) if *now != State::Draining && *now != state => {
                *now = state;
                true
            }
            _ => false,
        });
    }

    /// Whether the plugin is paused.
    pub fn is_paused(&self) -> bool {
        self.is_paused.load(Ordering::Acquire)
    }

    /// Starts nothing more until `resume`; what is in flight is finished, batches that wait with it, and partitions are
    /// kept.
    pub fn pause(&self, by: &str) {
        if self.is_paused.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Some(way) = self.way() {
            way.decisions().batches.flush_all();
            way.take_back();
            way.look_up();
        }
        self.note("paused".to_owned(), by);
    }

    /// Goes on after `pause`.
    pub fn resume(&self, by: &str) {
        if !self.is_paused.swap(false, Ordering::AcqRel) {
            return;
        }
        self.look_up();
        self.note("resumed".to_owned(), by);
    }

    /// Which component runs, and why that one; none before there is one.
    pub fn component(&self) -> Option<api::Component> {
        self.versions().map(|versions| versions.component())
    }

    /// A new version that is being tried.
    pub fn trial(&self) -> Option<api::Trial> {
        self.versions()?.trial()
    }

    /// How the last swap ended.
    pub fn last_swap(&self) -> Option<api::Ended> {
        lock(&self.last_swap).clone()
    }

    /// Bytes of linear memory without which no version that handles messages starts.
    pub fn memory_min(&self) -> usize {
        let active = self.versions().map(|versions| versions.active());
        active.map_or(0, |active| active.all().map(|generation| generation.memory_min()).max().unwrap_or(0))
    }

    /// Who changed what, the newest first.
    pub fn changes(&self) -> Vec<api::Change> {
        lock(&self.changes).iter().rev().cloned().collect()
    }

    pub(super) fn set_last_swap(&self, ended: api::Ended) {
        *lock(&self.last_swap) = Some(ended);
    }

    /// The digest of the file that the config names.
    pub fn base(&self) -> String {
        lock(&self.base).clone()
    }

    pub(super) fn set_base(&self, digest: &str) {
        digest.clone_into(&mut lock(&self.base));
    }

    pub(super) fn workshop(&self) -> Result<&Workshop, NoSwap> {
        self.workshop.get().ok_or_else(|| NoSwap::Failed("nothing can be swapped here".to_owned()))
    }

    pub(super) fn versions(&self) -> Option<&Arc<Versions>> {
        self.versions.get()
    }

    pub(super) fn present_versions(&self) -> Result<&Arc<Versions>, NoSwap> {
        self.versions().ok_or_else(|| NoSwap::Busy("the plugin's component is still being loaded".to_owned()))
    }

    /// Whoever waits looks again.
    pub(super) fn look_up(&self) {
        if let Some(way) = self.way() {
            way.learn_how_to_take();
            way.look_up();
        }
    }

    pub(super) fn note(&self, what: String, by: &str) {
        tracing::info!(plugin = %self.plugin.name, by, what, "changed while running");
        let mut changes = lock(&self.changes);
        if changes.len() == CHANGES_MAX {
            changes.pop_front();
        }
        let at = jiff::Timestamp::now().to_string();
        changes.push_back(api::Change { at, by: by.to_owned(), what });
    }

    /// Brings up to date those gauges that nothing else keeps so.
    pub fn refresh(&self) {
        let Some(way) = self.way() else { return };
        let partitions: Vec<_> = way.decisions().buffer.partitions().cloned().collect();
        let oldest = partitions.iter().filter_map(|partition| partition.progress().oldest_unfinished()).min();
        let age_ms = oldest.map_or(0, |oldest| oldest.elapsed().as_millis() as u64);
        self.metrics.oldest_unfinished_ms.store(age_ms, Ordering::Relaxed);
        let held = partitions.iter().filter(|partition| partition.is_held()).count();
        self.metrics.held_partitions.store(held as u64, Ordering::Relaxed);
    }

    /// The way that works for this plugin from now on.
    pub(super) fn take_place(&self, way: &Arc<Shared>) {
        // A second way for one seat does not happen; were it to, the first stays the one that is shown.
        let _ = self.way.set(Arc::downgrade(way));
    }

    pub(super) fn way(&self) -> Option<Arc<Shared>> {
        self.way.get()?.upgrade()
    }
}

/// How a component is to come in.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct How {
    /// In percent, above 0 and at most 100: it handles this share of the lanes until it is promoted or rolled back.
    pub canary: Option<f64>,
    /// It sees copies of messages, and nothing that it does counts.
    pub shadow: bool,
    /// It may import what the old one does not.
    pub accept_new_imports: bool,
}

/// Why a version does not come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoSwap {
    /// Another swap is under way, or there is nothing to promote or to go back to.
    Busy(String),
    /// The component is to blame.
    Refused(String),
    /// The host is.
    Failed(String),
}

/// A poisoned lock is used as it is: what it guards is changed in one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
