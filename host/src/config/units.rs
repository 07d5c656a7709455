//! Durations, sizes and rates as people write them, and back. Ranges are `limits`' business, but for the rate's,
//! which is part of its type.

use std::fmt;
use std::time::Duration;

use super::Rate;

/// What `duration` takes, for messages.
pub const DURATION: &str = "a duration such as `100ms`, `1s`, `5m`, `2h` or `1d`";
/// What `size` takes, for messages.
pub const SIZE: &str = "a size such as `500B`, `64KiB`, `16MiB` or `1GiB`";
/// What `rate` takes, for messages.
pub const RATE: &str = "a rate from `1/day` to `1M/s` such as `11/s`, `600/min`, `10/h` or `950k/day`";

/// `duration`'s units in nanoseconds, the largest first, so that what is shown is shortest.
const TIMES: [(&str, u128); 5] = [("d", DAY), ("h", HOUR), ("m", MINUTE), ("s", SECOND), ("ms", 1_000_000)];
/// `size`'s units in bytes, the largest first.
const SIZES: [(&str, u128); 7] = [
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1_000),
    ("B", 1),
];
/// `rate`'s units in nanoseconds, the likeliest first.
const PERIODS: [(&str, u128); 4] = [("s", SECOND), ("min", MINUTE), ("h", HOUR), ("day", DAY)];

const SECOND: u128 = 1_000_000_000;
const MINUTE: u128 = 60 * SECOND;
const HOUR: u128 = 60 * MINUTE;
const DAY: u128 = 24 * HOUR;

/// The most digits a number may have, zeros in front aside, and behind its point: with 18 of them no product below leaves 128 bits, and any period in
/// nanoseconds up to a day can be written as a rate.
const DIGITS_MAX: usize = 18;

/// Reads a duration: a number, whole or decimal, and a unit. Zero is one too.
pub fn duration(text: &str) -> Option<Duration> {
    let nanos = measure(text, &TIMES)?;
    Some(Duration::from_nanos(u64::try_from(nanos).ok()?))
}

/// Reads a size in bytes: a number and a unit, or bytes alone. It has to come out as whole bytes.
pub fn size(text: &str) -> Option<u64> {
    let bare = text.bytes().all(|byte| byte.is_ascii_digit());
    let bytes = if bare { Number::parse(text)?.times(1)? } else { measure(text, &SIZES)? };
    u64::try_from(bytes).ok()
}

/// Reads a rate: a number, perhaps with `k` or `M`, a slash, and `s`, `min`, `h` or `day`; from `1/day` to `1M/s`.
pub fn rate(text: &str) -> Option<Rate> {
    let (count, per) = text.split_once('/')?;
    let (_, unit) = PERIODS.into_iter().find(|(name, _)| *name == per.trim())?;
    let count = count.trim();
    let (digits, factor) = match (count.strip_suffix('k'), count.strip_suffix('M')) {
        (Some(digits), _) => (digits, 1_000),
        (_, Some(digits)) => (digits, 1_000_000),
        _ => (count, 1),
    };
    let number = Number::parse(digits)?;
    period(unit, number.digits * factor, number.scale)
}

/// A duration as `duration` reads it, in the largest unit that it is whole in.
pub fn show_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    if nanos == 0 {
        return "0s".to_owned();
    }
    match TIMES.iter().find(|(_, unit)| nanos.is_multiple_of(*unit)) {
        Some((name, unit)) => format!("{}{name}", nanos / unit),
        None => format!("{}ms", Number { digits: nanos, scale: 6 }),
    }
}

/// A size as `size` reads it, in the largest unit that it is whole in.
pub fn show_size(bytes: u64) -> String {
    let bytes = u128::from(bytes);
    let whole = SIZES.iter().find(|(_, unit)| bytes > 0 && bytes.is_multiple_of(*unit));
    whole.map_or_else(|| "0B".to_owned(), |(name, unit)| format!("{}{name}", bytes / unit))
}

/// A number as written: `digits` / 10^`scale`.
#[derive(Clone, Copy)]
struct Number {
    digits: u128,
    scale: u32,
}

