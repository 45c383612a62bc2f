//! Where the time of a call of a watched `reqwest` client goes: faults of the network, one phase each.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use hopwatch::export::report::HopReport;
use hopwatch::instrument::hop::Hop;
use hopwatch::instrument::reqwest::{watch, watch_tls, watch_with};
use hopwatch::model::{ConnectionState, FailedBy, Kind, Outcome, Phase};
use hopwatch::watch::Hopwatch;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Body, Client};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;

use crate::clients::builder;
use crate::endings::{LIMIT, hops, last_phase, names, only_hop, phases, sums};
use crate::support::authority::Authority;
use crate::support::peers::{Mute, Unanswered, refused};
use crate::support::replies::{CHAT, completion, stream};
use crate::support::script::{Script, Step};
use crate::support::server::{Router, Server};

/// A resolver that takes its time, or never answers.
pub(crate) struct Slow(pub(crate) Option<Duration>);

impl Resolve for Slow {
    fn resolve(&self, _: Name) -> Resolving {
        let delay = self.0;
        Box::pin(async move {
            match delay {
                Some(delay) => tokio::time::sleep(delay).await,
                None => std::future::pending().await,
            }
            Ok(Box::new(std::iter::once(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0))) as Addrs)
        })
    }
}

fn ok_server() -> Server {
    Router::new().route("/", |_| Script::json(&json!({"text": "fine"}))).start()
}

/// Trusts this authority alone.
pub(crate) fn trusting(authority: &Authority) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority.file()).unwrap()).unwrap();
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// Makes calls of one hop inside one run and gives what was told of them.
pub(crate) async fn told<T>(kind: Kind, calls: impl AsyncFnOnce(Hop) -> T) -> (T, Vec<HopReport>) {
    let watch = Hopwatch::builder().service("doors").build().unwrap();
    let hop = watch.hop(kind, "dependency");
    let output = watch.scope("run").run(calls(hop)).await.unwrap();
    let told = hops(&watch);
    told.iter().for_each(sums);
    (output, told)
}

/// Most of the call is in this phase, whatever held the caller up meanwhile on a busy machine.
#[track_caller]
fn mostly(hop: &HopReport, phase: Phase) {
    let time = |wanted: &dyn Fn(Phase) -> bool| -> f64 {
        phases(hop).into_iter().filter(|(name, _)| wanted(*name)).map(|(_, time)| time).sum()
    };
    let callers = time(&Phase::is_callers);
    assert!(time(&|name| name == phase) > (hop.duration_ms - callers) * 0.8, "not in {phase}: {hop:#?}");
}

/// The client's own limit ran out in this phase.
#[track_caller]
fn timed_out_in(hop: &HopReport, phase: Phase) {
    assert_eq!((hop.outcome, hop.failed_by), (Some(Outcome::Timeout), Some(FailedBy::Caller)), "{hop:#?}");
    assert_eq!(hop.error_type.as_deref(), Some("timeout"));
    mostly(hop, phase);
    assert_eq!(last_phase(hop), Some(phase), "{hop:#?}");
}

#[tokio::test]
async fn a_total_timeout_is_told_in_the_phase_it_ran_out_in() {
    let mute = Mute::new();
    let unanswered = Unanswered::new();
    let silent = |client: Client, url: String| async move {
        let (error, told) = told(Kind::Tool, async |hop| hop.send(client.get(url)).await.unwrap_err()).await;
        assert!(error.is_timeout());
        told.into_iter().next().unwrap()
    };
    // Alone, the error is the same each time.
    let limited = || builder().timeout(LIMIT);
    let dns = silent(watch_with(limited(), Slow(None)).build().unwrap(), "http://silent.test/".to_owned()).await;
    timed_out_in(&dns, Phase::Dns);
    let connect = silent(watch(limited()).build().unwrap(), format!("http://{}/", unanswered.address())).await;
    timed_out_in(&connect, Phase::Connect);
    let mut tls = trusting(&Authority::new());
    watch_tls(&mut tls);
    let client = watch(limited().tls_backend_preconfigured(tls)).build().unwrap();
    timed_out_in(&silent(client, format!("https://localhost:{}/", mute.address().port())).await, Phase::Tls);
    let wait = silent(watch(limited()).build().unwrap(), format!("http://{}/", mute.address())).await;
    timed_out_in(&wait, Phase::Wait);
}

