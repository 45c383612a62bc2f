//! Routes for the known providers, and the variables by which their clients find them.
//!
//! A provider's clients take their base URL from the environment. Pointed at the gateway they speak plain HTTP to it, so that it sees
//! all of a call, and it speaks HTTPS with the provider. A route leads to the origin that the user's own value of the variable names, else
//! to the provider's.

use super::base_url::{self, BaseUrl};
use super::config::{Settings, ShownRoute, Source};
use crate::gateway::{Base, Route};
use crate::wire::provider;
use std::net::SocketAddr;

/// Base URLs of providers, as their clients have them by default.
const DEFAULTS: &[(&str, &str)] = &[
    ("openai", "https://api.openai.com/v1"),
    ("anthropic", "https://api.anthropic.com"),
    ("ollama", "http://127.0.0.1:11434"),
    ("gemini", "https://generativelanguage.googleapis.com"),
    ("mistral", "https://api.mistral.ai"),
    ("groq", "https://api.groq.com"),
    ("cohere", "https://api.cohere.com"),
    ("openrouter", "https://openrouter.ai/api/v1"),
    ("deepseek", "https://api.deepseek.com"),
    ("together", "https://api.together.xyz/v1"),
    ("fireworks", "https://api.fireworks.ai/inference/v1"),
    ("xai", "https://api.x.ai/v1"),
    ("nvidia", "https://integrate.api.nvidia.com/v1"),
];

/// Variables that are set although the user did not: every client of the provider reads them, and they mean nothing else. Others change
/// what a program does by being there.
const SET_ALWAYS: &[&str] = &["OPENAI_BASE_URL", "ANTHROPIC_BASE_URL", "OLLAMA_HOST"];

/// Routes for providers.
#[derive(Clone, Debug, Default)]
pub struct ProviderRoutes {
    routes: Vec<ProviderRoute>,
    variables: Vec<Variable>,
}

/// A route for a provider.
#[derive(Clone, Debug)]
struct ProviderRoute {
    route: Route,
    provider: &'static str,
    /// Where it leads is said by this variable; `None` = by the provider.
    said_by: Option<&'static str>,
}

/// A variable and where it is to lead.
#[derive(Clone, Debug)]
struct Variable {
    name: &'static str,
    prefix: String,
    credentials: Option<String>,
    path: String,
}

impl ProviderRoutes {
    /// The routes of an environment, which `lookup` gives.
    #[must_use]
    pub fn of(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let mut all = Self::default();
        for &(name, provider) in provider::variables() {
            let default = || DEFAULTS.iter().find(|(known, _)| *known == provider).map(|(_, url)| (*url).to_owned());
            let given = lookup(name).filter(|value| !value.trim().is_empty());
            let is_given = given.is_some();
            if let Some(url) = given.or_else(default) {
                all.add(name, provider, &url, is_given);
            }
        }
        all
    }

    /// The routes, but for those that the settings replace by one of their own.
    pub fn routes<'a>(&'a self, settings: &'a Settings) -> impl Iterator<Item = Route> + 'a {
        self.beside(settings).map(|built| built.route.clone())
    }

    /// The same, as they are shown.
    pub fn shown<'a>(&'a self, settings: &'a Settings) -> impl Iterator<Item = ShownRoute> + 'a {
        self.beside(settings).map(|ProviderRoute { route, provider, said_by }| ShownRoute {
            prefix: route.prefix.clone(),
            upstream: route.upstream.to_string(),
            dependency: (*provider).to_owned(),
            kind: None,
            host: "upstream".to_owned(),
            http2: route.http2,
            source: said_by.map_or_else(|| "built in".to_owned(), |name| Source::Environment(name.into()).shown()),
        })
    }

    fn beside<'a>(&'a self, settings: &'a Settings) -> impl Iterator<Item = &'a ProviderRoute> {
        let is_taken = |prefix: &str| settings.routes.iter().any(|route| route.prefix.value.0 == prefix);
        self.routes.iter().filter(move |built| !is_taken(&built.route.prefix))
    }

    /// Adds the route of a variable, or takes the one that leads there already.
    fn add(&mut self, name: &'static str, provider: &'static str, url: &str, is_given: bool) {
        let Some(read) = base_url::read(provider, url) else { return };
        let Some(upstream) = origin(&read) else { return };
        let is_set = is_given || SET_ALWAYS.contains(&name);
        let mut routes = self.routes.iter().map(|built| &built.route);
        let known = routes.find(|route| route.upstream == upstream).map(|route| route.prefix.clone());
        let prefix = match known {
            Some(prefix) => prefix,
            // A value of one's own for one of several variables leads elsewhere than the default of the others.
            None if !is_set && self.has(&format!("/{provider}")) => return,
            None => {
                let prefix = self.free(provider);
                let route = Route { prefix: prefix.clone(), upstream, dependency: None, keeps_host: false, http2: false };
                self.routes.push(ProviderRoute { route, provider, said_by: is_given.then_some(name) });
                prefix
            }
        };
        if is_set {
            let (credentials, path) = (read.credentials.map(str::to_owned), read.path.to_owned());
            self.variables.push(Variable { name, prefix, credentials, path });
        }
    }

    /// A prefix for a provider that no route has.
    fn free(&self, provider: &str) -> String {
        let numbered = (2..).map(|number| format!("/{provider}-{number}"));
        std::iter::once(format!("/{provider}")).chain(numbered).find(|prefix| !self.has(prefix)).unwrap_or_default()
    }

