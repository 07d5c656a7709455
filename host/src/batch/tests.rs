//! Batches by example, and against a plain model.

use super::*;
use crate::ack::Delivered;
use crate::message;
use proptest::prelude::*;
use std::collections::HashMap;

fn settings(name: &str, size: usize, timeout_ms: u64, concurrency: usize) -> Settings {
    Settings { name: name.into(), size, timeout: Duration::from_millis(timeout_ms), concurrency }
}

fn room(order: Order) -> (Batches, Arc<Partition>, Instant) {
    let batchers = vec![settings("a", 3, 100, 2), settings("b", 2, 50, 1)];
    (Batches::new(batchers, order), Partition::new("t".into(), 0), Instant::now())
}

fn delivery(partition: &Arc<Partition>, offset: i64) -> Delivery {
    let mut batch = message::Batch::new(partition.topic.clone(), partition.number, Instant::now());
    batch.push(offset, None, (None, Some(b"payload")), []);
    Delivered::deliver(batch, partition.clone()).next().unwrap()
}

fn slot(batcher: &str, key: &str) -> Slot {
    Slot { batcher: batcher.into(), key: key.into(), flush: false, payload: None }
}

fn offsets(messages: &[Waiting]) -> Vec<i64> {
    messages.iter().map(|waiting| waiting.delivery.message().offset()).collect()
}

/// Number, trigger and offsets of the batch that may start.
fn taken(batches: &mut Batches) -> Option<(u64, Trigger, Vec<i64>)> {
    batches.take().map(|batch| (batch.id, batch.trigger, offsets(&batch.messages)))
}

#[test]
fn a_batch_is_complete_when_it_is_full_when_its_time_is_over_and_when_it_is_flushed() {
    let (mut batches, p, start) = room(Order::None);
    let ms = Duration::from_millis;
    for (offset, at) in [(0, 0), (1, 30), (2, 60)] {
        assert_eq!(taken(&mut batches), None);
        batches.put((offset as u64, delivery(&p, offset)), slot("a", "k"), start + ms(at)).unwrap();
    }
    assert_eq!(taken(&mut batches), Some((0, Trigger::Size, vec![0, 1, 2])));
    batches.put((3, delivery(&p, 3)), slot("a", "k"), start + ms(70)).unwrap();
    batches.put((4, delivery(&p, 4)), slot("a", "k"), start + ms(150)).unwrap();
    assert_eq!(batches.next_deadline(), Some(start + ms(170)), "from the first message on");
    batches.tick(start + ms(169));
    assert!(!batches.has_ready());
    batches.tick(start + ms(170));
    assert_eq!(taken(&mut batches), Some((1, Trigger::Timeout, vec![3, 4])));
    assert_eq!(batches.next_deadline(), None);
    batches.finished(0);
    batches.put((5, delivery(&p, 5)), Slot { flush: true, ..slot("a", "other") }, start).unwrap();
    assert_eq!(taken(&mut batches), Some((2, Trigger::Flush, vec![5])));
    [1, 2].into_iter().for_each(|id| batches.finished(id));
    assert!(batches.is_empty());
}

#[test]
fn an_unknown_batcher_is_named_beside_the_known_ones() {
    let (mut batches, p, now) = room(Order::Key);
    assert!(batches.knows("a") && !batches.knows("c"));
    let (message, words) = batches.put((0, delivery(&p, 7)), slot("c", "k"), now).unwrap_err();
    assert_eq!(message.message().offset(), 7);
    assert_eq!(words, "there is no batcher `c`; the config has `a`, `b`");
}

#[test]
fn a_batch_waits_for_the_earlier_batch_of_a_lane() {
    let (mut batches, p, now) = room(Order::Key);
    batches.put((9, delivery(&p, 0)), slot("a", "k"), now).unwrap();
    batches.put((9, delivery(&p, 1)), Slot { flush: true, ..slot("b", "k") }, now).unwrap();
    assert!(!batches.has_ready(), "the first is still open");
    assert!(batches.flush_oldest());
    assert_eq!(taken(&mut batches), Some((0, Trigger::Flush, vec![0])));
    assert!(!batches.has_ready(), "the first is in flight");
    batches.finished(0);
    assert_eq!(taken(&mut batches), Some((1, Trigger::Flush, vec![1])));
    batches.finished(1);
    assert_eq!((batches.is_empty(), batches.lanes.len(), batches.flush_oldest()), (true, 0, false));
}

