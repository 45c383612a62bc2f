//! The gateway of a run: the command is pointed at it through its environment.

use super::message;
use super::options::GatewayPlan;
use super::trusted::{FOLDER_VARIABLE, Trusted};
use crate::agent::address;
use crate::cli::{Failure, status, tell};
use crate::gateway::{Carried, Gateway, GatewayView, Intercept, Keep, LeftAlone, Options, Settings};
use crate::model::clock::Anchor;
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Variables by which programs find a forward proxy (report reference, section 3).
const PROXY_VARIABLES: [&str; 6] = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
/// Emptied, so that dependencies on this very machine are seen too. The gateway itself heeds what the user has in them.
const EXCEPTION_VARIABLES: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// The gateway of a run.
#[derive(Debug)]
pub(super) struct Relay {
    gateway: Gateway,
    /// Who ends the command's TLS, and what makes the command trust that.
    intercepting: Option<(Arc<Intercept>, Trusted)>,
}

impl Relay {
    /// Listens on loopback, at a port that the system picks. `quiet`: nothing is said but errors.
    pub(super) fn start(plan: &GatewayPlan, anchor: Anchor, quiet: bool) -> Result<Self, Failure> {
        let failed = |error| Failure::new(status::FAILED, format!("the gateway cannot start: {error}"));
        let intercepting = plan.intercepts.as_deref().map(|named| intercept(anchor, named, quiet)).transpose()?;
        let settings =
            Settings { intercept: intercepting.as_ref().map(|(intercept, _)| Arc::clone(intercept)), ..plan.settings.clone() };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
        let options = Options { anchor, keep: Keep::All, workers: 1, listeners: vec![listener], settings };
        let mut gateway = Gateway::start(options).map_err(failed)?;
        for (address, route) in &plan.tcp_routes {
            let led = TcpListener::bind(address).and_then(|listener| gateway.lead(listener, route.clone()));
            led.map_err(|error| {
                let failure = Failure::new(status::FAILED, format!("the TCP route at {address} cannot start: {error}"));
                match address::hint(&error) {
                    Some(hint) => failure.hint(hint),
                    None => failure,
                }
            })?;
        }
        Ok(Self { gateway, intercepting })
    }

    /// What points the command at it.
    pub(super) fn environment(&self, plan: &GatewayPlan) -> Vec<(OsString, OsString)> {
        let mut environment = Vec::new();
        let Some(address) = self.addresses().next() else { return environment };
        if plan.sets_proxies {
            let proxy = format!("http://{address}");
            environment.extend(PROXY_VARIABLES.map(|name| (name.into(), proxy.clone().into())));
            environment.extend(EXCEPTION_VARIABLES.map(|name| (name.into(), OsString::new())));
        }
        if plan.sets_base_urls {
            let variables = plan.providers.environment(address);
            environment.extend(variables.map(|(name, value)| (name.into(), value.into())));
        }
        environment.extend(self.intercepting.iter().flat_map(|(_, trusted)| trusted.environment()));
        environment
    }

    /// What must not stand in the command's environment.
    pub(super) fn removed(&self) -> Option<&'static str> {
        self.intercepting.as_ref().map(|_| FOLDER_VARIABLE)
    }

    /// Who ends the command's TLS; `None` = nobody.
    pub(super) fn intercept(&self) -> Option<Arc<Intercept>> {
        self.intercepting.as_ref().map(|(intercept, _)| Arc::clone(intercept))
    }

    /// Where calls of the command come in, whatever they speak.
    pub(super) fn entrances(&self) -> impl Iterator<Item = SocketAddr> {
        self.gateway.addresses().chain(self.gateway.tcp_addresses())
    }

    /// Where it listens for HTTP.
    fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.gateway.addresses()
    }

    /// A view of what goes on.
    pub(super) fn view(&self) -> GatewayView {
        self.gateway.view()
    }

    /// All that was carried. What ended with the command has `grace` to be noticed. What the command was told to trust is gone.
    pub(super) fn finish(self, grace: Duration) -> Carried {
        self.gateway.finish(grace)
    }
}

/// Who ends the command's TLS, with what makes it trust that: an authority of this run, beside those of the system and `named` ones.
fn intercept(anchor: Anchor, named: &[PathBuf], quiet: bool) -> Result<(Arc<Intercept>, Trusted), Failure> {
    let heard = (!quiet).then_some(said as fn(&LeftAlone));
    let intercept = Intercept::new(anchor, heard).map_err(|error| Failure::of(status::FAILED, &error))?;
    let trusted = Trusted::write(&intercept, named)?;
    Ok((Arc::new(intercept), trusted))
}

fn said(left: &LeftAlone) {
    tell(&message::left_alone(left));
}
