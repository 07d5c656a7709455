//! The end of a message that is not handled: the plugin's last word, then a dead letter, a parked lane, or nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::settle;
use super::shared::Shared;
use super::tap::{self, Turn};
use super::traces::{self, Told};
use crate::ack::Delivery;
use crate::buffer::End;
use crate::config::Action;
use crate::edge::{Ended, Receipts, Refused};
use crate::outcome::{Failure, Outcome, OutputRecord};
use crate::plugin::Worker;
use crate::run::LaneId;
use crate::spans::Became;

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
    /// What the plugin's failure handler wants to be produced.
    last_words: Vec<OutputRecord>,
    /// What went wrong in the plugin's failure handler.
    last_word_error: Option<String>,
    /// What is done with it.
    action: Action,
    /// How long its last attempt took.
    handle_ns: u64,
}

impl GivenUp {
    pub(super) fn new(
        (lane, delivery): (LaneId, Delivery),
        handle_ns: u64,
        failure: &Failure,
        action: Action,
    ) -> Self {
        let (reason, shown) = (failure.reason(), failure.to_string());
        let last_words = Vec::new();
        Self { lane, delivery, reason, shown, last_words, last_word_error: None, action, handle_ns }
    }

    /// A parked message that an operator gives up on.
    pub(super) fn skipped(lane: LaneId, delivery: Delivery, parked_for: String) -> Self {
        let (reason, shown) =
            (parked_for.clone(), format!("an operator skipped it; it was parked: {parked_for}"));
        Self {
            lane,
            delivery,
            reason,
            shown,
            last_words: Vec::new(),
            last_word_error: None,
            action: Action::Skip,
            handle_ns: 0,
        }
    }

    fn last_word_failed(&mut self, shared: &Shared, error: String) {
        let position = self.delivery.message().position();
        tell(shared, |plugin| {
            tracing::warn!(plugin, %position, error, "the plugin's failure handler failed");
        });
        self.last_word_error = Some(error);
    }
}

/// A message is given up on: the plugin has the last word if it wants it, then it is over.
pub(super) fn begin(shared: &Arc<Shared>, message: GivenUp) {
    if shared.versions.active().stable.has_failure_handler() {
        shared.decisions().last_words.push_back(message);
        shared.work.notify_one();
    } else {
        conclude(shared, message);
    }
}

/// Lets the plugin's failure handler see the message, and produces what it returns. Whatever comes of that, the
/// message's end is the same.
pub(super) async fn last_word(shared: &Arc<Shared>, worker: &mut Worker, mut message: GivenUp) {
    // The version that it was to be given to may have gone, and this one wants no last word.
    if !worker.has_failure_handler() {
        shared.landed();
        return conclude(shared, message);
    }
    let said = worker.handle_failed(&message.delivery, &message.reason).await;
    shared.landed();
    match said.and_then(|records| settle::allowed(shared, &records).map(|()| records)) {
        Ok(mut records) => {
            traces::hand_on(shared, &message.delivery, &mut records);
            message.last_words = records;
        }
        Err(error) => message.last_word_failed(shared, error),
    }
    // In a transaction they become final with the message's end, or not at all.
    if message.last_words.is_empty() || shared.output.is_transactional() {
        return conclude(shared, message);
    }
    let records = std::mem::take(&mut message.last_words);
    let receipts = Receipts::new();
    shared.output.hand_over(Ended { mark: None, records, receipt: receipts.receipt(0) }).await;
    let shared = shared.clone();
    tokio::spawn(async move {
        if let Some((_, Refused::Failed { why, .. })) = receipts.settled().await.pop() {
            message.last_word_failed(&shared, format!("an output was refused: {why}"));
        }
        conclude(&shared, message);
    });
}

