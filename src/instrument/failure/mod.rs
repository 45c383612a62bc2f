//! What an error means: outcome, who failed, in which phase, a short code.
//!
//! An error is known by its type, found on a walk along its sources, never by its text. The rules and the error chains they rest
//! on were measured against reqwest 0.13, hyper 1, hyper-util 0.1, h2 0.4 and rustls 0.23; other major versions of these are
//! other types and give the coarser answer of what is left.

#[cfg(any(feature = "reqwest", feature = "tower"))]
mod http;
mod judge;
#[cfg(all(unix, feature = "reqwest"))]
mod lookup;
#[cfg(feature = "reqwest")]
mod reqwest;
mod shed;
mod system;
#[cfg(test)]
mod tests;
#[cfg(feature = "tower")]
mod tower;

use super::ending::Ending;
use crate::model::{FailedBy, Name, Outcome, Phase, error_type};
use std::any::Any;
use std::error::Error;
use std::io;

#[cfg(all(unix, feature = "reqwest"))]
pub use crate::lookup::LookupError;
use judge::Evidence;
pub use shed::Shed;

/// Errors below this depth are not looked at: a chain that leads back to itself ends here.
const DEPTH_MAX: usize = 64;

/// What an error says of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// How the call ended.
    pub outcome: Outcome,
    /// Who failed.
    pub failed_by: Option<FailedBy>,
    /// The phase it failed in, where the error itself tells. A client's timeout does not.
    pub phase: Option<Phase>,
    /// HTTP status, where the error is about one.
    pub status: Option<u16>,
    /// `error.type` of OpenTelemetry: a short code of a small set, `_OTHER` where nothing is known.
    pub error_type: Name,
    /// The system's error number behind it.
    pub errno: Option<i32>,
}

/// Says what an error means by looking at it and its sources.
///
/// Known are `std::io::Error` and tokio's `Elapsed`; with the feature `reqwest` also the errors of reqwest, hyper, hyper-util, h2
/// and rustls, and the look-ups of our own resolver; with `tower` those of hyper, h2 and tower. Anything else is
/// [`Outcome::Error`].
///
/// Allocates the code's name. Never panics.
#[must_use]
pub fn classify(error: &(dyn Error + 'static)) -> Failure {
    gather(error, Evidence::default()).judge()
}

/// The same for a value of any type, as a future gives it: known errors, also in a `Box<dyn Error>` with or without `Send` and
/// `Sync`. A type that is not known gives its own name as the code.
#[must_use]
pub fn classify_any<E: 'static>(error: &E) -> Failure {
    judge(error, Evidence::default())
}

/// The same for an error of an answer's body.
#[cfg(feature = "tower")]
pub(crate) fn of_body<E: 'static>(error: &E) -> Ending {
    judge(error, Evidence { place: judge::Place::Body, ..Evidence::default() }).into()
}

fn judge<E: 'static>(error: &E, known: Evidence) -> Failure {
    let any: &dyn Any = error;
    match as_error(any) {
        Some(error) => gather(error, known).judge(),
        None => Failure { error_type: type_code(std::any::type_name::<E>()).into(), ..known.judge() },
    }
}

/// How a call ended that gave this result.
pub(crate) fn of_result<T, E: 'static>(result: &Result<T, E>) -> Ending {
    match result {
        Ok(_) => Ending::ok(),
        Err(error) => classify_any(error).into(),
    }
}

impl From<Failure> for Ending {
    fn from(failure: Failure) -> Self {
        let Failure { outcome, failed_by, phase: _, status, error_type, errno } = failure;
        Self { outcome, failed_by, status, error_type: Some(error_type), errno }
    }
}

fn gather(error: &(dyn Error + 'static), mut evidence: Evidence) -> Evidence {
    for error in chain(error) {
        system::see(error, &mut evidence);
        shed::see(error, &mut evidence);
        #[cfg(all(unix, feature = "reqwest"))]
        lookup::see(error, &mut evidence);
        #[cfg(any(feature = "reqwest", feature = "tower"))]
        http::see(error, &mut evidence);
        #[cfg(feature = "reqwest")]
        reqwest::see(error, &mut evidence);
        #[cfg(feature = "tower")]
        tower::see(error, &mut evidence);
    }
    evidence
}

/// An error and what is behind it. The error that an `io::Error` wraps is a link of its own: `io::Error::source` skips it.
pub(crate) fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| behind(*error)).take(DEPTH_MAX)
}

fn behind<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    #[cfg(feature = "reqwest-middleware")]
    if let Some(error) = error.downcast_ref::<::reqwest_middleware::Error>() {
        // It is transparent: its source is what lies behind the error that it holds.
        return Some(match error {
            ::reqwest_middleware::Error::Reqwest(error) => error,
            ::reqwest_middleware::Error::Middleware(error) => &**error,
        });
    }
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}

/// The first error of type `T` in the chain of a value.
#[cfg(feature = "reqwest")]
pub(crate) fn find<T: Error + 'static, E: 'static>(error: &E) -> Option<&T> {
    chain(as_error(error)?).find_map(|error| error.downcast_ref())
}

fn as_error(any: &dyn Any) -> Option<&(dyn Error + 'static)> {
    if let Some(error) = any.downcast_ref::<Box<dyn Error + Send + Sync>>() {
        return Some(&**error);
    }
    if let Some(error) = any.downcast_ref::<Box<dyn Error + Send>>() {
        return Some(&**error);
    }
    if let Some(error) = any.downcast_ref::<Box<dyn Error>>() {
        return Some(&**error);
    }
    /// The first of these types that it is.
    macro_rules! any_of {
        ($($(#[$condition:meta])* $type:ty),+ $(,)?) => {
            $($(#[$condition])* if let Some(error) = any.downcast_ref::<$type>() { return Some(error); })+
        };
    }
    any_of!(
        io::Error,
        tokio::time::error::Elapsed,
        Shed,
        #[cfg(all(unix, feature = "reqwest"))]
        LookupError,
        #[cfg(feature = "reqwest")]
        ::reqwest::Error,
        #[cfg(feature = "reqwest-middleware")]
        ::reqwest_middleware::Error,
        #[cfg(feature = "reqwest")]
        hyper_util::client::legacy::Error,
        #[cfg(feature = "reqwest")]
        rustls::Error,
        #[cfg(any(feature = "reqwest", feature = "tower"))]
        hyper::Error,
        #[cfg(any(feature = "reqwest", feature = "tower"))]
        h2::Error,
    );
    None
}

/// The last name of a type's path, without parameters: `SearchError` of `app::search::SearchError<Http>`.
fn type_code(path: &'static str) -> &'static str {
    let bare = path.split(['<', ' ', '(', '[']).next().unwrap_or(path);
    match bare.rsplit("::").next() {
        Some(name) if name.starts_with(char::is_alphabetic) => name,
        _ => error_type::OTHER,
    }
}
