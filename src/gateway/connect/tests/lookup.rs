use super::*;
use crate::lookup::LookupError;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, MutexGuard};

const LOOPBACK: [SocketAddr; 1] = [SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0)];

/// A resolver that answers when it is told to.
#[derive(Clone, Default)]
struct Gated(Arc<(Mutex<State>, Condvar)>);

#[derive(Default)]
struct State {
    open: bool,
    asked: usize,
    under_way: usize,
    most: usize,
}

impl Gated {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap()
    }

    fn open(&self) {
        self.state().open = true;
        self.0.1.notify_all();
    }

    fn resolver(&self) -> Resolver {
        let gated = self.clone();
        Resolver::new(move |_, _| {
            let mut state = gated.state();
            state.asked += 1;
            state.under_way += 1;
            state.most = state.most.max(state.under_way);
            gated.0.1.notify_all();
            let mut state = gated.0.1.wait_while(state, |state| !state.open).unwrap();
            state.under_way -= 1;
            Ok(LOOPBACK.to_vec())
        })
    }

    /// Waits until so many were asked.
    async fn asked(&self, count: usize) {
        while self.state().asked < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

fn failing(error: impl Fn() -> io::Error + Send + Sync + 'static) -> Connector {
    connector(None, |options| options.resolver = Resolver::new(move |_, _| Err(error())))
}

#[tokio::test]
async fn a_name_that_is_not_there_fails_by_the_resolvers_reason() {
    // `.invalid` is never delegated (RFC 6761); without a network it is the name server that fails.
    let error = failure(&connector(None, |_| ()), &Origin::new(Scheme::Http, "hopwatch.invalid", 80)).await;
    let code = told(&error).3;
    assert!(["name_not_found", "name_server_failure"].contains(&code), "{error}");
    assert_eq!((error.phase, error.outcome, error.failed_by), (Phase::Dns, Outcome::Dns, FailedBy::Peer));
    assert!(error.to_string().starts_with("cannot resolve `hopwatch.invalid`: "), "{error}");
}

#[tokio::test]
async fn each_reason_of_the_resolver_has_its_code() {
    for (reason, code) in
        [(libc::EAI_NONAME, "name_not_found"), (libc::EAI_AGAIN, "name_server_failure"), (libc::EAI_FAIL, "name_resolution")]
    {
        let connector = failing(move || io::Error::other(LookupError::of_code(reason)));
        let error = failure(&connector, &Origin::new(Scheme::Tcp, "a.example", 1)).await;
        assert_eq!(told(&error), (Phase::Dns, Outcome::Dns, FailedBy::Peer, code));
        assert_eq!(error.errno, None);
    }
    let connector = failing(|| io::Error::from_raw_os_error(libc::EMFILE));
    let error = failure(&connector, &Origin::new(Scheme::Tcp, "a.example", 1)).await;
    assert_eq!(told(&error), (Phase::Dns, Outcome::Dns, FailedBy::Own, "too_many_open_files"));
    assert_eq!(error.errno, Some(libc::EMFILE));
}

#[tokio::test]
async fn a_silent_resolver_is_given_up_and_the_phase_can_be_read_meanwhile() {
    let gated = Gated::default();
    let connector = connector(None, |options| (options.resolver, options.lookup_timeout) = (gated.resolver(), SHORT));
    let steps = Steps::new(Anchor::new(0));
    let origin = Origin::new(Scheme::Http, "a.example", 80);
    let watch = async {
        gated.asked(1).await;
        steps.phase()
    };
    let (result, phase) = tokio::join!(connector.connect(&origin, Protocols::H1, &steps), watch);
    assert_eq!(phase, Some(Phase::Dns));
    let error = result.unwrap_err();
    assert_eq!(told(&error), (Phase::Dns, Outcome::Dns, FailedBy::Peer, "timeout"));
    assert!(error.to_string().contains("no answer within 0.3 s"), "{error}");
    gated.open();
}

#[tokio::test]
async fn an_address_asks_nobody() {
    let peer = peer::Peer::new(|mut stream| sockets::until_left(&mut stream));
    let asked = Arc::new(AtomicUsize::new(0));
    let resolver = Resolver::new({
        let asked = Arc::clone(&asked);
        move |_, _| {
            asked.fetch_add(1, Ordering::SeqCst);
            Ok(LOOPBACK.to_vec())
        }
    });
    let connector = connector(None, |options| options.resolver = resolver);
    let (_, phases) = connect(&connector, &origin(Scheme::Tcp, peer.address()), Protocols::H1).await;
    assert_eq!((phases, asked.load(Ordering::SeqCst)), (vec![Phase::Connect], 0));
}

#[tokio::test]
async fn all_who_ask_meanwhile_share_one_look_up_and_nothing_is_kept() {
    let gated = Gated::default();
    let resolver = gated.resolver();
    let host: Arc<str> = "a.example".into();
    let ask = || {
        tokio::spawn({
            let (resolver, host) = (resolver.clone(), Arc::clone(&host));
            async move { resolver.resolve(&host, Family::Any).await }
        })
    };
    let first = ask();
    gated.asked(1).await;
    let more: Vec<_> = (0..50).map(|_| ask()).collect();
    tokio::task::yield_now().await;
    gated.open();
    for asked in std::iter::once(first).chain(more) {
        assert_eq!(*asked.await.unwrap().unwrap(), LOOPBACK);
    }
    assert_eq!(gated.state().asked, 1);
    assert_eq!(*ask().await.unwrap().unwrap(), LOOPBACK);
    assert_eq!(gated.state().asked, 2);
    // Another family is another question.
    resolver.resolve(&host, Family::V6).await.unwrap();
    assert_eq!(gated.state().asked, 3);
}

#[tokio::test]
async fn few_look_ups_go_on_at_once_and_all_come_to_their_end() {
    let gated = Gated::default();
    let resolver = gated.resolver();
    let ask = |number: usize| {
        let resolver = resolver.clone();
        tokio::spawn(async move { resolver.resolve(&format!("{}.example", number / 2).into(), Family::Any).await })
    };
    let all: Vec<_> = (0..200).map(ask).collect();
    gated.asked(32).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(gated.state().under_way, 32);
    gated.open();
    for asked in all {
        asked.await.unwrap().unwrap();
    }
    let state = gated.state();
    assert_eq!((state.most, state.under_way), (32, 0));
    assert!((100..=200).contains(&state.asked), "{} look-ups", state.asked);
}

#[tokio::test]
async fn a_look_up_that_is_left_is_joined_by_the_next() {
    let gated = Gated::default();
    let resolver = gated.resolver();
    let host: Arc<str> = "a.example".into();
    let left = tokio::spawn({
        let (resolver, host) = (resolver.clone(), Arc::clone(&host));
        async move { resolver.resolve(&host, Family::Any).await }
    });
    gated.asked(1).await;
    left.abort();
    assert!(left.await.unwrap_err().is_cancelled());
    let next = resolver.resolve(&host, Family::Any);
    gated.open();
    next.await.unwrap();
    assert!(format!("{resolver:?}").contains("under_way: 0"));
}

#[tokio::test]
async fn a_family_that_is_asked_for_is_kept_to() {
    let v6_alone = |options: &mut ConnectorOptions| {
        options.family = Family::V6;
        options.resolver = Resolver::new(|_, family| {
            assert_eq!(family, Family::V6);
            Ok(LOOPBACK.to_vec())
        });
    };
    for host in ["a.example", "127.0.0.1"] {
        let error = *connector(None, v6_alone)
            .connect(&Origin::new(Scheme::Http, host, 80), Protocols::H1, &Steps::new(Anchor::new(0)))
            .await
            .unwrap_err();
        assert_eq!(told(&error), (Phase::Dns, Outcome::Dns, FailedBy::Peer, "name_not_found"));
    }
}
