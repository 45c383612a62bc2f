//! The standard variables, read in one place: <https://opentelemetry.io/docs/specs/otel/protocol/exporter/> and
//! <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>.
//!
//! A variable set to nothing is as good as not set. One of a signal (`…_TRACES_…`) wins over the common one. What cannot be read is an
//! error rather than ignored: a typo should not send the spans somewhere else.

use super::{METRICS_PATH, OtlpConfig, OtlpProtocol, OtlpSignal, TRACES_PATH, under};
use crate::model::attributes::SERVICE_NAME;
use crate::model::redact;
use percent_encoding::percent_decode_str;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// A variable that cannot be read: which, why, and what to write instead. Values of headers are never shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpConfigError {
    variable: String,
    problem: String,
    hint: &'static str,
}

impl OtlpConfigError {
    /// The variable.
    #[must_use]
    pub fn variable(&self) -> &str {
        &self.variable
    }

    /// What to do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        self.hint
    }
}

impl fmt::Display for OtlpConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.variable, self.problem, self.hint)
    }
}

impl std::error::Error for OtlpConfigError {}

type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;
type Read<T> = Result<T, OtlpConfigError>;

fn wrong<T>(variable: &str, problem: impl Into<String>, hint: &'static str) -> Read<T> {
    Err(OtlpConfigError { variable: variable.to_owned(), problem: problem.into(), hint })
}

/// The value of a variable that says something.
fn said(lookup: Lookup<'_>, name: &str) -> Option<String> {
    lookup(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// One of the two signals, as its variables name it.
#[derive(Clone, Copy)]
struct Signal {
    infix: &'static str,
    exporter: &'static str,
    path: &'static str,
}

const TRACES: Signal = Signal { infix: "TRACES_", exporter: "OTEL_TRACES_EXPORTER", path: TRACES_PATH };
const METRICS: Signal = Signal { infix: "METRICS_", exporter: "OTEL_METRICS_EXPORTER", path: METRICS_PATH };

impl Signal {
    /// The signal's own variable or the common one: name and value.
    fn variable(self, lookup: Lookup<'_>, what: &str) -> Option<(String, String)> {
        let own = format!("OTEL_EXPORTER_OTLP_{}{what}", self.infix);
        let common = format!("OTEL_EXPORTER_OTLP_{what}");
        [own, common].into_iter().find_map(|name| said(lookup, &name).map(|value| (name, value)))
    }

    fn read(self, lookup: Lookup<'_>) -> Read<Option<OtlpSignal>> {
        if !self.exported(lookup)? {
            return Ok(None);
        }
        let protocol = self.protocol(lookup)?;
        let file = |what| self.variable(lookup, what).map(|(_, path)| PathBuf::from(path));
        Ok(Some(OtlpSignal {
            endpoint: self.endpoint(lookup, protocol)?,
            protocol,
            headers: self.headers(lookup)?,
            timeout: self
                .variable(lookup, "TIMEOUT")
                .map_or(Ok(Duration::from_secs(10)), |(name, value)| milliseconds(&name, &value))?,
            gzip: self.gzip(lookup)?,
            certificate: file("CERTIFICATE"),
            client_certificate: file("CLIENT_CERTIFICATE"),
            client_key: file("CLIENT_KEY"),
        }))
    }

    fn exported(self, lookup: Lookup<'_>) -> Read<bool> {
        let Some(value) = said(lookup, self.exporter) else { return Ok(true) };
        // A list, by the specification.
        let mut exporters = value.split(',').map(str::trim);
        match value.as_str() {
            "none" => Ok(false),
            _ if exporters.any(|exporter| exporter == "otlp") => Ok(true),
            // `console`, `prometheus`, `zipkin`: another exporter was asked for, which is not this one.
            _ => Ok(false),
        }
    }

    fn protocol(self, lookup: Lookup<'_>) -> Read<OtlpProtocol> {
        let Some((name, value)) = self.variable(lookup, "PROTOCOL") else { return Ok(OtlpProtocol::default()) };
        match value.as_str() {
            "grpc" => Ok(OtlpProtocol::Grpc),
            "http/protobuf" => Ok(OtlpProtocol::HttpProtobuf),
            "http/json" => {
                wrong(&name, "is `http/json`, which is not spoken", "write `http/protobuf`, which goes to the same port")
            }
            _ => wrong(&name, format!("is `{value}`"), "write `grpc` or `http/protobuf`"),
        }
    }

    fn endpoint(self, lookup: Lookup<'_>, protocol: OtlpProtocol) -> Read<String> {
        let own = format!("OTEL_EXPORTER_OTLP_{}ENDPOINT", self.infix);
        let found = self.variable(lookup, "ENDPOINT");
        let (name, value) = match found {
            Some((name, value)) => (name, value),
            None if protocol == OtlpProtocol::Grpc => return Ok("http://localhost:4317".to_owned()),
            None => return Ok(under("http://localhost:4318", protocol, self.path)),
        };
        let value = self.with_scheme(lookup, protocol, value)?;
        let uri = value.parse::<http::Uri>().ok();
        let usable = uri.is_some_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
        });
        if !usable {
            return wrong(
                &name,
                format!("is `{}`", redact::url(&value)),
                "write an address like `http://localhost:4318` or `https://collector:4317`",
            );
        }
        Ok(if name == own { value } else { under(&value, protocol, self.path) })
    }

    /// gRPC endpoints may come without a scheme; `…_INSECURE` says which one is meant.
    fn with_scheme(self, lookup: Lookup<'_>, protocol: OtlpProtocol, value: String) -> Read<String> {
        if value.contains("://") || protocol != OtlpProtocol::Grpc {
            return Ok(value);
        }
        let insecure = self.variable(lookup, "INSECURE").map_or(Ok(false), |(name, value)| truth(&name, &value))?;
        Ok(format!("{}://{value}", if insecure { "http" } else { "https" }))
    }

    fn headers(self, lookup: Lookup<'_>) -> Read<Vec<(String, String)>> {
        const HINT: &str = "write `name=value,name=value`, values percent-encoded where they hold commas, spaces or the like";
        let Some((variable, value)) = self.variable(lookup, "HEADERS") else { return Ok(Vec::new()) };
        pairs(&value)
            .map(|pair| {
                let Some((name, value)) = pair else { return wrong(&variable, "has an entry without `=`", HINT) };
                let name = name.to_ascii_lowercase();
                if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
                    return wrong(&variable, "has an entry whose name is no header name", HINT);
                }
                if http::HeaderValue::from_str(&value).is_err() {
                    return wrong(&variable, format!("has a value for `{name}` that no header can hold"), HINT);
                }
                Ok((name, value))
            })
            .collect()
    }

    fn gzip(self, lookup: Lookup<'_>) -> Read<bool> {
        let Some((name, value)) = self.variable(lookup, "COMPRESSION") else { return Ok(false) };
        match value.as_str() {
            "gzip" => Ok(true),
            "none" => Ok(false),
            _ => wrong(&name, format!("is `{value}`"), "write `gzip` or `none`"),
        }
    }
}

