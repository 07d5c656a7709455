//! One lane: messages that must be handled one after another.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher};

use super::ParkedLane;
use crate::ack::Delivery;
use crate::config::Order;
use crate::run::LaneId;

/// The bit that tells a message that is a lane of its own.
const LONER: u64 = 1 << 63;

/// Whether the lane is one message that waits for no other.
pub(super) fn is_loner(lane: LaneId) -> bool {
    lane & LONER != 0
}

/// Tells each message its lane.
#[derive(Debug)]
pub(super) struct LaneIds {
    order: Order,
    /// Seeded at random, so that nobody can choose keys that share a lane.
    hash: foldhash::fast::RandomState,
    loners: u64,
}

impl LaneIds {
    pub(super) fn new(order: Order) -> Self {
        Self { order, hash: foldhash::fast::RandomState::default(), loners: 0 }
    }

    pub(super) fn of(&mut self, delivery: &Delivery) -> LaneId {
        let message = delivery.message();
        let key = match self.order {
            Order::Key => message.key(),
            Order::Partition => Some(&b""[..]),
            Order::None => None,
        };
        let Some(key) = key else {
            self.loners += 1;
            return LONER | self.loners;
        };
        let mut hasher = self.hash.build_hasher();
        hasher.write_u64(delivery.partition().id);
        hasher.write(key);
        hasher.finish() & !LONER
    }
}

/// A lane with messages taken, waiting or held. Small, because there is one for each key that has a message in the
/// buffer, and most have just the one: whatever else a lane may have is in a box.
#[derive(Debug)]
pub(super) struct Lane {
    /// The partition (its id) that the lane belongs to.
    pub(super) slot: u64,
    more: Option<Box<More>>,
    /// Messages of it that a worker has.
    pub(super) taken: u32,
    /// Its head stands among the partition's ready ones.
    pub(super) head_ready: bool,
    pub(super) hold: Hold,
}

/// Whether a lane goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// It does.
    None,
    /// Its first message waits for another attempt; its messages count in the buffer.
    InBuffer,
    /// Its first message waits for another attempt or cannot be finished; its messages count beside the buffer.
    Aside,
}

#[derive(Debug, Default)]
struct More {
    /// What waits, in order.
    queue: VecDeque<Delivery>,
    /// What came back while other messages of the lane were still with the worker.
    came_back: Vec<Delivery>,
    parked: Option<ParkedLane>,
}

impl Lane {
    pub(super) fn new(slot: u64) -> Self {
        Self { slot, more: None, taken: 0, head_ready: false, hold: Hold::None }
    }

    /// Whether a new message has to queue.
    pub(super) fn is_busy(&self) -> bool {
        self.taken > 0 || self.head_ready || self.hold != Hold::None
    }

    pub(super) fn is_parked(&self) -> bool {
        self.more.as_ref().is_some_and(|more| more.parked.is_some())
    }

    /// Whether a message came back that is not at its place yet.
    pub(super) fn has_come_back(&self) -> bool {
        self.more.as_ref().is_some_and(|more| !more.came_back.is_empty())
    }

    fn more(&mut self) -> &mut More {
        self.more.get_or_insert_default()
    }

    /// Puts a message behind all others.
    pub(super) fn queue(&mut self, delivery: Delivery) {
        self.more().queue.push_back(delivery);
    }

    /// How many messages, at most `max`, may follow the lane's head in its run.
    pub(super) fn following(&self, max: usize, fits: impl Fn(&Delivery) -> bool) -> usize {
        self.waiting()
            .take(max)
            .take_while(|delivery| delivery.not_before().is_none() && fits(delivery))
            .count()
    }

    /// The messages that wait, in order.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &Delivery> {
        self.more.iter().flat_map(|more| &more.queue)
    }

    /// The next message that waits.
    pub(super) fn first(&self) -> Option<&Delivery> {
        self.waiting().next()
    }

    /// The next message that waits.
    pub(super) fn head(&mut self) -> Option<&mut Delivery> {
        self.more.as_mut()?.queue.front_mut()
    }

    /// Takes the next message that waits.
    pub(super) fn pop(&mut self) -> Option<Delivery> {
        self.more.as_mut()?.queue.pop_front()
    }

    /// A message came back; `restore` puts it where it belongs.
    pub(super) fn give_back(&mut self, delivery: Delivery) {
        self.more().came_back.push(delivery);
    }

    /// The lane's first message is not parked any more. Returns where it stands.
    pub(super) fn unpark(&mut self) -> Option<i64> {
        self.more.as_mut()?.parked.take().map(|parked| parked.position.offset)
    }

    /// Takes out the message that stands at `offset`.
    pub(super) fn take_at(&mut self, offset: i64) -> Option<Delivery> {
        let queue = &mut self.more.as_mut()?.queue;
        let index = queue.iter().position(|delivery| delivery.message().offset() == offset)?;
        queue.remove(index)
    }

    /// The message that stands at `offset`.
    pub(super) fn at(&mut self, offset: i64) -> Option<&mut Delivery> {
        self.more.as_mut()?.queue.iter_mut().find(|delivery| delivery.message().offset() == offset)
    }

    /// The lane's first message cannot be finished.
    pub(super) fn park(&mut self, parked: ParkedLane) {
        self.more().parked = Some(parked);
    }

    /// Puts what came back where it belongs, by its offset.
    pub(super) fn restore(&mut self) {
        let Some(more) = self.more.as_mut().filter(|more| !more.came_back.is_empty()) else { return };
        while let Some(delivery) = more.came_back.pop() {
            more.queue.push_front(delivery);
        }
        let offset = |delivery: &Delivery| delivery.message().offset();
        if !more.queue.iter().is_sorted_by_key(offset) {
            more.queue.make_contiguous().sort_by_key(offset);
        }
    }

    /// Detaches everything from its neighbours in memory, to be held for long.
    pub(super) fn detach(&mut self) {
        let more = self.more();
        more.queue = std::mem::take(&mut more.queue).into_iter().map(Delivery::detached).collect();
    }

    /// Messages that a worker does not have, and their bytes.
    pub(super) fn held(&self) -> (usize, usize) {
        let all = self.more.iter().flat_map(|more| more.queue.iter().chain(&more.came_back));
        all.fold((0, 0), |(count, bytes), one| (count + 1, bytes + one.size_bytes()))
    }

    /// Takes out all messages that a worker does not have, but for one that is parked.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Delivery> + use<> {
        let more = self.more.take().map_or_else(More::default, |more| *more);
        let parked = usize::from(more.parked.is_some());
        more.queue.into_iter().skip(parked).chain(more.came_back)
    }

    pub(super) fn shown(&self) -> Option<ParkedLane> {
        let parked = self.more.as_ref()?.parked.as_ref()?;
        Some(ParkedLane { messages: self.held().0, ..parked.clone() })
    }
}
