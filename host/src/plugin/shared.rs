//! The instances of an async handler: each handles several messages at once, so all workers of a generation share a
//! few. An instance that breaks takes its messages with it; only the one that broke it is charged, and where that
//! cannot be told, each is tried alone next.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use wasmtime::component::{Accessor, AccessorTask};

use super::broken::Broken;
use super::generation::Version;
use super::guest::{Guest, judge, owned};
use super::instance::{HandleAsync, Instance, explain};
use super::limits::Watch;
use super::worker::create;
use crate::bindings::OwnedMessage;
use crate::outcome::{Handling, TrapKind};
use crate::run::Run;

/// A run of one message, and where it is to go when it is over.
struct Job {
    run: Run,
    answer: oneshot::Sender<Run>,
}

/// The instances that a generation's workers share.
pub(super) struct Shared {
    version: Arc<Version>,
    feeds: Vec<Feed>,
    /// The tasks behind the feeds.
    places: Vec<JoinHandle<()>>,
}

/// The way to one instance.
struct Feed {
    jobs: mpsc::UnboundedSender<Job>,
    /// Messages that are with the instance.
    load: AtomicUsize,
}

impl Shared {
    /// As many instances as threads can run. Each begins with its first message, and ends when the last worker has gone.
    pub(super) fn start(version: &Arc<Version>) -> Arc<Self> {
        let instances = version.engine.threads.max(1);
        let place = |_| {
            let (jobs, received) = mpsc::unbounded_channel();
            (Feed { jobs, load: AtomicUsize::new(0) }, tokio::spawn(live(version.clone(), received)))
        };
        let (feeds, places) = (0..instances).map(place).unzip();
        Arc::new(Self { version: version.clone(), feeds, places })
    }

    /// No instances: each message is given one of its own.
    pub(super) fn none(version: &Arc<Version>) -> Arc<Self> {
        Arc::new(Self { version: version.clone(), feeds: Vec::new(), places: Vec::new() })
    }

    /// Lets an instance handle the messages of `run`, one after the other.
    pub(super) async fn handle(&self, mut run: Run) -> Run {
        let messages = std::mem::take(&mut run.messages);
        let mut over = Vec::with_capacity(messages.len());
        for message in messages {
            let alone = message.delivery.alone;
            let single = Run::new(vec![message], run.stop.clone());
            over.extend(self.handle_single(single, alone).await.messages);
        }
        Run::new(over, run.stop)
    }

    async fn handle_single(&self, run: Run, alone: bool) -> Run {
        let stop = run.stop.clone();
        let (answer, answered) = oneshot::channel();
        let job = Job { run, answer };
        let feed = self.feeds.iter().min_by_key(|feed| feed.load.load(Ordering::Relaxed));
        let over = match feed.filter(|_| !alone) {
            Some(feed) => {
                feed.load.fetch_add(1, Ordering::Relaxed);
                let _loaded = Loaded(&feed.load);
                match feed.jobs.send(job) {
                    Ok(()) => answered.await,
                    Err(unsent) => Ok(unsent.0.run),
                }
            }
            None => {
                let (jobs, received) = mpsc::unbounded_channel();
                if let Err(unsent) = jobs.send(job) {
                    return unsent.0.run;
                }
                drop(jobs);
                live(self.version.clone(), received).await;
                answered.await
            }
        };
        // The instance's task answers every job; it ends unanswered only with the runtime itself.
        over.unwrap_or_else(|_| Run::new(Vec::new(), stop))
    }

    /// A worker has ended. With the last one the instances end, in good order.
    pub(super) async fn leave(self: Arc<Self>) {
        let Some(Self { feeds, places, .. }) = Arc::into_inner(self) else { return };
        drop(feeds);
        for place in places {
            if let Err(error) = place.await {
                tracing::error!(%error, "the task of a shared instance did not end in good order");
            }
        }
    }
}

/// One in the load of an instance.
struct Loaded<'a>(&'a AtomicUsize);

impl Drop for Loaded<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One place among the instances: an instance at a time, each until it breaks, for as long as there are jobs.
async fn live(version: Arc<Version>, mut jobs: mpsc::UnboundedReceiver<Job>) {
    while let Some(job) = jobs.recv().await {
        let Some(mut instance) = create(&version).await else {
            give_back(job, |_| {});
            continue;
        };
        let board = Arc::new(Board::new(instance.watch.clone()));
        match serve(&mut instance, job, &mut jobs, &board).await {
            Ok(()) => instance.stop().await,
            Err(error) => {
                let broken = explain(&instance.store, &error);
                version.metrics.count_trap(broken.kind);
                drop(instance);
                board.settle(broken);
            }
        }
    }
}

