//! Follows the rings of a run: finds new ones, empties them, notices the ends of their processes.

use super::Observed;
use super::assemble::{Assembler, Ending};
use super::kin::Kin;
use super::life::{Death, Life};

use super::ring::{Lost, Maker, Ring, Thread};
use crate::model::clock::{Anchor, monotonic};
use crate::model::{Live, Naming, Nanos, Span};
use crate::observer::layout::{Call, NO_ROOM};
use crate::sock_diag::Queues;
use rustc_hash::FxHashSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Pause between two rounds while records come.
const BUSY_PAUSE: Duration = Duration::from_millis(5);
/// Pause between two rounds shortly after.
const PAUSE: Duration = Duration::from_millis(15);
/// Pause between two rounds when nothing came for [`IDLE_AFTER`].
const IDLE_PAUSE: Duration = Duration::from_millis(50);
/// Time between two looks for descendants without a ring.
const KIN_EVERY: Duration = Duration::from_millis(250);
/// Time between two looks for answers that lie unread.
const SETTLE_EVERY: Duration = Duration::from_millis(250);
const IDLE_AFTER: Duration = Duration::from_secs(2);
/// A record that is not finished after this long in a living process never will be.
const STUCK_AFTER: Duration = Duration::from_secs(2);
/// Most records taken from one ring in one round, so that one process does not keep the others waiting.
const ROUND: usize = 16_384;
/// A file that is no ring after so many rounds never will be.
const TRIES: u32 = 1_000;

/// What an observer needs to know.
#[derive(Clone, Debug)]
pub struct Options {
    /// Directory of this run's rings ([`super::place::Place::rings`]).
    pub rings: PathBuf,
    /// What names peers.
    pub naming: Naming,
    /// Ties `CLOCK_MONOTONIC` to the Unix epoch.
    pub anchor: Anchor,
}

/// Observing could not start.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// The directory of rings cannot be read.
    #[error("cannot read the directory of the observer's records {path}: {error}")]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// No thread could be started.
    #[error("cannot start a thread for the observer: {0}")]
    Thread(std::io::Error),
}

/// Follows a run from its own thread.
#[derive(Debug)]
pub struct Observer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    stop: Mutex<bool>,
    wake: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a while; whether to go on.
    fn pause(&self, pause: Duration) -> bool {
        let stop = self.stop.lock().unwrap_or_else(PoisonError::into_inner);
        let (stop, _) = self.wake.wait_timeout_while(stop, pause, |stop| !*stop).unwrap_or_else(PoisonError::into_inner);
        !*stop
    }
}

/// A view of a run that goes on.
#[derive(Clone, Debug)]
pub struct Glimpse(Arc<Shared>);

impl Glimpse {
    /// What goes on now, and what ended since the last look. Nothing once the observation is finished.
    #[must_use]
    pub fn look(&self) -> Live {
        let mut state = self.0.state();
        state.round(None);
        state.settle();
        let now = state.anchor.now();
        let State { assembler, followed, anchor, .. } = &mut *state;
        let open = assembler.open(now, &|process| threads(followed, process));
        let ended = assembler.settled(now, &|process, tid| {
            let thread = threads(followed, process).into_iter().find(|thread| thread.tid == tid && thread.since != 0)?;
            let waits = matches!(Call::from_u16(thread.call as u16), Call::Epoll | Call::Poll | Call::Select);
            waits.then(|| anchor.instant(thread.since))
        });
        Live { ended, open, losses: assembler.losses(), now }
    }
}

/// A ring and its process. Its number with the assembler is its place in the list.
#[derive(Debug)]
struct Followed {
    /// `None` once the process ended.
    ring: Option<Ring>,
    maker: Maker,
    life: Life,
    path: PathBuf,
    start: Nanos,
    end: Option<Nanos>,
    /// What its threads were in when it ended.
    threads: Vec<Thread>,
    stuck_since: Option<Instant>,
}

#[derive(Debug)]
struct State {
    directory: PathBuf,
    anchor: Anchor,
    assembler: Assembler,
    followed: Vec<Followed>,
    known: FxHashSet<OsString>,
    /// Files that are not rings (yet), and how often they were looked at.
    unready: Vec<(OsString, u32)>,
    kin: Kin,
    kin_looked: Instant,
    queues: Option<Queues>,
    settled: Instant,
}

