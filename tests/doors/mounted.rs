//! The report as a service: nested in axum under any path, or alone, with and without a runtime.

use std::future::Future;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use hopwatch::model::Kind;
use hopwatch::{Ending, Hopwatch, Outcome};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tower::{Service, ServiceExt};

async fn watched() -> Hopwatch {
    let watch = Hopwatch::builder().service("mounted").build().unwrap();
    let docs = watch.hop(Kind::Retrieval, "docs");
    watch.scope("support").run(docs.time(async {})).await.unwrap();
    watch
}

/// Asks the service itself.
async fn ask(watch: &Hopwatch, method: Method, path: &str, accept: &str) -> (StatusCode, http::HeaderMap, String) {
    let request = Request::builder().method(method).uri(path).header("accept", accept).body(()).unwrap();
    let response = watch.service().oneshot(request).await.unwrap();
    read(response).await
}

async fn read<B>(response: Response<B>) -> (StatusCode, http::HeaderMap, String)
where
    B: http_body::Body<Error: std::fmt::Debug>,
{
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (parts.status, parts.headers, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn the_report_is_told_as_json_and_as_text() {
    let watch = watched().await;
    let (status, headers, body) = ask(&watch, Method::GET, "/api/report?pretty", "*/*").await;
    assert_eq!((status, &headers["content-type"]), (StatusCode::OK, &"application/json".parse().unwrap()));
    assert_eq!(headers["content-length"], body.len().to_string());
    assert_eq!(headers["cache-control"], "no-store");
    let report: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(report["schema"], "hopwatch.report/1");
    assert_eq!(report["runs"][0]["hops"][0]["dependency"], "docs");
    let (_, headers, body) = ask(&watch, Method::GET, "/api/report", "text/html, text/plain;q=0.9").await;
    assert_eq!(headers["content-type"], "text/plain; charset=utf-8");
    assert!(body.contains("support") && body.contains("retrieval/docs"), "{body}");
    assert!(ask(&watch, Method::GET, "/", "*/*").await.2.contains("support"));
    assert!(ask(&watch, Method::GET, "/", "application/json").await.2.starts_with('{'));
}

#[tokio::test(start_paused = true)]
async fn open_calls_are_told_the_oldest_first_with_what_is_usual() {
    let watch = Hopwatch::builder().build().unwrap();
    let (docs, llm) = (watch.hop(Kind::Retrieval, "docs"), watch.hop(Kind::Llm, "openai"));
    for _ in 0..4 {
        docs.time(tokio::time::sleep(Duration::from_millis(200))).await;
    }
    watch.flush();
    let older = docs.start();
    tokio::time::advance(Duration::from_millis(700)).await;
    let younger = llm.start();
    let (_, _, body) = ask(&watch, Method::GET, "/api/open", "*/*").await;
    let open: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(open["schema"], "hopwatch.open/1");
    let hops = open["hops"].as_array().unwrap();
    let told: Vec<_> = hops.iter().map(|hop| (hop["dependency"].as_str().unwrap(), hop["phase"].as_str().unwrap())).collect();
    assert_eq!(told, [("docs", "wait"), ("openai", "wait")]);
    assert_eq!((&hops[0]["age_ms"], &hops[0]["usual_ms"], &hops[0]["run"]), (&700.0.into(), &200.0.into(), &Value::Null));
    assert_eq!((&hops[1]["age_ms"], &hops[1]["usual_ms"]), (&0.0.into(), &Value::Null));
    let text = ask(&watch, Method::GET, "/api/open", "text/plain").await.2;
    assert!(text.contains("2 calls open") && text.contains("normally"), "{text}");
    older.end(Ending::ok());
    younger.end(Ending::of(Outcome::Reset));
    assert!(ask(&watch, Method::GET, "/api/open", "text/plain").await.2.contains("no call is open"));
}

#[tokio::test]
async fn what_is_not_there_and_what_is_not_allowed_are_said() {
    let watch = watched().await;
    let (status, _, body) = ask(&watch, Method::GET, "/api/secrets", "*/*").await;
    assert_eq!((status, body.contains("/api/report")), (StatusCode::NOT_FOUND, true));
    let (status, headers, _) = ask(&watch, Method::POST, "/api/report", "*/*").await;
    assert_eq!((status, &headers["allow"]), (StatusCode::METHOD_NOT_ALLOWED, &"GET, HEAD".parse().unwrap()));
    let (status, headers, body) = ask(&watch, Method::HEAD, "/api/report", "*/*").await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, ""));
    assert!(headers["content-length"].to_str().unwrap().parse::<usize>().unwrap() > 100);
}

#[tokio::test]
async fn it_is_mounted_in_axum_at_any_path() {
    let watch = watched().await;
    let router =
        axum::Router::new().nest_service("/debug/hopwatch", watch.service()).route_service("/kept/api/report", watch.service());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    for (path, begins) in [
        ("/debug/hopwatch/api/report", "{\"schema\":\"hopwatch.report/1\""),
        ("/debug/hopwatch", "run "),
        ("/debug/hopwatch/", "run "),
        ("/kept/api/report", "{\"schema\":\"hopwatch.report/1\""),
    ] {
        let (status, _, body) = read(client.get(format!("http://{address}{path}").parse().unwrap()).await.unwrap()).await;
        assert!(status == StatusCode::OK && body.starts_with(begins), "{path}: {status} {body}");
    }
    let head = Request::head(format!("http://{address}/debug/hopwatch/api/report")).body(Empty::new()).unwrap();
    let (_, headers, _) = read(client.request(head).await.unwrap()).await;
    assert!(headers["content-length"].to_str().unwrap().parse::<usize>().unwrap() > 100);
    server.abort();
}

#[test]
fn without_a_runtime_it_answers_at_once() {
    let watch = Hopwatch::builder().build().unwrap();
    let answer = std::pin::pin!(watch.service().call(Request::new(())));
    let Poll::Ready(Ok(response)) = answer.poll(&mut Context::from_waker(Waker::noop())) else { panic!("it waits for nothing") };
    assert_eq!(response.status(), StatusCode::OK);
}