/// Does what the config says of messages that are given up on.
pub(super) fn conclude(shared: &Arc<Shared>, message: GivenUp) {
    let action = message.action;
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
            "message parked: its lane is held until it is released or skipped, or after a restart"
        ),
    });
    let outcome = match action {
        Action::Park => Outcome::Parked,
        Action::Skip => Outcome::Skipped,
        Action::DeadLetter => Outcome::DeadLettered,
    };
    let turn = Turn::GivenUp { outcome, reason: &reason };
    tap::show(shared, &message.delivery, message.handle_ns, turn);
    let letter = (action == Action::DeadLetter).then(|| letter(shared, &message));
    let GivenUp { lane, delivery, last_words, .. } = message;
    let records: Vec<OutputRecord> = last_words.into_iter().chain(letter).collect();
    let end = if action == Action::Park { End::Parked(reason) } else { End::Finished };
    let is_final_at_once = records.is_empty() && !(shared.output.is_transactional() && end.is_finished());
    if is_final_at_once {
        return finish(shared, lane, delivery, end, Some(outcome));
    }
    let shared = shared.clone();
    tokio::spawn(async move {
        if write(&shared, &delivery, records, end.is_finished()).await {
            finish(&shared, lane, delivery, end, Some(outcome));
        } else {
            finish(&shared, lane, delivery, End::GivenBack, None);
        }
    });
}

fn finish(shared: &Shared, lane: LaneId, mut delivery: Delivery, end: End, outcome: Option<Outcome>) {
    let mut told = Told::new(shared);
    told.end(&mut delivery, outcome.map_or(Became::GivenBack, Became::Outcome));
    told.send();
    let mut decisions = shared.decisions();
    decisions.settle(lane, delivery, end);
    if let Some(outcome) = outcome {
        shared.metrics.count_outcome(outcome, 1);
    }
    shared.changed(&mut decisions);
}

/// Hands over the end of a message until Kafka has it. False when the message's partition was given up before.
async fn write(shared: &Shared, delivery: &Delivery, records: Vec<OutputRecord>, is_finished: bool) -> bool {
    let mut wait = WRITE_BACKOFF;
    loop {
        let receipts = Receipts::new();
        let mark = is_finished.then(|| delivery.mark());
        let ended = Ended { mark, records: records.clone(), receipt: receipts.receipt(0) };
        shared.output.hand_over(ended).await;
        let error = match receipts.settled().await.pop() {
            None => return true,
            Some((_, Refused::Void)) => return false,
            Some((_, Refused::Failed { why, .. })) => why,
        };
        shared.metrics.dead_letter_failures.fetch_add(1, Ordering::Relaxed);
        let position = delivery.message().position();
        tell(shared, |plugin| {
            tracing::error!(
                plugin, %position, error,
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
fn letter(shared: &Shared, given_up: &GivenUp) -> OutputRecord {
    let GivenUp { delivery, reason, last_word_error, .. } = given_up;
    let message = delivery.message();
    let own = message.headers().filter(|header| !header.name.starts_with(HEADER_PREFIX));
    let mut headers: Vec<_> =
        own.map(|header| (header.name.to_vec(), header.value.map(<[u8]>::to_vec))).collect();
    let mut add = |name: &str, value: Option<String>| {
        headers.push(([HEADER_PREFIX, name.as_bytes()].concat(), value.map(String::into_bytes)));
    };
    add("plugin", Some(shared.plugin.name.to_string()));
    add("reason", Some(reason.clone()));
    add("attempts", Some(delivery.attempt().to_string()));
    add("topic", Some(message.topic().to_owned()));
    add("partition", Some(message.partition().to_string()));
    add("offset", Some(message.offset().to_string()));
    add("timestamp", message.timestamp().map(|timestamp| timestamp.to_string()));
    add("component", Some(shared.metrics.digest()));
    if let Some(error) = last_word_error {
        add("failure-handler", Some(error.clone()));
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
pub(super) fn tell(shared: &Shared, line: impl FnOnce(&str)) {
    let name = shared.plugin.name.clone();
    let rest = move |messages| {
        tracing::warn!(plugin = %name, messages, "more messages failed than are listed here one by one");
    };
    if shared.failure_log.allow(rest) {
        line(&shared.plugin.name);
    }
}
