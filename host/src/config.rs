//! Checked settings: the only shape of the config that other rooms see. Everything here is valid; `config::file`
//! is what the user wrote and `config::check` the way from one to the other. This room builds nothing.

mod budget;
pub mod check;
pub mod diff;
pub mod env;
mod failure;
pub mod file;
mod kafka;
mod later;
pub mod librdkafka;
pub mod limits;
pub mod names;
pub mod patch;
mod plugin;
pub mod problem;
pub mod schema;
mod telemetry;
pub mod tree;
pub mod units;
pub mod value;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A whole `gristmill.toml`, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file that it was read from.
    pub file: PathBuf,
    /// Settings of the host itself.
    pub host: Host,
    /// The admin listener; none when `listen = ""`.
    pub admin: Option<Admin>,
    /// The collector of spans; none when `otlp` is absent or empty.
    pub telemetry: Option<Telemetry>,
    /// The plugins, in the order of their names.
    pub plugins: Vec<Plugin>,
}

/// `[host]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Where compiled code is kept; absolute, or relative to the working directory (already joined with the
    /// config file's folder).
    pub data: PathBuf,
    /// Worker threads, at least 1 (0 in the file has become the number of cores).
    pub threads: usize,
}

/// `[admin]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Where to listen.
    pub listen: std::net::SocketAddr,
    /// The bearer token; none when no token is asked for (loopback only).
    pub token: Option<String>,
}

/// `[telemetry]`
#[derive(Clone, Debug, PartialEq)]
pub struct Telemetry {
    /// Where spans are posted.
    pub url: String,
    /// Names and values of headers that the collector wants; good ones.
    pub headers: BTreeMap<String, String>,
    /// Which part of the traces that begin here is recorded, from 0 to 1.
    pub sample: f64,
    /// What the collector is told that this host is.
    pub service: String,
    /// Whether keys of messages are shown.
    pub keys: bool,
}

/// One cluster, as one plugin uses it: `[kafka]` overlaid with `[plugins.NAME.kafka]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kafka {
    /// `host:port` each; at least one.
    pub brokers: Vec<String>,
    /// Whether missing output and dead-letter topics are created.
    pub create_topics: bool,
    /// librdkafka's options, none of which the host owns.
    pub options: BTreeMap<String, String>,
}

/// `[plugins.NAME]`
#[derive(Clone, Debug, PartialEq)]
pub struct Plugin {
    /// The name in `[plugins.NAME]`: letters, digits, `-` and `_`.
    pub name: Arc<str>,
    /// The component's file, already joined with the config file's folder.
    pub component: PathBuf,
    /// Topics, or `^regex` each; at least one.
    pub topics: Vec<String>,
    /// The consumer group.
    pub group: String,
    /// Where a new group begins.
    pub start: Start,
    /// What is handled in order.
    pub order: Order,
    /// Default topic of outputs that name none.
    pub output: Option<String>,
    /// How long work in flight may take at shutdown or revoke.
    pub drain: Duration,
    /// What the plugin reads through `wasi:config`.
    pub config: BTreeMap<String, String>,
    /// Whether an instance serves many messages or one.
    pub instances: Instances,
    /// The plugin's cluster.
    pub kafka: Kafka,
    /// What the plugin may use.
    pub budget: Budget,
    /// How often a message is tried.
    pub retry: Retry,
    /// What happens to a message that is given up on.
    pub failure: Failure,
    /// When a new version that is tried has to go.
    pub canary: Canary,
    /// What a crash may do to outputs.
    pub delivery: Delivery,
    /// How messages are gathered into batches, if the component does that; at least one.
    pub batchers: Vec<Batcher>,
    /// Topics that outputs may go to, `output` included.
    pub allow_produce: Vec<String>,
}

/// `[plugins.NAME.retry]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Calls of `handle-message` in all, at least 1.
    pub attempts: u32,
    /// The first wait; it doubles.
    pub backoff: Duration,
    /// The longest wait; not shorter than the first.
    pub max_backoff: Duration,
}

/// `[plugins.NAME.failure]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What is done with a message that is given up on.
    pub action: Action,
    /// Where dead letters go; there if and only if the action writes some.
    pub topic: Option<String>,
    /// Messages that parked lanes and waiting retries of one partition may hold beside the buffer.
    pub max_parked: usize,
    /// Delivered messages from a partition's watermark to its highest.
    pub max_span: usize,
}

