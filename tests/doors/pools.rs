//! A pool that people have: waiting for its connection told from the query.

use std::convert::Infallible;
use std::time::Duration;

use bb8::{ManageConnection, Pool, RunError};
use hopwatch::{Ending, Hopwatch, Kind, Outcome, Phase};

use crate::endings::only_hop;

/// Makes connections that work.
struct Connections;

struct Connection;

impl Connection {
    async fn query(&mut self) -> Result<u32, Infallible> {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Ok(3)
    }
}

impl ManageConnection for Connections {
    type Connection = Connection;
    type Error = Infallible;

    async fn connect(&self) -> Result<Connection, Infallible> {
        Ok(Connection)
    }

    async fn is_valid(&self, _: &mut Connection) -> Result<(), Infallible> {
        Ok(())
    }

    fn has_broken(&self, _: &mut Connection) -> bool {
        false
    }
}

async fn pool() -> Pool<Connections> {
    Pool::builder().max_size(1).connection_timeout(Duration::from_millis(500)).build(Connections).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_connection_of_bb8_is_told_from_the_query() {
    let (watch, pool) = (Hopwatch::builder().build().unwrap(), pool().await);
    let db = watch.hop(Kind::Retrieval, "orders");
    let held = pool.get().await.unwrap();
    let work = async {
        let (mut connection, call) = db.checkout(pool.get()).await.unwrap();
        call.query(connection.query()).await.unwrap()
    };
    let release = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        drop(held);
    };
    let (found, ()) = tokio::join!(watch.scope("run").run(work), release);
    assert_eq!(found.unwrap(), 3);
    let hop = only_hop(&watch);
    assert_eq!((hop.outcome, hop.phases.pool, hop.phases.wait), (Some(Outcome::Ok), Some(100.0), Some(20.0)));
}

#[tokio::test(start_paused = true)]
async fn a_pool_of_bb8_that_gives_up_waiting_is_a_timeout_in_the_pool() {
    let (watch, pool) = (Hopwatch::builder().build().unwrap(), pool().await);
    let db = watch.hop(Kind::Retrieval, "orders");
    let _held = pool.get().await.unwrap();
    let gave_up = |error: &RunError<Infallible>| matches!(error, RunError::TimedOut).then(Ending::timed_out);
    let result = watch.scope("run").run(async { db.checkout(pool.get()).failing(gave_up).await.map(|_| ()) }).await.unwrap();
    assert!(matches!(result, Err(RunError::TimedOut)));
    let hop = only_hop(&watch);
    assert_eq!((hop.outcome, hop.phases.pool), (Some(Outcome::Timeout), Some(500.0)));
    assert_eq!(hop.phases.wait, None, "never in {:?}", Phase::Wait);
}
