//! Lanes and bounds, by example and against a plain model.

use super::*;
use crate::ack::Delivered;
use crate::message::Batch;
use proptest::prelude::*;
use std::time::{Duration, Instant};

const BOUNDS: Bounds = Bounds { parked: 50, span: 10_000 };

fn push(buffer: &mut Buffer, partition: &Arc<Partition>, messages: &[(i64, Option<&str>)]) {
    let mut batch = Batch::new(partition.topic.clone(), partition.number, Instant::now());
    for (offset, key) in messages {
        batch.push(*offset, None, (key.map(str::as_bytes), Some(b"payload")), []);
    }
    buffer.push(partition, Delivered::deliver(batch, partition.clone()));
}

fn take(buffer: &mut Buffer, max: usize) -> Vec<RunMessage> {
    let mut run = Vec::new();
    buffer.take(max, &mut run, |_| true);
    run
}

fn offsets(run: &[RunMessage]) -> Vec<i64> {
    run.iter().map(|m| m.delivery.message().offset()).collect()
}

fn settle(buffer: &mut Buffer, message: RunMessage, end: End) {
    buffer.settle(message.lane, message.delivery, end);
}

fn assigned(order: Order, partitions: i32) -> (Buffer, Vec<Arc<Partition>>) {
    let mut buffer = Buffer::new(order, 1_000, 1 << 20, BOUNDS);
    let partitions: Vec<_> = (0..partitions).map(|number| Partition::new("t".into(), number)).collect();
    partitions.iter().for_each(|partition| buffer.assign(partition.clone()));
    (buffer, partitions)
}

#[test]
fn two_of_a_key_are_never_out_with_two_workers() {
    let (mut buffer, p) = assigned(Order::Key, 1);
    push(&mut buffer, &p[0], &[(0, Some("a")), (1, Some("a")), (2, Some("b")), (3, None), (4, None)]);
    let mut first = take(&mut buffer, 1);
    let others = take(&mut buffer, 9);
    assert_eq!((offsets(&first), offsets(&others)), (vec![0], vec![2, 3, 4]));
    settle(&mut buffer, first.remove(0), End::Finished);
    assert_eq!(offsets(&take(&mut buffer, 9)), [1]);
}

#[test]
fn a_run_takes_what_follows_in_its_lanes() {
    let (mut buffer, p) = assigned(Order::Partition, 2);
    push(&mut buffer, &p[0], &[(0, None), (1, None), (2, None)]);
    push(&mut buffer, &p[1], &[(7, None), (8, None)]);
    let run = take(&mut buffer, 4);
    assert_eq!(offsets(&run), [0, 7, 1, 2]);
    assert!(take(&mut buffer, 4).is_empty());
    run.into_iter().for_each(|message| settle(&mut buffer, message, End::Finished));
    assert_eq!(offsets(&take(&mut buffer, 4)), [8]);
}

#[test]
fn partitions_take_turns() {
    let (mut buffer, p) = assigned(Order::None, 2);
    push(&mut buffer, &p[0], &[(0, None), (1, None), (2, None), (3, None)]);
    push(&mut buffer, &p[1], &[(9, None)]);
    assert_eq!(offsets(&take(&mut buffer, 2)), [0, 9]);
}

#[test]
fn what_is_given_back_comes_first_again() {
    let (mut buffer, p) = assigned(Order::Key, 1);
    push(&mut buffer, &p[0], &[(0, Some("a")), (1, Some("a")), (2, Some("a"))]);
    let run = take(&mut buffer, 2);
    run.into_iter().for_each(|message| settle(&mut buffer, message, End::GivenBack));
    assert_eq!(buffer.messages(0), 3);
    assert_eq!(offsets(&take(&mut buffer, 9)), [0, 1, 2]);
}

