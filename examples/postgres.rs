//! PostgreSQL through a pool: waiting for a connection is told from the query.
//!
//! Uses the server of HOPWATCH_POSTGRES_URL, else one of its own (`tests/parts/postgres`), else says that it is skipped.

use deadpool_postgres::{Manager, Pool, PoolError, Runtime, TimeoutType, Timeouts};
use hopwatch::{Ending, Hopwatch, Kind, Outcome};
use std::error::Error;
use std::process::{Command, ExitCode};
use std::time::Duration;
use tokio_postgres::NoTls;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    if let Ok(url) = std::env::var("HOPWATCH_POSTGRES_URL") {
        tokio::runtime::Runtime::new()?.block_on(orders(&url))?;
        return Ok(ExitCode::SUCCESS);
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/parts/postgres");
    let status = Command::new(script).arg(std::env::current_exe()?).status()?;
    // 77: there is no PostgreSQL here, and the script said so.
    Ok(if status.success() || status.code() == Some(77) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn orders(url: &str) -> Result<(), Box<dyn Error>> {
    let watch = Hopwatch::builder().service("example").build()?;
    let db = watch.hop(Kind::Retrieval, "postgres").operation("orders");
    let pool = Pool::builder(Manager::new(url.parse()?, NoTls)).max_size(1).runtime(Runtime::Tokio1).build()?;
    let query = async |sql: &str, patience: u64| {
        let timeouts = Timeouts { wait: Some(Duration::from_millis(patience)), ..Timeouts::default() };
        let gave_up = |error: &PoolError| matches!(error, PoolError::Timeout(TimeoutType::Wait));
        let checkout = db.checkout(pool.timeout_get(&timeouts)).failing(|error| gave_up(error).then(Ending::timed_out));
        let (client, call) = checkout.await?;
        let row = call.query(client.query_one(sql, &[])).await?;
        Ok::<i32, Box<dyn Error>>(row.get(0))
    };

    // Two queries and one connection: the second waits for it as long as the first takes.
    let both =
        watch.scope("both").run(async { tokio::join!(query("select 1 from pg_sleep(0.2)", 9_000), query("select 2", 9_000)) });
    let (first, second) = both.await?;
    assert_eq!((first?, second?), (1, 2));
    // The pool gives up waiting before the slow one is done.
    let late = watch.scope("late").run(async { tokio::join!(query("select 1 from pg_sleep(1.5)", 150), query("select 2", 150)) });
    let (first, second) = late.await?;
    assert!(first.is_ok() && second.is_err_and(|error| error.is::<PoolError>()));
    // What the server refuses is its own answer, untouched.
    assert!(query("select no_such_column", 150).await.is_err());

    let report = watch.report();
    println!("{:#?}", report.runs.iter().map(|run| run.hops.iter().map(|hop| &hop.phases).collect()).collect::<Vec<Vec<_>>>());
    let pool = |run: usize, hop: usize| report.runs[run].hops[hop].phases.pool.unwrap_or_default();
    let second = |run: usize| &report.runs[run].hops[usize::from(pool(run, 1) > pool(run, 0))];
    let waited = second(0);
    assert!(waited.phases.pool >= Some(150.0) && waited.phases.wait < Some(150.0), "{:?}", waited.phases);
    let gave_up = second(1);
    assert_eq!((gave_up.outcome, gave_up.phases.wait), (Some(Outcome::Timeout), None));
    Ok(())
}