#[test]
fn batches_never_wait_for_each_other() {
    let (mut batches, p, now) = room(Order::Key);
    // Two lanes that visit the same two batches in opposite directions.
    batches.put((1, delivery(&p, 0)), slot("a", "x"), now).unwrap();
    batches.put((2, delivery(&p, 1)), slot("a", "y"), now).unwrap();
    batches.put((1, delivery(&p, 2)), slot("a", "y"), now).unwrap();
    batches.put((2, delivery(&p, 3)), slot("a", "x"), now).unwrap();
    batches.flush_all();
    for expected in [vec![0], vec![1, 2], vec![3]] {
        let (id, trigger, offsets) = taken(&mut batches).unwrap();
        assert_eq!((trigger, offsets), (Trigger::Flush, expected));
        batches.finished(id);
    }
}

#[test]
fn a_message_to_be_tried_alone_gets_a_batch_of_its_own() {
    let (mut batches, p, now) = room(Order::Key);
    batches.put((1, delivery(&p, 0)), slot("a", "k"), now).unwrap();
    let mut blamed = delivery(&p, 1);
    blamed.alone = true;
    batches.put((2, blamed), slot("a", "k"), now).unwrap();
    batches.put((3, delivery(&p, 2)), slot("a", "k"), now).unwrap();
    assert_eq!(taken(&mut batches), Some((1, Trigger::Flush, vec![1])));
    batches.flush_all();
    assert_eq!(taken(&mut batches), Some((0, Trigger::Flush, vec![0, 2])));
}

#[test]
fn what_is_pulled_back_leaves_in_order_and_an_empty_batch_disappears() {
    let (mut batches, p, now) = room(Order::Partition);
    let put = |batches: &mut Batches, lane, offset, key: &str| {
        let payload = Some(vec![0; 10]);
        batches.put((lane, delivery(&p, offset)), Slot { payload, ..slot("a", key) }, now).unwrap();
    };
    put(&mut batches, 7, 0, "x");
    batches.flush_all();
    let first = batches.take().unwrap();
    for (lane, offset, key) in [(7, 1, "x"), (7, 2, "y"), (8, 3, "y"), (7, 4, "y"), (7, 5, "z")] {
        put(&mut batches, lane, offset, key);
    }
    assert_eq!((batches.messages(), batches.in_flight()), (5, 1));
    assert_eq!(offsets(&batches.pull_back(7)), [1, 2, 4, 5]);
    assert_eq!((batches.messages(), batches.bytes()), (1, delivery(&p, 9).size_bytes() + 10));
    assert_eq!(taken(&mut batches), Some((2, Trigger::Size, vec![3])));
    [first.id, 2].into_iter().for_each(|id| batches.finished(id));
    assert_eq!((batches.is_empty(), batches.next_deadline(), batches.lanes.len()), (true, None, 0));
    assert_eq!((batches.bytes(), batches.batchers[0].open.len()), (0, 0));
}

#[test]
fn a_partition_that_goes_takes_its_messages_along() {
    let (mut batches, p, now) = room(Order::Partition);
    let other = Partition::new("t".into(), 1);
    batches.put((1, delivery(&p, 0)), slot("a", "x"), now).unwrap();
    batches.put((1, delivery(&p, 1)), slot("a", "y"), now).unwrap();
    batches.put((2, delivery(&other, 5)), slot("a", "y"), now).unwrap();
    batches.put((3, delivery(&p, 9)), slot("a", "z"), now).unwrap();
    batches.flush_partitions(std::slice::from_ref(&other));
    assert_eq!(batches.open.len(), 1, "the batch before it is flushed too, the one beside it is not");
    assert_eq!(taken(&mut batches), Some((0, Trigger::Flush, vec![0])));
    assert_eq!(offsets(&batches.give_up(std::slice::from_ref(&p))), [1, 9]);
    assert_eq!(taken(&mut batches), Some((1, Trigger::Flush, vec![5])));
    assert_eq!((batches.messages(), batches.next_deadline()), (0, None));
}