#[test]
fn a_parked_lane_holds_its_messages_outside_the_buffer() {
    let (mut buffer, p) = assigned(Order::Key, 1);
    push(&mut buffer, &p[0], &[(0, Some("a")), (1, Some("a")), (2, Some("b"))]);
    let mut run = take(&mut buffer, 1);
    settle(&mut buffer, run.remove(0), End::Parked("no".into()));
    push(&mut buffer, &p[0], &[(3, Some("a")), (4, Some("b"))]);
    assert_eq!(offsets(&take(&mut buffer, 9)), [2, 4]);
    assert_eq!(buffer.messages(0), 2);
    let parked: Vec<_> = buffer.parked().collect();
    assert_eq!((parked[0].position.offset, parked[0].messages, &*parked[0].reason), (0, 3, "no"));
    buffer.revoke(&p);
    assert!(!buffer.is_drained(&p));
}

#[test]
fn a_revoked_partition_leaves_only_what_workers_have() {
    let (mut buffer, p) = assigned(Order::Key, 2);
    push(&mut buffer, &p[0], &[(0, Some("a")), (1, Some("a")), (2, None)]);
    push(&mut buffer, &p[1], &[(5, Some("a"))]);
    let mut run = take(&mut buffer, 1);
    buffer.revoke(&p[..1]);
    assert!(!buffer.is_drained(&p[..1]));
    assert_eq!(offsets(&take(&mut buffer, 9)), [5]);
    settle(&mut buffer, run.remove(0), End::Finished);
    assert!(buffer.is_drained(&p[..1]));
    assert_eq!(p[0].progress().watermark(), Some(1));
    assert_eq!(buffer.messages(0), 1);
}

#[test]
fn a_partition_that_was_given_up_is_none_of_ours_and_is_forgotten() {
    let (mut buffer, p) = assigned(Order::Key, 2);
    push(&mut buffer, &p[0], &[(0, Some("a")), (1, Some("b"))]);
    let run = take(&mut buffer, 2);
    buffer.revoke(&p[..1]);
    assert_eq!(buffer.partitions().count(), 1, "what is still in flight of it keeps no partition");
    for message in run {
        settle(&mut buffer, message, End::Finished);
    }
    assert_eq!((buffer.slots.len(), buffer.taken(), buffer.bytes()), (1, 0, 0));
}

#[test]
fn a_full_buffer_has_no_room_and_in_flight_does_not_count() {
    let mut buffer = Buffer::new(Order::None, 2, 1 << 20, BOUNDS);
    let partition = Partition::new("t".into(), 0);
    buffer.assign(partition.clone());
    push(&mut buffer, &partition, &[(0, None), (1, None)]);
    assert_eq!(buffer.room(0, 1).messages, 0);
    let _run = take(&mut buffer, 1);
    assert_eq!(buffer.room(1, 1).messages, 1);
    assert!(!buffer.room(1, 1).empty);
}

#[test]
fn a_span_too_long_holds_the_partition_and_lets_go_again() {
    let (mut buffer, p) = assigned(Order::None, 1);
    push(&mut buffer, &p[0], &[(0, None)]);
    let mut stuck = take(&mut buffer, 1);
    let many: Vec<_> = (1..=BOUNDS.span as i64).map(|offset| (offset, None)).collect();
    push(&mut buffer, &p[0], &many);
    assert!(p[0].is_held());
    take(&mut buffer, usize::MAX).into_iter().for_each(|message| settle(&mut buffer, message, End::Finished));
    assert!(p[0].is_held());
    settle(&mut buffer, stuck.remove(0), End::Finished);
    assert!(!p[0].is_held());
}

fn fail(message: &mut RunMessage, not_before: u64) {
    message.delivery.failed("why".to_owned(), Duration::from_secs(not_before));
}

