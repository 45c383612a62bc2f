//! A connection that bytes of a client are led through, by a tunnel that it asked for (RFC 9110, 9.3.6) or by a TCP route.

use super::pump::{Over, Socket, pump};
use super::reader::Reader;
use super::reset;
use crate::gateway::Shared;
use crate::gateway::connect::{ConnectError, Connected, Protocols, Steps, Stream};
use crate::gateway::downstream::Downstream;
use crate::gateway::options::InForce;
use crate::gateway::record::Line;
use crate::gateway::route::Destination;
use crate::model::Nanos;
use crate::wire::Direction;
use bytes::Bytes;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// How long a connection has to be at rest before it is ended to drain.
const REST: Nanos = 1_000_000_000;
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// A connection both ends of which are there.
#[derive(Debug)]
pub(crate) struct Tunnel {
    upstream: Connected,
    reader: Reader,
}

impl Tunnel {
    /// Connects to where a client asked to be led at `start`. What it waits for is recorded while it does.
    ///
    /// # Errors
    /// The upstream is not to be had.
    ///
    /// # Cancel safety
    /// Dropped midway, its client has left: so it is recorded, and nothing stays behind.
    pub(crate) async fn open(
        shared: &Arc<Shared>,
        settings: &InForce,
        downstream: &Arc<Downstream>,
        destination: Arc<Destination>,
        start: Nanos,
    ) -> Result<Self, Box<ConnectError>> {
        let steps = Arc::new(Steps::new(downstream.anchor));
        let line = Line::new(Arc::clone(downstream), Arc::clone(&destination), start, Arc::clone(&steps));
        let mut reader = Reader::new(shared, line);
        match Box::pin(settings.connector.connect(&destination.origin, Protocols::H1, &steps)).await {
            Ok(connected) => {
                reader.connected(&connected);
                downstream.leads();
                Ok(Self { upstream: connected, reader })
            }
            Err(error) => {
                reader.unconnected(&error);
                Err(error)
            }
        }
    }

    /// Of a connection that was read from, and written to, before.
    pub(crate) const fn of(upstream: Connected, reader: Reader) -> Self {
        Self { upstream, reader }
    }

    /// Its connection, and what is read of it.
    pub(crate) fn into_parts(self) -> (Connected, Reader) {
        (self.upstream, self.reader)
    }

    /// Its upstream's bytes.
    pub(crate) const fn upstream(&self) -> &Stream {
        &self.upstream.io
    }

    /// What is led through it.
    pub(crate) const fn line(&self) -> &Arc<Line> {
        self.reader.line()
    }

    /// Carries bytes until both sides have ended, or the gateway drains and nothing is under way. `early` was read of each already.
    pub(crate) async fn carry(self, mut client: impl Socket, early: [Bytes; 2]) {
        let Self { upstream: Connected { io: mut upstream, .. }, mut reader } = self;
        let line = Arc::clone(reader.line());
        let anchor = line.downstream.anchor;
        let over = tokio::select! {
            biased;
            over = pump(&mut client, &mut upstream, early, anchor, &mut reader) => over,
            () = drained(&line) => Over { by: Direction::Response, at: anchor.now(), errno: 0 },
        };
        reader.over(over);
        match over {
            Over { errno: 0, .. } => {}
            Over { by: Direction::Request, .. } => reset(&upstream),
            Over { by: Direction::Response, .. } => line.downstream.reset_at_end(),
        }
    }
}

/// It is to end, and nothing has been under way for a while.
async fn drained(line: &Line) {
    poll_fn(|cx| line.downstream.orders.poll(cx).map_or(Poll::Pending, |_| Poll::Ready(()))).await;
    loop {
        let now = line.downstream.anchor.now();
        if line.rests_since().is_some_and(|since| now.saturating_sub(since) >= REST) {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}