#[tokio::test]
async fn a_connect_timeout_is_told_in_the_phase_it_ran_out_in() {
    let unanswered = Unanswered::new();
    let limited = || builder().connect_timeout(LIMIT);
    let client = watch_with(limited(), Slow(None)).build().unwrap();
    let (_, dns) = told(Kind::Tool, async |hop| hop.send(client.get("http://silent.test/")).await.unwrap_err()).await;
    timed_out_in(&dns[0], Phase::Dns);
    let client = watch(limited()).build().unwrap();
    let url = format!("http://{}/", unanswered.address());
    let (error, connect) = told(Kind::Tool, async |hop| hop.send(client.get(url)).await.unwrap_err()).await;
    assert!(error.is_connect() && error.is_timeout());
    timed_out_in(&connect[0], Phase::Connect);
}

#[tokio::test]
async fn a_caller_that_leaves_is_told_in_the_phase_it_left_in() {
    let unanswered = Unanswered::new();
    for (client, url, phase) in [
        (watch_with(builder(), Slow(None)).build().unwrap(), "http://silent.test/".to_owned(), Phase::Dns),
        (watch(builder()).build().unwrap(), format!("http://{}/", unanswered.address()), Phase::Connect),
    ] {
        let (_, told) =
            told(Kind::Tool, async |hop| tokio::time::timeout(LIMIT, hop.send(client.get(url))).await.unwrap_err()).await;
        assert_eq!((told[0].outcome, told[0].failed_by), (Some(Outcome::Cancelled), Some(FailedBy::Caller)));
        mostly(&told[0], phase);
    }
}

#[tokio::test]
async fn a_run_that_is_cut_tells_the_open_call_in_its_phase() {
    let mute = Mute::new();
    let watch = Hopwatch::builder().build().unwrap();
    let hop = watch.hop(Kind::Tool, "dependency");
    let client = watch.reqwest(builder()).build().unwrap();
    let url = format!("http://{}/", mute.address());
    let run = watch.scope("run").deadline(LIMIT).run(hop.send(client.get(url)));
    let error = run.await.unwrap_err();
    assert!(error.is_deadline());
    let told = only_hop(&watch);
    mostly(&told, Phase::Wait);
    assert!(error.to_string().contains("dependency"), "{error}");
    assert_eq!(watch.losses().recorded, 1);
}

