//! The versions of a plugin's component: the one that messages go to, one that is tried on a share of the lanes, those
//! that still have batches to end, and the one before, to go back to.
//!
//! Workers go by `Active`, which is replaced as a whole. A lane's next message is taken by what is active then, and not
//! before its last one is finished: so a lane changes over between two messages, and never back.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::shadow::Shadow;
use super::trial::{Tally, Went, verdict};
use crate::ack::Delivery;
use crate::api;
use crate::config::Canary;
use crate::plugin::Generation;
use crate::run;

/// Parts that lanes are shared out in: a canary's percentage is kept to a hundredth of a percent.
const SHARES: u64 = 10_000;

/// Where a version comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The file that the config names.
    Config,
    /// It was put in the place of that one.
    Swapped,
}

/// A version, and how it came to be here.
#[derive(Clone)]
pub(super) struct Placed {
    pub(super) generation: Arc<Generation>,
    pub(super) origin: Origin,
    /// Why, in words.
    pub(super) why: String,
    pub(super) since: jiff::Timestamp,
    pub(super) by: String,
}

/// What workers go by.
pub(super) struct Active {
    /// Rises with each change.
    pub(super) number: u64,
    pub(super) stable: Arc<Generation>,
    pub(super) canary: Option<(Arc<Generation>, u64)>,
    pub(super) shadow: Option<Arc<Shadow>>,
    /// Versions that messages no longer go to, and that have batches.
    pub(super) leaving: Vec<Arc<Generation>>,
}

impl Active {
    /// The version that handles a message.
    pub(super) fn version_of(&self, delivery: &Delivery) -> &Arc<Generation> {
        match &self.canary {
            Some((canary, shares)) if !delivery.untried && share_of(delivery) < *shares => canary,
            _ => &self.stable,
        }
    }

    /// What a run of that version is marked with.
    pub(super) fn mark(&self, generation: &Generation) -> run::Version {
        let on_trial = self.canary.as_ref().is_some_and(|(canary, _)| canary.id == generation.id);
        let compared = self.canary.is_some() || self.shadow.is_some();
        run::Version { id: generation.id, on_trial, compared }
    }

    /// The version of this number, if it still handles something.
    pub(super) fn find(&self, id: u32) -> Option<&Arc<Generation>> {
        self.all().find(|generation| generation.id == id)
    }

    /// Those that messages go to.
    pub(super) fn taking(&self) -> impl Iterator<Item = &Arc<Generation>> {
        std::iter::once(&self.stable).chain(self.canary.as_ref().map(|(canary, _)| canary))
    }

    /// Those that handle something.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Generation>> {
        self.taking().chain(&self.leaving)
    }
}

/// Which part of all lanes the message's lane is in, the same on every host and after every restart.
fn share_of(delivery: &Delivery) -> u64 {
    let message = delivery.message();
    let mut hash = crc32fast::Hasher::new();
    hash.update(message.topic().as_bytes());
    match message.key() {
        Some(key) => hash.update(key),
        // A message without a key is a lane of its own.
        None => hash.update(
            &[message.partition().to_le_bytes().as_slice(), &message.offset().to_le_bytes()].concat(),
        ),
    }
    // The sum of similar keys is similar; mixed, it is spread evenly (the finalizer of SplitMix64).
    let mut mixed = u64::from(hash.finalize()).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (mixed ^ (mixed >> 31)) % SHARES
}

/// A new version beside the old one.
pub(super) struct Trial {
    pub(super) placed: Placed,
    pub(super) mode: Mode,
    old: Tally,
    new: Tally,
}

/// How a version is tried.
#[derive(Clone)]
pub(super) enum Mode {
    /// On this share of the lanes, in percent.
    Canary(f64),
    /// On copies.
    Shadow(Arc<Shadow>),
}

impl Trial {
    pub(super) fn new(placed: Placed, mode: Mode) -> Self {
        Self { placed, mode, old: Tally::new(), new: Tally::new() }
    }

    fn shown(&self, stable: &Generation) -> api::Trial {
        let (mode, percent, differences) = match &self.mode {
            Mode::Canary(percent) => ("canary", *percent, None),
            Mode::Shadow(shadow) => ("shadow", 100.0, Some(shadow.differences())),
        };
        api::Trial {
            mode: mode.to_owned(),
            percent,
            since: self.placed.since.to_string(),
            by: self.placed.by.clone(),
            old: self.old.shown(stable.digest()),
            new: self.new.shown(self.placed.generation.digest()),
            differences,
        }
    }
}

/// What is known of all versions.
pub(super) struct Known {
    pub(super) stable: Placed,
    /// What `rollback` returns to.
    pub(super) previous: Option<Placed>,
    pub(super) trial: Option<Trial>,
    leaving: Vec<Arc<Generation>>,
    number: u64,
}

