use super::peer::Peer;
use super::peers::{Unanswered, refused};
use super::sockets::{both_families, on_the_way, until_left};
use super::*;
use crate::gateway::connect::race::ATTEMPT_DELAY;
use socket2::SockRef;
use std::io;

fn resolving(addresses: impl Into<Vec<IpAddr>>) -> Resolver {
    let addresses: Vec<SocketAddr> = addresses.into().into_iter().map(|address| SocketAddr::new(address, 0)).collect();
    Resolver::new(move |_, _| Ok(addresses.clone()))
}

fn loopbacks() -> [IpAddr; 2] {
    ["::1".parse().unwrap(), "127.0.0.1".parse().unwrap()]
}

#[tokio::test]
async fn a_connection_tells_both_of_its_ends_and_is_set_up_for_requests() {
    let peer = Peer::new(|mut stream| until_left(&mut stream));
    let connector = connector(None, |options| options.resolver = resolving([IpAddr::from([127, 0, 0, 1])]));
    let origin = Origin::new(Scheme::Http, "A.Example", peer.address().port());
    let (connected, phases) = connect(&connector, &origin, Protocols::H1OrH2).await;
    assert_eq!(phases, [Phase::Dns, Phase::Connect]);
    assert_eq!((connected.remote, connected.protocol), (peer.address(), Protocol::H1));
    assert!(connected.via.is_none() && connected.tls.is_none() && connected.tried.is_empty());
    let Stream::Plain(stream) = &connected.io else { panic!("no TLS was asked for") };
    assert_eq!(stream.local_addr().unwrap(), connected.local);
    let socket = SockRef::from(stream);
    assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
    assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(60));
}

