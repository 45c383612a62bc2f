//! What an error says of the call that failed with it.

use super::ending::Ending;
use crate::model::Outcome;

/// How a call ended that gave this result.
pub(crate) fn of_result<T, E: 'static>(result: &Result<T, E>) -> Ending {
    match result {
        Ok(_) => Ending::ok(),
        Err(_) => Ending::of(Outcome::Error),
    }
}