#[test]
fn a_busy_batcher_does_not_hold_up_another() {
    let (mut batches, p, now) = room(Order::None);
    for (offset, batcher) in [(0, "b"), (1, "b"), (2, "b"), (3, "a")] {
        let slot = Slot { flush: true, ..slot(batcher, "k") };
        batches.put((offset as u64, delivery(&p, offset)), slot, now).unwrap();
    }
    let names: Vec<_> =
        std::iter::from_fn(|| batches.take()).map(|batch| (batch.batcher, batch.id)).collect();
    assert_eq!(names, [("a".into(), 3), ("b".into(), 0)], "one of `b` at a time");
}

/// A batch as the model sees it; the model keeps them in the order in which they were opened.
#[derive(Clone, Debug)]
struct Plain {
    batcher: usize,
    key: String,
    opened_at: Instant,
    trigger: Option<Trigger>,
    in_flight: Option<u64>,
    /// Offset and lane; they stay until it is finished.
    messages: Vec<(i64, LaneId)>,
    alone: bool,
}

/// What the room should do, without an index: every question looks at every batch.
#[derive(Debug)]
struct Model {
    batchers: Vec<Settings>,
    ordered: bool,
    batches: Vec<Plain>,
}

impl Model {
    fn put(&mut self, offset: i64, put: &Put, now: Instant) {
        let Put { lane, batcher, key, flush, alone } = *put;
        let key = key.to_string();
        let is_open = |plain: &Plain| plain.trigger.is_none() && plain.batcher == batcher && plain.key == key;
        let mut open = self.batches.iter().position(is_open).filter(|_| !alone);
        let latest =
            self.batches.iter().rposition(|plain| plain.messages.iter().any(|(_, other)| *other == lane));
        if self.ordered && open.is_some() && latest > open {
            self.batches[open.unwrap()].trigger = Some(Trigger::Flush);
            open = None;
        }
        let at = open.unwrap_or(self.batches.len());
        if open.is_none() {
            let messages = vec![];
            self.batches.push(Plain {
                batcher,
                key,
                opened_at: now,
                trigger: None,
                in_flight: None,
                messages,
                alone,
            });
        }
        let plain = &mut self.batches[at];
        plain.messages.push((offset, lane));
        if alone {
            plain.trigger = Some(Trigger::Flush);
        } else if plain.messages.len() == self.batchers[batcher].size {
            plain.trigger = Some(Trigger::Size);
        } else if flush {
            plain.trigger = Some(Trigger::Flush);
        }
    }

    fn deadline(&self, plain: &Plain) -> Option<Instant> {
        plain.trigger.is_none().then(|| plain.opened_at + self.batchers[plain.batcher].timeout)
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.batches.iter().filter_map(|plain| self.deadline(plain)).min()
    }

    fn tick(&mut self, now: Instant) {
        for at in 0..self.batches.len() {
            if self.deadline(&self.batches[at]).is_some_and(|deadline| deadline <= now) {
                self.batches[at].trigger = Some(Trigger::Timeout);
            }
        }
    }

    fn may_start(&self, at: usize) -> bool {
        let plain = &self.batches[at];
        let in_flight = self
            .batches
            .iter()
            .filter(|other| other.in_flight.is_some() && other.batcher == plain.batcher)
            .count();
        let shares = |other: &Plain| {
            other.messages.iter().any(|(_, lane)| plain.messages.iter().any(|(_, own)| own == lane))
        };
        plain.trigger.is_some()
            && plain.in_flight.is_none()
            && in_flight < self.batchers[plain.batcher].concurrency
            && !(self.ordered && self.batches[..at].iter().any(shares))
    }

