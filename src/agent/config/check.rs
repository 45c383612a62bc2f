//! What settings say together: contradictions, and what is hardly meant.

use super::fault::{Faults, Problem, Setting, Source};
use super::keys::{self, Key};
use super::value::Value;
use super::words::Target;
use super::{AgentSettings, Dependency, ENV_CONFIG, Flag, GatewaySettings, Route, RunSettings, TcpRoute};
use crate::agent::duration;
use crate::agent::nearest::nearest;
use crate::gateway::connect::{Proxies, ProxyError};
use crate::model::{Kind, Name, redact};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// How long Python's common clients keep an idle connection.
const CLIENTS_KEEP: Duration = Duration::from_secs(5);
/// Variables that are read elsewhere, or set for the programs that are run.
const OTHER_VARIABLES: [&str; 7] =
    [ENV_CONFIG, "HOPWATCH_ADMIN", "HOPWATCH_METRICS", "HOPWATCH_OBSERVER", "HOPWATCH_RINGS", "HOPWATCH_RUN_ID", "HOPWATCH_SKIP"];

/// What stands in lists.
#[derive(Debug)]
pub(super) struct Entries<'a> {
    pub(super) dependencies: &'a [Dependency],
    pub(super) routes: &'a [Route],
    pub(super) tcp_routes: &'a [TcpRoute],
}

/// Something that listens.
#[derive(Debug)]
struct Listener<'a> {
    what: &'static str,
    address: SocketAddr,
    source: &'a Source,
}

/// A flag names a setting.
pub(super) fn flag(flag: &Flag, faults: &mut Faults) {
    let at = || Source::Flag(flag.option);
    let shown = redact::name(&flag.key);
    let paths: Vec<_> = keys::all().filter(|key| !is_listed(key)).map(Key::path).collect();
    if paths.contains(&flag.key) {
        return;
    }
    if keys::all().any(|key| key.path() == flag.key) {
        faults.add(at(), Problem::new(format!("`{shown}` has no place on the command line"), "write it into the file"));
        return;
    }
    // A name without its table, or with another's.
    let last = flag.key.rsplit('.').next().unwrap_or_default();
    let exact = keys::all().find(|key| key.name == last && !is_listed(key)).map(Key::path);
    let hint = match exact.as_deref().or_else(|| nearest(&flag.key, paths.iter().map(String::as_str))) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "see `hopwatch config show` for all of them".to_owned(),
    };
    faults.add(at(), Problem::new(format!("no setting is called `{shown}`"), hint));
}

fn is_listed(key: &Key) -> bool {
    keys::Described::home(key).is_some_and(|table| table.listed)
}

/// Variables that are likely misspelt.
pub(super) fn variables(environment: &BTreeMap<OsString, OsString>, faults: &mut Faults) {
    let known = || keys::all().flat_map(|key| key.variables).copied().filter(|name| name.starts_with(keys::PREFIX));
    for name in environment.keys().filter_map(|name| name.to_str()) {
        let Some(own) = name.strip_prefix(keys::PREFIX) else { continue };
        if OTHER_VARIABLES.contains(&name) || known().any(|known| known == name) {
            continue;
        }
        // Strict, since other programs' variables may begin like ours: Kubernetes makes some for a service of our name.
        let likeness = |known: &str| strsim::normalized_damerau_levenshtein(own, known.trim_start_matches(keys::PREFIX));
        if let Some(near) = known().find(|known| likeness(known) >= 0.75) {
            let message = "no setting is read from this variable".to_owned();
            faults.warn(Source::Environment(name.to_owned().into()), Problem::new(message, format!("did you mean `{near}`?")));
        }
    }
}