#[tokio::test]
async fn without_tls_http_2_is_spoken_by_prior_knowledge() {
    let peer = Peer::new(|mut stream| until_left(&mut stream));
    let (connected, _) = connect(&connector(None, |_| ()), &origin(Scheme::Http, peer.address()), Protocols::H2).await;
    assert_eq!(connected.protocol, Protocol::H2);
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_refused() {
    let address = refused();
    let error = failure(&connector(None, |_| ()), &origin(Scheme::Http, address)).await;
    assert_eq!(told(&error), (Phase::Connect, Outcome::Connect, FailedBy::Peer, "connection_refused"));
    assert_eq!((error.errno, error.address), (Some(libc::ECONNREFUSED), Some(address)));
    let text = error.to_string();
    assert!(text.starts_with(&format!("cannot connect to `{address}` at {address}: Connection refused")), "{text}");
    assert!(text.contains("inside a container"), "{text}");
}

#[tokio::test]
async fn an_address_that_does_not_answer_is_given_up_after_the_timeout() {
    let silent = Unanswered::new();
    let connector = connector(None, |options| options.connect_timeout = SHORT);
    let start = tokio::time::Instant::now();
    let error = failure(&connector, &origin(Scheme::Https, silent.address())).await;
    assert!(start.elapsed() >= SHORT);
    assert_eq!(told(&error), (Phase::Connect, Outcome::Connect, FailedBy::Peer, "timeout"));
    assert_eq!((error.errno, error.address), (None, Some(silent.address())));
    assert!(error.to_string().contains("no answer within 0.3 s; check firewall"), "{error}");
}

#[tokio::test]
async fn a_family_that_refuses_makes_way_for_the_other_at_once() {
    let Some((v4, v6)) = both_families() else { return };
    drop(v6);
    let peer = Peer::of(v4, |mut stream| until_left(&mut stream));
    let connector = connector(None, |options| options.resolver = resolving(loopbacks()));
    let origin = Origin::new(Scheme::Tcp, "a.example", peer.address().port());
    let (connected, _) = connect(&connector, &origin, Protocols::H1).await;
    assert_eq!(connected.remote, peer.address());
    let [tried] = &connected.tried[..] else { panic!("{:?}", connected.tried) };
    assert!(tried.address.is_ipv6());
    assert_eq!(tried.error.as_ref().and_then(io::Error::raw_os_error), Some(libc::ECONNREFUSED));
}

#[tokio::test]
async fn a_family_that_is_silent_is_left_behind() {
    let Some((v4, v6)) = both_families() else { return };
    let peer = Peer::of(v4, |mut stream| until_left(&mut stream));
    let silent = Unanswered::of(v6);
    let before = on_the_way(silent.address());
    let connector = connector(None, |options| options.resolver = resolving(loopbacks()));
    let origin = Origin::new(Scheme::Tcp, "a.example", peer.address().port());
    let start = tokio::time::Instant::now();
    let (connected, _) = connect(&connector, &origin, Protocols::H1).await;
    assert!(start.elapsed() >= ATTEMPT_DELAY);
    assert_eq!(connected.remote, peer.address());
    let [tried] = &connected.tried[..] else { panic!("{:?}", connected.tried) };
    assert_eq!((tried.address, tried.error.is_none()), (silent.address(), true));
    assert_eq!(on_the_way(silent.address()), before, "the loser is closed");
}

#[tokio::test]
async fn of_two_that_fail_the_one_that_got_further_is_told() {
    let Some((v4, v6)) = both_families() else { return };
    let port = v4.local_addr().unwrap().port();
    let silent = Unanswered::of(v6);
    drop(v4);
    let connector = connector(None, |options| {
        (options.resolver, options.connect_timeout) = (resolving(loopbacks()), 11 * ATTEMPT_DELAY);
    });
    let error = failure(&connector, &Origin::new(Scheme::Tcp, "a.example", port)).await;
    assert_eq!(told(&error).3, "connection_refused");
    assert_eq!(error.address, Some(SocketAddr::from(([127, 0, 0, 1], port))));
    let [other] = &error.tried[..] else { panic!("{:?}", error.tried) };
    assert_eq!((other.address, other.error.is_none()), (silent.address(), true));
}

#[tokio::test]
async fn a_blocked_network_gets_no_packet_however_it_is_written() {
    let peer = Peer::new(|stream| {
        // Only the one that ends the test comes.
        assert_eq!(stream.local_addr().unwrap().ip(), IpAddr::from([127, 0, 0, 1]));
    });
    let port = peer.address().port();
    let connector = connector(None, |options| {
        options.blocked = vec!["127.0.0.0/8".parse().unwrap()];
        options.resolver = resolving([IpAddr::from([127, 0, 0, 2])]);
    });
    for host in ["127.0.0.2", "::ffff:127.0.0.2", "a.example"] {
        let error = failure(&connector, &Origin::new(Scheme::Http, host, port)).await;
        assert_eq!(told(&error), (Phase::Connect, Outcome::Error, FailedBy::Own, "blocked_address"), "{host}");
        assert_eq!(error.address.map(|address| address.ip().to_canonical()), Some(IpAddr::from([127, 0, 0, 2])));
    }
}

#[tokio::test]
async fn of_several_addresses_those_that_are_not_blocked_are_used() {
    let peer = Peer::new(|mut stream| until_left(&mut stream));
    let connector = connector(None, |options| {
        options.blocked = vec!["127.0.0.2/32".parse().unwrap()];
        options.resolver = resolving([IpAddr::from([127, 0, 0, 2]), IpAddr::from([127, 0, 0, 1])]);
    });
    let origin = Origin::new(Scheme::Http, "a.example", peer.address().port());
    let (connected, _) = connect(&connector, &origin, Protocols::H1).await;
    assert_eq!((connected.remote, connected.tried.len()), (peer.address(), 0));
}

#[test]
fn each_error_of_the_system_has_its_code_and_who_failed() {
    let origin = Origin::new(Scheme::Http, "a.example", 80);
    let target = Target { origin: &origin, proxy: None };
    let failed = |errnos: &[i32]| {
        let tried = errnos.iter().enumerate().map(|(index, &errno)| Tried {
            address: SocketAddr::from(([10, 0, 0, index as u8], 80)),
            error: Some(io::Error::from_raw_os_error(errno)),
        });
        ConnectError::connect(target, tried.collect(), SHORT)
    };
    for (errno, failed_by, code) in [
        (libc::ECONNREFUSED, FailedBy::Peer, "connection_refused"),
        (libc::ECONNRESET, FailedBy::Peer, "connection_reset"),
        (libc::ENETUNREACH, FailedBy::Peer, "network_unreachable"),
        (libc::EHOSTUNREACH, FailedBy::Peer, "host_unreachable"),
        (libc::EACCES, FailedBy::Peer, "permission_denied"),
        (libc::ETIMEDOUT, FailedBy::Peer, "timeout"),
        (libc::EMFILE, FailedBy::Own, "too_many_open_files"),
        (libc::ENFILE, FailedBy::Own, "too_many_open_files"),
        (libc::EADDRNOTAVAIL, FailedBy::Own, "no_local_port"),
        (libc::EPROTO, FailedBy::Peer, "connect"),
    ] {
        let error = failed(&[errno]);
        assert_eq!(told(&error), (Phase::Connect, Outcome::Connect, failed_by, code));
        assert_eq!(error.errno, Some(errno));
        assert!(error.hint().is_some());
    }
    // A machine without IPv6 says nothing of the peer; among equals the first is told.
    for (errnos, errno, last) in [
        (&[libc::ENETUNREACH, libc::ECONNREFUSED][..], libc::ECONNREFUSED, 1),
        (&[libc::EADDRNOTAVAIL, libc::ETIMEDOUT], libc::ETIMEDOUT, 1),
        (&[libc::EADDRNOTAVAIL, libc::EHOSTUNREACH, libc::ENETUNREACH], libc::EHOSTUNREACH, 1),
        (&[libc::ECONNREFUSED, libc::ECONNREFUSED], libc::ECONNREFUSED, 0),
    ] {
        let error = failed(errnos);
        assert_eq!((error.errno, error.address), (Some(errno), Some(SocketAddr::from(([10, 0, 0, last], 80)))));
        assert_eq!(error.tried.len(), errnos.len() - 1);
    }
}

/// Set for the process in which descriptors run out: others must not run beside it.
const CHILD: &str = "HOPWATCH_TEST_WITHOUT_DESCRIPTORS";

#[test]
fn without_descriptors_the_failure_is_ones_own() {
    if std::env::var_os(CHILD).is_none() {
        let name = concat!(module_path!(), "::without_descriptors_the_failure_is_ones_own");
        let name = name.split_once("::").unwrap().1;
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--test-threads=1"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let connector = connector(None, |_| ());
    let address = refused();
    // SAFETY: the limit is read from a value of its own.
    unsafe {
        let limit = libc::rlimit { rlim_cur: 64, rlim_max: 64 };
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &limit), 0);
    }
    let mut taken = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        taken.push(file);
    }
    let error = runtime.block_on(failure(&connector, &origin(Scheme::Http, address)));
    assert_eq!(told(&error), (Phase::Connect, Outcome::Connect, FailedBy::Own, "too_many_open_files"));
    assert_eq!(error.errno, Some(libc::EMFILE));
}
