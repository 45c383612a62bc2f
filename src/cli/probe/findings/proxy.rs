//! A forward proxy on the way.

use super::{Case, is_internal};
use crate::gateway::connect::ProxyError;
use crate::model::{Cause, Evidence, Finding, Phase, error_type};

pub(super) fn finding(case: &Case<'_>) -> Option<Finding> {
    unusable(case).or_else(|| refused(case))
}

/// An internal name that goes through a proxy, although that works.
pub(super) fn note(case: &Case<'_>) -> Option<String> {
    let proxy = case.tries.iter().filter(|one| one.is_ok()).find_map(|one| one.proxy.as_deref())?;
    is_internal(case.host())
        .then(|| format!("goes through the proxy {proxy} although {} is internal; NO_PROXY names what does not", case.host()))
}

fn unusable(case: &Case<'_>) -> Option<Finding> {
    let failed = case.failed(|one, failure| failure.phase == Phase::Proxy && one.proxy.is_none());
    let (_, failure) = failed.first()?;
    let evidence = vec![Evidence::text("error", &*failure.error_type)];
    let sentence = format!("{} cannot be reached: {}.", case.name(), failure.reason);
    let remedy = capitalized(ProxyError::HINT);
    Some(case.finding(Cause::Proxy, failed.len(), evidence, sentence, remedy))
}

fn refused(case: &Case<'_>) -> Option<Finding> {
    let failed =
        case.failed(|one, failure| one.proxy.is_some() && matches!(failure.phase, Phase::Dns | Phase::Connect | Phase::Proxy));
    let (one, failure) = failed.first()?;
    let (proxy, host) = (one.proxy.as_deref().unwrap_or_default(), case.host());
    let mut evidence = vec![Evidence::text("proxy", proxy), Evidence::text("error", &*failure.error_type)];
    evidence.extend(one.status.map(|status| Evidence::number("status", f64::from(status))));
    evidence.extend(
        case.direct.map(|connects| Evidence::text("without_proxy", if connects { "connects" } else { "does not connect" })),
    );
    let sentence = match failure.phase {
        Phase::Proxy => format!("The proxy {proxy} does not lead to {}: {}.", case.target.origin, failure.reason),
        _ => format!("The proxy {proxy}, which leads to {host}, cannot be reached: {}.", failure.reason),
    };
    let remedy = if case.direct == Some(true) {
        format!("Without the proxy it connects: add {host} to NO_PROXY.")
    } else if &*failure.error_type == error_type::PROXY_AUTHENTICATION_REQUIRED {
        "Write the proxy with its credentials: HTTPS_PROXY=http://user:password@host:port (special characters percent-encoded)."
            .to_owned()
    } else if is_internal(host) {
        format!("{host} is internal: add it to NO_PROXY, or ask whoever runs the proxy.")
    } else if one.status.is_some() {
        format!("Ask whoever runs the proxy to let {host} through.")
    } else {
        "Check HTTP_PROXY, HTTPS_PROXY and ALL_PROXY, and that a forward proxy is what runs there.".to_owned()
    };
    Some(case.finding(Cause::Proxy, failed.len(), evidence, sentence, remedy))
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), letters.as_str()))
}
