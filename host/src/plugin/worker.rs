//! One concurrency slot of a plugin: handles one run at a time, in an instance of its own or in those that all
//! workers of an async handler share.

use std::sync::Arc;
use std::time::Duration;

use super::batcher::BatchEnd;
use super::generation::Version;
use super::guest::Entry;
use super::inspect::Kind;
use super::instance::{Instance, NoInstance};
use super::shared::Shared;
use crate::ack::Delivery;
use crate::batch::Batch;
use crate::config::Instances;
use crate::outcome::OutputRecord;
use crate::run::{Lookout, RUN_MESSAGES_MAX, Run, RunMessage};

/// Most bytes of messages that cross the border in one call, so that the trampoline's memory stays small; a larger
/// message crosses alone.
const CALL_BYTES_MAX: usize = 1024 * 1024;

/// How long a worker waits when it gets no instance before it gives its run back.
const NO_INSTANCE_WAIT: Duration = Duration::from_millis(100);

/// Messages that an instance handles at least before it may be replaced because its memory is nearly used up: some
/// language runtimes leak a little with each message, and a plugin that simply needs that much must not pay a start
/// for every run.
const RECYCLE_MESSAGES_MIN: usize = 10_000;

/// One concurrency slot: handles one run at a time.
pub struct Worker {
    version: Arc<Version>,
    hands: Hands,
    lookout: Arc<Lookout>,
}

/// What a worker handles messages with.
pub(super) enum Hands {
    /// An instance of its own.
    Own(Own),
    /// Instances that all workers share.
    Shared(Arc<Shared>),
}

impl Worker {
    pub(super) fn new(version: Arc<Version>, hands: Hands) -> Self {
        Self { version, hands, lookout: Arc::default() }
    }

    /// Most messages of one run that this worker can use: 1 where messages do not cross the border together.
    pub fn longest_run(&self) -> usize {
        match (self.version.kind, self.version.plugin.instances) {
            (Kind::Handler, Instances::Reused) => RUN_MESSAGES_MAX,
            _ => 1,
        }
    }

    /// Shows what it is busy with to those who look out from here.
    pub fn seen_from(mut self, lookout: &Arc<Lookout>) -> Self {
        self.lookout.clone_from(lookout);
        self
    }

    /// Whether `handle` could begin at once.
    pub fn is_prepared(&self) -> bool {
        !matches!(&self.hands, Hands::Own(own) if own.instance.is_none())
    }

    /// Makes the instance that `handle` would make. False after a short wait when there is none to be had.
    pub async fn prepare(&mut self) -> bool {
        let Hands::Own(own) = &mut self.hands else { return true };
        match own.take().await {
            Some(instance) => {
                own.instance = Some(instance);
                true
            }
            None => false,
        }
    }

    /// Lets the guest handle `run`, and says of each message what became of it. When there is no instance to be had,
    /// all come back `NotStarted` after a short wait. Dropping the future drops the run and the instance.
    pub async fn handle(&mut self, run: Run) -> Run {
        match &mut self.hands {
            Hands::Shared(shared) => shared.handle(run).await,
            Hands::Own(own) => {
                let run = Arc::new(run);
                if run.messages.len() > 1 {
                    self.lookout.show(&run);
                }
                let entries = match self.version.kind {
                    Kind::Batcher => own.look_at_each(&run).await,
                    Kind::Handler | Kind::AsyncHandler => own.handle_each(&run).await,
                };
                merge(run, entries).await
            }
        }
    }

    /// Lets the guest handle `batch` under the limits of one message, says of each message what became of it, and notes
    /// in it whether it is to be tried alone next. Nothing starts when there is no instance to be had (after a short
    /// wait), or when the plugin is no batcher. Dropping the future drops the instance.
    pub async fn handle_batch(&mut self, batch: &mut Batch) -> BatchEnd {
        let end = match &mut self.hands {
            Hands::Own(own) if self.version.kind == Kind::Batcher => own.handle_batch(batch).await,
            _ => BatchEnd::not_started(batch.messages.len()),
        };
        end.note_alone(batch);
        end
    }

    /// Whether the plugin has a last word on messages that are given up.
    pub fn has_failure_handler(&self) -> bool {
        self.version.exports.handle_failed.is_some()
    }

    /// Lets the plugin have the last word on a message that is given up for `reason`, under the limits of a message.
    /// Whatever keeps it from returning outputs is said in words: what comes next does not depend on it.
    pub async fn handle_failed(
        &mut self,
        delivery: &Delivery,
        reason: &str,
    ) -> Result<Vec<OutputRecord>, String> {
        let mut passing = Own::new(&self.version);
        let (own, passes) = match &mut self.hands {
            Hands::Own(own) => (own, false),
            // The shared instances are busy with calls that must not be held up, nor lost to a trap of this one.
            Hands::Shared(_) => (&mut passing, true),
        };
        let Some(mut instance) = own.take().await else {
            return Err("there was no instance to be had".to_owned());
        };
        let handled = match instance.handle_failed(delivery, reason).await {
            Ok(handled) => handled,
            Err(broken) => return Err(broken.to_string()),
        };
        if passes {
            instance.stop().await;
        } else {
            own.put_back(instance, 1).await;
        }
        handled
    }

