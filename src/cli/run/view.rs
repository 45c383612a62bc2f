//! `--watch`: the run as it goes on, on the terminal.

use super::terminal::Terminal;
use crate::cli::top::fall::Fall;
use crate::cli::top::ink::{Ink, Line};
use crate::cli::top::run_title;
use crate::export::report::waterfall::Waterfall;
use crate::export::report::{OpenReport, Report, component, doing, human, plural};
use crate::model::clock::monotonic;
use std::io;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often it is drawn. The first time is as late, so that short commands show nothing.
const INTERVAL: Duration = Duration::from_millis(500);
/// What a look takes is at most this part of the time: the run is more important.
const REST: u32 = 10;

/// Who shows the run, on a thread of its own. Dropped, the terminal is as it was before.
#[derive(Debug)]
pub(super) struct View {
    terminal: Arc<Mutex<Terminal>>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl View {
    /// Shows what `look` tells, again and again.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start(terminal: Terminal, look: impl Fn() -> (Report, OpenReport) + Send + 'static) -> io::Result<Self> {
        let terminal = Arc::new(Mutex::new(terminal));
        let (stop, stopped) = channel::<()>();
        let shown = Arc::clone(&terminal);
        let thread = std::thread::Builder::new().name("hopwatch-view".into()).spawn(move || {
            let mut wait = INTERVAL;
            while stopped.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                let began = monotonic();
                let (report, open) = look();
                let mut terminal = lock(&shown);
                let color = terminal.color();
                terminal.draw(|width, height| lines(&report, &open, (width, height), color));
                drop(terminal);
                wait = INTERVAL.max(began.elapsed() * REST);
            }
        })?;
        Ok(Self { terminal, stop: Some(stop), thread: Some(thread) })
    }

    /// Does something while the terminal is as it was before.
    pub(super) fn aside(&self, what: impl FnOnce()) {
        let mut terminal = lock(&self.terminal);
        terminal.leave();
        what();
    }
}

impl Drop for View {
    fn drop(&mut self) {
        drop(self.stop.take());
        // Its panic is its own.
        drop(self.thread.take().map(JoinHandle::join));
        lock(&self.terminal).leave();
    }
}

fn lock(terminal: &Mutex<Terminal>) -> MutexGuard<'_, Terminal> {
    terminal.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The run in so many lines: how it stands, what it waits for, and its latest calls.
fn lines(report: &Report, open: &OpenReport, (width, height): (usize, usize), color: bool) -> Vec<Line> {
    let Some(run) = report.runs.first() else { return Vec::new() };
    let mut lines = vec![run_title(run), oldest(open)];
    let waterfall = Waterfall::of(run);
    let fall = Fall::new(&waterfall, run.deadline_ms, width, color);
    lines.push(fall.axis());
    let room = height.saturating_sub(lines.len() + 1);
    let (first, hops) = waterfall.rows.split_at(waterfall.rows.len().min(1));
    let latest = hops.len().saturating_sub(room.saturating_sub(first.len()));
    lines.extend(first.iter().chain(&hops[latest..]).take(room).map(|row| fall.row(row, false)));
    lines.push(fall.legend());
    lines.into_iter().take(height).map(|line| line.cut(width)).collect()
}

/// The call that is open longest.
fn oldest(open: &OpenReport) -> Line {
    let Some(hop) = open.hops.first() else { return Line::of(Ink::Faint, "no call is open") };
    let usual = hop.usual_ms.map_or_else(String::new, |usual| format!(", normally {} in all", human(usual)));
    let name = component(Some(hop.kind), Some(&hop.dependency));
    let line = Line::of(Ink::Plain, &format!("{} open; ", plural(open.hops.len(), "call"))).with(Ink::Strong, &name);
    line.with(Ink::Plain, &format!(" for {}, {} {}{usual}", human(hop.age_ms), doing(hop.phase), human(hop.phase_ms)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::report::waterfall::tests::sample;

    #[test]
    fn the_latest_calls_are_shown_in_whatever_room_there_is() {
        let report = sample();
        let open = OpenReport { schema: String::new(), hopwatch: String::new(), generated_at: String::new(), hops: Vec::new() };
        for height in 0..20 {
            for width in 0..120 {
                let shown = lines(&report, &open, (width, height), false);
                assert!(shown.len() <= height && shown.iter().all(|line| line.ansi(false, false).chars().count() <= width));
            }
        }
        let shown: Vec<String> = lines(&report, &open, (80, 6), false).iter().map(|line| line.ansi(false, false)).collect();
        assert_eq!(shown[1], "no call is open");
        assert!(shown[4].contains("llm/openai"), "the last call, not the first: {shown:#?}");
    }
}
