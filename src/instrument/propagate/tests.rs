use super::*;
use crate::instrument::recorder::Recorder;
use crate::instrument::run::{OpenRun, RunStart};
use proptest::prelude::*;
use std::collections::HashMap;
use std::sync::Arc;

/// The example of the specification.
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn of(headers: &[(&'static str, &str)]) -> Remote {
    Remote::extract_with(|name| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value))
}

/// The headers that are sent from here.
fn sent() -> HashMap<&'static str, String> {
    let mut sent = HashMap::new();
    inject_with(|name, value| assert!(sent.insert(name, value.to_owned()).is_none()));
    sent
}

#[test]
fn the_specifications_example_is_read_and_printed() {
    let parent = TraceParent::parse(PARENT).unwrap();
    assert_eq!(parent.trace.to_string(), "0af7651916cd43dd8448eb211c80319c");
    assert_eq!((parent.span, parent.flags), (SpanId(0xb7ad_6b71_6920_3331), 1));
    assert_eq!(parent.to_string(), PARENT);
}

#[test]
fn a_parent_that_breaks_the_rules_is_none() {
    let replaced = |from: &str, to: &str| PARENT.replacen(from, to, 1);
    for bad in [
        String::new(),
        "00".into(),
        "é".repeat(40),
        PARENT[..54].into(),
        format!("{PARENT}-00"),
        format!("{PARENT} x"),
        PARENT.to_uppercase(),
        replaced("00-", "ff-"),
        replaced("00-", "0g-"),
        replaced("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
        replaced("b7ad6b7169203331", &"0".repeat(16)),
        replaced("-b7", "_b7"),
        replaced("-01", "-0x"),
        format!("01{}extra", &PARENT[2..]),
    ] {
        assert_eq!(TraceParent::parse(&bad), None, "{bad}");
    }
}

#[test]
fn of_a_later_version_what_is_known_is_read() {
    let later = TraceParent::parse(&format!("01{}-what-comes-then", &PARENT[2..])).unwrap();
    assert_eq!(later.to_string(), PARENT);
    assert_eq!(TraceParent::parse(&format!("cc{}", &PARENT[2..])), Some(later));
    // Flags that nobody knows are not passed on; that the id is random is.
    assert_eq!(TraceParent::parse(&PARENT.replace("-01", "-ff")).unwrap().flags, 3);
}

#[test]
fn a_state_is_passed_on_as_it_came_or_not_at_all() {
    let state = |text: &str| of(&[(TRACEPARENT, PARENT), (TRACESTATE, text)]).tracestate().map(str::to_owned);
    assert_eq!(state("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE").as_deref(), Some("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"));
    assert_eq!(state(" a=1 ,\t, fw529a3039@dt=x y ").as_deref(), Some("a=1,fw529a3039@dt=x y"));
    for bad in ["", " , ", "a", "A=1", "a=1,a=2", "=1", "a=", "a=b=c", "a=\u{e9}", "1a=2", "a@=1"] {
        assert_eq!(state(bad), None, "{bad:?}");
    }
    let many: Vec<String> = (0..33).map(|nth| format!("k{nth}=v")).collect();
    assert_eq!(state(&many.join(",")), None);
    assert_eq!(of(&[(TRACESTATE, "a=1")]), Remote::default(), "a state without its parent");
}

#[test]
fn of_a_long_state_the_long_members_go_first_and_then_the_last() {
    let state = |text: &str| of(&[(TRACEPARENT, PARENT), (TRACESTATE, text)]).tracestate().map(str::to_owned);
    let long = format!("long={}", "x".repeat(200));
    let short: Vec<String> = (0..4).map(|nth| format!("k{nth}={}", "y".repeat(100))).collect();
    assert_eq!(state(&format!("{long},{}", short.join(","))).unwrap(), short.join(","));
    let five: Vec<String> = (0..5).map(|nth| format!("k{nth}={}", "y".repeat(100))).collect();
    assert_eq!(state(&five.join(",")).unwrap(), five[..4].join(","));
}

#[test]
fn baggage_is_passed_on_read_and_added_to() {
    let mut remote = of(&[(BAGGAGE, "tenant = acme%20inc ; ttl=5;secret , broken, user=%C3%A9, =no")]);
    assert_eq!(remote.baggage("tenant").as_deref(), Some("acme inc"));
    assert_eq!(remote.baggage("user").as_deref(), Some("é"));
    assert_eq!(remote.baggage("broken"), None);
    assert!(remote.set_baggage("user", "a,b;c\"d\\e%é"));
    assert_eq!(remote.baggage("user").as_deref(), Some("a,b;c\"d\\e%é"));
    assert_eq!(remote.baggage.as_deref(), Some("tenant = acme%20inc ; ttl=5;secret,user=a%2Cb%3Bc%22d%5Ce%25%C3%A9"));
    assert!(!remote.set_baggage("no key", "x"));
    assert!(!remote.set_baggage("huge", &"x".repeat(baggage::BYTES_MAX)));
    assert_eq!(remote.baggage("user").as_deref(), Some("a,b;c\"d\\e%é"), "what does not fit changes nothing");
}

#[test]
fn what_a_run_adds_to_the_baggage_stays_whoever_calls() {
    let mut caller = Remote::default();
    assert!(caller.set_baggage("tenant", "own one"));
    caller.called_by(of(&[(TRACEPARENT, PARENT), (BAGGAGE, "tenant=theirs,user=7")]));
    assert_eq!(caller.span_id(), Some(SpanId(0xb7ad_6b71_6920_3331)));
    assert_eq!((caller.baggage("tenant").as_deref(), caller.baggage("user").as_deref()), (Some("own one"), Some("7")));
}

#[test]
fn a_run_calls_as_itself_and_passes_on_what_its_caller_wants() {
    assert!(sent().is_empty(), "nothing is sent from nowhere");
    let recorder = Arc::new(Recorder::new("test"));
    let caller = of(&[(TRACEPARENT, PARENT), (TRACESTATE, "a=1"), (BAGGAGE, "tenant=acme")]);
    let mut run = OpenRun::begin(&recorder, RunStart { caller, ..RunStart::new("support") });
    let headers = run.poll_in(sent);
    let parent = TraceParent::parse(&headers[TRACEPARENT]).unwrap();
    assert_eq!(parent.trace, TraceParent::parse(PARENT).unwrap().trace);
    assert_ne!(parent.span, TraceParent::parse(PARENT).unwrap().span);
    assert_eq!((&*headers[TRACESTATE], &*headers[BAGGAGE]), ("a=1", "tenant=acme"));
    assert_eq!(run.poll_in(|| Context::current().baggage("tenant")).as_deref(), Some("acme"));
}

#[test]
fn a_hop_calls_as_itself_and_never_with_an_empty_state() {
    let recorder = Arc::new(Recorder::new("test"));
    let hop = crate::instrument::hop::Hop::new(Arc::clone(&recorder), crate::model::Kind::Tool, "lookup", "lookup");
    let mut run = OpenRun::begin(&recorder, RunStart::new("support"));
    let (outer, inner, id) = run.poll_in(|| {
        let mut open = hop.start();
        let (_, id) = open.context().trace().unwrap();
        (sent(), open.poll_in(sent), id)
    });
    let (outer, of_hop) = (TraceParent::parse(&outer[TRACEPARENT]).unwrap(), TraceParent::parse(&inner[TRACEPARENT]).unwrap());
    assert_eq!((of_hop.trace, of_hop.span, of_hop.flags), (outer.trace, id, 1));
    assert_eq!(inner.keys().collect::<Vec<_>>(), [&TRACEPARENT]);
}

#[cfg(any(feature = "tower", feature = "reqwest"))]
#[test]
fn headers_that_are_there_stay_and_lines_are_joined() {
    let mut headers = http::HeaderMap::new();
    headers.append(TRACEPARENT, PARENT.parse().unwrap());
    headers.append(TRACESTATE, "a=1".parse().unwrap());
    headers.append(TRACESTATE, "b=2".parse().unwrap());
    let remote = Remote::extract(&headers);
    assert_eq!(remote.tracestate(), Some("a=1,b=2"));
    let recorder = Arc::new(Recorder::new("test"));
    let before = headers.clone();
    let mut caller = Remote::default();
    caller.set_baggage("tenant", "acme");
    OpenRun::begin(&recorder, RunStart { caller, ..RunStart::new("support") }).poll_in(|| inject(&mut headers));
    assert_eq!(headers.remove(BAGGAGE).unwrap(), "tenant=acme");
    assert_eq!(headers, before);
    headers.append(TRACEPARENT, PARENT.parse().unwrap());
    assert_eq!(Remote::extract(&headers), Remote::default(), "two parents are none");
}

proptest! {
    #[test]
    fn what_is_printed_is_read_back(trace in any::<[u8; 16]>(), span in 1_u64.., flags in 0_u8..4) {
        prop_assume!(trace != [0; 16]);
        let parent = TraceParent { trace: TraceId(trace), span: SpanId(span), flags };
        prop_assert_eq!(TraceParent::parse(&parent.to_string()), Some(parent));
    }

    #[test]
    fn whatever_comes_in_is_bounded_and_reads_the_same_when_passed_on(
        parent in "(00|01|ff)?-?[0-9a-f]{30,34}-[0-9a-f]{15,17}-0[0-9a-f].{0,3}|.{0,80}",
        state in "([a-z][a-z0-9@]{0,9}=[ -~]{0,200},?){0,8}|.{0,600}",
        bag in "([a-z]{1,9}=[!-~]{0,2000}[,;]?){0,8}|.{0,600}",
    ) {
        let remote = of(&[(TRACEPARENT, &parent), (TRACESTATE, &state), (BAGGAGE, &bag)]);
        prop_assert!(remote.tracestate().is_none_or(|state| !state.is_empty() && state.len() <= tracestate::BYTES_MAX));
        prop_assert!(remote.baggage.as_ref().is_none_or(|bag| !bag.is_empty() && bag.len() <= baggage::BYTES_MAX));
        let passed = |text: &Option<Name>| text.as_deref().unwrap_or_default().to_owned();
        let (parent, state, bag) = (remote.parent.map(|parent| parent.to_string()), passed(&remote.state), passed(&remote.baggage));
        prop_assert_eq!(of(&[(TRACEPARENT, &parent.unwrap_or_default()), (TRACESTATE, &state), (BAGGAGE, &bag)]), remote);
    }

    #[test]
    fn any_value_comes_back_from_the_baggage(key in "[a-z.-]{1,12}", value in any::<String>(), other in "[a-z]{0,9}=[!-~]{0,9}") {
        let mut remote = of(&[(BAGGAGE, &other)]);
        prop_assume!(remote.set_baggage(&key, &value));
        prop_assert_eq!(remote.baggage(&key), Some(value));
    }
}