#[tokio::test]
async fn a_fresh_connection_has_its_set_up_and_the_next_call_reuses_it() {
    let server = ok_server();
    let delay = Duration::from_millis(120);
    let client = watch_with(builder(), Slow(Some(delay))).build().unwrap();
    let url = format!("http://docs.test:{}/", server.port());
    let (_, told) = told(Kind::Tool, async |hop| {
        for _ in 0..2 {
            hop.send(client.get(&url)).await.unwrap().bytes().await.unwrap();
            // hyper takes a connection back a moment after its body ended.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let [first, second] = told.as_slice() else { panic!("{told:#?}") };
    assert!(phases(first).contains(&(Phase::Dns, first.phases.dns.unwrap())) && first.phases.dns.unwrap() >= 110.0, "{first:#?}");
    assert_eq!(first.client.connection, Some(ConnectionState::New));
    assert_eq!(second.client.connection, Some(ConnectionState::Reused));
    assert_eq!((second.phases.dns, second.phases.connect), (None, None), "{second:#?}");
    assert!(second.attempts[0].idle_ms.is_some_and(|idle| idle >= 40.0), "{second:#?}");
    assert_eq!(server.connections(), 1);
    assert_eq!(second.address.as_deref(), Some(&*format!("127.0.0.1:{}", server.port())));
}

#[tokio::test]
async fn a_client_that_keeps_no_connection_and_a_new_client_for_each_call_connect_each_time() {
    let server = ok_server();
    let (_, told) = told(Kind::Tool, async |hop| {
        let none_kept = watch(builder().pool_max_idle_per_host(0)).build().unwrap();
        for _ in 0..2 {
            hop.send(none_kept.get(server.url("/"))).await.unwrap().bytes().await.unwrap();
        }
        for _ in 0..2 {
            // As somebody else builds it.
            let another = builder().build().unwrap();
            hop.send(another.get(server.url("/"))).await.unwrap().bytes().await.unwrap();
        }
    })
    .await;
    assert_eq!(told.len(), 4);
    assert!(told.iter().all(|hop| hop.client.connection == Some(ConnectionState::New)), "{told:#?}");
    assert_eq!(server.connections(), 4);
}

#[tokio::test]
async fn slow_heads_dripping_bodies_and_trailing_bytes_are_timed_to_the_end() {
    let server = Router::new()
        .route("/", |_| {
            let head = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n".to_vec();
            let drip = |script: Script| script.delay(60).then(Step::Bytes(b"xx".to_vec()));
            drip(drip(drip(Script::new().delay(150).then(Step::Bytes(head)))))
        })
        .start();
    let client = watch(builder()).build().unwrap();
    let (body, told) = told(Kind::Tool, async |hop| {
        let mut response = hop.send(client.get(server.url("/"))).await.unwrap();
        let mut body = Vec::new();
        // Stops where the length says that it is all, and never asks for the end.
        while body.len() < 6 {
            body.extend_from_slice(&response.chunk().await.unwrap().unwrap());
        }
        body
    })
    .await;
    assert_eq!(body, b"xxxxxx");
    let hop = &told[0];
    assert_eq!((hop.outcome, hop.bytes.received), (Some(Outcome::Ok), 6));
    for (phase, least) in [(hop.phases.wait, 100.0), (hop.phases.first_token, 30.0), (hop.phases.stream, 60.0)] {
        assert!(phase.is_some_and(|time| time >= least), "{hop:#?}");
    }
}

#[tokio::test]
async fn an_open_call_is_reported_in_the_phase_it_is_in() {
    let watch_handle = Hopwatch::builder().build().unwrap();
    let hop = watch_handle.hop(Kind::Tool, "dependency");
    let client = watch_with(builder(), Slow(None)).build().unwrap();
    let looks = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        only_hop(&watch_handle)
    };
    let open = watch_handle.scope("run").run(async {
        tokio::select! {
            _ = hop.send(client.get("http://silent.test/")) => panic!("nothing was found"),
            open = looks => open,
        }
    });
    let open = open.await.unwrap();
    assert!(open.open && open.outcome.is_none(), "{open:#?}");
    assert_eq!(open.current_phase, Some(Phase::Dns));
}

#[tokio::test]
async fn a_handshake_is_told_from_the_connect_where_its_start_is_seen() {
    let authority = Authority::new();
    let server = Router::new().route("/", |_| Script::json(&json!({}))).start_tls(&authority);
    let mut tls = trusting(&authority);
    watch_tls(&mut tls);
    let seen = watch(builder().tls_backend_preconfigured(tls)).build().unwrap();
    let unseen = watch(builder().tls_backend_preconfigured(trusting(&authority))).build().unwrap();
    let (_, told) = told(Kind::Tool, async |hop| {
        for client in [seen, unseen] {
            hop.send(client.get(server.url("/"))).await.unwrap().bytes().await.unwrap();
        }
    })
    .await;
    let set_up = |hop: &HopReport| names(hop).into_iter().take_while(|phase| *phase != Phase::Wait).collect::<Vec<_>>();
    assert_eq!(set_up(&told[0]), [Phase::Dns, Phase::Connect, Phase::Tls]);
    assert_eq!(set_up(&told[1]), [Phase::Dns, Phase::Connect]);
}

/// Answers at once for the first call, late for the others.
struct SlowAfterTheFirst(std::sync::atomic::AtomicBool);

impl Resolve for SlowAfterTheFirst {
    fn resolve(&self, name: Name) -> Resolving {
        let again = self.0.swap(true, std::sync::atomic::Ordering::SeqCst);
        Slow(Some(Duration::from_millis(if again { 2_000 } else { 0 }))).resolve(name)
    }
}

#[tokio::test]
async fn a_call_that_gets_anothers_connection_waited_in_the_pool_and_orphaned_its_own_connect() {
    let server =
        Router::new().route("/slow", |_| Script::json(&json!({})).after(300)).route("/", |_| Script::json(&json!({}))).start();
    let client = watch_with(builder(), SlowAfterTheFirst(false.into())).build().unwrap();
    let url = |path: &str| format!("http://docs.test:{}{path}", server.port());
    let (_, told) = told(Kind::Tool, async |hop| {
        let slow = async { hop.send(client.get(url("/slow"))).await.unwrap().bytes().await.unwrap() };
        let other = async {
            // While the first one is being answered there is no free connection.
            tokio::time::sleep(Duration::from_millis(100)).await;
            hop.send(client.get(url("/"))).await.unwrap().bytes().await.unwrap()
        };
        tokio::join!(slow, other)
    })
    .await;
    let [first, second] = told.as_slice() else { panic!("{told:#?}") };
    assert_eq!([first.client.connection, second.client.connection], [Some(ConnectionState::New), Some(ConnectionState::Reused)]);
    // Its own connect had not even resolved the name.
    mostly(second, Phase::Pool);
    assert!(second.duration_ms < 1_000.0 && second.phases.dns.is_none(), "{second:#?}");
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_redirect_to_another_host_is_one_call_that_connects_twice() {
    let there = ok_server();
    let location = there.url("/");
    let here = Router::new()
        .route("/moved", move |_| {
            let head = format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
            Script::new().delay(100).then(Step::Bytes(head.into_bytes()))
        })
        .start();
    let client = watch(builder()).build().unwrap();
    let (response, told) = told(Kind::Tool, async |hop| {
        let response = hop.send(client.get(here.url("/moved"))).await.unwrap();
        (response.url().to_string(), response.bytes().await.unwrap())
    })
    .await;
    assert_eq!(response.0, there.url("/"));
    assert_eq!(told.len(), 1);
    assert!(told[0].phases.wait.is_some_and(|wait| wait >= 80.0), "{told:#?}");
    assert_eq!(told[0].address.as_deref(), Some(&*format!("127.0.0.1:{}", there.port())));
}

#[tokio::test]
async fn an_upload_that_the_server_does_not_read_is_told_as_sending() {
    // Accepted by the kernel; nobody reads.
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = watch(builder().timeout(LIMIT)).build().unwrap();
    let chunks = futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b'x'; 64 * 1024]));
    let url = format!("http://{}/", deaf.local_addr().unwrap());
    let request = client.post(url).body(Body::wrap_stream(chunks));
    let (error, told) = told(Kind::Tool, async |hop| hop.send(request).await.unwrap_err()).await;
    assert!(error.is_timeout());
    timed_out_in(&told[0], Phase::Send);
    assert!(told[0].bytes.sent > 0);
}

