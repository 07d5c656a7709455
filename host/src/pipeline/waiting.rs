//! Why is this message waiting: where it is on its way, and what it needs to go on.

use std::time::Duration;

use super::control::{Question, Seat};
use super::decisions::Decisions;
use super::shared::Shared;
use crate::ack::{Delivery, Standing};
use crate::api::{Place, Waiting};
use crate::buffer::Found;
use crate::message::Position;

impl Seat {
    /// Where a message is on its way, and what it waits for.
    pub fn waiting(&self, question: &Question) -> Waiting {
        let Some(way) = self.way() else {
            return told("elsewhere", "the plugin has not begun to read yet".to_owned());
        };
        match question {
            Question::At(position) => Waiting { message: Some(place(position)), ..self.at(&way, position) },
            Question::Key(key) => self.of_key(&way, key),
        }
    }

    fn at(&self, way: &Shared, position: &Position) -> Waiting {
        let decisions = way.decisions();
        let is_ours = |partition: &&std::sync::Arc<crate::ack::Partition>| {
            partition.topic == position.topic && partition.number == position.partition
        };
        let Some(partition) = decisions.buffer.partitions().find(is_ours).cloned() else {
            return told(
                "elsewhere",
                "the partition is not this host's: another of its group reads it, or nobody".to_owned(),
            );
        };
        let standing = partition.progress().standing(position.offset);
        match standing {
            Standing::Finished => told("handled", "it is finished, or was before this host began".to_owned()),
            Standing::Absent => told("elsewhere", "there is no message at this offset".to_owned()),
            Standing::Unread(behind) => {
                let held = if partition.is_held() {
                    ", which is not read any further until messages that are not finished are"
                } else {
                    ""
                };
                let why = format!("it is in Kafka, behind at most {behind} others of its partition{held}");
                Waiting { behind: Some(behind), ..told("kafka", why) }
            }
            Standing::Open => {
                let is_meant = |delivery: &Delivery| {
                    delivery.partition().id == partition.id && delivery.message().offset() == position.offset
                };
                self.open(way, &decisions, is_meant).1
            }
        }
    }

    fn of_key(&self, way: &Shared, key: &[u8]) -> Waiting {
        let decisions = way.decisions();
        let (message, waiting) = self.open(way, &decisions, |delivery| delivery.message().key() == Some(key));
        let message = message.as_ref().map(place);
        if message.is_none() && waiting.state == "in-flight" {
            let why =
                "no message of this key waits here: it is in flight, in Kafka still, or handled".to_owned();
            return told("elsewhere", why);
        }
        Waiting { message, ..waiting }
    }

    /// Where a message waits that was delivered and is not finished.
    fn open(
        &self,
        way: &Shared,
        decisions: &Decisions,
        is_meant: impl Fn(&Delivery) -> bool,
    ) -> (Option<Position>, Waiting) {
        if let Some((messages, deadline)) = decisions.batches.find_message(&is_meant) {
            let until =
                deadline.map(|deadline| at(deadline.saturating_duration_since(std::time::Instant::now())));
            let why = match &until {
                Some(until) => {
                    format!("it waits in a batch of {messages} so far, until {until} at the latest")
                }
                None => format!("it waits in a batch of {messages} that is complete, for the batcher"),
            };
            return (None, Waiting { until, ..told("batch", why) });
        }
        let Some((position, found)) = decisions.buffer.find(is_meant) else {
            let why = "a worker has it, or its outputs wait for Kafka's word".to_owned();
            return (None, told("in-flight", why));
        };
        let waiting = match found {
            Found::InLane { parked: Some(reason), behind: 0, .. } => {
                told("parked", format!("it is parked: {reason}"))
            }
            Found::InLane { parked: Some(reason), behind, .. } => {
                let why = format!("its lane is parked, {behind} messages before it: {reason}");
                Waiting { behind: Some(behind as u64), ..told("parked", why) }
            }
            Found::InLane { due: Some(due), behind, .. } => {
                let until = at(due.saturating_sub(way.now()));
                let why = match behind {
                    0 => format!("it failed, and is tried again at {until}"),
                    _ => format!(
                        "{behind} messages of its lane are before it, the first of which is tried again at {until}"
                    ),
                };
                Waiting { behind: Some(behind as u64), until: Some(until), ..told("retry", why) }
            }
            Found::InLane { behind, .. } => {
                let why = format!(
                    "{behind} messages of its lane are before it, one of them in flight or about to be"
                );
                Waiting { behind: Some(behind as u64), ..told("lane", why) }
            }
            Found::Ready(behind) => self.ready(decisions, behind),
        };
        (Some(position), waiting)
    }

    /// What holds up a message that could start.
    fn ready(&self, decisions: &Decisions, behind: usize) -> Waiting {
        let count = behind as u64;
        let budget = self.budget();
        if self.is_paused() {
            return Waiting { behind: Some(count), ..told("paused", "the plugin is paused".to_owned()) };
        }
        if let (Some(_), Some(rate)) = (&decisions.pacer, budget.rate) {
            let wait = rate.period.saturating_mul(u32::try_from(behind + 1).unwrap_or(u32::MAX));
            let until = at(wait);
            let why = format!(
                "it waits for a permit of the rate, behind about {behind} others: until about {until}"
            );
            return Waiting { behind: Some(count), until: Some(until), ..told("rate", why) };
        }
        let workers = budget.concurrency;
        let why = format!(
            "it may start as soon as one of the {workers} workers is free, behind about {behind} others"
        );
        Waiting { behind: Some(count), ..told("concurrency", why) }
    }
}

fn told(state: &str, why: String) -> Waiting {
    Waiting { message: None, state: state.to_owned(), why, behind: None, until: None }
}

fn place(position: &Position) -> Place {
    Place { topic: position.topic.to_string(), partition: position.partition, offset: position.offset }
}

/// The time after `wait`, as RFC 3339 has it, to the second below.
fn at(wait: Duration) -> String {
    let wait = jiff::SignedDuration::try_from(wait).unwrap_or(jiff::SignedDuration::MAX);
    let then = jiff::Timestamp::now().checked_add(wait).unwrap_or(jiff::Timestamp::MAX);
    then.round(jiff::Unit::Millisecond).unwrap_or(then).to_string()
}
