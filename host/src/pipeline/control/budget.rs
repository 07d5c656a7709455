//! The budget of a plugin, which changes while it works: the one in effect beside the config's, and what a restart finds
//! again of it.

use std::sync::atomic::Ordering;

use serde_json::{Map, Value};

use super::{Seat, lock};
use crate::api;
use crate::config;
use crate::config::patch::{self, Patched};
use crate::plugin::KeptBudget;

/// Who it is that puts a budget in effect which the last run left behind.
const BY_THE_LAST_RUN: &str = "the last run";

impl Seat {
    /// The budget in effect.
    pub fn budget(&self) -> config::Budget {
        lock(&self.budget).clone()
    }

    /// The budget of the config.
    pub fn configured(&self) -> config::Budget {
        lock(&self.configured).clone()
    }

    /// Puts `budget`, which is checked, in effect for everything that has not started; `what` says in words what changed,
    /// `by` who wanted it. A restart finds it again if the config says so.
    pub fn change_budget(&self, budget: config::Budget, what: String, by: &str) {
        self.put_in_effect(budget);
        self.note(what, by);
        self.keep_budget(by);
    }

    fn put_in_effect(&self, budget: config::Budget) {
        self.show_budget(&budget);
        *lock(&self.budget) = budget.clone();
        if let Some(versions) = self.versions() {
            versions.active().all().for_each(|generation| generation.allow(&budget));
        }
        if let Some(way) = self.way() {
            way.heed(&budget);
        }
    }

    pub(super) fn show_budget(&self, budget: &config::Budget) {
        self.metrics.budget_concurrency.store(budget.concurrency as u64, Ordering::Relaxed);
        let per_second = budget.rate.map_or(f64::INFINITY, config::Rate::per_second);
        self.metrics.budget_rate_bits.store(per_second.to_bits(), Ordering::Relaxed);
    }

    /// The config has `budget` now, which takes the place of the one in effect. Where it says nothing new but whether
    /// changes are kept, the one in effect stays.
    pub(super) fn configure_budget(&self, budget: config::Budget, by: &str) {
        let before = std::mem::replace(&mut *lock(&self.configured), budget.clone());
        let now = self.budget();
        let budget = match patch::is_same_but_keep(&before, &budget) {
            true => config::Budget { keep: budget.keep, ..now.clone() },
            false => budget,
        };
        let what = patch::words(&now, &budget);
        self.put_in_effect(budget);
        // It may be what an operator had changed it to before.
        if !what.is_empty() {
            self.note(what, by);
        }
        self.keep_budget(by);
    }

    /// Has a restart find the budget in effect again, if it is another than the config's and the config says that changes
    /// are kept. What cannot be written is logged: the change itself is done.
    fn keep_budget(&self, by: &str) {
        let Ok(workshop) = self.workshop() else { return };
        let (now, configured) = (self.budget(), self.configured());
        let kept = (configured.keep && now != configured).then(|| KeptBudget {
            budget: object(&now),
            instead_of: object(&configured),
            by: by.to_owned(),
            at: jiff::Timestamp::now().to_string(),
        });
        let name = &*self.plugin.name;
        if let Err(error) = workshop.shelf.change(name, |record| record.budget = kept) {
            let error = format!("{error:#}");
            tracing::error!(plugin = name, error, "a restart will not find the budget that holds now");
        }
    }

    /// Puts the budget in effect that the last run left behind, if the config says that changes are kept and has the same
    /// budget as then. Whatever does not hold any more is forgotten.
    pub(super) fn recall_budget(&self, room: patch::Room) {
        let Ok(workshop) = self.workshop() else { return };
        let name = &*self.plugin.name;
        let Some(kept) = workshop.shelf.record(name).budget else { return };
        let configured = self.configured();
        match recall(&self.plugin, &configured, &kept, room) {
            Ok(Patched { budget, what }) if !what.is_empty() => {
                self.put_in_effect(budget);
                let by = format!("{BY_THE_LAST_RUN}, where {} changed it at {}", kept.by, kept.at);
                self.note(format!("kept {what}"), &by);
            }
            Ok(_) => {}
            Err(why) => {
                tracing::warn!(
                    plugin = name,
                    why,
                    "the budget of the last run is forgotten: the config's holds"
                );
                // It is then the config's budget that is kept, which is nothing.
                self.keep_budget(BY_THE_LAST_RUN);
            }
        }
    }

    /// Takes the place of `before`, with what operators did to it as far as the config says nothing new of that; `what` says
    /// in words why it does.
    pub fn succeed(&self, before: &Self, what: String, by: &str) {
        lock(&self.changes).clone_from(&lock(&before.changes));
        *lock(&self.last_swap) = before.last_swap();
        self.is_paused.store(before.is_paused(), Ordering::Release);
        let configured = self.configured();
        if patch::is_same_but_keep(&before.configured(), &configured) {
            self.put_in_effect(config::Budget { keep: configured.keep, ..before.budget() });
        }
        self.note(what, by);
        self.keep_budget(by);
    }
}

/// The budget of the last run, or why it does not hold.
fn recall(
    plugin: &config::Plugin,
    configured: &config::Budget,
    kept: &KeptBudget,
    room: patch::Room,
) -> Result<Patched, String> {
    if !configured.keep {
        return Err("the config does not keep changes".to_owned());
    }
    if kept.instead_of != object(configured) {
        return Err("the config's budget has changed since".to_owned());
    }
    patch::patch(plugin, configured, &kept.budget, room).map_err(|problems| {
        let told = problems.iter().map(|problem| format!("{}: {}", problem.key, problem.what));
        told.collect::<Vec<_>>().join("; ")
    })
}

/// A budget as the API has it.
fn object(budget: &config::Budget) -> Map<String, Value> {
    match serde_json::to_value(api::Budget::from(budget)) {
        Ok(Value::Object(object)) => object,
        // A struct of strings and numbers is an object.
        _ => Map::new(),
    }
}
