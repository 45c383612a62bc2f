//! What goes on, on a terminal, for those who wait.

use super::progress::Progress;
use super::target::Target;
use crate::cli::tell;
use crate::export::report::doing;
use std::io::IsTerminal;
use std::pin::pin;
use std::time::Duration;
use tokio::time::{Interval, MissedTickBehavior};

/// How often it is told. What is over sooner needs no telling.
const EVERY: Duration = Duration::from_millis(500);
/// Back to the beginning of the line, and nothing on it.
const EMPTY_LINE: &str = "\r\u{1b}[K";

/// One line of standard error, where that is a terminal.
#[derive(Debug)]
pub(super) struct Meter {
    tries: u32,
    ticks: Option<Interval>,
    shown: bool,
}

impl Meter {
    /// Of so many tries an endpoint. On a tokio runtime.
    pub(super) fn new(tries: u32) -> Self {
        let ticks = std::io::stderr().is_terminal().then(|| {
            let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + EVERY, EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        });
        Self { tries, ticks, shown: false }
    }

    /// Tells where a try is while it goes on.
    pub(super) async fn beside<T>(
        &mut self,
        attempt: impl Future<Output = T>,
        target: &Target,
        number: u32,
        progress: &Progress,
    ) -> T {
        let mut attempt = pin!(attempt);
        let Some(ticks) = &mut self.ticks else { return attempt.await };
        loop {
            tokio::select! {
                biased;
                over = &mut attempt => return over,
                _ = ticks.tick() => {
                    self.shown = true;
                    let Self { tries, .. } = *self;
                    tell(&format!("{EMPTY_LINE}{}: try {number} of {tries}, {}", target.url, doing(progress.phase())));
                }
            }
        }
    }

    /// Takes the line away.
    pub(super) fn clear(&self) {
        if self.shown {
            tell(EMPTY_LINE);
        }
    }
}