#[tokio::test]
async fn a_streamed_answer_tells_its_first_token_and_its_tokens() {
    let server = Router::new()
        .route(CHAT, |request| if request.number == 0 { stream(3, 60, 40, 7) } else { completion("hello", 12, 3) })
        .start();
    let client = watch(builder()).build().unwrap();
    let (_, told) = told(Kind::Llm, async |hop| {
        for stream in [true, false] {
            let asked = json!({"model": "gpt-asked", "stream": stream, "messages": []});
            hop.send(client.post(server.url(CHAT)).json(&asked)).await.unwrap().bytes().await.unwrap();
        }
    })
    .await;
    let [streamed, whole] = told.as_slice() else { panic!("{told:#?}") };
    assert!(streamed.phases.first_token.is_some_and(|first| first >= 30.0), "{streamed:#?}");
    assert!(streamed.phases.stream.is_some_and(|rest| rest >= 60.0), "{streamed:#?}");
    assert_eq!((streamed.tokens.input, streamed.tokens.output, streamed.stream), (Some(40), Some(7), Some(true)));
    assert_eq!((whole.tokens.input, whole.tokens.output, whole.stream), (Some(12), Some(3), Some(false)));
    assert_eq!(whole.model.as_deref(), Some("gpt-test"));
}

#[tokio::test]
async fn a_stream_that_stalls_over_the_limit_timed_out_in_its_stream() {
    let server = Router::new().route("/", |_| Script::event_stream().event("one").then(Step::Stall)).start();
    let client = watch(builder().read_timeout(LIMIT)).build().unwrap();
    let (error, told) =
        told(Kind::Llm, async |hop| hop.send(client.get(server.url("/"))).await.unwrap().bytes().await.unwrap_err()).await;
    assert!(error.is_timeout() && error.is_decode());
    timed_out_in(&told[0], Phase::Stream);
    assert!(told[0].gave_up_after_ms.is_some_and(|after| after >= 490.0), "{told:#?}");
}

