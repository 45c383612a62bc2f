//! Spans as a receiver wrote them (OTLP/JSON), and whether they say the same as a report.

use std::collections::BTreeMap;

use serde_json::Value;

/// A span that a receiver got.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) value: Value,
    pub(crate) resource: BTreeMap<String, Value>,
}

/// All spans of these requests.
pub(crate) fn spans(requests: &[Value]) -> Vec<Seen> {
    let mut spans = Vec::new();
    for resource in requests.iter().flat_map(|request| list(&request["resourceSpans"])) {
        let attributes = attributes(&resource["resource"]["attributes"]);
        for scope in list(&resource["scopeSpans"]) {
            assert_eq!(scope["scope"]["name"], "hopwatch");
            let seen = |value: &Value| Seen { value: value.clone(), resource: attributes.clone() };
            spans.extend(list(&scope["spans"]).iter().map(seen));
        }
    }
    spans
}

pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Attributes by their names; each name once.
pub(crate) fn attributes(value: &Value) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for attribute in list(value) {
        let (kind, plain) = attribute["value"].as_object().unwrap().iter().next().unwrap();
        // JSON of protobuf writes 64-bit integers as texts.
        let plain = if kind == "intValue" { integer(plain).into() } else { plain.clone() };
        let before = all.insert(attribute["key"].as_str().unwrap().to_owned(), plain);
        assert!(before.is_none(), "{attribute} twice in {value}");
    }
    all
}

fn integer(value: &Value) -> i64 {
    value.as_i64().or_else(|| value.as_str()?.parse().ok()).unwrap_or_else(|| panic!("{value} is no integer"))
}

impl Seen {
    pub(crate) fn id(&self) -> &str {
        self.value["spanId"].as_str().unwrap()
    }

    /// Empty for a root.
    pub(crate) fn parent(&self) -> &str {
        self.value["parentSpanId"].as_str().unwrap_or_default()
    }

    pub(crate) fn name(&self) -> &str {
        self.value["name"].as_str().unwrap()
    }

    pub(crate) fn start(&self) -> i64 {
        integer(&self.value["startTimeUnixNano"])
    }

    pub(crate) fn end(&self) -> i64 {
        integer(&self.value["endTimeUnixNano"])
    }

    pub(crate) fn attributes(&self) -> BTreeMap<String, Value> {
        attributes(&self.value["attributes"])
    }

    /// `INTERNAL` 1, `SERVER` 2, `CLIENT` 3.
    #[track_caller]
    pub(crate) fn kind(&self, expected: i64) -> &Self {
        assert_eq!(self.value["kind"].as_i64(), Some(expected), "{:#}", self.value);
        self
    }

    /// Whether its status is an error.
    pub(crate) fn failed(&self) -> bool {
        self.value["status"]["code"].as_i64() == Some(2)
    }

    /// An attribute has this value; `null` = it is not there.
    #[track_caller]
    pub(crate) fn is(&self, name: &str, expected: impl Into<Value>) -> &Self {
        let found = self.attributes().remove(name).unwrap_or(Value::Null);
        let expected = expected.into();
        let equal = match (found.as_f64(), expected.as_f64()) {
            (Some(found), Some(expected)) => found == expected,
            _ => found == expected,
        };
        assert!(equal, "{name} is {found}, not {expected}: {:#}", self.value);
        self
    }

    /// Its times are the report's: `started_ms` after the run's start, and as long.
    #[track_caller]
    fn times(&self, root: &Self, reported: &Value) {
        let ms = |nanos: i64| nanos as f64 / 1e6;
        let (start, took) = (ms(self.start() - root.start()), ms(self.end() - self.start()));
        // The report rounds to whole microseconds.
        let same = |found: f64, name: &str| (found - reported[name].as_f64().unwrap()).abs() < 0.001;
        assert!(same(start, "started_ms") && same(took, "duration_ms"), "{start} and {took} ms: {reported:#} {:#}", self.value);
    }