impl Entries<'_> {
    /// Names, references and prefixes; `written` is how many dependencies the file has, those with mistakes included.
    pub(super) fn check(&self, written: usize, faults: &mut Faults) {
        for (index, dependency) in self.dependencies.iter().enumerate() {
            self.check_dependency(dependency, &self.dependencies[..index], faults);
        }
        // One with a mistake of its own is no unknown one.
        if self.dependencies.len() == written {
            for (name, kind) in self.references() {
                self.check_reference(name, kind, faults);
            }
        }
        for (index, route) in self.routes.iter().enumerate() {
            let prefix = &route.prefix;
            if let Some(earlier) = self.routes[..index].iter().find(|earlier| earlier.prefix.value == prefix.value) {
                let message =
                    format!("two routes have the prefix `{}`; the other is at {}", prefix.text(), earlier.prefix.source);
                faults.add(prefix.source.clone(), Problem::new(message, "give one of them another prefix"));
            }
        }
    }

    /// A dependency is named once, and names something that no other does.
    fn check_dependency(&self, dependency: &Dependency, earlier: &[Dependency], faults: &mut Faults) {
        let name = &dependency.name;
        if earlier.iter().any(|earlier| earlier.name.value == name.value) {
            let hint = "write all of its places into one `match`";
            faults.add(name.source.clone(), Problem::new(format!("`{}` is named twice", name.value), hint));
            return;
        }
        for place in dependency.matches.iter() {
            if let Some(first) = earlier.iter().find(|earlier| earlier.matches.contains(place)) {
                let message = format!("`{place}` is `{}` already, and the first one counts", first.name.value);
                faults.warn(dependency.matches.source.clone(), Problem::new(message, "name it once"));
            }
        }
        let of_route = self.references().any(|(route, _)| route.value == name.value);
        if dependency.matches.is_empty() && !of_route {
            let hint = "give it a `match`, or name it in a route";
            faults.warn(name.source.clone(), Problem::new(format!("`{}` names nothing", name.value), hint));
        }
    }

    /// A route names a known dependency, or a new one with its kind.
    fn check_reference(&self, name: &Setting<Name>, kind: &Setting<Option<Kind>>, faults: &mut Faults) {
        let first = self.kinds().find(|(known, _)| **known == name.value).map(|(_, kind)| kind);
        if let Some(other) = first.filter(|first| kind.is_some_and(|kind| kind != *first)) {
            let message = format!("`{}` is of the kind `{other}` elsewhere", name.value);
            faults.add(kind.source.clone(), Problem::new(message, "leave the kind out here, or write the same"));
        }
        let known = || self.dependencies.iter().map(|dependency| &*dependency.name.value);
        if first.is_some() || known().any(|known| known == &*name.value) {
            return;
        }
        let hint = match nearest(&name.value, known()) {
            Some(near) => format!("did you mean `{near}`? A new one needs its `kind` here"),
            None => "add a `kind` here, or a `[[dependency]]` of that name".to_owned(),
        };
        faults.add(name.source.clone(), Problem::new(format!("no dependency is called `{}`", name.value), hint));
    }

    /// Dependencies as routes name them.
    fn references(&self) -> impl Iterator<Item = (&Setting<Name>, &Setting<Option<Kind>>)> {
        let routes = self.routes.iter().map(|route| (&route.dependency, &route.kind));
        routes.chain(self.tcp_routes.iter().map(|route| (&route.dependency, &route.kind)))
    }

    /// Kinds of dependencies, wherever they are said.
    pub(super) fn kinds(&self) -> impl Iterator<Item = (&Name, Kind)> {
        let named = self.dependencies.iter().map(|dependency| (&dependency.name, &dependency.kind));
        named.chain(self.references()).filter_map(|(name, kind)| Some((&name.value, kind.value?)))
    }
}

/// What the gateway's settings say together.
pub(super) fn gateway(gateway: &GatewaySettings, faults: &mut Faults) {
    match (&gateway.tls_certificate.value, &gateway.tls_key.value) {
        (Some(_), None) => {
            let problem = Problem::new("a certificate needs its key", "add `gateway.tls_key`");
            faults.add(gateway.tls_certificate.source.clone(), problem);
        }
        (None, Some(_)) => {
            let problem = Problem::new("a key needs its certificate", "add `gateway.tls_certificate`");
            faults.add(gateway.tls_key.source.clone(), problem);
        }
        _ => {}
    }
    for network in gateway.allow.iter().filter(|network| network.prefix_len() == 0) {
        let hint = "name the networks of your clients: whoever reaches the port can use the gateway";
        faults.warn(gateway.allow.source.clone(), Problem::new(format!("`{network}` allows every address"), hint));
    }
    if gateway.allow.is_empty()
        && let Some(open) = gateway.listen.iter().find(|address| !address.ip().is_loopback())
    {
        let hint = "list the clients' networks in `gateway.allow`, or listen on loopback";
        let message = format!("`{open}` can be reached from elsewhere, and only loopback is served");
        faults.warn(gateway.listen.source.clone(), Problem::new(message, hint));
    }
    if gateway.block.is_empty() {
        let message = "the metadata services of clouds can be reached through the gateway";
        faults.warn(gateway.block.source.clone(), Problem::new(message, "block `169.254.0.0/16` and `fd00:ec2::/32`"));
    }
    if *gateway.idle_timeout <= CLIENTS_KEEP {
        let message = format!(
            "idle connections are closed after {}, while Python's clients keep theirs {}: some requests will meet a closed one",
            duration::text(*gateway.idle_timeout),
            duration::text(CLIENTS_KEEP)
        );
        faults.warn(gateway.idle_timeout.source.clone(), Problem::new(message, "leave it at `75s`"));
    }
}

