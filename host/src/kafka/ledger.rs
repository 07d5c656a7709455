//! Exactly-once: outputs and progress become final together, many messages in one Kafka transaction.
//!
//! One thread belongs to each ledger. It gathers messages that are over for a moment, hands their outputs over, waits until
//! Kafka has them, and commits them with the progress that they make: the watermark and what is finished beyond it. The
//! group's coordinator refuses the offsets of a member that the group has moved on without, and then nothing of the
//! transaction ever shows. Whatever goes wrong, the transaction is aborted and everything that was read since the last
//! commit is read again: the consumer joins anew, and what was handed over from before is void.
//!
//! Two producers take turns: after a commit the broker still writes its mark into every partition of the outputs, and
//! refuses the same producer's next transaction meanwhile (measured: 20 to 40 ms with 50 partitions, more than all the rest).

mod open;

use std::collections::HashMap;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rdkafka::ClientConfig;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::producer::Producer;

use super::bond::Bond;
use super::lease::Lease;
use super::{KafkaSource, options};
use crate::ack::Partition;
use crate::config::Plugin;
use crate::edge::{Ended, Output, Receipt, Refused};
use crate::message::Position;
use crate::metrics::PluginMetrics;
use open::{Handle, Open};

/// How long a transaction gathers messages, in ms, unless somebody waits: what it adds to the time until outputs show,
/// against what each transaction costs (some round trips, 5 to 10 ms).
const GATHER_MS: u64 = 50;

/// Most messages of a transaction: what is done again when it is aborted.
const MESSAGES_MAX: usize = 20_000;

/// A transaction ends with one in so many of the messages that the buffer holds: while it commits, the others are handled.
const BUFFER_SHARE: usize = 2;

/// Most bytes of the outputs of a transaction, well below what librdkafka holds.
const BYTES_MAX: usize = 64 * 1024 * 1024;

/// Offsets beyond the watermark that fit into a commit whatever is finished of them: a bit for each in 4 096 characters,
/// less some for good measure. A message further away waits until the watermark has come closer.
const REACH: i64 = 24_000;

/// Producers that take turns.
const PRODUCERS: usize = 2;

/// How long one step of a transaction may take, in ms, before it is tried again.
const STEP_MS_MAX: u64 = 5_000;

/// How often a step that may pass is tried.
const STEPS_MAX: usize = 6;

/// How long to wait, in ms, before a producer that could not begin is tried again.
const AGAIN_MS: u64 = 500;

/// How often void messages are looked at, in ms, while their partitions are still to be released.
const VOID_LOOK_MS: u64 = 20;

enum Command {
    Ended(Ended),
    Hurry,
}

/// Where an exactly-once plugin's messages end.
pub struct KafkaLedger {
    commands: mpsc::Sender<Command>,
    hurried: Arc<AtomicBool>,
}

/// The two ends of an exactly-once plugin. Its transactions' name is kept in `data`. Does not wait for Kafka.
pub fn exactly_once(
    plugin: &Plugin,
    metrics: &Arc<PluginMetrics>,
    data: &Path,
) -> anyhow::Result<(KafkaSource, KafkaLedger)> {
    let lease = Lease::take(data, &plugin.name, &plugin.group)?;
    let bond = Arc::new(Bond::default());
    let source = KafkaSource::connect_with(plugin, metrics.clone(), Some(bond.clone()))?;
    let (commands, received) = mpsc::channel();
    let hurried = Arc::new(AtomicBool::new(false));
    let keeper = Keeper {
        options: std::array::from_fn(|turn| {
            options::transactional(plugin, &format!("{}-{turn}", lease.transactional_id))
        }),
        topic: plugin.output.clone().unwrap_or_default(),
        messages_max: (plugin.budget.buffer / BUFFER_SHARE).clamp(1, MESSAGES_MAX),
        commands: received,
        hurried: hurried.clone(),
        bond,
        metrics: metrics.clone(),
        producers: Default::default(),
        turn: 0,
        blamed: HashMap::new(),
        far: Vec::new(),
        void: Vec::new(),
        void_below: 0,
        _lease: lease,
    };
    std::thread::Builder::new()
        .name(format!("ledger-{}", plugin.name))
        .spawn(move || keeper.run())
        .with_context(|| format!("failed to start the ledger of plugin `{}`", plugin.name))?;
    Ok((source, KafkaLedger { commands, hurried }))
}