impl Number {
    fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = match text.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (text, ""),
        };
        let digits = format!("{whole}{fraction}");
        let plain = !whole.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let significant = digits.trim_start_matches('0').len();
        if !plain || significant > DIGITS_MAX || fraction.len() > DIGITS_MAX {
            return None;
        }
        Some(Self { digits: digits.parse().ok()?, scale: u32::try_from(fraction.len()).ok()? })
    }

    /// The number times `unit`, if that is whole.
    fn times(self, unit: u128) -> Option<u128> {
        let (product, divisor) = (self.digits * unit, 10_u128.pow(self.scale));
        product.is_multiple_of(divisor).then(|| product / divisor)
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let divisor = 10_u128.pow(self.scale);
        write!(f, "{}", self.digits / divisor)?;
        let width = usize::try_from(self.scale).unwrap_or(DIGITS_MAX);
        let fraction = format!("{:0width$}", self.digits % divisor);
        match fraction.trim_end_matches('0') {
            "" => Ok(()),
            rest => write!(f, ".{rest}"),
        }
    }
}

/// The number before one of `units`, times that unit.
fn measure(text: &str, units: &[(&str, u128)]) -> Option<u128> {
    let unit_at = text.find(|letter: char| letter.is_ascii_alphabetic())?;
    let (number, name) = text.split_at(unit_at);
    let (_, unit) = units.iter().find(|(known, _)| *known == name)?;
    Number::parse(number.trim_end())?.times(*unit)
}

/// The time between two of `digits` / 10^`scale` starts each `unit`, rounded up so that the rate is never exceeded.
/// At 1M/s that is at most one part in a thousand slower, and far less below.
fn period(unit: u128, digits: u128, scale: u32) -> Option<Rate> {
    let nanos = (unit * 10_u128.pow(scale)).checked_div(digits)?;
    let exact = nanos * digits == unit * 10_u128.pow(scale);
    let nanos = u64::try_from(if exact { nanos } else { nanos + 1 }).ok()?;
    let period = Duration::from_nanos(nanos);
    (Rate::PERIOD_MIN..=Rate::PERIOD_MAX).contains(&period).then_some(Rate { period })
}

/// Digits up to which a rate is written by the second, which is what most think in; only then is what is shortest better.
const SECOND_DIGITS_MAX: usize = 4;

/// How a rate is written: the number, and the unit's name and nanoseconds.
fn shortest(rate: Rate) -> (Number, (&'static str, u128)) {
    let nanos = rate.period.as_nanos().max(1);
    let by_second = (1..=SECOND_DIGITS_MAX).map(|length| (length, PERIODS[0]));
    let attempts = (1..=DIGITS_MAX).flat_map(|length| PERIODS.map(|unit| (length, unit)));
    for (length, unit) in by_second.chain(attempts) {
        let (below, step) = leading(unit.1, nanos, length);
        let above = Number { digits: below.digits + step, scale: below.scale };
        for number in [below, above] {
            if period(unit.1, number.digits, number.scale) == Some(rate) {
                return (number, unit);
            }
        }
    }
    // Not reached: every rate can be written with 18 digits, as a property test below shows.
    (Number { digits: DAY / nanos, scale: 0 }, ("day", DAY))
}

/// `unit` / `nanos` cut off after its first `length` digits, and what one more in the last of them adds.
fn leading(unit: u128, nanos: u128, length: usize) -> (Number, u128) {
    const SCALE: u32 = 18;
    let all = unit * 10_u128.pow(SCALE) / nanos;
    let length = u32::try_from(length).unwrap_or(SCALE);
    let cut = (all.checked_ilog10().unwrap_or(0) + 1).saturating_sub(length);
    let digits = all / 10_u128.pow(cut);
    match cut.checked_sub(SCALE) {
        Some(zeros) => (Number { digits: digits * 10_u128.pow(zeros), scale: 0 }, 10_u128.pow(zeros)),
        None => (Number { digits, scale: SCALE - cut }, 1),
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, (unit, _)) = shortest(*self);
        for (suffix, factor) in [("M", 1_000_000), ("k", 1_000)] {
            if number.scale == 0 && number.digits.is_multiple_of(factor) {
                return write!(f, "{}{suffix}/{unit}", number.digits / factor);
            }
        }
        write!(f, "{number}/{unit}")
    }
}

impl Rate {
    /// The shortest time between two starts: 1 M/s.
    pub const PERIOD_MIN: Duration = Duration::from_micros(1);
    /// The longest time between two starts: 1/day.
    pub const PERIOD_MAX: Duration = Duration::from_secs(86_400);

    /// Starts a second, as the user meant them: `11/s` is 11, although its period is rounded to nanoseconds.
    pub fn per_second(self) -> f64 {
        let (number, (_, unit)) = shortest(self);
        let starts: f64 = number.to_string().parse().unwrap_or(1.0 / self.period.as_secs_f64());
        starts * SECOND as f64 / unit as f64
    }
}

#[cfg(test)]
mod tests;
