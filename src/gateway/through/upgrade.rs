//! A request that made another protocol of its connection (RFC 9110, 7.8): WebSocket (RFC 6455) and others. Its hop lasts until both sides
//! have closed.

use super::pump::{Over, Passing, Socket, pump};
use super::reset;
use crate::gateway::connect::Stream;
use crate::gateway::download::Recorded;
use crate::gateway::upstream::Lease;
use crate::hops::{How, Judged};
use crate::model::{FailedBy, Nanos, Outcome};
use crate::wire::Direction;
use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

/// Both ends agreed: what is needed to go on.
#[derive(Debug)]
pub(crate) struct Upgrade {
    upstream: Stream,
    /// What was read of the upstream already.
    early: Bytes,
    recorded: Recorded,
    _room: OwnedSemaphorePermit,
}

impl Upgrade {
    /// Of the connection that the upstream agreed on; `None` = it is not to be had.
    pub(crate) fn new(lease: Lease, recorded: Recorded) -> Option<Self> {
        let (upstream, early, _room) = lease.into_stream()?;
        recorded.exchange.state().upgrade(early.len());
        recorded.exchange.downstream.leads();
        Some(Self { upstream, early, recorded, _room })
    }

    pub(super) async fn carry(self, mut client: impl Socket, early: Bytes) {
        let Self { mut upstream, early: answered, mut recorded, _room } = self;
        let anchor = recorded.exchange.downstream.anchor;
        let over = pump(&mut client, &mut upstream, [early, answered], anchor, &mut recorded).await;
        recorded.over(over);
        match over {
            Over { errno: 0, .. } => {}
            Over { by: Direction::Request, .. } => reset(&upstream),
            Over { by: Direction::Response, .. } => recorded.exchange.downstream.reset_at_end(),
        }
    }
}

impl Recorded {
    /// The upgraded connection ended: in order, whoever was first to close, or one of them broke.
    fn over(&mut self, Over { by, at, errno }: Over) {
        let last = self.exchange.state().current.moved().last();
        match (by, errno) {
            (_, 0) => self.end(How::Complete, last.map_or(at, |last| last.max(at))),
            (Direction::Response, errno) => self.end(How::PeerClosed(errno), at),
            (Direction::Request, errno) => {
                let still = last.map(|last| at.saturating_sub(last));
                let left = Judged::plain(Outcome::Reset, Some(FailedBy::Caller));
                self.judged(Judged { errno: Some(errno), gave_up_after: still, ..left }, at);
            }
        }
    }
}

impl Passing for Recorded {
    fn passed(&mut self, direction: Direction, at: Nanos, bytes: &[u8]) {
        self.exchange.state().passed(direction, at, bytes.len() as u64);
    }

    fn ended(&mut self, _direction: Direction, _at: Nanos) {}
}
