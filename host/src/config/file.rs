//! `gristmill.toml` as the user wrote it: every key that there is, with its type, its place and what is said of it in
//! the JSON Schema. This file is the only list of keys: reading, the hints for unknown keys and the schema come from
//! it. Ranges and what keys mean together are `check`'s business.

use schemars::JsonSchema;
use toml::de::DeValue;

use super::limits::{self, Bytes, Count, Share, Time};
use super::problem::Place;
use super::tree::{Field, Reader, Written};
use super::value::{List, Listen, Named, Options, Switch, Text, word};
use super::{Action, Delivery, Instances, Order, Rate, Scope, Start};

/// Declares tables of the file: a struct with a `Field` for each key, and how it is read.
macro_rules! sections {
    ($($(#[$about:meta])* $section:ident { $($(#[$says:meta])* $key:ident: $type:ty,)* })*) => {$(
        #[derive(Clone, Debug, JsonSchema)]
        #[schemars(deny_unknown_fields)]
        $(#[$about])*
        pub struct $section { $($(#[$says])* #[schemars(default)] pub $key: Field<$type>,)* }

        impl $section {
            /// The keys of this table.
            pub const KEYS: &'static [&'static str] = &[$(stringify!($key)),*];
        }

        impl Written for $section {
            fn read(value: &DeValue<'_>, place: &Place, reader: &mut Reader<'_>) -> Option<Self> {
                let table = reader.section(value, place, Self::KEYS)?;
                Some(Self { $($key: reader.field(table, place, stringify!($key)),)* })
            }
        }
    )*};
}

/// Declares the words that a key may have.
macro_rules! words {
    ($($type:ty { $($word:literal => $value:expr,)* })*) => {$(
        impl Written for $type {
            fn read(value: &DeValue<'_>, place: &Place, reader: &mut Reader<'_>) -> Option<Self> {
                word(value, place, reader, &[$(($word, $value)),*])
            }
        }

        impl $type {
            /// How the file says it.
            pub fn word(self) -> &'static str {
                let words = [$(($word, $value)),*];
                words.into_iter().find(|(_, value)| *value == self).map_or("", |(word, _)| word)
            }
        }

        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "enum": [$($word),*] })
            }
        }
    )*};
}

