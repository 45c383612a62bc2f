//! What others learn while the command runs: who asks at the admin address (`--metrics`), an agent that the run is handed to (`--agent`), and
//! who sits before the terminal (`--watch`).

use super::options::{AgentPlan, Plan};
use super::source::{self, Source};
use super::terminal::Terminal;
use super::view::View;
use crate::agent::address;
use crate::agent::admin::{Admin, AdminServer};
use crate::agent::assemble::{RunFacts, process_run};
use crate::agent::handoff::{HOPS_MAX, Handoff, Receiver};
use crate::agent::hub::{self, Hub, HubOptions};
use crate::attribution::judge;
use crate::cli::color::Color;
use crate::cli::{Failure, status, tell};
use crate::export::report::{OpenReport, Report};
use crate::model::clock::Anchor;
use crate::model::{Losses, Run, Span};
use crate::observe::Observed;
use rustc_hash::FxHashSet;
use std::ffi::OsString;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Where the admin address is, for code in the command that wants to know.
const ENV_ADMIN: &str = "HOPWATCH_ADMIN";
/// How often an agent is told.
const NEWS: Duration = Duration::from_secs(1);
/// Most hops that are remembered while the command runs; the report at its end has them all.
const HOPS: usize = 100_000;
/// Most hops that are told at once.
const AT_ONCE: usize = 5_000;

/// Those who look on while the command runs.
#[derive(Debug)]
pub(super) struct Onlookers {
    admin: Option<(Arc<Admin>, AdminServer)>,
    news: Option<News>,
    view: Option<View>,
}

/// What was seen so far.
#[derive(Debug)]
struct SoFar {
    hub: Arc<Hub>,
    view: source::View,
    facts: RunFacts,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    ended: Vec<Span>,
    open: Vec<Span>,
    /// How many of them the agent was told.
    told: usize,
}

/// Tells an agent from a thread of its own.
#[derive(Debug)]
struct News {
    so_far: Arc<SoFar>,
    receiver: Receiver,
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Onlookers {
    /// Begins to tell whoever the plan names; nobody where it names none.
    pub(super) fn start(plan: &Plan, source: &Source, anchor: Anchor) -> Result<Self, Failure> {
        let receiver = plan.agent.and_then(|agent| receiver(agent, source.run_id()));
        let terminal = plan.watch.and_then(|color| terminal(color, plan.quiet));
        let mut live = Self { admin: None, news: None, view: None };
        let is_told = plan.metrics.is_some() || receiver.is_some() || terminal.is_some();
        let Some(view) = source.view().filter(|_| is_told) else { return Ok(live) };
        let asked = view.clone();
        let hub = Hub::new(HubOptions {
            anchor,
            source: plan.source,
            ask: Box::new(move || asked.look()),
            take: None,
            loose: false,
            connections: None,
            exporter: None,
            keep_runs: 1,
            keep_for: Duration::MAX,
            silence: hub::SILENCE,
        });
        let hub = Arc::new(hub.map_err(|error| Failure::of(status::FAILED, &error))?);
        hub.keep_fresh();
        let deadline = plan.deadline.map(crate::model::clock::nanos);
        let (name, start) = (plan.name.as_str().into(), anchor.now());
        let facts = RunFacts { name, start, end: None, seen_until: start, deadline, exit: None };
        let so_far = Arc::new(SoFar { hub, view, facts, seen: Mutex::default() });
        if let Some(address) = plan.metrics {
            live.admin = Some(serve(address, &so_far)?);
        }
        let no_thread = |error| Failure::new(status::FAILED, format!("no thread: {error}"));
        if let Some(terminal) = terminal {
            let shown = Arc::clone(&so_far);
            live.view = Some(View::start(terminal, move || shown.report()).map_err(no_thread)?);
        }
        if let Some(receiver) = receiver {
            live.news = Some(News::start(so_far, receiver).map_err(no_thread)?);
        }
        Ok(live)
    }

    /// Who shows it on the terminal.
    pub(super) const fn view(&self) -> Option<&View> {
        self.view.as_ref()
    }

    /// The command ended: the terminal is as it was before.
    pub(super) fn end_view(&mut self) {
        self.view = None;
    }

    /// What the command is told of it.
    pub(super) fn environment(&self) -> Option<(OsString, OsString)> {
        let (_, server) = self.admin.as_ref()?;
        Some((ENV_ADMIN.into(), format!("http://{}", server.address()).into()))
    }

    /// The run is over: the agent is told the rest of it.
    pub(super) fn finish(self, run: &Run, losses: &Losses, exported: bool) {
        drop(self.admin);
        if let Some(news) = self.news {
            news.finish(run, losses, exported);
        }
    }
}

/// The agent that the run is handed to, if it answers.
fn receiver(AgentPlan { address, if_any }: AgentPlan, run_id: &str) -> Option<Receiver> {
    match Receiver::find(address, run_id) {
        Ok(receiver) => Some(receiver),
        Err(_) if if_any => None,
        Err(error) => {
            tell(&format!("hopwatch: no agent at {address}: {error}; the run goes on without\n"));
            None
        }
    }
}

/// The terminal that the run is shown on, if there is one.
fn terminal(color: Color, quiet: bool) -> Option<Terminal> {
    let terminal = Terminal::open(color);
    if terminal.is_none() && !quiet {
        tell("hopwatch: there is no terminal to show the run on; it goes on without\n");
    }
    terminal
}

fn serve(address: SocketAddr, so_far: &Arc<SoFar>) -> Result<(Arc<Admin>, AdminServer), Failure> {
    let making = Arc::clone(so_far);
    let admin = Admin::new(
        Arc::clone(&so_far.hub),
        Some(Box::new(move || {
            let run = making.run();
            let judgement = judge(&run, &making.hub.losses());
            Some((run, judgement))
        })),
    );
    let refuse = |error: io::Error| refused(address, &error);
    let server = TcpListener::bind(address).and_then(|listener| admin.serve(listener, false)).map_err(refuse)?;
    if address.port() == 0 {
        tell(&format!("hopwatch: metrics at http://{}/metrics\n", server.address()));
    }
    admin.set_ready(true);
    Ok((admin, server))
}

impl SoFar {
    /// Takes what is new.
    fn look(&self) -> MutexGuard<'_, Seen> {
        self.hub.look();
        let (mut ended, open) = self.hub.take_fresh();
        let mut seen = self.seen();
        ended.truncate(HOPS.saturating_sub(seen.ended.len()));
        seen.ended.append(&mut ended);
        seen.open = open;
        seen
    }

