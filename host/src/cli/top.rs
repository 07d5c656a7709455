//! `gristmill top`: all plugins live on the terminal, and the changes that one makes while looking at them.
//!
//! Keys, events of the host, signals and answers each come from a thread of their own, as `News`; `view` says what they
//! change and what is asked for, `draw` shows it. Nothing waits but those threads.

mod chart;
mod draw;
mod feed;
mod hands;
mod pane;
mod rows;
mod theme;
mod view;

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::KeyEvent;

use super::reach::Reach;
use crate::api::Plugins;
use crate::app::dead_letters::Usage;
use hands::Ask;
use theme::Theme;
use view::{Next, View};

/// Longest that nothing is drawn, so that what is said of the time is true.
const REDRAW: Duration = Duration::from_millis(500);

/// What stands below the help.
pub(super) const HELP: &str = "\
Keys: up and down select a plugin, Enter shows it in full, p pauses and resumes, r and c change rate
and concurrency, s sorts, ? helps, q quits. NO_COLOR=1 does without colours.";

/// Which host.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    reach: Reach,
}

/// What happens while one looks.
#[derive(Debug)]
enum News {
    /// A key was pressed.
    Key(KeyEvent),
    /// The terminal has another size.
    Resized,
    /// How the plugins are.
    Plugins(Plugins),
    /// The host does not say how they are, and why.
    Gone(String),
    /// What was asked for is done, or is not and why.
    Done(Result<String, String>),
    /// A plugin in full: its name and its lines, or why there are none.
    Page(String, Result<Vec<String>, String>),
    /// The end: a signal, or the terminal is gone.
    End,
}

/// Looks until the user has seen enough.
///
/// # Errors
///
/// When this is no terminal, or the host cannot be asked at first.
pub(super) fn top(args: &Args) -> anyhow::Result<ExitCode> {
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        let what = "`top` needs a terminal; `gristmill status` prints the same figures once, with `--json` for machines";
        return Err(Usage(what.to_owned()).into());
    }
    let client = Arc::new(args.reach.client()?);
    // Asked before the screen is taken: an error stands where it can be read.
    let plugins: Plugins = client.plugins()?;
    let (to, news) = channel();
    feed::signals(to.clone())?;
    feed::events(client.clone(), to.clone())?;
    let asks = hands::start(client.clone(), to.clone())?;
    let mut view = View::new(client.target().url.clone(), Instant::now());
    view.plugins(plugins, Instant::now());
    // This also restores the terminal when a panic comes.
    let mut terminal = ratatui::try_init().context("failed to take over the terminal")?;
    let looked = feed::keys(to).and_then(|()| look(&mut terminal, &mut view, &news, &asks));
    ratatui::try_restore().context("failed to restore the terminal")?;
    looked.map(|()| ExitCode::SUCCESS)
}

fn look(
    terminal: &mut DefaultTerminal,
    view: &mut View,
    news: &Receiver<News>,
    asks: &Sender<Ask>,
) -> anyhow::Result<()> {
    let theme = Theme::of(std::env::var("NO_COLOR").ok().as_deref());
    loop {
        let size = terminal.size().context("failed to read the size of the terminal")?;
        view.resize((size.width, size.height));
        let drawn = terminal.draw(|frame| draw::draw(frame, view, theme, Instant::now()));
        drawn.context("failed to draw")?;
        let first = match news.recv_timeout(REDRAW) {
            Ok(news) => Some(news),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        };
        // All that came meanwhile is taken before it is drawn, so that keys are never behind.
        for news in first.into_iter().chain(news.try_iter()) {
            match hear(view, news, Instant::now()) {
                Next::Nothing => {}
                // The thread that does it lives as long as this one.
                Next::Ask(ask) => drop(asks.send(ask)),
                Next::Quit => return Ok(()),
            }
        }
    }
}

/// What news change in the view, and what is to be done about them.
fn hear(view: &mut View, news: News, now: Instant) -> Next {
    match news {
        News::Key(key) => return view.key(key),
        News::Plugins(plugins) => return view.plugins(plugins, now),
        News::Gone(why) => view.gone(why),
        News::Done(said) => view.said(said),
        News::Page(name, lines) => view.page(&name, lines),
        News::Resized => {}
        News::End => return Next::Quit,
    }
    Next::Nothing
}
