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

/// What the fields of a message say, read in one go.
#[derive(Clone, Debug)]
pub(crate) struct Head<F> {
    /// Its facts.
    pub(crate) fields: F,
    found: Found,
    hosts: usize,
}

/// Which fields of one connection alone there are, by their places: most messages have none, or `connection` alone.
#[derive(Clone, Copy, Debug, Default)]
struct Found(u8);

/// What a field is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum About {
    /// The connection alone; the place of its name.
    Connection(usize),
    Host,
    /// Common, and nothing that is recorded here.
    Nothing,
    /// What may be a fact.
    Facts,
}

impl About {
    fn of(name: &str) -> Self {
        match name {
            "connection" => Self::Connection(0),
            "keep-alive" => Self::Connection(1),
            "proxy-connection" => Self::Connection(2),
            "transfer-encoding" => Self::Connection(3),
            "upgrade" => Self::Connection(4),
            "te" => Self::Connection(5),
            "proxy-authorization" => Self::Connection(6),
            "host" => Self::Host,
            "user-agent" | "accept-encoding" | "authorization" | "cookie" | "date" | "server" | "set-cookie" => Self::Nothing,
            _ => Self::Facts,
        }
    }
}

impl<F: Default> Head<F> {
    fn read(headers: &HeaderMap, mut set: impl FnMut(&mut F, &str, &[u8])) -> Self {
        let mut head = Self { fields: F::default(), found: Found::default(), hosts: 0 };
        for (name, value) in headers {
            match About::of(name.as_str()) {
                About::Connection(place) => {
                    head.found.0 |= 1 << place;
                    set(&mut head.fields, name.as_str(), value.as_bytes());
                }
                About::Host => head.hosts += 1,
                About::Nothing => {}
                About::Facts => set(&mut head.fields, name.as_str(), value.as_bytes()),
            }
        }
        head
    }
}

impl<F> Head<F> {
    /// Whether a body has another transfer coding than chunks. The coding is the connection's own, and no other can be undone for the next.
    pub(crate) fn is_coded(&self, headers: &HeaderMap) -> bool {
        if !self.found.has(&header::TRANSFER_ENCODING) {
            return false;
        }
        let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
        let is_chunked = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"chunked");
        !codings.next().is_none_or(is_chunked) || codings.next().is_some()
    }
}

impl Head<RequestFields> {
    /// A request's.
    pub(crate) fn of_request(headers: &HeaderMap) -> Self {
        Self::read(headers, RequestFields::set_lower)
    }

    /// Whether it names a host.
    pub(crate) const fn has_host(&self) -> bool {
        self.hosts > 0
    }

    /// Why the request must not go on: it would not mean the same to everyone (RFC 9112, 3.2 and 6.1).
    pub(crate) fn ambiguous(&self, headers: &HeaderMap) -> Option<(StatusCode, &'static str)> {
        if self.hosts > 1 {
            return Some((StatusCode::BAD_REQUEST, "the request names two hosts"));
        }
        self.is_coded(headers).then_some((StatusCode::NOT_IMPLEMENTED, "the only transfer coding here is `chunked`"))
    }

    /// Whether the connection is to speak another protocol. HTTP/2 without TLS is not begun that way (RFC 9113, 3.1, withdrew it).
    pub(crate) fn upgrades(&self, headers: &HeaderMap) -> bool {
        let wants = self.found.has(&header::UPGRADE) && names(headers, header::CONNECTION, "upgrade");
        wants && !names(headers, header::UPGRADE, "h2c")
    }

    /// Takes out of a request what is for the gateway alone. An upgrade that is asked for stays.
    pub(crate) fn for_upstream(&self, headers: &mut HeaderMap, upgrades: bool) {
        let takes_trailers = self.found.has(&header::TE) && names(headers, header::TE, "trailers");
        self.found.strip(headers, upgrades);
        if takes_trailers {
            headers.insert(header::TE, HeaderValue::from_static("trailers"));
        }
    }
}

impl Head<ResponseFields> {
    /// An answer's.
    pub(crate) fn of_response(headers: &HeaderMap) -> Self {
        Self::read(headers, ResponseFields::set_lower)
    }

    /// Takes out of an answer what is for the gateway alone. An upgrade that was agreed to stays.
    pub(crate) fn for_downstream(&self, headers: &mut HeaderMap, upgrades: bool) {
        self.found.strip(headers, upgrades);
    }
}

impl Found {
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

/// Whether a list names a word.
fn names(headers: &HeaderMap, list: HeaderName, word: &str) -> bool {
    let values = headers.get_all(list).iter().filter_map(|value| value.to_str().ok());
    let mut words = values.flat_map(|value| value.split(','));
    words.any(|named| named.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(word))
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
        Head::of_request(&fields.clone()).for_upstream(&mut fields, false);
        assert_eq!(fields, headers(&[("te", "trailers"), ("x-end", "2")]));
    }

    #[test]
    fn each_name_of_the_connection_has_its_place() {
        for (place, name) in OF_THE_CONNECTION.iter().enumerate() {
            assert_eq!(About::of(name.as_str()), About::Connection(place));
        }
    }

    #[test]
    fn an_upgrade_passes_where_it_is_wanted() {
        let asked = [("connection", "Upgrade"), ("upgrade", "websocket")];
        let upgrades = |fields: &[(&'static str, &'static str)]| {
            let fields = headers(fields);
            Head::of_request(&fields).upgrades(&fields)
        };
        assert!(upgrades(&asked));
        assert!(!upgrades(&[("upgrade", "websocket")]));
        assert!(!upgrades(&[("connection", "upgrade, http2-settings"), ("upgrade", "h2c")]));
        let mut fields = headers(&asked);
        Head::of_request(&fields.clone()).for_upstream(&mut fields, true);
        assert_eq!(fields, headers(&[("upgrade", "websocket"), ("connection", "upgrade")]));
    }
}
