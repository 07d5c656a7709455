//! What one worker handles messages with: a guest worker for each version that takes messages, and no longer than that.

use std::sync::Arc;

use tokio::sync::watch;

use super::versions::{Active, Versions};
use crate::plugin::{Generation, Worker};
use crate::run::Lookout;

/// One concurrency slot over all versions.
pub(super) struct Hands {
    news: watch::Receiver<Arc<Active>>,
    /// What it goes by.
    active: Arc<Active>,
    lookout: Arc<Lookout>,
    /// By the number of the version.
    workers: Vec<(u32, Worker)>,
}

impl Hands {
    /// Empty hands. Others see from `lookout` what they are busy with.
    pub(super) fn new(versions: &Versions, lookout: Arc<Lookout>) -> Self {
        let mut hands =
            Self { news: versions.watch(), active: versions.active(), lookout, workers: Vec::new() };
        hands.take_up();
        hands
    }

    /// What they go by.
    pub(super) fn active(&self) -> &Arc<Active> {
        &self.active
    }

    /// Waits until there may be something new to go by.
    pub(super) async fn changed(&mut self) {
        // The versions outlive every worker; were they gone, nothing would be new.
        if self.news.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Goes by what is active now: lets go of versions that handle nothing any more, in good order.
    pub(super) async fn renew(&mut self) {
        self.active = self.news.borrow_and_update().clone();
        self.take_up();
        let active = &self.active;
        for (_, worker) in self.workers.extract_if(.., |(id, _)| active.find(*id).is_none()) {
            worker.stop().await;
        }
    }

    fn take_up(&mut self) {
        let active = self.active.clone();
        active.taking().for_each(|generation| _ = self.of(generation));
    }

    /// The guest worker of a version. Call it on the runtime.
    pub(super) fn of(&mut self, generation: &Arc<Generation>) -> &mut Worker {
        let known = self.workers.iter().position(|(id, _)| *id == generation.id);
        let index = known.unwrap_or_else(|| {
            self.workers.push((generation.id, generation.worker().seen_from(&self.lookout)));
            self.workers.len() - 1
        });
        &mut self.workers[index].1
    }

    fn is_taking(&self, id: u32) -> bool {
        self.active.taking().any(|generation| generation.id == id)
    }

    /// Whether a message of any version could begin at once.
    pub(super) fn is_prepared(&self) -> bool {
        self.workers.iter().all(|(id, worker)| worker.is_prepared() || !self.is_taking(*id))
    }

    /// Makes the instances that messages need. False after a short wait when there is none to be had.
    pub(super) async fn prepare(&mut self) -> bool {
        let active = self.active.clone();
        for generation in active.taking() {
            let worker = self.of(generation);
            if !worker.is_prepared() && !worker.prepare().await {
                return false;
            }
        }
        true
    }

    /// Most messages of one run.
    pub(super) fn longest_run(&self) -> usize {
        let taking = self.workers.iter().filter(|(id, _)| self.is_taking(*id));
        taking.map(|(_, worker)| worker.longest_run()).min().unwrap_or(1)
    }

    /// Ends everything in good order.
    pub(super) async fn stop(self) {
        for (_, worker) in self.workers {
            worker.stop().await;
        }
    }
}
