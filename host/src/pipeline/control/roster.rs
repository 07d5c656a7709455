//! The plugins of a host: which there are changes while it runs. What they share is the engine's room, so budgets are
//! changed here, one at a time.

use std::sync::{Arc, Mutex};

use serde_json::{Map, Value};

use super::{Seat, lock};
use crate::api;
use crate::config;
use crate::config::patch::{self, Patched};
use crate::config::problem::Problem;
use crate::plugin;

/// The plugins that there are now.
#[derive(Debug)]
pub struct Roster {
    room: plugin::Room,
    /// In the order of their names. Held for a copy, as the one below.
    seats: Mutex<Arc<[Arc<Seat>]>>,
    reload: Mutex<Option<api::Reload>>,
    /// Held while a budget is changed: of two who change one, each sees what the other did.
    changing: Mutex<()>,
}

impl Roster {
    /// A host whose engine has `room`, and these plugins.
    pub fn new(room: plugin::Room, mut seats: Vec<Arc<Seat>>) -> Arc<Self> {
        seats.sort_by(|a, b| a.plugin.name.cmp(&b.plugin.name));
        let seats = Mutex::new(seats.into());
        Arc::new(Self { room, seats, reload: Mutex::default(), changing: Mutex::default() })
    }

    /// The plugins, in the order of their names.
    pub fn seats(&self) -> Arc<[Arc<Seat>]> {
        lock(&self.seats).clone()
    }

    /// The plugin of this name.
    pub fn find(&self, name: &str) -> Option<Arc<Seat>> {
        self.seats().iter().find(|seat| *seat.plugin.name == *name).cloned()
    }

    /// `seat` is there from now on, in the place of the one of the same name if there is one.
    pub fn put(&self, seat: Arc<Seat>) {
        self.change(&seat.plugin.name.clone(), Some(seat));
    }

    /// The plugin of this name is not there any more.
    pub fn remove(&self, name: &str) {
        self.change(name, None);
    }

    fn change(&self, name: &str, seat: Option<Arc<Seat>>) {
        let mut seats = lock(&self.seats);
        let others = seats.iter().filter(|other| *other.plugin.name != *name).cloned();
        let mut changed: Vec<_> = others.chain(seat).collect();
        changed.sort_by(|a, b| a.plugin.name.cmp(&b.plugin.name));
        *seats = changed.into();
    }

    /// The room that the engine has for all plugins together.
    pub fn room(&self) -> plugin::Room {
        self.room
    }

    /// What the budget of a plugin may be changed to while the host runs: what the others leave of the engine's room, and
    /// in any case what the plugin has already.
    pub fn room_for(&self, seat: &Seat) -> patch::Room {
        let seats = self.seats();
        let others = seats.iter().filter(|other| other.plugin.name != seat.plugin.name);
        let taken: usize = others.map(|other| other.budget().concurrency).sum();
        let now = seat.budget();
        patch::Room {
            concurrency_max: self.room.workers.saturating_sub(taken).max(now.concurrency),
            memory_bytes_min: seat.memory_min(),
            memory_bytes_max: self.room.memory.max(now.memory),
        }
    }

    /// Changes what is `wanted` of the budget in effect, all or nothing.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with what is wanted.
    pub fn change_budget(
        &self,
        seat: &Seat,
        wanted: &Map<String, Value>,
        by: &str,
    ) -> Result<(), Vec<Problem>> {
        let _turn = lock(&self.changing);
        let Patched { budget, what } =
            patch::patch(&seat.plugin, &seat.budget(), wanted, self.room_for(seat))?;
        if !what.is_empty() {
            seat.change_budget(budget, what, by);
        }
        Ok(())
    }

    /// The config has another budget for the plugin now.
    pub fn configure_budget(&self, seat: &Seat, budget: config::Budget, by: &str) {
        let _turn = lock(&self.changing);
        seat.configure_budget(budget, by);
    }

    /// Puts the budget in effect that the last run left behind, if it holds.
    pub fn recall_budget(&self, seat: &Seat) {
        let _turn = lock(&self.changing);
        seat.recall_budget(self.room_for(seat));
    }

    /// How the last reload of the config ended.
    pub fn last_reload(&self) -> Option<api::Reload> {
        lock(&self.reload).clone()
    }

    /// A reload of the config has ended.
    pub fn has_reloaded(&self, reload: api::Reload) {
        *lock(&self.reload) = Some(reload);
    }
}
