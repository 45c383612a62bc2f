//! Resolving the name: not at all, or slowly.

use super::{Case, middle};
use crate::model::human::human_duration;
use crate::model::{Cause, Evidence, Finding, Nanos, Phase, error_type};

const MILLI: Nanos = 1_000_000;
/// Look-ups that take this long in the middle are slow: a resolver near by answers in a few milliseconds.
const SLOW: Nanos = 200 * MILLI;
/// One that takes this long met a name server that did not answer.
const STUCK: Nanos = 1_000 * MILLI;

pub(super) fn findings(case: &Case<'_>) -> Option<Finding> {
    failed(case).or_else(|| slow(case))
}

fn failed(case: &Case<'_>) -> Option<Finding> {
    let failed = case.failed(|one, failure| failure.phase == Phase::Dns && one.proxy.is_none());
    let (_, failure) = failed.first()?;
    let host = case.host();
    let (sentence, remedy) = match &*failure.error_type {
        error_type::NAME_NOT_FOUND => (
            format!("The name {host} leads to no address here: {}.", failure.reason),
            "Check its spelling, and that the resolver of this machine or container (/etc/resolv.conf) knows it.",
        ),
        _ => (
            format!("The name {host} could not be resolved: {}.", failure.reason),
            "Check the resolver of this machine or container (/etc/resolv.conf), and that its name servers can be reached.",
        ),
    };
    let evidence = vec![Evidence::text("error", &*failure.error_type), Evidence::time("lookup", longest(case))];
    Some(case.finding(Cause::Dns, failed.len(), evidence, sentence, remedy.to_owned()))
}

fn slow(case: &Case<'_>) -> Option<Finding> {
    let times = case.times(Phase::Dns);
    let (middle, longest) = (middle(&times), longest(case));
    if middle < SLOW && longest < STUCK {
        return None;
    }
    let whose = case.tries.iter().find_map(|one| one.proxy.as_deref()).unwrap_or(case.host());
    let seen = times.iter().filter(|&&time| time >= SLOW).count();
    let evidence = vec![Evidence::time("lookup_p50", middle), Evidence::time("lookup_max", longest)];
    let sentence =
        format!("Resolving {whose} took {} in the middle and {} at most.", human_duration(middle), human_duration(longest));
    let remedy = "Check the name servers in /etc/resolv.conf: one that is silent costs 5 s a look-up. In Kubernetes a name is tried with \
                  each search domain first; a dot at its end prevents that.";
    Some(case.finding(Cause::Dns, seen, evidence, sentence, remedy.to_owned()))
}

fn longest(case: &Case<'_>) -> Nanos {
    case.times(Phase::Dns).last().copied().unwrap_or(0)
}
