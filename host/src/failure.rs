//! What becomes of a message that was not handled: another attempt, and when, or the end of trying.
//!
//! Pure: the caller passes the number of the attempt and a random number, and does what is decided.

use std::time::Duration;

use crate::config::{Retry, limits};
use crate::outcome::Failure;

/// What is decided of a failed message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Another attempt after this time.
    Retry(Duration),
    /// No other attempt: it is given up on.
    GiveUp,
}

/// Decides what becomes of a message whose call number `attempt` (from 1) ended in `failure`. `random` is any number:
/// waits are spread by it, so that messages which failed together do not all come back together.
pub fn decide(failure: &Failure, attempt: u32, retry: &Retry, random: u32) -> Decision {
    let asked = match failure {
        Failure::Reject { .. } | Failure::Output { lasting: true, .. } => return Decision::GiveUp,
        Failure::Retry { after_ms, .. } => after_ms.map(|ms| Duration::from_millis(ms.into())),
        Failure::Trap { .. } | Failure::Output { lasting: false, .. } => None,
    };
    if attempt >= retry.attempts {
        return Decision::GiveUp;
    }
    // A plugin may ask for 49 days; a message that waits longer than the longest back-off there may be is parked in
    // all but name.
    let longest = limits::MAX_BACKOFF.max.0;
    Decision::Retry(asked.map_or_else(|| backoff(attempt, retry, random), |asked| asked.min(longest)))
}

/// The wait after attempt number `attempt`: `backoff`, doubled for each attempt before it, at most `max_backoff`; of
/// that at least half, and the rest by chance.
fn backoff(attempt: u32, retry: &Retry, random: u32) -> Duration {
    let doublings = attempt.saturating_sub(1).min(31);
    let whole = retry.backoff.saturating_mul(1 << doublings).min(retry.max_backoff);
    let half = whole / 2;
    half + half.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::TrapKind;
    use proptest::prelude::*;

    fn failures() -> impl Strategy<Value = Failure> {
        let reason = String::new;
        prop_oneof![
            prop::option::of(any::<u32>())
                .prop_map(move |after_ms| Failure::Retry { reason: reason(), after_ms }),
            Just(Failure::Reject { reason: reason() }),
            prop::sample::select(&TrapKind::ALL[..])
                .prop_map(move |kind| Failure::Trap { kind, reason: reason() }),
            any::<bool>().prop_map(move |lasting| Failure::Output { reason: reason(), lasting }),
        ]
    }

    proptest! {
        #[test]
        fn attempts_are_bounded_and_waits_are_in_their_range(
            failure in failures(),
            attempt in 1_u32..2_000,
            attempts in 1_u32..1_000,
            (backoff, max_factor) in (1_u64..3_600_000, 1_u64..100),
            random in any::<u32>(),
        ) {
            let backoff = Duration::from_millis(backoff);
            let retry = Retry { attempts, backoff, max_backoff: backoff * max_factor as u32 };
            let hopeless =
                matches!(failure, Failure::Reject { .. } | Failure::Output { lasting: true, .. });
            match decide(&failure, attempt, &retry, random) {
                Decision::GiveUp => prop_assert!(hopeless || attempt >= attempts),
                Decision::Retry(wait) => {
                    prop_assert!(!hopeless && attempt < attempts);
                    if let Failure::Retry { after_ms: Some(ms), .. } = failure {
                        let asked = Duration::from_millis(ms.into());
                        prop_assert_eq!(wait, asked.min(limits::MAX_BACKOFF.max.0));
                    } else {
                        let doubled = backoff.as_secs_f64() * 2_f64.powi(attempt as i32 - 1);
                        let whole = doubled.min(retry.max_backoff.as_secs_f64());
                        let share = wait.as_secs_f64() / whole;
                        prop_assert!((0.499..=1.001).contains(&share), "{share}");
                    }
                }
            }
        }
    }
}
