//! Opening the connection: refused, no route, unanswered, or by one family of addresses alone.

use super::{Case, address};
use crate::gateway::connect::Tried;
use crate::model::human::human_duration;
use crate::model::{Cause, Evidence, Finding, Phase, error_type};
use std::io::ErrorKind;
use std::net::SocketAddr;

pub(super) fn findings(case: &Case<'_>) -> Vec<Finding> {
    [refused(case), no_route(case), unanswered(case), one_family(case)].into_iter().flatten().collect()
}

fn refused(case: &Case<'_>) -> Option<Finding> {
    let failed = case.failed_with(Phase::Connect, &["connection_refused"]);
    let (one, _) = failed.first()?;
    let at = one.address?;
    let mut evidence = vec![Evidence::text("errno", "ECONNREFUSED"), Evidence::text("address", at.to_string())];
    let (sentence, remedy) = match case.here.container.as_deref().filter(|_| at.ip().is_loopback()) {
        Some(mark) => {
            evidence.push(Evidence::text("container", mark));
            (
                format!("{} leads to {at}: inside a container that is the container itself, where nothing listens.", case.host()),
                "Name the service by its own host: its service name in Compose or Kubernetes, `host.docker.internal` for the machine \
                 around the container.",
            )
        }
        None if at.ip().is_loopback() => (
            format!("{} refused the connection: nothing listens at {at} on this machine.", case.name()),
            "Start it, or correct host and port. `localhost` is the machine itself; inside a container it is the container.",
        ),
        None => (
            format!("{} refused the connection: nothing listens at {at}, or a firewall says so.", case.name()),
            "Check that it runs, on which port, and that it does not listen on its own loopback alone.",
        ),
    };
    Some(case.finding(Cause::Unreachable, failed.len(), evidence, sentence, remedy.to_owned()))
}

fn no_route(case: &Case<'_>) -> Option<Finding> {
    let codes = ["network_unreachable", "host_unreachable", "permission_denied"];
    let failed = case.failed_with(Phase::Connect, &codes);
    let (one, failure) = failed.first()?;
    let evidence = std::iter::once(Evidence::text("error", &*failure.error_type)).chain(address(one)).collect();
    let sentence = format!("There is no way from here to {}: {}.", case.name(), failure.reason);
    let remedy = "Check the routes, the VPN and the egress rules of this machine, and the address that the name leads to.";
    Some(case.finding(Cause::Unreachable, failed.len(), evidence, sentence, remedy.to_owned()))
}

fn unanswered(case: &Case<'_>) -> Option<Finding> {
    let failed = case.failed_with(Phase::Connect, &[error_type::TIMEOUT]);
    let (one, _) = failed.first()?;
    let waited = one.timeline.total(Phase::Connect)?;
    let evidence = std::iter::once(Evidence::time("gave_up_after", waited)).chain(address(one)).collect();
    let at = one.address.map_or_else(String::new, |address| format!(" at {address}"));
    let sentence = format!("Nothing answered{at} within {}: packets to {} are lost.", human_duration(waited), case.name());
    let remedy = "Check firewall and egress rules (security groups, network policies), and whether this network wants a proxy \
                  (`HTTPS_PROXY`).";
    Some(case.finding(Cause::ConnectTimeout, failed.len(), evidence, sentence, remedy.to_owned()))
}

/// It connects by one family while all addresses of the other fail.
fn one_family(case: &Case<'_>) -> Option<Finding> {
    let lame = |tried: &Tried, used: SocketAddr| {
        let is_silent = tried.error.is_none();
        // A machine without IPv6 finds no route at once, which costs nobody anything.
        let is_refused = tried.error.as_ref().is_some_and(|error| error.kind() == ErrorKind::ConnectionRefused);
        tried.address.is_ipv6() != used.is_ipv6() && (is_silent || is_refused)
    };
    let seen: Vec<(&Tried, SocketAddr)> = case
        .tries
        .iter()
        .filter(|one| one.timeline.last_phase() != Some(Phase::Connect) || one.failure.is_none())
        .filter_map(|one| {
            let used = one.address?;
            Some((one.tried.iter().find(|tried| lame(tried, used))?, used))
        })
        .collect();
    let &(tried, used) = seen.first()?;
    let family = |address: SocketAddr| if address.is_ipv6() { "IPv6" } else { "IPv4" };
    let (cause, how) = match &tried.error {
        None => (Cause::ConnectTimeout, "no answer"),
        Some(_) => (Cause::Unreachable, "refused"),
    };
    let evidence = vec![
        Evidence::text("family", family(tried.address)),
        Evidence::text("address", tried.address.to_string()),
        Evidence::text("error", how),
    ];
    let (bad, good) = (family(tried.address), family(used));
    let sentence = format!("{} connects over {good} ({used}) and not over {bad} ({}: {how}).", case.name(), tried.address);
    let remedy = format!(
        "Let it listen on {bad} too, or take its {bad} address out of the name: clients that try one address after the other lose time \
         there, up to their whole connect timeout."
    );
    Some(case.finding(cause, seen.len(), evidence, sentence, remedy))
}
