//! The consumer of one plugin as a source: one thread asks for the next event, and everything that concerns the
//! consumer happens within that call. Nothing here blocks but the wait on the bell.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rdkafka::ClientConfig;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use super::bond::Bond;
use super::commit::Committer;
use super::context::{Context, Member};
use super::health::Health;
use super::leaving::Leaving;
use super::reader::{Reader, Readers};
use super::rebalance::{Assigning, Revoking};
use super::{commit, context, options, topics};
use crate::ack::Partition;
use crate::config::{Plugin, Start};
use crate::edge::{Bell, Event, Room, Source};
use crate::metrics::PluginMetrics;

/// How long to wait for the bell. Only a safety net, and the pace of what changes with time alone.
const WAIT_MS_MAX: u64 = 100;

/// How long messages are read before events are looked at, in ms: a look costs as much as some messages.
const ATTEND_INTERVAL_MS: u64 = 1;

/// How often progress and what is shown of it are looked at, in ms: a tenth of the time in which Kafka is told, so that
/// it adds little to what is repeated after a crash, and costs nothing against thousands of messages.
const PROGRESS_INTERVAL_MS: u64 = 100;

/// How long the last commit of partitions that are given up may take, in ms: the group waits for it, and a broker that
/// takes longer is no reason to hold up all others. What it misses is handled again.
pub(super) const LAST_COMMIT_MS_MAX: u64 = 3_000;

/// How often the brokers are asked for the ends of the partitions, in ms: how old a lag may be that is shown.
const ENDS_INTERVAL_MS: u64 = 10_000;

/// How long that question may take, in ms. It holds up reading for as long as the broker keeps a fetch waiting, if all is
/// well: requests of one connection are answered in their order. Hence all partitions at once, and seldom.
const ENDS_MS_MAX: u64 = 200;

/// How often a broken consumer is replaced, at most, in ms.
const REOPEN_INTERVAL_MS: u64 = 1_000;

/// Most events that librdkafka is asked for before messages get their turn.
const EVENTS_MAX: usize = 1_000;

/// Messages of a plugin's topics, as a member of its group.
pub struct KafkaSource {
    pub(super) subscription: Subscription,
    pub(super) readers: Readers,
    pub(super) revoking: Option<Revoking>,
    pub(super) assigning: Assigning,
    pub(super) health: Health,
    pub(super) metrics: Arc<PluginMetrics>,
    pub(super) bell: Arc<Bell>,
    pub(super) consumer: Arc<Member>,
    committer: Committer,
    /// There when progress is committed by transactions.
    bond: Option<Arc<Bond>>,
    /// Why the consumer cannot go on, once it cannot.
    pub(super) broken: Option<String>,
    opened_at: Instant,
    attended_at: Instant,
    looked_at: Instant,
    ends_asked_at: Instant,
    /// Stands last, so that it is dropped after all that holds the consumer.
    leaving: Leaving,
}

/// What is needed to join the group, again if need be.
#[derive(Debug)]
pub(super) struct Subscription {
    options: ClientConfig,
    topics: Vec<String>,
    group: String,
    pub(super) start: Start,
    commit_interval: Duration,
}

impl Subscription {
    /// Makes a consumer that joins the group as soon as it finds Kafka. Does not wait for the network.
    fn open(&self, bell: &Arc<Bell>) -> anyhow::Result<Arc<Member>> {
        let consumer = BaseConsumer::from_config_and_context(&self.options, Context::default());
        let mut consumer =
            consumer.with_context(|| format!("failed to make a consumer of group `{}`", self.group))?;
        let bell = bell.clone();
        consumer.set_nonempty_callback(move || bell.ring());
        let topics: Vec<&str> = self.topics.iter().map(String::as_str).collect();
        let subscribed = consumer.subscribe(&topics);
        subscribed.with_context(|| format!("failed to subscribe to `{}`", topics.join("`, `")))?;
        Ok(Arc::new(consumer))
    }
}

impl KafkaSource {
    /// A source of the plugin's topics. Does not wait for Kafka: while it is not there, the source says so with
    /// `Event::Trouble` and goes on trying.
    pub fn connect(plugin: &Plugin, metrics: Arc<PluginMetrics>) -> anyhow::Result<Self> {
        Self::connect_with(plugin, metrics, None)
    }

