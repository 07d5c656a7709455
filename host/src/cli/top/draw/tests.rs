//! What stands on the screen, at whatever size.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent};

use super::super::super::tests::{plugin, trial};
use super::*;
use crate::api::{Advice, Plugins};
use ratatui::style::Color;

/// A host with two plugins, one of them busy, after some seconds.
fn view() -> View {
    let mut view = View::new("http://127.0.0.1:9650".to_owned(), Instant::now());
    for second in 0..10 {
        let mut busy = plugin("enrich");
        busy.budget.rate = Some("11/s".to_owned());
        busy.handled_per_second = 10.9;
        (busy.in_flight, busy.buffer_messages, busy.parked_lanes) = (5, 98, 3);
        busy.lag = Some(1_000_000 - second);
        busy.advice = vec![Advice { about: "lag".to_owned(), text: "gone in 6 min".to_owned() }];
        busy.trial = Some(trial("canary"));
        view.plugins(Plugins { plugins: vec![busy, plugin("score")], reload: None }, Instant::now());
    }
    view
}

fn press(view: &mut View, code: KeyCode) {
    view.key(KeyEvent::from(code));
}

/// The lines of a screen of this size.
fn screen(view: &View, (width, height): (u16, u16), theme: Theme) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, view, theme, Instant::now())).unwrap();
    let buffer = terminal.backend().buffer();
    let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    (0..height).map(line).collect()
}

fn plain() -> Theme {
    Theme::of(Some("1"))
}

#[test]
fn everything_that_matters_fits_into_80_by_24() {
    let screen = screen(&view(), (80, 24), plain());
    assert!(
        screen[0].contains("http://127.0.0.1:9650") && screen[0].contains("1 of 2 plugins"),
        "{screen:#?}"
    );
    assert!(screen[1].starts_with("  PLUGIN") && screen[1].contains("PARKED"), "{screen:#?}");
    assert!(screen[2].starts_with("> enrich running"), "{screen:#?}");
    let whole = screen.join("\n");
    for text in ["11/s", "5/10", "98/100", "1.00M", "canary of 77aa01bc on 5%", "gone in 6 min", "╌", "█"]
    {
        assert!(whole.contains(text), "lacks `{text}`: {screen:#?}");
    }
    assert!(screen[23].contains("q quit"), "{screen:#?}");
}

#[test]
fn a_wide_screen_has_bars_in_each_row() {
    let screen = screen(&view(), (200, 50), plain());
    assert!(screen[1].contains("THROUGHPUT") && screen[1].contains("LAG SO FAR"), "{screen:#?}");
    assert!(screen[2].contains("████"), "{screen:#?}");
}

#[test]
fn no_size_is_too_small_or_odd() {
    let mut views = vec![view(), View::new("http://h".to_owned(), Instant::now())];
    let mut helping = view();
    press(&mut helping, KeyCode::Char('?'));
    let mut typing = view();
    press(&mut typing, KeyCode::Char('r'));
    let mut page = view();
    press(&mut page, KeyCode::Enter);
    views.extend([helping, typing, page]);
    for view in &views {
        for width in [1, 2, 3, 10, 40, 79, 300, 1_000] {
            for height in [1, 2, 3, 5, 10, 23, 80] {
                screen(view, (width, height), Theme::of(None));
            }
        }
    }
}

#[test]
fn no_color_is_obeyed() {
    for (no_color, coloured) in [(None, true), (Some(""), true), (Some("1"), false)] {
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
        terminal.draw(|frame| draw(frame, &view(), Theme::of(no_color), Instant::now())).unwrap();
        let cells = terminal.backend().buffer().content().iter();
        let any = cells.filter(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset).count() > 0;
        assert_eq!(any, coloured, "NO_COLOR={no_color:?}");
    }
}

#[test]
fn the_selected_row_is_on_the_screen_however_many_there_are() {
    let mut view = View::new("http://h".to_owned(), Instant::now());
    let names: Vec<String> = (0..100).map(|number| format!("plugin-{number:02}")).collect();
    view.plugins(
        Plugins { plugins: names.iter().map(|name| plugin(name)).collect(), reload: None },
        Instant::now(),
    );
    for _ in 0..70 {
        press(&mut view, KeyCode::Down);
    }
    let screen = screen(&view, (80, 24), plain());
    assert!(screen.iter().any(|line| line.starts_with("> plugin-70")), "{screen:#?}");
}

#[test]
fn a_host_that_is_gone_is_told_at_once_and_its_figures_stay() {
    let mut view = view();
    view.gone("no host answers at `http://127.0.0.1:9650`: refused\n  hint: start it".to_owned());
    let screen = screen(&view, (80, 24), plain());
    assert!(screen[1].starts_with(" no news for 0 s, trying again: no host answers at"), "{screen:#?}");
    assert!(screen[4].starts_with("> enrich"), "{screen:#?}");
}

#[test]
fn questions_and_answers_stand_at_the_bottom() {
    let mut view = view();
    press(&mut view, KeyCode::Char('p'));
    let last = |view: &View| screen(view, (80, 24), plain()).pop().unwrap();
    assert!(last(&view).starts_with(" pause `enrich`? it keeps its partitions"), "{}", last(&view));
    press(&mut view, KeyCode::Char('n'));
    view.said(Err("the host says no".to_owned()));
    assert_eq!(last(&view), " error: the host says no");
}
