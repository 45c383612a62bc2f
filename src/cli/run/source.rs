//! How the command's calls are seen: from inside by the observer, on their way by the gateway, by both, or not at all.

use super::message::{self, Lookers};
use super::options::{Plan, Via};
use super::relay::Relay;
use crate::agent::stitch::{mark_relayed, stitch, stitched};
use crate::cli::{Failure, status, tell};
use crate::gateway::{GatewayView, Intercept};
use crate::model::clock::Anchor;
use crate::model::{Live, Nanos, Span};
use crate::observe::{self, Glimpse, Observed, Observer, Place, Sight};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Tells code in the command which run it belongs to.
const ENV_RUN_ID: &str = "HOPWATCH_RUN_ID";
/// How long descendants that end with the command may take to be followed to their end, and what it left behind to be noticed.
const GRACE: Duration = Duration::from_millis(250);

/// What sees the command's calls, if anything does.
#[derive(Debug)]
pub(super) struct Source {
    observing: Option<(Place, Observer)>,
    relay: Option<Relay>,
    run_id: String,
    environment: Vec<(OsString, OsString)>,
}

/// What goes on, to be asked from any thread.
#[derive(Clone, Debug)]
pub(super) struct View {
    glimpse: Option<Glimpse>,
    gateway: Option<GatewayView>,
    /// Where calls come into the gateway.
    addresses: Vec<SocketAddr>,
}

impl Source {
    /// Gets ready to see a command; says why, where it cannot be seen.
    pub(super) fn open(plan: &Plan, program: &Path, anchor: Anchor) -> Result<Self, Failure> {
        let run_id = run_id();
        let environment = vec![(ENV_RUN_ID.into(), run_id.clone().into())];
        let mut source = Self { observing: None, relay: None, run_id, environment };
        let observes = matches!(plan.via, Via::Auto | Via::Observer | Via::Both);
        let mut relays = matches!(plan.via, Via::Gateway | Via::Both);
        if observes && let Err(reason) = source.observe(plan, program, anchor) {
            match plan.via {
                Via::Observer => {
                    let failure = format!("`{}` cannot be observed: {reason}", plan.command.display());
                    return Err(Failure::new(status::FAILED, failure)
                        .hint("the observer needs a dynamically linked program; `hopwatch run --via gateway` sees any that heeds proxy variables"));
                }
                _ => {
                    relays = true;
                    if !plan.quiet {
                        tell(&message::by_gateway(&plan.command.to_string_lossy(), &reason));
                    }
                }
            }
        }
        if let Some(gateway) = plan.gateway.as_ref().filter(|_| relays) {
            let relay = Relay::start(gateway, anchor, plan.quiet)?;
            source.environment.extend(relay.environment(gateway));
            source.relay = Some(relay);
        }
        Ok(source)
    }

    fn observe(&mut self, plan: &Plan, program: &Path, anchor: Anchor) -> Result<(), String> {
        if let Sight::NotSeen(reason) = observe::examine(program) {
            return Err(reason);
        }
        let (place, observer) = observe(plan, anchor)?;
        self.environment.extend(observe::environment(&place, &plan.skip, |name| std::env::var_os(name)));
        self.observing = Some((place, observer));
        Ok(())
    }

    /// The id of the run.
    pub(super) fn run_id(&self) -> &str {
        &self.run_id
    }

    /// What is set in the command's environment.
    pub(super) fn environment(&self) -> &[(OsString, OsString)] {
        &self.environment
    }

    /// What must not stand in the command's environment.
    pub(super) fn removed(&self) -> Option<&'static str> {
        self.relay.as_ref().and_then(Relay::removed)
    }

    /// Who ends the command's TLS; `None` = nobody.
    pub(super) fn intercept(&self) -> Option<Arc<Intercept>> {
        self.relay.as_ref().and_then(Relay::intercept)
    }

    /// The hops that are open now.
    pub(super) fn open_now(&self) -> Vec<Span> {
        let observed = self.observing.iter().flat_map(|(_, observer)| observer.open_now());
        let carried = self.relay.iter().flat_map(|relay| relay.view().open());
        let mut open: Vec<Span> = observed.chain(carried).collect();
        mark_relayed(&mut open, &self.addresses());
        open
    }

    /// A view of what goes on; `None` = nobody looks.
    pub(super) fn view(&self) -> Option<View> {
        let glimpse = self.observing.as_ref().map(|(_, observer)| observer.glimpse());
        let gateway = self.relay.as_ref().map(Relay::view);
        (glimpse.is_some() || gateway.is_some()).then(|| View { glimpse, gateway, addresses: self.addresses() })
    }

    /// What looks at the command's calls.
    pub(super) fn lookers<'a>(&self, plan: &'a Plan) -> Lookers<'a> {
        Lookers {
            observer: self.observing.is_some(),
            left_alone: None,
            gateway: plan.gateway.as_ref().filter(|_| self.relay.is_some()),
        }
    }

    /// Where the gateway listens.
    fn addresses(&self) -> Vec<SocketAddr> {
        self.relay.iter().flat_map(Relay::entrances).collect()
    }

    /// All that was seen; `None` = nobody looked.
    pub(super) fn finish(mut self, ended: Nanos) -> Option<Observed> {
        let observed = self.observing.take().map(|(place, observer)| {
            let observed = observer.finish(ended, GRACE);
            place.remove();
            observed
        });
        let addresses = self.addresses();
        match self.relay.take() {
            Some(relay) => Some(stitch(observed.unwrap_or_default(), relay.finish(GRACE), &addresses)),
            None => observed,
        }
    }
}

impl View {
    /// What goes on now, and what ended since the last look.
    pub(super) fn look(&self) -> Live {
        let mut live = self.glimpse.as_ref().map(Glimpse::look).unwrap_or_default();
        if let Some(gateway) = &self.gateway {
            mark_relayed(live.ended.iter_mut().chain(&mut live.open), &self.addresses);
            let carried = gateway.look();
            live.ended.extend(carried.ended);
            live.open.extend(carried.open);
            live.losses.add(carried.losses);
            live.now = live.now.max(carried.now);
        }
        live
    }

    /// Joins what was seen so far.
    pub(super) fn stitched(&self, spans: Vec<Span>) -> Vec<Span> {
        stitched(spans, &self.addresses)
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
