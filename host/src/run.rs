//! A run: messages that one worker took together, handled one after the other while the sandbox's border is
//! crossed once. The guest room fills in what came of each.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use crate::ack::Delivery;
use crate::outcome::Handling;

/// Most messages in a run. Beyond 64 the border costs no less a message (measured: 900, 650 and 570 ns for runs
/// of 4, 16 and 64).
pub const RUN_MESSAGES_MAX: usize = 64;

/// Names a lane while it has messages. Two keys that hash alike share a lane: they wait for each other without
/// need, and nothing else happens.
pub type LaneId = u64;

/// One message of a run.
#[derive(Debug)]
pub struct RunMessage {
    /// The message and the duty to answer for it.
    pub delivery: Delivery,
    /// Which lane it belongs to; messages of one lane stand in order.
    pub lane: LaneId,
    /// What came of it; `NotStarted` until the guest room says otherwise.
    pub handling: Handling,
    /// Nanoseconds from the start of `handle-message` to its return; 0 when it did not start.
    pub handle_ns: u64,
    /// When its permit runs out; none without a rate. A worker that is held up in between must not start it together with
    /// those whose permits came later: it goes back and waits for another permit.
    pub start_before: Option<Instant>,
    /// When `handle-message` started; none when it did not.
    pub started_at: Option<Instant>,
}

impl RunMessage {
    /// A message that has not started.
    pub fn new(lane: LaneId, delivery: Delivery) -> Self {
        Self {
            delivery,
            lane,
            handling: Handling::NotStarted,
            handle_ns: 0,
            start_before: None,
            started_at: None,
        }
    }
}

/// Messages taken together. While it is with the guest nothing of it can be answered.
#[derive(Debug)]
pub struct Run {
    /// In the order in which they are handled.
    pub messages: Vec<RunMessage>,
    /// Set when nothing of this run may start any more.
    pub stop: Arc<AtomicBool>,
    /// The version of the component that handles it.
    pub version: Version,
    gate: Gate,
}

/// A version of a component.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Version {
    /// Tells the versions of a plugin apart.
    pub id: u32,
    /// It is being tried: what fails in it is charged to nobody, and handled again by the version before.
    pub on_trial: bool,
    /// Another version is there, and how messages go is compared.
    pub compared: bool,
}

impl Run {
    /// A run of messages that have not started.
    pub fn new(messages: Vec<RunMessage>, stop: Arc<AtomicBool>) -> Self {
        let gate = Gate::new(messages.len());
        Self { messages, stop, version: Version::default(), gate }
    }

    /// The run, to be handled by this version.
    pub fn by(mut self, version: Version) -> Self {
        self.version = version;
        self
    }

    /// The message at `index` is next: whether it may begin at `now`, as far as its partition, its permit and the run
    /// go. Its lane is not looked at.
    pub fn begin(&self, index: usize, now: Instant) -> bool {
        let permitted = |message: &RunMessage| message.start_before.is_none_or(|end| now <= end);
        self.gate.begin(index) && self.is_open(index) && self.messages.get(index).is_some_and(permitted)
    }

    /// Whether the message at `index` may start as far as its partition and the run go; its lane is not looked at.
    pub fn is_open(&self, index: usize) -> bool {
        let revoked = |message: &RunMessage| message.delivery.partition().is_revoked();
        !self.stop.load(Ordering::Relaxed)
            && self.messages.get(index).is_some_and(|message| !revoked(message))
    }

    /// Whether messages of this run wait behind one that has been under way since the last look.
    pub fn is_held_up(&self) -> HeldUp {
        self.gate.look()
    }

    /// Takes what has not begun, for somebody who could begin now. The worker that has the run lets go of it with
    /// `forget_taken`.
    pub fn take_waiting(&self) -> impl Iterator<Item = (LaneId, Delivery)> + '_ {
        self.messages[self.gate.close()].iter().map(|message| (message.lane, message.delivery.twin()))
    }

    /// Forgets the messages that `take_waiting` gave to others.
    pub fn forget_taken(&mut self) {
        let kept = self.gate.limit();
        self.messages.drain(kept..).for_each(|message| message.delivery.void());
    }
}

