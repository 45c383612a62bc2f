//! Whether a client left that nobody reads from: its end stands behind a body that its upstream does not take.

use super::{Downstream, Left};
use crate::sock_diag::Queues;
use rustc_hash::FxHashSet;
use std::num::NonZeroU64;
use std::sync::Arc;

/// Most clients that are looked at in one round.
const MOST: usize = 64;

/// Clients that were there when they were last looked at.
#[derive(Debug, Default)]
pub(super) struct Leavers {
    there: FxHashSet<NonZeroU64>,
}

impl Leavers {
    /// Looks at clients, and tells those that left.
    pub(super) fn look(&mut self, clients: &[Arc<Downstream>], queues: &Queues) {
        let mut there = FxHashSet::default();
        for client in clients.iter().filter(|client| client.may_leave_unseen()) {
            let known = self.there.contains(&client.number);
            if there.len() == MOST {
                there.extend(known.then_some(client.number));
                continue;
            }
            match end(client, queues) {
                Some(None) => _ = there.insert(client.number),
                Some(Some(left)) => client.left_unseen(left),
                None if known => client.left_unseen(Left::Reset),
                None => {}
            }
        }
        self.there = there;
    }
}

/// Whether there is a connection, and whether its client has ended it.
fn end(client: &Downstream, queues: &Queues) -> Option<Option<Left>> {
    // Where the client is on this machine its own end tells, whatever is still on the way.
    let orphaned = client.is_local() && queues.of(client.peer, client.local).is_some_and(|socket| socket.inode == 0);
    let own = queues.of(client.local, client.peer)?;
    Some((orphaned || own.ended).then_some(Left::Closed))
}
