//! A client of a TCP route.

use super::tunnel::Tunnel;
use crate::gateway::Shared;
use crate::gateway::downstream::{Downstream, DownstreamIo};
use crate::gateway::route::Destination;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// How often a client is looked at that has said something while its upstream is connected to.
const LOOK: Duration = Duration::from_millis(20);

/// Leads a client to its upstream. Where that is not to be had, the client's connection is reset.
pub(crate) async fn lead(shared: Arc<Shared>, downstream: Arc<Downstream>, destination: Arc<Destination>, stream: TcpStream) {
    let client = DownstreamIo::new(stream, Arc::clone(&downstream));
    let settings = shared.settings();
    if !settings.admits(downstream.peer.ip()) {
        downstream.reset_at_end();
        return;
    }
    let opening = Tunnel::open(&shared, &settings, &downstream, Arc::clone(&destination), downstream.opened);
    let opened = tokio::select! {
        biased;
        opened = opening => opened,
        () = gone(&downstream, client.tcp()) => return,
    };
    match opened {
        Ok(tunnel) => tunnel.carry(client, [Bytes::new(), Bytes::new()]).await,
        Err(_) => downstream.reset_at_end(),
    }
}

/// Waits until a client has left. One that says something first may do so without another sign than that its process has closed it.
pub(crate) async fn gone(downstream: &Downstream, stream: &TcpStream) {
    loop {
        let Ok(ready) = stream.ready(Interest::READABLE | Interest::ERROR).await else { return };
        let said_something = stream.peek(&mut [0]).await.is_ok_and(|count| count > 0);
        // One on another machine that has closed a half is taken for gone.
        let has_closed = || !downstream.is_local() || downstream.is_abandoned();
        if !said_something || ready.is_error() || (ready.is_read_closed() && has_closed()) {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}
