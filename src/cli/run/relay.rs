//! The gateway of a run: the command is pointed at it through its environment.

use super::options::GatewayPlan;
use crate::agent::address;
use crate::cli::{Failure, status};
use crate::gateway::{Carried, Gateway, GatewayView, Keep, Options};
use crate::model::clock::Anchor;
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

/// Variables by which programs find a forward proxy (report reference, section 3).
const PROXY_VARIABLES: [&str; 6] = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
/// Emptied, so that dependencies on this very machine are seen too. The gateway itself heeds what the user has in them.
const EXCEPTION_VARIABLES: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// The gateway of a run.
#[derive(Debug)]
pub(super) struct Relay(Gateway);

impl Relay {
    /// Listens on loopback, at a port that the system picks.
    pub(super) fn start(plan: &GatewayPlan, anchor: Anchor) -> Result<Self, Failure> {
        let failed = |error| Failure::new(status::FAILED, format!("the gateway cannot start: {error}"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
        let options = Options { anchor, keep: Keep::All, workers: 1, listeners: vec![listener], settings: plan.settings.clone() };
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
        Ok(Self(gateway))
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
        environment
    }

    /// Where calls of the command come in, whatever they speak.
    pub(super) fn entrances(&self) -> impl Iterator<Item = SocketAddr> {
        self.0.addresses().chain(self.0.tcp_addresses())
    }

    /// Where it listens for HTTP.
    fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.0.addresses()
    }

    /// A view of what goes on.
    pub(super) fn view(&self) -> GatewayView {
        self.0.view()
    }

    /// All that was carried. What ended with the command has `grace` to be noticed.
    pub(super) fn finish(self, grace: Duration) -> Carried {
        self.0.finish(grace)
    }
}
