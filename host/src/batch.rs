//! The room of batches: where messages wait that a plugin has put aside, until a batch is complete and may start.
//!
//! Pure: no clock, no lock, no waiting. A batch is one batcher's and one batch key's, over all partitions; it is
//! complete when it is full, when its time is over, or when it is flushed. Batches that share a lane are handled one
//! after the other, in the lane's order. Batches are numbered as they are opened, and a lane's later message never goes
//! into one of a lower number than its earlier: so batches wait for lower numbers only, and never for each other.

mod lanes;
mod leaving;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::ack::{Delivery, Partition};
use crate::config::Order;
use crate::outcome::{Slot, Trigger};
use crate::run::LaneId;
use lanes::{Lanes, Place};

/// One batcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Its name, as slots give it.
    pub name: String,
    /// Messages of a full batch; at least 1.
    pub size: usize,
    /// How long a batch waits from its first message on.
    pub timeout: Duration,
    /// Batches of it at the same time; at least 1.
    pub concurrency: usize,
}

/// A message in a batch.
#[derive(Debug)]
pub struct Waiting {
    /// Which lane it belongs to.
    pub lane: LaneId,
    /// The message and the duty to answer for it.
    pub delivery: Delivery,
    /// What `handle-batch` is given instead of the message's own payload, if something.
    pub payload: Option<Vec<u8>>,
}

impl Waiting {
    /// Bytes that the message counts for in the buffer while it waits.
    pub fn size_bytes(&self) -> usize {
        self.delivery.size_bytes() + self.payload.as_ref().map_or(0, Vec::len)
    }
}

/// Messages that are handled together.
#[derive(Debug)]
pub struct Batch {
    /// Tells batches of a room apart.
    pub id: u64,
    /// The batcher's name.
    pub batcher: String,
    /// The batch key.
    pub key: String,
    /// What made it complete.
    pub trigger: Trigger,
    /// The version of the component that put it together, and that handles it.
    pub version: u32,
    /// In the order in which they came; at least one.
    pub messages: Vec<Waiting>,
}

/// The batches of one plugin.
#[derive(Debug)]
pub struct Batches {
    batchers: Vec<Batcher>,
    /// Every batch that is not finished, by its number.
    held: BTreeMap<u64, Held>,
    /// The numbers of those that are open.
    open: BTreeSet<u64>,
    /// When each open one's time is over.
    deadlines: BTreeSet<(Instant, u64)>,
    lanes: Lanes,
    next_id: u64,
    /// The batcher whose turn it is, so that one with much to do does not hold up the others.
    turn: usize,
    messages: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Batcher {
    settings: Settings,
    /// The open batch of each version and batch key.
    open: hashbrown::HashMap<(u32, String), u64, foldhash::fast::RandomState>,
    /// Complete batches that no lane holds up, in the order in which they came to be so.
    ready: VecDeque<u64>,
    in_flight: usize,
}

/// A batch that is not finished.
#[derive(Debug)]
struct Held {
    batcher: usize,
    /// The version that put it together, and the batch key.
    key: (u32, String),
    state: State,
    /// Empty once it has been taken.
    messages: Vec<Waiting>,
    /// The lanes of its messages, each once.
    lanes: Vec<LaneId>,
    /// How many of the lanes have earlier batches.
    held_up: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open { deadline: Instant },
    Complete(Trigger),
    InFlight,
}

impl Batches {
    /// An empty room for these batchers.
    pub fn new(settings: Vec<Settings>, order: Order) -> Self {
        let batcher = |settings| Batcher {
            settings,
            open: hashbrown::HashMap::default(),
            ready: VecDeque::new(),
            in_flight: 0,
        };
        Self {
            batchers: settings.into_iter().map(batcher).collect(),
            held: BTreeMap::new(),
            open: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            lanes: Lanes::new(order != Order::None),
            next_id: 0,
            turn: 0,
            messages: 0,
            bytes: 0,
        }
    }

    /// Whether there is a batcher of this name.
    pub fn knows(&self, batcher: &str) -> bool {
        self.find(batcher).is_some()
    }