/// `[plugins.NAME.canary]`: how much worse than the old version a new one may do before it is rolled back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Canary {
    /// So many traps in a row end it.
    pub traps: u64,
    /// Nothing else is looked at before it has had so many messages.
    pub messages: u64,
    /// Percentage points by which its share of failures may be above the old version's.
    pub failure_points: u64,
    /// How many times the old version's p99 its own may be.
    pub slowdown: u64,
}

/// What happens to a message that is given up on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is written to the dead-letter topic.
    DeadLetter,
    /// It holds its lane.
    Park,
    /// It is passed over.
    Skip,
}

/// What a crash may do to outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It may repeat them.
    AtLeastOnce,
    /// Nothing, from Kafka to Kafka.
    ExactlyOnce,
}

/// `[plugins.NAME.batchers.BATCHER]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batcher {
    /// The name by which the plugin calls it.
    pub name: String,
    /// Messages of a full batch, at least 1 and at most what the buffer holds.
    pub size: usize,
    /// How long a batch waits to become full, from its first message.
    pub timeout: Duration,
    /// Batches handled at the same time, at least 1.
    pub concurrency: usize,
}

/// Where a group without committed offsets begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the oldest message.
    Earliest,
    /// At messages that come from now on.
    Latest,
    /// At the first message of this time or later, in milliseconds since the Unix epoch.
    At(i64),
}

/// What is handled one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Messages of one key; a message without a key is a lane of its own.
    Key,
    /// Messages of one partition.
    Partition,
    /// Nothing.
    None,
}

/// How long an instance lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instances {
    /// Until it fails.
    Reused,
    /// For one message.
    PerMessage,
}

/// Starts of `handle-message` over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Time from one start to the next: 1 us (1 M/s) to 1 day.
    pub period: Duration,
}

/// Whose a rate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// This host's.
    Instance,
    /// The whole consumer group's, shared by partitions owned.
    Group,
}

/// `[plugins.NAME.budget]`
#[derive(Clone, Debug, PartialEq)]
pub struct Budget {
    /// Messages handled at the same time, at least 1.
    pub concurrency: usize,
    /// Starts of `handle-message`; none is unlimited.
    pub rate: Option<Rate>,
    /// Starts that may come back to back, at least 1.
    pub burst: u32,
    /// Whose the rate is.
    pub scope: Scope,
    /// Messages held in memory, at least 1.
    pub buffer: usize,
    /// Bytes held in memory.
    pub buffer_bytes: usize,
    /// Wall clock for one message, host calls included.
    pub timeout: Duration,
    /// Guest CPU for one message.
    pub cpu: Duration,
    /// Linear memory of one instance, in bytes.
    pub memory: usize,
    /// Whether changes made while the host runs are kept over a restart.
    pub keep: bool,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            concurrency: limits::CONCURRENCY.default.0 as usize,
            rate: None,
            burst: limits::BURST.default.0 as u32,
            scope: Scope::Instance,
            buffer: limits::BUFFER.default.0 as usize,
            buffer_bytes: limits::BUFFER_BYTES.default.0 as usize,
            timeout: limits::TIMEOUT.default.0,
            cpu: limits::CPU.default.0,
            memory: limits::MEMORY.default.0 as usize,
            keep: false,
        }
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: limits::ATTEMPTS.default.0 as u32,
            backoff: limits::BACKOFF.default.0,
            max_backoff: limits::MAX_BACKOFF.default.0,
        }
    }
}

impl Default for Canary {
    fn default() -> Self {
        Self {
            traps: limits::CANARY_TRAPS.default.0,
            messages: limits::CANARY_MESSAGES.default.0,
            failure_points: limits::CANARY_FAILURE_POINTS.default.0,
            slowdown: limits::CANARY_SLOWDOWN.default.0,
        }
    }
}

impl Default for Failure {
    fn default() -> Self {
        Self {
            action: Action::Park,
            topic: None,
            max_parked: limits::MAX_PARKED.default.0 as usize,
            max_span: limits::MAX_SPAN.default.0 as usize,
        }
    }
}
