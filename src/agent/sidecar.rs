//! The agent as a whole: gateway, admin address and hub, started together, told other settings while they serve, and drained.

use super::admin::{Admin, AdminServer};
use super::config::{self, PemError};
use super::hub::{self, Batches, Hub, HubError, HubOptions};
use super::providers::ProviderRoutes;
use super::{address, base_url, gateway};
use crate::export::otlp::Exporter;
use crate::gateway::{Gateway, Keep, Options};
use crate::model::Naming;
use crate::model::clock::Anchor;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What an agent is told once.
#[derive(Debug)]
pub struct SidecarOptions {
    /// The clock of all its records.
    pub anchor: Anchor,
    /// The settings in force.
    pub settings: config::Settings,
    /// What its environment says beside them.
    pub environment: Environment,
    /// Listening sockets that a service manager gave it, in place of the settings' addresses.
    pub given: Given,
    /// Where spans and metrics go.
    pub exporter: Option<Exporter>,
}

/// What an environment says beside the settings.
#[derive(Clone, Default)]
pub struct Environment {
    /// Where providers are, as their clients' variables say.
    pub variables: Vec<(OsString, OsString)>,
    /// Files and folders of authorities that are trusted too.
    pub authorities: Vec<PathBuf>,
}

impl fmt::Debug for Environment {
    /// Without the values of its variables, which may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { variables, authorities } = self;
        let names: Vec<_> = variables.iter().map(|(name, _)| name).collect();
        f.debug_struct("Environment").field("variables", &names).field("authorities", authorities).finish()
    }
}

/// Listening sockets that are there already. An empty list = the settings say where.
#[derive(Debug, Default)]
pub struct Given {
    /// For clients.
    pub gateway: Vec<TcpListener>,
    /// For operators.
    pub admin: Option<TcpListener>,
}

/// Why an agent cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum SidecarError {
    /// An address cannot be listened at.
    #[error("cannot listen at {address} (`{key}`, from {from})")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// The key of the settings that names it.
        key: &'static str,
        /// Where its value is from.
        from: config::Source,
        /// Why.
        source: io::Error,
    },
    /// Its certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] PemError),
    /// It cannot count.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// The system gives no threads, or takes no listener.
    #[error("the system does not let it start")]
    Start(#[from] io::Error),
}

impl SidecarError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Listen { source, .. } => address::hint(source),
            _ => None,
        }
    }
}

/// An agent that serves. Dropped, it stops at once.
#[derive(Debug)]
pub struct Sidecar {
    settings: config::Settings,
    environment: Environment,
    hub: Arc<Hub>,
    batches: Batches,
    admin: Arc<Admin>,
    server: AdminServer,
    gateway: Gateway,
    /// Addresses of the settings that it listens at, and what came of them: the port that the system chose for 0.
    entrances: Vec<(SocketAddr, SocketAddr)>,
    /// The same of TCP routes.
    tcp_entrances: Vec<(SocketAddr, SocketAddr)>,
    is_given: (bool, bool),
}

impl Sidecar {
    /// Starts to serve.
    ///
    /// # Errors
    /// When it cannot listen, or its certificate cannot be used.
    pub fn start(options: SidecarOptions) -> Result<Self, SidecarError> {
        let SidecarOptions { anchor, settings, environment, given, exporter } = options;
        let is_given = (!given.gateway.is_empty(), given.admin.is_some());
        let admin = match given.admin {
            Some(listener) => listener,
            None => bind("agent.admin", *settings.agent.admin, &settings.agent.admin.source)?,
        };
        let (mut entrances, mut listeners) = (Vec::new(), given.gateway);
        for &address in settings.gateway.listen.iter().filter(|_| !is_given.0) {
            let listener = bind("gateway.listen", address, &settings.gateway.listen.source)?;
            entrances.push((address, listener.local_addr()?));
            listeners.push(listener);
        }
        let mut tcp = Vec::new();
        for (address, source, route) in gateway::tcp_routes(&settings) {
            tcp.push((address, bind("tcp.listen", address, source)?, route));
        }
        let mut gateway = Gateway::start(Options {
            anchor,
            keep: Keep::Open,
            workers: *settings.gateway.workers,
            listeners,
            settings: of_gateway(&settings, &environment, admin.local_addr()?)?,
        })?;
        let mut tcp_entrances = Vec::new();
        for (address, listener, route) in tcp {
            tcp_entrances.push((address, gateway.lead(listener, route)?));
        }
        let view = gateway.view();
        let (asked, taken, connections) = (view.clone(), view.clone(), view.clone());
        let hub = Arc::new(Hub::new(HubOptions {
            anchor,
            source: "agent",
            ask: Box::new(move || asked.look()),
            take: Some(Box::new(move || taken.take())),
            loose: true,
            connections: Some(Box::new(move || connections.connections())),
            exporter,
            keep_runs: *settings.agent.keep_runs,
            keep_for: *settings.agent.keep_for,
            silence: hub::SILENCE,
        })?);
        let batches = Batches::start(Arc::clone(&hub), move |timeout| view.wait_for_batch(timeout))?;
        let operators = Admin::new(Arc::clone(&hub), None);
        let server = operators.serve(admin, true)?;
        operators.set_ready(true);
        Ok(Self { settings, environment, hub, batches, admin: operators, server, gateway, entrances, tcp_entrances, is_given })
    }