    /// Puts a message into the open batch of its slot, which may complete it. A message that is to be tried alone gets
    /// a batch of its own. When there is no such batcher the message comes back, with what to tell the plugin's author.
    pub fn put(
        &mut self,
        (lane, delivery): (LaneId, Delivery),
        slot: Slot,
        now: Instant,
    ) -> Result<(), (Delivery, String)> {
        let Some(batcher) = self.find(&slot.batcher) else {
            return Err((delivery, self.unknown(&slot.batcher)));
        };
        let waiting = Waiting { lane, delivery, payload: slot.payload };
        let key = (waiting.delivery.version, slot.key);
        if waiting.delivery.alone {
            let id = self.begin(batcher, key, State::Complete(Trigger::Flush));
            self.add(id, waiting);
            self.offer(id);
            return Ok(());
        }
        let open = self.batchers[batcher].open.get(&key).copied();
        let id = match open {
            // An earlier message of the lane waits in a later batch: this one is over, the message comes after both.
            Some(open) if self.lanes.latest(lane) > Some(open) => {
                self.complete(open, Trigger::Flush);
                self.open(batcher, key, now)
            }
            Some(open) => open,
            None => self.open(batcher, key, now),
        };
        if self.add(id, waiting) >= self.batchers[batcher].settings.size {
            self.complete(id, Trigger::Size);
        } else if slot.flush {
            self.complete(id, Trigger::Flush);
        }
        Ok(())
    }

    /// When the time of the next open batch is over.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Completes the batches whose time is over.
    pub fn tick(&mut self, now: Instant) {
        while let Some((deadline, id)) = self.deadlines.first().copied()
            && deadline <= now
        {
            self.complete(id, Trigger::Timeout);
        }
    }

    /// Whether a batch may start now.
    pub fn has_ready(&self) -> bool {
        self.batchers.iter().any(Batcher::has_ready)
    }

    /// Takes a batch that may start now; it is in flight until it is `finished`.
    pub fn take(&mut self) -> Option<Batch> {
        let batchers = self.batchers.len();
        let mut turns = (self.turn..self.turn + batchers).map(|turn| turn % batchers);
        let index = turns.find(|index| self.batchers[*index].has_ready())?;
        let batcher = &mut self.batchers[index];
        let id = batcher.ready.pop_front()?;
        let held = self.held.get_mut(&id)?;
        let State::Complete(trigger) = held.state else { return None };
        self.turn = (index + 1) % batchers;
        batcher.in_flight += 1;
        held.state = State::InFlight;
        let messages = std::mem::take(&mut held.messages);
        self.messages -= messages.len();
        self.bytes -= messages.iter().map(Waiting::size_bytes).sum::<usize>();
        let (batcher, (version, key)) = (batcher.settings.name.clone(), held.key.clone());
        Some(Batch { id, batcher, key, trigger, version, messages })
    }

    /// The batch that was taken under this number is over, whatever became of its messages: those that share a lane
    /// with it may follow.
    pub fn finished(&mut self, id: u64) {
        if self.held.get(&id).is_none_or(|held| held.state != State::InFlight) {
            return;
        }
        let Some(held) = self.held.remove(&id) else { return };
        self.batchers[held.batcher].in_flight -= 1;
        for lane in held.lanes {
            self.leave(lane, id);
        }
    }

    /// Completes the open batch that was opened first. False when there is none.
    pub fn flush_oldest(&mut self) -> bool {
        let Some(id) = self.open.first().copied() else { return false };
        self.complete(id, Trigger::Flush);
        true
    }

    /// Completes all open batches.
    pub fn flush_all(&mut self) {
        while self.flush_oldest() {}
    }

    /// Completes the open batches with messages of these partitions, and those that they wait for.
    pub fn flush_partitions(&mut self, partitions: &[Arc<Partition>]) {
        self.flush(|held| held.messages.iter().any(|waiting| is_of(waiting, partitions)));
    }

    /// Completes the open batches of a version that goes, and those that they wait for.
    pub fn flush_version(&mut self, version: u32) {
        self.flush(|held| held.key.0 == version);
    }

    fn flush(&mut self, is_meant: impl Fn(&Held) -> bool) {
        let mut wanted = HashSet::new();
        let mut open = Vec::new();
        for (id, held) in self.held.iter().rev() {
            if !wanted.contains(id) && !is_meant(held) {
                continue;
            }
            wanted.extend(
                held.lanes.iter().flat_map(|lane| self.lanes.batches(*lane)).filter(|other| other < id),
            );
            open.push(*id);
        }
        open.into_iter().rev().for_each(|id| self.complete(id, Trigger::Flush));
    }

