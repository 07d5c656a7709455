//! What the window tells of made-up seconds.

use std::path::Path;

use super::*;
use crate::config::check;
use crate::metrics::LocalHistogram;
use crate::pipeline::control::State;

/// A plugin at work under 11/s.
fn seat() -> Arc<Seat> {
    let text = "[plugins.p]\ncomponent = \"p.wasm\"\ntopics = [\"t\"]\nbudget.rate = \"11/s\"\n";
    let checked = check::parse(text, Path::new("gristmill.toml"), &|_| None).unwrap();
    let seat = Seat::new(Arc::new(checked.config.plugins.into_iter().next().unwrap()));
    seat.say(|_| Some(State::Running));
    seat
}

/// One second in which so many messages are handled, each in so many milliseconds.
fn second(seat: &Seat, handled: u64, millis: u64) {
    let mut times = LocalHistogram::default();
    (0..handled).for_each(|_| times.observe(millis * 1_000_000));
    seat.metrics.handle_seconds.add(&mut times);
    (0..handled).for_each(|_| times.observe(1_000));
    seat.metrics.wait_seconds.add(&mut times);
    seat.metrics.count_outcome(Outcome::Handled, handled);
}

fn set_lag(seat: &Seat, lag: i64) {
    seat.metrics.update_partition("t", 0, |gauges| gauges.lag_messages = Some(lag));
}

/// Seconds from the first look on.
fn after(first: Instant, seconds: u64) -> Instant {
    first + Duration::from_secs(seconds)
}

#[test]
fn at_the_start_nothing_is_told_that_is_not_known() {
    let (seat, mut window) = (seat(), Window::default());
    assert_eq!(window.look(&seat, Instant::now()), Recent::default());
    assert_eq!(lag(&seat.metrics), None);
}

#[test]
fn the_last_second_and_the_last_minute() {
    let (seat, mut window, first) = (seat(), Window::default(), Instant::now());
    window.look(&seat, first);
    second(&seat, 30, 400);
    let recent = window.look(&seat, after(first, 1));
    assert_eq!(recent.handled_per_second, 30.0);
    assert_eq!(recent.handle, Quantiles { p50: Some(0.375), p99: Some(0.25 + 0.25 * 0.99) });
    assert!(recent.wait.p99.unwrap() <= 0.000_001);

    let recent = window.look(&seat, after(first, 3));
    assert_eq!((recent.handled_per_second, recent.handle.p50), (0.0, Some(0.375)));
    second(&seat, 30, 800);
    assert_eq!(window.look(&seat, after(first, 5)).handled_per_second, 15.0);
    // What was before the minute is forgotten, also when nobody looked for long.
    assert_eq!(window.look(&seat, after(first, 62)).handle.p50, Some(0.75));
    assert_eq!(window.look(&seat, after(first, 70)).handle, Quantiles::default());
}

#[test]
fn advice_comes_when_there_is_a_trend_and_begins_anew_with_the_budget() {
    let (seat, mut window, first) = (seat(), Window::default(), Instant::now());
    let mut lag = 4_011;
    let mut go = |seconds: std::ops::Range<u64>, window: &mut Window| {
        let mut recent = Recent::default();
        for at in seconds {
            second(&seat, 11, 100);
            lag -= 11;
            set_lag(&seat, lag);
            seat.metrics.add_throttled(ThrottledBy::Rate, Duration::from_millis(990));
            recent = window.look(&seat, after(first, at));
        }
        recent.advice.into_iter().map(|advice| advice.text).collect::<Vec<_>>()
    };
    assert_eq!(go(0..10, &mut window), Vec::<String>::new());
    let said = [
        "at this rate the lag is gone in 6 min",
        "the rate, not the concurrency, is what holds this plugin",
        "concurrency 3 would do",
    ];
    assert_eq!(go(10..11, &mut window), said);
    assert_eq!(go(11..30, &mut window), said);

    let budget = Budget { concurrency: 4, ..seat.budget() };
    seat.change_budget(budget, "concurrency 10 -> 4".to_owned(), "a test");
    assert_eq!(go(30..31, &mut window), Vec::<String>::new());
    assert_eq!(go(31..41, &mut window).last().unwrap(), "concurrency 3 would do");
    seat.pause("a test");
    assert_eq!(go(41..60, &mut window), Vec::<String>::new());
}

#[test]
fn the_window_is_bounded_whatever_the_clock_does() {
    let (seat, mut window, first) = (seat(), Window::default(), Instant::now());
    for _ in 0..1_000 {
        window.look(&seat, first);
    }
    assert_eq!(window.samples.len(), SAMPLES_MAX);
    // A clock that goes back is no reason to fail.
    window.look(&seat, after(first, 100));
    assert_eq!(window.look(&seat, first).handled_per_second, 0.0);
}

#[test]
fn a_plugin_that_goes_and_comes_again_begins_anew() {
    let (old, new, mut window, first) = (seat(), seat(), Window::default(), Instant::now());
    second(&old, 30, 400);
    window.look(&old, first);
    second(&old, 30, 400);
    assert_eq!(window.look(&old, after(first, 1)).handled_per_second, 30.0);
    assert_eq!(window.look(&new, after(first, 2)), Recent::default());
}