    /// Its phases, and only those, are the report's.
    #[track_caller]
    pub(crate) fn phases(&self, reported: &Value) {
        let own = self.attributes();
        let own =
            own.iter().filter_map(|(name, ms)| Some((name.strip_prefix("hopwatch.phase.")?.strip_suffix("_ms")?, ms.as_f64()?)));
        let own: BTreeMap<&str, f64> = own.collect();
        let reported = reported["phases"].as_object().unwrap();
        for (phase, ms) in reported {
            // Absent from the span and absent from the report, or (`pool`, which the observer always tells) nothing.
            let (found, expected) = (own.get(&**phase).copied(), ms.as_f64());
            assert_eq!(found.unwrap_or(0.0), expected.unwrap_or(0.0), "{phase}: {reported:?} {:#}", self.value);
        }
        assert!(own.keys().all(|phase| reported.contains_key(*phase)), "{own:?}");
    }
}

/// Every hop of a report's only run has its span, and that says the same; the root's span.
#[track_caller]
pub(crate) fn agree<'a>(report: &Value, spans: &'a [Seen]) -> &'a Seen {
    let run = &report["runs"][0];
    let root = spans.iter().find(|span| span.parent().is_empty()).expect("a root");
    let trace = run["trace_id"].as_str().expect("a run that was exported has a trace");
    assert!(spans.iter().all(|span| span.value["traceId"] == trace), "one trace");
    assert_eq!(root.name(), run["name"]);
    let took = (root.end() - root.start()) as f64 / 1e6;
    assert!((took - run["duration_ms"].as_f64().unwrap()).abs() < 0.001, "{took} ms: {run:#}");
    let started = jiff::Timestamp::from_nanosecond(root.start().into()).unwrap();
    assert_eq!(format!("{started:.3}"), run["started_at"]);
    root.is("hopwatch.outcome", run["outcome"].clone()).is("hopwatch.healthy", run["healthy"].clone());
    root.is("hopwatch.deadline_ms", run["deadline_ms"].clone()).is("process.exit.code", run["exit_code"].clone());
    let verdict = &run["verdict"];
    for part in ["kind", "dependency", "phase", "cause", "ms", "confidence", "sentence", "remedy"] {
        root.is(&format!("hopwatch.verdict.{part}"), verdict[part].clone());
    }
    let mut known = 1;
    for hop in list(&run["hops"]) {
        let span = spans.iter().find(|span| span.id() == hop["id"]).unwrap_or_else(|| panic!("no span for {hop:#}"));
        assert_eq!(span.parent(), hop["parent_id"].as_str().unwrap_or(root.id()));
        span.times(root, hop);
        span.phases(hop);
        span.is("hopwatch.hop.kind", hop["kind"].clone()).is("hopwatch.dependency", hop["dependency"].clone());
        span.is("hopwatch.outcome", hop["outcome"].clone()).is("hopwatch.failed_by", hop["failed_by"].clone());
        span.is("hopwatch.origin", hop["origin"].clone()).is("http.response.status_code", hop["status"].clone());
        span.is("gen_ai.request.model", hop["model"].clone());
        span.is("gen_ai.usage.input_tokens", hop["tokens"]["input"].clone());
        span.is("gen_ai.usage.output_tokens", hop["tokens"]["output"].clone());
        span.is("process.pid", hop["client"]["pid"].clone());
        known += 1;
        let attempts = list(&hop["attempts"]);
        span.further_tries(attempts);
        let tries: Vec<&Seen> = spans.iter().filter(|child| child.parent() == span.id() && child.kind_is_try()).collect();
        if attempts.len() == 1 {
            let reused = attempts[0]["connection"].as_str().map(|state| state == "reused");
            span.is("hopwatch.connection.reused", reused.map_or(Value::Null, Value::from));
            assert!(tries.is_empty(), "{tries:?}");
            span.set_up(hop);
            continue;
        }
        assert_eq!(tries.len(), attempts.len(), "{hop:#}");
        for (seen, attempt) in tries.iter().zip(attempts) {
            seen.kind(3).times(root, attempt);
            seen.phases(attempt);
            seen.set_up(attempt);
            seen.is("hopwatch.attempt", attempt["number"].clone()).is("hopwatch.outcome", attempt["outcome"].clone());
            seen.is("http.response.status_code", attempt["status"].clone());
            known += 1;
        }
    }
    let startup = spans.iter().filter(|span| span.name() == "startup").count();
    assert_eq!(spans.len(), known + startup, "no span that the report does not have");
    root
}

