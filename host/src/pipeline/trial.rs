//! A new version beside the old one: how both do since it was put there, and whether it has to go.
//!
//! Pure. What is compared is in the contract (Meanings, Swap); by how much they may differ is the plugin's to set.

use hdrhistogram::Histogram;

use crate::api;
use crate::config::Canary;
use crate::outcome::TrapKind;

/// Times below this, in nanoseconds, are taken for it when versions are compared: what a busy machine does to a message
/// that takes microseconds says nothing of its handler.
const NANOS_MIN: u64 = 1_000_000;

/// Longest time that is told apart, in nanoseconds: an hour, the longest `timeout` there is.
const NANOS_MAX: u64 = 3_600_000_000_000;

/// So many messages at least have to be slower than the bound: one or two in fifty may be the machine's doing.
const SLOW_MESSAGES_MIN: u64 = 3;

/// Significant digits of the times that are kept: quantiles are within 1 % of what was measured.
const DIGITS: u8 = 2;

/// How one message went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Went {
    /// It was handled.
    Well,
    /// The plugin said that it failed.
    Badly,
    /// The plugin was broken off.
    Broken(TrapKind),
}

/// How one version does.
#[derive(Debug)]
pub(super) struct Tally {
    messages: u64,
    failures: u64,
    traps: u64,
    /// Traps since the last message that was none, and how the last of them was.
    in_a_row: (u64, TrapKind),
    nanos: Histogram<u64>,
}

impl Tally {
    pub(super) fn new() -> Self {
        let nanos = Histogram::new_with_bounds(1, NANOS_MAX, DIGITS).expect("bounds and digits are in range");
        Self { messages: 0, failures: 0, traps: 0, in_a_row: (0, TrapKind::Trap), nanos }
    }

    /// Notes one message that took so long.
    pub(super) fn note(&mut self, went: Went, nanos: u64) {
        self.messages += 1;
        self.nanos.saturating_record(nanos.max(1));
        self.failures += u64::from(went != Went::Well);
        match went {
            Went::Broken(kind) => {
                self.traps += 1;
                self.in_a_row = (self.in_a_row.0 + 1, kind);
            }
            Went::Well | Went::Badly => self.in_a_row.0 = 0,
        }
    }

    fn failure_percent(&self) -> f64 {
        self.failures as f64 * 100.0 / self.messages.max(1) as f64
    }

    fn quantile(&self, quantile: f64) -> u64 {
        self.nanos.value_at_quantile(quantile)
    }

    /// As the API shows it.
    pub(super) fn shown(&self, digest: &str) -> api::Version {
        let seconds = |quantile| (self.messages > 0).then(|| self.quantile(quantile) as f64 / 1e9);
        api::Version {
            digest: digest.to_owned(),
            messages: self.messages,
            failures: self.failures,
            traps: self.traps,
            p50_seconds: seconds(0.5),
            p99_seconds: seconds(0.99),
        }
    }
}

