//! `client_recreated`: a client that is built anew for each call.
//!
//! Needs the connections of a process, and its calls. Applies when several in a row served one call each while the one before was idle,
//! or had been closed by the caller right after its call. Silent about connections side by side, ones that the peer closed or announced
//! to close, and ones that were kept for a while and expired.

use crate::model::human::human_duration;
use crate::model::{Cause, Confidence, ConnectionFact, Evidence, Finding, Kind, Name, Nanos, Run, Source, Span};
use rustc_hash::FxHashMap;

/// Connections in a row that each served one call before the pattern is told.
const IN_A_ROW: u64 = 5;

/// As many are enough when a TLS context was built for each of them, since that is what a new client does.
const IN_A_ROW_WITH_CONTEXTS: u64 = 3;

/// A client that is thrown away closes its connection at once; one that lets it expire was meant to use it again.
const AT_ONCE: Nanos = 50_000_000;

/// Clients keep idle connections for about this long, and some close them only when the next one is needed.
const EXPIRY: Nanos = 4_000_000_000;

/// Dependencies that get a new connection for each call, those that cost most first.
pub(in crate::attribution) fn found(runs: &[&Run]) -> Vec<Finding> {
    let mut found: FxHashMap<(Kind, &str), Churn<'_>> = FxHashMap::default();
    for run in runs {
        for (name, churn) in churn_of(run) {
            let kind = churn.kind;
            found.entry((kind, name)).or_insert_with(|| Churn::new(kind, churn.dependency)).add(&churn);
        }
    }
    let mut found: Vec<Churn<'_>> = found.into_values().filter(Churn::is_certain).collect();
    found.sort_by_key(|churn| (std::cmp::Reverse(churn.lost), churn.kind, churn.dependency.clone()));
    found.into_iter().map(|churn| churn.finding()).collect()
}

/// Connections to one dependency that served one call each, one after the other.
struct Churn<'a> {
    kind: Kind,
    dependency: &'a Name,
    runs: u64,
    calls: u64,
    connections: u64,
    /// Those that replaced one which was idle, or which the caller had closed right after its call.
    replaced: u64,
    /// The longest row of such.
    in_a_row: u64,
    lost: Nanos,
    contexts: u64,
    context_time: Nanos,
}

fn churn_of(run: &Run) -> Vec<(&str, Churn<'_>)> {
    let mut groups: FxHashMap<(u32, Kind, &str), Vec<&ConnectionFact>> = FxHashMap::default();
    for connection in run.connections.iter().filter(|connection| connection.failed.is_none()) {
        groups.entry((connection.pid, connection.kind, &connection.dependency)).or_default().push(connection);
    }
    let mut calls: FxHashMap<(u32, Kind, &str), Vec<&Span>> = FxHashMap::default();
    for span in &run.spans {
        if let (Some(call), Some(kind), Some(dependency)) = (&span.call, span.kind, span.dependency.as_deref()) {
            calls.entry((call.client.pid.unwrap_or(0), kind, dependency)).or_default().push(span);
        }
    }
    let mut found = Vec::new();
    for ((pid, kind, name), mut connections) in groups {
        let Some(first) = connections.first() else { continue };
        let mut churn = Churn::new(kind, &first.dependency);
        connections.sort_by_key(|connection| connection.opened);
        let mut calls = calls.remove(&(pid, kind, name)).unwrap_or_default();
        calls.retain(|span| !span.is_open());
        calls.sort_by_key(|span| span.end);
        churn.runs = 1;
        churn.calls = connections.iter().fold(0, |sum: u64, connection| sum.saturating_add(connection.calls));
        churn.connections = connections.len() as u64;
        churn.count(&connections, &calls);
        let mut contexts = run.contexts.iter().filter(|context| context.pid == pid);
        churn.contexts = contexts.clone().count() as u64;
        churn.context_time = contexts.try_fold(0, |sum: Nanos, context| sum.checked_add(context.took)).unwrap_or(Nanos::MAX);
        found.push((name, churn));
    }
    found
}

