//! A new version beside the old one that sees copies of its messages: what it returns is compared and goes nowhere.
//!
//! It has workers, instances and metrics of its own, so that it costs the plugin nothing of its budget; when it does not
//! keep up, messages are passed over and counted.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use super::trial::Went;
use crate::ack::Delivery;
use crate::api::{Differences, Sample};
use crate::jsonl;
use crate::outcome::{Handling, OutputRecord};
use crate::plugin::{Generation, Worker};
use crate::run::{Run, RunMessage};

/// Messages that wait for the shadow. Each holds the batch that it came in.
const COPIES_MAX: usize = 256;

/// Messages that the shadow handles at the same time.
pub(super) const WORKERS: usize = 4;

/// Messages that differ and are kept to be looked at.
const SAMPLES_MAX: usize = 20;

/// Characters of an output that are shown of a message that differs.
const SHOWN_CHARS_MAX: usize = 400;

/// Where copies go, and what came of them.
#[derive(Debug)]
pub(super) struct Shadow {
    copies: mpsc::Sender<Copy>,
    // Held for a few instructions, never across an await.
    differences: Mutex<Differences>,
}

/// A message that the old version has handled, and what came of it.
#[derive(Debug)]
struct Copy {
    /// A second hold of the message; taken out to be handled.
    delivery: Option<Delivery>,
    handling: Handling,
}

impl Drop for Copy {
    fn drop(&mut self) {
        if let Some(delivery) = self.delivery.take() {
            delivery.void();
        }
    }
}

impl Shadow {
    /// A shadow whose workers run on the current runtime until it is dropped. `note` learns how each message went.
    pub(super) fn start(
        generation: &Arc<Generation>,
        note: impl Fn(Went, u64) + Clone + Send + Sync + 'static,
    ) -> Arc<Self> {
        let (copies, received) = mpsc::channel(COPIES_MAX);
        let shadow = Arc::new(Self { copies, differences: Mutex::default() });
        let received = Arc::new(tokio::sync::Mutex::new(received));
        for _ in 0..WORKERS {
            // The workers know the shadow only weakly: they end with it.
            let (shadow, received) = (Arc::downgrade(&shadow), received.clone());
            let (mut worker, note) = (generation.worker(), note.clone());
            tokio::spawn(async move {
                loop {
                    // One at a time waits; the others handle what they have.
                    let copy = received.lock().await.recv().await;
                    let Some(mut copy) = copy else { break };
                    let Some(message) = handle(&mut worker, &mut copy).await else { continue };
                    note(went(&message.handling), message.handle_ns);
                    if let Some(shadow) = shadow.upgrade() {
                        shadow.compare(&message, &copy.handling);
                    }
                    message.delivery.void();
                }
                worker.stop().await;
            });
        }
        shadow
    }

    /// Shows the shadow what came of the messages of a run. Never waits.
    pub(super) fn show(&self, run: &Run) {
        let mut missed = 0;
        for message in &run.messages {
            let Some(handling) = copied(&message.handling) else { continue };
            match self.copies.try_reserve() {
                Ok(place) => place.send(Copy { delivery: Some(message.delivery.twin()), handling }),
                Err(_) => missed += 1,
            }
        }
        if missed > 0 {
            self.lock().missed += missed;
        }
    }

    /// What has been compared so far.
    pub(super) fn differences(&self) -> Differences {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Differences> {
        self.differences.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn compare(&self, message: &RunMessage, old: &Handling) {
        let new = &message.handling;
        let mut differences = self.lock();
        differences.compared += 1;
        match (went(old) == Went::Well, went(new) == Went::Well) {
            (true, true) if old == new => return,
            (false, false) => return,
            (true, true) => differences.outputs += 1,
            _ => differences.outcomes += 1,
        }
        let position = message.delivery.message().position();
        if differences.samples.len() == SAMPLES_MAX {
            differences.samples.remove(0);
        }
        let (old, new) = (words(old, new), words(new, old));
        let (topic, partition, offset) = (position.topic.to_string(), position.partition, position.offset);
        differences.samples.push(Sample { topic, partition, offset, old, new });
    }
}

/// Gives a copy to the shadow. None when it may not start (any more).
async fn handle(worker: &mut Worker, copy: &mut Copy) -> Option<RunMessage> {
    let delivery = copy.delivery.take()?;
    let run = Run::new(vec![RunMessage::new(0, delivery)], Arc::new(AtomicBool::new(false)));
    let message = worker.handle(run).await.messages.pop()?;
    if message.handling == Handling::NotStarted {
        message.delivery.void();
        return None;
    }
    Some(message)
}

/// How a message went; what the guest never saw went neither way.
pub(super) fn went(handling: &Handling) -> Went {
    match handling {
        Handling::Failed(crate::outcome::Failure::Trap { kind, .. }) => Went::Broken(*kind),
        Handling::Failed(_) => Went::Badly,
        Handling::Done(_) | Handling::Batched(_) | Handling::NotStarted => Went::Well,
    }
}

/// What a shadow is compared with; none when there is nothing to compare.
fn copied(handling: &Handling) -> Option<Handling> {
    match handling {
        Handling::Done(records) => Some(Handling::Done(records.clone())),
        Handling::Batched(slot) => Some(Handling::Batched(slot.clone())),
        Handling::Failed(failure) => Some(Handling::Failed(failure.clone())),
        Handling::NotStarted => None,
    }
}

/// What came of a message, in words; of outputs the first in which it differs from `other`.
fn words(handling: &Handling, other: &Handling) -> String {
    match handling {
        Handling::Done(records) => {
            let others: &[OutputRecord] = if let Handling::Done(others) = other { others } else { &[] };
            let first = records.iter().enumerate().find(|(index, record)| others.get(*index) != Some(record));
            match first {
                Some((index, record)) => {
                    let output: String =
                        jsonl::output(record).to_string().chars().take(SHOWN_CHARS_MAX).collect();
                    format!("{} outputs; number {}: {output}", records.len(), index + 1)
                }
                None => format!("{} outputs", records.len()),
            }
        }
        Handling::Batched(slot) => format!("batcher `{}`, key `{}`", slot.batcher, slot.key),
        Handling::Failed(failure) => failure.to_string(),
        Handling::NotStarted => "it did not start".to_owned(),
    }
}
