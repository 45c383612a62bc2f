//! The terminal while it shows a screen, and as it was before whatever happens.

use super::ink::Line;
use anstyle::{Color, Effects, Style};
use ratatui::DefaultTerminal;
use ratatui::crossterm::execute;
use ratatui::crossterm::style::force_color_output;
use ratatui::crossterm::terminal::{EnterAlternateScreen, enable_raw_mode};
use ratatui::style::{Color as CellColor, Modifier, Style as CellStyle};
use std::io;

/// The terminal, in raw mode and with its other screen. A panic leaves it as it was before.
#[derive(Debug)]
pub(super) struct Screen {
    terminal: DefaultTerminal,
    color: bool,
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// There is none, or it cannot be set.
    pub(super) fn enter(color: bool) -> io::Result<Self> {
        // It would look at `NO_COLOR` by itself, and an option comes before that.
        force_color_output(color);
        ratatui::try_init().map(|terminal| Self { terminal, color })
    }

    /// Shows what `page` makes of a width and a height.
    ///
    /// # Errors
    /// The terminal is gone.
    pub(super) fn draw(&mut self, page: impl FnOnce(usize, usize) -> Vec<Line>) -> io::Result<()> {
        let color = self.color;
        let drawn = self.terminal.draw(|frame| {
            let area = frame.area();
            let lines = page(area.width.into(), area.height.into());
            for (y, line) in (area.top()..area.bottom()).zip(&lines) {
                let mut x = area.left();
                for (ink, text) in line.pieces() {
                    let mut style = cell_style(ink.style(color));
                    if line.chosen {
                        style = style.add_modifier(Modifier::REVERSED);
                    }
                    let left = area.right().saturating_sub(x).into();
                    (x, _) = frame.buffer_mut().set_stringn(x, y, text, left, style);
                }
            }
        });
        drawn.map(drop)
    }

    /// Draws all of it anew the next time, whatever is on the terminal.
    ///
    /// # Errors
    /// The terminal is gone.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        self.terminal.clear()
    }

    /// Makes the terminal what it was before.
    pub(super) fn leave(&mut self) {
        // A terminal that is gone needs nothing.
        let _gone = self.terminal.show_cursor();
        let _gone = ratatui::try_restore();
    }

    /// Gives the terminal back for as long as `meanwhile` takes.
    ///
    /// # Errors
    /// It cannot be taken again.
    pub(super) fn without(&mut self, meanwhile: impl FnOnce()) -> io::Result<()> {
        self.leave();
        meanwhile();
        enable_raw_mode()?;
        execute!(io::stdout(), EnterAlternateScreen)?;
        self.terminal.clear()
    }
}

/// A style as cells have it.
fn cell_style(style: Style) -> CellStyle {
    let mut out = CellStyle::new();
    match style.get_fg_color() {
        Some(Color::Ansi(color)) => out = out.fg(CellColor::Indexed(color as u8)),
        Some(Color::Ansi256(color)) => out = out.fg(CellColor::Indexed(color.0)),
        Some(Color::Rgb(color)) => out = out.fg(CellColor::Rgb(color.0, color.1, color.2)),
        None => {}
    }
    let effects = style.get_effects();
    for (effect, modifier) in [(Effects::BOLD, Modifier::BOLD), (Effects::DIMMED, Modifier::DIM)] {
        if effects.contains(effect) {
            out = out.add_modifier(modifier);
        }
    }
    out
}
