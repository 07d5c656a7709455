//! Figures as a sentence has them: few digits, and the unit that people would take.

/// Seconds, minutes, hours or days, rounded.
pub(super) fn duration(seconds: f64) -> String {
    let units = [(86_400.0, "days"), (3_600.0, "h"), (60.0, "min")];
    // Two of a unit are one of it at least: 90 s are easier to grasp than 2 min.
    let fits = units.into_iter().find(|(size, _)| seconds >= 2.0 * size);
    match fits {
        Some((size, unit)) => format!("{} {unit}", (seconds / size).round()),
        None => format!("{} s", seconds.round().max(1.0)),
    }
}

/// So many a second; of fewer than one, as many a minute or an hour.
pub(super) fn per_second(count: f64) -> String {
    let (count, unit) = match count {
        many if many >= 1.0 => (many, "s"),
        some if some * 60.0 >= 1.0 => (some * 60.0, "min"),
        few => (few * 3_600.0, "h"),
    };
    let digits = usize::from(count < 9.95 && (count - count.round()).abs() >= 0.05);
    format!("{count:.digits$}/{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        let durations = [0.0, 5.4, 90.0, 119.0, 120.0, 360.0, 5_400.0, 7_200.0, 100_000.0, 200_000.0];
        assert_eq!(
            durations.map(duration),
            ["1 s", "5 s", "90 s", "119 s", "2 min", "6 min", "90 min", "2 h", "28 h", "2 days"]
        );
        let rates = [20.0, 1.5, 3.0, 9.96, 1_234.5, 0.5, 0.1, 0.001];
        assert_eq!(
            rates.map(per_second),
            ["20/s", "1.5/s", "3/s", "10/s", "1234/s", "30/min", "6/min", "3.6/h"]
        );
    }
}
