//! A plugin that handles messages in batches. It is called without the trampoline: `handle-message` once for each
//! message, which is handled at once or put into a batch, and `handle-batch` for a whole batch.

use std::time::Instant;

use super::broken::Broken;
use super::guest::{Entry, OUTPUT_BYTES_MAX, judge, owned};
use super::instance::Instance;
use crate::ack::Delivery;
use crate::batch::{Batch, Waiting};
use crate::bindings::batch::{BatchInfo, Verdict};
use crate::bindings::{Failure, Output, OwnedMessage};
use crate::outcome::{self, Handling, Slot, TrapKind};
use crate::run::{LaneId, Run};

/// Most bytes of a batcher's name and of a batch key in a slot. Every open batch holds both.
const SLOT_NAME_BYTES_MAX: usize = 1024;

/// What a batcher's `handle-message` takes.
type MessageParams = (OwnedMessage,);

/// What a batcher's `handle-message` returns.
type MessageResults = (Result<Verdict, Failure>,);

/// What `handle-batch` takes.
type BatchParams = (BatchInfo, Vec<OwnedMessage>);

/// What `handle-batch` returns.
type BatchResults = (Vec<Result<Vec<Output>, Failure>>,);

/// What came of giving a batch to a guest.
#[derive(Debug, PartialEq, Eq)]
pub enum BatchEnd {
    /// What became of each message, in their order: `Done`, `Failed`, or `NotStarted` for all of them.
    Each(Vec<Handling>),
    /// It was broken off, and it cannot be told which message is to blame: none is charged, and each is to be tried
    /// alone next.
    BrokenOff {
        /// How.
        kind: TrapKind,
        /// Why.
        reason: String,
    },
}

impl BatchEnd {
    /// Nothing of a batch of so many messages has started.
    pub(super) fn not_started(messages: usize) -> Self {
        Self::Each(std::iter::repeat_with(|| Handling::NotStarted).take(messages).collect())
    }

    /// Notes in the messages of `batch` whether each is to be tried alone next.
    pub(super) fn note_alone(&self, batch: &mut Batch) {
        let alone = match self {
            Self::BrokenOff { .. } => true,
            Self::Each(handlings) if handlings.contains(&Handling::NotStarted) => return,
            Self::Each(_) => false,
        };
        batch.messages.iter_mut().for_each(|waiting| waiting.delivery.alone = alone);
    }
}

impl Instance {
    /// Lets a batcher look at the message at `index` of `run`, and puts what became of it behind `entries`. Returns
    /// whether the instance may go on.
    pub(super) async fn look_at(
        &mut self,
        run: &Run,
        broken_lanes: &mut Vec<LaneId>,
        entries: &mut Vec<Entry>,
    ) -> bool {
        let index = entries.len();
        let Some(message) = run.messages.get(index) else { return true };
        let now = Instant::now();
        if !run.begin(index, now) || broken_lanes.contains(&message.lane) {
            broken_lanes.push(message.lane);
            entries.push(Entry::not_started());
            return true;
        }
        let verdict = self.verdict(&message.delivery).await;
        let lives = verdict.is_ok();
        let handling = verdict.unwrap_or_else(|broken| Handling::Failed(broken.into_failure()));
        if matches!(handling, Handling::Failed(_)) {
            broken_lanes.push(message.lane);
        }
        let handle_ns = now.elapsed().as_nanos() as u64;
        entries.push(Entry { handling, handle_ns, started_at: Some(now) });
        lives
    }

    async fn verdict(&mut self, delivery: &Delivery) -> Result<Handling, Broken> {
        let (outcome,): MessageResults =
            self.call::<MessageParams, _>(self.version.exports.look_at, (owned(delivery),)).await?;
        Ok(match outcome {
            Ok(Verdict::Done(outputs)) => judge(Ok(outputs)),
            Ok(Verdict::Batch(slot)) => judge_slot(slot.into()),
            Err(failure) => judge(Err(failure)),
        })
    }

    /// Lets a batcher handle `batch`. A batch of one message is charged for what broke it.
    pub(super) async fn handle_batch(&mut self, batch: &Batch) -> Result<BatchEnd, BatchEnd> {
        let each = |waiting: &Waiting| {
            let message = owned(&waiting.delivery);
            match &waiting.payload {
                Some(payload) => message.with_payload(payload.clone()),
                None => message,
            }
        };
        let info = BatchInfo {
            batcher: batch.batcher.clone(),
            key: batch.key.clone(),
            size: batch.messages.len() as u32,
            trigger: batch.trigger.into(),
        };
        let params: BatchParams = (info, batch.messages.iter().map(each).collect());
        let returned = self.call::<_, BatchResults>(self.version.exports.handle_batch, params).await;
        let expected = batch.messages.len();
        let broken = match returned {
            Ok((results,)) if results.len() == expected => {
                return Ok(BatchEnd::Each(results.into_iter().map(judge).collect()));
            }
            Ok((results,)) => self.miscounted(results.len(), expected),
            Err(broken) => broken,
        };
        Err(match expected {
            1 => BatchEnd::Each(vec![Handling::Failed(broken.into_failure())]),
            _ => BatchEnd::BrokenOff { kind: broken.kind, reason: broken.reason },
        })
    }

    /// A guest that does not answer for each message is as good as one that traps.
    fn miscounted(&self, results: usize, messages: usize) -> Broken {
        let reason = format!("`handle-batch` returned {results} results for {messages} messages");
        self.version.metrics.count_trap(TrapKind::Trap);
        Broken::new(TrapKind::Trap, reason)
    }

    /// Whether the functions of a batcher have the types that they should have.
    pub(super) fn check_batcher(&mut self) -> wasmtime::Result<()> {
        let (look_at, handle_batch) = (self.version.exports.look_at, self.version.exports.handle_batch);
        self.function::<MessageParams, MessageResults>(look_at)?;
        self.function::<BatchParams, BatchResults>(handle_batch)?;
        Ok(())
    }
}

/// A slot that is too large to be kept is the guest's fault.
fn judge_slot(slot: Slot) -> Handling {
    let reject = |reason: String| Handling::Failed(outcome::Failure::Reject { reason });
    let names = [("the batcher's name", slot.batcher.len()), ("the batch key", slot.key.len())];
    if let Some((what, bytes)) = names.into_iter().find(|(_, bytes)| *bytes > SLOT_NAME_BYTES_MAX) {
        return reject(format!("{what} in a slot has {bytes} bytes, more than {SLOT_NAME_BYTES_MAX}"));
    }
    match slot.payload.as_ref().map_or(0, Vec::len) {
        bytes if bytes > OUTPUT_BYTES_MAX => {
            reject(format!("the payload in a slot has {bytes} bytes, more than {OUTPUT_BYTES_MAX}"))
        }
        _ => Handling::Batched(slot),
    }
}
