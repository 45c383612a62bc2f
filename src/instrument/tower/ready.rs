//! The wait for a service to be ready, carried to the call that it was for.

use super::classify::Classify;
use crate::instrument::context::Context;
use crate::instrument::hop::{Hop, OpenHop};
use crate::model::Phase;
use std::task::Poll;

/// A hop that began because its service was not ready. Never cloned with its service: the wait was for one call.
#[derive(Debug, Default)]
pub(super) struct Readiness(Option<Waiting>);

#[derive(Debug)]
struct Waiting {
    open: OpenHop,
    /// Who waits.
    around: Context,
}

impl Waiting {
    fn is_of_current(&self) -> bool {
        Context::with_current(|current| current.is_same(&self.around))
    }
}

impl Readiness {
    /// Polls for readiness. A service that is not ready at once begins the hop, in `pool`; one that failed ends it.
    pub(super) fn poll<R, E>(
        &mut self,
        hop: &Hop,
        classify: &impl Classify<R, E>,
        poll: impl FnOnce() -> Poll<Result<(), E>>,
    ) -> Poll<Result<(), E>> {
        if self.0.as_ref().is_some_and(|waiting| !waiting.is_of_current()) {
            // Whoever waited gave up, and somebody else waits now.
            self.0 = None;
        }
        let polled = match &mut self.0 {
            Some(waiting) => waiting.open.poll_in(poll),
            None => poll(),
        };
        match polled {
            Poll::Pending => {
                match &mut self.0 {
                    Some(waiting) => waiting.open.phase(Phase::Pool),
                    None => self.0 = Some(Waiting { open: hop.start_in(Phase::Pool), around: Context::current() }),
                }
                Poll::Pending
            }
            Poll::Ready(Ok(())) => {
                if let Some(waiting) = &mut self.0 {
                    waiting.open.phase(Phase::Own);
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => {
                let open = self.0.take().map_or_else(|| hop.start_in(Phase::Pool), |waiting| waiting.open);
                let result = Err(error);
                open.end(classify.classify(&result));
                Poll::Ready(result.map(drop))
            }
        }
    }

    /// The hop of a call that is made now: the one that waited for it, or a fresh one.
    pub(super) fn call(&mut self, hop: &Hop) -> OpenHop {
        let Some(waiting) = self.0.take() else { return hop.start() };
        let mut open = if waiting.is_of_current() { waiting.open } else { waiting.open.moved_here(hop) };
        open.phase(Phase::Wait);
        open
    }
}
