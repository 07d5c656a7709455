//! Taking back what waits in the runs of workers: because it waits behind a message that takes long, or because nothing of
//! it may start as it was going to.

use std::sync::atomic::Ordering;

use super::shared::Shared;
use crate::buffer::End;
use crate::run::{HeldUp, Run};

impl Shared {
    /// Takes back what waits in a run behind a message that takes long, so that a free worker can start it.
    pub(super) fn rescue(&self) -> HeldUp {
        let mut found = HeldUp::Nothing;
        if !self.long_runs.swap(false, Ordering::Relaxed) {
            return found;
        }
        for run in self.staff.lookouts().iter().filter_map(|lookout| lookout.look()) {
            match run.is_held_up() {
                HeldUp::Yes => {
                    self.empty(&run);
                    found = HeldUp::Yes;
                }
                HeldUp::NotYet if found == HeldUp::Nothing => found = HeldUp::NotYet,
                _ => {}
            }
        }
        if found != HeldUp::Nothing {
            self.long_runs.store(true, Ordering::Relaxed);
        }
        found
    }

    /// Takes back everything that workers have and that has not started.
    pub(super) fn take_back(&self) {
        self.staff.lookouts().iter().filter_map(|lookout| lookout.look()).for_each(|run| self.empty(&run));
    }

    fn empty(&self, run: &Run) {
        let mut decisions = self.decisions();
        run.take_waiting().for_each(|(lane, delivery)| {
            decisions.buffer.settle(lane, delivery, End::GivenBack);
        });
        self.show(&decisions.buffer);
    }
}
