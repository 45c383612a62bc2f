//! The terminal that a command runs on, shown something beside it. Nothing is read from it and no mode of it is changed: they are the command's.

use crate::cli::color::{self, Color};
use crate::cli::top::ink::Line;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{IsTerminal, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;

/// Lines of a view below the command's output: a third of the screen within these.
const BELOW_MIN: usize = 5;
const BELOW_MAX: usize = 12;
/// A screen of fewer lines shows nothing.
const LINES_MIN: usize = 12;
/// Lets all lines scroll, and takes away what is behind the cursor, wherever a new size has moved it: the command's own text ends there.
const NONE_BELOW: &str = "\x1b7\x1b[r\x1b8\x1b[J";

/// Where the view stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// On the terminal's other screen: the command writes elsewhere.
    Whole,
    /// In the last lines; what the command writes scrolls above them.
    Below,
}

/// The controlling terminal. Dropped, it is as it was before.
#[derive(Debug)]
pub(super) struct Terminal {
    file: File,
    place: Place,
    color: bool,
    /// Columns and lines at the last drawing; `None` = nothing of the view is on it.
    shown: Option<(usize, usize)>,
}

impl Terminal {
    /// The terminal of this process; `None` = there is none, or it can do nothing.
    pub(super) fn open(color: Color) -> Option<Self> {
        if color::is_dumb() {
            return None;
        }
        let file = OpenOptions::new().write(true).open("/dev/tty").ok()?;
        let is_written_to = std::io::stdout().is_terminal() || std::io::stderr().is_terminal();
        let place = if is_written_to { Place::Below } else { Place::Whole };
        Some(Self { file, place, color: color.on_terminal(), shown: None })
    }

    pub(super) const fn color(&self) -> bool {
        self.color
    }

    /// Shows what `page` makes of a width and a height. In the background, or on too small a screen, nothing is shown.
    pub(super) fn draw(&mut self, page: impl FnOnce(usize, usize) -> Vec<Line>) {
        let Some((columns, lines)) = self.size().filter(|&(columns, lines)| columns > 0 && lines >= LINES_MIN) else {
            self.leave();
            return;
        };
        if !self.is_foreground() {
            return;
        }
        let first = match self.place {
            Place::Whole => 1,
            Place::Below => lines - below(lines) + 1,
        };
        let mut out = String::new();
        if self.shown != Some((columns, lines)) {
            self.make_room(&mut out, lines);
            self.shown = Some((columns, lines));
        }
        // The cursor and its colours are the command's.
        out.push_str("\x1b7");
        let page = page(columns, lines + 1 - first);
        for row in first..=lines {
            let line = page.get(row - first).map_or_else(String::new, |line| line.ansi(true, self.color));
            let _ = write!(out, "\x1b[{row};1H\x1b[0m{line}\x1b[0m\x1b[K");
        }
        out.push_str("\x1b8");
        self.write(&out);
    }

    /// Makes the terminal what it was before.
    pub(super) fn leave(&mut self) {
        if self.shown.take().is_some() {
            self.write(match self.place {
                Place::Whole => "\x1b[?25h\x1b[?1049l",
                Place::Below => NONE_BELOW,
            });
        }
    }

    /// Makes room for the view.
    fn make_room(&self, out: &mut String, lines: usize) {
        match self.place {
            Place::Whole if self.shown.is_some() => out.push_str("\x1b[2J"),
            Place::Whole => out.push_str("\x1b[?1049h\x1b[?25l\x1b[2J"),
            Place::Below => {
                let rows = below(lines);
                if self.shown.is_some() {
                    out.push_str(NONE_BELOW);
                }
                // What is in the last lines scrolls up, and the cursor with it; from then on only what is above scrolls.
                out.push_str(&"\x1bD".repeat(rows));
                let _ = write!(out, "\x1b[{rows}A\x1b7\x1b[1;{}r\x1b8", lines - rows);
            }
        }
    }

    /// In one piece, so that nothing of the command's comes between. A terminal that is gone needs nothing.
    fn write(&mut self, text: &str) {
        let _gone = self.file.write_all(text.as_bytes());
    }

    /// Columns and lines.
    fn size(&self) -> Option<(usize, usize)> {
        let mut size = MaybeUninit::<libc::winsize>::zeroed();
        // SAFETY: `size` has room for the answer, and all zeroes is a valid value of it.
        let (answered, size) =
            unsafe { (libc::ioctl(self.file.as_raw_fd(), libc::TIOCGWINSZ, size.as_mut_ptr()), size.assume_init()) };
        (answered == 0).then_some((size.ws_col.into(), size.ws_row.into()))
    }

    /// Whether it is this job's turn.
    fn is_foreground(&self) -> bool {
        // SAFETY: both only ask.
        unsafe { libc::tcgetpgrp(self.file.as_raw_fd()) == libc::getpgrp() }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Lines of a view below, on a screen of so many.
fn below(lines: usize) -> usize {
    (lines / 3).clamp(BELOW_MIN, BELOW_MAX)
}