/// The configuration that variables make; `None` = both signals are switched off.
pub(super) fn read(lookup: Lookup<'_>) -> Read<Option<OtlpConfig>> {
    if said(lookup, "OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Ok(None);
    }
    let (traces, metrics) = (TRACES.read(lookup)?, METRICS.read(lookup)?);
    if traces.is_none() && metrics.is_none() {
        return Ok(None);
    }
    let mut config = OtlpConfig { traces, metrics, resource: resource(lookup)?, ..OtlpConfig::nowhere() };
    if let Some(queue) = count(lookup, "OTEL_BSP_MAX_QUEUE_SIZE")? {
        config.queue = queue;
    }
    if let Some(batch) = count(lookup, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE")? {
        config.batch = batch;
    }
    config.batch = config.batch.min(config.queue);
    let time = |name: &str| said(lookup, name).map(|value| milliseconds(name, &value)).transpose();
    if let Some(delay) = time("OTEL_BSP_SCHEDULE_DELAY")? {
        config.delay = delay;
    }
    if let Some(interval) = time("OTEL_METRIC_EXPORT_INTERVAL")? {
        config.metric_interval = interval;
    }
    Ok(Some(config))
}

/// The same where a variable names an endpoint. A signal without one is left out.
pub(super) fn read_with_endpoint(lookup: Lookup<'_>) -> Read<Option<OtlpConfig>> {
    let named = |signal: Signal| signal.variable(lookup, "ENDPOINT").is_some();
    if !named(TRACES) && !named(METRICS) {
        return Ok(None);
    }
    let Some(mut config) = read(lookup)? else { return Ok(None) };
    config.traces = config.traces.filter(|_| named(TRACES));
    config.metrics = config.metrics.filter(|_| named(METRICS));
    Ok(Some(config).filter(|config| config.traces.is_some() || config.metrics.is_some()))
}

fn resource(lookup: Lookup<'_>) -> Read<Vec<(String, String)>> {
    const NAME: &str = "OTEL_RESOURCE_ATTRIBUTES";
    let mut attributes = Vec::new();
    if let Some(value) = said(lookup, NAME) {
        for pair in pairs(&value) {
            let Some(pair) = pair else { return wrong(NAME, "has an entry without `=`", "write `name=value,name=value`") };
            attributes.push(pair);
        }
    }
    if let Some(name) = said(lookup, "OTEL_SERVICE_NAME") {
        attributes.retain(|(known, _)| known != SERVICE_NAME);
        attributes.push((SERVICE_NAME.to_owned(), name));
    }
    Ok(attributes)
}

/// `name=value,name=value`, percent-decoded; `None` for an entry without `=` or without a name.
fn pairs(text: &str) -> impl Iterator<Item = Option<(String, String)>> + '_ {
    text.split(',').map(str::trim).filter(|entry| !entry.is_empty()).map(|entry| {
        let (name, value) = entry.split_once('=')?;
        let decoded = |text: &str| percent_decode_str(text.trim()).decode_utf8_lossy().into_owned();
        Some((decoded(name), decoded(value))).filter(|(name, _)| !name.is_empty())
    })
}

fn truth(name: &str, value: &str) -> Read<bool> {
    match value {
        _ if value.eq_ignore_ascii_case("true") => Ok(true),
        _ if value.eq_ignore_ascii_case("false") => Ok(false),
        _ => wrong(name, format!("is `{value}`"), "write `true` or `false`"),
    }
}

fn milliseconds(name: &str, value: &str) -> Read<Duration> {
    match value.parse::<u64>() {
        Ok(ms @ 1..) => Ok(Duration::from_millis(ms)),
        _ => wrong(name, format!("is `{value}`"), "write a number of milliseconds above 0, like `10000`"),
    }
}

fn count(lookup: Lookup<'_>, name: &str) -> Read<Option<usize>> {
    let Some(value) = said(lookup, name) else { return Ok(None) };
    match value.parse::<usize>() {
        Ok(count @ 1..) => Ok(Some(count)),
        _ => wrong(name, format!("is `{value}`"), "write a number of spans above 0, like `2048`"),
    }
}
