//! Collectors that are away, slow, refusing, throttling, killed: nothing is lost up to the bound, what is lost is counted exactly, and
//! nobody who pushes ever waits.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hopwatch::export::otlp::{Exporter, OtlpProtocol};

use crate::collector::peer::{Peer, Reply, nobody};
use crate::samples::{BOTH, PATIENCE, config, counts, is, push, until};

/// Exactly these ids were taken, each once.
#[track_caller]
fn took_each_once(peer: &Peer, ids: std::ops::Range<u64>) {
    let taken = peer.taken();
    assert!(taken.keys().copied().eq(ids.clone()), "not {ids:?}: {:?}", taken.keys());
    assert!(taken.values().all(|&times| times == 1), "{taken:?}");
}

#[test]
fn what_comes_while_the_collector_is_away_is_kept_up_to_the_bound_and_counted_beyond_it() {
    for protocol in BOTH {
        let address = nobody();
        let mut config = config(&format!("http://{address}"), protocol);
        (config.queue, config.batch) = (100, 16);
        let exporter = Exporter::start(&config).unwrap();
        push(&exporter, 1..61);
        assert!(!exporter.flush(Duration::from_millis(300)), "nobody is there");
        is(counts(&exporter), 0, 60, [0, 0, 0]);
        push(&exporter, 61..251);
        is(counts(&exporter), 0, 100, [150, 0, 0]);
        assert!(exporter.last_error().unwrap().contains("refused"), "{:?}", exporter.last_error());

        let peer = Peer::start_at(address, protocol, []);
        assert!(exporter.flush(PATIENCE), "{:?}", exporter.last_error());
        is(counts(&exporter), 100, 0, [150, 0, 0]);
        took_each_once(&peer, 1..101);
        assert_eq!(exporter.last_error(), None);
    }
}

#[test]
fn a_throttling_collector_is_asked_again_when_it_said_and_not_before() {
    let delay = Duration::from_secs(1);
    for protocol in BOTH {
        let peer = Peer::start(protocol, [Reply::Throttle(Some(delay)), Reply::Unavailable]);
        let exporter = Exporter::start(&config(&peer.endpoint(), protocol)).unwrap();
        push(&exporter, 1..6);
        // Impatience does not count against what the collector asked for.
        assert!(!exporter.flush(Duration::from_millis(100)));
        assert!(exporter.flush(PATIENCE), "{:?}", exporter.last_error());
        is(counts(&exporter), 5, 0, [0, 0, 0]);
        let requests = peer.requests();
        assert!(requests.len() >= 3, "{requests:?}");
        assert!(requests[1].at - requests[0].at >= delay, "{requests:?}");
        took_each_once(&peer, 1..6);
    }
}

#[test]
fn what_a_collector_refuses_for_good_is_counted_and_does_not_stand_in_the_way() {
    for protocol in BOTH {
        let peer = Peer::start(protocol, [Reply::Refuse, Reply::Partial(2)]);
        let exporter = Exporter::start(&config(&peer.endpoint(), protocol)).unwrap();
        push(&exporter, 1..2);
        assert!(exporter.flush(PATIENCE));
        is(counts(&exporter), 0, 0, [0, 1, 0]);
        let mut next = 2;
        let first = peer.requests().len();
        push(&exporter, next..next + 1);
        assert!(exporter.flush(PATIENCE));
        next += 1;
        // A batch of one of which two are rejected: no more than there were.
        is(counts(&exporter), 0, 0, [0, 2, 0]);
        assert_eq!(peer.requests().len(), first + 1, "a partial success is not sent again");
        assert!(exporter.last_error().unwrap().contains("some were odd"));
        push(&exporter, next..next + 3);
        assert!(exporter.flush(PATIENCE));
        is(counts(&exporter), 3, 0, [0, 2, 0]);
    }
}

#[test]
fn part_of_a_batch_may_be_rejected() {
    for protocol in BOTH {
        let peer = Peer::start(protocol, [Reply::Partial(2)]);
        let mut config = config(&peer.endpoint(), protocol);
        config.delay = PATIENCE;
        let exporter = Exporter::start(&config).unwrap();
        push(&exporter, 1..11);
        assert!(exporter.flush(PATIENCE));
        assert_eq!(peer.requests()[0].ids.len(), 10, "one batch");
        is(counts(&exporter), 8, 0, [0, 2, 0]);
    }
}

