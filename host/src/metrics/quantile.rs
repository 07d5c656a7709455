//! Which time a share of the observations did not exceed, as far as buckets tell.

use super::{Buckets, SECONDS_BUCKETS};

/// The seconds that `share` (0 to 1) of the observations took at most, taking those of a bucket as evenly spread over
/// it; of those above every bound only the highest bound is known. None while there are none.
pub fn quantile(buckets: &Buckets, share: f64) -> Option<f64> {
    let all: u64 = buckets.iter().sum();
    if all == 0 {
        return None;
    }
    let wanted = share.clamp(0.0, 1.0) * all as f64;
    let mut before = 0.0;
    let mut low = 0.0;
    for (count, high) in buckets.iter().zip(SECONDS_BUCKETS) {
        let count = *count as f64;
        if count > 0.0 && before + count >= wanted {
            return Some(low + (high - low) * ((wanted - before) / count).clamp(0.0, 1.0));
        }
        before += count;
        low = high;
    }
    Some(low)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Observations by the bound of their bucket.
    fn buckets(of: &[(f64, u64)]) -> Buckets {
        let mut buckets = Buckets::default();
        for (bound, count) in of {
            let index =
                SECONDS_BUCKETS.iter().position(|other| other == bound).unwrap_or(SECONDS_BUCKETS.len());
            buckets[index] += count;
        }
        buckets
    }

    #[test]
    fn within_a_bucket_times_are_evenly_spread() {
        assert_eq!(quantile(&buckets(&[]), 0.5), None);
        let quarter = buckets(&[(0.5, 100)]);
        assert_eq!(quantile(&quarter, 0.5), Some(0.375));
        assert_eq!(quantile(&quarter, 1.0), Some(0.5));
        let two = buckets(&[(0.001, 98), (0.5, 2)]);
        assert!(quantile(&two, 0.5).unwrap() < 0.001);
        assert_eq!(quantile(&two, 0.99), Some(0.375));
        assert_eq!(quantile(&buckets(&[(f64::INFINITY, 3)]), 0.5), Some(300.0));
    }

    proptest! {
        #[test]
        fn more_of_them_never_took_less(counts in prop::collection::vec(0_u64..1000, 21), a in 0.0..1.0, b in 0.0..1.0) {
            let buckets = Buckets::try_from(counts).unwrap();
            let (low, high) = if a < b { (a, b) } else { (b, a) };
            match (quantile(&buckets, low), quantile(&buckets, high)) {
                (None, None) => prop_assert_eq!(buckets.iter().sum::<u64>(), 0),
                (Some(low), Some(high)) => prop_assert!(0.0 <= low && low <= high && high <= 300.0),
                other => prop_assert!(false, "{:?}", other),
            }
        }
    }
}
