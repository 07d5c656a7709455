//! What a new config takes, prepared so far that nothing of it can fail any more: components are loaded and have been
//! started on trial. Nothing has changed yet.

use std::sync::Arc;

use super::Live;
use super::room::{self, Wanted};
use crate::app::examine;
use crate::app::load::{self, File};
use crate::config::check::Checked;
use crate::config::diff::Change;
use crate::config::problem::Problem;
use crate::config::units::show_size;
use crate::config::{self, Budget, patch};
use crate::pipeline::control::{NoSwap, Prepared, Seat};
use crate::plugin::{Generation, Refusal, Room};

/// What is to be done with a plugin.
pub(super) enum Step {
    /// It goes on with another budget or component.
    Change { seat: Arc<Seat>, budget: Option<Budget>, component: Option<Prepared> },
    /// It begins, in the place of one that ends if there is one.
    Begin { seat: Arc<Seat>, before: Option<(Arc<Seat>, String)> },
    /// It ends.
    End(Arc<str>),
}

impl Step {
    /// It is not taken after all.
    pub(super) async fn abandon(self) {
        if let Self::Change { component: Some(component), .. } = self {
            component.abandon().await;
        }
    }
}

/// A plugin, and what is wrong with its component.
pub(super) type Fault = (Arc<str>, Vec<Problem>);

/// What a new config takes.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    /// Plugins whose step cannot be taken.
    pub(super) faults: Vec<Fault>,
    /// Where there is not room enough for all of it together.
    pub(super) excesses: Vec<Problem>,
}

impl Live {
    pub(super) async fn prepare(
        &self,
        checked: &Arc<Checked>,
        changes: impl IntoIterator<Item = (Arc<str>, Change)>,
        room: Room,
    ) -> Plan {
        let mut plan = Plan::default();
        let mut wanted = Vec::new();
        for (name, change) in changes {
            let before = self.roster.find(&name);
            let plugin = checked.config.plugins.iter().find(|plugin| plugin.name == name);
            let Some(plugin) = plugin else {
                plan.steps.push(Step::End(name));
                continue;
            };
            wanted.push(wants(plugin, before.as_deref(), &change));
            match self.step(checked, plugin, (before, &change)).await {
                Ok(step) => plan.steps.extend(step),
                Err(problems) => plan.faults.push((name, problems)),
            }
        }
        let excesses = room::excesses(room, &wanted);
        plan.excesses = excesses.iter().map(|excess| excess.told(checked)).collect();
        plan
    }

    async fn step(
        &self,
        checked: &Arc<Checked>,
        plugin: &config::Plugin,
        (before, change): (Option<Arc<Seat>>, &Change),
    ) -> Result<Option<Step>, Vec<Problem>> {
        match (change, before) {
            (Change::Same | Change::Budget, Some(seat)) => {
                let component = self.news(checked, plugin, &seat).await?;
                let budget = (*change == Change::Budget).then(|| plugin.budget.clone());
                if component.is_none()
                    && let Some(budget) = &budget
                {
                    check_memory(checked, &seat, budget)?;
                }
                let is_news = component.is_some() || budget.is_some();
                Ok(is_news.then_some(Step::Change { seat, budget, component }))
            }
            (Change::Anew(keys), Some(before)) => {
                let seat = self.begin_one(checked, plugin).await?;
                Ok(Some(Step::Begin { seat, before: Some((before, keys.join(", "))) }))
            }
            _ => Ok(Some(Step::Begin { seat: self.begin_one(checked, plugin).await?, before: None })),
        }
    }

    /// A plugin that may begin: its component is loaded and has been started on trial.
    async fn begin_one(
        &self,
        checked: &Arc<Checked>,
        plugin: &config::Plugin,
    ) -> Result<Arc<Seat>, Vec<Problem>> {
        let seat = self.seat(plugin);
        let told = |refusal: &Refusal| examine::problems(checked, plugin, refusal);
        let (workshop, to_install) = (self.workshop.clone(), seat.clone());
        let load = tokio::task::spawn_blocking(move || load::install(&workshop, &to_install));
        let generation = load.await.unwrap_or_else(unexpected).map_err(|refusal| told(&refusal))?;
        generation.probe().await.map_err(|refusal| told(&refusal))?;
        Ok(seat)
    }

    /// The component in the file of a plugin that goes on, if that has changed.
    async fn news(
        &self,
        checked: &Arc<Checked>,
        plugin: &config::Plugin,
        seat: &Arc<Seat>,
    ) -> Result<Option<Prepared>, Vec<Problem>> {
        let (told, by) =
            (|refusal: &Refusal| examine::problems(checked, plugin, refusal), &*self.file_name());
        let (settings, at) = (plugin.clone(), seat.clone());
        let read = tokio::task::spawn_blocking(move || load::read_news(&settings, &at));
        let Some(file) = read.await.unwrap_or_else(unexpected).map_err(|refusal| told(&refusal))? else {
            return Ok(None);
        };
        let file = Arc::new(file);
        let generation = match self.load(plugin, seat, &file).await {
            Ok(generation) => generation,
            Err(refusal) => {
                seat.refuse(&file.digest, refusal.to_string(), by);
                return Err(told(&refusal));
            }
        };
        let prepared = seat.prepare_file(generation, &file.wasm, by).await;
        prepared.map(Some).map_err(|why| {
            let (NoSwap::Busy(why) | NoSwap::Refused(why) | NoSwap::Failed(why)) = why;
            vec![checked.problem(&format!("plugins.{}.component", plugin.name), why)]
        })
    }

    async fn load(
        &self,
        plugin: &config::Plugin,
        seat: &Arc<Seat>,
        file: &Arc<File>,
    ) -> Result<Arc<Generation>, Refusal> {
        let (workshop, plugin, seat, file) =
            (self.workshop.clone(), plugin.clone(), seat.clone(), file.clone());
        let load = tokio::task::spawn_blocking(move || load::load_news(&workshop, &plugin, &seat, &file));
        let generation = load.await.unwrap_or_else(unexpected)?;
        generation.probe().await?;
        Ok(generation)
    }
}

/// What a plugin will want of the engine's room, beside what it has.
fn wants(plugin: &config::Plugin, before: Option<&Seat>, change: &Change) -> Wanted {
    let now = before.map(Seat::budget);
    let inherits = before.is_some_and(|before| patch::is_same_but_keep(&before.configured(), &plugin.budget));
    let will = match &now {
        Some(now) if inherits && *change != Change::Added => now.clone(),
        _ => plugin.budget.clone(),
    };
    // Who only waits for a component has nothing yet.
    let has = now.filter(|_| *change != Change::Added);
    Wanted {
        plugin: plugin.name.clone(),
        has: has.map(|now| (now.concurrency, now.memory)),
        will: (will.concurrency, will.memory),
    }
}

/// The component that runs must be able to start with the memory of the new budget.
fn check_memory(checked: &Checked, seat: &Seat, budget: &Budget) -> Result<(), Vec<Problem>> {
    let least = seat.memory_min();
    if budget.memory >= least {
        return Ok(());
    }
    let what = format!("the component that runs does not start with less than `{}`", show_size(least as u64));
    let mut problem = checked.problem(&format!("plugins.{}.budget.memory", seat.plugin.name), what);
    problem.found(format!("`{}`", show_size(budget.memory as u64)));
    Err(vec![problem])
}

fn unexpected<T>(error: tokio::task::JoinError) -> Result<T, Refusal> {
    Err(Refusal::one(
        format!("looking at it ended unexpectedly: {error}"),
        "report this: it is a fault of the host's own",
    ))
}
