//! What the demo's books are worth: pure arithmetic over the times at which queries began.

use std::time::Duration;

/// How evenly and how often something started.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pace {
    /// Starts a second over the whole time.
    pub(super) per_second: f64,
    /// Most starts in any window of `window`, wherever it is placed.
    pub(super) worst: usize,
    /// The window.
    pub(super) window: Duration,
    /// Time between neighbours: the median, and the 1st and 99th of a hundred.
    pub(super) spacing: [Duration; 3],
}

/// The pace of `starts`, which are in order. None with fewer than two.
pub(super) fn pace(starts: &[Duration], window: Duration) -> Option<Pace> {
    let whole = starts.last()?.checked_sub(*starts.first()?).filter(|whole| !whole.is_zero())?;
    let mut spacing: Vec<Duration> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    spacing.sort_unstable();
    let at = |share: f64| spacing[((spacing.len() - 1) as f64 * share).round() as usize];
    Some(Pace {
        per_second: (starts.len() - 1) as f64 / whole.as_secs_f64(),
        worst: worst_window(starts, window),
        window,
        spacing: [at(0.5), at(0.01), at(0.99)],
    })
}

/// Most of `starts` in any half-open window: every worst window can be moved until it begins with a start.
fn worst_window(starts: &[Duration], window: Duration) -> usize {
    let mut first = 0;
    let mut worst = 0;
    for (last, at) in starts.iter().enumerate() {
        while *at >= starts[first] + window {
            first += 1;
        }
        worst = worst.max(last - first + 1);
    }
    worst
}

/// What the contract allows in a window: rate × (window + 5 ms) + burst.
pub(super) fn allowed(per_second: f64, burst: u32, window: Duration) -> f64 {
    per_second * (window.as_secs_f64() + 0.005) + f64::from(burst)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_window_is_found_wherever_it_is() {
        let ms = |at: &[u64]| at.iter().map(|ms| Duration::from_millis(*ms)).collect::<Vec<_>>();
        let pace = pace(&ms(&[0, 900, 950, 1000, 1899, 1900]), Duration::from_secs(1)).unwrap();
        assert_eq!(pace.worst, 4);
        assert_eq!(pace.spacing[0], Duration::from_millis(50));
        assert!((pace.per_second - 5.0 / 1.9).abs() < 1e-9);
        assert!((allowed(100.0, 1, Duration::from_secs(1)) - 101.5).abs() < 1e-9);
    }
}
