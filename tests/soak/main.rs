//! The gateway under many requests of every kind, with faults at every point of an exchange.
//!
//! Each request is asked for twice, directly and through the gateway, by HTTP/1.1 and HTTP/2, in absolute form, inside of tunnels and by a
//! TCP route: both see the same answer, or the same kind of failure. Somebody looks all the time, and the counts hold; at the end nothing
//! is left: no client, no connection, no task, no descriptor, and no memory beyond what there was at the beginning.
//!
//! `HOPWATCH_SOAK` says how many requests (5,000 otherwise), `HOPWATCH_SOAK_SEED` which:
//! `HOPWATCH_SOAK=1000000 cargo test --profile bench --test soak -- --nocapture`

#![cfg(all(feature = "cli", target_os = "linux"))]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod client;
mod http1;
mod level;
mod place;
mod scene;
mod seen;
mod streams;
mod upstream;
mod watch;

use client::Client;
use place::Places;
use scene::{Place, Point, Scene, Way};
use seen::{End, Seen};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use streams::Streams;
use watch::Watch;

#[path = "../it/support/peers.rs"]
#[expect(dead_code, reason = "shared with tests that use all of it")]
mod peers;

/// Requests, unless it is said otherwise.
const REQUESTS: u64 = 5_000;
/// Clients at once.
const CLIENTS: usize = 48;
/// Connections by HTTP/2 that they share.
const SHARED: usize = 6;
/// Far above what any request takes.
const PATIENCE: Duration = Duration::from_secs(60);
/// Memory may grow by so many bytes, or by a quarter.
const GROWTH: u64 = 32 << 20;

/// A number of the environment.
fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |value| value.parse().unwrap_or_else(|_| panic!("{name}={value} is no number")))
}

/// Requests that are dealt out to clients.
struct Work {
    seed: u64,
    end: u64,
    next: AtomicU64,
    /// Requests whose head reached the gateway.
    exchanges: AtomicU64,
    /// Answers behind which the upstream closed without a word, so that another request may have met a connection that was stale.
    partings: AtomicU64,
}

impl Work {
    fn next(&self) -> Option<Scene> {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        (index < self.end).then(|| Scene::of(self.seed.wrapping_add(index)))
    }
}

/// One that asks for one thing after the other.
struct Asker {
    places: Arc<Places>,
    direct: Option<Client>,
    through: HashMap<(Way, Place), Client>,
    streams: Arc<Streams>,
}

impl Asker {
    async fn work(mut self, work: Arc<Work>) {
        while let Some(scene) = work.next() {
            let asked = async { (self.directly(&scene).await, self.through(&scene).await) };
            let asked = tokio::time::timeout(PATIENCE, asked).await;
            let (direct, through) = asked.unwrap_or_else(|_| panic!("no end of {scene:?}"));
            assert!(direct.fits(&scene), "directly {direct:?}\nof {scene:?}");
            assert!(through.is_as(&direct, &scene), "through the gateway {through:?}\ndirectly {direct:?}\nof {scene:?}");
            work.exchanges.fetch_add(u64::from(!scene.leaves_at(Point::Asking)), Ordering::Relaxed);
            work.partings.fetch_add(u64::from(scene.parting.is_some()), Ordering::Relaxed);
        }
    }

    async fn directly(&mut self, scene: &Scene) -> Seen {
        let address = self.places.address(scene.place);
        match scene.place {
            Place::Refused => match Client::to(address).await {
                Ok(_) => panic!("somebody listens at {address}"),
                Err(error) => return Seen::nothing(client::end_of(&error)),
            },
            Place::Silent | Place::Mute => return Seen::nothing(End::Left),
            Place::Hasty => self.direct = None,
            Place::Upstream => {}
        }
        let mut client = match self.direct.take() {
            Some(client) => client,
            None => Client::to(address).await.unwrap(),
        };
        let (seen, reusable) = client.ask(scene, "", address).await;
        self.direct = Some(client).filter(|_| reusable && scene.place == Place::Upstream);
        seen
    }

