//! Hops that wait at a gate: the wait is the first phase of the hop's own time.

use super::Gate;
use crate::instrument::ending::Ending;
use crate::instrument::failure;
use crate::instrument::hop::Hop;
use std::future::Future;

/// A hop each of whose calls waits at a gate first. Made by [`Hop::gated`].
#[derive(Clone, Debug)]
pub struct GatedHop {
    hop: Hop,
    gate: Gate,
}

impl Hop {
    /// The same dependency behind a gate: each call begins with the wait for a permit, told as its phase `gate`, and holds the permit
    /// to its end.
    #[must_use]
    pub fn gated(&self, gate: &Gate) -> GatedHop {
        GatedHop { hop: self.clone(), gate: gate.clone() }
    }
}

impl GatedHop {
    /// Waits at the gate, then times a future; see [`Hop::time`].
    ///
    /// # Cancel safety
    /// That of the future; while it waits, its place in the queue is lost.
    pub async fn time<F: Future>(&self, future: F) -> F::Output {
        self.classify(future, |_| Ending::ok()).await
    }

    /// Waits at the gate, then times a future of a `Result`; see [`Hop::try_time`].
    ///
    /// # Cancel safety
    /// As [`time`](Self::time).
    pub async fn try_time<T, E: 'static>(&self, future: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        self.classify(future, failure::of_result).await
    }

    /// Waits at the gate, then times a future whose ending you tell; see [`Hop::classify`].
    ///
    /// # Cancel safety
    /// As [`time`](Self::time).
    pub async fn classify<F: Future>(&self, future: F, classify: impl FnOnce(&F::Output) -> Ending) -> F::Output {
        let work = async {
            let mut told = None;
            let output = self.gate.classify(future, |output| told.insert(classify(output)).clone()).await;
            (output, told.unwrap_or_else(Ending::ok))
        };
        self.hop.classify(work, |(_, ending)| ending.clone()).await.0
    }
}