/// Why the version of `new` has to go, if it has to.
pub(super) fn verdict(old: &Tally, new: &Tally, bounds: &Canary) -> Option<String> {
    let (traps, kind) = new.in_a_row;
    if traps >= bounds.traps {
        return Some(format!("{traps} traps in a row, the last of kind {}", kind.word()));
    }
    if new.messages < bounds.messages {
        return None;
    }
    let (percent_old, percent_new) = (old.failure_percent(), new.failure_percent());
    if percent_new > percent_old + bounds.failure_points as f64 {
        return Some(format!(
            "{percent_new:.1} % of its {} messages failed, and {percent_old:.1} % of the old version's",
            new.messages
        ));
    }
    // Of a version that has seen next to nothing since the trial began, nothing can be said.
    if old.messages < bounds.messages {
        return None;
    }
    let (p99_old, p99_new) = (old.quantile(0.99).max(NANOS_MIN), new.quantile(0.99).max(NANOS_MIN));
    let bound = p99_old.saturating_mul(bounds.slowdown);
    let slow = || new.nanos.count_between(bound + 1, NANOS_MAX);
    (p99_new > bound && slow() >= SLOW_MESSAGES_MIN).then(|| {
        let ms = |nanos: u64| nanos as f64 / 1e6;
        format!("its p99 is {:.1} ms, and the old version's {:.1} ms", ms(p99_new), ms(p99_old))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: Canary = Canary { traps: 3, messages: 50, failure_points: 2, slowdown: 3 };
    const MS: u64 = 1_000_000;

    fn tally(messages: impl IntoIterator<Item = (Went, u64)>) -> Tally {
        let mut tally = Tally::new();
        messages.into_iter().for_each(|(went, nanos)| tally.note(went, nanos));
        tally
    }

    fn well(count: usize, nanos: u64) -> Vec<(Went, u64)> {
        vec![(Went::Well, nanos); count]
    }

    #[test]
    fn traps_in_a_row_end_it_at_once_and_others_do_not() {
        let broken = (Went::Broken(TrapKind::Memory), MS);
        let old = tally(well(10, MS));
        let two = [broken, broken, (Went::Well, MS), broken, broken];
        assert_eq!(verdict(&old, &tally(two), &BOUNDS), None);
        let three = [broken, broken, broken];
        let reason = verdict(&old, &tally(three), &BOUNDS).unwrap();
        assert_eq!(reason, "3 traps in a row, the last of kind memory");
    }

    #[test]
    fn failures_are_compared_after_enough_messages() {
        let old = tally(well(950, MS).into_iter().chain(vec![(Went::Badly, MS); 50]));
        let failing = |count, failures| {
            tally((0..count).map(|i| (if i < failures { Went::Badly } else { Went::Well }, MS)))
        };
        assert_eq!(verdict(&old, &failing(49, 40), &BOUNDS), None, "too early");
        assert_eq!(verdict(&old, &failing(100, 7), &BOUNDS), None, "7 % beside 5 %");
        let reason = verdict(&old, &failing(100, 8), &BOUNDS).unwrap();
        assert_eq!(reason, "8.0 % of its 100 messages failed, and 5.0 % of the old version's");
    }

    #[test]
    fn a_slow_version_goes_and_a_hiccup_is_none() {
        let old = tally(well(1_000, 10 * MS));
        assert_eq!(verdict(&old, &tally(well(60, 29 * MS)), &BOUNDS), None);
        assert!(verdict(&old, &tally(well(60, 40 * MS)), &BOUNDS).unwrap().starts_with("its p99 is 4"));
        let hiccup = well(58, 10 * MS).into_iter().chain(well(2, 500 * MS));
        assert_eq!(verdict(&old, &tally(hiccup), &BOUNDS), None);
        let quick = tally(well(1_000, 5_000));
        assert_eq!(verdict(&quick, &tally(well(1_000, 900_000)), &BOUNDS), None, "below a millisecond");
        assert!(verdict(&quick, &tally(well(60, 5 * MS)), &BOUNDS).is_some());
    }

    #[test]
    fn without_anything_to_compare_with_only_traps_and_failures_count() {
        let none = Tally::new();
        assert_eq!(verdict(&none, &tally(well(100, 500 * MS)), &BOUNDS), None);
        assert!(verdict(&none, &tally(vec![(Went::Badly, MS); 50]), &BOUNDS).is_some());
    }

    proptest! {
        /// A version that does exactly as the old one is never sent away for its failures.
        #[test]
        fn one_that_does_the_same_stays(failing in prop::collection::vec(any::<bool>(), 50..400)) {
            let messages = || failing.iter().map(|fails| (if *fails { Went::Badly } else { Went::Well }, MS));
            prop_assert_eq!(verdict(&tally(messages()), &tally(messages()), &BOUNDS), None);
        }
    }
}
