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

/// A lane with messages taken, waiting or parked.
#[derive(Debug)]
pub(super) struct Lane {
    /// The partition (its id) that the lane belongs to.
    pub(super) slot: u64,
    /// Messages of it that a worker has.
    pub(super) taken: u32,
    /// Its head stands among the partition's ready ones.
    pub(super) head_ready: bool,
    /// What waits behind, in order.
    pub(super) queue: VecDeque<Delivery>,
    /// What came back unstarted while other messages of the lane were still with the worker.
    pub(super) given_back: Vec<Delivery>,
    /// In a box, so that the many lanes that are not parked stay small.
    parked: Option<Box<ParkedLane>>,
}

impl Lane {
    pub(super) fn new(slot: u64) -> Self {
        Self {
            slot,
            taken: 0,
            head_ready: false,
            queue: VecDeque::new(),
            given_back: Vec::new(),
            parked: None,
        }
    }

    /// Whether a new message has to queue.
    pub(super) fn is_busy(&self) -> bool {
        self.taken > 0 || self.head_ready
    }

    pub(super) fn is_parked(&self) -> bool {
        self.parked.is_some()
    }

    /// Holds the lane because of `delivery`, which stays its first message.
    pub(super) fn park(&mut self, delivery: Delivery, parked: ParkedLane) {
        self.given_back.push(delivery);
        self.parked = Some(Box::new(parked));
    }

    /// Puts what came back before what never left.
    pub(super) fn restore(&mut self) {
        while let Some(delivery) = self.given_back.pop() {
            self.queue.push_front(delivery);
        }
    }

    /// Detaches everything behind the parked message from its neighbours in memory; returns how many messages and
    /// bytes that was.
    pub(super) fn set_aside(&mut self) -> (usize, usize) {
        let queue = std::mem::take(&mut self.queue);
        self.queue = queue.into_iter().map(Delivery::detached).collect();
        let behind = self.queue.iter().skip(1);
        behind.fold((0, 0), |(count, bytes), delivery| (count + 1, bytes + delivery.message().size_bytes()))
    }

    pub(super) fn queued_bytes(&self) -> usize {
        self.queue.iter().chain(&self.given_back).map(|delivery| delivery.message().size_bytes()).sum()
    }

    pub(super) fn shown(&self) -> Option<ParkedLane> {
        let parked = self.parked.as_ref()?;
        Some(ParkedLane { messages: self.queue.len() + self.given_back.len(), ..(**parked).clone() })
    }
}
