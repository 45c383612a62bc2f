//! Who says how a call ended.

use super::grpc;
use crate::instrument::ending::Ending;
use crate::instrument::failure;
use http::Response;

/// Says how a call ended that gave this result. Closures do: `|result: &Result<Answer, Error>| Ending`.
pub trait Classify<R, E>: Clone {
    /// How it ended.
    fn classify(&self, result: &Result<R, E>) -> Ending;
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
}

/// An answer is what its HTTP status says, and its `grpc-status` where it is one of gRPC; an error as with [`ByError`].
#[derive(Clone, Copy, Debug, Default)]
pub struct ByStatus;

impl<B, E: 'static> Classify<Response<B>, E> for ByStatus {
    fn classify(&self, result: &Result<Response<B>, E>) -> Ending {
        let Ok(response) = result else { return failure::of_result(result) };
        let status = response.status().as_u16();
        let ending = Ending::of_status(status);
        match grpc::code(response.headers()).filter(|_| ending.is_ok() && grpc::is_grpc(response.headers())) {
            Some(code) => Ending { status: Some(status), ..grpc::ending(code) },
            None if ending.is_ok() => ending,
            None => ending.error_type(status.to_string()),
        }
    }
}
