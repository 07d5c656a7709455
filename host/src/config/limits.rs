//! Every number of the config that has a default or a range, with its unit and the reason for it. Whoever changes a
//! budget while the host runs keeps to the same ranges.

use std::fmt;
use std::time::Duration;

use super::units;

/// A default and the range that a value may come from, both ends included.
#[derive(Clone, Copy, Debug)]
pub struct Limit<T> {
    /// What holds when the file says nothing.
    pub default: T,
    /// The least.
    pub min: T,
    /// The most.
    pub max: T,
}

impl<T: PartialOrd> Limit<T> {
    /// Whether `value` is in the range.
    pub fn contains(&self, value: &T) -> bool {
        (&self.min..=&self.max).contains(&value)
    }
}

impl<T: fmt::Display> fmt::Display for Limit<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "from `{}` to `{}`", self.min, self.max)
    }
}

/// A whole number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count(pub u64);

/// A length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub Duration);

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

/// A part of a whole, which is 1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Share(pub f64);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&units::show_duration(self.0))
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&units::show_size(self.0))
    }
}

const fn count(default: u64, min: u64, max: u64) -> Limit<Count> {
    Limit { default: Count(default), min: Count(min), max: Count(max) }
}

const fn millis(default: u64, min: u64, max: u64) -> Limit<Time> {
    Limit {
        default: Time(Duration::from_millis(default)),
        min: Time(Duration::from_millis(min)),
        max: Time(Duration::from_millis(max)),
    }
}

const fn bytes(default: u64, min: u64, max: u64) -> Limit<Bytes> {
    Limit { default: Bytes(default), min: Bytes(min), max: Bytes(max) }
}

const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600 * SECOND;
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Worker threads; 0 is one per core. Far more threads than any machine has cores only cost memory.
pub const THREADS: Limit<Count> = count(0, 0, 1_024);
/// Messages at the same time: each may hold an instance with its memory, and ten thousand are what one process can
/// set aside address space for.
pub const CONCURRENCY: Limit<Count> = count(10, 1, 10_000);
/// Starts back to back. No burst can be larger than the largest buffer.
pub const BURST: Limit<Count> = count(1, 1, 1_000_000);
/// Messages held. Above a million the bookkeeping alone takes hundreds of megabytes.
pub const BUFFER: Limit<Count> = count(100, 1, 1_000_000);
/// Bytes held. Below one small fetch nothing would flow; what is more than 4 GiB is better held by Kafka.
pub const BUFFER_BYTES: Limit<Bytes> = bytes(16 * MIB, 64 * KIB, 4 * GIB);
/// Wall clock for one message. A message that takes more than an hour is a job, and holds its lane all the while.
pub const TIMEOUT: Limit<Time> = millis(30 * SECOND, 1, HOUR);
/// CPU for one message. The engine looks every 5 ms, so that less cannot be told apart.
pub const CPU: Limit<Time> = millis(SECOND, 5, HOUR);
/// Linear memory of one instance: one page of Wasm to all that 32-bit addresses reach.
pub const MEMORY: Limit<Bytes> = bytes(128 * MIB, 64 * KIB, 4 * GIB);
/// Draining holds up a rebalance, which Kafka gives `MAX_POLL_INTERVAL`; the most is what `drain_max` makes of it.
pub const DRAIN: Limit<Time> = millis(20 * SECOND, 0, 240 * SECOND);

/// librdkafka's default of `max.poll.interval.ms`: a member that takes longer over a rebalance is put out of its group.
pub const MAX_POLL_INTERVAL: Duration = Duration::from_secs(300);
/// librdkafka's default of `session.timeout.ms`: a member that is not heard of for longer is put out of its group.
pub const SESSION_TIMEOUT: Duration = Duration::from_secs(45);

/// The longest `drain` beside a `max.poll.interval.ms`. The fifth that is left is for storing and committing.
pub fn drain_max(max_poll_interval: Duration) -> Duration {
    max_poll_interval.mul_f64(0.8)
}

