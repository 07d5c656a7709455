//! Swapping a plugin's component while messages flow. The new version is loaded, checked, started and given instances
//! while the old one works; only then do messages go to it. Whatever is wrong with it, the old one is untouched.

use std::sync::Arc;

use tokio::sync::OwnedMutexGuard;

use super::control::{How, NoSwap, Seat};
use super::shadow::{self, Shadow};
use super::versions::{Mode, Origin, Placed, Trial, Versions};
use crate::api::{Ended, Swapped};
use crate::capability::Grants;
use crate::config;
use crate::metrics::PluginMetrics;
use crate::outcome::SwapResult;
use crate::plugin::{Engine, Generation, Kept, Shelf, digest_of};

/// Who it is that rolls a version back which does worse than the one before.
const BY_ITSELF: &str = "gristmill";

/// What new versions are made with.
#[derive(Clone)]
pub struct Workshop {
    /// The engine that runs them.
    pub engine: Arc<Engine>,
    /// What the plugin is granted.
    pub grants: Grants,
    /// Where components are kept that were put in the place of the config's.
    pub shelf: Shelf,
    /// Where the work is done.
    pub runtime: tokio::runtime::Handle,
}

/// A component of the config's file that may take over at once. While it lives, no other swap of its plugin begins.
pub struct Prepared {
    placed: Placed,
    _turn: OwnedMutexGuard<()>,
}

impl Prepared {
    /// Its digest.
    pub fn digest(&self) -> &str {
        self.placed.generation.digest()
    }

    /// It does not take over after all.
    pub async fn abandon(self) {
        self.placed.generation.cool().await;
    }
}

/// What is wanted of a swap, by whom, and why.
struct Wish {
    how: How,
    why: String,
    by: String,
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared").field("generation", &self.placed.generation).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Workshop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workshop").field("shelf", &self.shelf).finish_non_exhaustive()
    }
}

impl Seat {
    /// Puts the component in `wasm` in the place of the one that runs, as far as `how` says; returns when new messages
    /// go to it. Whatever is wrong with it, the old one is untouched. Dropping the future does not end the swap.
    ///
    /// # Errors
    ///
    /// Why it does not come in.
    pub async fn swap(self: &Arc<Self>, wasm: Vec<u8>, how: How, by: &str) -> Result<Swapped, NoSwap> {
        let why = format!("{by} put it in the place of the config's component");
        self.work_at(wasm, Wish { how, why, by: by.to_owned() }).await
    }

    /// Prepares the component of the file that the config names, loaded as `generation` from `wasm` and started on trial, to
    /// take over whatever it imports: who writes the file has said yes.
    ///
    /// # Errors
    ///
    /// When a version is being tried, or the component cannot be kept.
    pub async fn prepare_file(
        self: &Arc<Self>,
        generation: Arc<Generation>,
        wasm: &[u8],
        by: &str,
    ) -> Result<Prepared, NoSwap> {
        let versions = self.present_versions()?;
        // A swap that is under way ends soon, and whoever writes a file does not ask again.
        let turn = self.swapping.clone().lock_owned().await;
        unless_on_trial(versions)?;
        self.keep_component(wasm)?;
        generation.warm(self.budget().concurrency).await;
        let placed = Placed {
            generation,
            origin: Origin::Config,
            why: "the file that the config names has changed".to_owned(),
            since: jiff::Timestamp::now(),
            by: by.to_owned(),
        };
        Ok(Prepared { placed, _turn: turn })
    }

    /// The component of the file that the config names takes over.
    pub fn follow_file(&self, prepared: Prepared) {
        let Prepared { placed, _turn } = prepared;
        let Some(versions) = self.versions() else { return };
        let (digest, by) = (placed.generation.digest().to_owned(), placed.by.clone());
        // It was loaded for the budget of the config.
        placed.generation.allow(&self.budget());
        self.set_base(&digest);
        self.note(format!("swapped to {digest}: {}", placed.why), &by);
        self.take_over(versions, placed, SwapResult::Done, &by);
    }

