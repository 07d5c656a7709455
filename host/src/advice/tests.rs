//! What is said of which figures, and that nothing is said that is none.

use proptest::prelude::*;

use super::*;

/// A plugin at work for a minute, under 11/s, with a backlog, 200 ms a message.
fn under_rate() -> Figures {
    Figures {
        seconds: 60.0,
        is_working: true,
        is_ordered: true,
        has_rate: true,
        concurrency: 10,
        lag: Some(4_000),
        lag_before: Some(4_660),
        calls: 660,
        call_seconds: 132.0,
        handled: 660,
        rate_seconds: 58.0,
        buffer_seconds: 59.0,
        ..Figures::default()
    }
}

/// A plugin at work for a minute without a rate, 5 at a time, 200 ms a message, with a backlog.
fn under_concurrency() -> Figures {
    Figures {
        has_rate: false,
        concurrency: 5,
        calls: 1_500,
        call_seconds: 300.0,
        handled: 1_500,
        lag_before: Some(5_500),
        rate_seconds: 0.0,
        concurrency_seconds: 57.0,
        ..under_rate()
    }
}

fn texts(figures: &Figures) -> Vec<String> {
    advise(figures).into_iter().map(|advice| advice.text).collect()
}

#[test]
fn a_plugin_that_its_rate_holds() {
    let said: Vec<_> = advise(&under_rate()).into_iter().map(|advice| (advice.about, advice.text)).collect();
    let said: Vec<_> = said.iter().map(|(about, text)| (about.as_str(), text.as_str())).collect();
    assert_eq!(
        said,
        [
            ("lag", "at this rate the lag is gone in 6 min"),
            ("rate", "the rate, not the concurrency, is what holds this plugin"),
            ("concurrency", "concurrency 4 would do"),
        ]
    );
    let growing = Figures { lag_before: Some(2_800), ..under_rate() };
    assert_eq!(
        texts(&growing),
        ["the lag grows by 20/s: raise the `rate` above 31/s", "concurrency 4 would do"]
    );
    let shared = Figures { is_rate_shared: true, ..growing };
    assert_eq!(texts(&shared)[0], "the lag grows by 20/s: raise the `rate`");
    let steady = Figures { lag_before: Some(4_000), ..under_rate() };
    assert_eq!(texts(&steady)[0], "the rate, not the concurrency, is what holds this plugin");
}

#[test]
fn a_plugin_that_its_concurrency_holds() {
    assert_eq!(
        texts(&under_concurrency()),
        ["at this rate the lag is gone in 3 min", "the concurrency is what holds this plugin"]
    );
    let growing = Figures { lag_before: Some(3_400), ..under_concurrency() };
    assert_eq!(texts(&growing), ["the lag grows by 10/s: raise the `concurrency`, 10 would keep up"]);
    let batching = Figures { has_batches: true, ..growing };
    assert_eq!(texts(&batching), ["the lag grows by 10/s: raise the `concurrency`"]);
    let rated = Figures { has_rate: true, ..under_concurrency() };
    assert_eq!(texts(&rated)[1], "the concurrency, not the rate, is what holds this plugin");
}

#[test]
fn a_plugin_whose_lanes_wait_for_each_other() {
    let few_keys = Figures { concurrency_seconds: 0.0, buffer_seconds: 55.0, ..under_concurrency() };
    assert_eq!(
        texts(&few_keys)[1],
        "workers are free while the buffer is full: its messages wait for others of their lane"
    );
    let growing = Figures { lag_before: Some(3_400), ..few_keys.clone() };
    assert_eq!(
        texts(&growing),
        [
            "the lag grows by 10/s: messages wait for others of their lane, a larger `buffer` reaches more lanes"
        ]
    );
    let unordered = Figures { is_ordered: false, ..few_keys };
    assert_eq!(texts(&unordered).len(), 1);
}

#[test]
fn a_plugin_with_parked_lanes_and_failures() {
    let parked = Figures { parked_lanes: 3, ..under_concurrency() };
    assert_eq!(texts(&parked), ["3 lanes are parked: release or skip what holds them"]);
    let held = Figures { parked_lanes: 1, held_partitions: 2, ..parked };
    assert_eq!(
        texts(&held),
        ["1 lane is parked, and 2 partitions are not read meanwhile: release or skip what holds it"]
    );
    let failing = Figures {
        handled: 90,
        dropped: 8,
        parked: 2,
        calls: 200,
        retries: 100,
        lag: Some(0),
        ..under_concurrency()
    };
    assert_eq!(
        texts(&failing),
        [
            "10 % of the messages of the last 60 s were given up on",
            "50 % of the attempts of the last 60 s were retries"
        ]
    );
    let unwritten = Figures { dead_letter_failures: 1, ..under_concurrency() };
    assert!(texts(&unwritten)[0].starts_with("dead letters cannot be written"));
}

