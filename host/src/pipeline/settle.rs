//! What comes after the guest: its outputs go to Kafka, and each message gets its answer.

use std::sync::Arc;

use super::decisions::Decisions;
use super::give_up::{self, GivenUp};
use super::shadow;
use super::shared::Shared;
use super::tap::{self, Turn};
use super::traces::{self, Told};
use crate::ack::Delivery;
use crate::buffer::End;
use crate::edge::{Ended, Receipts, Refused};
use crate::failure::{Decision, decide};
use crate::outcome::{Failure, Handling, Outcome, OutputRecord};
use crate::run::{LaneId, Run, RunMessage, Version};
use crate::spans::{self, Became};

/// Hands over what a run came to. None when there is nothing to wait for. Outputs that may not go where they want to
/// fail their message before anything of it is sent.
pub(super) async fn produce(shared: &Shared, run: &mut Run) -> Option<Arc<Receipts>> {
    traces::begin(shared, run);
    let mut receipts = None;
    let is_transactional = shared.output.is_transactional();
    let is_watched = shared.seat.tap().is_some();
    for (index, message) in run.messages.iter_mut().enumerate() {
        let Handling::Done(records) = &mut message.handling else { continue };
        if records.is_empty() && !is_transactional {
            continue;
        }
        if let Err(reason) = allowed(shared, records) {
            message.handling = Handling::Failed(Failure::Reject { reason });
            continue;
        }
        traces::hand_on(shared, &message.delivery, records);
        let receipt = receipts.get_or_insert_with(Receipts::new).receipt(index as u32);
        // Whoever watches is shown them once Kafka has them.
        let records = if is_watched { records.clone() } else { std::mem::take(records) };
        let mark = Some(message.delivery.mark());
        shared.output.hand_over(Ended { mark, records, receipt }).await;
    }
    if is_transactional && receipts.is_some() {
        let mut decisions = shared.decisions();
        let done = run.messages.iter_mut().filter(|message| matches!(message.handling, Handling::Done(_)));
        done.for_each(|message| decisions.buffer.leave_lane(message.lane, &mut message.delivery));
        shared.changed(&mut decisions);
    }
    receipts
}