    /// The component that was to come in is refused. Saying so again changes nothing.
    pub fn refuse(&self, digest: &str, reason: String, by: &str) {
        let is_known = |last: &Ended| last.digest == digest && last.reason.as_deref() == Some(&reason);
        if self.last_swap().as_ref().is_some_and(is_known) {
            return;
        }
        self.note(format!("refused {digest}: {reason}"), by);
        self.has_ended(SwapResult::Refused, digest.to_owned(), Some(reason), by);
    }

    /// The version that is being tried takes over.
    ///
    /// # Errors
    ///
    /// When there is none, or another swap is under way.
    pub async fn promote(self: &Arc<Self>, by: &str) -> Result<Swapped, NoSwap> {
        let (versions, turn) = (self.present_versions()?, self.take_turn()?);
        let tried = versions.known().trial.as_ref().map(|trial| {
            (matches!(trial.mode, Mode::Shadow(_)), trial.placed.generation.digest().to_owned())
        });
        let nothing = || NoSwap::Busy("no version is being tried that could be promoted".to_owned());
        let (is_shadow, digest) = tried.ok_or_else(nothing)?;
        if is_shadow {
            // What saw copies only is counted elsewhere: it is made anew.
            let wasm =
                self.workshop()?.shelf.read(&digest).map_err(|error| NoSwap::Failed(format!("{error:#}")))?;
            drop(turn);
            self.end_trial(SwapResult::Done, None, by);
            let how = How { accept_new_imports: true, ..How::default() };
            return self
                .swap(wasm, how, by)
                .await
                .map(|swapped| Swapped { result: "promoted".to_owned(), ..swapped });
        }
        let placed = versions.known().trial.take().ok_or_else(nothing)?.placed;
        self.take_over(versions, placed, SwapResult::Done, by);
        self.note(format!("promoted {digest}"), by);
        Ok(swapped("promoted", digest))
    }

    /// Ends a trial; without one, returns to the version before.
    ///
    /// # Errors
    ///
    /// When there is nothing to go back to, or another swap is under way.
    pub async fn rollback(self: &Arc<Self>, by: &str) -> Result<Swapped, NoSwap> {
        let (versions, _turn) = (self.present_versions()?, self.take_turn()?);
        if let Some(digest) = self.end_trial(SwapResult::RolledBack, None, by) {
            self.note(format!("rolled back the trial of {digest}"), by);
            return Ok(swapped("rolled-back", versions.active().stable.digest().to_owned()));
        }
        let previous = versions.known().previous.clone();
        let previous =
            previous.ok_or_else(|| NoSwap::Busy("there is no version to go back to".to_owned()))?;
        let (generation, budget) = (previous.generation.clone(), self.budget());
        let warm = async move {
            generation.allow(&budget);
            generation.warm(budget.concurrency).await;
        };
        self.workshop()?.runtime.spawn(warm).await.map_err(unexpected)?;
        let digest = previous.generation.digest().to_owned();
        let left = versions.active().stable.digest().to_owned();
        let placed = Placed {
            origin: if digest == self.base() { Origin::Config } else { Origin::Swapped },
            why: format!("{by} rolled back to it"),
            since: jiff::Timestamp::now(),
            by: by.to_owned(),
            ..previous
        };
        self.take_over(versions, placed, SwapResult::RolledBack, by);
        self.note(format!("rolled back from {left} to {digest}"), by);
        Ok(swapped("rolled-back", digest))
    }

    /// The version that is being tried does worse than it may.
    pub(super) fn roll_back_by_itself(&self, reason: String) {
        if let Some(digest) = self.end_trial(SwapResult::RolledBack, Some(reason.clone()), BY_ITSELF) {
            self.note(format!("rolled back the trial of {digest}: {reason}"), BY_ITSELF);
        }
    }

    /// Does the work on the plugins' runtime, whoever asks and however long they stay.
    async fn work_at(self: &Arc<Self>, wasm: Vec<u8>, wish: Wish) -> Result<Swapped, NoSwap> {
        let (seat, turn) = (self.clone(), self.take_turn()?);
        let work = async move {
            let _turn = turn;
            let digest = digest_of(&wasm);
            let done = seat.bring_in(wasm, &wish).await;
            if let Err(NoSwap::Refused(reason)) = &done {
                seat.refuse(&digest, reason.clone(), &wish.by);
            }
            done
        };
        self.workshop()?.runtime.spawn(work).await.map_err(unexpected)?
    }