/// Calls of `handle-message` in all. More than a thousand times is not trying, it is parking.
pub const ATTEMPTS: Limit<Count> = count(5, 1, 1_000);
/// The first wait before a retry. Below a millisecond timers do not tell.
pub const BACKOFF: Limit<Time> = millis(100, 1, HOUR);
/// The longest wait before a retry. A message that waits longer than a day would outlive what many topics keep.
pub const MAX_BACKOFF: Limit<Time> = millis(30 * SECOND, 1, 24 * HOUR);

/// Messages that lanes which cannot go on hold of one partition, outside the buffer: this is what bounds their memory.
pub const MAX_PARKED: Limit<Count> = count(10_000, 1, 1_000_000);
/// Delivered messages from a partition's watermark to its highest: one stuck message must not make the memory of what
/// finished behind it grow for ever (16 bytes each, 2 MiB a partition by default).
pub const MAX_SPAN: Limit<Count> = count(131_072, 1, 10_000_000);

/// Traps in a row that end a canary.
pub const CANARY_TRAPS: Limit<Count> = count(3, 1, 1_000);
/// Messages that a canary has before it is compared: with fewer, one failure is a large share.
pub const CANARY_MESSAGES: Limit<Count> = count(50, 1, 1_000_000);
/// Percentage points by which a canary's share of failures may be above the old version's.
pub const CANARY_FAILURE_POINTS: Limit<Count> = count(2, 0, 100);
/// How many times the old version's p99 a canary's may be.
pub const CANARY_SLOWDOWN: Limit<Count> = count(3, 1, 1_000);

/// Messages of a batch; all of them wait in the buffer.
pub const BATCH_SIZE: Limit<Count> = count(100, 1, BUFFER.max.0);
/// The longest wait for a batch to fill; its messages are not finished meanwhile.
pub const BATCH_TIMEOUT: Limit<Time> = millis(SECOND, 1, HOUR);
/// Batches at the same time, with an instance each, as for messages.
pub const BATCH_CONCURRENCY: Limit<Count> = count(1, 1, CONCURRENCY.max.0);

/// Traces that begin here and are recorded: all, unless somebody finds that too many.
pub const SAMPLE: Limit<Share> = Limit { default: Share(1.0), min: Share(0.0), max: Share(1.0) };

/// The longest name of a plugin in characters: it is part of its group, of file names and of every metric.
pub const PLUGIN_NAME_LENGTH_MAX: usize = 64;
/// The longest name of a topic in characters; Kafka's own rule.
pub const TOPIC_LENGTH_MAX: usize = 249;
/// The longest name of a consumer group in bytes; Kafka sends it with a 16-bit length.
pub const GROUP_LENGTH_MAX: usize = 32_767;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_in_their_ranges_and_drain_leaves_time_to_commit() {
        for limit in [
            THREADS,
            CONCURRENCY,
            BURST,
            BUFFER,
            ATTEMPTS,
            MAX_PARKED,
            MAX_SPAN,
            BATCH_SIZE,
            CANARY_TRAPS,
            CANARY_MESSAGES,
            CANARY_FAILURE_POINTS,
            CANARY_SLOWDOWN,
            BATCH_CONCURRENCY,
        ] {
            assert!(limit.contains(&limit.default), "{limit}");
        }
        for limit in [TIMEOUT, CPU, DRAIN, BACKOFF, MAX_BACKOFF, BATCH_TIMEOUT] {
            assert!(limit.contains(&limit.default), "{limit}");
        }
        for limit in [BUFFER_BYTES, MEMORY] {
            assert!(limit.contains(&limit.default), "{limit}");
        }
        assert!(SAMPLE.contains(&SAMPLE.default));
        assert_eq!(DRAIN.max.0, drain_max(MAX_POLL_INTERVAL));
        assert!(BATCH_SIZE.default <= BUFFER.default);
    }
}