#[tokio::test]
async fn a_refusal_tells_how_long_to_wait() {
    let server = Router::new().route("/", |_| Script::answer(429, &[("retry-after", "3")], &json!({}))).start();
    let client = watch(builder()).build().unwrap();
    let (_, told) = told(Kind::Llm, async |hop| drop(hop.send(client.get(server.url("/"))).await.unwrap())).await;
    assert_eq!((told[0].outcome, told[0].status), (Some(Outcome::RateLimited), Some(429)));
    assert_eq!(told[0].attempts[0].retry_after_ms, Some(3_000.0));
    assert_eq!(told[0].error_type.as_deref(), Some("429"));
}

#[tokio::test]
async fn an_answer_whose_body_nobody_asked_for_is_no_failure_and_a_stream_is_cancelled() {
    let server = Router::new()
        .route("/plain", |_| Script::json(&json!({"text": "fine"})))
        .route("/events", |_| Script::event_stream().then(Step::Stall))
        .start();
    let client = watch(builder()).build().unwrap();
    let (_, told) = told(Kind::Llm, async |hop| {
        for path in ["/plain", "/events"] {
            drop(hop.send(client.get(server.url(path))).await.unwrap());
        }
    })
    .await;
    assert_eq!([told[0].outcome, told[1].outcome], [Some(Outcome::Ok), Some(Outcome::Cancelled)]);
}

#[tokio::test]
async fn a_stream_that_is_left_after_it_said_it_is_done_is_no_failure() {
    // The end of the body never comes; clients of OpenAI's streams do not wait for it.
    let server =
        Router::new().route("/", |_| Script::event_stream().event("{\"x\":1}").event("[DONE]").then(Step::Stall)).start();
    let client = watch(builder()).build().unwrap();
    let (_, told) = told(Kind::Llm, async |hop| {
        let mut response = hop.send(client.get(server.url("/"))).await.unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"[DONE]\n\n") {
            seen.extend_from_slice(&response.chunk().await.unwrap().unwrap());
        }
    })
    .await;
    assert_eq!((told[0].outcome, told[0].failed_by), (Some(Outcome::Ok), None), "{told:#?}");
}

#[tokio::test]
async fn a_connection_that_the_server_closed_meanwhile_is_told_as_reused_and_reset() {
    let server = Router::new()
        .route("/", |request| if request.number == 0 { Script::json(&json!({})) } else { Script::new().then(Step::Close) })
        .start();
    let client = watch(builder()).build().unwrap();
    let (_, told) = told(Kind::Tool, async |hop| {
        hop.send(client.get(server.url("/"))).await.unwrap().bytes().await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        hop.send(client.get(server.url("/"))).await.unwrap_err();
    })
    .await;
    let second = &told[1];
    assert_eq!((second.outcome, second.failed_by), (Some(Outcome::Reset), Some(FailedBy::Peer)));
    assert_eq!(second.client.connection, Some(ConnectionState::Reused));
    assert_eq!(second.error_type.as_deref(), Some("connection_closed"));
}

