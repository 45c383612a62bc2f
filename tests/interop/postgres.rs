//! A real PostgreSQL with pgvector, asked by its Python clients.

use serde_json::Value;

use crate::support::app::{App, Watched};
use crate::support::authority::Authority;
use crate::support::postgres::{Options, Postgres};
use crate::support::routed::Routed;
use crate::support::via::{Via, each_way};

const CLIENTS: [&str; 3] = ["psycopg", "psycopg2", "asyncpg"];

/// A client, and how its server is named: by its address, or by the TCP route that leads there, since these clients know no proxies.
struct Asking {
    app: App,
    naming: String,
    _route: Option<Routed>,
}

/// A program that asks the server, which is called `retrieval/orders`.
fn asking(program: &str, arguments: &[&str], server: &Postgres, via: Via) -> Option<Asking> {
    let app = arguments.iter().fold(App::new(program)?.via(via), App::arg);
    let route = via.is_between().then(|| Routed::to(server.port(), "retrieval", "orders"));
    let port = route.as_ref().map_or(server.port(), |route| route.entrance);
    let naming = route.as_ref().map_or_else(|| server.dep("retrieval/orders"), |route| route.option.clone());
    Some(Asking { app: app.arg(port), naming, _route: route })
}

fn client(name: &str, server: &Postgres, via: Via) -> Option<Asking> {
    asking("postgres_calls.py", &[name], server, via)
}

impl Asking {
    fn option(self, name: &str, value: impl ToString) -> Self {
        Self { app: self.app.option(name, value), ..self }
    }

    #[track_caller]
    fn watched(&self, options: &[&str]) -> Watched {
        self.app.watched(&[&[self.naming.as_str()], options].concat())
    }
}

fn server(options: Options<'_>) -> Option<Postgres> {
    Postgres::start(App::new("postgres_calls.py")?.python(), options)
}

#[test]
fn a_slow_query_is_the_culprit_with_each_client() {
    slow_query(None);
}

#[test]
fn a_slow_query_inside_tls_is_the_culprit_with_each_client() {
    slow_query(Some(&Authority::new()));
}

fn slow_query(authority: Option<&Authority>) {
    let Some(server) = server(Options { authority, ..Options::default() }) else { return };
    each_way(|via| {
        for name in CLIENTS {
            let Some(app) = client(name, &server, via) else { return };
            let app = app.option("--sql", "select 1, pg_sleep(8)");
            let app = if let Some(authority) = authority { app.option("--ca", authority.file().display()) } else { app };

            let watched = app.watched(&["--deadline", "6s"]);

            let report = &watched.report;
            report.is("/runs/0/outcome", "timeout");
            report.culprit("retrieval", "orders", "wait");
            let hops = report.hops("retrieval", "orders");
            let slow = *hops.iter().find(|hop| hop.phase("wait") > 6_000.0).unwrap_or_else(|| panic!("{}", report.dump()));
            let is_read = authority.is_none() || via.is_inside();
            slow.ended_ok().is("/operation", if is_read { "SELECT" } else { "tls" });
            slow.took("wait", 7_990.0, 60_000.0).took("stream", 0.0, 300.0);
            hops[0].is("/client/connection", "new");
            report.holds(hops[0].phase("connect") > 0.0, "the first query has the set-up");
            report.holds((hops[0].phase("tls") > 0.0) == authority.is_some(), "and its handshake, where there is TLS");
            report.holds(hops[1..].iter().all(|hop| hop.phase("connect") == 0.0), "the others have none");
        }
    });
}

#[test]
fn quick_queries_are_healthy_with_each_client() {
    let Some(server) = server(Options::default()) else { return };
    each_way(|via| {
        for name in CLIENTS {
            let Some(app) = client(name, &server, via) else { return };

            let watched = app.option("--calls", 20).watched(&["--deadline", "120s"]);

            let report = &watched.report;
            assert_eq!(watched.finished.code, 0, "{}", report.dump());
            report.healthy();
            let hops = report.hops("retrieval", "orders");
            let selects = hops.iter().filter(|hop| hop.at("/operation") == "SELECT").count();
            assert_eq!(selects, 20, "{}", report.dump());
            for (n, hop) in hops.iter().enumerate() {
                hop.ended_ok().is("/client/connection", if n == 0 { "new" } else { "reused" });
            }
        }
    });
}