/// What the defaults of `run` say together.
pub(super) fn run(run: &RunSettings, faults: &mut Faults) {
    if *run.kill && run.deadline.is_none() {
        let problem = Problem::new("nothing is killed without a deadline", "add `run.deadline`, or give `--deadline` each time");
        faults.warn(run.kill.source.clone(), problem);
    }
}

/// Nobody listens where another does, and nothing leads back to the agent itself.
pub(super) fn places(agent: &AgentSettings, gateway: &GatewaySettings, entries: &Entries<'_>, faults: &mut Faults) {
    let listeners = listeners(agent, gateway, entries);
    for (index, later) in listeners.iter().enumerate() {
        let Some(earlier) = listeners[..index].iter().find(|earlier| overlap(earlier.address, later.address)) else { continue };
        let (told, other) = if *later.source == Source::Default { (earlier, later) } else { (later, earlier) };
        let message = format!("`{}` is taken: it is {}", told.address, other.what);
        faults.add(told.source.clone(), Problem::new(message, "give it a port of its own"));
    }
    let routes = entries.routes.iter().map(|route| (route.upstream.target(), &route.upstream.source));
    let tcp_routes = entries.tcp_routes.iter().map(|route| (route.upstream.value.clone(), &route.upstream.source));
    for (target, source) in routes.chain(tcp_routes) {
        if let Some(problem) = leads_back(&target, &listeners) {
            faults.add(source.clone(), problem);
        }
    }
    let proxies = gateway.proxy_variables();
    for (variable, proxy) in Proxies::read(|name| proxies.get(name).cloned()).each() {
        let problem = match proxy {
            Ok(proxy) => leads_back(&Target { host: proxy.host.to_string(), port: proxy.port }, &listeners),
            Err(error) => Some(Problem::new(error.to_string(), ProxyError::HINT)),
        };
        let setting = match variable {
            "http_proxy" => &gateway.http_proxy,
            "https_proxy" => &gateway.https_proxy,
            _ => &gateway.all_proxy,
        };
        match (problem, &setting.source) {
            (None, _) => {}
            // It may be meant for other programs, and be right for those.
            (Some(problem), source @ Source::Environment(_)) => faults.warn(source.clone(), problem),
            (Some(problem), source) => faults.add(source.clone(), problem),
        }
    }
}

/// What to say of a place that is the agent's own.
fn leads_back(target: &Target, listeners: &[Listener<'_>]) -> Option<Problem> {
    let own = listeners.iter().find(|listener| leads_to(target, listener.address))?;
    let message = format!("`{target}` leads back to the agent itself: it is {}", own.what);
    Some(Problem::new(message, "write the address of what is behind it"))
}

/// All that the agent listens on.
fn listeners<'a>(agent: &'a AgentSettings, gateway: &'a GatewaySettings, entries: &Entries<'a>) -> Vec<Listener<'a>> {
    let admin = [Listener { what: "the admin address", address: *agent.admin, source: &agent.admin.source }];
    let gateway =
        gateway.listen.iter().map(|address| Listener { what: "the gateway", address: *address, source: &gateway.listen.source });
    let tcp = entries.tcp_routes.iter().map(|route| Listener {
        what: "a TCP route",
        address: *route.listen,
        source: &route.listen.source,
    });
    admin.into_iter().chain(gateway).chain(tcp).collect()
}

/// Whether two cannot both be listened on. Port 0 is another one each time.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let covers = |one: IpAddr, other: IpAddr| one.is_unspecified() && (one.is_ipv6() || other.is_ipv4());
    let (ip, other_ip) = (one.ip(), other.ip());
    one.port() == other.port() && one.port() != 0 && (ip == other_ip || covers(ip, other_ip) || covers(other_ip, ip))
}

/// Whether who connects there comes to this listener.
fn leads_to(target: &Target, listener: SocketAddr) -> bool {
    if target.port != listener.port() {
        return false;
    }
    let ip = listener.ip().to_canonical();
    match target.host.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(address) if ip.is_unspecified() => address.is_loopback() || address.is_unspecified(),
        Ok(address) => address == ip || address.is_unspecified() && ip.is_loopback(),
        Err(_) => target.host == "localhost" && (ip.is_loopback() || ip.is_unspecified()),
    }
}
