//! Draws the live view: title, table, the selected plugin below it, and the line at the bottom.

use std::time::{Duration, Instant};

use ratatui::Frame;
use ratatui::layout::{Constraint, Flex, Layout, Rect};
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Clear, Padding, Paragraph, Wrap};

use super::super::figures;
use super::super::words::counted;
use super::theme::Theme;
use super::view::{self, Page, View};
use super::{pane, rows};

/// Without news for so long, it is said so. One comes each second.
const QUIET_MAX: Duration = Duration::from_secs(3);

/// Lines that the selected plugin needs, its title included; the table has the rest.
const PANE_LINES: u16 = 14;

/// Lines that the table always has: its head and some rows.
const TABLE_LINES_MIN: u16 = 5;

/// Most lines that an alarm or an answer may take.
const WRAPPED_MAX: usize = 3;

const KEYS: &str = " ↑↓ select  Enter full  s sort  p pause  r rate  c concurrency  ? help  q quit";

const PAGE_KEYS: &str = " ↑↓ scroll  Esc back  p pause  r rate  c concurrency  ? help  q quit";

const HELP: &str = "\
up, down     select a plugin (also j and k, PgUp and PgDn, Home and End)
Enter        show it in full, and back; there, the same keys scroll
s, S         sort by the next figure; turn the order around
p            pause it, or let it go on
r            change its rate: 11/s, 950k/day, none
c            change its concurrency
q, Ctrl-C    quit

HANDLED/S is of the last second, P99 of the last minute.
A star behind COMPONENT: swapped in, not the one of gristmill.toml.
A bar is a second; the dotted line is the rate.

Any key closes this.";

/// Draws all of it.
pub(super) fn draw(frame: &mut Frame<'_>, view: &View, theme: Theme, now: Instant) {
    let alarm =
        silence(view, now).map(|text| Line::styled(text, theme.bad().add_modifier(Modifier::REVERSED)));
    let bottom = bottom_line(view, theme);
    let lines = |line: &Line<'_>| {
        let wrapped = line.width().div_ceil(usize::from(frame.area().width).max(1));
        Constraint::Length(wrapped.clamp(1, WRAPPED_MAX) as u16)
    };
    let heights = [
        Constraint::Length(1),
        alarm.as_ref().map_or(Constraint::Length(0), lines),
        Constraint::Fill(1),
        lines(&bottom),
    ];
    let [title_area, alarm_area, body, bottom_area] = Layout::vertical(heights).areas(frame.area());
    frame.render_widget(title(view, theme), title_area);
    if let Some(alarm) = alarm {
        frame.render_widget(Paragraph::new(alarm).wrap(Wrap { trim: false }), alarm_area);
    }
    match &view.page {
        Some(page) => full(frame, page, theme, body),
        None => overview(frame, view, theme, body),
    }
    frame.render_widget(Paragraph::new(bottom).wrap(Wrap { trim: false }), bottom_area);
    if view.is_helping {
        help(frame, theme);
    }
}

/// What to say when the host does not say anything.
fn silence(view: &View, now: Instant) -> Option<String> {
    let silent = now.saturating_duration_since(view.heard);
    let seconds = silent.as_secs();
    match &view.gone {
        Some(why) => Some(format!(" no news for {seconds} s, trying again: {why}")),
        None if silent >= QUIET_MAX => Some(format!(" no news for {seconds} s: the host does not answer")),
        None => None,
    }
}

fn title(view: &View, theme: Theme) -> Line<'static> {
    let direction = if view.is_reversed { ", turned around" } else { "" };
    let handled: f64 = view.plugins.iter().map(|plugin| plugin.handled_per_second).sum();
    let lag = view.plugins.iter().filter_map(|plugin| plugin.lag).fold(0, i64::saturating_add);
    let place = if view.plugins.is_empty() { 0 } else { view.selected() + 1 };
    let plugins = counted(view.plugins.len() as u64, "plugin");
    Line::from(vec![
        Span::styled(" gristmill ", theme.strong()),
        Span::raw(view.url.clone()),
        Span::raw(format!("  {}/s, lag {}", figures::per_second(handled), figures::signed(Some(lag)))),
        Span::styled(format!("  {place} of {plugins}, by {}{direction}", view.sort.word()), theme.quiet()),
    ])
}

fn overview(frame: &mut Frame<'_>, view: &View, theme: Theme, area: Rect) {
    let Some(plugin) = view.plugins.get(view.selected()) else {
        return frame.render_widget(" the host has no plugins", area);
    };
    let wanted = u16::try_from(view.plugins.len()).unwrap_or(u16::MAX).saturating_add(1);
    let height = wanted.min(area.height.saturating_sub(PANE_LINES).max(TABLE_LINES_MIN));
    let [above, below] = Layout::vertical([Constraint::Length(height), Constraint::Fill(1)]).areas(area);
    rows::draw(frame, view, theme, above);
    let past = view.past.get(&plugin.name).cloned().unwrap_or_default();
    let lines = pane::lines(plugin, &past, (below.width, below.height), theme);
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: false }), below);
}

/// One plugin in full.
fn full(frame: &mut Frame<'_>, page: &Page, theme: Theme, area: Rect) {
    let title = format!(" {}, line {} of {} ", page.name, page.scroll + 1, page.lines.len());
    let block = Block::new().borders(Borders::TOP).title(Span::styled(title, theme.strong()));
    let lines: Vec<Line<'_>> =
        page.lines.iter().skip(page.scroll).map(|line| Line::raw(line.as_str())).collect();
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: false }).block(block), area);
}

/// The line at the bottom: which keys there are, what is being asked or typed, what became of it.
fn bottom_line(view: &View, theme: Theme) -> Line<'_> {
    match &view.line {
        view::Line::Keys => {
            let keys = if view.page.is_some() { PAGE_KEYS } else { KEYS };
            Line::styled(keys, theme.quiet())
        }
        view::Line::Said(Ok(said)) => Line::styled(format!(" {said}"), theme.good()),
        view::Line::Said(Err(why)) => Line::styled(format!(" error: {why}"), theme.bad()),
        view::Line::Asking(question, _) => {
            Line::styled(format!(" {question} [y/N]"), theme.fair().add_modifier(Modifier::BOLD))
        }
        view::Line::Typing(name, field, typed) => Line::styled(
            format!(" {field} of `{name}` (Enter goes on, Esc leaves it): {typed}_"),
            theme.strong(),
        ),
    }
}

/// What the keys do, over everything.
fn help(frame: &mut Frame<'_>, theme: Theme) {
    let (width, height) = (HELP.lines().map(str::len).max().unwrap_or(0) + 4, HELP.lines().count() + 2);
    let size = |length: usize| Constraint::Length(u16::try_from(length).unwrap_or(u16::MAX));
    let [column] = Layout::horizontal([size(width)]).flex(Flex::Center).areas(frame.area());
    let [area] = Layout::vertical([size(height)]).flex(Flex::Center).areas(column);
    let block =
        Block::bordered().title(Span::styled(" keys ", theme.strong())).padding(Padding::horizontal(1));
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(HELP).block(block), area);
}

#[cfg(test)]
mod tests;
