//! Streams that are all taken: who waits for one waits in `pool`.

use super::client::{Client, request, whole};
use super::downstream::tests;
use super::server::{Rules, Server};
use super::upstream::known;
use crate::through::{Through, wait_until};
use hopwatch::model::Phase;
use http::Method;

tests! {
    async fn the_wait_for_a_stream_is_told_as_such_from_the_first_request_on() {
        for streams in [1, 2, 4] {
            let server = Server::start(Rules { streams, ..Rules::default() }).await;
            let through = Through::with(known(server.address));
            let client = Client::to(through.address()).await;
            let mut answers = Vec::new();
            for _ in 0..6 {
                answers.push(client.begin(request(Method::GET, "/after/300", &[]), true).await.0);
            }
            for answer in answers {
                assert_eq!(whole(answer).await.unwrap().status.as_u16(), 200);
            }
            drop(client);
            let told = through.finish();
            assert_eq!((told.hops().len(), server.connections()), (6, 1), "with {streams}");
            let mut pool: Vec<f64> = Vec::new();
            for hop in told.hops() {
                pool.push(hop.ok(200).took(Phase::Wait, 290.0).phase(Phase::Pool));
            }
            pool.sort_by(f64::total_cmp);
            // So many go at once, and the next wait until these are through.
            for (place, waited) in pool.iter().enumerate() {
                let rounds = place / streams as usize;
                assert!(*waited >= 290.0 * rounds as f64, "with {streams}: {pool:?}");
            }
            assert!(pool[0] < 290.0, "with {streams}: {pool:?}");
        }
    }

    async fn who_leaves_while_waiting_takes_no_stream() {
        let server = Server::start(Rules { streams: 1, ..Rules::default() }).await;
        let through = Through::with(known(server.address));
        let first = Client::to(through.address()).await;
        let slow = first.begin(request(Method::GET, "/after/1000", &[]), true).await.0;
        through.open("it is sent", |span| span.call.as_ref().unwrap().timeline.last_phase() == Some(Phase::Wait));
        let second = Client::to(through.address()).await;
        let waiting = second.begin(request(Method::GET, "/other", &[]), true).await;
        through.open("it waits", |span| span.call.as_ref().unwrap().timeline.last_phase() == Some(Phase::Pool));
        drop((second, waiting));
        wait_until("it has left", || through.view.losses().open == 1);
        assert_eq!(whole(slow).await.unwrap().status.as_u16(), 200);
        // The place is free.
        assert_eq!(first.get("/third").await.unwrap().status.as_u16(), 200);
        drop(first);
        assert_eq!(through.finish().hops().len(), 3);
    }

    async fn a_stream_that_is_abandoned_is_reset_and_its_place_given_on() {
        let server = Server::start(Rules { streams: 1, ..Rules::default() }).await;
        let through = Through::with(known(server.address));
        for path in ["/mute", "/drip"] {
            let client = Client::to(through.address()).await;
            let (response, stream) = client.begin(request(Method::GET, path, &[]), true).await;
            through.open("it goes on", |span| *span.operation == format!("GET {path}"));
            let before = server.abandoned.load(std::sync::atomic::Ordering::SeqCst);
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            drop((response, stream, client));
            wait_until("the upstream is told", || server.abandoned.load(std::sync::atomic::Ordering::SeqCst) == before + 1);
        }
        let client = Client::to(through.address()).await;
        assert_eq!(client.get("/thing").await.unwrap().status.as_u16(), 200);
        drop(client);
        assert_eq!((through.finish().hops().len(), server.connections()), (3, 1));
    }
}