#[tokio::test]
async fn a_timed_send_tells_the_set_up_by_its_context() {
    let server = ok_server();
    let delay = Duration::from_millis(300);
    let client = watch_with(builder(), Slow(Some(delay))).build().unwrap();
    let url = format!("http://docs.test:{}/", server.port());
    let unanswered = Unanswered::new();
    let limited = watch(builder().timeout(LIMIT)).build().unwrap();
    let (_, told) = told(Kind::Tool, async |hop| {
        hop.try_time(client.get(&url).send()).await.unwrap();
        hop.try_time(limited.get(format!("http://{}/", unanswered.address())).send()).await.unwrap_err();
    })
    .await;
    mostly(&told[0], Phase::Dns);
    assert_eq!(told[0].client.connection, Some(ConnectionState::New));
    mostly(&told[1], Phase::Connect);
    assert_eq!(told[1].outcome, Some(Outcome::Timeout));
}

#[tokio::test]
async fn a_call_that_is_never_sent_fails_as_the_callers() {
    let client = watch(builder()).build().unwrap();
    let (error, told) = told(Kind::Tool, async |hop| hop.send(client.get("no url")).await.unwrap_err()).await;
    assert!(error.is_builder());
    assert_eq!((told[0].outcome, told[0].failed_by), (Some(Outcome::Error), Some(FailedBy::Caller)));
    assert_eq!(told[0].error_type.as_deref(), Some("request"));
}

#[tokio::test]
async fn trace_context_goes_along_when_asked_and_names_the_call_as_the_parent() {
    let server = ok_server();
    let client = watch(builder()).build().unwrap();
    let (_, told) = told(Kind::Tool, async |hop| {
        drop(hop.send(client.get(server.url("/"))).await.unwrap());
        drop(hop.send(client.get(server.url("/"))).propagate().await.unwrap());
        let own = "00-11111111111111111111111111111111-2222222222222222-01";
        drop(hop.send(client.get(server.url("/")).header("traceparent", own)).propagate().await.unwrap());
    })
    .await;
    let sent = |number: usize| String::from_utf8(server.requests()[number].bytes.clone()).unwrap();
    assert!(!sent(0).contains("traceparent"));
    assert!(sent(1).contains(&format!("-{}-01\r\n", told[1].id)), "{}", sent(1));
    assert!(sent(2).contains("-2222222222222222-01"), "{}", sent(2));
}

#[tokio::test]
async fn nothing_secret_of_a_request_or_its_failure_is_told() {
    let server = Router::new().route("/", |_| Script::answer(500, &[], &json!({"error": "secret"}))).start();
    let client = watch(builder()).build().unwrap();
    let with_secrets = |port: u16| {
        let url = format!("http://user:secret@127.0.0.1:{port}/?key=secret#secret");
        client.post(url).bearer_auth("secret").body(r#"{"prompt": "secret"}"#)
    };
    let (_, told) = told(Kind::Llm, async |hop| {
        drop(hop.send(with_secrets(server.port())).await.unwrap().bytes().await);
        drop(hop.send(with_secrets(refused().port())).await.unwrap_err());
    })
    .await;
    assert_eq!(told.len(), 2);
    assert!(!format!("{told:?}").contains("secret"), "{told:#?}");
}

#[tokio::test]
async fn what_is_polled_nowhere_is_no_call() {
    let watch = Hopwatch::builder().build().unwrap();
    let client = watch.reqwest(builder()).build().unwrap();
    drop(watch.hop(Kind::Tool, "dependency").send(client.get(format!("http://{}/", refused()))));
    assert_eq!(watch.losses().started, 0);
}
