use super::*;
use crate::instrument::recorder::Recorder;
use crate::model::{Call, FailedBy, Kind, Outcome};
use std::io;
use std::sync::Arc;
use std::time::Duration;

const MS: u64 = 1_000_000;

fn setup() -> (Arc<Recorder>, Hop) {
    let recorder = Arc::new(Recorder::new("test"));
    let hop = Hop::new(Arc::clone(&recorder), Kind::Retrieval, "postgres", "orders");
    (recorder, hop)
}

async fn ms(time: u64) {
    tokio::time::sleep(Duration::from_millis(time)).await;
}

fn one(recorder: &Arc<Recorder>) -> Call {
    let mut calls = Vec::new();
    recorder.drain(&mut Vec::new(), &mut |record, _| calls.extend(recorder.span(record, 0).call));
    let losses = recorder.losses();
    assert_eq!((losses.started, losses.recorded, losses.open), (1, 1, 0));
    *calls.remove(0)
}

fn phases(call: &Call) -> Vec<(Phase, u64)> {
    call.timeline.stretches().map(|part| (part.phase, (part.end - part.start) / MS)).collect()
}

/// As pools have it: no source behind it.
#[derive(Debug, thiserror::Error)]
enum PoolError {
    #[error("pool timed out while waiting for an open connection")]
    TimedOut,
    #[error("backend")]
    Backend(#[from] io::Error),
}

/// A pool of as many connections as the semaphore has permits, that waits for so long.
async fn get(pool: &tokio::sync::Semaphore, wait: u64) -> Result<tokio::sync::SemaphorePermit<'_>, PoolError> {
    match tokio::time::timeout(Duration::from_millis(wait), pool.acquire()).await {
        Ok(permit) => Ok(permit.unwrap()),
        Err(_) => Err(PoolError::TimedOut),
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_connection_is_told_from_the_query() {
    let (recorder, hop) = setup();
    let pool = tokio::sync::Semaphore::new(1);
    let (held, waited) = tokio::join!(
        async {
            let connection = get(&pool, 5_000).await.unwrap();
            ms(300).await;
            drop(connection);
        },
        async {
            let (connection, call) = hop.checkout(get(&pool, 5_000)).await?;
            ms(10).await;
            let rows = call
                .query(async {
                    ms(40).await;
                    Ok::<_, io::Error>(7)
                })
                .await?;
            drop(connection);
            Ok::<_, PoolError>(rows)
        }
    );
    assert_eq!(((), 7), (held, waited.unwrap()));
    let call = one(&recorder);
    assert_eq!(phases(&call), [(Phase::Pool, 300), (Phase::Own, 10), (Phase::Wait, 40)]);
    assert_eq!((call.outcome, call.failed_by), (Some(Outcome::Ok), None));
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_gave_up_waiting_is_a_timeout_in_its_phase() {
    let (recorder, hop) = setup();
    let pool = tokio::sync::Semaphore::new(0);
    let checkout = hop.checkout(get(&pool, 250)).failing(|error| matches!(error, PoolError::TimedOut).then(Ending::timed_out));
    assert!(matches!(checkout.await, Err(PoolError::TimedOut)));
    let call = one(&recorder);
    assert_eq!((call.outcome, call.failed_by), (Some(Outcome::Timeout), Some(FailedBy::Caller)));
    assert_eq!((phases(&call), call.gave_up_after), (vec![(Phase::Pool, 250)], Some(250 * MS)));
}

#[tokio::test(start_paused = true)]
async fn what_the_closure_leaves_open_is_told_by_its_sources() {
    let (recorder, hop) = setup();
    let refused = async { Err::<(), _>(io::Error::from(io::ErrorKind::ConnectionRefused)) };
    let checkout = hop.checkout(refused).failing(|_| None);
    assert_eq!(checkout.await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    assert_eq!(one(&recorder).outcome, Some(Outcome::Connect));
}

#[tokio::test(start_paused = true)]
async fn one_call_takes_a_connection_uses_it_and_lets_it_go() {
    let (recorder, hop) = setup();
    let pool = tokio::sync::Semaphore::new(1);
    let query = |connection| async move {
        ms(40).await;
        drop(connection);
        Ok::<_, PoolError>("row")
    };
    assert_eq!(hop.pooled(get(&pool, 250), query).await.unwrap(), "row");
    assert_eq!(pool.available_permits(), 1);
    assert_eq!(phases(&one(&recorder)), [(Phase::Wait, 40)]);
}

/// Where a call is left.
#[derive(Clone, Copy, Debug)]
enum Left {
    Unpolled,
    Waiting,
    Unused,
    Querying,
    QueryFails,
    QueryPanics,
    CheckoutPanics,
    Ended,
    ByHand,
}

#[tokio::test(start_paused = true)]
async fn every_ending_of_a_pooled_call_is_one_sample() {
    use Left::{ByHand, CheckoutPanics, Ended, QueryFails, QueryPanics, Querying, Unpolled, Unused, Waiting};
    let cancelled = (Outcome::Cancelled, Some(FailedBy::Caller));
    let panicked = (Outcome::Error, Some(FailedBy::Caller));
    let cases = [
        (Unpolled, None),
        (Waiting, Some((cancelled, Phase::Pool))),
        (Unused, Some((cancelled, Phase::Own))),
        (Querying, Some((cancelled, Phase::Wait))),
        (QueryFails, Some(((Outcome::Reset, Some(FailedBy::Peer)), Phase::Wait))),
        (QueryPanics, Some((panicked, Phase::Wait))),
        (CheckoutPanics, Some((panicked, Phase::Pool))),
        (Ended, Some(((Outcome::Ok, None), Phase::Pool))),
        (ByHand, Some(((Outcome::Ok, None), Phase::Wait))),
    ];
    for (left, expected) in cases {
        let (recorder, hop) = setup();
        let work = async {
            let checkout = hop.checkout(async {
                ms(20).await;
                assert!(!matches!(left, CheckoutPanics), "on purpose");
                Ok::<_, io::Error>(())
            });
            match left {
                Unpolled => return drop(checkout),
                Waiting => return assert!(tokio::time::timeout(Duration::from_millis(10), checkout).await.is_err()),
                _ => {}
            }
            let ((), call) = checkout.await.unwrap();
            if matches!(left, Ended) {
                return call.end();
            }
            ms(20).await;
            let query = async {
                ms(20).await;
                assert!(!matches!(left, QueryPanics), "on purpose");
                if matches!(left, QueryFails) { Err(io::Error::from(io::ErrorKind::ConnectionReset)) } else { Ok(()) }
            };
            match left {
                Unused => drop(call),
                Querying => assert!(tokio::time::timeout(Duration::from_millis(10), call.query(query)).await.is_err()),
                ByHand => {
                    let open = call.start();
                    query.await.unwrap();
                    open.end(Ending::ok());
                }
                _ => drop(call.query(query).await),
            }
        };
        let result = futures_util::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(work)).await;
        assert_eq!(result.is_err(), matches!(left, QueryPanics | CheckoutPanics), "{left:?}");
        let Some(((outcome, failed_by), phase)) = expected else {
            assert_eq!(recorder.losses().started, 0);
            continue;
        };
        let call = one(&recorder);
        assert_eq!(
            (call.outcome, call.failed_by, call.timeline.last_phase()),
            (Some(outcome), failed_by, Some(phase)),
            "{left:?}"
        );
    }
}

#[test]
fn calls_may_move_between_threads() {
    fn is_send<T: Send>(_: T) {}
    let (_, hop) = setup();
    let pool = Arc::new(tokio::sync::Semaphore::new(1));
    is_send(async move { hop.pooled(get(&pool, 10), |_| async { Ok::<_, PoolError>(()) }).await });
}