    async fn through(&mut self, scene: &Scene) -> Seen {
        let prefix = Places::prefix(scene.place);
        let address = self.places.address(scene.place);
        let (gateway, base) = match scene.way {
            Way::Streams => return self.streamed(scene, prefix).await,
            Way::Route => (self.places.gateway(), prefix.to_owned()),
            Way::Absolute => (self.places.gateway(), format!("http://{address}")),
            Way::Tunnel => (self.places.gateway(), String::new()),
            Way::Tcp => (self.places.tcp(scene.place), String::new()),
        };
        // What a tunnel leads to is one place.
        let key = (scene.way, if matches!(scene.way, Way::Tunnel | Way::Tcp) { scene.place } else { Place::Upstream });
        let mut client = match self.through.remove(&key) {
            Some(client) => client,
            None => {
                let client = match Client::to(gateway).await {
                    Ok(client) => client,
                    // It was let in, and has ended already.
                    Err(error) => return Seen::nothing(client::end_of(&error)),
                };
                match scene.way {
                    Way::Tunnel if scene.place == Place::Silent => return left(client.led(address)).await,
                    Way::Tunnel => match client.led(address).await {
                        Ok(client) => client,
                        Err(seen) => return seen,
                    },
                    _ => client,
                }
            }
        };
        if matches!(scene.place, Place::Silent | Place::Mute) {
            return left(client.ask(scene, &base, address)).await;
        }
        let (seen, _) = client.ask(scene, &base, address).await;
        // The gateway's connections to upstreams are its own affair.
        let stays = match scene.way {
            Way::Route | Way::Absolute => seen.end == End::Whole && seen.stays(),
            _ => seen.end == End::Whole && scene.framing != scene::Framing::ToEnd,
        };
        if stays {
            self.through.insert(key, client);
        }
        seen
    }

    async fn streamed(&self, scene: &Scene, prefix: &str) -> Seen {
        let asked = self.streams.ask(scene, prefix);
        if matches!(scene.place, Place::Silent | Place::Mute) { left(asked).await } else { asked.await }
    }
}

/// A client that leaves what has no end.
async fn left<T>(asks: impl Future<Output = T>) -> Seen {
    let early = tokio::time::timeout(client::BEFORE_LEAVING, asks).await;
    Seen::nothing(if early.is_ok() { End::Whole } else { End::Left })
}

/// Waits until something is so.
async fn wait_until(what: &str, mut is: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !is() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "in vain: {what}");
}

/// So many requests from this one on, by all clients; how many exchanges these are, and how many of them may have taken two attempts.
async fn requests(places: &Arc<Places>, seed: u64, count: u64) -> [u64; 2] {
    let zero = || AtomicU64::new(0);
    let work = Arc::new(Work { seed, end: count, next: zero(), exchanges: zero(), partings: zero() });
    let mut shared = Vec::new();
    for _ in 0..SHARED {
        shared.push(Arc::new(Streams::to(places.gateway()).await));
    }
    let asker = |index: usize| Asker {
        places: Arc::clone(places),
        direct: None,
        through: HashMap::new(),
        streams: Arc::clone(&shared[index % SHARED]),
    };
    let askers: Vec<_> = (0..CLIENTS).map(|index| tokio::spawn(asker(index).work(Arc::clone(&work)))).collect();
    for asked in askers {
        asked.await.unwrap();
    }
    [&work.exchanges, &work.partings].map(|count| count.load(Ordering::Relaxed))
}

#[test]
fn everything_passes_as_it_would_without_and_nothing_is_left() {
    let (count, seed) = (setting("HOPWATCH_SOAK", REQUESTS), setting("HOPWATCH_SOAK_SEED", 1));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut places = Places::start().await;
        let (descriptors, threads) = (level::descriptors(), level::threads());
        let gateway = places.start_gateway();
        let view = gateway.view();
        let idle = gateway.tasks();
        let watch = Watch::start(view.clone());
        let places = Arc::new(places);
        let start = hopwatch::model::clock::monotonic();
        let warm = count / 10;
        let first = requests(&places, seed, warm).await;
        places.quiet(&view).await;
        let before = level::resident();
        let rest = requests(&places, seed + warm, count - warm).await;
        let [exchanges, partings] = [first[0] + rest[0], first[1] + rest[1]];
        places.quiet(&view).await;
        let took = start.elapsed();
        // Idle connections to upstreams go with the settings by which they were opened.
        gateway.reload(places.settings());
        wait_until("no connection to an upstream is left", || places.open() == 0).await;
        wait_until("no task is left", || gateway.tasks() == idle).await;
        let after = level::resident();
        assert!(watch.is_well());
        gateway.close();
        // The last look is told what other tries were awaited of.
        let watched = watch.finish();
        drop(view);
        wait_until("no descriptor is left", || level::descriptors() == descriptors).await;
        wait_until("no thread is left", || level::threads() <= threads).await;
        println!(
            "{count} requests in {:.1} s; {exchanges} exchanges became {} hops of {} attempts, at most {} open; {} looks; \
             resident {:.1} MiB after the first tenth, {:.1} MiB at the end; {:?}",
            took.as_secs_f64(),
            watched.ended,
            watched.attempts,
            watched.most_open,
            watched.looks,
            before as f64 / 1_048_576.0,
            after as f64 / 1_048_576.0,
            watched.outcomes
        );
        assert!(
            (exchanges..=exchanges + partings).contains(&watched.attempts),
            "each is told: {partings} may have taken two attempts"
        );
        assert!(after <= before + GROWTH.max(before / 4), "{before} bytes became {after}");
    });
}
