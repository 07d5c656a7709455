//! What the live view holds, and what keys and news change in it. Nothing here draws, waits or asks.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::time::Instant;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::super::words::one_line;
use super::chart::History;
use super::hands::Ask;
use crate::api::{Plugin, Plugins};

/// Lines that a page of the keyboard scrolls.
const PAGE_LINES: usize = 10;

/// Lines around a page: title, its own title, and the line at the bottom.
const CHROME_LINES: usize = 3;

/// Longest that a value may be typed.
const TYPED_MAX: usize = 32;

/// What the main loop has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Nothing,
    Ask(Ask),
    Quit,
}

/// What the plugins are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Name,
    Handled,
    Lag,
    InFlight,
    Parked,
    P99,
}

impl Sort {
    const ALL: [Self; 6] = [Self::Name, Self::Handled, Self::Lag, Self::InFlight, Self::Parked, Self::P99];

    /// As it is shown.
    pub(super) fn word(self) -> &'static str {
        ["name", "handled/s", "lag", "in flight", "parked", "p99"][self as usize]
    }

    fn next(self) -> Self {
        Self::ALL[(self as usize + 1) % Self::ALL.len()]
    }

    /// The figure that is sorted by, the greatest first; 0 for the name.
    fn figure(self, plugin: &Plugin) -> f64 {
        match self {
            Self::Name => 0.0,
            Self::Handled => plugin.handled_per_second,
            Self::Lag => plugin.lag.unwrap_or(-1) as f64,
            Self::InFlight => plugin.in_flight as f64,
            Self::Parked => plugin.parked_lanes as f64,
            Self::P99 => plugin.handle_seconds.p99.unwrap_or(-1.0),
        }
    }
}

/// The line at the bottom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Which keys there are.
    Keys,
    /// A value of the selected plugin's budget is being typed: the plugin, the key, and what was typed.
    Typing(String, &'static str, String),
    /// A change waits for a yes.
    Asking(String, Ask),
    /// What became of a change.
    Said(Result<String, String>),
}

/// One plugin in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) name: String,
    pub(super) lines: Vec<String>,
    /// Lines that are scrolled past.
    pub(super) scroll: usize,
    /// Whether an answer is being waited for.
    is_asked: bool,
}

impl Page {
    /// The line that is on top when the last one is at the bottom, long lines taken as they wrap.
    fn last_scroll(&self, (width, height): (usize, usize)) -> usize {
        let mut rows = 0;
        let fits = |line: &&String| {
            rows += line.chars().count().div_ceil(width).max(1);
            rows <= height
        };
        self.lines.len() - self.lines.iter().rev().take_while(fits).count()
    }
}

/// Throughput and lag of one plugin over time.
#[derive(Clone, Debug, Default)]
pub(super) struct Past {
    pub(super) handled: History,
    pub(super) lag: History,
}

/// Everything that is shown.
#[derive(Debug)]
pub(super) struct View {
    /// Which host.
    pub(super) url: String,
    /// The plugins, sorted.
    pub(super) plugins: Vec<Plugin>,
    pub(super) past: HashMap<String, Past>,
    pub(super) sort: Sort,
    pub(super) is_reversed: bool,
    /// When the host was heard last.
    pub(super) heard: Instant,
    /// Why it is not heard, if it is not.
    pub(super) gone: Option<String>,
    pub(super) line: Line,
    pub(super) page: Option<Page>,
    pub(super) is_helping: bool,
    selected: String,
    /// Columns and lines that a page has.
    page_size: (usize, usize),
}

impl View {
    /// An empty view of the host at `url`.
    pub(super) fn new(url: String, now: Instant) -> Self {
        Self {
            url,
            plugins: Vec::new(),
            past: HashMap::new(),
            sort: Sort::Name,
            is_reversed: false,
            heard: now,
            gone: None,
            line: Line::Keys,
            page: None,
            is_helping: false,
            selected: String::new(),
            page_size: (usize::MAX, 1),
        }
    }

    /// The terminal has this size.
    pub(super) fn resize(&mut self, (width, height): (u16, u16)) {
        self.page_size = (usize::from(width).max(1), usize::from(height).saturating_sub(CHROME_LINES).max(1));
    }

    /// Where the selected plugin stands.
    pub(super) fn selected(&self) -> usize {
        self.plugins.iter().position(|plugin| plugin.name == self.selected).unwrap_or(0)
    }

