//! Where a report is from.

use super::select::Selector;
use crate::cli::remote::{self, Agent, Part};
use crate::cli::{Failure, status};
use crate::export::report::read::read;
use crate::export::report::{Report, SCHEMA};
use crate::model::redact;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

/// An agent, a file or standard input.
#[derive(Debug)]
pub(super) enum Source {
    Agent(Agent),
    File(PathBuf),
    Stdin,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent(agent) => write!(f, "the agent at {}", agent.shown()),
            Self::File(path) => write!(f, "`{}`", path.display()),
            Self::Stdin => f.write_str("standard input"),
        }
    }
}

impl Source {
    /// What was named: a file where there is one of this name or it looks like one, else an agent.
    pub(super) fn of(named: Option<&str>) -> Result<Self, Failure> {
        if named == Some("-") {
            return Ok(Self::Stdin);
        }
        let Some(name) = named.filter(|name| !name.contains("://")) else {
            return remote::place(named).and_then(Agent::at).map(Self::Agent);
        };
        let path = PathBuf::from(name);
        if name.ends_with(".json") || name.starts_with(['/', '.']) || path.exists() {
            return Ok(Self::File(path));
        }
        let neither = |_| {
            Failure::usage(format!("`{}` is no address, and no file is there", redact::name(name)))
                .hint(format!("name a file that `run --json` wrote, or an agent: {}", remote::HINT))
        };
        remote::place(named).map_err(neither).and_then(Agent::at).map(Self::Agent)
    }

    /// The report, of one run alone where one is meant.
    pub(super) fn report(&self, run: Option<&Selector>) -> Result<Report, Failure> {
        let whole = match self {
            Self::Agent(agent) => return ask(agent, run, self),
            Self::File(path) => File::open(path).and_then(whole),
            Self::Stdin => whole(io::stdin().lock()),
        };
        let json = whole.map_err(|error| {
            let failure = Failure::new(status::FAILED, format!("cannot read {self}: {error}"));
            if error.kind() == io::ErrorKind::NotFound { failure.hint("`hopwatch run --json FILE` writes one") } else { failure }
        })?;
        let report: Report = read(&json).map_err(|error| {
            Failure::new(status::FAILED, format!("{self} is no report: {error}"))
                .hint(format!("it has to be the JSON of {SCHEMA}, as `hopwatch run --json FILE` and /api/report write it"))
        })?;
        match run {
            Some(run) => only(report, run, self),
            None => Ok(report),
        }
    }
}

fn whole(mut from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).map(|_| bytes)
}

fn ask(agent: &Agent, run: Option<&Selector>, source: &Source) -> Result<Report, Failure> {
    let failed = |error| Failure::new(status::FAILED, format!("cannot start: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    runtime.block_on(async {
        let Some(run) = run else { return agent.report(None).await.map_err(|error| error.failure()) };
        let runs = agent.report(Some(Part::Runs)).await.map_err(|error| error.failure())?;
        let id = run.find(&runs, source)?.id.clone();
        let report = agent.report(Some(Part::Run(&id))).await.map_err(|error| error.failure())?;
        only(report, &Selector::Named(id), source)
    })
}

/// The same with one run alone.
fn only(mut report: Report, run: &Selector, source: &Source) -> Result<Report, Failure> {
    let run = run.find(&report, source)?.clone();
    report.runs = vec![run];
    Ok(report)
}
