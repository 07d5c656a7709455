//! What the demo has to tell: while it runs, and in the end.

use std::time::Duration;

use super::database::Books;
use super::figures::Pace;
use crate::config::Rate;

/// The parts of the story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Messages are written to the topic.
    Load {
        /// How many there will be.
        messages: u64,
        /// On how many partitions.
        partitions: i32,
    },
    /// No budget to speak of.
    Unbudgeted {
        /// Messages handled at the same time.
        concurrency: usize,
    },
    /// The budget.
    Budgeted {
        /// Messages handled at the same time.
        concurrency: usize,
        /// Starts over time.
        rate: Rate,
    },
}

/// What is seen now.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sight {
    /// How far this act is: 0 to 1.
    pub progress: f64,
    /// Messages written (first act) or handled.
    pub messages: u64,
    /// Messages in the buffer.
    pub buffered: u64,
    /// Messages left in Kafka.
    pub lag: i64,
    /// Connections now and at most, answered and refused queries.
    pub(super) books: Books,
    /// Resident memory of this process, in bytes.
    pub memory_bytes: u64,
}

impl Sight {
    /// Connections of the database: now, at most.
    pub fn connections(&self) -> (usize, usize) {
        (self.books.connected, self.books.most_connected)
    }

    /// Queries of the database: answered, refused.
    pub fn queries(&self) -> (u64, u64) {
        (self.books.answered, self.books.refused)
    }
}

/// Shows the story as it unfolds.
pub trait Show {
    /// A new act begins.
    fn act(&mut self, act: &Act);
    /// The act goes on.
    fn sight(&mut self, sight: &Sight);
}

/// What one act did to the database.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    pub(super) books: Books,
    pub(super) pace: Option<Pace>,
    pub(super) lag: i64,
    pub(super) time: Duration,
    pub(super) memory_bytes: u64,
}

/// The whole story in figures.
#[derive(Clone, Debug)]
pub struct Summary {
    pub(super) settings: super::Settings,
    pub(super) connections_max: usize,
    pub(super) unbudgeted: Ended,
    pub(super) budgeted: Ended,
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (before, after) = (&self.unbudgeted, &self.budgeted);
        let rate = self.settings.rate.per_second();
        let row = |f: &mut std::fmt::Formatter<'_>, what: &str, before: String, after: String| {
            writeln!(f, "{what:<34}{before:>16}{after:>16}")
        };
        row(f, "", "no budget".into(), "with a budget".into())?;
        let most = |ended: &Ended| ended.books.most_connected.to_string();
        row(
            f,
            &format!("connections at once (it holds {})", self.connections_max),
            most(before),
            most(after),
        )?;
        row(f, "queries answered", before.books.answered.to_string(), after.books.answered.to_string())?;
        row(f, "queries refused", before.books.refused.to_string(), after.books.refused.to_string())?;
        row(f, "slowest query", ms(before.books.slowest), ms(after.books.slowest))?;
        row(f, "messages left in Kafka", before.lag.to_string(), after.lag.to_string())?;
        let mib = |ended: &Ended| format!("{:.0} MiB", ended.memory_bytes as f64 / f64::from(1 << 20));
        row(f, "memory (broker included)", mib(before), mib(after))?;
        let Some(pace) = after.pace else { return write!(f, "too few messages started to judge the pace") };
        let allowed = super::figures::allowed(rate, 1, pace.window);
        writeln!(f)?;
        writeln!(
            f,
            "rate              {rate:.1}/s set, {:.1}/s over {:.1} s",
            pace.per_second,
            after.time.as_secs_f64()
        )?;
        writeln!(
            f,
            "worst window      {} starts in {} ({allowed:.1} allowed at any place)",
            pace.worst,
            ms(pace.window)
        )?;
        let [median, low, high] = pace.spacing;
        let even = Duration::from_secs_f64(1.0 / rate);
        write!(
            f,
            "spacing           {} even; {} median, {} to {} for 98 of 100",
            ms(even),
            ms(median),
            ms(low),
            ms(high)
        )
    }
}

fn ms(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}
