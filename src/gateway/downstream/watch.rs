//! Looks after clients from a thread of its own: whose they are, whether they read, and whether they are still there.

use super::Downstream;
use super::leaving::Leavers;
use super::owner::{self, Owners};
use super::reading::Readers;
use crate::model::clock::monotonic;
use crate::model::{Nanos, Stall, redact};
use crate::sock_diag::Queues;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Time between two rounds.
const ROUND: Duration = Duration::from_millis(100);
/// The same while a client is behind: so finely its end is told.
const ROUND_BEHIND: Duration = Duration::from_millis(20);
/// Clients that wait to be found an owner; those beyond stay unknown.
const QUEUE: usize = 1_024;
/// Of its time, what looking through all processes may take: one part in so many.
const SEARCH_SHARE: u32 = 5;

/// What the watch looks after.
pub(crate) trait Watched: Send + Sync + 'static {
    /// The present moment.
    fn now(&self) -> Nanos;
    /// Those that are connected.
    fn clients(&self) -> Vec<Arc<Downstream>>;
    /// A client did not read what was there for it.
    fn stalled(&self, stall: Stall);
    /// A round is over.
    fn round(&self);
}

/// The watch's thread; dropped, it ends.
#[derive(Debug)]
pub(crate) struct Watch {
    new: Option<SyncSender<Arc<Downstream>>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Starts to watch.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(crate) fn start(watched: Arc<impl Watched>) -> io::Result<Self> {
        let (new, come) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new().name("hopwatch-clients".into()).spawn(move || watch(&*watched, &come))?;
        Ok(Self { new: Some(new), thread: Some(thread) })
    }

    /// Who tells it of clients that have come.
    pub(crate) fn gate(&self) -> Option<SyncSender<Arc<Downstream>>> {
        self.new.clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.new = None;
        if let Some(thread) = self.thread.take() {
            // Its panic is its own.
            drop(thread.join());
        }
    }
}

fn watch(watched: &impl Watched, come: &Receiver<Arc<Downstream>>) {
    // Where the kernel or a sandbox has no way to ask, nothing is known of clients beside their addresses.
    let queues = Queues::open().ok();
    let (mut owners, mut readers, mut leavers) = (Owners::default(), Readers::default(), Leavers::default());
    let mut search = Search::default();
    let (mut last, mut behind) = (monotonic(), false);
    let tell = &mut |stall| watched.stalled(stall);
    loop {
        let round = if behind { ROUND_BEHIND } else { ROUND };
        match come.recv_timeout(round.saturating_sub(last.elapsed())) {
            Ok(client) => {
                if let Some(queues) = &queues {
                    find_owner(&client, queues, &mut owners, &mut search);
                }
                if last.elapsed() < round {
                    continue;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return readers.end(watched.now(), tell),
        }
        last = monotonic();
        if let Some(queues) = &queues {
            let clients = watched.clients();
            leavers.look(&clients, queues);
            behind = readers.look(&clients, queues, watched.now(), tell);
        }
        watched.round();
    }
}

/// Keeps the search through all processes within its share of time.
#[derive(Debug, Default)]
struct Search {
    allowed: Option<Instant>,
}

impl Search {
    fn is_allowed(&self) -> bool {
        self.allowed.is_none_or(|at| monotonic() >= at)
    }

    fn took(&mut self, time: Duration) {
        self.allowed = monotonic().checked_add(time.saturating_mul(SEARCH_SHARE - 1));
    }
}

fn find_owner(client: &Downstream, queues: &Queues, owners: &mut Owners, search: &mut Search) {
    if !client.is_local() {
        return;
    }
    let Some(inode) = queues.of(client.peer, client.local).map(|socket| socket.inode).filter(|&inode| inode > 0) else { return };
    let widely = search.is_allowed();
    let started = monotonic();
    let found = owners.find(inode, widely);
    if widely {
        search.took(started.elapsed());
    }
    if let Some(pid) = found {
        let program = owner::program(pid).map_or_else(|| "unknown".to_owned(), |name| redact::name(&name));
        client.is_of(pid, program.into());
    }
}
