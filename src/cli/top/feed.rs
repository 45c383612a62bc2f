//! Asks the agent again and again, beside the screen.

use super::data::Detail;
use crate::cli::remote::{Agent, AskError, Part};
use crate::export::report::{OpenReport, Report};
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::time::Duration;

/// What the agent told, or why it did not.
#[derive(Debug)]
pub(super) enum News {
    Told(Box<Told>),
    Away(String),
}

/// What it told.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) report: Report,
    pub(super) open: OpenReport,
    /// The run that was asked for, where it is there.
    pub(super) detail: Option<Detail>,
}

/// The one who asks, on a thread of its own.
#[derive(Debug)]
pub(super) struct Feed {
    pub(super) news: Receiver<News>,
    wanted: Sender<Option<String>>,
}

impl Feed {
    /// Begins to ask, every `interval`.
    pub(super) fn start(agent: Agent, interval: Duration) -> io::Result<Self> {
        let (tell, news) = sync_channel(1);
        let (wanted, wishes) = channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("hopwatch-feed".into()).spawn(move || {
            ask(&runtime, &agent, interval, &wishes, &tell);
        })?;
        Ok(Self { news, wanted })
    }

    /// Asks at once, and from here on for this run too.
    pub(super) fn want(&self, run: Option<&str>) {
        // Its thread ends with this.
        let _heard = self.wanted.send(run.map(str::to_owned));
    }
}

fn ask(
    runtime: &tokio::runtime::Runtime,
    agent: &Agent,
    interval: Duration,
    wishes: &Receiver<Option<String>>,
    tell: &SyncSender<News>,
) {
    let mut run = None;
    loop {
        let told = runtime.block_on(once(agent, run.as_deref()));
        let news = told.map_or_else(|error| News::Away(error.to_string()), |told| News::Told(Box::new(told)));
        // While nobody takes it, nothing is asked.
        if tell.send(news).is_err() {
            return;
        }
        match wishes.recv_timeout(interval) {
            Ok(wish) => run = wishes.try_iter().last().unwrap_or(wish),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// What the agent tells now.
pub(super) async fn once(agent: &Agent, run: Option<&str>) -> Result<Told, AskError> {
    let report = agent.report(Some(Part::Runs)).await?;
    let open = agent.open().await?;
    let detail = match run.filter(|id| report.runs.iter().any(|run| run.id == **id)) {
        // A run may be kept no longer.
        Some(id) => agent.report(Some(Part::Run(id))).await.ok(),
        None => None,
    };
    let detail = detail.and_then(|one| one.runs.into_iter().find(|one| Some(&*one.id) == run)).map(Detail::of);
    Ok(Told { report, open, detail })
}
