//! Lanes and bounds, by example and against a plain model.

use super::*;
use crate::ack::Delivered;
use crate::message::Batch;
use proptest::prelude::*;
use std::time::Instant;

fn push(buffer: &mut Buffer, partition: &Arc<Partition>, messages: &[(i64, Option<&str>)]) {
    let mut batch = Batch::new(partition.topic.clone(), partition.number, Instant::now());
    for (offset, key) in messages {
        batch.push(*offset, None, (key.map(str::as_bytes), Some(b"payload")), []);
    }
    buffer.push(partition, Delivered::deliver(batch, partition.clone()));
}

fn take(buffer: &mut Buffer, max: usize) -> Vec<RunMessage> {
    let mut run = Vec::new();
    buffer.take(max, &mut run);
    run
}

fn offsets(run: &[RunMessage]) -> Vec<i64> {
    run.iter().map(|m| m.delivery.message().offset()).collect()
}

fn settle(buffer: &mut Buffer, message: RunMessage, end: End) {
    buffer.settle(message.lane, message.delivery, end);
}

fn assigned(order: Order, partitions: i32) -> (Buffer, Vec<Arc<Partition>>) {
    let mut buffer = Buffer::new(order, 1_000, 1 << 20);
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
    let mut buffer = Buffer::new(Order::None, 2, 1 << 20);
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
    let many: Vec<_> = (1..=SPAN_MESSAGES_MAX as i64).map(|offset| (offset, None)).collect();
    push(&mut buffer, &p[0], &many);
    assert!(p[0].is_held());
    take(&mut buffer, usize::MAX).into_iter().for_each(|message| settle(&mut buffer, message, End::Finished));
    assert!(p[0].is_held());
    settle(&mut buffer, stuck.remove(0), End::Finished);
    assert!(!p[0].is_held());
}

#[derive(Clone, Debug)]
enum Step {
    Push(u8, Option<u8>),
    Take(usize),
    Settle(usize, u8),
    Revoke(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0u8..3, prop::option::of(0u8..4)).prop_map(|(p, key)| Step::Push(p, key)),
        3 => (1usize..5).prop_map(Step::Take),
        3 => (0usize..4, 0u8..8).prop_map(|(run, how)| Step::Settle(run, how)),
        1 => (0u8..3).prop_map(Step::Revoke),
    ];
    prop::collection::vec(step, 0..200)
}

proptest! {
    /// Whatever happens: two workers never hold messages of one lane, messages of a key come in order, counts fit
    /// what is there, and a watermark never passes an unfinished message.
    #[test]
    fn lanes_keep_their_order(steps in steps(), order in prop_oneof![Just(Order::Key), Just(Order::Partition), Just(Order::None)]) {
        let (mut buffer, mut partitions) = assigned(order, 3);
        let mut runs: Vec<Vec<RunMessage>> = Vec::new();
        let mut next_offset = 0;
        let mut last_finished: std::collections::HashMap<LaneId, i64> = Default::default();
        for step in steps {
            match step {
                Step::Push(p, key) => {
                    let key = key.map(|k| k.to_string());
                    push(&mut buffer, &partitions[p as usize], &[(next_offset, key.as_deref())]);
                    next_offset += 1;
                }
                Step::Take(max) => {
                    let run = take(&mut buffer, max);
                    for message in &run {
                        prop_assert!(runs.iter().flatten().all(|other| other.lane != message.lane));
                    }
                    if !run.is_empty() { runs.push(run) }
                }
                Step::Settle(pick, how) => {
                    if runs.is_empty() { continue }
                    let run = runs.remove(pick % runs.len());
                    let mut broken: Vec<LaneId> = Vec::new();
                    for message in run {
                        let offset = message.delivery.message().offset();
                        let end = match how {
                            _ if broken.contains(&message.lane) => End::GivenBack,
                            0 => { broken.push(message.lane); End::Parked("why".into()) }
                            1 => End::GivenBack,
                            _ => {
                                if !message.delivery.partition().is_revoked() {
                                    let last = last_finished.insert(message.lane, offset);
                                    prop_assert!(last.is_none_or(|last| last < offset));
                                }
                                End::Finished
                            }
                        };
                        if matches!(end, End::GivenBack) { broken.push(message.lane) }
                        settle(&mut buffer, message, end);
                    }
                }
                Step::Revoke(p) => {
                    let old = partitions[p as usize].clone();
                    buffer.revoke(std::slice::from_ref(&old));
                    partitions[p as usize] = Partition::new("t".into(), i32::from(p));
                    buffer.assign(partitions[p as usize].clone());
                }
            }
            let out: usize = runs.iter().map(Vec::len).sum();
            prop_assert_eq!(buffer.taken(), out);
        }
        runs.into_iter().flatten().for_each(|message| settle(&mut buffer, message, End::Finished));
        loop {
            let run = take(&mut buffer, 7);
            if run.is_empty() { break }
            run.into_iter().for_each(|message| settle(&mut buffer, message, End::Finished));
        }
        prop_assert_eq!((buffer.messages(0), buffer.bytes()), (0, 0));
    }
}