impl Observer {
    /// Starts to follow a directory of rings.
    ///
    /// # Errors
    /// When the directory cannot be read, or no thread can be started.
    pub fn start(options: Options) -> Result<Self, ObserveError> {
        if let Err(error) = std::fs::read_dir(&options.rings) {
            return Err(ObserveError::Directory { path: options.rings, error });
        }
        let state = State {
            directory: options.rings,
            anchor: options.anchor,
            assembler: Assembler::new(options.naming),
            followed: Vec::new(),
            known: FxHashSet::default(),
            unready: Vec::new(),
            kin: Kin::default(),
            kin_looked: monotonic(),
            queues: Queues::open().ok(),
            settled: monotonic(),
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), stop: Mutex::new(false), wake: Condvar::new() });
        let follower = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("hopwatch-observe".into()).spawn(move || follow(&follower));
        let thread = thread.map_err(ObserveError::Thread)?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// The hops that are open right now, with their phases up to now.
    #[must_use]
    pub fn open_now(&self) -> Vec<Span> {
        let mut state = self.shared.state();
        state.round(None);
        state.settle();
        let now = state.anchor.now();
        let State { assembler, followed, .. } = &mut *state;
        assembler.open(now, &|process| threads(followed, process))
    }

    /// A view of the run, to be had from any thread while it lasts.
    #[must_use]
    pub fn glimpse(&self) -> Glimpse {
        Glimpse(Arc::clone(&self.shared))
    }

    /// Ends the observation of a run whose first process ended at `ended` (an instant): waits up to `grace` for its
    /// descendants to end, makes those that live on pass through, and tells everything.
    #[must_use]
    pub fn finish(mut self, ended: Nanos, grace: Duration) -> Observed {
        self.stop();
        let mut state = self.shared.state();
        let since = monotonic();
        // What is over by now was over then; what ends from here on outlived the run.
        state.round(Some(ended));
        loop {
            state.round(None);
            if state.followed.iter().all(|followed| followed.ring.is_none()) || since.elapsed() >= grace {
                break;
            }
            std::thread::sleep(BUSY_PAUSE);
        }
        state.finish()
    }

    fn stop(&mut self) {
        *self.shared.stop.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.shared.wake.notify_all();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has left its state behind; what is in it is still told.
            let _ = thread.join();
        }
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn follow(shared: &Shared) {
    let mut last = monotonic();
    loop {
        let took = shared.state().round(None);
        if took {
            last = monotonic();
        }
        let pause = match last.elapsed() {
            _ if took => BUSY_PAUSE,
            idle if idle < IDLE_AFTER => PAUSE,
            _ => IDLE_PAUSE,
        };
        if !shared.pause(pause) {
            return;
        }
    }
}

fn threads(followed: &[Followed], process: usize) -> Vec<Thread> {
    let Some(followed) = followed.get(process) else { return Vec::new() };
    followed.ring.as_ref().map_or_else(|| followed.threads.clone(), Ring::threads)
}

impl State {
    /// Finds new rings and empties all. Whether there was anything. `ended`: when the run ended, if it did.
    fn round(&mut self, ended: Option<Nanos>) -> bool {
        let mut took = self.find();
        for index in 0..self.followed.len() {
            took |= self.visit(index, ended);
        }
        if self.kin_looked.elapsed() >= KIN_EVERY {
            self.kin_looked = monotonic();
            let living = self.followed.iter().filter(|followed| followed.ring.is_some());
            let pids = living.map(|followed| followed.maker.pid).collect();
            self.kin.look(&pids, self.anchor.now());
        }
        if self.settled.elapsed() >= SETTLE_EVERY {
            self.settle();
        }
        took
    }

    /// Looks for answers that lie unread.
    fn settle(&mut self) {
        self.settled = monotonic();
        let Self { anchor, assembler, followed, queues: Some(queues), .. } = self else { return };
        assembler.settle(anchor.now(), &|process| threads(followed, process), &mut |own, peer| queues.of(own, peer));
    }

    fn find(&mut self) -> bool {
        let Ok(entries) = std::fs::read_dir(&self.directory) else { return false };
        let mut fresh: Vec<(u64, Followed)> = Vec::new();
        for name in entries.flatten().map(|entry| entry.file_name()) {
            if Path::new(&name).extension().is_some_and(|extension| extension == NO_ROOM) {
                self.without_room(&name);
                continue;
            }
            if self.known.contains(&name) || Path::new(&name).extension().is_none_or(|extension| extension != "ring") {
                continue;
            }
            let path = self.directory.join(&name);
            match Ring::open(&path) {
                Some(ring) => {
                    let maker = ring.maker();
                    let start = self.anchor.instant(maker.start);
                    let life = Life::of(maker.pid);
                    self.known.insert(name);
                    fresh.push((
                        maker.start,
                        Followed {
                            ring: Some(ring),
                            maker,
                            life,
                            path,
                            start,
                            end: None,
                            threads: Vec::new(),
                            stuck_since: None,
                        },
                    ));
                }
                None => self.wait_for(name),
            }
        }
        // Parents before their children.
        fresh.sort_by_key(|(start, _)| *start);
        let found = !fresh.is_empty();
        for (_, followed) in fresh {
            let pid = followed.maker.pid;
            for index in 0..self.followed.len() {
                // The process became another program: the old one's ring is over.
                if self.followed[index].maker.pid == pid && self.followed[index].ring.is_some() {
                    self.end(index, followed.start, Ending::Exit);
                }
            }
            self.assembler.begin(&followed.maker);
            self.followed.push(followed);
        }
        found
    }