    /// Takes what the host says. A page that is open is asked for anew.
    pub(super) fn plugins(&mut self, Plugins { plugins, .. }: Plugins, now: Instant) -> Next {
        (self.heard, self.gone) = (now, None);
        self.past.retain(|name, _| plugins.iter().any(|plugin| plugin.name == *name));
        for plugin in &plugins {
            let past = self.past.entry(plugin.name.clone()).or_default();
            past.handled.add(plugin.handled_per_second);
            past.lag.add(plugin.lag.unwrap_or(0) as f64);
        }
        let at = self.selected();
        self.plugins = plugins;
        self.arrange();
        // One that is gone leaves its place to the next.
        if !self.plugins.iter().any(|plugin| plugin.name == self.selected) {
            self.select(at);
        }
        match &mut self.page {
            Some(page) if !page.is_asked => {
                page.is_asked = true;
                Next::Ask(Ask::Page(page.name.clone()))
            }
            _ => Next::Nothing,
        }
    }

    /// The host does not say anything.
    pub(super) fn gone(&mut self, why: String) {
        // The hint is for those who have just typed the address.
        self.gone = Some(one_line(why.lines().next().unwrap_or_default()));
        if let Some(page) = &mut self.page {
            page.is_asked = false;
        }
    }

    /// Shows what became of a change, unless something is being typed.
    pub(super) fn said(&mut self, said: Result<String, String>) {
        if matches!(self.line, Line::Keys | Line::Said(_)) {
            self.line = Line::Said(said);
        }
    }

    /// Shows a plugin in full, if it is still the one that is wanted.
    pub(super) fn page(&mut self, name: &str, lines: Result<Vec<String>, String>) {
        if let Some(page) = self.page.as_mut().filter(|page| page.name == name) {
            page.lines = lines.unwrap_or_else(|why| vec![why]);
            page.scroll = page.scroll.min(page.last_scroll(self.page_size));
            page.is_asked = false;
        }
    }

    fn arrange(&mut self) {
        let (sort, is_reversed) = (self.sort, self.is_reversed);
        self.plugins.sort_by(|a, b| {
            let by_figure = sort.figure(b).partial_cmp(&sort.figure(a)).unwrap_or(Ordering::Equal);
            let order = by_figure.then_with(|| a.name.cmp(&b.name));
            if is_reversed { order.reverse() } else { order }
        });
    }

    fn select(&mut self, at: usize) {
        let at = at.min(self.plugins.len().saturating_sub(1));
        self.selected = self.plugins.get(at).map(|plugin| plugin.name.clone()).unwrap_or_default();
    }

