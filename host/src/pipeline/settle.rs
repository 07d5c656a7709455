//! What comes after the guest: its outputs go to Kafka, and each message gets its answer.

use std::sync::Arc;

use super::give_up::{self, GivenUp};
use super::shared::Shared;
use crate::buffer::End;
use crate::edge::{Output, Receipts};
use crate::failure::{Decision, decide};
use crate::outcome::{Failure, Handling, Outcome, OutputRecord};
use crate::run::{Run, RunMessage};

/// Hands over the outputs of a run. None when there are none. Outputs that may not go where they want to fail their
/// message before anything of it is sent.
pub(super) async fn produce(shared: &Shared, output: &dyn Output, run: &mut Run) -> Option<Arc<Receipts>> {
    let mut receipts = None;
    for (index, message) in run.messages.iter_mut().enumerate() {
        let Handling::Done(records) = &mut message.handling else { continue };
        if records.is_empty() {
            continue;
        }
        if let Err(reason) = allowed(shared, records) {
            message.handling = Handling::Failed(Failure::Reject { reason });
            continue;
        }
        let receipts = receipts.get_or_insert_with(Receipts::new);
        for record in std::mem::take(records) {
            output.send(topic(shared, &record), &record, receipts.receipt(index as u32)).await;
        }
    }
    receipts
}

/// Where an output goes that is `allowed`.
pub(super) fn topic<'a>(shared: &'a Shared, record: &'a OutputRecord) -> &'a str {
    record.topic.as_deref().or(shared.plugin.output.as_deref()).unwrap_or_default()
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
/// worker does not wait for that; the messages' lanes do.
pub(super) fn answer(
    shared: &Arc<Shared>,
    output: &Arc<dyn Output>,
    run: Run,
    receipts: Option<Arc<Receipts>>,
) {
    let Some(receipts) = receipts else { return answer_now(shared, output, run) };
    let (shared, output) = (shared.clone(), output.clone());
    tokio::spawn(async move {
        let mut run = run;
        for (index, refused) in receipts.settled().await {
            if let Some(message) = run.messages.get_mut(index as usize) {
                let failure = Failure::Output { reason: refused.why, lasting: refused.lasting };
                message.handling = Handling::Failed(failure);
            }
        }
        answer_now(&shared, &output, run);
    });
}

fn answer_now(shared: &Arc<Shared>, output: &Arc<dyn Output>, run: Run) {
    let mut handled = 0;
    let (mut given_up, mut is_retried) = (Vec::new(), false);
    let mut decisions = shared.decisions();
    for RunMessage { lane, mut delivery, handling, .. } in run.messages {
        let end = match handling {
            Handling::Done(_) => {
                handled += 1;
                End::Finished
            }
            Handling::Batched(slot) => {
                let reason = format!("there is no batcher `{}`", slot.batcher);
                given_up.push(GivenUp::new(lane, delivery, &Failure::Reject { reason }));
                continue;
            }
            Handling::NotStarted => End::GivenBack,
            Handling::Failed(failure) => {
                match decide(&failure, delivery.attempt(), &shared.plugin.retry, fastrand::u32(..)) {
                    Decision::Retry(wait) => {
                        is_retried = true;
                        give_up::tell_retry(shared, &delivery, &failure, wait);
                        delivery.failed(failure.reason(), shared.now() + wait);
                        End::Retry
                    }
                    Decision::GiveUp => {
                        given_up.push(GivenUp::new(lane, delivery, &failure));
                        continue;
                    }
                }
            }
        };
        decisions.buffer.settle(lane, delivery, end);
    }
    if handled > 0 {
        shared.metrics.count_outcome(Outcome::Handled, handled);
    }
    if is_retried {
        // Whoever waits for what is due looks again.
        shared.work.notify_one();
    }
    shared.changed(&mut decisions);
    drop(decisions);
    given_up.into_iter().for_each(|message| give_up::begin(shared, output, message));
}
