//! Errors of hyper and h2.

use super::judge::{Evidence, Judged, Place};
use crate::model::{Outcome, error_type};
use h2::Reason;
use std::error::Error;

pub(super) fn see(error: &(dyn Error + 'static), evidence: &mut Evidence) {
    if let Some(error) = error.downcast_ref::<h2::Error>() {
        evidence.stream = evidence.stream.or_else(|| of_stream(error));
    } else if let Some(error) = error.downcast_ref::<hyper::Error>() {
        if error.is_user() || error.is_body_write_aborted() {
            evidence.place = Place::Upload;
        }
        evidence.timer |= error.is_timeout();
        evidence.http = evidence.http.or(Some(of_exchange(error)));
    }
}

fn of_exchange(error: &hyper::Error) -> Judged {
    if error.is_user() || error.is_body_write_aborted() {
        Judged::caller(Outcome::Error, "request_body")
    } else if error.is_parse() {
        Judged::peer(Outcome::Error, error_type::INVALID_RESPONSE)
    } else {
        // Closed before a whole answer, or before the request was even written.
        Judged::peer(Outcome::Reset, error_type::CONNECTION_CLOSED)
    }
}

fn of_stream(error: &h2::Error) -> Option<Judged> {
    if error.is_io() {
        // The system's error is next in the chain.
        return None;
    }
    let reason = error.reason()?;
    Some(if !error.is_remote() && reason != Reason::CANCEL && reason != Reason::NO_ERROR {
        // We ended it, since the peer broke the protocol.
        Judged::peer(Outcome::Error, error_type::INVALID_RESPONSE)
    } else if reason == Reason::REFUSED_STREAM {
        Judged::peer(Outcome::Shed, "refused_stream")
    } else if reason == Reason::ENHANCE_YOUR_CALM {
        Judged::peer(Outcome::RateLimited, "enhance_your_calm")
    } else if error.is_go_away() {
        Judged::peer(Outcome::Reset, "goaway")
    } else {
        Judged::peer(Outcome::Reset, "stream_reset")
    })
}
