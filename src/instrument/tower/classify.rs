//! Who says how a call ended.

use super::grpc;
use crate::instrument::ending::Ending;
use crate::instrument::failure;
use crate::model::Phase;
use http::Response;
use std::error::Error;

/// Says how a call ended that gave this result. Closures do: `|result: &Result<Answer, Error>| Ending`.
pub trait Classify<R, E>: Clone {
    /// How it ended.
    fn classify(&self, result: &Result<R, E>) -> Ending;

    /// The phase it failed in, where the error tells that it was none of those that a layer sees: `dns`, `connect`, `tls`.
    fn failed_in(&self, _result: &Result<R, E>) -> Option<Phase> {
        None
    }
}

impl<F, R, E> Classify<R, E> for F
where
    F: Fn(&Result<R, E>) -> Ending + Clone,
{
    fn classify(&self, result: &Result<R, E>) -> Ending {
        self(result)
    }
}

/// Every answer is `ok`; an error is classified by its chain of sources, never by its text.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByError;

impl<R, E: 'static> Classify<R, E> for ByError {
    fn classify(&self, result: &Result<R, E>) -> Ending {
        failure::of_result(result)
    }

    fn failed_in(&self, result: &Result<R, E>) -> Option<Phase> {
        failure::classify_any(result.as_ref().err()?).phase
    }
}

/// The same for any type of error, which a chain of sources is asked of: also one that wraps a client's, as `tonic`'s does.
#[derive(Clone, Copy, Debug, Default)]
pub struct BySource;

impl<R, E: Error + 'static> Classify<R, E> for BySource {
    fn classify(&self, result: &Result<R, E>) -> Ending {
        result.as_ref().err().map_or_else(Ending::ok, |error| failure::classify(error).into())
    }

    fn failed_in(&self, result: &Result<R, E>) -> Option<Phase> {
        failure::classify(result.as_ref().err()?).phase
    }
}

/// An answer is what its HTTP status says, and its `grpc-status` where it is one of gRPC; an error is told by `C`.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByStatus<C = ByError>(pub(super) C);

impl<B, E, C: Classify<Response<B>, E>> Classify<Response<B>, E> for ByStatus<C> {
    fn classify(&self, result: &Result<Response<B>, E>) -> Ending {
        let Ok(response) = result else { return self.0.classify(result) };
        let status = response.status().as_u16();
        let ending = Ending::of_status(status);
        match grpc::code(response.headers()).filter(|_| ending.is_ok() && grpc::is_grpc(response.headers())) {
            Some(code) => Ending { status: Some(status), ..grpc::ending(code) },
            None if ending.is_ok() => ending,
            None => ending.error_type(status.to_string()),
        }
    }

    fn failed_in(&self, result: &Result<Response<B>, E>) -> Option<Phase> {
        self.0.failed_in(result)
    }
}