    /// The same; progress is committed by whoever has the other end of `bond`.
    pub(super) fn connect_with(
        plugin: &Plugin,
        metrics: Arc<PluginMetrics>,
        bond: Option<Arc<Bond>>,
    ) -> anyhow::Result<Self> {
        let subscription = Subscription {
            options: options::consumer(plugin),
            topics: plugin.topics.clone(),
            group: plugin.group.clone(),
            start: plugin.start,
            commit_interval: options::commit_interval(plugin),
        };
        let bell = Arc::new(Bell::default());
        let consumer = subscription.open(&bell)?;
        let committer = Committer::new(&consumer, subscription.commit_interval)?;
        if let Some(bond) = &bond {
            bond.join(&consumer, &bell);
        }
        let now = Instant::now();
        Ok(Self {
            subscription,
            readers: Readers::default(),
            revoking: None,
            assigning: Assigning::default(),
            health: Health::default(),
            metrics,
            bell,
            consumer,
            committer,
            bond,
            broken: None,
            opened_at: now,
            attended_at: now,
            looked_at: now,
            ends_asked_at: now,
            leaving: Leaving::default(),
        })
    }

    /// Looks at everything but messages, and says what there is to say of it.
    fn attend(&mut self, now: Instant) -> Option<Event> {
        self.attended_at = now;
        self.serve_events();
        if let Some(reason) = self.bond.as_ref().and_then(|bond| bond.take_rewind()) {
            self.broken.get_or_insert(reason);
        }
        if self.broken.is_some()
            && let Some(event) = self.reopen()
        {
            return Some(event);
        }
        if let Some(event) = self.rebalance() {
            return Some(event);
        }
        if let Some(event) = self.health.look(&self.consumer, &self.subscription.topics) {
            return Some(event);
        }
        if now - self.looked_at >= Duration::from_millis(PROGRESS_INTERVAL_MS) {
            self.looked_at = now;
            self.make_durable();
        }
        self.readers.iter_mut().find(|reader| reader.rewound).map(|reader| {
            let (old, new) = reader.begin_anew();
            Event::Renewed(old, new)
        })
    }

    /// Has librdkafka say what it has to say; it all ends up in the context.
    fn serve_events(&mut self) {
        for _ in 0..EVENTS_MAX {
            let calls_before = self.consumer.context().calls();
            match self.consumer.poll(Duration::ZERO) {
                Some(Err(error)) if is_final(&error) => {
                    self.broken.get_or_insert_with(|| error.to_string());
                }
                Some(Err(_)) => {}
                // Every partition has its own queue. Whatever came another way must not be skipped: start over.
                Some(Ok(_)) => {
                    self.broken
                        .get_or_insert_with(|| "a message came outside its partition's queue".to_owned());
                }
                None if self.consumer.context().calls() == calls_before => break,
                None => {}
            }
        }
        for (error, reason) in self.consumer.context().take_errors() {
            self.health.note(&error, &reason);
        }
    }

    fn read(&mut self, room: Room, now: Instant) -> Option<Event> {
        let mut errors = Vec::new();
        let batch = self.readers.read(room, now, &mut errors);
        errors.into_iter().for_each(|text| self.health.note_refusal(text));
        let (partition, batch) = batch?;
        self.health.note_messages();
        Some(Event::Batch(partition, batch))
    }

    fn make_durable(&mut self) {
        commit::pass_markers(&self.consumer, &self.readers);
        if self.bond.is_none() {
            self.committer.attend(&self.readers, &self.metrics);
        }
        if self.ends_asked_at.elapsed() >= Duration::from_millis(ENDS_INTERVAL_MS) {
            self.ends_asked_at = Instant::now();
            commit::ask_ends(&self.consumer, &mut self.readers, Duration::from_millis(ENDS_MS_MAX));
        }
        commit::show(&self.consumer, &self.readers, &self.metrics);
    }

    /// Tells Kafka where the group begins in partitions that it has just been given for the first time.
    pub(super) fn commit_begins(&mut self) {
        let is_new = |reader: &&Reader| reader.partition.progress().confirmed().is_none();
        let new: Vec<&Reader> = self.readers.iter().filter(is_new).collect();
        if self.bond.is_none() || new.is_empty() {
            return;
        }
        let limit = Duration::from_millis(LAST_COMMIT_MS_MAX);
        if let Err(error) = self.committer.commit(&new, limit, &self.metrics) {
            tracing::debug!(error = %format!("{error:#}"), "where the group begins could not be committed");
        }
    }

    /// Commits the progress of those partitions that `is_leaving` says, and waits for the answer, at most `limit`.
    ///
    /// Where transactions commit progress, there is nothing left to commit.
    pub(super) fn commit_last(&mut self, is_leaving: impl Fn(&Reader) -> bool, limit: Duration) {
        // An assignment that was lost belongs to someone else, who has begun with what Kafka knew.
        if self.consumer.assignment_lost() || self.bond.is_some() {
            return;
        }
        commit::pass_markers(&self.consumer, &self.readers);
        let leaving: Vec<&Reader> = self.readers.iter().filter(|reader| is_leaving(reader)).collect();
        if let Err(error) = self.committer.commit(&leaving, limit, &self.metrics) {
            let group = &self.subscription.group;
            tracing::warn!(group, error = %format!("{error:#}"), "the last progress could not be committed");
        }
    }

