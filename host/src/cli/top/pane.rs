//! The selected plugin below the table: what it did lately, and what has to be said of it.

use ratatui::text::{Line, Span};

use super::super::figures;
use super::super::status::list;
use super::super::words::{harmless, one_line};
use super::theme::Theme;
use super::view::Past;
use crate::api::Plugin;
use crate::config::units;

/// Fewest and most lines of a chart.
const CHART_LINES: [usize; 2] = [2, 14];

/// Characters between the two charts.
const GUTTER: usize = 2;

/// The plugin in `height` lines of `width`.
pub(super) fn lines(
    plugin: &Plugin,
    past: &Past,
    (width, height): (u16, u16),
    theme: Theme,
) -> Vec<Line<'static>> {
    let (width, height) = (usize::from(width), usize::from(height));
    let figures = figures_below(plugin, theme);
    let remarks: Vec<Line<'_>> = list::remarks(plugin)
        .into_iter()
        .map(|text| Line::styled(format!(" - {text}"), theme.fair()))
        .collect();
    // A remark may need a second line on a narrow terminal.
    let wrapped: usize = remarks.iter().map(|line| line.width().div_ceil(width.max(1))).sum();
    let others = 2 + figures.len() + wrapped;
    let chart = height.saturating_sub(others).clamp(CHART_LINES[0], CHART_LINES[1]);
    let mut lines = vec![title(plugin, width, theme)];
    lines.extend(charts(plugin, past, (width, chart), theme));
    lines.extend(figures);
    lines.extend(remarks);
    lines
}

/// The rate in effect, a second.
pub(super) fn rate(plugin: &Plugin) -> Option<f64> {
    plugin.budget.rate.as_deref().and_then(units::rate).map(|rate| rate.per_second())
}

fn title(plugin: &Plugin, width: usize, theme: Theme) -> Line<'static> {
    let (name, state) = (format!(" {} ", harmless(&plugin.name)), format!(" {} ", harmless(&plugin.state)));
    let rest = width.saturating_sub(2 + name.chars().count() + state.chars().count() + 2);
    Line::from(vec![
        Span::styled("──", theme.quiet()),
        Span::styled(name, theme.bars()),
        Span::styled("──", theme.quiet()),
        Span::styled(state, theme.state(&plugin.state)),
        Span::styled("─".repeat(rest), theme.quiet()),
    ])
}

/// Throughput against the rate, and lag, side by side: a heading and the bars.
fn charts(plugin: &Plugin, past: &Past, (width, height): (usize, usize), theme: Theme) -> Vec<Line<'static>> {
    let each = width.saturating_sub(2 + GUTTER) / 2;
    let rate = rate(plugin);
    let of_rate =
        plugin.budget.rate.as_deref().map_or_else(String::new, |rate| format!(" of {}", harmless(rate)));
    let peak = past.handled.peak(each).max(rate.unwrap_or(0.0));
    let handled = format!("handled/s {}{of_rate}", figures::per_second(plugin.handled_per_second));
    let lag = format!("lag {}", figures::signed(plugin.lag));
    let heads = [
        head(&handled, &format!("top {}", figures::per_second(peak)), each),
        head(&lag, &format!("top {}", figures::count(past.lag.peak(each) as u64)), each),
    ];
    let mut lines = vec![Line::raw(format!(" {}{:GUTTER$}{}", heads[0], "", heads[1]))];
    let left = past.handled.bars((each, height), peak, rate);
    let right = past.lag.bars((each, height), past.lag.peak(each), None);
    for (left, right) in left.into_iter().zip(right) {
        lines.push(Line::styled(format!(" {left}{:GUTTER$}{right}", ""), theme.bars()));
    }
    lines
}

/// What a chart shows, and what its full height is, at both ends of `width`.
fn head(what: &str, top: &str, width: usize) -> String {
    let room = width.saturating_sub(what.chars().count());
    if room > top.chars().count() { format!("{what}{top:>room$}") } else { format!("{what:width$}") }
}

fn figures_below(plugin: &Plugin, theme: Theme) -> Vec<Line<'static>> {
    let budget = &plugin.budget;
    let broken: u64 = plugin.traps.values().sum();
    let texts = [
        format!(
            " in flight {}/{}   buffer {}/{}, {} of {}   oldest {}",
            plugin.in_flight,
            budget.concurrency,
            plugin.buffer_messages,
            budget.buffer,
            figures::bytes(plugin.buffer_bytes),
            harmless(&budget.buffer_bytes),
            figures::seconds(plugin.oldest_unfinished_seconds),
        ),
        format!(
            " handling p50 {} p99 {}   waiting p50 {} p99 {}",
            figures::quantile(plugin.handle_seconds.p50),
            figures::quantile(plugin.handle_seconds.p99),
            figures::quantile(plugin.wait_seconds.p50),
            figures::quantile(plugin.wait_seconds.p99),
        ),
        format!(
            " {}   {} retries, {} broken off",
            figures::outcomes(plugin),
            figures::count(plugin.retries),
            figures::count(broken)
        ),
        format!(
            " {} from {}   {} instances, {}",
            figures::digest(&plugin.digest),
            one_line(&plugin.component.source),
            plugin.instances,
            figures::bytes(plugin.guest_memory_bytes)
        ),
    ];
    texts.into_iter().map(|text| Line::styled(text, theme.plain())).collect()
}
