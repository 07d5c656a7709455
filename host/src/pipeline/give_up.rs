//! The end of a message that is not handled: the plugin's last word, then a dead letter, a parked lane, or nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::settle;
use super::shared::Shared;
use crate::ack::Delivery;
use crate::buffer::End;
use crate::config::Action;
use crate::edge::{Output, Receipts, Refused};
use crate::message::Position;
use crate::outcome::{Failure, Outcome, OutputRecord};
use crate::plugin::Worker;
use crate::run::LaneId;

/// The first wait after a dead letter could not be written; it doubles.
const WRITE_BACKOFF: Duration = Duration::from_millis(100);

/// The longest such wait: a topic that is mended is found soon, and a broken one is told of no more often.
const WRITE_BACKOFF_MAX: Duration = Duration::from_secs(10);

/// How often such a wait looks whether the partition was given up meanwhile.
const WRITE_LOOK: Duration = Duration::from_millis(100);

/// What the headers of a dead letter begin with that the host adds.
const HEADER_PREFIX: &[u8] = b"gristmill-";

/// A message that no other attempt is made of.
#[derive(Debug)]
pub(super) struct GivenUp {
    lane: LaneId,
    delivery: Delivery,
    /// Why, as the dead letter says it.
    reason: String,
    /// Why, as it is shown.
    shown: String,
    /// What went wrong in the plugin's failure handler.
    last_word_error: Option<String>,
}

impl GivenUp {
    pub(super) fn new(lane: LaneId, delivery: Delivery, failure: &Failure) -> Self {
        let (reason, shown) = (failure.reason(), failure.to_string());
        Self { lane, delivery, reason, shown, last_word_error: None }
    }
}

/// A message is given up on: the plugin has the last word if it wants it, then it is over.
pub(super) fn begin(shared: &Arc<Shared>, output: &Arc<dyn Output>, message: GivenUp) {
    if shared.has_failure_handler {
        shared.decisions().last_words.push_back(message);
        shared.work.notify_one();
    } else {
        conclude(shared, output, message);
    }
}

/// Lets the plugin's failure handler see the message, and produces what it returns. Whatever comes of that, the
/// message's end is the same.
pub(super) async fn last_word(
    shared: &Arc<Shared>,
    output: &Arc<dyn Output>,
    worker: &mut Worker,
    mut message: GivenUp,
) {
    let said = worker.handle_failed(&message.delivery, &message.reason).await;
    shared.landed();
    let said = said.and_then(|records| settle::allowed(shared, &records).map(|()| records));
    let receipts = Receipts::new();
    match said {
        Ok(records) => {
            for record in records {
                output.send(settle::topic(shared, &record), &record, receipts.receipt(0)).await;
            }
        }
        Err(error) => message.last_word_error = Some(error),
    }
    let (shared, output) = (shared.clone(), output.clone());
    tokio::spawn(async move {
        if let Some((_, Refused { why, .. })) = receipts.settled().await.into_iter().next() {
            message.last_word_error = Some(format!("an output was refused: {why}"));
        }
        if let Some(error) = &message.last_word_error {
            let position = message.delivery.message().position();
            tell(&shared, |plugin| {
                tracing::warn!(plugin, %position, error, "the plugin's failure handler failed");
            });
        }
        conclude(&shared, &output, message);
    });
}

/// Does what the config says of messages that are given up on.
fn conclude(shared: &Arc<Shared>, output: &Arc<dyn Output>, message: GivenUp) {
    let action = shared.plugin.failure.action;
    let position = message.delivery.message().position();
    let (attempts, reason) = (message.delivery.attempt(), message.shown.clone());
    tell(shared, |plugin| match action {
        Action::DeadLetter => {
            let topic = shared.plugin.failure.topic.as_deref();
            tracing::warn!(plugin, %position, attempts, reason, topic, "message goes to the dead letters");
        }
        Action::Skip => tracing::warn!(plugin, %position, attempts, reason, "message skipped"),
        Action::Park => tracing::warn!(
            plugin, %position, attempts, reason,
            "message parked: its lane is held, and it is tried again after a restart"
        ),
    });
    let GivenUp { lane, delivery, .. } = message;
    match action {
        Action::Park => finish(shared, lane, delivery, End::Parked(reason), Outcome::Parked),
        Action::Skip => finish(shared, lane, delivery, End::Finished, Outcome::Skipped),
        Action::DeadLetter => {
            let letter = letter(shared, &delivery, &message.reason, message.last_word_error.as_deref());
            let (shared, output) = (shared.clone(), output.clone());
            tokio::spawn(async move {
                if write(&shared, &*output, &delivery, &letter, &position).await {
                    finish(&shared, lane, delivery, End::Finished, Outcome::DeadLettered);
                } else {
                    let mut decisions = shared.decisions();
                    decisions.buffer.settle(lane, delivery, End::GivenBack);
                    shared.changed(&mut decisions);
                }
            });
        }
    }
}

