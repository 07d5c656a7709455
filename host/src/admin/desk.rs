//! What all requests share: the plugins, what the last minute said of each, the snapshot that listeners are sent, and how
//! many may do at once what costs memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use axum::body::Bytes;
use tokio::sync::{Semaphore, watch};

use super::snapshot;
use super::window::{Recent, Window};
use crate::api::{Detail, Plugins};
use crate::pipeline::control::{Roster, Seat};

/// Most components that are received or put in at the same time, each up to 256 MiB.
pub(super) const UPLOADS_MAX: usize = 2;

/// Most listeners to events at the same time. Each costs one write a second, and what its socket has not taken yet.
pub(super) const LISTENERS_MAX: usize = 64;

/// What all requests share.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) roster: Arc<Roster>,
    /// Whether a token is asked for.
    pub(super) has_token: bool,
    /// Permits to send a component.
    pub(super) uploads: Arc<Semaphore>,
    /// Permits to listen.
    pub(super) listeners: Arc<Semaphore>,
    /// By the plugin's name. Held for a copy, as all locks here.
    recent: Mutex<HashMap<Arc<str>, Recent>>,
    events: watch::Sender<Bytes>,
}

impl Desk {
    pub(super) fn new(roster: Arc<Roster>, has_token: bool) -> Self {
        Self {
            roster,
            has_token,
            uploads: Arc::new(Semaphore::new(UPLOADS_MAX)),
            listeners: Arc::new(Semaphore::new(LISTENERS_MAX)),
            recent: Mutex::default(),
            events: watch::Sender::new(Bytes::new()),
        }
    }

    /// The plugins that there are now, in the order of their names.
    pub(super) fn seats(&self) -> Arc<[Arc<Seat>]> {
        self.roster.seats()
    }

    /// All plugins as they are now.
    pub(super) fn plugins(&self) -> Plugins {
        let plugin = |seat: &Arc<Seat>| snapshot::plugin(seat, self.recent_of(seat));
        let plugins = self.seats().iter().map(plugin).collect();
        Plugins { plugins, reload: self.roster.last_reload() }
    }

    /// One plugin as it is now.
    pub(super) fn detail(&self, seat: &Seat) -> Detail {
        snapshot::detail(seat, self.recent_of(seat))
    }

    /// The snapshot as an event.
    pub(super) fn event(&self) -> Bytes {
        // Nothing in it can fail to be written: its keys are strings.
        let json = serde_json::to_string(&self.plugins()).unwrap_or_default();
        Bytes::from(format!("data: {json}\n\n"))
    }

    /// The events to come: always the newest, so that who is slow misses some and holds none up.
    pub(super) fn listen(&self) -> watch::Receiver<Bytes> {
        self.events.subscribe()
    }

    fn recent_of(&self, seat: &Seat) -> Recent {
        self.recent().get(&seat.plugin.name).cloned().unwrap_or_default()
    }

    fn recent(&self) -> MutexGuard<'_, HashMap<Arc<str>, Recent>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks at every plugin once a second.
#[derive(Debug, Default)]
pub(super) struct Sampler {
    windows: HashMap<Arc<str>, Window>,
}

impl Sampler {
    /// Looks at every plugin at `now`, and sends all listeners the same snapshot.
    pub(super) fn tick(&mut self, desk: &Desk, now: Instant) {
        let seats = desk.seats();
        self.windows.retain(|name, _| seats.iter().any(|seat| seat.plugin.name == *name));
        let mut recent = HashMap::with_capacity(seats.len());
        for seat in seats.iter() {
            seat.refresh();
            let name = &seat.plugin.name;
            let window = self.windows.entry(name.clone()).or_default();
            recent.insert(name.clone(), window.look(seat, now));
        }
        *desk.recent() = recent;
        if desk.events.receiver_count() > 0 {
            desk.events.send_replace(desk.event());
        }
    }
}