#[test]
fn a_pool_of_which_one_connection_is_used_is_one_call() {
    let Some(server) = server(Options::default()) else { return };
    each_way(|via| {
        let Some(app) = client("psycopg", &server, via) else { return };

        let watched = app.option("--connections", 5).watched(&["--deadline", "120s"]);

        let report = &watched.report;
        report.healthy();
        report.hop("retrieval", "orders").ended_ok().is("/operation", "SELECT");
        report.is("/dependencies/0/connections/new", 1);
    });
}

#[test]
fn a_slow_search_in_pgvector_is_the_culprit() {
    each_way(|via| {
        let Some(server) = server(Options::default()) else { return };
        let Some(app) = asking("pgvector_search.py", &[], &server, via) else { return };

        let app = app.option("--questions", 6).option("--slow-after", 5).option("--slow", 8);
        let watched = app.watched(&["--deadline", "6s"]);

        let report = &watched.report;
        assert_eq!(watched.finished.code, 0, "{}", report.dump());
        report.culprit("retrieval", "orders", "wait");
        let hops = report.hops("retrieval", "orders");
        let of = |operation: &str| hops.iter().filter(|hop| hop.at("/operation") == operation).count();
        report.holds(of("INSERT") >= 200 && of("COMMIT") >= 7, "every statement and the ends of transactions are hops");
        let searches: Vec<_> =
            hops.iter().filter(|hop| hop.at("/bytes/received").as_u64().is_some_and(|bytes| bytes > 60_000)).collect();
        assert_eq!(searches.len(), 6, "{}", report.dump());
        for search in &searches {
            // Rows of which most bytes were not kept.
            search.ended_ok().is("/operation", "SELECT");
        }
        searches[5].took("wait", 7_990.0, 60_000.0);
    });
}

#[test]
fn too_many_connections_are_shed_by_the_server_with_each_client() {
    each_way(|via| {
        let settings = ["max_connections=5", "superuser_reserved_connections=0"];
        let Some(server) = server(Options { settings: &settings, ..Options::default() }) else { return };
        for name in CLIENTS {
            let Some(app) = client(name, &server, via) else { return };

            let watched = app.option("--connections", 6).watched(&["--deadline", "60s"]);

            let report = &watched.report;
            assert_eq!(watched.finished.code, 1, "{}", report.dump());
            report.is("/runs/0/outcome", "shed");
            report.is("/runs/0/verdict/kind", "retrieval");
            report.is("/runs/0/verdict/dependency", "orders");
            report.is("/runs/0/verdict/phase", "connect");
            report.hop("retrieval", "orders").ended("shed", "peer").is("/error_type", "53300").is("/operation", "connect");
        }
    });
}

#[test]
fn too_many_connections_for_a_moment_are_tried_again() {
    each_way(|via| {
        let settings = ["max_connections=1", "superuser_reserved_connections=0"];
        let Some(server) = server(Options { settings: &settings, ..Options::default() }) else { return };
        let Some(holder) = client("psycopg2", &server, Via::Observer) else { return };
        let Some(app) = client("psycopg2", &server, via) else { return };
        // What a first start reads and compiles is not to hold up the holder.
        let Some(first) = client("psycopg2", &server, Via::Observer) else { return };
        assert_eq!(first.app.alone().code, 0);

        // Whoever holds the only connection lets it go before the second try.
        let holder = std::thread::spawn(move || holder.option("--sql", "select 1, pg_sleep(4)").app.alone());
        std::thread::sleep(std::time::Duration::from_secs(2));
        let watched = app.option("--retry-after", 6).watched(&["--deadline", "120s"]);
        let held = holder.join().unwrap();

        assert_eq!((held.code, watched.finished.code), (0, 0), "{}{}", held.stderr, watched.report.dump());
        let report = &watched.report;
        report.healthy();
        let hop = report.hop("retrieval", "orders").ended_ok().took("backoff", 5_900.0, 60_000.0);
        let outcomes: Vec<&Value> = hop.attempts().iter().map(|attempt| &attempt["outcome"]).collect();
        assert_eq!(outcomes, ["shed", "ok"], "{}", report.dump());
    });
}

