//! The workers of a plugin, as many as its concurrency says: more are hired while it runs, and those that are too many
//! leave when they are done with what they have.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::hands::Hands;
use super::shared::Shared;
use crate::run::Lookout;
use crate::timer::Timer;

/// The workers of one plugin.
#[derive(Debug, Default)]
pub(super) struct Staff {
    wanted: AtomicUsize,
    present: AtomicUsize,
    // Held for a few instructions, never across an await.
    house: Mutex<House>,
}

#[derive(Debug, Default)]
struct House {
    /// Where workers run, and by which clock; none before the first and after the last.
    open: Option<(Handle, Timer)>,
    workers: JoinSet<()>,
    /// What each worker is busy with.
    lookouts: Vec<Arc<Lookout>>,
}

impl Staff {
    fn house(&self) -> MutexGuard<'_, House> {
        self.house.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on workers may be hired, to run on `runtime`.
    pub(super) fn open(&self, runtime: Handle, timer: Timer) {
        self.house().open = Some((runtime, timer));
    }

    /// Nobody is hired any more. Returns who is there.
    pub(super) fn close(&self) -> JoinSet<()> {
        let mut house = self.house();
        house.open = None;
        std::mem::take(&mut house.workers)
    }

    /// Whether the worker who asks is one too many. If so it is not counted any more, and has to leave.
    pub(super) fn dismisses(&self) -> bool {
        let wanted = self.wanted.load(Ordering::Acquire);
        let one_less = |present| (present > wanted).then(|| present - 1);
        self.present.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_less).is_ok()
    }

    /// How many workers there are.
    #[cfg(test)]
    pub(super) fn present(&self) -> usize {
        self.present.load(Ordering::Acquire)
    }

    /// What each worker is busy with.
    pub(super) fn lookouts(&self) -> Vec<Arc<Lookout>> {
        self.house().lookouts.clone()
    }
}

/// Sees to it that there are `wanted` workers. Those who are too many leave by themselves.
pub(super) fn hire(shared: &Arc<Shared>, wanted: usize) {
    let staff = &shared.staff;
    staff.wanted.store(wanted, Ordering::Release);
    let mut house = staff.house();
    let Some((runtime, timer)) = house.open.clone() else { return };
    // Those who left are nowhere looked at any more.
    house.lookouts.retain(|lookout| Arc::strong_count(lookout) > 1);
    while house.workers.try_join_next().is_some() {}
    let one_more = |present| (present < wanted).then_some(present + 1);
    while staff.present.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).is_ok() {
        let lookout = Arc::<Lookout>::default();
        house.lookouts.push(lookout.clone());
        let shared = shared.clone();
        let work = async move {
            // Made where the runtime is at hand: an async handler's instances are tasks on it.
            let hands = Hands::new(&shared.versions, lookout);
            super::work(shared, hands, timer).await;
        };
        house.workers.spawn_on(work, &runtime);
    }
}