    /// Ends the worker's instance in good order.
    pub async fn stop(self) {
        match self.hands {
            Hands::Own(Own { instance: Some(instance), .. }) => instance.stop().await,
            Hands::Own(Own { instance: None, .. }) => {}
            Hands::Shared(shared) => shared.leave().await,
        }
    }
}

/// A worker's own instance, which comes with its first use.
pub(super) struct Own {
    version: Arc<Version>,
    instance: Option<Instance>,
    /// Messages that it has handled.
    handled: usize,
}

impl Own {
    pub(super) fn new(version: &Arc<Version>) -> Self {
        Self { version: version.clone(), instance: None, handled: 0 }
    }

    /// The instance, taken out while it is in use: whatever ends the call early, a broken one is not used again. None
    /// after a short wait when there is none to be had.
    async fn take(&mut self) -> Option<Instance> {
        match self.instance.take() {
            Some(instance) => Some(instance),
            None => {
                self.handled = 0;
                create(&self.version).await
            }
        }
    }

    /// Keeps `instance` for the next call, unless it has had its day with these `count` messages.
    async fn put_back(&mut self, instance: Instance, count: usize) {
        self.handled += count;
        let worn = self.handled >= RECYCLE_MESSAGES_MIN && instance.store.data().memory.is_nearly_used_up();
        if self.version.plugin.instances == Instances::PerMessage || worn {
            instance.stop().await;
        } else {
            self.instance = Some(instance);
        }
    }

    /// What became of the messages of `run`; the rest, when an instance broke or there was none, did not start.
    async fn handle_each(&mut self, run: &Arc<Run>) -> Vec<Entry> {
        let per_message = self.version.plugin.instances == Instances::PerMessage;
        let mut entries = Vec::with_capacity(run.messages.len());
        while entries.len() < run.messages.len() {
            let first = entries.len();
            let count = if per_message { 1 } else { crossing(&run.messages[first..]) };
            let Some(mut instance) = self.take().await else { break };
            if !instance.handle_each(run, (first, count), &mut entries).await {
                break;
            }
            self.put_back(instance, count).await;
        }
        entries
    }

    /// The same for a batcher, which looks at one message after the other.
    async fn look_at_each(&mut self, run: &Run) -> Vec<Entry> {
        let mut broken_lanes = Vec::new();
        let mut entries = Vec::with_capacity(run.messages.len());
        while entries.len() < run.messages.len() {
            let Some(mut instance) = self.take().await else { break };
            if !instance.look_at(run, &mut broken_lanes, &mut entries).await {
                break;
            }
            self.put_back(instance, 1).await;
        }
        entries
    }

    async fn handle_batch(&mut self, batch: &Batch) -> BatchEnd {
        let Some(mut instance) = self.take().await else {
            return BatchEnd::not_started(batch.messages.len());
        };
        match instance.handle_batch(batch).await {
            Ok(end) => {
                self.put_back(instance, batch.messages.len()).await;
                end
            }
            Err(end) => end,
        }
    }
}

/// A new instance; none after a short wait when there is none to be had, which is charged to no message.
pub(super) async fn create(version: &Arc<Version>) -> Option<Instance> {
    if let Some(instance) = version.take_spare() {
        return Some(instance);
    }
    match Instance::create(version).await {
        Ok(instance) => return Some(instance),
        Err(NoInstance::Host(reason)) => {
            version.log.host(&format!("there is no room for another instance: {reason}"));
        }
        Err(NoInstance::Guest(broken)) => {
            version.metrics.count_trap(broken.kind);
            version.log.host(&format!("the plugin does not start: {broken}"));
        }
    }
    tokio::time::sleep(NO_INSTANCE_WAIT).await;
    None
}

/// How many of `messages` cross the border in one call.
fn crossing(messages: &[RunMessage]) -> usize {
    let mut bytes = 0;
    let fits = |message: &&RunMessage| {
        bytes += message.delivery.message().size_bytes();
        bytes <= CALL_BYTES_MAX
    };
    messages.iter().take_while(fits).count().max(1)
}

/// `run` with what became of its messages, less those that were taken over by somebody else.
async fn merge(mut run: Arc<Run>, entries: Vec<Entry>) -> Run {
    // The guest's side lets go of the run whenever a call ends; who looks at it, after a few instructions.
    let mut run = loop {
        match Arc::try_unwrap(run) {
            Ok(run) => break run,
            Err(looked_at) => run = looked_at,
        }
        tokio::task::yield_now().await;
    };
    for (message, entry) in run.messages.iter_mut().zip(entries) {
        message.handling = entry.handling;
        message.handle_ns = entry.handle_ns;
        message.started_at = entry.started_at;
    }
    run.forget_taken();
    run
}
