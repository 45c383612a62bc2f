//! A run hands its records to an agent, so that a fleet of short processes has one place: `PUT /api/runs/ID` with a [`Handoff`] as JSON,
//! every second while it goes on and once when it ended.
//!
//! Both are of one version: a body of another one is refused, and the run goes on without an agent. What is told twice, since an answer was
//! lost on its way, is counted once: each word says how many hops were told before it.

use super::hub::{Handed, Hub};
use crate::export::serve::{HANDOVER, SERVER_THAT_TAKES};
use crate::model::{Losses, Name, Nanos, Run, Span};
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Path of runs; an id follows.
pub const PATH: &str = "/api/runs/";
/// Name and version of the shape of [`Handoff`].
const SCHEMA: &str = "hopwatch.handoff/1";
/// Longest id of a run.
const ID_MAX: usize = 64;
/// How long an agent may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Most bytes of its answer that are read.
const ANSWER_MAX: u64 = 4096;
/// Most hops of one word, and most of a run as a whole.
pub const HOPS_MAX: usize = 20_000;

/// What a run tells an agent.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Handoff {
    /// Name and version of this shape.
    pub schema: String,
    /// Version of hopwatch.
    pub hopwatch: String,
    /// What the run is called.
    pub run: Name,
    /// When it began; 0 = not told.
    pub started: Nanos,
    /// How long it may take.
    pub deadline: Option<Nanos>,
    /// How many hops that ended it told before.
    pub before: u64,
    /// Those that ended since.
    pub ended: Vec<Span>,
    /// Hops that are open.
    pub open: Vec<Span>,
    /// What it counted so far.
    pub losses: Losses,
    /// The run as a whole, once it ended.
    pub whole: Option<Run>,
    /// Its spans went to a collector already.
    pub exported: bool,
}

/// An agent that takes runs.
#[derive(Clone, Debug)]
pub struct Receiver {
    address: SocketAddr,
    id: String,
}

impl Handoff {
    /// News of a run, of this version.
    #[must_use]
    pub fn new(run: Name) -> Self {
        Self { schema: SCHEMA.to_owned(), hopwatch: env!("CARGO_PKG_VERSION").to_owned(), run, ..Self::default() }
    }
}

/// Takes what a run tells.
///
/// # Errors
/// Says why it is not taken.
pub fn take(hub: &Hub, id: &str, body: &[u8]) -> Result<(), String> {
    let is_id = !id.is_empty() && id.len() <= ID_MAX && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if !is_id {
        return Err("a run's id is letters, digits and hyphens".to_owned());
    }
    let told: Handoff = serde_json::from_slice(body).map_err(|error| format!("it cannot be read: {error}"))?;
    let Handoff { schema, run, started, deadline, before, ended, open, losses, whole, exported, .. } = told;
    if schema != SCHEMA {
        return Err(format!("it is of another version; this one takes {SCHEMA}"));
    }
    let whole_len = whole.as_ref().map_or(0, |whole| whole.spans.len());
    if [ended.len(), open.len(), whole_len].into_iter().any(|len| len > HOPS_MAX + 1) {
        return Err(format!("it tells more than {HOPS_MAX} hops at once"));
    }
    let losses = losses.balanced();
    let handed = Handed { name: run, started, deadline, before, ended, open, losses, whole, exported };
    hub.hand_over(id, handed).map_err(|unheard| unheard.to_string())
}

impl Receiver {
    /// The agent at this admin address, for the run of this id; it answers.
    ///
    /// # Errors
    /// Nobody answers there, or somebody else does.
    pub fn find(address: SocketAddr, id: &str) -> io::Result<Self> {
        let receiver = Self { address, id: id.to_owned() };
        let answer = receiver.exchange("GET", "/healthz", b"")?;
        let is_agent = answer.starts_with("HTTP/1.1 200") && answer.contains(&format!("\r\nserver: {SERVER_THAT_TAKES}\r\n"));
        if is_agent { Ok(receiver) } else { Err(io::Error::other("what answers there is no agent of this version")) }
    }

    /// Where it is.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Tells it news.
    ///
    /// # Errors
    /// It did not take them.
    pub fn tell(&self, news: &Handoff) -> io::Result<()> {
        let body = serde_json::to_vec(news)?;
        let answer = self.exchange("PUT", &format!("{PATH}{}", self.id), &body)?;
        if answer.starts_with("HTTP/1.1 200") {
            return Ok(());
        }
        let reason = answer.rsplit("\r\n\r\n").next().unwrap_or_default().trim().to_owned();
        Err(io::Error::other(if reason.is_empty() { "the agent did not take it".to_owned() } else { reason }))
    }

    fn exchange(&self, method: &str, path: &str, body: &[u8]) -> io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let (address, length) = (self.address, body.len());
        // In one piece: what is written bit by bit goes out so.
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {address}\r\n{HANDOVER}: 1\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(&[head.as_bytes(), body].concat())?;
        let mut answer = String::new();
        stream.take(ANSWER_MAX).read_to_string(&mut answer)?;
        Ok(answer)
    }
}

#[cfg(test)]
mod tests;
