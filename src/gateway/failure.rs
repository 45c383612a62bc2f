//! What became of an exchange whose answer did not come, or broke.

use super::record::Exchange;
use crate::hops::{How, Judged, peer_failed};
use crate::model::{FailedBy, Nanos, Outcome, error_type};
use std::error::Error;

/// How an exchange ended whose answer broke with this error.
pub(crate) fn how(error: &hyper::Error) -> How {
    match errno(error) {
        Some(errno) => How::PeerClosed(errno),
        None => How::PeerClosed(0),
    }
}

/// What became of an exchange that has no answer, and a short code of it.
pub(crate) fn unanswered(error: &hyper::Error, exchange: &Exchange, at: Nanos) -> (Judged, Option<&'static str>) {
    if exchange.state().request_broke {
        return broke_off(exchange, at);
    }
    if let Some(stream) = h2(error) {
        return stream;
    }
    if error.is_parse() {
        return (peer_failed(Outcome::Error, None), Some(error_type::INVALID_RESPONSE));
    }
    let state = exchange.state();
    let broken = state.current.moved().broken.map(|(_, errno)| errno);
    let how = How::PeerClosed(broken.or_else(|| errno(error)).unwrap_or(0));
    (state.judge(how, at, exchange.read_timeout()), None)
}

/// The client's body did not come to its end: it left, or what it sent is no HTTP.
fn broke_off(exchange: &Exchange, at: Nanos) -> (Judged, Option<&'static str>) {
    match exchange.downstream.has_left() {
        None if !exchange.downstream.is_shared() => {
            (Judged::plain(Outcome::Error, Some(FailedBy::Caller)), Some(error_type::INVALID_REQUEST))
        }
        left => {
            let at = left.map_or(at, |(at, _)| at);
            (exchange.state().judge(How::CallerLeft, at, exchange.read_timeout()), None)
        }
    }
}

/// How a stream of HTTP/2 ended: `RST_STREAM` is its own, `GOAWAY` that of its connection.
pub(crate) fn h2(error: &hyper::Error) -> Option<(Judged, Option<&'static str>)> {
    let error = find::<h2::Error>(error)?;
    if error.is_io() {
        // The system's error is behind it.
        return None;
    }
    let (outcome, code) = error_type::of_h2(error.reason()?.into(), error.is_go_away(), error.is_remote());
    Some((peer_failed(outcome, None), Some(code)))
}

/// The system's error number in a chain of errors.
fn errno(error: &hyper::Error) -> Option<i32> {
    find::<std::io::Error>(error)?.raw_os_error()
}

fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // What an I/O error wraps is not among its sources.
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = inner.map(|inner| inner as &(dyn Error + 'static)).or_else(|| error.source());
    }
    None
}
