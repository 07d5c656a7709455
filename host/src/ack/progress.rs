//! Which offsets of one partition are finished: the low watermark over *delivered* messages.
//!
//! Pure. Offsets have gaps (compaction, transaction markers, aborted batches), so nothing here counts in offsets:
//! each delivered message gets the next sequence number, and the watermark is the offset of the oldest delivered
//! message that is not finished, or where reading goes on when all are.

use std::collections::VecDeque;
use std::time::Instant;

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
}

impl Progress {
    /// Notes that the messages delivered from now on were taken from Kafka at `fetched_at`.
    pub fn begin_batch(&mut self, fetched_at: Instant) {
        self.batches.push_back((self.first_seq + self.open.len() as u64, fetched_at));
    }

    /// Notes a delivered message and returns its sequence number. Offsets come in rising order.
    pub fn deliver(&mut self, offset: i64) -> u64 {
        self.open.push_back((offset, false));
        self.next = Some(offset + 1);
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
        self.next = self.next.max(Some(position));
    }

    /// What Kafka may be told: every delivered message below it is finished. None before the first delivery.
    pub fn watermark(&self) -> Option<i64> {
        self.open.front().map(|&(offset, _)| offset).or(self.next)
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

    proptest! {
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