    /// Messages in batches that have not started.
    pub fn messages(&self) -> usize {
        self.messages
    }

    /// Bytes of messages in batches that have not started.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Batches in flight.
    pub fn in_flight(&self) -> usize {
        self.batchers.iter().map(|batcher| batcher.in_flight).sum()
    }

    /// Whether a message that `is_meant` waits in a batch; and until when, if the batch is still open.
    pub fn find_message(&self, is_meant: impl Fn(&Delivery) -> bool) -> Option<(usize, Option<Instant>)> {
        let holds = |held: &&Held| held.messages.iter().any(|waiting| is_meant(&waiting.delivery));
        let held = self.held.values().find(holds)?;
        let deadline = match held.state {
            State::Open { deadline } => Some(deadline),
            State::Complete(_) | State::InFlight => None,
        };
        Some((held.messages.len(), deadline))
    }

    /// Whether there are batches of this version, in flight or not.
    pub fn are_of(&self, version: u32) -> bool {
        self.held.values().any(|held| held.key.0 == version)
    }

    /// Whether there is no batch, in flight or not.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    fn find(&self, batcher: &str) -> Option<usize> {
        self.batchers.iter().position(|known| known.settings.name == batcher)
    }

    fn unknown(&self, batcher: &str) -> String {
        let known: Vec<String> =
            self.batchers.iter().map(|batcher| format!("`{}`", batcher.settings.name)).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        format!("there is no batcher `{batcher}`; the config has {known}")
    }

    fn open(&mut self, batcher: usize, key: (u32, String), now: Instant) -> u64 {
        let deadline = now + self.batchers[batcher].settings.timeout;
        let id = self.begin(batcher, key.clone(), State::Open { deadline });
        self.open.insert(id);
        self.deadlines.insert((deadline, id));
        self.batchers[batcher].open.insert(key, id);
        id
    }

    fn begin(&mut self, batcher: usize, key: (u32, String), state: State) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        let held = Held { batcher, key, state, messages: Vec::new(), lanes: Vec::new(), held_up: 0 };
        self.held.insert(id, held);
        id
    }

    /// Puts a message into a batch, and returns how many there are in it now.
    fn add(&mut self, id: u64, waiting: Waiting) -> usize {
        let Some(held) = self.held.get_mut(&id) else { return 0 };
        let place = self.lanes.enter(waiting.lane, id);
        if place != Place::Known {
            held.lanes.push(waiting.lane);
        }
        held.held_up += usize::from(place == Place::Behind);
        self.messages += 1;
        self.bytes += waiting.size_bytes();
        held.messages.push(waiting);
        held.messages.len()
    }

    /// Nothing more goes into the batch, if it is open.
    fn complete(&mut self, id: u64, trigger: Trigger) {
        let Some(held) = self.held.get_mut(&id) else { return };
        let State::Open { deadline } = held.state else { return };
        held.state = State::Complete(trigger);
        self.open.remove(&id);
        self.deadlines.remove(&(deadline, id));
        self.batchers[held.batcher].open.remove(&held.key);
        self.offer(id);
    }

    /// Lets the batch be taken, if nothing of its own keeps it.
    fn offer(&mut self, id: u64) {
        let Some(held) = self.held.get(&id) else { return };
        if held.held_up == 0 && matches!(held.state, State::Complete(_)) {
            self.batchers[held.batcher].ready.push_back(id);
        }
    }

    /// One lane less that holds the batch up.
    fn let_through(&mut self, id: u64) {
        let Some(held) = self.held.get_mut(&id) else { return };
        held.held_up -= 1;
        self.offer(id);
    }

    /// `id` has no messages of the lane any more.
    fn leave(&mut self, lane: LaneId, id: u64) {
        match self.lanes.leave(lane, id) {
            (true, Some(next)) => self.let_through(next),
            (false, Some(_)) => self.let_through(id),
            (_, None) => {}
        }
    }
}

impl Batcher {
    fn has_ready(&self) -> bool {
        self.in_flight < self.settings.concurrency && !self.ready.is_empty()
    }
}

fn is_of(waiting: &Waiting, partitions: &[Arc<Partition>]) -> bool {
    partitions.iter().any(|partition| partition.id == waiting.delivery.partition().id)
}
