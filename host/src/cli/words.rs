//! Words as every command has them. What comes from Kafka, plugins and hosts is made harmless for a terminal.

/// How long ago `at` was, in the largest unit that fits: both in milliseconds since the Unix epoch.
pub(super) fn age(at: Option<i64>, now: i64) -> String {
    let Some(at) = at else { return "-".to_owned() };
    let seconds = now.saturating_sub(at).max(0) / 1_000;
    match seconds {
        0..=119 => format!("{seconds}s"),
        120..=7_199 => format!("{}m", seconds / 60),
        7_200..=172_799 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// `text` on one line.
pub(super) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&harmless(word));
    }
    line
}

/// `text` cut to `width` characters.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(width.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// `text` with everything escaped that a terminal would act on, line ends and tabs left alone.
pub(super) fn harmless(text: &str) -> String {
    let mut harmless = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() && !matches!(letter, '\n' | '\t') {
            harmless.extend(letter.escape_default());
        } else {
            harmless.push(letter);
        }
    }
    harmless
}

/// `count` of a thing, in words.
pub(super) fn counted(count: u64, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_the_unit_that_says_most() {
        let ages = [0, 119_999, 120_000, 7_200_000, 172_800_000].map(|now| age(Some(0), now));
        assert_eq!(ages, ["0s", "119s", "2m", "2h", "2d"]);
        assert_eq!((age(Some(5_000), 0), age(None, 7)), ("0s".to_owned(), "-".to_owned()));
    }

    #[test]
    fn nothing_from_kafka_reaches_the_terminal_as_a_command() {
        assert_eq!(harmless("a\u{1b}[31m\r\n\tb"), "a\\u{1b}[31m\\r\n\tb");
        assert_eq!(one_line(" a\n  b\u{7} "), "a b\\u{7}");
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdef", 4), "abc…");
    }
}
