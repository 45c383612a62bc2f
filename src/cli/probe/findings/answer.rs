//! What comes once the connection is there: nothing, slowly, something else, or a status that is worth a word.

use super::{Case, address, middle};
use crate::cli::probe::attempt::Try;
use crate::model::human::human_duration;
use crate::model::{Cause, Evidence, Finding, Nanos, Phase, error_type};
use std::collections::BTreeSet;

/// A first byte that takes this long in the middle is slow.
const SLOW: Nanos = 1_000_000_000;

pub(super) fn findings(case: &Case<'_>) -> Vec<Finding> {
    [silent(case).or_else(|| slow(case)), dropped(case), other_protocol(case)].into_iter().flatten().collect()
}

fn silent(case: &Case<'_>) -> Option<Finding> {
    let failed = case.failed_with(Phase::Wait, &[error_type::TIMEOUT]);
    let (one, _) = failed.first()?;
    let waited = one.timeline.total(Phase::Wait)?;
    let evidence = std::iter::once(Evidence::time("gave_up_after", waited)).chain(address(one)).collect();
    let sentence = format!("{} took the request and did not answer within {}.", case.name(), human_duration(waited));
    let remedy =
        format!("The way there is fine: look at {} itself. A longer `--timeout` tells whether it answers at all.", case.name());
    Some(case.finding(Cause::SlowDependency, failed.len(), evidence, sentence, remedy))
}

fn slow(case: &Case<'_>) -> Option<Finding> {
    let times = case.times(Phase::Wait);
    let wait = middle(&times);
    if wait < SLOW {
        return None;
    }
    let mut setups: Vec<Nanos> = case.tries.iter().map(setup).collect();
    setups.sort_unstable();
    let setup = middle(&setups);
    let seen = times.iter().filter(|&&time| time >= SLOW).count();
    let evidence = vec![Evidence::time("wait_p50", wait), Evidence::time("set_up_p50", setup)];
    let sentence =
        format!("{} took {} to its first byte; the way there took {}.", case.name(), human_duration(wait), human_duration(setup));
    let remedy = format!("Look at {} itself: its load, a cold start, what it waits for in turn.", case.name());
    Some(case.finding(Cause::SlowDependency, seen, evidence, sentence, remedy))
}

/// How long it took until something could be asked.
fn setup(one: &Try) -> Nanos {
    [Phase::Dns, Phase::Connect, Phase::Proxy, Phase::Tls].into_iter().filter_map(|phase| one.timeline.total(phase)).sum()
}

fn dropped(case: &Case<'_>) -> Option<Finding> {
    let codes = [error_type::CONNECTION_CLOSED, "connection_reset", "connection_aborted"];
    let failed = case.failed(|_, failure| is_said(failure.phase) && codes.contains(&&*failure.error_type));
    let (one, failure) = failed.first()?;
    let evidence = std::iter::once(Evidence::text("error", &*failure.error_type)).chain(address(one)).collect();
    let sentence = format!("{} took the connection and closed it before it had answered.", case.name());
    let remedy = "Check that it is ready and not restarting, and that this is the right port: a server of TLS closes on plain requests \
                  (write `https://`).";
    Some(case.finding(Cause::ConnectionDropped, failed.len(), evidence, sentence, remedy.to_owned()))
}

fn other_protocol(case: &Case<'_>) -> Option<Finding> {
    let failed = case.failed(|_, failure| is_said(failure.phase) && &*failure.error_type == error_type::INVALID_RESPONSE);
    let (one, failure) = failed.first()?;
    let evidence = std::iter::once(Evidence::text("error", &*failure.error_type)).chain(address(one)).collect();
    let sentence = format!("What answers for {} speaks another protocol.", case.name());
    let remedy = "Check host and port, and the scheme of the URL: `http://`, `https://`, `postgres://`.";
    Some(case.finding(Cause::Unreachable, failed.len(), evidence, sentence, remedy.to_owned()))
}

const fn is_said(phase: Phase) -> bool {
    matches!(phase, Phase::Send | Phase::Wait | Phase::Stream)
}

pub(super) fn notes(case: &Case<'_>) -> Vec<String> {
    let statuses: BTreeSet<u16> = case.tries.iter().filter(|one| one.failure.is_none()).filter_map(|one| one.status).collect();
    let endless = case.failed_with(Phase::Stream, &[error_type::TIMEOUT]);
    let endless = (!endless.is_empty()).then(|| {
        "it answers, but its answer did not end in time; of one that streams without end, `--method HEAD` measures the rest"
            .to_owned()
    });
    statuses.into_iter().filter_map(note).chain(endless).collect()
}

/// What a status says, neutrally: the endpoint is reached.
fn note(status: u16) -> Option<String> {
    let says = match status {
        200..=299 => return None,
        300..=399 => "it points elsewhere, which was not followed",
        401 => "it is reached, and wants credentials (`--bearer-env NAME` sends some)",
        403 => "it is reached, and does not let this request in",
        404 => "it is reached, and has nothing on this path",
        405 => "it is reached, and takes no such method here (`--method`)",
        429 => "it is reached, and limits the rate",
        400..=499 => "it is reached, and does not take this request",
        500..=599 => "it is reached, or what stands before it, and fails itself",
        _ => "it is reached",
    };
    Some(format!("answered {status}: {says}"))
}