impl<'a> Churn<'a> {
    const fn new(kind: Kind, dependency: &'a Name) -> Self {
        Self {
            kind,
            dependency,
            runs: 0,
            calls: 0,
            connections: 0,
            replaced: 0,
            in_a_row: 0,
            lost: 0,
            contexts: 0,
            context_time: 0,
        }
    }

    /// Counts the connections that replaced one which could have served; `calls` are those of the dependency, by end.
    fn count(&mut self, connections: &[&ConnectionFact], calls: &[&Span]) {
        let mut row = 1;
        for pair in connections.windows(2) {
            let [before, now] = pair else { continue };
            let last = &calls[..calls.partition_point(|span| span.end.is_some_and(|end| end <= now.opened))];
            let ended = last.last().and_then(|span| span.end);
            // Before the earlier connection's only call had ended, it was busy, and a second one is no waste.
            let was_free =
                ended.map_or_else(|| before.closed.is_some_and(|closed| closed <= now.opened), |end| end > before.opened);
            let idle = ended.map_or(0, |end| now.opened - end);
            let expired = idle >= EXPIRY && before.closed.is_some_and(|closed| closed <= now.opened.saturating_add(AT_ONCE));
            let kept = before.closed.is_none_or(|closed| closed > now.opened) && !expired;
            let thrown_away = before.closed_by_caller
                && ended.is_none_or(|end| before.closed.is_some_and(|closed| closed <= end.saturating_add(AT_ONCE)));
            if before.calls <= 1 && now.calls <= 1 && !before.close_announced && was_free && (kept || thrown_away) {
                row += 1;
                self.replaced += 1;
                self.lost = self.lost.saturating_add(now.setup);
            } else {
                row = 1;
            }
            self.in_a_row = self.in_a_row.max(row);
        }
    }

    fn add(&mut self, other: &Self) {
        self.runs += u64::from(other.replaced > 0) * other.runs;
        self.calls = self.calls.saturating_add(other.calls);
        self.connections += other.connections;
        self.replaced += other.replaced;
        self.in_a_row = self.in_a_row.max(other.in_a_row);
        self.lost = self.lost.saturating_add(other.lost);
        self.contexts += other.contexts;
        self.context_time = self.context_time.saturating_add(other.context_time);
    }

    /// Whether clients were built along with the connections.
    const fn built_for_each(&self) -> bool {
        self.contexts >= self.connections
    }

    fn is_certain(&self) -> bool {
        self.in_a_row >= if self.built_for_each() { IN_A_ROW_WITH_CONTEXTS } else { IN_A_ROW }
    }

    fn finding(&self) -> Finding {
        let (kind, name) = (self.kind, self.dependency);
        let per_call = self.connections as f64 / self.calls.max(1) as f64;
        let mut evidence = vec![
            Evidence::number("connections_per_call", (per_call * 100.0).round() / 100.0),
            Evidence::number("connections", self.connections as f64),
            Evidence::number("calls_seen", self.calls as f64),
            Evidence::time("connect_and_tls", self.lost),
        ];
        if self.contexts > 0 {
            evidence.push(Evidence::number("tls_contexts_built", self.contexts as f64));
            evidence.push(Evidence::time("tls_contexts", self.context_time));
        }
        let built = if self.built_for_each() { self.context_time } else { 0 };
        let lost = human_duration(self.lost.saturating_add(built));
        let (connections, calls) = (self.connections, self.calls);
        Finding {
            cause: Cause::ClientRecreated,
            source: Source { kind: Some(kind), dependency: Some(name.clone()) },
            runs: self.runs,
            confidence: Confidence::High,
            evidence,
            sentence: format!(
                "{name} ({kind}) got a new connection for each call: {connections} connections for {calls} calls, {lost} lost to setting them up."
            ),
            remedy: format!(
                "Create the client for {name} once and share it, and read its answers to their end, so that its connections are used again."
            ),
        }
    }
}