#[test]
fn where_there_is_nothing_to_say_nothing_is_said() {
    for (what, figures) in [
        ("at the start", Figures::default()),
        ("after few seconds", Figures { seconds: 9.0, ..under_rate() }),
        ("paused", Figures { is_working: false, ..under_rate() }),
        ("idle", Figures { lag: Some(0), lag_before: Some(0), rate_seconds: 0.0, ..under_rate() }),
        (
            "a lag that is on its way",
            Figures { lag: Some(50), lag_before: Some(50), rate_seconds: 9.0, ..under_rate() },
        ),
        ("no lag is known", Figures { lag: None, rate_seconds: 0.0, ..under_rate() }),
        ("no lag was known", Figures { lag_before: None, rate_seconds: 0.0, ..under_rate() }),
        (
            "nothing finished",
            Figures { handled: 0, calls: 0, call_seconds: 0.0, rate_seconds: 0.0, ..under_rate() },
        ),
        ("few failures", Figures { lag: None, dropped: 4, retries: 4, rate_seconds: 0.0, ..under_rate() }),
    ] {
        assert_eq!(advise(&figures), [], "{what}");
    }
}

#[test]
fn no_trend_is_continued_beyond_reason() {
    let slow = Figures { lag: Some(90_000_000), lag_before: Some(90_000_660), ..under_rate() };
    assert_eq!(texts(&slow)[0], "at this rate the lag takes more than a month");
    // One message held the watermark: what was finished behind it comes off the lag at once.
    let jump = Figures { lag: Some(4_000), lag_before: Some(40_000), ..under_rate() };
    assert_eq!(texts(&jump)[0], "at this rate the lag is gone in 6 min");
}

fn any_figures() -> impl Strategy<Value = Figures> {
    let seconds = prop_oneof![Just(0.0), 0.0..60.0_f64];
    let spans = (seconds.clone(), seconds.clone(), seconds.clone());
    let switches = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let lags = prop::option::of(prop_oneof![Just(0), 0..10_000_000_i64, Just(i64::MAX)]);
    let count = || prop_oneof![Just(0), 0..100_u64, 0..100_000_000_u64];
    let counts = (count(), count(), count(), count(), count());
    let few = (1..10_000_u64, 0..4_u64, 0..4_u64, 0..3_u64);
    (seconds, spans, switches, (lags.clone(), lags), counts, few, 0.0..1e9_f64).prop_map(
        |(seconds, spans, switches, lags, counts, few, call_seconds)| Figures {
            seconds,
            is_working: switches.0,
            is_ordered: switches.1,
            is_rate_shared: switches.2,
            has_batches: switches.3,
            has_rate: switches.4,
            concurrency: few.0,
            lag: lags.0,
            lag_before: lags.1,
            calls: counts.0,
            call_seconds,
            retries: counts.1,
            handled: counts.2,
            dropped: counts.3,
            parked: counts.4,
            dead_letter_failures: few.3,
            rate_seconds: spans.0,
            concurrency_seconds: spans.1,
            buffer_seconds: spans.2,
            parked_lanes: few.1,
            held_partitions: few.2,
        },
    )
}

/// The number behind a word of a sentence.
fn number_after(text: &str, word: &str) -> Option<f64> {
    let rest = text.split_once(word)?.1;
    rest.split(|c: char| !c.is_ascii_digit() && c != '.').find(|part| !part.is_empty())?.parse().ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn whatever_the_figures_no_sentence_is_nonsense(figures in any_figures()) {
        for Advice { about, text } in advise(&figures) {
            prop_assert!(["lag", "rate", "concurrency", "failures", "parked"].contains(&about.as_str()), "{}", about);
            prop_assert!(!text.contains("inf") && !text.contains("NaN") && !text.contains('-'), "{}", text);
            prop_assert!(!text.contains(" 0 ") && !text.contains(" 0/"), "{}", text);
            prop_assert!(text.len() < 200 && !text.ends_with('.'), "{}", text);
            if let Some(less) = text.strip_suffix(" would do").and_then(|text| number_after(text, "concurrency ")) {
                prop_assert!(1.0 <= less && less < figures.concurrency as f64, "{}", text);
            }
            if let Some(more) = number_after(&text, "`concurrency`, ") {
                prop_assert!(more > figures.concurrency as f64, "{}", text);
            }
        }
    }

    #[test]
    fn before_there_is_a_trend_only_what_stands_is_told(figures in any_figures()) {
        let young = Figures { seconds: figures.seconds.min(TREND_SECONDS_MIN - 0.1), ..figures };
        for Advice { about, .. } in advise(&young) {
            prop_assert!(["failures", "parked"].contains(&about.as_str()), "{}", about);
        }
    }
}