#[test]
fn an_exhausted_grpc_collector_that_does_not_say_when_it_recovers_is_not_asked_again() {
    let peer = Peer::start(OtlpProtocol::Grpc, [Reply::Throttle(None)]);
    let exporter = Exporter::start(&config(&peer.endpoint(), OtlpProtocol::Grpc)).unwrap();
    push(&exporter, 1..2);
    assert!(exporter.flush(PATIENCE));
    is(counts(&exporter), 0, 0, [0, 1, 0]);

    let peer = Peer::start(OtlpProtocol::HttpProtobuf, [Reply::Throttle(None)]);
    let exporter = Exporter::start(&config(&peer.endpoint(), OtlpProtocol::HttpProtobuf)).unwrap();
    push(&exporter, 1..2);
    assert!(exporter.flush(PATIENCE));
    is(counts(&exporter), 1, 0, [0, 0, 0]);
}

#[test]
fn nobody_who_pushes_waits_for_a_collector_that_never_answers() {
    for protocol in BOTH {
        let peer = Peer::start(protocol, [Reply::Hang]);
        let mut config = config(&peer.endpoint(), protocol);
        (config.queue, config.batch) = (1_000, 10);
        if let Some(signal) = &mut config.traces {
            signal.timeout = Duration::from_secs(3600);
        }
        let exporter = Exporter::start(&config).unwrap();
        push(&exporter, 1..2);
        until("a request is held", || !peer.requests().is_empty());
        // Were any of these to wait for the answer, the test would never end.
        push(&exporter, 2..5_001);
        is(counts(&exporter), 0, 1_000, [4_000, 0, 0]);
        // Nor does the end.
        is(exporter.shutdown(Duration::from_millis(50)), 0, 0, [4_000, 0, 1_000]);
        push(&exporter, 1..3);
        is(counts(&exporter), 0, 0, [4_000, 0, 1_002]);
        drop(exporter);
    }
}

#[test]
fn an_answer_that_does_not_come_in_time_is_asked_for_again() {
    for protocol in BOTH {
        let peer = Peer::start(protocol, [Reply::Hang]);
        let mut config = config(&peer.endpoint(), protocol);
        if let Some(signal) = &mut config.traces {
            signal.timeout = Duration::from_millis(200);
        }
        let exporter = Exporter::start(&config).unwrap();
        push(&exporter, 1..4);
        assert!(exporter.flush(PATIENCE));
        is(counts(&exporter), 3, 0, [0, 0, 0]);
        took_each_once(&peer, 1..4);
    }
}

#[test]
fn a_collector_that_is_killed_in_mid_request_and_comes_back_gets_everything() {
    for protocol in BOTH {
        let first = Peer::start(protocol, [Reply::Take, Reply::Hang]);
        let address = first.address;
        let mut config = config(&first.endpoint(), protocol);
        (config.queue, config.batch) = (2_000, 50);
        let exporter = Exporter::start(&config).unwrap();
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            // The sums hold at any instant.
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    _ = counts(&exporter)
                }
            });
            push(&exporter, 1..11);
            until("the first batch is taken", || !first.taken().is_empty());
            push(&exporter, 11..511);
            until("the second request is held", || first.requests().len() == 2);
            let early = first.taken();
            drop(first);
            push(&exporter, 511..1_001);
            let second = Peer::start_at(address, protocol, [Reply::Unavailable]);
            assert!(exporter.flush(PATIENCE), "{:?}", exporter.last_error());
            let mut taken = second.taken();
            assert!(taken.keys().all(|id| !early.contains_key(id)), "what was taken is not sent again");
            taken.extend(early);
            assert!(taken.keys().copied().eq(1..1_001), "{} of 1000 arrived", taken.len());
            over.store(true, Ordering::Relaxed);
        });
        is(counts(&exporter), 1_000, 0, [0, 0, 0]);
    }
}

#[test]
fn the_end_sends_what_waits() {
    for protocol in BOTH {
        let peer = Peer::start(protocol, [Reply::Unavailable]);
        let mut config = config(&peer.endpoint(), protocol);
        (config.batch, config.delay) = (7, PATIENCE);
        let exporter = Exporter::start(&config).unwrap();
        push(&exporter, 1..21);
        is(exporter.shutdown(PATIENCE), 20, 0, [0, 0, 0]);
        took_each_once(&peer, 1..21);
        is(exporter.shutdown(PATIENCE), 20, 0, [0, 0, 0]);
    }
}

#[test]
fn a_name_that_is_no_host_is_a_collector_that_is_away() {
    let exporter = Exporter::start(&config("http://collector.invalid:4318", OtlpProtocol::HttpProtobuf)).unwrap();
    push(&exporter, 1..4);
    is(exporter.shutdown(Duration::from_millis(100)), 0, 0, [0, 0, 3]);
}