/// Gives the instance one job after the other, until there are no more (and all are over) or it breaks.
async fn serve(
    instance: &mut Instance,
    first: Job,
    jobs: &mut mpsc::UnboundedReceiver<Job>,
    board: &Arc<Board>,
) -> wasmtime::Result<()> {
    // From here on every job is on the board, so that none is lost with the instance.
    board.wait(first);
    let handle = instance.handle_async()?;
    instance.store.set_epoch_deadline(1);
    let watch = instance.watch.clone();
    let served = instance.store.run_concurrent(async |accessor| {
        loop {
            if !board.is_waited_at() {
                let Some(job) = jobs.recv().await else { break };
                board.wait(job);
            }
            // A handler that was lifted without async takes one call at a time: the clock starts when it can.
            poll_fn(|cx| accessor.poll_ready_for_concurrent_call(*handle.func(), cx)).await;
            if let Some((id, message)) = board.begin() {
                accessor.spawn(Call { handle, message, id, board: board.clone() })?;
            }
            tokio::task::yield_now().await;
        }
        board.empty().await;
        Ok(())
    });
    watch.guard(async { served.await? }).await
}

/// One call of `handle-message`, beside others.
struct Call {
    handle: HandleAsync,
    message: OwnedMessage,
    id: u64,
    board: Arc<Board>,
}

impl AccessorTask<Guest> for Call {
    async fn run(self, accessor: &Accessor<Guest>) -> wasmtime::Result<()> {
        let (outcome,) = self.handle.call_concurrent(accessor, (self.message,)).await?;
        self.board.finish(self.id, judge(outcome));
        Ok(())
    }
}

/// The messages that are with one instance.
struct Board {
    watch: Arc<Watch>,
    // Held for a few instructions and never across an await.
    flights: Mutex<Flights>,
    landed: tokio::sync::Notify,
}

#[derive(Default)]
struct Flights {
    next_id: u64,
    /// The job that waits until the handler can be called.
    waiting: Option<Job>,
    /// In the order of their starts: the first is the one whose time is up first.
    by_id: BTreeMap<u64, (Job, Instant)>,
}

impl Board {
    fn new(watch: Arc<Watch>) -> Self {
        Self { watch, flights: Mutex::default(), landed: tokio::sync::Notify::new() }
    }

    fn flights(&self) -> MutexGuard<'_, Flights> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts `job` where it waits until the handler can be called.
    fn wait(&self, job: Job) {
        self.flights().waiting = Some(job);
    }

    fn is_waited_at(&self) -> bool {
        self.flights().waiting.is_some()
    }

    /// The message that waited starts now. None when it may not start any more, or there is none.
    fn begin(&self) -> Option<(u64, OwnedMessage)> {
        let mut flights = self.flights();
        let job = flights.waiting.take()?;
        let Some(message) = job.run.messages.first().filter(|_| job.run.is_open(0)) else {
            give_back(job, |_| {});
            return None;
        };
        let delivery = &message.delivery;
        let message = owned(delivery);
        let id = flights.next_id;
        flights.next_id += 1;
        flights.by_id.insert(id, (job, Instant::now()));
        self.rearm(&flights);
        Some((id, message))
    }

    fn finish(&self, id: u64, handling: Handling) {
        let mut flights = self.flights();
        let landed = flights.by_id.remove(&id);
        self.rearm(&flights);
        drop(flights);
        if let Some(flight) = landed {
            land(flight, handling, false);
        }
        self.landed.notify_one();
    }

    /// The clock is that of the message which started first; CPU counts from the last start or end of any.
    fn rearm(&self, flights: &Flights) {
        match flights.by_id.first_key_value() {
            Some((_, (_, started_at))) => self.watch.restart(*started_at),
            None => self.watch.rest(),
        }
    }

    /// Waits until no message is with the instance.
    async fn empty(&self) {
        while !self.flights().by_id.is_empty() {
            self.landed.notified().await;
        }
    }

    /// The instance broke. A time-out is the fault of the message that started first, anything else of the only
    /// message there was; where there were several, none is charged and each is tried alone.
    fn settle(&self, broken: Broken) {
        let mut flights = std::mem::take(&mut *self.flights());
        let charged = match (broken.kind, flights.by_id.len()) {
            (TrapKind::Timeout, _) | (_, 1) => flights.by_id.pop_first(),
            _ => None,
        };
        let untold = charged.is_none();
        if let Some(job) = flights.waiting {
            give_back(job, |_| {});
        }
        if let Some((_, flight)) = charged {
            land(flight, Handling::Failed(broken.into_failure()), false);
        }
        flights.by_id.into_values().for_each(|flight| land(flight, Handling::NotStarted, untold));
    }
}

fn land((job, started_at): (Job, Instant), handling: Handling, alone: bool) {
    give_back(job, |run| {
        if let Some(message) = run.messages.first_mut() {
            if handling != Handling::NotStarted {
                message.started_at = Some(started_at);
                message.handle_ns = started_at.elapsed().as_nanos() as u64;
            }
            message.handling = handling;
            message.delivery.alone = alone;
        }
    });
}

/// Answers a job. Nobody waiting any more is as good: the run is dropped, and its message counts as failed.
fn give_back(job: Job, change: impl FnOnce(&mut Run)) {
    let Job { mut run, answer } = job;
    change(&mut run);
    drop(answer.send(run));
}