    fn has(&self, prefix: &str) -> bool {
        self.routes.iter().any(|built| built.route.prefix == prefix)
    }

    /// The variables of a program that is to find its providers at this gateway.
    pub fn environment(&self, gateway: SocketAddr) -> impl Iterator<Item = (&'static str, String)> {
        self.variables.iter().map(move |variable| {
            let Variable { name, prefix, credentials, path } = variable;
            let credentials = credentials.as_ref().map_or_else(String::new, |credentials| format!("{credentials}@"));
            (*name, format!("http://{credentials}{gateway}{prefix}{path}"))
        })
    }
}

fn origin(url: &BaseUrl<'_>) -> Option<Base> {
    let scheme = if url.tls == Some(true) { "https" } else { "http" };
    let host = if url.host.contains(':') { format!("[{}]", url.host) } else { url.host.clone() };
    let port = url.port.map_or_else(String::new, |port| format!(":{port}"));
    Base::parse(&format!("{scheme}://{host}{port}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(environment: &[(&str, &str)]) -> ProviderRoutes {
        ProviderRoutes::of(|name| environment.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
    }

    fn variable(routes: &ProviderRoutes, name: &str) -> Option<String> {
        let gateway = ([127, 0, 0, 1], 4000).into();
        routes.environment(gateway).find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    fn leads_to(routes: &ProviderRoutes, prefix: &str) -> Option<String> {
        let mut all = routes.routes.iter().map(|built| &built.route);
        all.find(|route| route.prefix == prefix).map(|route| route.upstream.authority())
    }

    #[test]
    fn providers_are_reached_at_their_own_addresses_unless_told_otherwise() {
        let routes = routes(&[]);
        assert_eq!(leads_to(&routes, "/openai").as_deref(), Some("api.openai.com:443"));
        assert_eq!(variable(&routes, "OPENAI_BASE_URL").as_deref(), Some("http://127.0.0.1:4000/openai/v1"));
        assert_eq!(variable(&routes, "ANTHROPIC_BASE_URL").as_deref(), Some("http://127.0.0.1:4000/anthropic"));
        // Its presence alone changes what clients of Azure do.
        assert_eq!(variable(&routes, "OPENAI_API_BASE"), None);
        assert_eq!(variable(&routes, "AZURE_OPENAI_ENDPOINT"), None);
    }

    #[test]
    fn a_value_of_ones_own_is_where_the_route_leads() {
        let routes = routes(&[
            ("OPENAI_BASE_URL", "http://10.0.0.7:8000/v1/"),
            ("AZURE_OPENAI_ENDPOINT", "https://key:word@mine.openai.azure.com/"),
            ("OLLAMA_HOST", "gpu-box"),
        ]);
        assert_eq!(leads_to(&routes, "/openai").as_deref(), Some("10.0.0.7:8000"));
        assert_eq!(variable(&routes, "OPENAI_BASE_URL").as_deref(), Some("http://127.0.0.1:4000/openai/v1"));
        assert_eq!(leads_to(&routes, "/azure_openai").as_deref(), Some("mine.openai.azure.com:443"));
        let azure = variable(&routes, "AZURE_OPENAI_ENDPOINT");
        assert_eq!(azure.as_deref(), Some("http://key:word@127.0.0.1:4000/azure_openai"));
        assert_eq!(leads_to(&routes, "/ollama").as_deref(), Some("gpu-box:11434"));
    }

    #[test]
    fn routes_are_shown_with_where_they_are_from_unless_the_settings_have_one_of_that_prefix() {
        let routes =
            routes(&[("OPENAI_BASE_URL", "http://me:word@10.0.0.7:8000/v1/"), ("AZURE_OPENAI_ENDPOINT", "https://mine.example")]);
        let own = "[[route]]\nprefix = \"/ollama\"\nupstream = \"http://gpu:1\"\ndependency = \"ollama\"\nkind = \"llm\"\n";
        let settings = Settings::parse(own, std::path::Path::new("hopwatch.toml")).unwrap();
        let shown: Vec<ShownRoute> = routes.shown(&settings).collect();
        let one =
            |prefix: &str| shown.iter().find(|route| route.prefix == prefix).map(|route| (&*route.upstream, &*route.source));
        assert_eq!(one("/openai"), Some(("http://10.0.0.7:8000", "environment OPENAI_BASE_URL")));
        assert_eq!(one("/azure_openai"), Some(("https://mine.example", "environment AZURE_OPENAI_ENDPOINT")));
        assert_eq!(one("/anthropic"), Some(("https://api.anthropic.com", "built in")));
        assert_eq!(one("/ollama"), None);
        assert!(
            shown.iter().map(|route| &route.prefix).eq(routes
                .routes(&settings)
                .map(|route| route.prefix)
                .collect::<Vec<_>>()
                .iter())
        );
    }

    #[test]
    fn two_values_for_one_provider_are_two_routes() {
        let routes = routes(&[("OPENAI_BASE_URL", "http://a:1/v1"), ("OPENAI_API_BASE", "http://b:2/v1")]);
        assert_eq!(variable(&routes, "OPENAI_BASE_URL").as_deref(), Some("http://127.0.0.1:4000/openai/v1"));
        assert_eq!(variable(&routes, "OPENAI_API_BASE").as_deref(), Some("http://127.0.0.1:4000/openai-2/v1"));
        assert_eq!(leads_to(&routes, "/openai-2").as_deref(), Some("b:2"));
    }
}