    /// Takes a key.
    pub(super) fn key(&mut self, key: KeyEvent) -> Next {
        if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
            return Next::Quit;
        }
        if std::mem::take(&mut self.is_helping) {
            return Next::Nothing;
        }
        match std::mem::replace(&mut self.line, Line::Keys) {
            Line::Typing(name, field, typed) => self.typing(key.code, (name, field, typed)),
            Line::Asking(_, ask) => match key.code {
                KeyCode::Char('y' | 'Y') => return Next::Ask(ask),
                _ => self.line = Line::Said(Ok("nothing was changed".to_owned())),
            },
            Line::Keys | Line::Said(_) => return self.command(key.code),
        }
        Next::Nothing
    }

    fn command(&mut self, code: KeyCode) -> Next {
        match code {
            KeyCode::Char('q') => return Next::Quit,
            KeyCode::Char('?' | 'h') => self.is_helping = true,
            KeyCode::Esc => self.page = None,
            KeyCode::Char('s') => self.resort(self.sort.next(), false),
            KeyCode::Char('S') => self.resort(self.sort, !self.is_reversed),
            KeyCode::Enter => return self.toggle_page(),
            KeyCode::Char('p') => self.ask_pause(),
            KeyCode::Char('r') => self.type_budget("rate"),
            KeyCode::Char('c') => self.type_budget("concurrency"),
            code => self.step(code),
        }
        Next::Nothing
    }

    fn resort(&mut self, sort: Sort, is_reversed: bool) {
        (self.sort, self.is_reversed) = (sort, is_reversed);
        self.arrange();
    }

    /// Moves the selection, or the page that is open.
    fn step(&mut self, code: KeyCode) {
        let at = self.page.as_ref().map_or_else(|| self.selected(), |page| page.scroll);
        let at = match code {
            KeyCode::Up | KeyCode::Char('k') => at.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => at + 1,
            KeyCode::PageUp => at.saturating_sub(PAGE_LINES),
            KeyCode::PageDown => at + PAGE_LINES,
            KeyCode::Home => 0,
            KeyCode::End => usize::MAX,
            _ => return,
        };
        match &mut self.page {
            Some(page) => page.scroll = at.min(page.last_scroll(self.page_size)),
            None => self.select(at),
        }
    }

    fn toggle_page(&mut self) -> Next {
        if self.page.take().is_some() {
            return Next::Nothing;
        }
        let Some(plugin) = self.plugins.get(self.selected()) else { return Next::Nothing };
        let name = plugin.name.clone();
        let lines = vec!["asking the host".to_owned()];
        self.page = Some(Page { name: name.clone(), lines, scroll: 0, is_asked: true });
        Next::Ask(Ask::Page(name))
    }

    fn ask_pause(&mut self) {
        let Some(plugin) = self.plugins.get(self.selected()) else { return };
        let pause = !plugin.paused;
        let question = match pause {
            true => {
                format!("pause `{}`? it keeps its partitions, and finishes what is in flight", plugin.name)
            }
            false => format!("resume `{}`?", plugin.name),
        };
        self.line = Line::Asking(question, Ask::Pause(plugin.name.clone(), pause));
    }

    fn type_budget(&mut self, field: &'static str) {
        let Some(plugin) = self.plugins.get(self.selected()) else { return };
        self.line = Line::Typing(plugin.name.clone(), field, in_effect(plugin, field));
    }

    /// Takes a key while a value is typed.
    fn typing(&mut self, code: KeyCode, (name, field, mut typed): (String, &'static str, String)) {
        match code {
            KeyCode::Esc => return,
            KeyCode::Enter => {
                let typed = typed.trim().to_owned();
                let plugin = self.plugins.iter().find(|plugin| plugin.name == name);
                let before = plugin.map(|plugin| in_effect(plugin, field)).unwrap_or_default();
                if typed.is_empty() || typed == before {
                    self.line = Line::Said(Ok(format!("{field} of `{name}` stays {before}")));
                    return;
                }
                let question = format!("change {field} of `{name}` from {before} to {typed}?");
                self.line = Line::Asking(question, Ask::Budget(name, field, typed));
                return;
            }
            KeyCode::Backspace => drop(typed.pop()),
            KeyCode::Char(letter) if typed.chars().count() < TYPED_MAX => typed.push(letter),
            _ => {}
        }
        self.line = Line::Typing(name, field, typed);
    }
}

