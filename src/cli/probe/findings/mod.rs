//! What the tries of an endpoint say, in plain words: what stands in the way or is slow, each with its evidence and what to change.
//!
//! One file a step of the way. A finding is only made of what was seen here; what the endpoint answers is no fault of the way and
//! becomes a note.

mod answer;
mod connect;
mod lookup;
mod proxy;
#[cfg(test)]
mod tests;
mod tls;

use super::attempt::{Failure, Try};
use super::target::Target;
use crate::model::finding::Source;
use crate::model::{Cause, Confidence, Evidence, Finding, Nanos, Phase};
use std::net::IpAddr;

/// An endpoint, its tries, and where they were made.
#[derive(Debug)]
pub(super) struct Case<'a> {
    pub(super) target: &'a Target,
    /// At least one.
    pub(super) tries: Vec<Try>,
    pub(super) here: &'a Here,
    /// Whether it connects without the proxy; `None` = not tried.
    pub(super) direct: Option<bool>,
}

/// What is known of this machine.
#[derive(Debug)]
pub(super) struct Here {
    /// What tells that this is a container.
    pub(super) container: Option<String>,
    /// Authorities that TLS trusts.
    pub(super) authorities: usize,
}

/// What was found, along the way.
pub(super) fn findings(case: &Case<'_>, now: Nanos) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(lookup::findings(case));
    found.extend(connect::findings(case));
    found.extend(proxy::finding(case));
    found.extend(tls::findings(case, now));
    found.extend(answer::findings(case));
    found
}

/// What is worth knowing beside.
pub(super) fn notes(case: &Case<'_>) -> Vec<String> {
    proxy::note(case).into_iter().chain(answer::notes(case)).collect()
}

impl Case<'_> {
    fn name(&self) -> &str {
        &self.target.named.name
    }

    fn host(&self) -> &str {
        &self.target.origin.host
    }

    /// Tries that failed so, each with its failure.
    fn failed(&self, is: impl Fn(&Try, &Failure) -> bool) -> Vec<(&Try, &Failure)> {
        let failures = self.tries.iter().filter_map(|one| Some((one, one.failure.as_ref()?)));
        failures.filter(|(one, failure)| is(one, failure)).collect()
    }

    /// Tries whose set-up failed on the way to the endpoint itself, in this phase with one of these codes.
    fn failed_with(&self, phase: Phase, codes: &[&str]) -> Vec<(&Try, &Failure)> {
        self.failed(|one, failure| {
            let is_proxys = one.proxy.is_some() && matches!(phase, Phase::Dns | Phase::Connect);
            failure.phase == phase && codes.contains(&&*failure.error_type) && !is_proxys
        })
    }

    /// The times of a phase over the tries that had it, from the shortest to the longest.
    fn times(&self, phase: Phase) -> Vec<Nanos> {
        let mut times: Vec<Nanos> = self.tries.iter().filter_map(|one| one.timeline.total(phase)).collect();
        times.sort_unstable();
        times
    }

    fn finding(&self, cause: Cause, seen: usize, evidence: Vec<Evidence>, sentence: String, remedy: String) -> Finding {
        Finding {
            cause,
            source: Source { kind: Some(self.target.named.kind), dependency: Some(self.target.named.name.clone()) },
            runs: seen as u64,
            confidence: if seen == self.tries.len() { Confidence::High } else { Confidence::Medium },
            evidence,
            sentence,
            remedy,
        }
    }
}

/// The time in the middle (nearest rank).
fn middle(sorted: &[Nanos]) -> Nanos {
    sorted.get(sorted.len().div_ceil(2).saturating_sub(1)).copied().unwrap_or(0)
}

/// Where it happened, as evidence.
fn address(one: &Try) -> Option<Evidence> {
    one.address.map(|address| Evidence::text("address", address.to_string()))
}

/// Whether a host is one of a private network, by its name or address.
fn is_internal(host: &str) -> bool {
    /// Names that public DNS does not have (RFC 6762, RFC 8375, and what organisations and clusters use).
    const SUFFIXES: [&str; 9] =
        [".local", ".localhost", ".internal", ".intranet", ".lan", ".corp", ".home.arpa", ".svc", ".cluster.local"];
    match host.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(IpAddr::V4(address)) => address.is_private() || address.is_loopback() || address.is_link_local(),
        Ok(IpAddr::V6(address)) => address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local(),
        Err(_) => !host.contains('.') || SUFFIXES.iter().any(|suffix| host.ends_with(suffix)),
    }
}
