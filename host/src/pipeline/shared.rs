//! What the intake thread and the workers of one plugin share, and the lock around the decisions.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::ack::Delivery;
use crate::budget::{Asked, Pace};
use crate::buffer::Buffer;
use crate::config;
use crate::edge::{Bell, Output, Room};
use crate::log_limit::LogLimit;
use crate::metrics::{PluginMetrics, ThrottledBy};
use crate::plugin::{Generation, Kind};
use crate::run::{RUN_MESSAGES_MAX, Run};
use crate::spans::Spans;

use super::control::{Seat, State};
use super::decisions::Decisions;
use super::hands::Hands;
use super::staff::{self, Staff};
use super::versions::Versions;
use super::worker::Task;

/// How long a run should last: long enough that crossing the border once for all of it pays, short enough that
/// nobody waits noticeably for what a worker holds.
const RUN_TARGET_NS: u64 = 1_000_000;

/// The intake reads, and hears of nothing.
const RING_NEVER: u8 = 0;
/// The buffer is full: the intake wants to hear when there is room again.
const RING_WITH_ROOM: u8 = 1;
/// The intake wants to hear of every change: it drains, or it is about to say what it waits for.
const RING_ALWAYS: u8 = 2;

/// Lines a second about messages of one plugin that failed: enough to see what is wrong, too few to hide what else is.
const FAILURE_LINES: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);

/// Everything that the ends of one plugin's way share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) seat: Arc<Seat>,
    pub(super) plugin: Arc<config::Plugin>,
    pub(super) metrics: Arc<PluginMetrics>,
    pub(super) output: Arc<dyn Output>,
    /// Where spans go; none when there is no collector.
    pub(super) spans: Option<Spans>,
    /// Given to every run; once set, nothing that has not begun begins.
    pub(super) stopping: Arc<AtomicBool>,
    /// Only who holds it waits for work or for a permit, so each is given to one worker, in the order in which
    /// they came free.
    pub(super) turn: tokio::sync::Mutex<()>,
    pub(super) work: Notify,
    /// The versions of the plugin's component.
    pub(super) versions: Arc<Versions>,
    pub(super) staff: Staff,
    /// The pace is the whole group's, and does not know yet what this host owns of it.
    pub(super) share_is_due: AtomicBool,
    /// Room for one message is worth taking, because messages come slowly or a batch may need the last of it.
    takes_singly: AtomicBool,
    /// What is logged of messages that fail.
    pub(super) failure_log: Arc<LogLimit>,
    bell: Arc<Bell>,
    /// A run of more than one message was taken since somebody last saw that there is none.
    pub(super) long_runs: AtomicBool,
    /// What the intake waits for: one of the `RING_…`.
    ring: AtomicU8,
    decisions: Mutex<Decisions>,
    in_flight: AtomicUsize,
    idle: AtomicUsize,
    /// The longest that `handle-message` took lately, in nanoseconds; halves every few runs.
    longest_ns: AtomicU64,
    began: Instant,
}

/// What a worker that asks for work gets.
#[derive(Debug)]
pub(super) enum Take {
    Task(Task, Arc<Generation>),
    /// Other versions than the worker goes by are active.
    Renewal,
    /// No message may be taken: every lane is empty, busy or waiting.
    Nothing {
        /// When the next lane has waited long enough.
        until: Option<Instant>,
    },
    /// Messages are there, but the rate permits none before this time.
    NotBefore(Instant),
}

impl Shared {
    pub(super) fn new(
        seat: Arc<Seat>,
        bell: Arc<Bell>,
        (output, spans): (Arc<dyn Output>, Option<Spans>),
        versions: Arc<Versions>,
    ) -> Self {
        let (plugin, metrics) = (seat.plugin.clone(), seat.metrics.clone());
        let decisions = Decisions::new(&plugin, &seat.budget());
        let shared = Self {
            seat,
            metrics,
            output,
            spans,
            stopping: Arc::default(),
            turn: tokio::sync::Mutex::default(),
            work: Notify::new(),
            versions,
            staff: Staff::default(),
            share_is_due: AtomicBool::new(false),
            takes_singly: AtomicBool::new(false),
            failure_log: LogLimit::new(FAILURE_LINES, FAILURE_LINES),
            bell,
            long_runs: AtomicBool::new(false),
            ring: AtomicU8::new(RING_NEVER),
            decisions: Mutex::new(decisions),
            in_flight: AtomicUsize::new(0),
            idle: AtomicUsize::new(0),
            // Until the first run has been measured, runs are of one message.
            longest_ns: AtomicU64::new(RUN_TARGET_NS),
            began: Instant::now(),
            plugin,
        };
        shared.learn_how_to_take();
        shared
    }