/// A key of the budget in effect, as it is typed.
fn in_effect(plugin: &Plugin, field: &str) -> String {
    match field {
        "rate" => plugin.budget.rate.clone().unwrap_or_else(|| "none".to_owned()),
        _ => plugin.budget.concurrency.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::plugin;
    use super::*;

    fn view(names: &[&str]) -> View {
        let mut view = View::new("http://h".to_owned(), Instant::now());
        hear(&mut view, names);
        view
    }

    fn hear(view: &mut View, names: &[&str]) -> Next {
        let plugins = names.iter().map(|name| plugin(name)).collect();
        view.plugins(Plugins { plugins, reload: None }, Instant::now())
    }

    fn press(view: &mut View, keys: &[KeyCode]) -> Next {
        keys.iter().fold(Next::Nothing, |_, code| view.key(KeyEvent::from(*code)))
    }

    fn type_in(view: &mut View, text: &str) {
        for letter in text.chars() {
            assert_eq!(press(view, &[KeyCode::Char(letter)]), Next::Nothing);
        }
    }

    fn selected(view: &View) -> &str {
        view.plugins.get(view.selected()).map_or("", |plugin| &plugin.name)
    }

    #[test]
    fn the_selection_follows_its_plugin_and_survives_its_end() {
        let mut view = view(&["a", "b", "c"]);
        press(&mut view, &[KeyCode::Down]);
        hear(&mut view, &["a", "aa", "b", "c"]);
        assert_eq!((selected(&view), view.selected()), ("b", 2));
        hear(&mut view, &["a", "aa", "c"]);
        assert_eq!(selected(&view), "c");
        press(&mut view, &[KeyCode::End, KeyCode::Down]);
        assert_eq!(selected(&view), "c");
        press(&mut view, &[KeyCode::Home, KeyCode::Up]);
        assert_eq!(selected(&view), "a");
        assert_eq!(view.past.len(), 3, "what is gone is forgotten");
    }

    #[test]
    fn nothing_is_asked_without_a_yes() {
        let mut view = view(&["a"]);
        press(&mut view, &[KeyCode::Char('p')]);
        assert!(matches!(view.line, Line::Asking(..)));
        assert_eq!(press(&mut view, &[KeyCode::Enter]), Next::Nothing);
        assert_eq!(view.line, Line::Said(Ok("nothing was changed".to_owned())));
        let asked = press(&mut view, &[KeyCode::Char('p'), KeyCode::Char('y')]);
        assert_eq!(asked, Next::Ask(Ask::Pause("a".to_owned(), true)));
        assert_eq!(view.line, Line::Keys);
    }

    #[test]
    fn a_rate_is_typed_and_confirmed() {
        let mut view = view(&["a"]);
        press(&mut view, &[KeyCode::Char('r')]);
        assert_eq!(view.line, Line::Typing("a".to_owned(), "rate", "none".to_owned()));
        press(&mut view, &[KeyCode::Backspace; 4]);
        // Letters are text here, not commands.
        type_in(&mut view, "5q/s");
        press(&mut view, &[KeyCode::Left, KeyCode::Enter]);
        let ask = Ask::Budget("a".to_owned(), "rate", "5q/s".to_owned());
        assert_eq!(view.line, Line::Asking("change rate of `a` from none to 5q/s?".to_owned(), ask.clone()));
        // The figures go on meanwhile.
        hear(&mut view, &["a"]);
        assert_eq!(press(&mut view, &[KeyCode::Char('y')]), Next::Ask(ask));
        view.said(Err("no rate".to_owned()));
        assert_eq!(view.line, Line::Said(Err("no rate".to_owned())));
    }

    #[test]
    fn a_value_that_stays_is_not_asked_for() {
        let mut view = view(&["a"]);
        press(&mut view, &[KeyCode::Char('c'), KeyCode::Enter]);
        assert_eq!(view.line, Line::Said(Ok("concurrency of `a` stays 10".to_owned())));
        press(&mut view, &[KeyCode::Char('c')]);
        type_in(&mut view, &"7".repeat(2 * TYPED_MAX));
        assert!(matches!(&view.line, Line::Typing(_, _, typed) if typed.len() == TYPED_MAX));
        press(&mut view, &[KeyCode::Esc]);
        assert_eq!(view.line, Line::Keys);
    }

    #[test]
    fn a_page_is_asked_for_anew_but_once_at_a_time() {
        let mut view = view(&["a", "b"]);
        let ask = || Next::Ask(Ask::Page("a".to_owned()));
        assert_eq!(press(&mut view, &[KeyCode::Enter]), ask());
        assert_eq!(hear(&mut view, &["a", "b"]), Next::Nothing, "the first answer is still to come");
        view.page("a", Ok(vec![String::new(); 30]));
        assert_eq!(hear(&mut view, &["a", "b"]), ask());
        press(&mut view, &[KeyCode::PageDown, KeyCode::Down]);
        assert_eq!(view.page.as_ref().unwrap().scroll, PAGE_LINES + 1);
        view.resize((80, 24));
        press(&mut view, &[KeyCode::End]);
        assert_eq!(view.page.as_ref().unwrap().scroll, 9, "21 lines fit");
        view.page("a", Ok(vec!["x".repeat(81); 30]));
        press(&mut view, &[KeyCode::End]);
        assert_eq!(view.page.as_ref().unwrap().scroll, 20, "ten do that are two each");
        view.page("a", Ok(vec![String::new(); 3]));
        assert_eq!(view.page.as_ref().unwrap().scroll, 0);
        press(&mut view, &[KeyCode::Esc]);
        view.page("a", Ok(Vec::new()));
        assert_eq!((&view.page, selected(&view)), (&None, "a"));
    }

    #[test]
    fn sorting_puts_the_greatest_first_and_turns_around() {
        let mut view = view(&["a", "b", "c"]);
        view.plugins[1].lag = Some(7);
        let names = |view: &View| view.plugins.iter().map(|plugin| plugin.name.clone()).collect::<String>();
        while view.sort != Sort::Lag {
            press(&mut view, &[KeyCode::Char('s')]);
        }
        assert_eq!(names(&view), "bac");
        press(&mut view, &[KeyCode::Char('S')]);
        assert_eq!(names(&view), "cab");
    }

    #[test]
    fn without_plugins_no_key_does_harm() {
        let mut view = view(&[]);
        let keys = ['p', 'r', 'c', 's', 'S', 'j', 'k', 'y', '?', 'x'].map(KeyCode::Char);
        let more = [KeyCode::Enter, KeyCode::End, KeyCode::Esc, KeyCode::PageDown];
        assert_eq!(press(&mut view, &[&keys[..], &more].concat()), Next::Nothing);
        assert_eq!(press(&mut view, &[KeyCode::Char('q')]), Next::Quit);
        let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(view.key(control_c), Next::Quit);
    }
}
