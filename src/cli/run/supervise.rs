//! From start to end of the command: signals, deadline, and what it did.

use super::child::{Change, Child};
use super::message;
use super::onlookers::Onlookers;
use super::options::Plan;
use super::report::{self, Finished};
use super::source::Source;
use super::view::View;
use crate::cli::signals::{Inbox, Signal, stop_self};
use crate::cli::{Failure, status, tell};
use crate::model::clock::{Anchor, monotonic};
use crate::model::{Exit, Nanos};
use std::time::{Duration, Instant};

/// Between SIGTERM and SIGKILL of `--kill`.
const KILL_AFTER: Duration = Duration::from_secs(2);
/// How long to sleep at most: a signal wakes, but a stop that was noticed late must not wait for one.
const PATIENCE: Duration = Duration::from_secs(1);
/// Interrupts that come closer together are one: `timeout -s INT` sends to the process and to its group.
const ONE_INTERRUPT: Duration = Duration::from_millis(50);
/// An end so soon after a signal of the user is its doing.
const USER_ENDED_WITHIN: Duration = Duration::from_secs(10);

/// Runs the command of a plan to its end.
pub(crate) fn supervise(plan: &Plan, inbox: Inbox) -> Result<Finished, Failure> {
    let program = message::resolve(&plan.command)?;
    let anchor = Anchor::new(monotonic_nanos());
    let source = Source::open(plan, &program, anchor)?;
    let mut onlookers = Onlookers::start(plan, &source, anchor)?;
    let mut environment = source.environment().to_vec();
    environment.extend(onlookers.environment());
    let start = anchor.now();
    let child = Child::start(plan, &program, &environment, source.removed(), inbox.inherited())?;
    let mut watch = Watch {
        plan,
        anchor,
        source: &source,
        view: onlookers.view(),
        started: monotonic(),
        child,
        last_user_signal: None,
        last_interrupt: None,
        deadline_kill: DeadlineKill::Due,
    };
    let exit = watch.until_the_end(&inbox)?;
    let end = anchor.now();
    onlookers.end_view();
    inbox.close();
    let facts = report::Facts { plan, start, end, exit };
    let code = if exit.by_deadline { status::TIMED_OUT } else { u8::try_from(exit.code).unwrap_or(u8::MAX) };
    Ok(report::finish(source, onlookers, facts, code))
}

/// The command and what was done to it so far.
struct Watch<'a> {
    plan: &'a Plan,
    anchor: Anchor,
    source: &'a Source,
    /// Who shows the run on the terminal.
    view: Option<&'a View>,
    started: Instant,
    child: Child,
    /// The last signal by which the user asks for an end, and when.
    last_user_signal: Option<(i32, Instant)>,
    last_interrupt: Option<Instant>,
    deadline_kill: DeadlineKill,
}

/// How far `--kill` is.
enum DeadlineKill {
    Due,
    Asked(Instant),
    Done,
}

impl Watch<'_> {
    fn until_the_end(&mut self, inbox: &Inbox) -> Result<Exit, Failure> {
        loop {
            let lost = |error| Failure::new(status::FAILED, format!("cannot wait for the command: {error}"));
            match self.child.change().map_err(lost)? {
                Some(Change::Exited(code)) => return Ok(self.exit(code, None)),
                Some(Change::Killed(signal)) => return Ok(self.exit(128 + signal, Some(signal))),
                Some(Change::Stopped(signal)) => self.stop_along(signal),
                None => {}
            }
            let timeout = self.enforce_deadline();
            if let Some(signal) = inbox.next(timeout) {
                self.take(signal);
            }
        }
    }

    fn exit(&self, code: i32, signal: Option<i32>) -> Exit {
        let by_deadline = !matches!(self.deadline_kill, DeadlineKill::Due);
        let by_user = !by_deadline
            && self.last_user_signal.is_some_and(|(sent, at)| {
                signal == Some(sent) || signal == Some(libc::SIGKILL) || code == 128 + sent || at.elapsed() < USER_ENDED_WITHIN
            });
        Exit { code, signal, by_user, by_deadline }
    }

    /// The shell waits for hopwatch: it has to stop when its command does.
    fn stop_along(&self, signal: i32) {
        let by_terminal = [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU].contains(&signal);
        // Without a terminal nobody does job control, and nobody would continue hopwatch.
        if by_terminal || std::fs::File::open("/dev/tty").is_ok() {
            self.aside(|| stop_self(signal));
            self.continue_child();
        }
    }

    /// Does something for which the terminal has to be as it was.
    fn aside(&self, what: impl FnOnce()) {
        match self.view {
            Some(view) => view.aside(what),
            None => what(),
        }
    }

    fn continue_child(&self) {
        if self.child.is_stopped() {
            self.child.send(libc::SIGCONT);
        }
    }

    /// Ends the command when its time is over; how long to sleep at most.
    fn enforce_deadline(&mut self) -> Duration {
        let Some(deadline) = self.plan.deadline.filter(|_| self.plan.kill) else { return PATIENCE };
        match self.deadline_kill {
            DeadlineKill::Due => {
                let left = deadline.saturating_sub(self.started.elapsed());
                if !left.is_zero() {
                    return left.min(PATIENCE);
                }
                self.child.send(libc::SIGTERM);
                self.continue_child();
                self.deadline_kill = DeadlineKill::Asked(monotonic());
                KILL_AFTER.min(PATIENCE)
            }
            DeadlineKill::Asked(at) => {
                let left = KILL_AFTER.saturating_sub(at.elapsed());
                if !left.is_zero() {
                    return left.min(PATIENCE);
                }
                self.child.send(libc::SIGKILL);
                self.deadline_kill = DeadlineKill::Done;
                PATIENCE
            }
            DeadlineKill::Done => PATIENCE,
        }
    }

    fn take(&mut self, Signal { number, sender }: Signal) {
        // What the terminal sent, the command has; what comes from the command or its descendants (`kill 0`) it knows.
        let to_pass_on = sender.is_some_and(|sender| !self.child.is_ancestor_of(sender));
        match number {
            libc::SIGCHLD => {}
            libc::SIGCONT => self.continue_child(),
            libc::SIGQUIT => {
                let now = self.anchor.now();
                let open = report::open(&self.plan.name, &self.source.open_now(), now);
                self.aside(|| tell(&open));
            }
            libc::SIGINT if self.last_interrupt.is_some_and(|at| at.elapsed() < ONE_INTERRUPT) => {}
            libc::SIGINT if self.last_interrupt.is_some() => self.child.send(libc::SIGKILL),
            _ => {
                let now = monotonic();
                if [libc::SIGINT, libc::SIGTERM, libc::SIGHUP].contains(&number) {
                    self.last_user_signal = Some((number, now));
                }
                if number == libc::SIGINT {
                    self.last_interrupt = Some(now);
                }
                if to_pass_on {
                    self.child.send(number);
                }
            }
        }
    }
}

/// `CLOCK_MONOTONIC`, which the observer's times are on.
fn monotonic_nanos() -> Nanos {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` has room for the answer.
    unsafe {
        libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time);
    }
    Nanos::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + Nanos::try_from(time.tv_nsec).unwrap_or(0)
}