#[test]
fn waiting_retries_have_no_more_than_their_share_of_the_buffer() {
    let mut buffer = Buffer::new(Order::None, 10, 1 << 20, BOUNDS);
    let partition = Partition::new("t".into(), 0);
    buffer.assign(partition.clone());
    push(&mut buffer, &partition, &(0..10).map(|offset| (offset, None)).collect::<Vec<_>>());
    for mut message in take(&mut buffer, 10) {
        fail(&mut message, 5);
        settle(&mut buffer, message, End::Retry);
    }
    assert_eq!((buffer.messages(0), buffer.room(0, 1).messages), (5, 5));
    assert!(take(&mut buffer, 10).is_empty());
    buffer.wake(Duration::from_secs(4));
    assert_eq!((take(&mut buffer, 10).len(), buffer.next_due()), (0, Some(Duration::from_secs(5))));
    buffer.wake(Duration::from_secs(5));
    assert_eq!((take(&mut buffer, 100).len(), buffer.next_due()), (10, None));
}

#[test]
fn a_message_that_failed_after_it_left_its_lane_holds_it_again() {
    let (mut buffer, p) = assigned(Order::Key, 1);
    push(&mut buffer, &p[0], &[(0, Some("a")), (1, Some("a")), (2, Some("a"))]);
    let mut first = take(&mut buffer, 1).remove(0);
    buffer.leave_lane(first.lane, &mut first.delivery);
    let second = take(&mut buffer, 1).remove(0);
    assert_eq!(second.delivery.message().offset(), 1);
    fail(&mut first, 1);
    let lane = first.lane;
    settle(&mut buffer, first, End::Retry);
    assert!(buffer.is_held(lane));
    settle(&mut buffer, second, End::GivenBack);
    assert!(take(&mut buffer, 9).is_empty());
    buffer.wake(Duration::from_secs(1));
    assert_eq!(offsets(&take(&mut buffer, 9)), [0, 1, 2]);
}

#[derive(Clone, Debug)]
enum Step {
    Push(u8, Option<u8>),
    Take(usize),
    Settle(usize, u8),
    /// The first message of a run leaves its lane.
    Leave(usize),
    SettleLeft(usize, u8),
    Wait(u64),
    Revoke(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0u8..3, prop::option::of(0u8..4)).prop_map(|(p, key)| Step::Push(p, key)),
        4 => (1usize..5).prop_map(Step::Take),
        4 => (0usize..4, 0u8..8).prop_map(|(run, how)| Step::Settle(run, how)),
        2 => (0usize..4).prop_map(Step::Leave),
        2 => (0usize..4, 0u8..6).prop_map(|(pick, how)| Step::SettleLeft(pick, how)),
        2 => (1u64..4).prop_map(Step::Wait),
        1 => (0u8..3).prop_map(Step::Revoke),
    ];
    prop::collection::vec(step, 0..200)
}

/// A buffer under test, and what a plain model knows of it.
struct Model {
    buffer: Buffer,
    partitions: Vec<Arc<Partition>>,
    runs: Vec<Vec<RunMessage>>,
    left: Vec<RunMessage>,
    now: u64,
    next_offset: i64,
    last_finished: std::collections::HashMap<LaneId, i64>,
    /// Lanes of which a message left: their order is another room's business.
    loose: std::collections::HashSet<LaneId>,
}

