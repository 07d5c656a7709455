//! What the two ends of an exactly-once plugin know of each other: the consumer that the offsets of a transaction belong
//! to, and whether what it read has to be read again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::context::Member;
use crate::edge::Bell;

/// Shared by the source and the ledger of one plugin.
#[derive(Default)]
pub(super) struct Bond {
    member: Mutex<Weak<Member>>,
    gate: Mutex<()>,
    rewind: Mutex<Option<String>>,
    bell: Mutex<Option<Arc<Bell>>>,
}

impl Bond {
    /// The source reads with `member` from now on, and looks up when `bell` rings.
    pub(super) fn join(&self, member: &Arc<Member>, bell: &Arc<Bell>) {
        *lock(&self.member) = Arc::downgrade(member);
        *lock(&self.bell) = Some(bell.clone());
    }

    /// The consumer whose group the offsets belong to.
    pub(super) fn member(&self) -> Option<Arc<Member>> {
        lock(&self.member).upgrade()
    }

    /// While this is held no partition is released. A transaction holds it from the last look at its partitions until
    /// it is committed; so whoever gets a partition next begins behind it.
    pub(super) fn gate(&self) -> MutexGuard<'_, ()> {
        lock(&self.gate)
    }

    /// What was read and is not committed has to be read again, because of `reason`.
    pub(super) fn rewind(&self, reason: String) {
        lock(&self.rewind).get_or_insert(reason);
        if let Some(bell) = &*lock(&self.bell) {
            bell.ring();
        }
    }

    /// Why everything has to be read again, if it has to.
    pub(super) fn take_rewind(&self) -> Option<String> {
        lock(&self.rewind).take()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
