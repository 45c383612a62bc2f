//! The TLS handshake and the certificate.

use super::{Case, address};
use crate::cli::probe::attempt::Try;
use crate::model::clock::rfc3339;
use crate::model::human::human_duration;
use crate::model::{Cause, Evidence, Finding, Nanos, Phase, error_type};

const DAY: Nanos = 24 * 3_600 * 1_000_000_000;
/// A certificate that ends sooner should have been renewed by whatever renews it.
const SOON: Nanos = 14 * DAY;

pub(super) fn findings(case: &Case<'_>, now: Nanos) -> Vec<Finding> {
    [handshake(case), expiring(case, now)].into_iter().flatten().collect()
}

fn handshake(case: &Case<'_>) -> Option<Finding> {
    let failed = case.failed(|_, failure| failure.phase == Phase::Tls);
    let (one, failure) = failed.first()?;
    let (name, code) = (case.name(), &*failure.error_type);
    let mut evidence = vec![Evidence::text("error", code)];
    evidence.extend(address(one));
    evidence.extend(one.issuer.as_ref().map(|issuer| Evidence::text("issuer", issuer)));
    if code == error_type::CERTIFICATE_UNKNOWN_ISSUER {
        evidence.push(Evidence::number("authorities_trusted", case.here.authorities as f64));
    }
    let sentence = match code {
        error_type::TIMEOUT => {
            let waited = human_duration(one.timeline.total(Phase::Tls).unwrap_or(0));
            format!("{name} took the connection and did not answer the TLS hello within {waited}.")
        }
        _ => format!("No TLS with {name}: {}.", failure.reason),
    };
    let remedy = match code {
        error_type::CERTIFICATE_UNKNOWN_ISSUER => untrusted(case, one),
        error_type::CERTIFICATE_EXPIRED => {
            "Renew the certificate there. If it is valid, the clock of this machine is wrong.".to_owned()
        }
        error_type::CERTIFICATE_NAME => {
            format!("Use a host name that the certificate is for, or have it issued for {} too.", case.host())
        }
        error_type::NOT_TLS => format!("It may speak plain HTTP: try `http://{}`. Else check the port.", case.target.origin),
        error_type::TIMEOUT => {
            "Check that this port speaks TLS: a plain server waits for more. Else look at what stands between: a firewall \
                                that inspects TLS, or packets that are too large for the way."
                .to_owned()
        }
        code if code.starts_with(error_type::CERTIFICATE) => {
            "Check the certificate there and the clock of this machine.".to_owned()
        }
        _ => "It may want another server name, TLS version or a client's certificate; a firewall may cut TLS by name.".to_owned(),
    };
    Some(case.finding(Cause::Tls, failed.len(), evidence, sentence, remedy))
}

fn untrusted(case: &Case<'_>, one: &Try) -> String {
    if case.here.authorities == 0 {
        return "This machine trusts no authority at all: install its certificates (the package `ca-certificates`).".to_owned();
    }
    let whose = one
        .issuer
        .as_ref()
        .map_or_else(|| "its authority".to_owned(), |issuer| format!("the authority that issued it ({issuer})"));
    format!(
        "Name the PEM file of {whose} in SSL_CERT_FILE (`--ca FILE` tries it here). If that is your organisation, a proxy opens TLS on the way."
    )
}

fn expiring(case: &Case<'_>, now: Nanos) -> Option<Finding> {
    let expires = case.tries.iter().rev().find_map(|one| one.tls.as_ref()?.certificate_expires_at)?;
    let left = expires.checked_sub(now).filter(|&left| left < SOON)?;
    let seen = case.tries.iter().filter(|one| one.tls.is_some()).count();
    let days = left / DAY;
    let evidence = vec![Evidence::text("expires_at", rfc3339(expires)), Evidence::number("days_left", days as f64)];
    let when = match days {
        0 => "within a day".to_owned(),
        1 => "in 1 day".to_owned(),
        days => format!("in {days} days"),
    };
    let sentence = format!("The certificate of {} ends {when}.", case.name());
    let remedy = "Renew it, and look at what should have done so: once it has ended, every call fails.";
    Some(case.finding(Cause::Tls, seen, evidence, sentence, remedy.to_owned()))
}
