//! Which offsets of one partition are finished: the low watermark over *delivered* messages, and what is finished beyond.
//!
//! Pure. Offsets have gaps (compaction, transaction markers, aborted batches), so nothing here counts in offsets:
//! each delivered message gets the next sequence number, and the watermark is the offset of the oldest delivered
//! message that is not finished, or where reading goes on when all are.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Instant;

use super::map::{self, Encoded};

/// Progress in one partition, from its assignment to its revocation.
#[derive(Debug, Default)]
pub struct Progress {
    /// Offset and whether it is finished, of each delivered message from the watermark on; the front, if there is
    /// one, is unfinished.
    open: VecDeque<(i64, bool)>,
    /// Sequence number of the front of `open`.
    first_seq: u64,
    /// Offset behind the highest that reading has passed; none before the first delivery.
    next: Option<i64>,
    /// Finished messages in `open`.
    finished: usize,
    /// First sequence number and time of each batch that has a message in `open`.
    batches: VecDeque<(u64, Instant)>,
    /// Offsets that an earlier assignment had finished beyond its watermark, in order: they are not delivered again.
    restored: VecDeque<Range<i64>>,
    /// Counts the changes of what Kafka may be told.
    version: u64,
    /// The watermark that Kafka has, and the version of what it was told.
    confirmed: Option<(i64, u64)>,
}

/// Where an offset stands in a partition's progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is finished, or was before this assignment began.
    Finished,
    /// It was delivered and is not finished.
    Open,
    /// Reading has not come to it; so many offsets are before it.
    Unread(u64),
    /// Reading has passed it, and no message stood there.
    Absent,
}

/// What Kafka may be told of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Every delivered message below it is finished.
    pub watermark: i64,
    /// What is finished beyond, as far as it fits.
    pub map: Encoded,
    /// Offsets that are finished beyond and do not fit: these would be handled again after a crash.
    pub left_out: u64,
    /// Which state this is.
    pub version: u64,
}

impl Progress {
    /// Goes on where Kafka knows an earlier assignment to have come: `finished` beyond `watermark`, in order.
    pub fn resume(&mut self, watermark: i64, finished: &[Range<i64>]) {
        self.next = Some(watermark);
        self.restored = finished.iter().cloned().collect();
        self.confirmed = Some((watermark, self.version));
    }

    /// Notes that the messages delivered from now on were taken from Kafka at `fetched_at`.
    pub fn begin_batch(&mut self, fetched_at: Instant) {
        self.batches.push_back((self.first_seq + self.open.len() as u64, fetched_at));
    }

    /// Notes a delivered message and returns its sequence number. Offsets come in rising order.
    pub fn deliver(&mut self, offset: i64) -> u64 {
        self.open.push_back((offset, false));
        self.next = Some(offset + 1);
        self.version += 1;
        self.first_seq + self.open.len() as u64 - 1
    }

    /// Marks a message as finished. Returns false when it already was (a second answer changes nothing).
    pub fn finish(&mut self, seq: u64) -> bool {
        let Some(entry) = seq.checked_sub(self.first_seq).and_then(|index| self.open.get_mut(index as usize))
        else {
            return false;
        };
        if std::mem::replace(&mut entry.1, true) {
            return false;
        }
        self.finished += 1;
        self.version += 1;
        while self.open.front().is_some_and(|&(_, finished)| finished) {
            self.open.pop_front();
            self.first_seq += 1;
            self.finished -= 1;
        }
        while self.batches.get(1).is_some_and(|&(first_seq, _)| first_seq <= self.first_seq) {
            self.batches.pop_front();
        }
        true
    }

    /// When the oldest unfinished message was taken from Kafka; none when all are finished.
    pub fn oldest_unfinished(&self) -> Option<Instant> {
        let &(_, fetched_at) = self.batches.front()?;
        (!self.open.is_empty()).then_some(fetched_at)
    }

    /// Notes that reading has passed everything below `position`, markers and gaps included.
    pub fn pass(&mut self, position: i64) {
        if self.next < Some(position) {
            self.next = Some(position);
            self.version += 1;
        }
    }

