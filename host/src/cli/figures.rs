//! Figures as people read them: short, in the unit that says most, and `-` where there is none.

use jiff::Timestamp;

use super::words::age;
use crate::api::Plugin;
use crate::outcome::Outcome;

/// What stands where there is no figure.
const NONE: &str = "-";

/// Factors of a thousand and their letters.
const THOUSANDS: [&str; 6] = ["k", "M", "G", "T", "P", "E"];

/// The same in bytes.
const SIZES: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// Digits of a sha256 that tell one component from another at sight.
const DIGEST_DIGITS: usize = 8;

/// A count: exact up to four digits, three digits and a letter beyond.
pub(super) fn count(count: u64) -> String {
    if count < 10_000 { count.to_string() } else { scaled(count as f64, 1_000.0, &THOUSANDS) }
}

/// A count that may be unknown, or nonsense from a clock or a broker.
pub(super) fn signed(figure: Option<i64>) -> String {
    figure.map_or_else(|| NONE.to_owned(), |figure| count(u64::try_from(figure).unwrap_or(0)))
}

/// How often a second.
pub(super) fn per_second(figure: f64) -> String {
    match figure {
        figure if !figure.is_finite() || figure < 0.0 => NONE.to_owned(),
        0.0 => "0".to_owned(),
        figure if figure < 0.01 => "<0.01".to_owned(),
        figure if figure < 0.995 => format!("{figure:.2}"),
        figure if figure < 99.95 => format!("{figure:.1}"),
        figure => count(figure.round() as u64),
    }
}

/// Bytes.
pub(super) fn bytes(bytes: u64) -> String {
    if bytes < 1_024 { format!("{bytes}B") } else { scaled(bytes as f64, 1_024.0, &SIZES) }
}

/// A time that something took.
pub(super) fn seconds(seconds: f64) -> String {
    match seconds {
        seconds if !seconds.is_finite() || seconds < 0.0 => NONE.to_owned(),
        0.0 => "0s".to_owned(),
        seconds if seconds < 0.000_999_5 => format!("{:.0}us", seconds * 1e6),
        seconds if seconds < 0.009_95 => format!("{:.1}ms", seconds * 1e3),
        seconds if seconds < 0.999_5 => format!("{:.0}ms", seconds * 1e3),
        seconds if seconds < 99.95 => format!("{seconds:.1}s"),
        seconds => age(Some(0), (seconds * 1e3) as i64),
    }
}

/// A quantile, which is none while there are no observations.
pub(super) fn quantile(time: Option<f64>) -> String {
    time.map_or_else(|| NONE.to_owned(), seconds)
}

/// A share in percent.
pub(super) fn percent(part: u64, whole: u64) -> String {
    match (part, whole) {
        (_, 0) => NONE.to_owned(),
        (0, _) => "0%".to_owned(),
        _ => match 100.0 * part as f64 / whole as f64 {
            share if share < 0.1 => "<0.1%".to_owned(),
            share => format!("{share:.1}%"),
        },
    }
}

/// What became of a plugin's messages.
pub(super) fn outcomes(plugin: &Plugin) -> String {
    let ended = |outcome: Outcome| {
        let messages = plugin.messages.get(outcome.word()).copied().unwrap_or(0);
        format!("{} {}", count(messages), outcome.word())
    };
    Outcome::ALL.map(ended).join(", ")
}

/// The first digits of a component's digest, without the name of the hash.
pub(super) fn digest(digest: &str) -> String {
    let digits = digest.strip_prefix("sha256:").unwrap_or(digest);
    if digits.is_empty() { NONE.to_owned() } else { digits.chars().take(DIGEST_DIGITS).collect() }
}

/// How long ago a time of the API was, or how long it is until then. What is no time stays as it is.
pub(super) fn ago(at: &str, now: Timestamp) -> String {
    let Ok(at) = at.parse::<Timestamp>() else { return at.to_owned() };
    let (at, now) = (at.as_millisecond(), now.as_millisecond());
    if at > now { format!("in {}", age(Some(now), at)) } else { format!("{} ago", age(Some(at), now)) }
}

/// A time of the API to the second, and how long ago it was. What is no time stays as it is.
pub(super) fn when(at: &str, now: Timestamp) -> String {
    let to_the_second = at.parse::<Timestamp>().and_then(|at| Timestamp::from_second(at.as_second()));
    to_the_second.map_or_else(|_| at.to_owned(), |second| format!("{second} ({})", ago(at, now)))
}

/// `figure` in the largest unit that leaves at least 1, with three digits.
fn scaled(mut figure: f64, factor: f64, units: &[&str]) -> String {
    let mut unit = "";
    for larger in units {
        // Rounded to three digits, 999.5 would be four.
        if figure < 999.5 && !unit.is_empty() {
            break;
        }
        (figure, unit) = (figure / factor, larger);
    }
    match figure {
        figure if figure < 9.995 => format!("{figure:.2}{unit}"),
        figure if figure < 99.95 => format!("{figure:.1}{unit}"),
        figure => format!("{figure:.0}{unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_stay_short_however_large_they_are() {
        let counts = [0, 9_999, 10_000, 12_345, 999_499, 999_500, 1_234_567, u64::MAX].map(count);
        assert_eq!(counts, ["0", "9999", "10.0k", "12.3k", "999k", "1.00M", "1.23M", "18.4E"]);
        assert_eq!([None, Some(-3), Some(i64::MAX)].map(signed), ["-", "0", "9.22E"]);
    }

    #[test]
    fn rates_show_what_is_slow_and_what_is_fast() {
        let rates =
            [0.0, 0.000_01, 0.1, 0.996, 10.96, 99.96, 12_345.6, f64::INFINITY, f64::NAN].map(per_second);
        assert_eq!(rates, ["0", "<0.01", "0.10", "1.0", "11.0", "100", "12.3k", "-", "-"]);
    }

    #[test]
    fn times_and_sizes_have_the_unit_that_says_most() {
        let times = [0.0, 0.000_05, 0.001_2, 0.084, 0.9999, 12.34, 100.0, 600.0, 1e6].map(seconds);
        assert_eq!(times, ["0s", "50us", "1.2ms", "84ms", "1.0s", "12.3s", "100s", "10m", "11d"]);
        assert_eq!(quantile(None), "-");
        let sizes = [0, 1_023, 1_024, 1_234_567, 16 << 20, u64::MAX].map(bytes);
        assert_eq!(sizes, ["0B", "1023B", "1.00KiB", "1.18MiB", "16.0MiB", "16.0EiB"]);
    }

    #[test]
    fn shares_and_digests_are_short() {
        assert_eq!(
            [(0, 0), (0, 7), (1, 7_000), (31, 812)].map(|(a, b)| percent(a, b)),
            ["-", "0%", "<0.1%", "3.8%"]
        );
        assert_eq!(digest("sha256:3f2a9c017bcd"), "3f2a9c01");
        assert_eq!(digest(""), "-");
    }

    #[test]
    fn times_of_the_api_are_told_from_now() {
        let now = "2026-01-01T12:00:00Z".parse().unwrap();
        assert_eq!(ago("2026-01-01T11:00:00Z", now), "60m ago");
        assert_eq!(ago("2026-01-01T12:01:30Z", now), "in 90s");
        assert_eq!(when("2026-01-01T11:59:58.123456789Z", now), "2026-01-01T11:59:58Z (1s ago)");
        assert_eq!([ago("long ago", now), when("long ago", now)], ["long ago", "long ago"]);
    }
}
