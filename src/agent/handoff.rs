//! A run hands its records to an agent, so that a fleet of short processes has one place: `PUT /api/runs/ID` with a [`Handoff`] as JSON,
//! every second while it goes on and once when it ended.
//!
//! Both are of one version: a body of another one is refused, and the run goes on without an agent.

use super::hub::{Hub, SourceId};
use crate::export::serve::HANDOVER;
use crate::model::{Live, Losses, Name, Nanos, Run, Span};
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

/// What a run tells an agent.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Handoff {
    /// Name and version of this shape.
    pub schema: String,
    /// Version of hopwatch.
    pub hopwatch: String,
    /// What the run is called.
    pub run: Name,
    /// Hops that ended since it told last.
    pub ended: Vec<Span>,
    /// Hops that are open.
    pub open: Vec<Span>,
    /// What it counted so far.
    pub losses: Losses,
    /// When.
    pub now: Nanos,
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
    if told.schema != SCHEMA {
        return Err(format!("it is of another version; this one takes {SCHEMA}"));
    }
    let Handoff { run, ended, open, losses, now, whole, exported, .. } = told;
    let source = SourceId::Run(id.to_owned());
    hub.tell(&source, Some(&run), Live { ended, open, losses: losses.clone(), now }, false);
    if let Some(whole) = whole {
        hub.ended(&source, whole, &losses, exported);
    }
    Ok(())
}

impl Receiver {
    /// The agent at this admin address, for the run of this id; it answers.
    ///
    /// # Errors
    /// Nobody answers there, or somebody else does.
    pub fn find(address: SocketAddr, id: &str) -> io::Result<Self> {
        let receiver = Self { address, id: id.to_owned() };
        let answer = receiver.exchange("GET", "/healthz", b"")?;
        if answer.starts_with("HTTP/1.1 200") { Ok(receiver) } else { Err(io::Error::other("no agent answers there")) }
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
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: {address}\r\n{HANDOVER}: 1\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
        )?;
        stream.write_all(body)?;
        let mut answer = String::new();
        stream.take(4096).read_to_string(&mut answer)?;
        Ok(answer)
    }
}
