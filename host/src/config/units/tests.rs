//! Durations, sizes and rates: what is written comes back as it was meant.

use proptest::prelude::*;

use super::*;

#[test]
fn durations_and_sizes_as_people_write_them() {
    let times = [("0s", 0), ("100ms", 100), ("1s", 1_000), ("0.5s", 500), ("5m", 300_000), ("2h", 7_200_000)];
    for (text, millis) in times {
        assert_eq!(duration(text), Some(Duration::from_millis(millis)), "{text}");
    }
    assert_eq!(duration("1d"), Some(Duration::from_secs(86_400)));
    let sizes =
        [("0", 0), ("4096", 4096), ("500B", 500), ("10kB", 10_000), ("10MB", 10_000_000), ("1.5KiB", 1536)];
    for (text, bytes) in sizes {
        assert_eq!(size(text), Some(bytes), "{text}");
    }
    assert_eq!(size("64KiB"), Some(65_536));
    assert_eq!(size("16MiB"), Some(16_777_216));
    assert_eq!(size("1GiB"), Some(1_073_741_824));
}

#[test]
fn what_is_not_a_duration_or_size() {
    for text in
        ["", "s", "1", "-1s", "1 parsec", "1.s", ".5s", "1e3s", "1s1s", "١s", "9999999999999999999s", "1M"]
    {
        assert_eq!(duration(text), None, "{text}");
    }
    for text in ["", "B", "-1", "1kb", "0.3B", "1.5", "16mib", "99999999999999GiB"] {
        assert_eq!(size(text), None, "{text}");
    }
}

#[test]
fn rates_as_people_write_them() {
    let nanos = |text: &str| rate(text).map(|rate| rate.period.as_nanos());
    assert_eq!(nanos("11/s"), Some(90_909_091));
    assert_eq!(nanos("600/min"), Some(100_000_000));
    assert_eq!(nanos("950k/day"), Some(90_947_369));
    assert_eq!(nanos("0.1/s"), Some(10_000_000_000));
    assert_eq!(nanos("10/h"), Some(360_000_000_000));
    assert_eq!(nanos("1/day"), Some(DAY));
    assert_eq!(nanos("1M/s"), Some(1_000));
    assert_eq!(nanos("1.5k / min"), Some(40_000_000));
    for text in
        ["", "11", "/s", "0/s", "-1/s", "11/m", "11/sec", "1.1M/s", "0.9/day", "k/s", "1kk/s", "1/s/s"]
    {
        assert_eq!(rate(text), None, "{text}");
    }
}

#[test]
fn a_rate_is_shown_and_measured_as_it_was_meant() {
    let shown = [
        ("11/s", "11/s", 11.0),
        ("25/s", "25/s", 25.0),
        ("600/min", "10/s", 10.0),
        ("0.1/s", "0.1/s", 0.1),
        ("1M/s", "1M/s", 1e6),
    ];
    for (text, short, per_second) in shown {
        let rate = rate(text).unwrap();
        assert_eq!((rate.to_string().as_str(), rate.per_second()), (short, per_second));
    }
    assert_eq!(rate("950k/day").unwrap().to_string(), "950k/day");
    assert_eq!(rate("0.0000462796098/s").unwrap().to_string(), "0.0000462796098/s");
    assert_eq!(rate("700k/s").unwrap().to_string(), "700k/s");
}

proptest! {
    #[test]
    fn every_rate_can_be_written_and_read_again(nanos in 1_000_u64..=86_400_000_000_000) {
        let written = Rate { period: Duration::from_nanos(nanos) };
        prop_assert_eq!(rate(&written.to_string()), Some(written));
    }

    #[test]
    fn a_rate_is_never_faster_than_written_and_hardly_slower(count in 1_u32..=1_000_000) {
        let period = rate(&format!("{count}/s")).unwrap().period.as_secs_f64();
        let exact = 1.0 / f64::from(count);
        prop_assert!(period >= exact * (1.0 - 1e-12) && period <= exact * 1.001);
    }

    #[test]
    fn every_duration_of_whole_nanoseconds_comes_back(nanos in 0_u64..=86_400_000_000_000) {
        let written = Duration::from_nanos(nanos);
        prop_assert_eq!(duration(&show_duration(written)), Some(written));
    }

    #[test]
    fn every_size_comes_back(bytes in 0_u64..=1 << 40) {
        prop_assert_eq!(size(&show_size(bytes)), Some(bytes));
    }

    #[test]
    fn no_text_makes_reading_fail_otherwise_than_by_none(text in "[0-9.]{0,24}[a-zA-Z/ ]{0,5}") {
        let _ = (duration(&text), size(&text), rate(&text));
    }
}
