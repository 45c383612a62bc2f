//! Who looks at the gateway all the time.

use hopwatch::gateway::GatewayView;
use hopwatch::model::{FailedBy, Outcome, Phase, Span};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Looks until it is over.
pub(crate) struct Watch {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Watched>,
}

/// What it saw.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    pub(crate) looks: u64,
    /// Hops that ended.
    pub(crate) ended: u64,
    /// Attempts of these.
    pub(crate) attempts: u64,
    /// The most that were open at one look.
    pub(crate) most_open: usize,
    /// How they ended.
    pub(crate) outcomes: BTreeMap<(Option<Outcome>, Option<FailedBy>), u64>,
}

impl Watch {
    pub(crate) fn start(view: GatewayView) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let over = Arc::clone(&over);
            move || {
                let mut watched = Watched::default();
                loop {
                    // Before the look, so that the last one sees all.
                    let is_last = over.load(Ordering::SeqCst);
                    watched.look(&view);
                    if is_last {
                        return watched;
                    }
                    thread::sleep(Duration::from_millis(1));
                }
            }
        });
        Self { over, thread }
    }

    pub(crate) fn is_well(&self) -> bool {
        !self.thread.is_finished()
    }

    pub(crate) fn finish(self) -> Watched {
        self.over.store(true, Ordering::SeqCst);
        self.thread.join().unwrap()
    }
}

impl Watched {
    fn look(&mut self, view: &GatewayView) {
        let live = view.look();
        for losses in [view.losses(), live.losses] {
            assert_eq!(losses.started, losses.recorded + losses.open + losses.dropped.values().sum::<u64>(), "{losses:?}");
            assert!(losses.dropped.is_empty(), "{losses:?}");
        }
        for span in live.open.iter().chain(&live.ended) {
            tiles(span);
        }
        self.looks += 1;
        self.most_open = self.most_open.max(live.open.len());
        for span in &live.ended {
            let call = span.call.as_ref().unwrap();
            assert!(!span.is_open() && call.outcome.is_some(), "{span:#?}");
            self.ended += 1;
            self.attempts += call.attempts.len() as u64;
            *self.outcomes.entry((call.outcome, call.failed_by)).or_default() += 1;
        }
    }
}

/// The phases of a hop tile its time.
fn tiles(span: &Span) {
    let timeline = &span.call.as_ref().unwrap().timeline;
    let parts: u64 = Phase::ALL.iter().filter_map(|&phase| timeline.total(phase)).sum();
    assert_eq!((timeline.start(), parts), (span.start, timeline.duration()), "{span:#?}");
    assert!(span.end.is_none_or(|end| end == timeline.end()), "{span:#?}");
}