/// What a look at a run finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldUp {
    /// Nothing waits in it.
    Nothing,
    /// Messages wait, and the run goes on.
    NotYet,
    /// Messages wait, and none has begun since the last look.
    Yes,
}

/// Where others see the run that a worker is busy with, if there is more than one message in it.
#[derive(Debug, Default)]
pub struct Lookout(Mutex<Weak<Run>>);

impl Lookout {
    /// The worker is busy with `run`.
    pub fn show(&self, run: &Arc<Run>) {
        *self.lock() = Arc::downgrade(run);
    }

    /// The run that the worker is busy with.
    pub fn look(&self) -> Option<Arc<Run>> {
        self.lock().upgrade()
    }

    fn lock(&self) -> MutexGuard<'_, Weak<Run>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which messages of a run have begun, and from which on none will: the worker and whoever takes the rest from it
/// must agree on each. The low half counts those that have begun, the high half is the limit.
#[derive(Debug)]
struct Gate {
    begun_and_limit: AtomicU64,
    /// How many had begun when somebody looked last; `u64::MAX` before.
    seen: AtomicU64,
}

impl Gate {
    fn new(messages: usize) -> Self {
        let begun_and_limit = AtomicU64::new((messages as u64) << 32);
        Self { begun_and_limit, seen: AtomicU64::new(u64::MAX) }
    }

    fn parts(both: u64) -> (usize, usize) {
        ((both & u64::from(u32::MAX)) as usize, (both >> 32) as usize)
    }

    fn limit(&self) -> usize {
        Self::parts(self.begun_and_limit.load(Ordering::Acquire)).1
    }

    fn begin(&self, index: usize) -> bool {
        let claim = |both| {
            let (_, limit) = Self::parts(both);
            (index < limit).then_some((limit as u64) << 32 | (index + 1) as u64)
        };
        self.begun_and_limit.fetch_update(Ordering::AcqRel, Ordering::Acquire, claim).is_ok()
    }

    /// Nothing that has not begun will; returns what that is.
    fn close(&self) -> std::ops::Range<usize> {
        let close = |both| {
            let (begun, limit) = Self::parts(both);
            (begun < limit).then_some((begun as u64) << 32 | begun as u64)
        };
        match self.begun_and_limit.fetch_update(Ordering::AcqRel, Ordering::Acquire, close) {
            Ok(before) => Self::parts(before).0..Self::parts(before).1,
            Err(_) => 0..0,
        }
    }

    fn look(&self) -> HeldUp {
        let (begun, limit) = Self::parts(self.begun_and_limit.load(Ordering::Acquire));
        let before = self.seen.swap(begun as u64, Ordering::Relaxed);
        match () {
            () if begun >= limit => HeldUp::Nothing,
            () if before == begun as u64 => HeldUp::Yes,
            () => HeldUp::NotYet,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_away_never_begins_and_what_has_begun_is_never_taken() {
        let gate = Gate::new(4);
        assert!(gate.begin(0) && gate.begin(1));
        assert_eq!(gate.look(), HeldUp::NotYet);
        assert_eq!(gate.look(), HeldUp::Yes);
        assert_eq!(gate.close(), 2..4);
        assert!(!gate.begin(2) && !gate.begin(3));
        assert_eq!((gate.close(), gate.limit(), gate.look()), (0..0, 2, HeldUp::Nothing));
    }

    #[test]
    fn two_threads_agree_on_every_message() {
        for _ in 0..200 {
            let gate = Gate::new(64);
            let (begun, taken) = std::thread::scope(|scope| {
                let worker = scope.spawn(|| (0..64).filter(|index| gate.begin(*index)).count());
                let rescuer = scope.spawn(|| gate.close().len());
                (worker.join().unwrap(), rescuer.join().unwrap())
            });
            assert_eq!(begun + taken, 64);
        }
    }
}