/// The versions of one plugin.
pub(super) struct Versions {
    bounds: Canary,
    known: Mutex<Known>,
    active: watch::Sender<Arc<Active>>,
}

impl Versions {
    pub(super) fn new(stable: Placed, bounds: Canary) -> Self {
        let known = Known { stable, previous: None, trial: None, leaving: Vec::new(), number: 0 };
        let active = watch::Sender::new(Arc::new(known.active()));
        Self { bounds, known: Mutex::new(known), active }
    }

    /// Held for a few instructions, never across an await.
    pub(super) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What workers go by now.
    pub(super) fn active(&self) -> Arc<Active> {
        self.active.borrow().clone()
    }

    /// The number of what workers go by now.
    pub(super) fn number(&self) -> u64 {
        self.active.borrow().number
    }

    /// Learns of every change, and of `wake`.
    pub(super) fn watch(&self) -> watch::Receiver<Arc<Active>> {
        self.active.subscribe()
    }

    /// Has every worker look up.
    pub(super) fn wake(&self) {
        self.active.send_modify(|_| {});
    }

    /// Changes what is known, and with it what workers go by.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Known) -> T) -> T {
        let mut known = self.known();
        let changed = change(&mut known);
        known.number += 1;
        self.active.send_replace(Arc::new(known.active()));
        changed
    }

    /// A version that has nothing to do any more is let go, if messages no longer go to it.
    pub(super) fn let_go(&self, id: u32) {
        let is_leaving = self.active.borrow().leaving.iter().any(|generation| generation.id == id);
        if is_leaving {
            self.change(|known| known.leaving.retain(|generation| generation.id != id));
        }
    }

    /// Notes how messages of a version went while another is tried. Returns why that one has to go, if it has to.
    pub(super) fn note(
        &self,
        version: run::Version,
        went: impl Iterator<Item = (Went, u64)>,
    ) -> Option<String> {
        let mut known = self.known();
        let (stable, trial) = known.parts();
        let trial = trial.as_mut()?;
        if version.id == trial.placed.generation.id {
            went.for_each(|(went, nanos)| trial.new.note(went, nanos));
            return verdict(&trial.old, &trial.new, &self.bounds);
        }
        if version.id == stable.generation.id {
            went.for_each(|(went, nanos)| trial.old.note(went, nanos));
        }
        None
    }

    /// Notes how one message went in the version that is tried.
    pub(super) fn note_one(&self, id: u32, went: Went, nanos: u64) {
        let mut known = self.known();
        if let Some(trial) = known.trial.as_mut().filter(|trial| trial.placed.generation.id == id) {
            trial.new.note(went, nanos);
        }
    }

    /// As the API shows it.
    pub(super) fn component(&self) -> api::Component {
        let known = self.known();
        let source = match known.stable.origin {
            Origin::Config => "config",
            Origin::Swapped => "swapped",
        };
        api::Component {
            source: source.to_owned(),
            why: known.stable.why.clone(),
            since: known.stable.since.to_string(),
            previous: known.previous.as_ref().map(|placed| placed.generation.digest().to_owned()),
        }
    }

    /// As the API shows it.
    pub(super) fn trial(&self) -> Option<api::Trial> {
        let known = self.known();
        known.trial.as_ref().map(|trial| trial.shown(&known.stable.generation))
    }
}

impl Known {
    fn parts(&mut self) -> (&Placed, &mut Option<Trial>) {
        (&self.stable, &mut self.trial)
    }

    fn active(&self) -> Active {
        let (canary, shadow) = match self.trial.as_ref().map(|trial| (&trial.placed, &trial.mode)) {
            Some((placed, Mode::Canary(percent))) => {
                let shares = (percent * SHARES as f64 / 100.0).round() as u64;
                (Some((placed.generation.clone(), shares.max(1))), None)
            }
            Some((_, Mode::Shadow(shadow))) => (None, Some(shadow.clone())),
            None => (None, None),
        };
        let (number, stable) = (self.number, self.stable.generation.clone());
        Active { number, stable, canary, shadow, leaving: self.leaving.clone() }
    }

    /// `placed` takes over; what was there before is what `rollback` returns to. Returns what messages go to no longer.
    pub(super) fn take_over(&mut self, placed: Placed) -> Arc<Generation> {
        let before = std::mem::replace(&mut self.stable, placed);
        let gone = before.generation.clone();
        self.previous = Some(before);
        self.leaving.push(gone.clone());
        gone
    }

    /// What was tried goes.
    pub(super) fn end_trial(&mut self) -> Option<Trial> {
        let trial = self.trial.take()?;
        if let Mode::Canary(_) = trial.mode {
            self.leaving.push(trial.placed.generation.clone());
        }
        Some(trial)
    }
}

impl std::fmt::Debug for Versions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Versions").field("number", &self.number()).finish_non_exhaustive()
    }
}
