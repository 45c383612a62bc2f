//! The sending side: batches out of the queue, tried until they are taken, refused for good or given up.

use super::batch::Envelope;
use super::queue::{Next, Queue};
use super::retry::Backoff;
use super::transport::{Answer, Transport};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Sends what the queue holds, until it ends. One request at a time: the collector sets the pace.
pub(super) async fn spans(queue: Arc<Queue>, transport: Transport, envelope: Envelope) {
    loop {
        match queue.next() {
            Next::Send(batch) => deliver(&queue, &transport, envelope.request(&batch)).await,
            Next::Wait(None) => queue.woken().await,
            Next::Wait(Some(due)) => {
                tokio::select! {
                    () = queue.woken() => {}
                    () = tokio::time::sleep_until(due.into()) => {}
                }
            }
            Next::End => break,
        }
    }
    queue.finish();
}

async fn deliver(queue: &Queue, transport: &Transport, body: Bytes) {
    let mut backoff = Backoff::new();
    loop {
        let asked = match transport.send(body.clone()).await {
            Answer::Taken { rejected, why } => return queue.taken(rejected, why),
            Answer::Refused { why } => return queue.rejected(why),
            Answer::Later { after, why } => {
                queue.kept(why);
                after
            }
        };
        let pause = backoff.pause(asked);
        tokio::select! {
            () = tokio::time::sleep(pause.time) => {}
            () = queue.urged(), if !pause.asked => backoff = Backoff::new(),
        }
    }
}

/// A request with metrics, and who waits for what became of it.
#[derive(Debug)]
pub(super) struct MetricsRequest {
    pub(super) body: Bytes,
    pub(super) done: oneshot::Sender<Result<(), String>>,
}

/// Sends requests with metrics until nobody makes more. A request is tried for `patience`: the next one has newer sums.
pub(super) async fn metrics(mut requests: mpsc::Receiver<MetricsRequest>, transport: Transport, patience: Duration) {
    while let Some(MetricsRequest { body, done }) = requests.recv().await {
        let mut last = None;
        let tried = tokio::time::timeout(patience, try_metrics(&transport, body, &mut last)).await;
        let outcome = tried.unwrap_or_else(|_| Err(last.unwrap_or_else(|| "no answer in time".to_owned())));
        // Nobody may be left to hear it.
        let _unheard = done.send(outcome);
    }
}

async fn try_metrics(transport: &Transport, body: Bytes, last: &mut Option<String>) -> Result<(), String> {
    let mut backoff = Backoff::new();
    loop {
        match transport.send(body.clone()).await {
            Answer::Taken { rejected: 0, .. } => return Ok(()),
            Answer::Taken { rejected, why } => return Err(format!("{rejected} points were rejected: {why}")),
            Answer::Refused { why } => return Err(why),
            Answer::Later { after, why } => {
                *last = Some(why);
                tokio::time::sleep(backoff.pause(after).time).await;
            }
        }
    }
}