/// Whether all of `records` have a topic that they may go to.
pub(super) fn allowed(shared: &Shared, records: &[OutputRecord]) -> Result<(), String> {
    for record in records {
        match &record.topic {
            None if shared.plugin.output.is_none() => {
                return Err("an output names no topic and the plugin has no `output`".to_owned());
            }
            Some(topic) if !shared.plugin.allow_produce.contains(topic) => {
                return Err(format!("an output names topic `{topic}`, which `allow.produce` does not list"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Answers for every message of a run: at once when nothing was sent, else when Kafka has confirmed all of it. The
/// worker does not wait for that; the messages' lanes do, and if the run was a batch, those that share a lane with it.
pub(super) fn answer(shared: &Arc<Shared>, run: Run, receipts: Option<Arc<Receipts>>, batch: Option<u64>) {
    let Some(receipts) = receipts else { return answer_now(shared, run, batch) };
    let shared = shared.clone();
    tokio::spawn(async move {
        let mut run = run;
        for (index, refused) in receipts.settled().await {
            if let Some(message) = run.messages.get_mut(index as usize) {
                message.handling = match refused {
                    Refused::Void => Handling::NotStarted,
                    Refused::Failed { why: reason, lasting } => {
                        Handling::Failed(Failure::Output { reason, lasting })
                    }
                };
            }
        }
        answer_now(&shared, run, batch);
    });
}

fn answer_now(shared: &Arc<Shared>, run: Run, batch: Option<u64>) {
    let version = run.version;
    let too_bad = version.compared.then(|| compare(shared, &run)).flatten();
    let mut answers = Answers { shared, version, handled: 0, given_up: Vec::new(), told: Told::new(shared) };
    let mut decisions = shared.decisions();
    run.messages.into_iter().for_each(|message| answers.give(&mut decisions, message));
    let Answers { handled, given_up, told, .. } = answers;
    if handled > 0 {
        shared.metrics.count_outcome(Outcome::Handled, handled);
    }
    if let Some(batch) = batch {
        decisions.batches.finished(batch);
    }
    shared.changed(&mut decisions);
    decisions.come_home(version.id);
    let has_ended = decisions.has_nothing_of(version.id);
    drop(decisions);
    told.send();
    if has_ended {
        shared.versions.let_go(version.id);
    }
    if let Some(reason) = too_bad {
        shared.seat.roll_back_by_itself(reason);
    }
    given_up.into_iter().for_each(|message| give_up::begin(shared, message));
}

/// The answers for the messages of one run, and what is to be done when the lock is let go.
struct Answers<'a> {
    shared: &'a Arc<Shared>,
    version: Version,
    handled: u64,
    given_up: Vec<GivenUp>,
    told: Told<'a>,
}

impl Answers<'_> {
    fn give(&mut self, decisions: &mut Decisions, message: RunMessage) {
        let RunMessage { lane, mut delivery, handling, handle_ns, .. } = message;
        if let Handling::Failed(failure) = &handling {
            spans::fail(&mut delivery, failure);
        }
        if self.version.on_trial && is_its_fault(&handling) {
            delivery.untried = true;
            return self.give_back(decisions, (lane, delivery));
        }
        match handling {
            Handling::Done(records) => {
                self.handled += 1;
                tap::show(self.shared, &delivery, handle_ns, Turn::Handled(&records));
                self.told.end(&mut delivery, Became::Outcome(Outcome::Handled));
                decisions.settle(lane, delivery, End::Finished);
            }
            Handling::NotStarted => self.give_back(decisions, (lane, delivery)),
            Handling::Batched(slot) => {
                let unknown = decisions.put(self.shared, (lane, delivery), slot, self.version).err();
                if let Some((delivery, reason)) = unknown {
                    self.fail(decisions, (lane, delivery), handle_ns, &Failure::Reject { reason });
                }
            }
            Handling::Failed(failure) => self.fail(decisions, (lane, delivery), handle_ns, &failure),
        }
    }

    /// It is as if it had never been taken.
    fn give_back(&mut self, decisions: &mut Decisions, (lane, mut delivery): (LaneId, Delivery)) {
        self.told.end(&mut delivery, Became::GivenBack);
        decisions.settle(lane, delivery, End::GivenBack);
    }

    /// It is tried again, or given up on.
    fn fail(
        &mut self,
        decisions: &mut Decisions,
        (lane, mut delivery): (LaneId, Delivery),
        handle_ns: u64,
        failure: &Failure,
    ) {
        let shared = self.shared;
        match decide(failure, delivery.attempt(), &shared.plugin.retry, fastrand::u32(..)) {
            Decision::Retry(wait) => {
                give_up::tell_retry(shared, &delivery, failure, wait);
                if shared.seat.tap().is_some() {
                    let reason = &failure.to_string();
                    tap::show(shared, &delivery, handle_ns, Turn::Again { reason, wait });
                }
                self.told.end(&mut delivery, Became::Retried(wait));
                delivery.failed(failure.reason(), shared.now() + wait);
                decisions.settle(lane, delivery, End::Retry);
            }
            Decision::GiveUp => {
                let action = shared.plugin.failure.action;
                self.given_up.push(GivenUp::new((lane, delivery), handle_ns, failure, action));
            }
        }
    }
}

/// Notes how the messages of a run went, beside another version's. Returns why the one that is tried has to go, if it
/// has to.
fn compare(shared: &Shared, run: &Run) -> Option<String> {
    let started = run.messages.iter().filter(|message| message.started_at.is_some());
    let counted =
        started.filter(|message| !matches!(message.handling, Handling::Failed(Failure::Output { .. })));
    let went = counted.map(|message| (shadow::went(&message.handling), message.handle_ns));
    shared.versions.note(run.version, went)
}

/// Whether the version that handled it is to blame for what became of a message.
fn is_its_fault(handling: &Handling) -> bool {
    matches!(handling, Handling::Failed(failure) if !matches!(failure, Failure::Output { .. }))
}