#[test]
fn a_wrong_password_is_an_error_of_the_server_with_each_client() {
    let Some(server) = server(Options { password: Some("right"), ..Options::default() }) else { return };
    each_way(|via| {
        for name in CLIENTS {
            let Some(app) = client(name, &server, via) else { return };

            let watched = app.option("--password", "wrong-secret").watched(&["--deadline", "60s"]);

            let report = &watched.report;
            assert_eq!(watched.finished.code, 1, "{}", report.dump());
            report.is("/runs/0/outcome", "error");
            report.is("/runs/0/verdict/dependency", "orders");
            report.is("/runs/0/verdict/phase", "connect");
            report.hop("retrieval", "orders").ended("error", "peer").is("/error_type", "28P01").is("/operation", "connect");
            report.holds(!report.dump().contains("wrong-secret"), "the password is nowhere");
        }
    });
}

#[test]
fn a_password_that_is_right_is_part_of_connecting() {
    let Some(server) = server(Options { password: Some("right"), ..Options::default() }) else { return };
    each_way(|via| {
        let Some(app) = client("psycopg", &server, via) else { return };

        let watched = app.option("--password", "right").watched(&["--deadline", "60s"]);

        watched.report.healthy();
        let hop = watched.report.hop("retrieval", "orders").ended_ok();
        // It is hashed some thousand times.
        watched.report.holds(hop.phase("connect") > 1.0, "connecting took as long as the exchange of proofs");
    });
}

#[test]
fn a_timeout_of_the_servers_is_its_error_with_each_client() {
    let Some(server) = server(Options::default()) else { return };
    each_way(|via| {
        for name in CLIENTS {
            let Some(app) = client(name, &server, via) else { return };

            let app = app.option("--sql", "select 1, pg_sleep(60)").option("--statement-timeout", 2_000);
            let watched = app.watched(&["--deadline", "60s"]);

            let report = &watched.report;
            assert_eq!(watched.finished.code, 1, "{}", report.dump());
            report.is("/runs/0/outcome", "error");
            report.culprit("retrieval", "orders", "wait");
            let hops = report.hops("retrieval", "orders");
            let failed = hops.iter().find(|hop| hop.at("/outcome") != "ok").unwrap_or_else(|| panic!("{}", report.dump()));
            failed.ended("error", "peer").is("/error_type", "57014").is("/operation", "SELECT").took("wait", 1_900.0, 20_000.0);
        }
    });
}

#[test]
fn a_query_that_the_client_cancels_is_the_clients_timeout_with_each_client() {
    let Some(server) = server(Options::default()) else { return };
    each_way(|via| {
        for name in CLIENTS {
            let Some(app) = client(name, &server, via) else { return };

            let app = app.option("--sql", "select 1, pg_sleep(60)").option("--cancel-after", 2);
            let watched = app.watched(&["--deadline", "60s"]);

            let report = &watched.report;
            assert_eq!(watched.finished.code, 1, "{}", report.dump());
            report.is("/runs/0/outcome", "timeout");
            report.culprit("retrieval", "orders", "wait");
            let hops = report.hops("retrieval", "orders");
            let failed = hops.iter().find(|hop| hop.at("/outcome") != "ok").unwrap_or_else(|| panic!("{}", report.dump()));
            failed.ended("timeout", "caller").is("/operation", "SELECT").took("wait", 1_900.0, 20_000.0);
        }
    });
}

#[test]
fn clients_of_postgres_write_the_same_with_and_without() {
    let Some(server) = server(Options::default()) else { return };
    for name in CLIENTS {
        let Some(alone) = client(name, &server, Via::Observer).map(|app| app.option("--calls", 3).app.alone()) else { return };
        each_way(|via| {
            let Some(app) = client(name, &server, via) else { return };
            let watched = app.option("--calls", 3).watched(&["--quiet"]).finished;
            assert_eq!((alone.code, &alone.stdout, &alone.stderr), (0, &watched.stdout, &watched.stderr));
            assert_eq!(watched.code, 0);
        });
    }
}
