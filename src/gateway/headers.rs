//! Which header fields pass.

use crate::wire::headers::{RequestFields, ResponseFields};
use http::StatusCode;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// Fields that are of one connection alone (RFC 9110, 7.6.1), beside those that `connection` names.
const OF_THE_CONNECTION: [HeaderName; 7] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::TE,
    // The client's credentials for a proxy were for this one; the upstream's questions for such are not its business.
    header::PROXY_AUTHORIZATION,
];

/// Common fields that say nothing that is recorded here.
const WITHOUT_FACTS: [HeaderName; 8] = [
    header::HOST,
    header::USER_AGENT,
    header::ACCEPT_ENCODING,
    header::AUTHORIZATION,
    header::COOKIE,
    header::DATE,
    header::SERVER,
    header::SET_COOKIE,
];

/// Why a request must not go on: it would not mean the same to everyone (RFC 9112, 3.2 and 6.1).
pub(crate) fn ambiguous(headers: &HeaderMap) -> Option<(StatusCode, &'static str)> {
    if headers.get_all(header::HOST).iter().nth(1).is_some() {
        return Some((StatusCode::BAD_REQUEST, "the request names two hosts"));
    }
    is_coded(headers).then_some((StatusCode::NOT_IMPLEMENTED, "the only transfer coding here is `chunked`"))
}

/// Whether a body has another transfer coding than chunks. The coding is the connection's own, and no other can be undone for the next.
pub(crate) fn is_coded(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let is_chunked = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"chunked");
    !codings.next().is_none_or(is_chunked) || codings.next().is_some()
}

/// Takes out of a request what is for the gateway alone. An upgrade that is asked for stays.
pub(crate) fn for_upstream(headers: &mut HeaderMap, upgrades: bool) {
    let found = Found::among(headers);
    let takes_trailers = found.has(&header::TE) && names(headers, header::TE, "trailers");
    found.strip(headers, upgrades);
    if takes_trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
}

/// Takes out of an answer what is for the gateway alone. An upgrade that was agreed to stays.
pub(crate) fn for_downstream(headers: &mut HeaderMap, upgrades: bool) {
    Found::among(headers).strip(headers, upgrades);
}

/// Which fields of one connection alone there are: most messages have none, or `connection` alone.
#[derive(Clone, Copy, Debug)]
struct Found(u8);

impl Found {
    fn among(headers: &HeaderMap) -> Self {
        let place = |name: &HeaderName| OF_THE_CONNECTION.iter().position(|known| known == name);
        Self(headers.keys().filter_map(place).fold(0, |found, place| found | 1 << place))
    }

    fn has(self, name: &HeaderName) -> bool {
        OF_THE_CONNECTION.iter().enumerate().any(|(place, known)| known == name && self.0 & 1 << place != 0)
    }

    fn strip(self, headers: &mut HeaderMap, upgrades: bool) {
        let upgrade = headers.get(header::UPGRADE).filter(|_| upgrades).cloned();
        if self.has(&header::CONNECTION) {
            strip_named(headers);
        }
        for (place, name) in OF_THE_CONNECTION.iter().enumerate() {
            if self.0 & 1 << place != 0 {
                headers.remove(name);
            }
        }
        if let Some(upgrade) = upgrade {
            headers.insert(header::UPGRADE, upgrade);
            headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        }
    }
}

/// Takes out the fields that `connection` names.
fn strip_named(headers: &mut HeaderMap) {
    // Nearly all say one of these alone, which are no fields, or have been named before.
    let is_plain = |value: &HeaderValue| {
        let value = value.as_bytes();
        value.eq_ignore_ascii_case(b"keep-alive") || value.eq_ignore_ascii_case(b"close")
    };
    if headers.get_all(header::CONNECTION).iter().all(is_plain) {
        return;
    }
    let values = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let named: Vec<HeaderName> = values.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse().ok()).collect();
    named.iter().for_each(|name| _ = headers.remove(name));
}

/// Joins what HTTP/2 allows to be taken apart (RFC 9113, 8.2.3).
pub(crate) fn join_cookies(headers: &mut HeaderMap) {
    let mut crumbs = headers.get_all(header::COOKIE).iter();
    let (Some(first), Some(second)) = (crumbs.next(), crumbs.next()) else { return };
    let all = [first, second].into_iter().chain(crumbs).map(HeaderValue::as_bytes).collect::<Vec<_>>().join(&b"; "[..]);
    if let Ok(whole) = HeaderValue::from_bytes(&all) {
        headers.insert(header::COOKIE, whole);
    }
}

/// Whether a connection is to speak another protocol. HTTP/2 without TLS is not begun that way (RFC 9113, 3.1, withdrew it).
pub(crate) fn upgrades(headers: &HeaderMap) -> bool {
    let wants = headers.contains_key(header::UPGRADE) && names(headers, header::CONNECTION, "upgrade");
    wants && !names(headers, header::UPGRADE, "h2c")
}

/// Whether a list names a word.
fn names(headers: &HeaderMap, list: HeaderName, word: &str) -> bool {
    let values = headers.get_all(list).iter().filter_map(|value| value.to_str().ok());
    let mut words = values.flat_map(|value| value.split(','));
    words.any(|named| named.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(word))
}

/// The facts in a request's fields.
pub(crate) fn request_fields(headers: &HeaderMap) -> RequestFields {
    let mut fields = RequestFields::default();
    let known = headers.iter().filter(|(name, _)| !WITHOUT_FACTS.contains(name));
    known.for_each(|(name, value)| fields.set_lower(name.as_str(), value.as_bytes()));
    fields
}

/// The facts in an answer's fields.
pub(crate) fn response_fields(headers: &HeaderMap) -> ResponseFields {
    let mut fields = ResponseFields::default();
    let known = headers.iter().filter(|(name, _)| !WITHOUT_FACTS.contains(name));
    known.for_each(|(name, value)| fields.set_lower(name.as_str(), value.as_bytes()));
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields.iter().map(|&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn what_is_of_the_connection_stays_behind() {
        let mut fields = headers(&[
            ("connection", "keep-alive, x-hop"),
            ("keep-alive", "timeout=5"),
            ("proxy-authorization", "Basic c2VjcmV0"),
            ("te", "trailers, deflate;q=0.5"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("x-hop", "1"),
            ("x-end", "2"),
        ]);
        for_upstream(&mut fields, false);
        assert_eq!(fields, headers(&[("te", "trailers"), ("x-end", "2")]));
    }

    #[test]
    fn an_upgrade_passes_where_it_is_wanted() {
        let asked = [("connection", "Upgrade"), ("upgrade", "websocket")];
        assert!(upgrades(&headers(&asked)));
        assert!(!upgrades(&headers(&[("upgrade", "websocket")])));
        assert!(!upgrades(&headers(&[("connection", "upgrade, http2-settings"), ("upgrade", "h2c")])));
        let mut fields = headers(&asked);
        for_upstream(&mut fields, true);
        assert_eq!(fields, headers(&[("upgrade", "websocket"), ("connection", "upgrade")]));
    }
}
