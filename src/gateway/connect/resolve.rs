//! Names to addresses: the system's resolver on blocking threads, few at once, one look-up for all who ask for a name meanwhile.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Most look-ups at once. Each holds a blocking thread until the system answers, which may take its whole patience (30 s and
/// more); those that come meanwhile wait for one to end.
const LOOKUPS_MAX: usize = 32;

/// Which addresses may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Family {
    /// All.
    #[default]
    Any,
    /// IPv4 alone.
    V4,
    /// IPv6 alone.
    V6,
}

/// Resolves names. Cheap to clone; all clones share what is under way. Nothing is kept beyond that: caching is the system's.
#[derive(Clone)]
pub(crate) struct Resolver {
    shared: Arc<Shared>,
}

/// What a look-up gave: addresses with port 0, in the order to be tried, or why there are none.
pub(super) type Answer = Result<Arc<[SocketAddr]>, Arc<io::Error>>;

type Ask = Box<dyn Fn(&str, Family) -> io::Result<Vec<SocketAddr>> + Send + Sync>;
type Question = (Arc<str>, Family);

struct Shared {
    /// Blocks.
    ask: Ask,
    room: Arc<Semaphore>,
    under_way: Mutex<HashMap<Question, watch::Receiver<Option<Answer>>>>,
}

/// A look-up on its thread.
struct Lookup {
    shared: Arc<Shared>,
    question: Question,
    answer: Option<Answer>,
    told: watch::Sender<Option<Answer>>,
    _room: OwnedSemaphorePermit,
}

impl Resolver {
    /// The system's (`getaddrinfo`, so hosts file and the like count), which says why it has no address.
    pub(crate) fn system() -> Self {
        Self::new(|host, family| {
            let family = match family {
                Family::Any => libc::AF_UNSPEC,
                Family::V4 => libc::AF_INET,
                Family::V6 => libc::AF_INET6,
            };
            crate::lookup::addresses(host, family)
        })
    }

    /// One of one's own, which may block.
    pub(crate) fn new(ask: impl Fn(&str, Family) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static) -> Self {
        let room = Arc::new(Semaphore::new(LOOKUPS_MAX));
        Self { shared: Arc::new(Shared { ask: Box::new(ask), room, under_way: Mutex::default() }) }
    }

    /// The addresses of a name, with port 0. To be called on a tokio runtime.
    ///
    /// # Cancel safety
    /// A look-up that nobody waits for any more ends on its thread, and its answer is dropped.
    pub(super) async fn resolve(&self, host: &Arc<str>, family: Family) -> Answer {
        let question = (Arc::clone(host), family);
        let under_way = self.shared.under_way().get(&question).cloned();
        let mut answer = match under_way {
            Some(answer) => answer,
            None => match Arc::clone(&self.shared.room).acquire_owned().await {
                Ok(room) => self.start(question, room),
                Err(closed) => return Err(Arc::new(io::Error::other(closed))),
            },
        };
        match answer.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(answer)) => answer.clone(),
            // The runtime went down before the look-up began.
            _ => Err(Arc::new(io::ErrorKind::Interrupted.into())),
        }
    }

    /// Starts a look-up, or joins the one that somebody else started while there was no room.
    fn start(&self, question: Question, room: OwnedSemaphorePermit) -> watch::Receiver<Option<Answer>> {
        let mut under_way = self.shared.under_way();
        if let Some(answer) = under_way.get(&question) {
            return answer.clone();
        }
        let (told, answer) = watch::channel(None);
        under_way.insert(question.clone(), answer.clone());
        drop(under_way);
        let lookup = Lookup { shared: Arc::clone(&self.shared), question, answer: None, told, _room: room };
        tokio::task::spawn_blocking(move || lookup.run());
        answer
    }
}

impl Shared {
    fn under_way(&self) -> MutexGuard<'_, HashMap<Question, watch::Receiver<Option<Answer>>>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lookup {
    fn run(mut self) {
        let (host, family) = &self.question;
        self.answer = Some((self.shared.ask)(host, *family).map(Arc::from).map_err(Arc::new));
    }
}

impl Drop for Lookup {
    /// Tells the answer when nobody can join any more, so that none gets an old one.
    fn drop(&mut self) {
        self.shared.under_way().remove(&self.question);
        self.told.send_replace(self.answer.take());
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").field("under_way", &self.shared.under_way().len()).finish_non_exhaustive()
    }
}
