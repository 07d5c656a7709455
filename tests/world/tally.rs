//! Counts what came out: what is lost, what is there more than once.

use std::collections::HashMap;

use super::kafka::Stored;

/// How often each payload came out.
pub(crate) struct Tally {
    counts: HashMap<String, usize>,
}

impl Tally {
    pub(crate) fn of(outputs: &[Stored]) -> Tally {
        let mut counts = HashMap::new();
        for output in outputs {
            *counts.entry(output.text()).or_default() += 1;
        }
        Tally { counts }
    }

    /// Those of `wanted` that never came out.
    pub(crate) fn lost<T: ToString>(&self, wanted: impl IntoIterator<Item = T>) -> Vec<String> {
        let names = wanted.into_iter().map(|payload| payload.to_string());
        names.filter(|payload| !self.counts.contains_key(payload)).collect()
    }

    /// Outputs beyond the first of each payload.
    pub(crate) fn repeated(&self) -> usize {
        self.counts.values().map(|count| count - 1).sum()
    }

    /// Different payloads.
    pub(crate) fn distinct(&self) -> usize {
        self.counts.len()
    }

    /// Everything that was wanted came out, and each of it once.
    pub(crate) fn assert_once<T: ToString>(&self, wanted: impl ExactSizeIterator<Item = T>) {
        let wanted_count = wanted.len();
        let lost = self.lost(wanted);
        assert!(
            lost.is_empty(),
            "{} of {wanted_count} are lost: {:?} …",
            lost.len(),
            &lost[..lost.len().min(10)]
        );
        assert_eq!(self.repeated(), 0, "some came out more than once");
        assert_eq!(self.distinct(), wanted_count, "there is more than was wanted");
    }
}