    fn pull_back(&mut self, lane: LaneId) -> Vec<i64> {
        let mut pulled = vec![];
        for plain in self.batches.iter_mut().filter(|plain| plain.in_flight.is_none()) {
            let gone = plain.messages.extract_if(.., |(_, other)| *other == lane);
            pulled.extend(gone.map(|(offset, _)| offset));
        }
        self.batches.retain(|plain| !plain.messages.is_empty());
        pulled
    }

    fn waiting(&self) -> usize {
        self.batches.iter().filter(|plain| plain.in_flight.is_none()).map(|plain| plain.messages.len()).sum()
    }

    fn flush_oldest(&mut self) -> bool {
        let open = self.batches.iter_mut().find(|plain| plain.trigger.is_none());
        open.map(|plain| plain.trigger = Some(Trigger::Flush)).is_some()
    }
}

#[derive(Clone, Copy, Debug)]
struct Put {
    lane: LaneId,
    batcher: usize,
    key: u8,
    flush: bool,
    alone: bool,
}

#[derive(Clone, Debug)]
enum Step {
    Put(Put),
    Take,
    Finish(usize),
    Pass(u64),
    FlushOldest,
    FlushAll,
    PullBack(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let put = (0u64..4, 0usize..2, 0u8..3, prop::bool::weighted(0.1), prop::bool::weighted(0.05));
    let put = put
        .prop_map(|(lane, batcher, key, flush, alone)| Step::Put(Put { lane, batcher, key, flush, alone }));
    let step = prop_oneof![
        8 => put,
        4 => Just(Step::Take),
        3 => (0usize..4).prop_map(Step::Finish),
        2 => (1u64..60).prop_map(Step::Pass),
        1 => prop::bool::weighted(0.1).prop_map(|all| if all { Step::FlushAll } else { Step::FlushOldest }),
        1 => (0u64..4).prop_map(Step::PullBack),
    ];
    prop::collection::vec(step, 0..150)
}

/// The room and its model side by side, and what has come out.
struct Both {
    room: Batches,
    model: Model,
    partition: Arc<Partition>,
    now: Instant,
    next_offset: i64,
    flying: Vec<Batch>,
    /// How often each message came out for good.
    out: HashMap<i64, u32>,
    /// The last message of each lane that came out for good.
    last: HashMap<LaneId, i64>,
}

impl Both {
    fn new(order: Order) -> Self {
        let (room, partition, now) = room(order);
        let batchers = room.batchers.iter().map(|batcher| batcher.settings.clone()).collect();
        let model = Model { batchers, ordered: order != Order::None, batches: vec![] };
        let (flying, out, last) = (vec![], HashMap::new(), HashMap::new());
        Self { room, model, partition, now, next_offset: 0, flying, out, last }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Put(put) => {
                let offset = self.next_offset;
                self.next_offset += 1;
                let mut delivery = delivery(&self.partition, offset);
                delivery.alone = put.alone;
                let slot = Slot { flush: put.flush, ..slot(["a", "b"][put.batcher], &put.key.to_string()) };
                self.room.put((put.lane, delivery), slot, self.now).unwrap();
                self.model.put(offset, &put, self.now);
            }
            Step::Take => {
                self.take();
            }
            Step::Finish(_) if self.flying.is_empty() => {}
            Step::Finish(pick) => self.finish(pick % self.flying.len()),
            Step::Pass(ms) => {
                self.now += Duration::from_millis(ms);
                self.room.tick(self.now);
                self.model.tick(self.now);
            }
            Step::FlushOldest => assert_eq!(self.room.flush_oldest(), self.model.flush_oldest()),
            Step::FlushAll => {
                self.room.flush_all();
                while self.model.flush_oldest() {}
            }
            Step::PullBack(lane) => self.pull_back(lane),
        }
        self.compare();
    }