    /// Where clients come in.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.gateway.addresses()
    }

    /// Where TCP routes begin.
    pub fn tcp_addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.gateway.tcp_addresses()
    }

    /// Where operators ask.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.server.address()
    }

    /// Sees what goes on. To be called every 100 ms or so.
    pub fn look(&self) {
        self.hub.look();
    }

    /// Serves by other settings, without losing a connection; which of them take a restart. Nothing is changed where something cannot be.
    ///
    /// # Errors
    /// As [`Sidecar::start`].
    pub fn reload(&mut self, settings: config::Settings) -> Result<Vec<&'static str>, SidecarError> {
        let admin = match *settings.agent.admin {
            address if self.is_given.1 || address == *self.settings.agent.admin => None,
            address => Some(bind("agent.admin", address, &settings.agent.admin.source)?),
        };
        let mut opened = Vec::new();
        for &address in settings.gateway.listen.iter().filter(|_| !self.is_given.0) {
            if self.entrances.iter().all(|(known, _)| *known != address) {
                opened.push((address, bind("gateway.listen", address, &settings.gateway.listen.source)?));
            }
        }
        let mut tcp = Vec::new();
        for (address, source, route) in gateway::tcp_routes(&settings) {
            let known = self.tcp_entrances.iter().find(|(known, _)| *known == address).map(|&(_, actual)| actual);
            let listener = if known.is_none() { Some(bind("tcp.listen", address, source)?) } else { None };
            tcp.push((address, known, listener, route));
        }
        let admin_address = admin.as_ref().map_or_else(|| Ok(self.admin()), TcpListener::local_addr)?;
        let of_gateway = of_gateway(&settings, &self.environment, admin_address)?;
        if let Some(listener) = admin {
            self.server = self.admin.serve(listener, true)?;
        }
        self.gateway.reload(of_gateway);
        for (address, listener) in opened {
            let actual = self.gateway.listen(listener)?;
            self.entrances.push((address, actual));
        }
        let mut tcp_entrances = Vec::new();
        for (address, known, listener, route) in tcp {
            let actual = match (known, listener) {
                (Some(actual), _) => {
                    self.gateway.reroute(actual, route);
                    actual
                }
                (None, Some(listener)) => self.gateway.lead(listener, route)?,
                (None, None) => continue,
            };
            tcp_entrances.push((address, actual));
        }
        for (_, gone) in self.tcp_entrances.iter().filter(|entrance| !tcp_entrances.contains(entrance)) {
            self.gateway.unlisten(*gone);
        }
        self.tcp_entrances = tcp_entrances;
        let gateway = &mut self.gateway;
        self.entrances.retain(|(address, actual)| {
            let stays = settings.gateway.listen.contains(address);
            if !stays {
                gateway.unlisten(*actual);
            }
            stays
        });
        self.hub.keep(*settings.agent.keep_runs, *settings.agent.keep_for);
        let restart = (*settings.gateway.workers != *self.settings.gateway.workers).then_some("gateway.workers");
        self.settings = settings;
        Ok(restart.into_iter().collect())
    }

    /// Takes in no more clients, and is not ready any more.
    pub fn drain(&self) {
        self.admin.set_ready(false);
        self.gateway.drain();
    }

    /// Whether all clients were served that were there.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.gateway.is_drained()
    }

    /// How long exchanges may take that are under way when it is asked to end.
    #[must_use]
    pub fn drain_limit(&self) -> Duration {
        *self.settings.agent.drain
    }

    /// Exchanges that are under way.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.hub.losses().open
    }

    /// Ends: cuts off what is under way, and sends what is left to the collector, at most for so long.
    pub fn finish(self, export: Duration) {
        let Self { hub, batches, server, gateway, .. } = self;
        // The hub has a view of its own of what it saw.
        gateway.close();
        drop(batches);
        hub.shutdown(export);
        drop(server);
    }
}

/// What its gateway is told.
fn of_gateway(
    settings: &config::Settings,
    environment: &Environment,
    admin: SocketAddr,
) -> Result<crate::gateway::Settings, PemError> {
    let naming = Naming { rules: settings.rules(), base_urls: base_url::rules(environment.variables.iter().cloned()) };
    let variable = |name: &str| {
        let found = environment.variables.iter().find(|(known, _)| known == name);
        found.and_then(|(_, value)| value.to_str().map(str::to_owned))
    };
    let providers = ProviderRoutes::of(variable);
    let told = gateway::settings(settings, Arc::new(naming), &providers, environment.authorities.clone(), vec![admin]);
    Ok(crate::gateway::Settings { tls: gateway::tls(settings)?, ..told })
}

fn bind(key: &'static str, address: SocketAddr, from: &config::Source) -> Result<TcpListener, SidecarError> {
    TcpListener::bind(address).map_err(|source| SidecarError::Listen { address, key, from: from.clone(), source })
}

#[cfg(test)]
mod tests;