    /// What Kafka may be told: every delivered message below it is finished. None before the first delivery.
    pub fn watermark(&self) -> Option<i64> {
        self.open.front().map(|&(offset, _)| offset).or(self.next)
    }

    /// What Kafka may be told, with a map of at most `chars_max` characters; none when it has been told already, or
    /// before there is anything.
    pub fn to_tell(&mut self, chars_max: usize) -> Option<Told> {
        let mut watermark = self.watermark()?;
        while let Some(range) = self.restored.pop_front_if(|range| range.start <= watermark) {
            // Where nothing is open, the watermark stands where reading goes on, and what is finished there is passed.
            if self.open.is_empty() {
                self.next = self.next.max(Some(range.end));
                watermark = watermark.max(range.end);
            }
        }
        if self.confirmed.is_some_and(|(_, version)| version == self.version) {
            return None;
        }
        let map = map::encode(watermark, self.finished_beyond(watermark), chars_max);
        let left_out = match map.until {
            i64::MAX => 0,
            until => {
                self.finished_beyond(until.max(watermark)).map(|range| (range.end - range.start) as u64).sum()
            }
        };
        Some(Told { watermark, map, left_out, version: self.version })
    }

    /// Kafka has what `to_tell` said.
    pub fn confirm(&mut self, told: &Told) {
        self.confirmed = Some((told.watermark, told.version));
    }

    /// The watermark that Kafka has.
    pub fn confirmed(&self) -> Option<i64> {
        self.confirmed.map(|(watermark, _)| watermark)
    }