sections! {
    /// The config of gristmill, a host that consumes Kafka into a throttled buffer and handles each message in a
    /// sandboxed WebAssembly plugin.
    File {
        /// The cluster that plugins use unless they say otherwise.
        kafka: Kafka,
        /// The host itself.
        host: Host,
        /// Dashboard, API and metrics.
        admin: Admin,
        /// Where traces of messages are told.
        telemetry: Telemetry,
        /// The plugins by name: letters, digits, `-` and `_`, at most 64.
        #[schemars(extend("minProperties" = 1, "propertyNames" = { "pattern": "^[A-Za-z0-9_-]{1,64}$" }))]
        plugins: Named<Plugin>,
    }

    /// A Kafka cluster and how to talk to it.
    Kafka {
        /// `host:port` of some brokers of the cluster.
        #[schemars(extend("minItems" = 1, "default" = ["localhost:9092"]))]
        brokers: List<Text>,
        /// Create missing output and dead-letter topics with the broker's defaults.
        #[schemars(extend("default" = false))]
        create_topics: Switch,
        /// Options of librdkafka, except those that the host owns.
        options: Options,
    }

    /// The host itself.
    Host {
        /// Folder for compiled code and swapped-in components; relative to this file.
        #[schemars(extend("default" = ".gristmill"))]
        data: Text,
        /// Worker threads; 0 is one per core.
        #[schemars(extend("default" = limits::THREADS.default.0, "maximum" = limits::THREADS.max.0))]
        threads: Count,
    }

    /// Dashboard, API and metrics.
    Admin {
        /// Where to listen; the empty string turns it off.
        #[schemars(extend("default" = "127.0.0.1:9650"))]
        listen: Listen,
        /// The bearer token; required when `listen` is not loopback. The empty string is no token.
        token: Text,
    }

    /// Where traces of messages are told.
    Telemetry {
        /// A collector of spans, by OTLP over HTTP: its origin, such as `http://localhost:4318`, or a URL to which
        /// `/v1/traces` is added. Without it, or as the empty string, no spans are made.
        otlp: Text,
        /// Headers that the collector wants, such as a key.
        headers: Named<Text>,
        /// Which part of the traces that begin here is recorded; what comes with a trace is recorded as that says.
        #[schemars(extend("default" = limits::SAMPLE.default.0))]
        sample: Share,
        /// What the collector is told that this host is.
        #[schemars(extend("default" = "gristmill"))]
        service: Text,
        /// Show messages' keys in their spans.
        #[schemars(extend("default" = false))]
        keys: Switch,
    }

    /// One component, its topics and its budget.
    #[schemars(extend("required" = ["component", "topics"]))]
    Plugin {
        /// The component's file, relative to this file.
        component: Text,
        /// Topics to consume; one that begins with `^` is a regular expression.
        #[schemars(extend("minItems" = 1))]
        topics: List<Text>,
        /// The consumer group; without it `gristmill-` and the plugin's name.
        group: Text,
        /// Where a new group begins: `earliest`, `latest`, or at an RFC 3339 time.
        #[schemars(extend("default" = "earliest"))]
        start: Start,
        /// What is handled in order. Under `key` a message without a key stands alone.
        #[schemars(extend("default" = "key"))]
        order: Order,
        /// The topic of outputs that name none.
        output: Text,
        /// What a crash may do to outputs; `exactly-once` is from Kafka to Kafka.
        #[schemars(extend("default" = "at-least-once"))]
        delivery: Delivery,
        /// How long work in flight may take at shutdown or when a partition is revoked.
        #[schemars(extend("default" = limits::DRAIN.default.to_string()))]
        drain: Time,
        /// Strings that the plugin reads through `wasi:config`.
        config: Named<Text>,
        /// How the host talks to the component; `lines` and `payload` are for programs that know nothing of it.
        #[schemars(extend("default" = "component"))]
        protocol: Protocol,
        /// Whether an instance serves many messages or one.
        #[schemars(extend("default" = "reused"))]
        instances: Instances,
        /// This plugin's own cluster or options; what it lacks comes from `[kafka]`.
        kafka: Kafka,
        /// What the plugin may use.
        budget: Budget,
        /// How often a message is tried.
        retry: Retry,
        /// What happens when attempts are used up, or on reject.
        failure: Failure,
        /// When a new version that is tried on a share of the messages is rolled back.
        canary: Canary,
        /// How messages are gathered into batches, by the batcher's name.
        batchers: Named<Batcher>,
        /// What the plugin may reach.
        allow: Allow,
    }

    /// What a plugin may use.
    Budget {
        /// Messages handled at the same time.
        #[schemars(extend(
            "default" = limits::CONCURRENCY.default.0,
            "minimum" = limits::CONCURRENCY.min.0,
            "maximum" = limits::CONCURRENCY.max.0,
        ))]
        concurrency: Count,
        /// Starts of `handle-message`, such as `11/s` or `950k/day`; without it they are not limited.
        rate: Rate,
        /// Starts that may come back to back; 1 is evenly spaced.
        #[schemars(extend(
            "default" = limits::BURST.default.0,
            "minimum" = limits::BURST.min.0,
            "maximum" = limits::BURST.max.0,
        ))]
        burst: Count,
        /// Whose the rate is: this instance's, or the whole consumer group's.
        #[schemars(extend("default" = "instance"))]
        scope: Scope,
        /// Messages held in memory, retries included.
        #[schemars(extend(
            "default" = limits::BUFFER.default.0,
            "minimum" = limits::BUFFER.min.0,
            "maximum" = limits::BUFFER.max.0,
        ))]
        buffer: Count,
        /// Bytes held in memory.
        #[schemars(extend("default" = limits::BUFFER_BYTES.default.to_string()))]
        buffer_bytes: Bytes,
        /// Wall clock for one message, host calls included.
        #[schemars(extend("default" = limits::TIMEOUT.default.to_string()))]
        timeout: Time,
        /// CPU of the guest for one message.
        #[schemars(extend("default" = limits::CPU.default.to_string()))]
        cpu: Time,
        /// Linear memory of one instance.
        #[schemars(extend("default" = limits::MEMORY.default.to_string()))]
        memory: Bytes,
        /// Keep what is changed while the host runs over a restart, until this table changes.
        #[schemars(extend("default" = false))]
        keep: Switch,
    }

    /// How much worse than the old version a new one may do before it is rolled back.
    Canary {
        /// So many traps in a row end it.
        #[schemars(extend(
            "default" = limits::CANARY_TRAPS.default.0,
            "minimum" = limits::CANARY_TRAPS.min.0,
            "maximum" = limits::CANARY_TRAPS.max.0,
        ))]
        traps: Count,
        /// Messages that it has before it is compared.
        #[schemars(extend(
            "default" = limits::CANARY_MESSAGES.default.0,
            "minimum" = limits::CANARY_MESSAGES.min.0,
            "maximum" = limits::CANARY_MESSAGES.max.0,
        ))]
        messages: Count,
        /// Percentage points by which its share of failures may be above the old version's.
        #[schemars(extend(
            "default" = limits::CANARY_FAILURE_POINTS.default.0,
            "minimum" = limits::CANARY_FAILURE_POINTS.min.0,
            "maximum" = limits::CANARY_FAILURE_POINTS.max.0,
        ))]
        failure_points: Count,
        /// How many times the old version's p99 its own may be.
        #[schemars(extend(
            "default" = limits::CANARY_SLOWDOWN.default.0,
            "minimum" = limits::CANARY_SLOWDOWN.min.0,
            "maximum" = limits::CANARY_SLOWDOWN.max.0,
        ))]
        slowdown: Count,
    }

    /// How often a message is tried.
    Retry {
        /// Calls of `handle-message` in all.
        #[schemars(extend(
            "default" = limits::ATTEMPTS.default.0,
            "minimum" = limits::ATTEMPTS.min.0,
            "maximum" = limits::ATTEMPTS.max.0,
        ))]
        attempts: Count,
        /// The first wait; it doubles, with jitter.
        #[schemars(extend("default" = limits::BACKOFF.default.to_string()))]
        backoff: Time,
        /// The longest wait.
        #[schemars(extend("default" = limits::MAX_BACKOFF.default.to_string()))]
        max_backoff: Time,
    }

    /// What happens when attempts are used up, or on reject.
    Failure {
        /// Without it `dead-letter` if there is a `topic`, else `park`.
        action: Action,
        /// Where dead letters go.
        topic: Text,
        /// Messages that parked lanes and waiting retries of one partition may hold beside the buffer; beyond it the
        /// partition is not read.
        #[schemars(extend(
            "default" = limits::MAX_PARKED.default.0,
            "minimum" = limits::MAX_PARKED.min.0,
            "maximum" = limits::MAX_PARKED.max.0,
        ))]
        max_parked: Count,
        /// Messages from the first unfinished one of a partition to the last one read; beyond it the partition is not
        /// read.
        #[schemars(extend(
            "default" = limits::MAX_SPAN.default.0,
            "minimum" = limits::MAX_SPAN.min.0,
            "maximum" = limits::MAX_SPAN.max.0,
        ))]
        max_span: Count,
    }

    /// How messages are gathered into a batch.
    Batcher {
        /// Messages of a full batch, at most `buffer`.
        #[schemars(extend(
            "default" = limits::BATCH_SIZE.default.0,
            "minimum" = limits::BATCH_SIZE.min.0,
            "maximum" = limits::BATCH_SIZE.max.0,
        ))]
        size: Count,
        /// How long a batch waits to become full.
        #[schemars(extend("default" = limits::BATCH_TIMEOUT.default.to_string()))]
        timeout: Time,
        /// Batches handled at the same time.
        #[schemars(extend(
            "default" = limits::BATCH_CONCURRENCY.default.0,
            "minimum" = limits::BATCH_CONCURRENCY.min.0,
            "maximum" = limits::BATCH_CONCURRENCY.max.0,
        ))]
        concurrency: Count,
    }

    /// What a plugin may reach.
    Allow {
        /// Topics that outputs may go to; `output` is allowed by itself.
        produce: List<Text>,
        /// Origins such as `https://crm.example.com` that the plugin may send requests to.
        http: List<Text>,
    }
}

/// How the host talks to a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Through `gristmill:plugin`.
    Component,
    /// A message is a line of JSON on stdin.
    Lines,
    /// A message's payload is stdin.
    Payload,
}

words! {
    Order { "key" => Order::Key, "partition" => Order::Partition, "none" => Order::None, }
    Instances { "reused" => Instances::Reused, "per-message" => Instances::PerMessage, }
    Delivery { "at-least-once" => Delivery::AtLeastOnce, "exactly-once" => Delivery::ExactlyOnce, }
    Protocol { "component" => Protocol::Component, "lines" => Protocol::Lines, "payload" => Protocol::Payload, }
    Scope { "instance" => Scope::Instance, "group" => Scope::Group, }
    Action { "park" => Action::Park, "dead-letter" => Action::DeadLetter, "skip" => Action::Skip, }
}
