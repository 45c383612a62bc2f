//! OTLP/HTTP with protobuf bodies.

use super::{Answer, Broken, Connector, taken, unanswered};
use crate::model::clock;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use std::io::Write;
use std::time::Duration;

/// More of an answer is not read.
const ANSWER_MAX: usize = 64 * 1024;

/// A client for one address.
#[derive(Debug)]
pub(super) struct Http {
    client: Client<Connector, Full<Bytes>>,
    uri: Uri,
    headers: HeaderMap,
    gzip: bool,
}

impl Http {
    pub(super) fn new(client: Client<Connector, Full<Bytes>>, uri: Uri, mut headers: HeaderMap, gzip: bool) -> Self {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(super::super::resource::USER_AGENT));
        if gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        Self { client, uri, headers, gzip }
    }

    pub(super) async fn send(&self, body: Bytes) -> Result<Answer, Broken> {
        let body = if self.gzip { gzipped(&body) } else { body };
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.uri.clone();
        request.headers_mut().clone_from(&self.headers);
        let response = match self.client.request(request).await {
            Ok(response) => response,
            Err(error) => return unanswered(&error),
        };
        let (status, after) = (response.status(), response.headers().get(RETRY_AFTER).and_then(delay));
        let body = Limited::new(response.into_body(), ANSWER_MAX).collect().await;
        Ok(match (status, body) {
            (status, Ok(body)) if status.is_success() => taken(body.to_bytes()),
            // The answer broke off: whether it was taken is not known.
            (status, Err(error)) if status.is_success() => return unanswered(&*error),
            // The specification's list of what may be tried again.
            (
                StatusCode::TOO_MANY_REQUESTS
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT,
                _,
            ) => Answer::Later { after, why: status.to_string() },
            _ => Answer::Refused { why: status.to_string() },
        })
    }
}

fn gzipped(body: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    // Writing to memory does not fail.
    let done = encoder.write_all(body).and_then(|()| encoder.finish());
    done.unwrap_or_default().into()
}

/// `Retry-After`: seconds, or the date from which on.
fn delay(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = clock::of_http_date(text)?;
    Some(Duration::from_nanos(date.saturating_sub(clock::Anchor::new(0).now())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_read_in_both_of_its_forms() {
        let read = |text: &'static str| delay(&HeaderValue::from_static(text));
        assert_eq!(read("120"), Some(Duration::from_secs(120)));
        assert_eq!(read("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert!(read("Thu, 01 Jan 2099 00:00:00 GMT").unwrap() > Duration::from_secs(86_400));
        assert_eq!(read("soon"), None);
    }
}
