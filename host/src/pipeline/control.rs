//! What others may see of a plugin at work, and ask of it.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock, Weak};

use tokio::sync::watch;

use super::shared::Shared;
use crate::buffer::ParkedLane;
use crate::config;
use crate::metrics::PluginMetrics;

/// What a plugin is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Its component is being loaded, or the topics it needs are being waited for.
    Starting {
        /// What it waits for, and how to mend it.
        reason: String,
    },
    /// It waits for its consumer group to give it partitions.
    Joining {
        /// What is in the way, if anything is.
        trouble: Option<String>,
    },
    /// It handles messages.
    Running,
    /// It handles messages, but something outside is in the way.
    Troubled {
        /// What.
        trouble: String,
    },
    /// It finishes what is in flight and ends.
    Draining,
}

impl State {
    /// The state's word in the API.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Starting { .. } => "starting",
            Self::Joining { .. } => "joining",
            Self::Running => "running",
            Self::Troubled { .. } => "troubled",
            Self::Draining => "draining",
        }
    }

    /// Why the plugin is not ready; none when it is.
    pub fn not_ready(&self) -> Option<String> {
        match self {
            Self::Running => None,
            Self::Starting { reason } => Some(reason.clone()),
            Self::Joining { trouble: None } => {
                Some("waiting for the consumer group to assign partitions".to_owned())
            }
            Self::Joining { trouble: Some(trouble) } | Self::Troubled { trouble } => Some(trouble.clone()),
            Self::Draining => Some("draining".to_owned()),
        }
    }
}

/// One plugin of the host, from outside: there from the host's start, whether or not the plugin works yet.
#[derive(Debug)]
pub struct Seat {
    /// The plugin's settings.
    pub plugin: Arc<config::Plugin>,
    /// Where the plugin is counted.
    pub metrics: Arc<PluginMetrics>,
    state: watch::Sender<State>,
    /// The way, once it runs. Weak, because the way holds its seat.
    way: OnceLock<Weak<Shared>>,
}

impl Seat {
    /// A plugin that is being started.
    pub fn new(plugin: Arc<config::Plugin>) -> Arc<Self> {
        let metrics = Arc::new(PluginMetrics::default());
        let budget = &plugin.budget;
        metrics.budget_concurrency.store(budget.concurrency as u64, Ordering::Relaxed);
        let per_second = budget.rate.map_or(f64::INFINITY, config::Rate::per_second);
        metrics.budget_rate_bits.store(per_second.to_bits(), Ordering::Relaxed);
        let state = watch::Sender::new(State::Starting { reason: "loading the component".to_owned() });
        Arc::new(Self { plugin, metrics, state, way: OnceLock::new() })
    }

    /// What the plugin is doing.
    pub fn state(&self) -> State {
        self.state.borrow().clone()
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

    /// The lanes that are held, and why.
    pub fn parked(&self) -> Vec<ParkedLane> {
        self.way().map_or_else(Vec::new, |way| way.decisions().buffer.parked().collect())
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

    fn way(&self) -> Option<Arc<Shared>> {
        self.way.get()?.upgrade()
    }
}