    /// What is pulled back is at once out for good: to put it in again is a put like any other.
    fn pull_back(&mut self, lane: LaneId) {
        let pulled = self.room.pull_back(lane);
        let expected = if self.model.ordered { self.model.pull_back(lane) } else { vec![] };
        assert_eq!(offsets(&pulled), expected);
        for waiting in pulled {
            *self.out.entry(waiting.delivery.message().offset()).or_default() += 1;
        }
    }

    fn take(&mut self) -> bool {
        let may_start: Vec<usize> =
            (0..self.model.batches.len()).filter(|at| self.model.may_start(*at)).collect();
        let Some(batch) = self.room.take() else {
            assert!(may_start.is_empty(), "{may_start:?} of {:?} may start", self.model.batches);
            return false;
        };
        let found = may_start.into_iter().find(|at| {
            let own: Vec<i64> = self.model.batches[*at].messages.iter().map(|(offset, _)| *offset).collect();
            own == offsets(&batch.messages)
        });
        let at = found.unwrap_or_else(|| panic!("{batch:?} may not start: {:?}", self.model.batches));
        let plain = &mut self.model.batches[at];
        let name = ["a", "b"][plain.batcher];
        assert_eq!((&*batch.batcher, &batch.key, Some(batch.trigger)), (name, &plain.key, plain.trigger));
        if plain.alone {
            assert_eq!(batch.messages.len(), 1);
        }
        plain.in_flight = Some(batch.id);
        if self.model.ordered {
            let shares = |one: &Waiting| {
                self.flying.iter().flat_map(|other| &other.messages).any(|other| other.lane == one.lane)
            };
            assert!(!batch.messages.iter().any(shares), "two batches of a lane are in flight");
        }
        self.flying.push(batch);
        true
    }

    fn finish(&mut self, pick: usize) {
        let batch = self.flying.swap_remove(pick);
        self.room.finished(batch.id);
        self.model.batches.retain(|plain| plain.in_flight != Some(batch.id));
        for waiting in batch.messages {
            let offset = waiting.delivery.message().offset();
            *self.out.entry(offset).or_default() += 1;
            let last = self.last.insert(waiting.lane, offset);
            assert!(!self.model.ordered || last < Some(offset), "lane {} went backwards", waiting.lane);
        }
    }

    fn compare(&self) {
        let ready = (0..self.model.batches.len()).any(|at| self.model.may_start(at));
        assert_eq!(self.room.has_ready(), ready, "{:?}", self.model.batches);
        assert_eq!(self.room.next_deadline(), self.model.next_deadline());
        assert_eq!(self.room.messages(), self.model.waiting());
        assert_eq!(self.room.bytes(), self.model.waiting() * delivery(&self.partition, 0).size_bytes());
        assert_eq!(
            (self.room.in_flight(), self.room.is_empty()),
            (self.flying.len(), self.model.batches.is_empty())
        );
        let lanes: HashSet<LaneId> =
            self.model.batches.iter().flat_map(|plain| &plain.messages).map(|(_, lane)| *lane).collect();
        assert_eq!(self.room.lanes.len(), if self.model.ordered { lanes.len() } else { 0 });
    }

    /// Flushes everything: it must all come out, each message once.
    fn end(mut self) {
        self.room.flush_all();
        while self.model.flush_oldest() {}
        while self.take() || !self.flying.is_empty() {
            if !self.flying.is_empty() {
                self.finish(0);
            }
        }
        self.compare();
        assert!(self.room.is_empty(), "stuck: {:?}", self.model.batches);
        assert_eq!(self.out.len() as i64, self.next_offset);
        assert!(self.out.values().all(|times| *times == 1));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    /// Whatever happens: the room does what the model does, no lane is in flight twice or goes backwards, nothing
    /// waits for ever, and every message comes out once.
    #[test]
    fn batches_do_what_the_plain_model_does(
        steps in steps(),
        order in prop_oneof![Just(Order::Key), Just(Order::Partition), Just(Order::None)],
    ) {
        let mut both = Both::new(order);
        steps.iter().for_each(|step| both.step(step));
        both.end();
    }
}