    /// A process found no room for its ring.
    fn without_room(&mut self, name: &OsStr) {
        let _ = std::fs::remove_file(self.directory.join(name));
        let pid = name.to_str().and_then(|name| name.split('-').next()?.parse().ok()).unwrap_or_default();
        self.kin.had_no_room(pid, self.anchor.now());
        self.assembler.had_no_room();
    }

    /// A file that is not ready is looked at again, but not for ever.
    fn wait_for(&mut self, name: OsString) {
        match self.unready.iter_mut().find(|(unready, _)| *unready == name) {
            Some((_, tries)) if *tries < TRIES => *tries += 1,
            Some(_) => {
                self.unready.retain(|(unready, _)| *unready != name);
                self.known.insert(name);
            }
            None => self.unready.push((name, 0)),
        }
    }

    fn visit(&mut self, index: usize, ended: Option<Nanos>) -> bool {
        let Some(followed) = self.followed.get_mut(index) else { return false };
        if followed.ring.is_none() {
            return false;
        }
        // Asked before the ring is emptied, so that nothing written before the end is left in it.
        let death = followed.life.death();
        let took = self.empty(index, false);
        if let Some(death) = death {
            while self.empty(index, true) {}
            let now = self.anchor.now();
            let at = ended.map_or(now, |ended| ended.min(now));
            let ending = self.ending(index, death);
            self.end(index, at, ending);
        }
        took
    }

    /// How a process came to its end: by a signal in the middle of a call, as far as it can be told.
    fn ending(&self, index: usize, death: Death) -> Ending {
        match death {
            Death::Exited => Ending::Exit,
            Death::Killed => Ending::Killed,
            Death::Unknown => {
                let Some(followed) = self.followed.get(index) else { return Ending::Exit };
                let main = followed.maker.pid;
                let threads = followed.ring.as_ref().map(Ring::threads).unwrap_or_default();
                // Whoever leaves by itself has its main thread in no call.
                let in_call = threads.iter().any(|thread| thread.tid == main && thread.since != 0 && thread.call != 0);
                if in_call { Ending::Killed } else { Ending::Exit }
            }
        }
    }

    /// Takes what is in a ring; whether there was anything.
    fn empty(&mut self, index: usize, finished: bool) -> bool {
        let Self { anchor, assembler, followed, .. } = self;
        let Some(Followed { ring: Some(ring), stuck_since, .. }) = followed.get_mut(index) else { return false };
        let mut took = false;
        for _ in 0..ROUND {
            let stuck = stuck_since.is_some_and(|since| since.elapsed() >= STUCK_AFTER);
            let Some(entry) = ring.next(finished || stuck) else { break };
            *stuck_since = None;
            took = true;
            assembler.record(index, &entry, anchor);
        }
        if !ring.is_behind() {
            *stuck_since = None;
        } else if !took {
            stuck_since.get_or_insert_with(monotonic);
        }
        took
    }

    fn end(&mut self, index: usize, at: Nanos, ending: Ending) {
        while self.empty(index, true) {}
        let Some(followed) = self.followed.get_mut(index) else { return };
        let Some(ring) = followed.ring.take() else { return };
        let at = at.max(followed.start);
        followed.end = Some(at);
        followed.threads = ring.threads();
        self.assembler.end(index, at, ending, ring.lost());
        // Nobody writes to it any more, and trees of many short processes would fill the place.
        let _ = std::fs::remove_file(&followed.path);
    }

    fn finish(&mut self) -> Observed {
        for ring in self.followed.iter().filter_map(|followed| followed.ring.as_ref()) {
            ring.kill();
        }
        self.round(None);
        let now = self.anchor.now();
        let lost: Vec<Lost> = self.followed.iter().filter_map(|followed| Some(followed.ring.as_ref()?.lost())).collect();
        for lost in lost {
            self.assembler.missed(lost);
        }
        let assembler = std::mem::replace(&mut self.assembler, Assembler::new(Naming::default()));
        let assembled = assembler.finish(now, &|process| threads(&self.followed, process));
        let processes = self.followed.drain(..).map(|followed| super::Process {
            pid: followed.maker.pid,
            ppid: followed.maker.ppid,
            program: followed.maker.program,
            start: followed.start,
            end: followed.end,
            rings: true,
            note: None,
        });
        let unseen = std::mem::take(&mut self.kin.unseen).into_iter().map(|unseen| super::Process {
            pid: unseen.pid,
            ppid: unseen.ppid,
            program: unseen.program,
            start: unseen.found,
            end: None,
            rings: false,
            note: Some(unseen.note),
        });
        Observed {
            processes: processes.chain(unseen).collect(),
            spans: assembled.spans,
            stalls: assembled.stalls,
            contexts: assembled.contexts,
            connections: assembled.connections,
            raised: assembled.raised,
            losses: assembled.losses,
            imports: assembled.imports,
            first_activity: assembled.first_activity,
        }
    }
}

#[cfg(test)]
mod tests;
