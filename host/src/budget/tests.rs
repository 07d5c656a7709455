//! The contract's bound on starts, in any window of any placement, and that the rate is met.

use super::*;
use proptest::prelude::*;

const MS: Duration = Duration::from_millis(1);

fn rate(per_second: f64) -> Rate {
    Rate { period: Duration::from_secs_f64(1.0 / per_second) }
}

/// Starts of a worker that always has work and wakes `late(i)` after each permit was due.
fn paced(rate: Rate, burst: u32, until: Duration, mut late: impl FnMut(usize) -> Duration) -> Vec<Duration> {
    let (mut pacer, mut now, mut starts) = (Pacer::new(rate, burst), Duration::ZERO, Vec::new());
    while now < until {
        match pacer.ask(now) {
            Permit::Granted => starts.push(now),
            Permit::At(then) => now = then.max(now) + late(starts.len()),
        }
    }
    starts
}

fn assert_bound(starts: &[Duration], rate: Rate, burst: u32) {
    for (first, from) in starts.iter().enumerate() {
        for (last, to) in starts.iter().enumerate().skip(first) {
            let window = (*to - *from + 5 * MS).as_secs_f64();
            let most = rate.per_second() * window + f64::from(burst) + 1e-6;
            assert!(((last - first + 1) as f64) <= most, "{} starts in {window} s", last - first + 1);
        }
    }
}

#[test]
fn on_time_starts_are_evenly_spaced() {
    let starts = paced(rate(11.0), 1, Duration::from_secs(10), |_| Duration::ZERO);
    assert_eq!(starts.len(), 110);
    let spacing: Vec<_> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(spacing.iter().all(|s| *s == rate(11.0).period), "{spacing:?}");
}

#[test]
fn late_wake_ups_cost_nothing_of_the_rate() {
    for per_second in [100.0, 5_000.0] {
        let starts = paced(rate(per_second), 1, Duration::from_secs(10), |_| 2 * MS);
        let expected = per_second * 10.0;
        assert!((starts.len() as f64 - expected).abs() / expected < 0.01, "{} of {expected}", starts.len());
        assert_bound(&starts[..500], rate(per_second), 1);
    }
}

#[test]
fn a_pause_is_not_caught_up() {
    let mut pacer = Pacer::new(rate(10.0), 1);
    assert_eq!(pacer.ask(Duration::ZERO), Permit::Granted);
    let later = Duration::from_secs(60);
    assert_eq!(pacer.ask(later), Permit::Granted);
    assert_eq!(pacer.ask(later), Permit::At(later + 100 * MS));
}

#[test]
fn a_burst_is_saved_up_and_no_more() {
    let mut pacer = Pacer::new(rate(10.0), 5);
    let later = Duration::from_secs(60);
    assert!((0..5).all(|_| pacer.ask(later) == Permit::Granted));
    assert_eq!(pacer.ask(later), Permit::At(later + 100 * MS));
}

#[test]
fn the_slowest_and_the_fastest_rate() {
    let day = Duration::from_secs(86_400);
    let mut slow = Pacer::new(Rate { period: day }, u32::MAX);
    assert!(matches!(slow.ask(Duration::ZERO), Permit::Granted));
    let mut slow = Pacer::new(Rate { period: day }, 1);
    assert_eq!((slow.ask(Duration::ZERO), slow.ask(MS)), (Permit::Granted, Permit::At(day)));
    let starts = paced(rate(1e6), 1, 20 * MS, |_| MS);
    assert!(starts.len() >= 18_000, "{}", starts.len());
}

proptest! {
    #[test]
    fn no_window_holds_more_than_the_contract_allows(
        per_second in 0.5f64..5_000.0,
        burst in 1u32..20,
        late_us in prop::collection::vec(0u64..30_000, 1..200),
        idle_ms in prop::collection::vec(0u64..2_000, 1..4),
    ) {
        let (mut pacer, mut now, mut starts) = (Pacer::new(rate(per_second), burst), Duration::ZERO, Vec::new());
        for (i, late) in late_us.iter().enumerate() {
            match pacer.ask(now) {
                Permit::Granted => starts.push(now),
                Permit::At(then) => now = then + Duration::from_micros(*late),
            }
            if i % 50 == 49 {
                now += idle_ms[(i / 50) % idle_ms.len()] as u32 * MS;
            }
        }
        assert_bound(&starts, rate(per_second), burst);
    }
}