    async fn bring_in(self: &Arc<Self>, wasm: Vec<u8>, wish: &Wish) -> Result<Swapped, NoSwap> {
        let versions = self.present_versions()?;
        unless_on_trial(versions)?;
        let is_trial = wish.how.canary.is_some() || wish.how.shadow;
        let wasm = Arc::new(wasm);
        let generation = self.load(wasm.clone(), wish.how.shadow).await?;
        let new_imports = generation.imports_beyond(&versions.active().stable);
        if !new_imports.is_empty() && !wish.how.accept_new_imports {
            let names = new_imports.join("`, `");
            return Err(NoSwap::Refused(format!(
                "it imports what the version that runs does not: `{names}`; say yes to that with \
                 `--accept-new-imports` (in the API `?accept_new_imports=true`)"
            )));
        }
        generation.probe().await.map_err(|refusal| NoSwap::Refused(refusal.to_string()))?;
        self.keep_component(&wasm)?;
        let digest = generation.digest().to_owned();
        let placed = Placed {
            generation,
            origin: Origin::Swapped,
            why: wish.why.clone(),
            since: jiff::Timestamp::now(),
            by: wish.by.clone(),
        };
        if is_trial {
            self.begin_trial(versions, placed, wish).await;
        } else {
            placed.generation.warm(self.budget().concurrency).await;
            self.note(format!("swapped to {digest}: {}", wish.why), &wish.by);
            self.take_over(versions, placed, SwapResult::Done, &wish.by);
        }
        let result = match wish.how {
            How { shadow: true, .. } => "shadow",
            How { canary: Some(_), .. } => "canary",
            How { .. } => "swapped",
        };
        let stable = versions.active().stable.digest().to_owned();
        Ok(Swapped { new_imports, trial: is_trial.then_some(digest), ..swapped(result, stable) })
    }

    /// Every version is kept: the next one may be rolled back to it, and a restart has to find it then.
    fn keep_component(&self, wasm: &[u8]) -> Result<(), NoSwap> {
        let kept = self.workshop()?.shelf.keep(wasm);
        kept.map_err(|error| NoSwap::Failed(format!("the component cannot be kept: {error:#}")))
    }

    /// Compiles and checks a component where a thread may be held.
    async fn load(self: &Arc<Self>, wasm: Arc<Vec<u8>>, is_shadow: bool) -> Result<Arc<Generation>, NoSwap> {
        let seat = self.clone();
        let load = move || {
            let workshop = seat.workshop()?;
            let plugin = config::Plugin { budget: seat.budget(), ..(*seat.plugin).clone() };
            // What a shadow does is not the plugin's doing.
            let (metrics, grants) = match is_shadow {
                true => (Arc::new(PluginMetrics::default()), Grants::default()),
                false => (seat.metrics.clone(), workshop.grants.clone()),
            };
            Generation::load(&workshop.engine, &plugin, &wasm, metrics, &grants)
                .map_err(|refusal| NoSwap::Refused(refusal.to_string()))
        };
        tokio::task::spawn_blocking(load).await.map_err(unexpected)?
    }

    async fn begin_trial(self: &Arc<Self>, versions: &Arc<Versions>, placed: Placed, wish: &Wish) {
        let digest = placed.generation.digest().to_owned();
        let mode = if wish.how.shadow {
            placed.generation.warm(shadow::WORKERS).await;
            let (noted, id) = (Arc::downgrade(versions), placed.generation.id);
            Mode::Shadow(Shadow::start(&placed.generation, move |went, nanos| {
                if let Some(versions) = noted.upgrade() {
                    versions.note_one(id, went, nanos);
                }
            }))
        } else {
            placed.generation.warm(self.budget().concurrency).await;
            Mode::Canary(wish.how.canary.unwrap_or_default())
        };
        let what = match &mode {
            Mode::Canary(percent) => format!("began a canary of {digest} on {percent} % of the lanes"),
            Mode::Shadow(_) => format!("began to shadow with {digest}"),
        };
        self.note(what, &wish.by);
        versions.change(|known| known.trial = Some(Trial::new(placed, mode)));
        self.look_up();
    }

