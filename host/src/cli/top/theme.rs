//! How things look. Colours only repeat what words and figures say, so that the view does without them.

use ratatui::style::{Color, Modifier, Style};

/// Which styles there are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Theme {
    has_colours: bool,
}

impl Theme {
    /// The theme for a value of NO_COLOR.
    pub(super) fn of(no_color: Option<&str>) -> Self {
        Self { has_colours: no_color.is_none_or(str::is_empty) }
    }

    fn colour(self, colour: Color) -> Style {
        if self.has_colours { Style::new().fg(colour) } else { Style::new() }
    }

    /// As it should be.
    pub(super) fn good(self) -> Style {
        self.colour(Color::Green)
    }

    /// Worth a look.
    pub(super) fn fair(self) -> Style {
        self.colour(Color::Yellow)
    }

    /// Not as it should be.
    pub(super) fn bad(self) -> Style {
        self.colour(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// A chart.
    pub(super) fn bars(self) -> Style {
        self.colour(Color::Cyan)
    }

    /// Everything else.
    pub(super) fn plain(self) -> Style {
        Style::new()
    }

    /// What is known anyway.
    pub(super) fn quiet(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// What is read first.
    pub(super) fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// The row that is selected.
    pub(super) fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// How a state looks.
    pub(super) fn state(self, state: &str) -> Style {
        match state {
            "running" => self.good(),
            "troubled" => self.bad(),
            _ => self.fair(),
        }
    }
}
