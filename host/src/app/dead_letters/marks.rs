//! What of one partition was replayed: everything below a watermark, and some ranges beyond it. Pure; the text of a mark
//! is `ack::map`'s.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::ack::map::{self, Encoded, Unreadable};

/// What of one partition was replayed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    watermark: i64,
    /// Ends by starts; neither overlapping nor touching, all above the watermark.
    beyond: BTreeMap<i64, i64>,
}

impl Marks {
    /// Nothing replayed of a partition that begins at `low`.
    pub(super) fn none(low: i64) -> Self {
        Self { watermark: low, beyond: BTreeMap::new() }
    }

    /// What was committed for a partition that begins at `low` by now.
    ///
    /// # Errors
    ///
    /// When `text` says nothing about it.
    pub(super) fn restore(low: i64, watermark: i64, text: &[u8]) -> Result<Self, Unreadable> {
        let mut marks = Self::none(watermark);
        map::decode(watermark, text)?.into_iter().for_each(|range| marks.add(range));
        // What has left the topic is past replaying, and need not be remembered.
        marks.add(watermark..low);
        Ok(marks)
    }

    /// Whether the letter at `offset` was replayed, or there is none.
    pub(super) fn has(&self, offset: i64) -> bool {
        let range = self.beyond.range(..=offset).next_back();
        offset < self.watermark || range.is_some_and(|(_, end)| offset < *end)
    }

    /// Notes that `range` was replayed, or holds no letters.
    pub(super) fn add(&mut self, range: Range<i64>) {
        let (mut start, mut end) = (range.start.max(self.watermark), range.end);
        if start >= end {
            return;
        }
        if let Some((&before, &its_end)) = self.beyond.range(..=start).next_back()
            && its_end >= start
        {
            (start, end) = (before, end.max(its_end));
        }
        while let Some((&next, &its_end)) = self.beyond.range(start..=end).next() {
            end = end.max(its_end);
            self.beyond.remove(&next);
        }
        if start == self.watermark {
            self.watermark = end;
        } else {
            self.beyond.insert(start, end);
        }
    }

    /// Everything below this was replayed.
    pub(super) fn watermark(&self) -> i64 {
        self.watermark
    }

    /// What is to be committed beside the watermark.
    pub(super) fn encoded(&self) -> Encoded {
        map::encode(self.watermark, self.beyond.iter().map(|(start, end)| *start..*end), map::CHARS_MAX)
    }

    /// How many offsets from `until` on are marked, which a text that ends there leaves out.
    pub(super) fn beyond(&self, until: i64) -> u64 {
        let lengths = self.beyond.iter().map(|(start, end)| end - (*start).max(until));
        lengths.filter(|length| *length > 0).sum::<i64>().unsigned_abs()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_replayed_out_of_order_is_remembered_and_the_watermark_follows() {
        let mut marks = Marks::none(5);
        marks.add(9..10);
        marks.add(6..7);
        assert_eq!(marks.watermark(), 5);
        assert!(marks.has(4) && !marks.has(5) && marks.has(6) && !marks.has(7) && marks.has(9));
        assert_eq!(marks.beyond(i64::MIN), 2);
        assert_eq!(marks.beyond(7), 1);
        marks.add(5..6);
        assert_eq!(marks.watermark(), 7);
        marks.add(7..9);
        assert_eq!(marks, Marks::none(10));
    }

    #[test]
    fn marks_survive_being_committed_even_if_the_topic_has_moved_on() {
        let mut marks = Marks::none(5);
        marks.add(8..12);
        marks.add(20..21);
        let text = marks.encoded().text;
        assert_eq!(Marks::restore(5, 5, text.as_bytes()), Ok(marks.clone()));
        assert_eq!(Marks::restore(0, 5, text.as_bytes()), Ok(marks));
        let moved = Marks::restore(10, 5, text.as_bytes()).unwrap();
        assert_eq!((moved.watermark(), moved.has(20), moved.has(19)), (12, true, false));
        assert_eq!(Marks::restore(0, 5, b"other"), Err(Unreadable::Foreign));
        assert_eq!(Marks::restore(3, 0, b""), Ok(Marks::none(3)));
    }

    proptest! {
        #[test]
        fn marks_are_a_set_of_offsets(
            low in 0i64..40,
            ranges in prop::collection::vec((0i64..200, 1i64..9), 0..60),
        ) {
            let mut marks = Marks::none(low);
            let mut set: std::collections::BTreeSet<i64> = (0..low).collect();
            for (start, length) in ranges {
                marks.add(start..start + length);
                set.extend(start..start + length);
            }
            for offset in 0..220 {
                prop_assert_eq!(marks.has(offset), set.contains(&offset), "{}", offset);
            }
            let text = marks.encoded().text;
            prop_assert_eq!(Marks::restore(low, marks.watermark(), text.as_bytes()), Ok(marks));
        }
    }
}
