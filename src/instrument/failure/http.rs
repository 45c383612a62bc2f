//! Errors of hyper and h2.

use super::judge::{Evidence, Judged, Place};
use crate::model::{Outcome, error_type};
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
    let (outcome, code) = error_type::of_h2(error.reason()?.into(), error.is_go_away(), error.is_remote());
    Some(Judged::peer(outcome, code))
}
