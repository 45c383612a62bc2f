//! `hopwatch top`: an agent's runs, dependencies, open calls and findings in a terminal, as they change.

mod data;
pub(super) mod fall;
mod feed;
pub(super) mod ink;
mod page;
mod panels;
mod screen;
mod state;
mod table;

pub(super) use page::run_title;

use super::color::{self, Color};
use super::remote::{self, Agent};
use super::report::Selector;
use super::run::duration_option;
use super::signals::{self, Inbox};
use super::{Failure, print, status};
use crate::model::clock::monotonic;
use clap::Args;
use feed::{Feed, News};
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use ratatui::crossterm::terminal;
use screen::Screen;
use state::{Top, Wish};
use std::io::{self, IsTerminal};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long to wait for a key, at most, until the screen is drawn anew: ages go on.
const TICK: Duration = Duration::from_millis(200);
/// How long to wait for a signal, at most, until it is waited for again.
const PATIENCE: Duration = Duration::from_secs(3600);
/// The least time between two questions.
const INTERVAL_MIN: Duration = Duration::from_millis(100);
/// Cells of a line where nothing says how many there are.
const WIDTH: usize = 120;

/// Watch an agent in a terminal: runs, dependencies, open calls, findings, and a run's waterfall
///
/// Where standard output is no terminal, it prints one snapshot and ends.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hopwatch top                            the agent of this host
  hopwatch top agent.internal:9470
  hopwatch top --once                     one snapshot as text
  hopwatch top --once --run last          the waterfall of the run that began last

Keys: Enter a run's waterfall, Esc back, Tab the next panel, s and r sort, / filter, p pause,
? all keys, q quit.

Signs of runs: + healthy, ! ended well but not healthy, x failed, ~ goes on. In a waterfall solid
bars are the critical path. Without colour phases are letters, in capitals on the critical path.

Environment: HOPWATCH_ADMIN names the agent; NO_COLOR and CLICOLOR_FORCE as usual; COLUMNS the
width of a snapshot.

Exit code: 0 fine, 2 wrong usage, 3 a snapshot of an agent that does not answer.")]
pub(super) struct TopArgs {
    /// The agent's admin address [default: $HOPWATCH_ADMIN, else 127.0.0.1:9470]
    #[arg(value_name = "ADDRESS")]
    address: Option<String>,

    /// How often it is asked
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration_option)]
    interval: Duration,

    /// Print one snapshot as text, and end
    #[arg(long)]
    once: bool,

    /// Begin with the waterfall of a run: its id, its name (the last of that name), or `last`
    #[arg(long, value_name = "ID|NAME|last")]
    run: Option<Selector>,

    /// Colour the screen
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: Color,
}

/// Shows the agent until its user has seen enough; the exit code.
pub(super) fn top(args: TopArgs) -> Result<u8, Failure> {
    let agent = Agent::at(remote::place(args.address.as_deref())?)?;
    let top = Top::new(agent.shown(), args.color.on_stdout());
    if args.once || color::is_dumb() || !(io::stdout().is_terminal() && io::stdin().is_terminal()) {
        return snapshot(top, &agent, args.run.as_ref());
    }
    // Before anything starts a thread: a signal must find nobody who dies of it.
    let inbox = Inbox::of_screen()?;
    let feed = Feed::start(agent, args.interval.max(INTERVAL_MIN)).map_err(failed("start"))?;
    let screen = Screen::enter(top.color).map_err(failed("use the terminal"))?;
    let screen = Arc::new(Mutex::new(screen));
    let shown = take_signals(inbox, Arc::clone(&screen)).and_then(|()| watch(top, &feed, args.run.as_ref(), &screen));
    lock(&screen).leave();
    shown.map(|()| 0).map_err(failed("use the terminal"))
}

fn failed(what: &'static str) -> impl Fn(io::Error) -> Failure {
    move |error| Failure::new(status::FAILED, format!("cannot {what}: {error}"))
}

fn lock(screen: &Mutex<Screen>) -> MutexGuard<'_, Screen> {
    screen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Prints what the agent tells now.
fn snapshot(mut top: Top, agent: &Agent, run: Option<&Selector>) -> Result<u8, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed("start"))?;
    let ask = |id: Option<&str>| runtime.block_on(feed::once(agent, id)).map_err(|error| error.failure());
    let mut told = ask(None)?;
    if let Some(run) = run {
        let id = run.find(&told.report, &format_args!("the agent at {}", agent.shown()))?.id.clone();
        let _asked_below = top.look_into(id.clone());
        told = ask(Some(&id))?;
    }
    let at = monotonic();
    top.take(News::Told(Box::new(told)), at);
    let (styled, color) = (top.color, top.color);
    let lines = page::sheet(&top, columns(), at);
    let text: String = lines.iter().map(|line| line.ansi(styled, color) + "\n").collect();
    print(&text).map(|()| 0)
}

/// Cells of a line of a snapshot.
fn columns() -> usize {
    let told = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let terminal = || terminal::size().ok().filter(|_| io::stdout().is_terminal()).map(|(columns, _)| columns.into());
    told.or_else(terminal).filter(|&columns| columns > 0).unwrap_or(WIDTH)
}

/// Shows it until its user quits.
fn watch(mut top: Top, feed: &Feed, run: Option<&Selector>, screen: &Mutex<Screen>) -> io::Result<()> {
    let mut wanted = run;
    loop {
        while let Ok(news) = feed.news.try_recv() {
            top.take(news, monotonic());
        }
        if let (Some(run), Some(data)) = (wanted, &top.data) {
            // The first answer tells which run is meant.
            let found = run.find(&data.report, &"the agent").map(|run| run.id.clone());
            if let Ok(id) = found {
                top.look_into(id.clone());
                feed.want(Some(&id));
            }
            wanted = None;
        }
        lock(screen).draw(|width, height| page::page(&top, width, height, monotonic()))?;
        if !event::poll(TICK)? {
            continue;
        }
        match event::read()? {
            Event::Key(key) if key.kind != KeyEventKind::Release => match top.key(key, monotonic()) {
                Wish::Nothing => {}
                Wish::Detail(run) => feed.want(run.as_deref()),
                Wish::Suspend => signals::send(std::process::id().cast_signed(), libc::SIGTSTP),
                Wish::Redraw => lock(screen).clear()?,
                Wish::Quit => return Ok(()),
            },
            _ => {}
        }
    }
}

/// Takes signals from here on, on a thread of its own: once a terminal is gone, who reads its keys may never come back.
fn take_signals(inbox: Inbox, screen: Arc<Mutex<Screen>>) -> io::Result<()> {
    let take = move || loop {
        let taken = match inbox.next(PATIENCE).map(|signal| signal.number) {
            None => Ok(()),
            Some(libc::SIGTSTP) => lock(&screen).without(|| signals::stop_self(libc::SIGTSTP)),
            // The shell set the terminal as it likes.
            Some(libc::SIGCONT) => lock(&screen).without(|| ()),
            Some(signal) => {
                // Held to the end, so that nothing is drawn any more.
                let mut screen = lock(&screen);
                screen.leave();
                inbox.close();
                // It ends as whoever sent it wants it to.
                signals::send(std::process::id().cast_signed(), signal);
                std::process::exit(128 + signal);
            }
        };
        // A terminal that is gone has sent its own signal.
        drop(taken);
    };
    std::thread::Builder::new().name("hopwatch-signals".into()).spawn(take).map(drop)
}