    /// After the budget or the component has changed.
    pub(super) fn learn_how_to_take(&self) {
        let is_batcher = self.versions.active().taking().any(|generation| generation.kind() == Kind::Batcher);
        let takes_singly = is_batcher || self.seat.budget().rate.is_some();
        self.takes_singly.store(takes_singly, Ordering::Relaxed);
    }

    /// The budget has changed to `budget`: it holds for all that has not started.
    pub(super) fn heed(self: &Arc<Self>, budget: &config::Budget) {
        self.learn_how_to_take();
        let mut decisions = self.decisions();
        decisions.buffer.resize(budget.buffer, budget.buffer_bytes);
        decisions.pacer = Pace::changed(decisions.pacer.as_ref(), budget);
        self.share_is_due.store(true, Ordering::Release);
        self.changed(&mut decisions);
        drop(decisions);
        staff::hire(self, budget.concurrency);
        // What was taken under the budget before and has not started is under this one.
        self.take_back();
        self.look_up();
    }

    /// Whoever waits looks again: workers for what they may do, the intake for room.
    pub(super) fn look_up(&self) {
        self.versions.wake();
        self.work.notify_one();
        self.bell.ring();
    }

    /// The lock is held for microseconds and never across an await. A poisoned one is used as it is: the buffer's
    /// counts are changed together, and a panic in it is a bug that shows in its tests.
    pub(super) fn decisions(&self) -> MutexGuard<'_, Decisions> {
        self.decisions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time on the clock that retries and permits are told by.
    pub(super) fn now(&self) -> std::time::Duration {
        self.began.elapsed()
    }

    /// From now on nothing starts.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.seat.say(|_| Some(State::Draining));
        self.work.notify_one();
        self.bell.ring();
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Whether nothing starts any more, and nothing that has to end before is left.
    pub(super) fn is_over(&self) -> bool {
        self.is_stopping() && {
            let decisions = self.decisions();
            decisions.batches.is_empty() && decisions.last_words.is_empty()
        }
    }

    /// There is no room: what waits for more to come does so no longer.
    pub(super) fn hurry(&self) {
        let decisions = &mut *self.decisions();
        if !decisions.buffer.has_ready() {
            self.output.hurry();
        }
        let batches = &mut decisions.batches;
        if !batches.has_ready() && batches.in_flight() == 0 && batches.flush_oldest() {
            self.work.notify_one();
        }
    }

    /// Room for the intake. With `always` it hears of every change, room or not.
    pub(super) fn room(&self, always: bool) -> Room {
        // Said before looking, so that what comes free in between rings.
        self.ring.store(RING_ALWAYS, Ordering::SeqCst);
        let mut room = self.room_in(&self.decisions().buffer, self.in_flight.load(Ordering::SeqCst));
        if self.seat.is_paused() {
            (room.messages, room.empty) = (0, false);
        }
        let ring = match () {
            () if always => RING_ALWAYS,
            () if room.messages == 0 || room.bytes == 0 => RING_WITH_ROOM,
            () => RING_NEVER,
        };
        self.ring.store(ring, Ordering::SeqCst);
        room
    }

    fn room_in(&self, buffer: &Buffer, in_flight: usize) -> Room {
        let singly = self.takes_singly.load(Ordering::Relaxed);
        let worth_taking = if singly { 1 } else { self.run_length() };
        buffer.room(in_flight, worth_taking)
    }

    /// After messages came, left or were freed: updates the gauges and wakes whom it may concern.
    pub(super) fn changed(&self, decisions: &mut Decisions) {
        let has_other_work = decisions.batches.has_ready() || decisions.buffer.next_due().is_some();
        if has_other_work || self.is_stopping() || decisions.batches.next_deadline().is_some() {
            // Whoever waits looks again, and waits no longer than until something is due.
            self.work.notify_one();
        }
        if decisions.buffer.has_ready() {
            match self.idle.load(Ordering::SeqCst) {
                0 => _ = decisions.unattended_since.get_or_insert_with(Instant::now),
                _ => self.work.notify_one(),
            }
        }
        self.show(&decisions.buffer);
    }

    pub(super) fn show(&self, buffer: &Buffer) {
        let in_flight = self.in_flight.load(Ordering::SeqCst);
        self.metrics.in_flight.store(in_flight as i64, Ordering::Relaxed);
        self.metrics.buffer_messages.store(buffer.messages(in_flight) as u64, Ordering::Relaxed);
        self.metrics.buffer_bytes.store(buffer.bytes() as u64, Ordering::Relaxed);
        self.metrics.parked_lanes.store(buffer.parked_lanes() as u64, Ordering::Relaxed);
        let room = || self.room_in(buffer, in_flight);
        match self.ring.load(Ordering::SeqCst) {
            RING_NEVER => {}
            RING_WITH_ROOM if room().messages == 0 || room().bytes == 0 => {}
            RING_WITH_ROOM => {
                // Once is enough: the intake looks again before it waits again.
                self.ring.store(RING_NEVER, Ordering::SeqCst);
                self.bell.ring();
            }
            _ => self.bell.ring(),
        }
    }