impl Model {
    fn end(&mut self, message: &mut RunMessage, how: u8) -> End {
        match how {
            0 => End::Parked("why".into()),
            1 => End::GivenBack,
            2 => {
                fail(message, self.now + 2);
                End::Retry
            }
            _ => {
                let offset = message.delivery.message().offset();
                if !message.delivery.partition().is_revoked() && !self.loose.contains(&message.lane) {
                    let last = self.last_finished.insert(message.lane, offset);
                    assert!(last.is_none_or(|last| last < offset), "{last:?} came before {offset}");
                }
                End::Finished
            }
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Push(p, key) => {
                let key = key.map(|k| k.to_string());
                push(&mut self.buffer, &self.partitions[p as usize], &[(self.next_offset, key.as_deref())]);
                self.next_offset += 1;
            }
            Step::Take(max) => {
                let run = take(&mut self.buffer, max);
                for message in &run {
                    assert!(self.runs.iter().flatten().all(|other| other.lane != message.lane));
                    assert_eq!(message.delivery.not_before(), None, "taken before its time");
                }
                if !run.is_empty() {
                    self.runs.push(run);
                }
            }
            Step::Settle(pick, how) => {
                if self.runs.is_empty() {
                    return;
                }
                let run = self.runs.remove(pick % self.runs.len());
                let mut broken: Vec<LaneId> = Vec::new();
                for mut message in run {
                    let given_back = broken.contains(&message.lane) || self.buffer.is_held(message.lane);
                    let end = if given_back { End::GivenBack } else { self.end(&mut message, how) };
                    if !matches!(end, End::Finished) {
                        broken.push(message.lane);
                    }
                    settle(&mut self.buffer, message, end);
                }
            }
            Step::Leave(pick) => {
                if self.runs.is_empty() {
                    return;
                }
                let pick = pick % self.runs.len();
                let mut message = self.runs[pick].remove(0);
                if self.runs[pick].is_empty() {
                    self.runs.remove(pick);
                }
                self.loose.insert(message.lane);
                self.buffer.leave_lane(message.lane, &mut message.delivery);
                self.left.push(message);
            }
            Step::SettleLeft(pick, how) => {
                if !self.left.is_empty() {
                    let mut message = self.left.remove(pick % self.left.len());
                    // A lane is parked once only: what fails behind a parked message waits behind it.
                    let is_held = self.buffer.is_held(message.lane);
                    let how = if how == 0 && is_held { 1 } else { how };
                    let end = self.end(&mut message, how);
                    settle(&mut self.buffer, message, end);
                }
            }
            Step::Wait(seconds) => {
                self.now += seconds;
                self.buffer.wake(Duration::from_secs(self.now));
            }
            Step::Revoke(p) => {
                let old = self.partitions[p as usize].clone();
                self.buffer.revoke(std::slice::from_ref(&old));
                self.partitions[p as usize] = Partition::new("t".into(), i32::from(p));
                self.buffer.assign(self.partitions[p as usize].clone());
            }
        }
        let out = self.runs.iter().map(Vec::len).sum::<usize>() + self.left.len();
        assert_eq!(self.buffer.taken(), out);
    }

    /// Everything is handled now, as far as it is not parked.
    fn finish(mut self) {
        let runs = std::mem::take(&mut self.runs).into_iter().flatten();
        let out: Vec<_> = runs.chain(std::mem::take(&mut self.left)).collect();
        out.into_iter().for_each(|message| settle(&mut self.buffer, message, End::Finished));
        self.buffer.wake(Duration::from_secs(self.now + 10));
        loop {
            let run = take(&mut self.buffer, 7);
            if run.is_empty() && self.buffer.next_due().is_none() {
                break;
            }
            run.into_iter().for_each(|message| settle(&mut self.buffer, message, End::Finished));
            self.buffer.wake(Duration::from_secs(self.now + 10));
        }
        assert_eq!((self.buffer.messages(0), self.buffer.bytes(), self.buffer.retrying), (0, 0, (0, 0)));
        let parked: usize = self.buffer.parked().map(|lane| lane.messages).sum();
        let unfinished: usize = self.partitions.iter().map(|p| p.progress().unfinished()).sum();
        assert_eq!(unfinished, parked, "a message is neither finished nor parked");
        let aside: usize = self.buffer.slots.values().map(|slot| slot.aside).sum();
        assert_eq!(aside, parked);
    }
}

proptest! {
    /// Whatever happens: two workers never hold messages of one lane, messages of a key come in order, nothing is taken
    /// before its time, counts fit what is there, and in the end every message is finished or parked.
    #[test]
    fn lanes_keep_their_order(
        steps in steps(),
        order in prop_oneof![Just(Order::Key), Just(Order::Partition), Just(Order::None)],
        messages_max in 1usize..20,
    ) {
        let (mut buffer, partitions) = assigned(order, 3);
        buffer.messages_max = messages_max;
        let mut model = Model {
            buffer, partitions, runs: Vec::new(), left: Vec::new(), now: 0, next_offset: 0,
            last_finished: Default::default(), loose: Default::default(),
        };
        steps.into_iter().for_each(|step| model.step(step));
        model.finish();
    }
}
