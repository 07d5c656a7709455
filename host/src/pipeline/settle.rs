//! What comes after the guest: its outputs go to Kafka, and each message gets its answer.

use std::sync::Arc;

use super::shared::Shared;
use crate::buffer::End;
use crate::edge::{Output, Receipts};
use crate::outcome::{Failure, Handling, Outcome, OutputRecord};
use crate::run::Run;

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
            // `allowed` has seen that there is a topic.
            let topic = record.topic.as_deref().or(shared.plugin.output.as_deref()).unwrap_or_default();
            output.send(topic, &record, receipts.receipt(index as u32)).await;
        }
    }
    receipts
}

fn allowed(shared: &Shared, records: &[OutputRecord]) -> Result<(), String> {
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
pub(super) fn answer(shared: &Arc<Shared>, run: Run, receipts: Option<Arc<Receipts>>) {
    let Some(receipts) = receipts else { return answer_now(shared, run) };
    let shared = shared.clone();
    tokio::spawn(async move {
        let mut run = run;
        for (index, reason) in receipts.settled().await {
            if let Some(message) = run.messages.get_mut(index as usize) {
                message.handling = Handling::Failed(Failure::Output { reason });
            }
        }
        answer_now(&shared, run);
    });
}

fn answer_now(shared: &Shared, run: Run) {
    let mut counts = [0; Outcome::ALL.len()];
    let mut decisions = shared.decisions();
    for message in run.messages {
        let end = match message.handling {
            Handling::Done(_) => {
                counts[Outcome::Handled as usize] += 1;
                End::Finished
            }
            Handling::Batched(slot) => {
                counts[Outcome::Parked as usize] += 1;
                let reason = format!("there is no batcher `{}`", slot.batcher);
                park(shared, &message.delivery, &Failure::Reject { reason })
            }
            Handling::NotStarted => End::GivenBack,
            Handling::Failed(failure) => {
                counts[Outcome::Parked as usize] += 1;
                park(shared, &message.delivery, &failure)
            }
        };
        decisions.buffer.settle(message.lane, message.delivery, end);
    }
    for outcome in Outcome::ALL {
        if counts[outcome as usize] > 0 {
            shared.metrics.count_outcome(outcome, counts[outcome as usize]);
        }
    }
    shared.changed(&mut decisions);
}

/// A failed message may not be dropped: its lane is held, everybody can see why, and a restart tries it again.
fn park(shared: &Shared, delivery: &crate::ack::Delivery, failure: &Failure) -> End {
    let name = shared.plugin.name.clone();
    let tell = move |messages| {
        tracing::warn!(plugin = %name, messages, "more messages were parked than are listed here one by one");
    };
    if shared.failure_log.allow(tell) {
        let position = delivery.message().position();
        tracing::warn!(
            plugin = %shared.plugin.name, %position, reason = %failure,
            "message parked: its lane is held, and it is tried again after a restart"
        );
    }
    End::Parked(failure.to_string())
}