/// Steps of setting up a connection.
const SET_UP: [&str; 4] = ["dns", "connect", "proxy", "tls"];

impl Seen {
    /// Its events of this kind: name, time and attributes.
    fn events(&self, of: impl Fn(&str) -> bool) -> Vec<(String, i64, BTreeMap<String, Value>)> {
        let told = list(&self.value["events"]).iter();
        let told = told.map(|event| {
            (event["name"].as_str().unwrap().to_owned(), integer(&event["timeUnixNano"]), attributes(&event["attributes"]))
        });
        told.filter(|(name, ..)| of(name)).collect()
    }

    /// An event for each try after the first: when it began, what became of it, and why it was needed.
    #[track_caller]
    pub(crate) fn further_tries(&self, attempts: &[Value]) {
        let events = self.events(|name| name == "attempt");
        assert_eq!(events.len(), attempts.len().saturating_sub(1), "{:#}", self.value);
        for ((_, at, attributes), pair) in events.iter().zip(attempts.windows(2)) {
            let [before, attempt] = pair else { unreachable!() };
            let started = (at - self.start()) as f64 / 1e6;
            let apart = attempt["started_ms"].as_f64().unwrap() - attempts[0]["started_ms"].as_f64().unwrap();
            assert!((started - apart).abs() <= 0.002, "{started} ms: {attempt:#}");
            assert_eq!(attributes["hopwatch.attempt"], attempt["number"].as_i64().unwrap());
            assert_eq!(attributes.get("hopwatch.outcome"), Some(&attempt["outcome"]).filter(|outcome| !outcome.is_null()));
            let reason = attributes["hopwatch.attempt.reason"].as_str().unwrap();
            let status = before["status"].as_i64().filter(|status| *status >= 400).map(|status| status.to_string());
            assert_eq!(Some(reason), status.as_deref().or(before["outcome"].as_str()));
        }
    }

    /// An event for each step by which its connection was set up, at its end and with the report's time for it.
    #[track_caller]
    pub(crate) fn set_up(&self, reported: &Value) {
        let events = self.events(|name| SET_UP.contains(&name));
        let took = |phase: &str| reported["phases"][phase].as_f64().filter(|&ms| ms > 0.0);
        let steps: Vec<&str> = SET_UP.into_iter().filter(|phase| took(phase).is_some()).collect();
        assert_eq!(events.iter().map(|(name, ..)| &**name).collect::<Vec<_>>(), steps, "{reported:#} {:#}", self.value);
        for (name, at, attributes) in &events {
            let ms = took(name).unwrap();
            assert_eq!(attributes[&format!("hopwatch.phase.{name}_ms")].as_f64(), Some(ms));
            let ended = (at - self.start()) as f64 / 1e6;
            assert!((ms - 0.001..=reported["duration_ms"].as_f64().unwrap() + 0.001).contains(&ended), "{ended}: {reported:#}");
        }
        assert!(events.is_sorted_by_key(|(_, at, _)| *at), "{events:?}");
    }

    /// It is one of several tries: hops have no attempt number unless there was one try.
    pub(crate) fn kind_is_try(&self) -> bool {
        let attributes = self.attributes();
        attributes.contains_key("hopwatch.attempt") && !attributes.contains_key("hopwatch.attempts")
    }
}