    /// The report of the run as it is now, and its open calls.
    fn report(&self) -> (Report, OpenReport) {
        let run = self.run();
        let judgement = judge(&run, &self.hub.losses());
        (self.hub.report(Some((&run, &judgement))), self.hub.open())
    }

    /// The run as it is now.
    fn run(&self) -> Run {
        let spans: Vec<Span> = {
            let seen = self.look();
            seen.ended.iter().chain(&seen.open).cloned().collect()
        };
        let observed = Observed { spans: self.view.stitched(spans), ..Observed::default() };
        process_run(observed, RunFacts { seen_until: self.hub.now(), ..self.facts.clone() })
    }

    /// Tells an agent what is new to it. What it does not take now is told later.
    fn tell(&self, receiver: &Receiver) {
        let seen = self.look();
        let last = seen.ended.len().min(seen.told + AT_ONCE);
        let (before, ended, open) = (seen.told, seen.ended[seen.told..last].to_vec(), seen.open.clone());
        drop(seen);
        let news = self.news(before, ended);
        if receiver.tell(&Handoff { open, losses: self.hub.losses(), ..news }).is_ok() {
            self.seen().told = last;
        }
    }

    /// Tells an agent the rest, and the run as a whole.
    fn tell_end(&self, receiver: &Receiver, run: &Run, losses: &Losses, exported: bool) -> io::Result<()> {
        let (mut before, mut rest) = {
            let seen = self.seen();
            let known: FxHashSet<_> = seen.ended.iter().map(|span| span.id).collect();
            let is_new = |span: &&Span| span.is_hop() && !span.is_open() && !known.contains(&span.id);
            // First what it may have taken without a word that reached here.
            let untold = seen.ended[seen.told..].iter();
            (seen.told, untold.chain(run.spans.iter().filter(is_new)).cloned().collect::<Vec<_>>())
        };
        while rest.len() > AT_ONCE {
            let ended: Vec<Span> = rest.drain(..AT_ONCE).collect();
            let told = ended.len();
            receiver.tell(&Handoff { losses: losses.clone(), ..self.news(before, ended) })?;
            before += told;
        }
        let mut whole = run.clone();
        if whole.spans.len() > HOPS_MAX {
            // The root and the last of many: what a run is judged by is mostly near its end.
            let from = whole.spans.len() - HOPS_MAX;
            whole.spans.drain(1..=from);
        }
        whole.connections.truncate(HOPS_MAX);
        whole.stalls.truncate(HOPS_MAX);
        whole.contexts.truncate(HOPS_MAX);
        receiver.tell(&Handoff { losses: losses.clone(), whole: Some(whole), exported, ..self.news(before, rest) })
    }

    fn news(&self, before: usize, ended: Vec<Span>) -> Handoff {
        let RunFacts { start: started, deadline, .. } = self.facts;
        Handoff { started, deadline, before: before as u64, ended, ..Handoff::new(self.facts.name.clone()) }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl News {
    fn start(so_far: Arc<SoFar>, receiver: Receiver) -> io::Result<Self> {
        let (stop, stopped) = channel::<()>();
        let (told, to) = (Arc::clone(&so_far), receiver.clone());
        let thread = std::thread::Builder::new().name("hopwatch-news".into()).spawn(move || {
            while stopped.recv_timeout(NEWS) == Err(RecvTimeoutError::Timeout) {
                told.tell(&to);
            }
        })?;
        Ok(Self { so_far, receiver, stop, thread })
    }

    fn finish(self, run: &Run, losses: &Losses, exported: bool) {
        drop(self.stop);
        // Its panic is its own.
        drop(self.thread.join());
        if let Err(error) = self.so_far.tell_end(&self.receiver, run, losses, exported) {
            tell(&format!("hopwatch: the run was not handed over to the agent at {}: {error}\n", self.receiver.address()));
        }
    }
}

fn refused(address: SocketAddr, error: &io::Error) -> Failure {
    let failure = Failure::new(status::FAILED, format!("cannot serve metrics at {address}: {error}"));
    match address::hint(error) {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