fn finish(shared: &Shared, lane: LaneId, delivery: Delivery, end: End, outcome: Outcome) {
    let mut decisions = shared.decisions();
    decisions.buffer.settle(lane, delivery, end);
    shared.metrics.count_outcome(outcome, 1);
    shared.changed(&mut decisions);
}

/// Writes a dead letter until Kafka has it. False when the message's partition was given up before.
async fn write(
    shared: &Shared,
    output: &dyn Output,
    delivery: &Delivery,
    letter: &OutputRecord,
    position: &Position,
) -> bool {
    let topic = letter.topic.as_deref().unwrap_or_default();
    let mut wait = WRITE_BACKOFF;
    loop {
        let receipts = Receipts::new();
        output.send(topic, letter, receipts.receipt(0)).await;
        let Some((_, Refused { why, .. })) = receipts.settled().await.into_iter().next() else { return true };
        shared.metrics.dead_letter_failures.fetch_add(1, Ordering::Relaxed);
        tell(shared, |plugin| {
            tracing::error!(
                plugin, %position, error = why,
                "a dead letter cannot be written; it is tried again, and the message's lane waits"
            );
        });
        let until = tokio::time::Instant::now() + wait;
        while tokio::time::Instant::now() < until {
            if delivery.partition().is_revoked() {
                return false;
            }
            tokio::time::sleep(wait.min(WRITE_LOOK)).await;
        }
        wait = (wait * 2).min(WRITE_BACKOFF_MAX);
    }
}

/// The message as a dead letter: key, payload and headers as they came, and how it ended.
fn letter(shared: &Shared, delivery: &Delivery, reason: &str, last_word_error: Option<&str>) -> OutputRecord {
    let message = delivery.message();
    let own = message.headers().filter(|header| !header.name.starts_with(HEADER_PREFIX));
    let mut headers: Vec<_> =
        own.map(|header| (header.name.to_vec(), header.value.map(<[u8]>::to_vec))).collect();
    let mut add = |name: &str, value: Option<String>| {
        headers.push(([HEADER_PREFIX, name.as_bytes()].concat(), value.map(String::into_bytes)));
    };
    add("plugin", Some(shared.plugin.name.to_string()));
    add("reason", Some(reason.to_owned()));
    add("attempts", Some(delivery.attempt().to_string()));
    add("topic", Some(message.topic().to_owned()));
    add("partition", Some(message.partition().to_string()));
    add("offset", Some(message.offset().to_string()));
    add("timestamp", message.timestamp().map(|timestamp| timestamp.to_string()));
    add("component", Some(shared.metrics.digest()));
    if let Some(error) = last_word_error {
        add("failure-handler", Some(error.to_owned()));
    }
    OutputRecord {
        topic: shared.plugin.failure.topic.clone(),
        key: message.key().map(<[u8]>::to_vec),
        payload: message.payload().map(<[u8]>::to_vec),
        headers,
    }
}

/// Says that a message is tried again.
pub(super) fn tell_retry(shared: &Shared, delivery: &Delivery, failure: &Failure, wait: Duration) {
    shared.metrics.retries.fetch_add(1, Ordering::Relaxed);
    tell(shared, |plugin| {
        let position = delivery.message().position();
        let (attempt, wait_ms) = (delivery.attempt(), wait.as_millis() as u64);
        tracing::warn!(plugin, %position, attempt, wait_ms, reason = %failure, "message failed; it is tried again");
    });
}

/// Logs something of a message that failed, unless there was too much of that lately.
fn tell(shared: &Shared, line: impl FnOnce(&str)) {
    let name = shared.plugin.name.clone();
    let rest = move |messages| {
        tracing::warn!(plugin = %name, messages, "more messages failed than are listed here one by one");
    };
    if shared.failure_log.allow(rest) {
        line(&shared.plugin.name);
    }
}
