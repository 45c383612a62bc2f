//! How the command's calls are seen.

use super::message;
use super::options::{Plan, Via};
use crate::cli::{Failure, status, tell};
use crate::model::clock::Anchor;
use crate::model::{Nanos, Span};
use crate::observe::{self, Glimpse, Observed, Observer, Place, Sight};
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

/// Tells code in the command which run it belongs to.
const ENV_RUN_ID: &str = "HOPWATCH_RUN_ID";
/// How long descendants that end with the command may take to be followed to their end.
const GRACE: Duration = Duration::from_millis(250);

/// What sees the command's calls, if anything does.
#[derive(Debug)]
pub(super) struct Source {
    observing: Option<(Place, Observer)>,
    environment: Vec<(OsString, OsString)>,
}

impl Source {
    /// Gets ready to see a command; says why, where it cannot be seen.
    pub(super) fn open(plan: &Plan, program: &Path, anchor: Anchor) -> Result<Self, Failure> {
        let mut environment = vec![(ENV_RUN_ID.into(), run_id().into())];
        if plan.via == Via::None {
            return Ok(Self { observing: None, environment });
        }
        let started = match observe::examine(program) {
            Sight::Seen => observe(plan, anchor),
            Sight::NotSeen(reason) => Err(reason),
        };
        match started {
            Ok((place, observer)) => {
                environment.extend(observe::environment(&place, &plan.skip, |name| std::env::var_os(name)));
                Ok(Self { observing: Some((place, observer)), environment })
            }
            Err(reason) if plan.via == Via::Observer => {
                Err(Failure::new(status::FAILED, format!("`{}` cannot be observed: {reason}", plan.command.display()))
                    .hint("the observer needs a dynamically linked program; `hopwatch run --via none` runs any, unwatched"))
            }
            Err(reason) => {
                if !plan.quiet {
                    tell(&message::not_seen(&plan.command.to_string_lossy(), &reason));
                }
                Ok(Self { observing: None, environment })
            }
        }
    }

    /// What is set in the command's environment.
    pub(super) fn environment(&self) -> &[(OsString, OsString)] {
        &self.environment
    }

    /// The hops that are open now.
    pub(super) fn open_now(&self) -> Vec<Span> {
        self.observing.as_ref().map_or_else(Vec::new, |(_, observer)| observer.open_now())
    }

    /// A view of what goes on; `None` = nobody looks.
    pub(super) fn glimpse(&self) -> Option<Glimpse> {
        self.observing.as_ref().map(|(_, observer)| observer.glimpse())
    }

    /// All that was seen; `None` = nobody looked.
    pub(super) fn finish(mut self, ended: Nanos) -> Option<Observed> {
        let (place, observer) = self.observing.take()?;
        let observed = observer.finish(ended, GRACE);
        place.remove();
        Some(observed)
    }
}

impl Drop for Source {
    /// A command that could not be started leaves no place behind.
    fn drop(&mut self) {
        if let Some((place, observer)) = self.observing.take() {
            let _nothing = observer.finish(0, Duration::ZERO);
            place.remove();
        }
    }
}

fn observe(plan: &Plan, anchor: Anchor) -> Result<(Place, Observer), String> {
    let place = Place::make().map_err(|error| error.to_string())?;
    let options = observe::Options { rings: place.rings.clone(), naming: plan.naming.clone(), anchor };
    match Observer::start(options) {
        Ok(observer) => Ok((place, observer)),
        Err(error) => {
            place.remove();
            Err(error.to_string())
        }
    }
}

/// Sixteen random bytes in hexadecimal.
fn run_id() -> String {
    use std::hash::{BuildHasher, RandomState};
    let half = || RandomState::new().hash_one(std::process::id());
    format!("{:016x}{:016x}", half(), half())
}
