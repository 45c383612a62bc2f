use super::peer::Peer;
use super::peers::{Mute, Unanswered};
use super::sockets::{head, on_the_way, something, until_left};
use super::*;
use std::sync::mpsc;

/// Connects until it is in this phase, looks around, then gives up: the steps, which have ended, and nothing else is left.
async fn given_up(connector: &Connector, origin: &Origin, phase: Phase, look: impl FnOnce()) -> Steps {
    let steps = Steps::new(Anchor::new(0));
    let arrived = async {
        while steps.phase() != Some(phase) {
            tokio::task::yield_now().await;
        }
        // Within the step, not at its first moment.
        tokio::time::sleep(Duration::from_millis(20)).await;
        look();
    };
    tokio::select! {
        result = connector.connect(origin, Protocols::H1, &steps) => panic!("it ended: {result:?}"),
        () = arrived => {}
    }
    let (_, end) = steps.times(phase).unwrap();
    assert!(end.is_some(), "the step ended");
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);
    steps
}

#[tokio::test]
async fn given_up_while_it_connects_it_leaves_no_socket() {
    let silent = Unanswered::new();
    let address = silent.address();
    let before = on_the_way(address);
    let look = || assert_eq!(on_the_way(address), before + 1);
    let steps = given_up(&connector(None, |_| ()), &origin(Scheme::Http, address), Phase::Connect, look).await;
    assert_eq!(steps.address(), Some(address));
    assert_eq!(on_the_way(address), before);
}

#[tokio::test]
async fn given_up_in_a_handshake_it_closes() {
    let (told, closed) = mpsc::channel();
    let peer = Peer::new(move |mut stream| {
        something(&mut stream);
        until_left(&mut stream);
        told.send(()).unwrap();
    });
    given_up(&connector(None, |_| ()), &origin(Scheme::Https, peer.address()), Phase::Tls, || ()).await;
    closed.recv_timeout(Duration::from_secs(10)).unwrap();
}

#[tokio::test]
async fn given_up_before_a_proxy_answered_it_closes() {
    let (told, closed) = mpsc::channel();
    let peer = Peer::new(move |mut stream| {
        head(&mut stream);
        until_left(&mut stream);
        told.send(()).unwrap();
    });
    let connector = connector(None, |options| {
        let proxy = peer.address().to_string();
        options.proxies = Proxies::read(|name| (name == "all_proxy").then(|| proxy.clone()));
    });
    given_up(&connector, &Origin::new(Scheme::Tunnel, "a.example", 443), Phase::Proxy, || ()).await;
    closed.recv_timeout(Duration::from_secs(10)).unwrap();
}

#[tokio::test]
async fn given_up_while_a_name_is_resolved_only_the_resolvers_thread_goes_on() {
    let (open, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let resolver = Resolver::new(move |_, _| {
        assert!(gate.lock().unwrap().recv().is_err());
        Ok(Vec::new())
    });
    let connector = connector(None, |options| options.resolver = resolver.clone());
    let steps = given_up(&connector, &Origin::new(Scheme::Http, "a.example", 80), Phase::Dns, || ()).await;
    assert_eq!(steps.address(), None);
    assert!(format!("{resolver:?}").contains("under_way: 1"));
    drop(open);
    while !format!("{resolver:?}").contains("under_way: 0") {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_connection_that_is_dropped_is_closed() {
    let mute = Mute::new();
    let connector = connector(None, |_| ());
    let (connected, _) = connect(&connector, &origin(Scheme::Tcp, mute.address()), Protocols::H1).await;
    drop(connected);
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);
}