impl Output for KafkaLedger {
    fn hand_over<'a>(&'a self, ended: Ended) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        // Nobody receives when the thread has ended: the receipt says so as it is dropped.
        let _ = self.commands.send(Command::Ended(ended));
        Box::pin(std::future::ready(()))
    }

    fn is_transactional(&self) -> bool {
        true
    }

    fn hurry(&self) {
        if !self.hurried.swap(true, Ordering::AcqRel) {
            // As above.
            let _ = self.commands.send(Command::Hurry);
        }
    }
}

/// The thread behind a ledger.
struct Keeper {
    options: [ClientConfig; PRODUCERS],
    topic: String,
    /// Messages that end a transaction.
    messages_max: usize,
    commands: mpsc::Receiver<Command>,
    hurried: Arc<AtomicBool>,
    bond: Arc<Bond>,
    metrics: Arc<PluginMetrics>,
    producers: [Option<Arc<Handle>>; PRODUCERS],
    /// The producer of the open transaction, or else of the last one.
    turn: usize,
    /// Messages whose outputs Kafka will never take, and why: they are told so when they come again.
    blamed: HashMap<(Arc<str>, i32, i64), Refused>,
    /// Messages too far beyond the watermark to be committed.
    far: Vec<Ended>,
    /// Receipts of what was aborted, until their partitions are released and nothing of them starts any more.
    void: Vec<(Arc<Partition>, Receipt)>,
    /// Partitions with smaller ids were read before the last abort.
    void_below: u64,
    _lease: Lease,
}

/// What waiting for a command came to.
enum Next {
    Ended(Ended),
    Hurry,
    TimeIsOver,
    TheEnd,
}

impl Keeper {
    fn run(mut self) {
        loop {
            let first = match self.receive(None) {
                Next::Ended(ended) => ended,
                Next::Hurry | Next::TimeIsOver => continue,
                Next::TheEnd => return,
            };
            let mut open = Open::default();
            let done = self.transact(&mut open, first);
            match done {
                Ok(()) => _ = self.metrics.transactions_committed.fetch_add(1, Ordering::Relaxed),
                Err(error) => self.abort(open, &error),
            }
        }
    }

