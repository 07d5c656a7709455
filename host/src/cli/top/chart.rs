//! What was: the last minutes of a plugin, and bars of text that show them.

use std::collections::VecDeque;

/// Most samples that are kept, one a second: what the widest terminal shows.
const SAMPLES_MAX: usize = 300;

/// A bar's cell, filled by eighths.
const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// What stands in an empty cell where the mark is.
const MARK: char = '╌';

/// One figure over time, the newest last.
#[derive(Clone, Debug, Default)]
pub(super) struct History(VecDeque<f64>);

impl History {
    /// Adds what is now.
    pub(super) fn add(&mut self, figure: f64) {
        if self.0.len() == SAMPLES_MAX {
            self.0.pop_front();
        }
        self.0.push_back(if figure.is_finite() { figure.max(0.0) } else { 0.0 });
    }

    /// The greatest of what `width` cells show.
    pub(super) fn peak(&self, width: usize) -> f64 {
        self.last(width).fold(0.0, f64::max)
    }

    /// The last `width` samples.
    fn last(&self, width: usize) -> impl Iterator<Item = f64> + '_ {
        self.0.iter().skip(self.0.len().saturating_sub(width)).copied()
    }

    /// A bar a sample, the newest on the right, in `height` lines of `width`, which are full at `top`; with a line at
    /// `mark` where no bar covers it.
    pub(super) fn bars(&self, (width, height): (usize, usize), top: f64, mark: Option<f64>) -> Vec<String> {
        let levels = |figure: f64| {
            let eighths = (figure / top * (height * 8) as f64).round();
            // Whatever is more than nothing is seen.
            let least = if figure > 0.0 { 1.0 } else { 0.0 };
            if eighths.is_finite() { eighths.clamp(least, (height * 8) as f64) as usize } else { 0 }
        };
        let bars: Vec<usize> = self.last(width).map(levels).collect();
        let mark_line = mark.map(|mark| levels(mark).saturating_sub(1) / 8);
        let line = |from_below: usize| {
            let empty = if mark_line == Some(from_below) { MARK } else { EIGHTHS[0] };
            let cell = |bar: &usize| match bar.saturating_sub(from_below * 8) {
                0 => empty,
                eighths => EIGHTHS[eighths.min(8)],
            };
            let before = std::iter::repeat_n(empty, width.saturating_sub(bars.len()));
            before.chain(bars.iter().map(cell)).collect()
        };
        (0..height).rev().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(figures: &[f64]) -> History {
        let mut history = History::default();
        figures.iter().for_each(|figure| history.add(*figure));
        history
    }

    #[test]
    fn bars_are_full_at_the_top_and_seen_at_the_bottom() {
        let history = history(&[0.0, 1.0, 50.0, 99.0, 100.0, 200.0]);
        assert_eq!(history.bars((8, 1), 100.0, None), ["   ▁▄███"]);
        assert_eq!(history.bars((4, 2), 100.0, None), [" ███", "████"].map(str::to_owned));
        assert_eq!(history.bars((3, 1), 100.0, None), ["███"]);
    }

    #[test]
    fn the_mark_is_seen_where_no_bar_covers_it() {
        let history = history(&[4.0, 11.0]);
        assert_eq!(history.bars((4, 2), 11.0, Some(11.0)), ["╌╌╌█", "  ▆█"]);
        assert_eq!(history.bars((4, 2), 22.0, Some(11.0)), ["    ", "╌╌▃█"]);
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        assert_eq!(history(&[]).bars((3, 1), 0.0, None), ["   "]);
        assert_eq!(history(&[0.0, f64::NAN, -1.0]).bars((3, 1), 0.0, Some(0.0)), ["╌╌╌"]);
        assert_eq!(history(&[1.0]).bars((0, 0), 1.0, None), Vec::<String>::new());
        assert_eq!(history(&[1.0, 7.0, 3.0]).peak(1), 3.0);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut history = History::default();
        (0..2 * SAMPLES_MAX).for_each(|figure| history.add(figure as f64));
        assert_eq!(history.0.len(), SAMPLES_MAX);
        assert_eq!(history.peak(1), (2 * SAMPLES_MAX - 1) as f64);
    }
}