    /// Ends a trial, if there is one; returns its version.
    fn end_trial(&self, result: SwapResult, reason: Option<String>, by: &str) -> Option<String> {
        let versions = self.versions()?;
        let trial = versions.change(super::versions::Known::end_trial)?;
        let generation = trial.placed.generation;
        let digest = generation.digest().to_owned();
        if matches!(trial.mode, Mode::Canary(_)) {
            self.retire(&generation, |decisions| decisions.give_up_version(generation.id));
        }
        self.has_ended(result, digest.clone(), reason, by);
        Some(digest)
    }

    /// From now on messages go to `placed`.
    fn take_over(&self, versions: &Versions, placed: Placed, result: SwapResult, by: &str) {
        let digest = placed.generation.digest().to_owned();
        self.keep(&placed);
        let gone = versions.change(|known| known.take_over(placed));
        self.metrics.set_digest(&digest);
        self.retire(&gone, |decisions| decisions.batches.flush_version(gone.id));
        let of = if result == SwapResult::Done { digest } else { gone.digest().to_owned() };
        self.has_ended(result, of, None, by);
    }

    /// Messages no longer go to `generation`: it ends what it has, and what was made ahead for it goes.
    fn retire(&self, generation: &Arc<Generation>, end: impl FnOnce(&mut super::decisions::Decisions)) {
        let has_ended = self.way().is_none_or(|way| {
            let mut decisions = way.decisions();
            end(&mut decisions);
            way.changed(&mut decisions);
            decisions.has_nothing_of(generation.id)
        });
        if let Some(versions) = self.versions().filter(|_| has_ended) {
            versions.let_go(generation.id);
        }
        self.look_up();
        if let Ok(workshop) = self.workshop() {
            let generation = generation.clone();
            workshop.runtime.spawn(async move { generation.cool().await });
        }
    }

    /// Has a restart find `placed` again. What cannot be written is logged: the swap itself is done.
    fn keep(&self, placed: &Placed) {
        let Ok(workshop) = self.workshop() else { return };
        let component = (placed.origin == Origin::Swapped).then(|| Kept {
            digest: placed.generation.digest().to_owned(),
            instead_of: self.base(),
            by: placed.by.clone(),
            at: placed.since.to_string(),
        });
        let name = &*self.plugin.name;
        if let Err(error) = workshop.shelf.change(name, |record| record.component = component) {
            let error = format!("{error:#}");
            tracing::error!(plugin = name, error, "a restart will not find the component that runs now");
        }
    }

    fn has_ended(&self, result: SwapResult, digest: String, reason: Option<String>, by: &str) {
        self.metrics.count_swap(result);
        let (at, by) = (jiff::Timestamp::now().to_string(), by.to_owned());
        self.set_last_swap(Ended { result: result.word().to_owned(), digest, at, by, reason });
    }

    fn take_turn(&self) -> Result<OwnedMutexGuard<()>, NoSwap> {
        let turn = self.swapping.clone().try_lock_owned();
        turn.map_err(|_| {
            NoSwap::Busy("another swap of this plugin is under way; try again when it is over".to_owned())
        })
    }
}

fn unless_on_trial(versions: &Versions) -> Result<(), NoSwap> {
    let Some(trial) = versions.trial() else { return Ok(()) };
    let (mode, digest) = (trial.mode, trial.new.digest);
    Err(NoSwap::Busy(format!("{digest} is being tried as a {mode}: promote it or roll it back first")))
}

fn swapped(result: &str, digest: String) -> Swapped {
    Swapped { result: result.to_owned(), digest, trial: None, new_imports: Vec::new() }
}

fn unexpected(error: tokio::task::JoinError) -> NoSwap {
    NoSwap::Failed(format!("the swap ended unexpectedly: {error}"))
}