    /// Takes a run, as far as lanes and rate permit, all of it for one version. The caller is among the idle until it has
    /// its run; from then on it counts as in flight, until `landed`.
    pub(super) fn try_take(&self, hands: &Hands) -> Take {
        let longest = hands.longest_run().min(self.run_length());
        let mut decisions = self.decisions();
        let active = hands.active();
        // Looked at under the lock: whatever was taken before a change is an earlier message of its lane.
        if active.number != self.versions.number() {
            return Take::Renewal;
        }
        let Decisions { buffer, batches, last_words, pacer, unattended_since, .. } = &mut *decisions;
        let now = Instant::now();
        batches.tick(now.into_std());
        if let Some(message) = last_words.pop_front() {
            self.in_flight.fetch_add(1, Ordering::SeqCst);
            return Take::Task(Task::LastWord(message), active.stable.clone());
        }
        if let Some(batch) = batches.take() {
            self.in_flight.fetch_add(1, Ordering::SeqCst);
            // A version stays until its batches have ended.
            let generation = active.find(batch.version).unwrap_or(&active.stable).clone();
            decisions.set_out(generation.id);
            return Take::Task(Task::Batch(batch, active.mark(&generation)), generation);
        }
        buffer.wake(now - self.began);
        let next = buffer.next().filter(|_| !self.is_stopping() && !self.seat.is_paused());
        let Some(generation) = next.map(|delivery| active.version_of(delivery)) else {
            let due = buffer.next_due().map(|due| self.began + due);
            let complete = batches.next_deadline().map(Instant::from_std);
            return Take::Nothing { until: due.into_iter().chain(complete).min() };
        };
        let fits = |delivery: &Delivery| {
            active.canary.is_none() || Arc::ptr_eq(active.version_of(delivery), generation)
        };
        if let Some(since) = unattended_since.take() {
            self.metrics.add_throttled(ThrottledBy::Concurrency, now - since);
        }
        let mut run = Vec::with_capacity(longest);
        match pacer {
            None => buffer.take(longest, &mut run, fits),
            Some(pacer) => {
                while run.len() < longest && buffer.next().is_some_and(fits) {
                    match pacer.ask(now - self.began, wall()) {
                        Asked::Within(time) => {
                            buffer.take(run.len() + 1, &mut run, fits);
                            if let Some(message) = run.last_mut() {
                                message.start_before = Some(std::time::Instant::now() + time);
                            }
                        }
                        Asked::After(time) if run.is_empty() => return Take::NotBefore(now + time),
                        Asked::After(_) => break,
                    }
                }
            }
        }
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        if run.len() > 1 {
            self.long_runs.store(true, Ordering::Relaxed);
        }
        if buffer.has_ready() && self.idle.load(Ordering::SeqCst) <= 1 {
            *unattended_since = Some(now);
        }
        self.show(buffer);
        decisions.set_out(generation.id);
        let run = Run::new(run, self.stopping.clone()).by(active.mark(generation));
        Take::Task(Task::Run(run), generation.clone())
    }

    /// A worker is done with its run.
    pub(super) fn landed(&self) {
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
    }

    /// How many messages a run may have now, so that it lasts about `RUN_TARGET_NS`.
    pub(super) fn run_length(&self) -> usize {
        let longest_ns = self.longest_ns.load(Ordering::Relaxed).max(1);
        (RUN_TARGET_NS / longest_ns).clamp(1, RUN_MESSAGES_MAX as u64) as usize
    }

    /// Learns how long the slowest message of a run took. One slow message shortens runs at once, quick ones
    /// lengthen them again a fifth at a time.
    pub(super) fn measured(&self, slowest_ns: u64) {
        let faded = self.longest_ns.load(Ordering::Relaxed) / 5 * 4;
        self.longest_ns.store(faded.max(slowest_ns), Ordering::Relaxed);
    }

    /// Counts a worker that waits for work, while the guard lives.
    pub(super) fn wait_for_work(&self) -> Idle<'_> {
        self.idle.fetch_add(1, Ordering::SeqCst);
        Idle(&self.idle)
    }
}

/// Counts an idle worker while it lives.
#[derive(Debug)]
pub(super) struct Idle<'a>(&'a AtomicUsize);

impl Drop for Idle<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The wall clock's time since the Unix epoch; what hosts of a group have in common. Before 1970 there is no Kafka.
pub(super) fn wall() -> std::time::Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
}