    /// What is finished from `from` on, in order, as few ranges as possible.
    fn finished_beyond(&self, from: i64) -> impl Iterator<Item = Range<i64>> + '_ {
        let mut delivered = self.open.iter().peekable();
        let runs = std::iter::from_fn(move || {
            while delivered.next_if(|(_, finished)| !finished).is_some() {}
            let &(start, _) = delivered.next()?;
            let mut end = start + 1;
            // What lies between two finished ones was never there.
            while let Some(&(offset, _)) = delivered.next_if(|(_, finished)| *finished) {
                end = offset + 1;
            }
            Some(start..end)
        });
        let mut runs = runs.peekable();
        let mut restored = self.restored.iter().cloned().peekable();
        let mut next = move || match (runs.peek(), restored.peek()) {
            (Some(run), Some(range)) if range.start < run.start => restored.next(),
            (Some(_), _) => runs.next(),
            (None, _) => restored.next(),
        };
        let mut ahead: Option<Range<i64>> = None;
        let merged = std::iter::from_fn(move || {
            let mut range = ahead.take().or_else(&mut next)?;
            loop {
                match next() {
                    Some(other) if other.start <= range.end => range.end = range.end.max(other.end),
                    other => {
                        ahead = other;
                        return Some(range);
                    }
                }
            }
        });
        merged.filter_map(move |range| (range.end > from).then(|| range.start.max(from)..range.end))
    }

    /// Where `offset` stands. Before the first delivery everything is unread.
    pub fn standing(&self, offset: i64) -> Standing {
        let next = self.next.unwrap_or(0);
        let is_restored = self.restored.iter().any(|range| range.contains(&offset));
        match self.open.binary_search_by_key(&offset, |&(open, _)| open) {
            Ok(index) if self.open[index].1 => Standing::Finished,
            Ok(_) => Standing::Open,
            Err(_) if is_restored || self.watermark().is_some_and(|watermark| offset < watermark) => {
                Standing::Finished
            }
            Err(_) if offset >= next => Standing::Unread(offset.abs_diff(next)),
            Err(_) => Standing::Absent,
        }
    }

    /// Delivered messages from the watermark to the highest.
    pub fn span(&self) -> usize {
        self.open.len()
    }

    /// Delivered messages that are not finished.
    pub fn unfinished(&self) -> usize {
        self.open.len() - self.finished
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn gaps_are_passed_over() {
        let mut progress = Progress::default();
        assert_eq!(progress.watermark(), None);
        let (a, b) = (progress.deliver(4), progress.deliver(9));
        assert!(progress.finish(b));
        assert_eq!((progress.watermark(), progress.span(), progress.unfinished()), (Some(4), 2, 1));
        assert!(progress.finish(a));
        assert!(!progress.finish(a));
        assert_eq!(progress.watermark(), Some(10));
        progress.pass(12);
        assert_eq!(progress.watermark(), Some(12));
    }

    #[test]
    fn what_was_finished_before_is_told_on_until_the_watermark_has_passed_it() {
        let mut progress = Progress::default();
        progress.resume(10, &[11..13, 15..16]);
        assert_eq!((progress.to_tell(map::CHARS_MAX), progress.confirmed()), (None, Some(10)));
        let (a, b) = (progress.deliver(10), progress.deliver(13));
        progress.finish(b);
        let told = progress.to_tell(map::CHARS_MAX).unwrap();
        assert_eq!((told.watermark, told.left_out), (10, 0));
        assert_eq!(map::decode(10, told.map.text.as_bytes()), Ok(vec![11..14, 15..16]));
        assert_eq!(progress.to_tell(0).unwrap().left_out, 4);
        progress.confirm(&told);
        assert_eq!(progress.to_tell(map::CHARS_MAX), None);
        progress.finish(a);
        let told = progress.to_tell(map::CHARS_MAX).unwrap();
        assert_eq!(
            (told.watermark, map::decode(14, told.map.text.as_bytes())),
            (14, Ok(std::iter::once(15..16).collect()))
        );
    }

    proptest! {
        /// A crash and a new start at any moment repeat exactly what was delivered and not finished, as long as the map
        /// holds all; markers and gaps change nothing.
        #[test]
        fn what_is_told_brings_back_what_was_finished(
            rounds in prop::collection::vec(
                (prop::collection::vec((1i64..4, 0usize..8), 1..60), 0i64..3), 1..5),
        ) {
            let (mut watermark, mut finished) = (0, Vec::<Range<i64>>::new());
            let mut model = std::collections::BTreeSet::new();
            for (steps, marker) in rounds {
                let mut progress = Progress::default();
                progress.resume(watermark, &finished);
                let mut open = Vec::new();
                let mut offset = watermark;
                for (gap, pick) in steps {
                    if !finished.iter().any(|range| range.contains(&offset)) {
                        prop_assert!(!model.contains(&offset), "{offset} was finished and comes again");
                        open.push((progress.deliver(offset), offset));
                    }
                    offset += gap;
                    if pick < open.len() {
                        let (seq, offset) = open.remove(pick);
                        progress.finish(seq);
                        model.insert(offset);
                    }
                }
                if open.is_empty() {
                    progress.pass(offset + marker);
                }
                let Some(told) = progress.to_tell(map::CHARS_MAX) else { continue };
                watermark = told.watermark;
                prop_assert!(open.iter().all(|(_, offset)| *offset >= watermark));
                finished = map::decode(watermark, told.map.text.as_bytes()).unwrap();
                for (_, offset) in open {
                    prop_assert!(!finished.iter().any(|range| range.contains(&offset)));
                }
                for offset in &model {
                    prop_assert!(*offset < watermark || finished.iter().any(|range| range.contains(offset)));
                }
            }
        }

        #[test]
        fn equals_a_plain_model(steps in prop::collection::vec((1i64..4, 0usize..6, any::<bool>()), 0..300)) {
            let mut progress = Progress::default();
            // The model: every message ever delivered, with its offset and whether it is finished.
            let mut model: Vec<(u64, i64, bool)> = Vec::new();
            let mut offset = 0;
            for (gap, pick, deliver) in steps {
                if deliver {
                    offset += gap;
                    let seq = progress.deliver(offset);
                    prop_assert!(model.iter().all(|m| m.0 != seq));
                    model.push((seq, offset, false));
                } else {
                    let open: Vec<usize> = (0..model.len()).filter(|&i| !model[i].2).collect();
                    if let Some(&index) = open.get(pick) {
                        prop_assert!(progress.finish(model[index].0));
                        model[index].2 = true;
                    }
                }
                let expected = model.iter().find(|m| !m.2).map(|m| m.1)
                    .or(model.last().map(|m| m.1 + 1));
                prop_assert_eq!(progress.watermark(), expected);
                prop_assert_eq!(progress.unfinished(), model.iter().filter(|m| !m.2).count());
            }
        }
    }
}
