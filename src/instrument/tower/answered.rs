//! How an HTTP exchange ended, from its head and what came of its body.

use super::grpc;
use crate::instrument::ending::Ending;
use crate::instrument::failure;
use crate::model::Outcome;
use http::{HeaderMap, Response};

/// What the head of an answer said, and its trailers.
#[derive(Debug)]
pub(super) struct Answered {
    head: Ending,
    status: u16,
    /// Of gRPC: the trailers are to tell how it ended, and have not.
    awaits_trailers: bool,
}

impl Answered {
    /// `head` is how it ends if nothing comes after.
    pub(super) fn new<B>(head: Ending, response: &Response<B>) -> Self {
        let headers = response.headers();
        let awaits_trailers = head.is_ok() && grpc::is_grpc(headers) && grpc::code(headers).is_none();
        Self { head, status: response.status().as_u16(), awaits_trailers }
    }

    pub(super) fn trailers(&mut self, trailers: &HeaderMap) {
        if let Some(code) = grpc::code(trailers).filter(|_| self.awaits_trailers) {
            self.head = grpc::ending(code);
            self.awaits_trailers = false;
        }
    }

    /// The body is complete.
    pub(super) fn complete(&self) -> Ending {
        self.or(if self.awaits_trailers { grpc::without_status() } else { Ending::ok() })
    }

    /// The body failed.
    pub(super) fn failed<E: 'static>(&self, error: &E) -> Ending {
        self.or(failure::of_body(error))
    }

    /// The body was dropped. `enough`: nobody wanted more than the head.
    pub(super) fn left(&self, dropped: Ending, enough: bool) -> Ending {
        let enough = enough && !self.awaits_trailers;
        self.or(if enough && dropped.outcome == Outcome::Cancelled { Ending::ok() } else { dropped })
    }

    /// What an error status says outweighs what became of its text.
    fn or(&self, ending: Ending) -> Ending {
        let ending = if self.head.is_ok() { ending } else { self.head.clone() };
        Ending { status: ending.status.or(Some(self.status)), ..ending }
    }
}
