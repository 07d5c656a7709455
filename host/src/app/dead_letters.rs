//! Dead letters as an operator sees them: looked through, and sent back where they came from.
//!
//! `locate` finds the topic, `letter` reads what a record says of itself, `choose` says which are meant, `marks` which
//! were replayed; `replay` sends them back, and `through` only tries them. How all this looks is the door's business.
//!
//! What was replayed is kept in Kafka itself, as committed offsets of a group that has no members. Two replays of one
//! topic at the same time are not kept apart: each knows what had been replayed when it began.

mod choose;
mod letter;
mod locate;
mod marks;
mod replay;
mod through;

use std::ops::Range;

pub use choose::{Filter, Spot};
pub use letter::{Letter, Note};
pub use locate::{Place, Wanted, locate};
pub use replay::{Done, Plan, Request, Watch, plan, replay};
pub use through::{Tried, try_through};

use crate::ack::map;
use crate::kafka::{self, Letters, Span};
use marks::Marks;

/// Something is wrong with what was typed.
#[derive(Debug)]
pub struct Usage(pub String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// The consumer group whose committed offsets say what of `topic` was replayed.
fn group(topic: &str) -> String {
    format!("gristmill-replay-{topic}")
}

/// Which letters are looked at.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// These alone; empty is all.
    pub spots: Vec<Spot>,
    /// What they have to say.
    pub filter: Filter,
    /// Whether those that were replayed are passed over unseen.
    pub skip_replayed: bool,
}

/// What a look at the topic finds, in the order of partitions and offsets.
#[derive(Debug)]
pub enum Seen {
    /// A letter that is meant, and whether it was replayed.
    Letter(Box<Letter>, bool),
    /// No letters in this part of a partition.
    Nothing(i32, Range<i64>),
}

/// A dead-letter topic, open: as it was when it was opened, however long one looks.
pub struct Desk {
    letters: Letters,
    /// In the order of the partitions.
    marks: Vec<Marks>,
    unreadable: Vec<(i32, map::Unreadable)>,
}

impl Desk {
    /// Opens the topic of `place`, and reads the marks.
    ///
    /// # Errors
    ///
    /// `Silence` when no broker answers; anything else says what is wrong with the topic.
    pub fn open(place: &Place) -> anyhow::Result<Self> {
        let topic = &place.topic;
        let letters = Letters::open(&place.kafka, topic, &place.group()).map_err(|error| match error {
            kafka::Unreadable::Other(error) => error,
            kafka::Unreadable::Missing => anyhow::anyhow!(
                "there is no topic `{topic}` at `{}`; see `topic` under [plugins.NAME.failure] for the name, or use \
                 `--brokers` for another cluster",
                place.kafka.brokers.join("`, `")
            ),
        })?;
        let mut desk = Self { letters, marks: Vec::new(), unreadable: Vec::new() };
        desk.read_marks()?;
        Ok(desk)
    }

    /// Reads the marks anew.
    fn read_marks(&mut self) -> anyhow::Result<()> {
        self.unreadable.clear();
        let committed = self.letters.committed()?;
        let restored = self.letters.spans().iter().zip(committed);
        let restore = |(span, committed): (&Span, kafka::Committed)| match committed.offset {
            None => Marks::none(span.low),
            Some(watermark) if watermark > span.end => {
                let (partition, end) = (span.partition, span.end);
                tracing::warn!(partition, watermark, end, "the topic was made anew: its marks are forgotten");
                Marks::none(span.low)
            }
            Some(watermark) => {
                Marks::restore(span.low, watermark, &committed.metadata).unwrap_or_else(|reason| {
                    self.unreadable.push((span.partition, reason));
                    Marks::none(watermark.max(span.low))
                })
            }
        };
        self.marks = restored.map(restore).collect();
        Ok(())
    }

    /// Partitions whose marks cannot be read in full, and why; what was replayed of them may look as if it were not.
    pub fn unreadable(&self) -> impl Iterator<Item = String> + '_ {
        self.unreadable.iter().map(|(partition, reason)| {
            format!("what is remembered of partition {partition} cannot be read: {reason}")
        })
    }

    /// Shows `visit` what is meant by `choice`, until it has seen enough and returns false. Returns the places of
    /// `choice` where there is no letter.
    ///
    /// # Errors
    ///
    /// Those of Kafka, and those of `visit`.
    pub fn look(
        &self,
        choice: &Choice,
        visit: &mut dyn FnMut(Seen) -> anyhow::Result<bool>,
    ) -> anyhow::Result<Vec<Spot>> {
        if choice.spots.is_empty() {
            self.look_through(choice, visit).map(|()| Vec::new())
        } else {
            self.look_at(choice, visit)
        }
    }

    fn look_through(
        &self,
        choice: &Choice,
        visit: &mut dyn FnMut(Seen) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        for (span, marks) in self.letters.spans().iter().zip(&self.marks) {
            let from = if choice.skip_replayed { marks.watermark() } else { span.low };
            let (mut next, mut goes_on) = (from, true);
            self.letters.read(span.partition, (from, span.end), &mut |batch| {
                let offset = batch.get(0).offset();
                if next < offset {
                    goes_on = visit(Seen::Nothing(span.partition, next..offset))?;
                }
                next = offset + 1;
                let letter = Box::new(Letter::new(batch));
                let replayed = marks.has(offset);
                if goes_on && choice.filter.takes(&letter) && !(replayed && choice.skip_replayed) {
                    goes_on = visit(Seen::Letter(letter, replayed))?;
                }
                Ok(goes_on)
            })?;
            if !goes_on {
                return Ok(());
            }
            if next < span.end && !visit(Seen::Nothing(span.partition, next..span.end))? {
                return Ok(());
            }
        }
        Ok(())
    }

    fn look_at(
        &self,
        choice: &Choice,
        visit: &mut dyn FnMut(Seen) -> anyhow::Result<bool>,
    ) -> anyhow::Result<Vec<Spot>> {
        let (mut missing, mut goes_on) = (Vec::new(), true);
        for spot in &choice.spots {
            let spans = self.letters.spans().iter().zip(&self.marks);
            let found = spans.into_iter().find(|(span, _)| span.partition == spot.partition);
            let within = |(span, _): &(&Span, &Marks)| (span.low..span.end).contains(&spot.offset);
            let mut is_there = false;
            if let Some((span, marks)) = found.filter(within) {
                self.letters.read(span.partition, (spot.offset, spot.offset + 1), &mut |batch| {
                    is_there = true;
                    let letter = Box::new(Letter::new(batch));
                    if choice.filter.takes(&letter) {
                        goes_on = visit(Seen::Letter(letter, marks.has(spot.offset)))?;
                    }
                    Ok(false)
                })?;
            }
            if !is_there {
                missing.push(spot.clone());
            }
            if !goes_on {
                break;
            }
        }
        Ok(missing)
    }
}
