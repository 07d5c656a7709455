//! The table of the live view: the columns of `status`, and bars where there is room.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span, Text};

use super::super::status::list;
use super::super::table::{self, Column, Kind, Layout};
use super::chart::History;
use super::pane;
use super::theme::Theme;
use super::view::{Past, View};
use crate::api::Plugin;

/// Seconds that the bars in a row show.
const ROW_SECONDS: usize = 20;

/// A row that is laid out and never drawn: columns that move every second cannot be read, so each is as wide as what it
/// usually holds at most.
const RULER: [&str; 10] = ["", "starting", "", "", "10/10", "100/100", "1.23M", "", "250ms", ""];

/// What stands before a row: whether it is the selected one.
const MARKS: [&str; 2] = ["  ", "> "];

/// The columns of `status`, and the last seconds of throughput and lag where there is room.
fn columns() -> Vec<Column> {
    let more =
        [Column::new("THROUGHPUT", Kind::Left).spare(4), Column::new("LAG SO FAR", Kind::Left).spare(5)];
    list::COLUMNS.iter().copied().chain(more).collect()
}

/// Draws the rows around the selected one.
pub(super) fn draw(frame: &mut Frame<'_>, view: &View, theme: Theme, area: Rect) {
    let columns = columns();
    let all: Vec<Vec<String>> =
        view.plugins.iter().map(|plugin| row(plugin, view.past.get(&plugin.name))).collect();
    let room = usize::from(area.width).saturating_sub(MARKS[0].len());
    let ruler = RULER.map(str::to_owned).to_vec();
    let laid = Layout::of(&columns, &[&all[..], &[ruler]].concat(), Some(room));
    let head = format!("{}{}", MARKS[0], laid.line(&table::heads(&columns)));
    let mut lines = vec![Line::styled(head, theme.strong())];
    let (selected, visible) = (view.selected(), usize::from(area.height).saturating_sub(1).max(1));
    let first = (selected + 1).saturating_sub(visible);
    for (index, cells) in all.iter().enumerate().skip(first).take(visible) {
        let is_selected = index == selected;
        let mut spans = vec![Span::raw(MARKS[usize::from(is_selected)])];
        for (column, cell) in laid.cells(cells) {
            spans.push(Span::styled(cell, cell_style(&view.plugins[index], columns[column].head, theme)));
        }
        let line = Line::from(spans);
        lines.push(if is_selected { line.patch_style(theme.selected()) } else { line });
    }
    frame.render_widget(Text::from(lines), area);
}

fn row(plugin: &Plugin, past: Option<&Past>) -> Vec<String> {
    let bars = |history: &History, least: f64| {
        history.bars((ROW_SECONDS, 1), history.peak(ROW_SECONDS).max(least), None).concat()
    };
    let past =
        past.map(|past| [bars(&past.handled, pane::rate(plugin).unwrap_or(0.0)), bars(&past.lag, 0.0)]);
    list::row(plugin).into_iter().chain(past.unwrap_or_default()).collect()
}

fn cell_style(plugin: &Plugin, head: &str, theme: Theme) -> Style {
    match head {
        "STATE" => theme.state(&plugin.state),
        "PARKED" if plugin.parked_lanes > 0 => theme.fair(),
        "THROUGHPUT" | "LAG SO FAR" => theme.bars(),
        _ => Style::new(),
    }
}