    /// Replaces the consumer by a new one, which joins the group anew; all partitions are lost.
    fn reopen(&mut self) -> Option<Event> {
        if self.opened_at.elapsed() < Duration::from_millis(REOPEN_INTERVAL_MS) {
            return None;
        }
        self.opened_at = Instant::now();
        let consumer = match self.subscription.open(&self.bell) {
            Ok(consumer) => consumer,
            Err(error) => {
                self.health.note_refusal(format!("{error:#}"));
                return None;
            }
        };
        let group = &self.subscription.group;
        let reason = self.broken.take();
        tracing::warn!(group, reason, "the consumer cannot go on and is replaced by a new one");
        let lost: Vec<_> = self.readers.remove(|_| true).into_iter().map(|reader| reader.partition).collect();
        self.say_farewell();
        self.assigning = Assigning::default();
        if let Some(bond) = &self.bond {
            bond.join(&consumer, &self.bell);
        }
        match Committer::new(&consumer, self.subscription.commit_interval) {
            Ok(committer) => self.committer = committer,
            Err(error) => self.broken = Some(format!("{error:#}")),
        }
        Leaving::start(std::mem::replace(&mut self.consumer, consumer));
        self.forget(&lost);
        (!lost.is_empty()).then_some(Event::Lost(lost))
    }

    /// Acknowledges whatever the group waits for, so that leaving does not wait for us.
    fn say_farewell(&mut self) {
        let context = self.consumer.context();
        context.close();
        if let Some(revoking) = self.revoking.take() {
            context::decline(&self.consumer, &revoking.rebalance);
        }
        let unhandled = std::mem::take(&mut *context.rebalances());
        unhandled.iter().for_each(|rebalance| context::decline(&self.consumer, rebalance));
    }

    /// Closes the books of partitions that are no longer ours.
    pub(super) fn forget(&self, partitions: &[Arc<Partition>]) {
        // No transaction is between its last look at its partitions and its commit.
        let _gate = self.bond.as_ref().map(|bond| bond.gate());
        for partition in partitions {
            partition.release();
            self.metrics.remove_partition(&partition.topic, partition.number);
        }
    }
}

impl Source for KafkaSource {
    fn next(&mut self, room: Room) -> Event {
        let now = Instant::now();
        let is_due = now - self.attended_at >= Duration::from_millis(ATTEND_INTERVAL_MS);
        if is_due && let Some(event) = self.attend(now) {
            return event;
        }
        if let Some(event) = self.read(room, now) {
            return event;
        }
        // Nothing to read: whatever rang the bell is looked at now.
        if !is_due && let Some(event) = self.attend(now) {
            return event;
        }
        self.bell.wait(Duration::from_millis(WAIT_MS_MAX));
        Event::Nothing
    }

    fn bell(&self) -> Arc<Bell> {
        self.bell.clone()
    }

    fn places(&mut self, owned: &[Arc<Partition>]) -> Option<(Vec<u64>, u64)> {
        let counts = topics::partition_counts(&self.consumer, &self.subscription.topics);
        let counts = counts.inspect_err(|error| {
            tracing::debug!(error = %format!("{error:#}"), "the topics' partitions could not be counted");
        });
        topics::places(&counts.ok()?, owned)
    }

    fn release(&mut self, partitions: &[Arc<Partition>]) {
        self.release_revoked(partitions);
    }

    fn close(mut self: Box<Self>, limit: Duration) {
        let deadline = Instant::now() + limit;
        // Half of the time is left for leaving: a group that is not told waits for the session to run out.
        self.commit_last(|_| true, limit / 2);
        self.leaving.limit = deadline.saturating_duration_since(Instant::now());
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        self.say_farewell();
        let left = self.readers.remove(|_| true);
        self.forget(&left.into_iter().map(|reader| reader.partition).collect::<Vec<_>>());
        self.leaving.waits = Leaving::start(self.consumer.clone());
    }
}

/// Whether a consumer that reported `error` has to be replaced.
fn is_final(error: &KafkaError) -> bool {
    matches!(error, KafkaError::MessageConsumptionFatal(_))
        || error.rdkafka_error_code() == Some(RDKafkaErrorCode::PollExceeded)
}