    /// The next command, waited for until `deadline`, or for as long as it takes.
    fn receive(&mut self, deadline: Option<Instant>) -> Next {
        loop {
            self.void.retain_mut(|(partition, _)| !partition.is_revoked());
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let look = (!self.void.is_empty()).then_some(Duration::from_millis(VOID_LOOK_MS));
            let command = match left.into_iter().chain(look).min() {
                None => self.commands.recv().map_err(|_| mpsc::RecvTimeoutError::Disconnected),
                Some(limit) => self.commands.recv_timeout(limit),
            };
            match command {
                Ok(Command::Ended(ended)) => return Next::Ended(ended),
                Ok(Command::Hurry) => {
                    self.hurried.store(false, Ordering::Release);
                    return Next::Hurry;
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => return Next::TheEnd,
                Err(mpsc::RecvTimeoutError::Timeout) if left == Some(Duration::ZERO) => {
                    return Next::TimeIsOver;
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// One transaction, from its first message to its commit.
    fn transact(&mut self, open: &mut Open, first: Ended) -> anyhow::Result<()> {
        let producer = self.producer();
        producer.begin_transaction().context("failed to begin a transaction")?;
        let deadline = Instant::now() + Duration::from_millis(GATHER_MS);
        for ended in std::mem::take(&mut self.far).into_iter().chain([first]) {
            self.enter(&producer, open, ended);
        }
        while open.messages() < self.messages_max && open.bytes() < BYTES_MAX {
            match self.receive(Some(deadline)) {
                Next::Ended(ended) => self.enter(&producer, open, ended),
                Next::Hurry | Next::TimeIsOver | Next::TheEnd => break,
            }
        }
        let failed = open.settled(Duration::from_millis(STEP_MS_MAX * STEPS_MAX as u64))?;
        if let Some((position, refused)) = failed {
            let Refused::Failed { why, lasting } = &refused else { anyhow::bail!("an output was void") };
            let reason = format!("an output was refused: {why}");
            if let Some(Position { topic, partition, offset }) = position.filter(|_| *lasting) {
                self.blamed.insert((topic, partition, offset), refused);
            }
            anyhow::bail!(reason);
        }
        let gate = self.bond.gate();
        let told = open.finish()?;
        if !told.is_empty() {
            let member = self.bond.member().context("the consumer is gone")?;
            let group = member.group_metadata().context("the consumer is in no group")?;
            let offsets = super::commit::list(&told)?;
            step("send offsets", |limit| producer.send_offsets_to_transaction(&offsets, &group, limit))?;
        }
        step("commit", |limit| producer.commit_transaction(limit))?;
        drop(gate);
        told.iter().for_each(|(partition, told)| partition.progress().confirm(told));
        open.confirm();
        Ok(())
    }

    /// Takes a message into the open transaction, unless it is void, to blame, or too far away.
    fn enter(&mut self, producer: &Handle, open: &mut Open, ended: Ended) {
        if let Some(mark) = &ended.mark {
            if mark.partition.id < self.void_below || mark.partition.is_released() {
                self.void.push((mark.partition.clone(), ended.receipt.void_when_dropped()));
                return;
            }
            let position = (mark.partition.topic.clone(), mark.partition.number, mark.offset);
            if let Some(refused) = self.blamed.remove(&position) {
                return ended.receipt.refused(refused);
            }
            let watermark = mark.partition.progress().watermark().unwrap_or(mark.offset);
            if mark.offset > watermark + REACH {
                return self.far.push(ended);
            }
        }
        open.enter(producer, &self.topic, ended);
    }

    /// Gives up a transaction: whatever is read and not committed is read again.
    fn abort(&mut self, open: Open, error: &anyhow::Error) {
        let reason = format!("{error:#}");
        tracing::warn!(
            messages = open.messages(),
            reason,
            "a transaction is aborted; its messages are handled again, and nothing of it ever shows"
        );
        self.metrics.transactions_aborted.fetch_add(1, Ordering::Relaxed);
        self.void_below = Partition::next_id();
        let is_fatal = error.downcast_ref::<KafkaError>().is_some_and(is_fatal);
        if let Some(producer) = self.producers[self.turn].clone()
            && (is_fatal || step("abort", |limit| producer.abort_transaction(limit)).is_err())
        {
            // A new one with the same name aborts what this one has left open.
            self.producers[self.turn] = None;
        }
        self.bond.rewind(format!("a transaction was aborted: {reason}"));
        self.void.extend(open.void());
        for ended in std::mem::take(&mut self.far) {
            if let Some(mark) = ended.mark {
                self.void.push((mark.partition, ended.receipt.void_when_dropped()));
            }
        }
    }

    /// The producer of the next transaction. None begins before nothing of an earlier life is open under either name; waits
    /// for Kafka as long as that takes.
    fn producer(&mut self) -> Arc<Handle> {
        self.turn = (self.turn + 1) % PRODUCERS;
        loop {
            let missing = self.producers.iter().position(Option::is_none);
            if let (None, Some(producer)) = (missing, &self.producers[self.turn]) {
                return producer.clone();
            }
            let index = missing.unwrap_or(self.turn);
            match open::producer(&self.options[index], Duration::from_millis(STEP_MS_MAX)) {
                Ok(producer) => self.producers[index] = Some(producer),
                Err(error) => {
                    tracing::warn!(error = %format!("{error:#}"), "transactions cannot begin yet; trying again");
                    // Nobody else needs this thread.
                    std::thread::park_timeout(Duration::from_millis(AGAIN_MS));
                }
            }
        }
    }
}

/// One step of a transaction, tried again as long as Kafka says that it may pass.
fn step(what: &str, mut attempt: impl FnMut(Duration) -> Result<(), KafkaError>) -> anyhow::Result<()> {
    let mut tries = 1;
    loop {
        match attempt(Duration::from_millis(STEP_MS_MAX)) {
            Ok(()) => return Ok(()),
            Err(KafkaError::Transaction(error)) if error.is_retriable() && tries < STEPS_MAX => tries += 1,
            Err(error) => return Err(error).with_context(|| format!("failed to {what} in a transaction")),
        }
    }
}

fn is_fatal(error: &KafkaError) -> bool {
    matches!(error, KafkaError::Transaction(error) if error.is_fatal())
}
