use super::*;
use crate::gateway::own::is_named;
use crate::gateway::{Connecting, Limits, UpstreamFailure};

fn settings(routes: Vec<Route>) -> Settings {
    Settings {
        naming: Arc::default(),
        routes: Routes::new(routes),
        forward: true,
        allow: Vec::new(),
        failure: UpstreamFailure::Close,
        limits: Limits::default(),
        connecting: Connecting::default(),
        tls: None,
        intercept: None,
    }
}

fn route(prefix: &str, upstream: &str) -> Route {
    Route {
        prefix: prefix.to_owned(),
        upstream: Base::parse(upstream).unwrap(),
        dependency: Some(("docs".into(), Some(Kind::Retrieval))),
        keeps_host: false,
        http2: false,
    }
}

fn ask(settings: &Settings, method: Method, target: &str) -> Found {
    let request = Request::builder().method(method).uri(target).body(()).unwrap();
    let own = ["127.0.0.1:9471".parse().unwrap(), "0.0.0.0:9500".parse().unwrap()];
    find(settings, &request, |host, port| is_named(&own, host, port))
}

/// Origin, target and `host`.
fn upstream(found: Found) -> (String, String, Option<String>) {
    match found {
        Found::Upstream { destination, target, host } => {
            let host = host.map(|host| host.to_str().unwrap().to_owned());
            (destination.origin.to_string(), target.to_string(), host)
        }
        other => panic!("{other:?}"),
    }
}

fn refused(found: Found) -> StatusCode {
    match found {
        Found::Refused(status, _) => status,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_longest_prefix_leads_and_its_base_takes_its_place() {
    let settings =
        settings(vec![route("/docs", "http://a:1/base/"), route("/docs/deep", "https://b"), route("/", "http://c:80")]);
    let get = |target| upstream(ask(&settings, Method::GET, target));
    let expect = |origin: &str, target: &str, host: &str| (origin.to_owned(), target.to_owned(), Some(host.to_owned()));
    assert_eq!(get("/docs/search?q=1"), expect("a:1", "/base/search?q=1", "a:1"));
    assert_eq!(get("/docs"), expect("a:1", "/base", "a:1"));
    assert_eq!(get("/docs?q=1"), expect("a:1", "/base?q=1", "a:1"));
    assert_eq!(get("/docs/deep/x"), expect("b:443", "/x", "b"));
    assert_eq!(get("/docs/deep"), expect("b:443", "/", "b"));
    // A word that only begins like the prefix is another one.
    assert_eq!(get("/docsearch"), expect("c:80", "/docsearch", "c"));
}

#[test]
fn an_absolute_target_is_passed_on_unless_it_is_the_gateway_itself() {
    let settings = settings(vec![route("/docs", "http://a:1")]);
    let get = |target| upstream(ask(&settings, Method::GET, target));
    assert_eq!(get("http://Else.where:8080/x?y").0, "else.where:8080");
    assert_eq!(get("http://[::1]:8080/x").0, "[::1]:8080");
    for own in ["http://127.0.0.1:9471/docs/x", "http://localhost:9471/docs/x", "http://127.0.0.1:9500/docs/x"] {
        assert_eq!(get(own).0, "a:1", "{own}");
    }
    assert_eq!(refused(ask(&settings, Method::GET, "http://127.0.0.1:9471/else")), StatusCode::NOT_FOUND);
    assert_eq!(refused(ask(&settings, Method::GET, "ftp://else.where/x")), StatusCode::BAD_REQUEST);
}

#[test]
fn tunnels_lead_elsewhere_alone() {
    let settings = settings(Vec::new());
    assert!(matches!(ask(&settings, Method::CONNECT, "api.example:443"), Found::Tunnel(origin) if origin.port == 443));
    assert_eq!(refused(ask(&settings, Method::CONNECT, "api.example")), StatusCode::BAD_REQUEST);
    assert_eq!(refused(ask(&settings, Method::CONNECT, "localhost:9471")), StatusCode::LOOP_DETECTED);
}

#[test]
fn what_is_no_forward_proxy_serves_its_routes_alone() {
    let settings = Settings { forward: false, ..settings(vec![route("/docs", "http://a:1")]) };
    assert_eq!(refused(ask(&settings, Method::GET, "http://else.where/x")), StatusCode::FORBIDDEN);
    assert_eq!(refused(ask(&settings, Method::CONNECT, "else.where:443")), StatusCode::FORBIDDEN);
    assert_eq!(upstream(ask(&settings, Method::GET, "/docs/x")).0, "a:1");
}

#[test]
fn a_route_names_its_dependency_unless_the_place_has_an_explicit_name() {
    let destination = |dependency| Destination { dependency, ..Destination::of(Origin::new(Scheme::Http, "a", 1)) };
    let routed = destination(Some(("docs".into(), None)));
    let named = |naming: &Naming| routed.name(naming, "/v1/chat/completions");
    let expect = |kind, name: &str| Named { kind, name: name.into(), explicit: true };
    assert_eq!(named(&Naming::default()), expect(Kind::Llm, "docs"));
    let rule = crate::model::naming::Rule { kind: Some(Kind::Tool), name: "mine".into(), host: "a".into(), port: Some(1) };
    assert_eq!(named(&Naming { rules: vec![rule], base_urls: Vec::new() }), expect(Kind::Tool, "mine"));
    assert_eq!(&*destination(None).name(&Naming::default(), "/").name, "a:1");
}

#[test]
fn base_urls_are_read_with_their_path_and_without_their_query() {
    let base = Base::parse("https://Api.Example/v1/?key=secret").unwrap();
    assert_eq!((base.authority().as_str(), base.path()), ("api.example:443", "/v1"));
    for wrong in ["", "api.example", "ftp://a/", "http://", "/v1", "http://h:99999", "http://[::1]:99999/v1"] {
        assert!(Base::parse(wrong).is_err(), "{wrong}");
    }
    for (text, authority) in
        [("http://1:1", "1:1"), ("http://h:/v1", "h:80"), ("https://[::1]", "[::1]:443"), ("http://u:p@h:8/", "h:8")]
    {
        assert_eq!(Base::parse(text).unwrap().authority(), authority, "{text}");
    }
}
