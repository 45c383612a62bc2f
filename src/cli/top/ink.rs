//! Lines of text with what their parts mean; how that looks follows from the terminal.

use crate::export::report::columns::{cut, width};
use crate::model::{Phase, palette, redact};
use anstyle::{Ansi256Color, AnsiColor, Color, Effects, Style};
use std::fmt::Write;

/// What a piece of text means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) enum Ink {
    #[default]
    Plain,
    /// Of less weight.
    Faint,
    /// A heading, or what is looked for.
    Strong,
    /// All is well.
    Good,
    /// It failed; nothing else is red.
    Bad,
    /// Time in a phase.
    Phase(Phase),
}

impl Ink {
    /// How it looks. Without colour, weight alone tells.
    pub(super) fn style(self, color: bool) -> Style {
        let paint = |style: Style, color_of: Color| if color { style.fg_color(Some(color_of)) } else { style };
        match self {
            Self::Plain => Style::new(),
            Self::Faint => Style::new().effects(Effects::DIMMED),
            Self::Strong => Style::new().effects(Effects::BOLD),
            Self::Good => paint(Style::new(), AnsiColor::Green.into()),
            Self::Bad => paint(Style::new().effects(Effects::BOLD), AnsiColor::Red.into()),
            Self::Phase(phase) => paint(Style::new(), Ansi256Color(nearest(palette::color(phase))).into()),
        }
    }
}

/// The nearest of the 216 colours that every terminal of today has (the cube from 16 on).
fn nearest(hex: &str) -> u8 {
    let level = |at: usize| match hex.get(at..at + 2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
        Some(0..48) | None => 0,
        Some(48..115) => 1,
        Some(value) => (value - 35) / 40,
    };
    16 + 36 * level(1) + 6 * level(3) + level(5)
}

/// A line of the screen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct Line {
    pieces: Vec<(Ink, String)>,
    /// It is the one that keys act on.
    pub(super) chosen: bool,
}

impl Line {
    /// A line of one piece.
    pub(in crate::cli) fn of(ink: Ink, text: &str) -> Self {
        Self::default().with(ink, text)
    }

    /// The same with a piece more. Whatever is in its text moves no cursor.
    pub(in crate::cli) fn with(mut self, ink: Ink, text: &str) -> Self {
        self.push(ink, text);
        self
    }

    pub(super) fn push(&mut self, ink: Ink, text: &str) {
        if !text.is_empty() {
            self.pieces.push((ink, redact::printable(text)));
        }
    }

    pub(super) fn append(&mut self, other: Self) {
        self.pieces.extend(other.pieces);
    }

    pub(super) fn pieces(&self) -> &[(Ink, String)] {
        &self.pieces
    }

    /// The cells that it takes.
    pub(super) fn width(&self) -> usize {
        self.pieces.iter().map(|(_, text)| width(text)).sum()
    }

    /// The same in at most so many cells.
    pub(in crate::cli) fn cut(mut self, columns: usize) -> Self {
        let mut left = columns;
        for index in 0..self.pieces.len() {
            let taken = width(&self.pieces[index].1);
            // What follows a piece that fits exactly is cut too: it is the last one to show that.
            let more = self.pieces[index + 1..].iter().any(|(_, text)| width(text) > 0);
            if taken > left || (taken == left && more) {
                let text = if taken == left { format!("{}…", self.pieces[index].1) } else { self.pieces[index].1.clone() };
                self.pieces[index].1 = cut(&text, left);
                self.pieces.truncate(index + 1);
                return self;
            }
            left -= taken;
        }
        self
    }

    /// The same, filled up with spaces, before or behind it.
    pub(super) fn filled(self, columns: usize, right: bool) -> Self {
        let line = self.cut(columns);
        let spaces = " ".repeat(columns.saturating_sub(line.width()));
        if !right {
            return line.with(Ink::Plain, &spaces);
        }
        let mut filled = Self::of(Ink::Plain, &spaces);
        filled.append(line);
        filled
    }

    /// Its text alone.
    pub(super) fn text(&self) -> String {
        self.pieces.iter().map(|(_, text)| text.as_str()).collect()
    }

    /// It with its styles as escape sequences, where it may have some. Nothing stays switched on behind it.
    pub(in crate::cli) fn ansi(&self, styled: bool, color: bool) -> String {
        if !styled {
            return self.text().trim_end().to_owned();
        }
        self.pieces.iter().fold(String::new(), |mut out, (ink, text)| {
            let style = ink.style(color);
            let _ = write!(out, "{style}{text}{style:#}");
            out
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_where_it_shows() {
        let line = Line::of(Ink::Strong, "abc").with(Ink::Plain, "日本語");
        assert_eq!(line.width(), 9);
        assert_eq!(line.clone().cut(9).text(), "abc日本語");
        assert_eq!(line.clone().cut(8).text(), "abc日本…");
        assert_eq!(line.clone().cut(3).text(), "ab…");
        assert_eq!(line.clone().cut(0).text(), "");
        assert_eq!(line.clone().filled(11, false).text(), "abc日本語  ");
        assert_eq!(line.filled(11, true).text(), "  abc日本語");
    }

    #[test]
    fn no_text_brings_escape_sequences_of_its_own() {
        let line = Line::of(Ink::Bad, "a\u{1b}]0;x\u{7}\u{202e}\u{9b}2J");
        assert_eq!(line.ansi(false, true), "a\u{fffd}]0;x\u{fffd}\u{fffd}\u{fffd}2J");
        assert_eq!(line.ansi(true, false), "\u{1b}[1ma\u{fffd}]0;x\u{fffd}\u{fffd}\u{fffd}2J\u{1b}[0m");
        assert!(line.ansi(true, true).contains("\u{1b}[31m"));
    }

    #[test]
    fn phases_keep_their_colours_apart_on_a_terminal() {
        let mut seen: Vec<u8> = Phase::ALL.iter().map(|&phase| nearest(palette::color(phase))).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), Phase::ALL.len());
    }
}
