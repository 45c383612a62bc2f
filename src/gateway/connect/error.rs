//! Why there is no connection: outcome, who failed, in which step, and a short code, known by types alone.

use super::proxies::ProxyError;
use super::race::Tried;
use super::tls::Broken;
use super::tunnel::Refusal;
use super::{Origin, Target};
use crate::lookup::LookupError;
use crate::model::clock::rfc3339;
use crate::model::error_type as code;
use crate::model::human::human_duration;
use crate::model::{FailedBy, Name, Outcome, Phase, redact};
use rustls::CertificateError;
use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// A certificate that is not valid yet.
const CERTIFICATE_NOT_YET_VALID: &str = "certificate_not_yet_valid";
/// A peer that asks for a certificate of its client.
const CERTIFICATE_WANTED: &str = "certificate_wanted";
/// An address in a network that is never connected to.
const BLOCKED_ADDRESS: &str = "blocked_address";
/// A host that cannot be asked for.
const INVALID_NAME: &str = "invalid_name";
/// A proxy of a kind that is not spoken.
const PROXY_UNSUPPORTED: &str = "proxy_unsupported";
/// A proxy whose answer is no HTTP.
const PROXY_INVALID_RESPONSE: &str = "proxy_invalid_response";

/// Most names of a certificate that are told.
const NAMES_MAX: usize = 3;

/// Why there is no connection to an origin. Credentials are in no part of it.
#[derive(Debug)]
pub(crate) struct ConnectError {
    /// Whom it was for.
    pub(crate) origin: Origin,
    /// The proxy on the way there. Look-up and connect were for it.
    pub(crate) proxy: Option<Name>,
    /// The step that failed.
    pub(crate) phase: Phase,
    /// What that makes of the call.
    pub(crate) outcome: Outcome,
    /// The peer or the path to it, or a limit or setting of one's own.
    pub(crate) failed_by: FailedBy,
    /// A short code of a small set, for `error.type`.
    pub(crate) error_type: Name,
    /// The system's error number behind it.
    pub(crate) errno: Option<i32>,
    /// What a proxy answered.
    pub(crate) status: Option<u16>,
    /// The address that it failed at.
    pub(crate) address: Option<SocketAddr>,
    /// The other addresses that gave no connection, as far as they were tried.
    pub(crate) tried: Vec<Tried>,
    /// What happened, for people.
    pub(crate) reason: String,
    source: Option<Arc<io::Error>>,
}

impl ConnectError {
    fn new(target: Target<'_>, phase: Phase, outcome: Outcome, code: impl Into<Name>, reason: impl Into<String>) -> Box<Self> {
        Box::new(Self {
            origin: target.origin.clone(),
            proxy: target.proxy.map(|proxy| proxy.name.clone()),
            phase,
            outcome,
            failed_by: FailedBy::Peer,
            error_type: code.into(),
            errno: None,
            status: None,
            address: None,
            tried: Vec::new(),
            reason: reason.into(),
            source: None,
        })
    }

    /// The host is none that could be asked for, or written into a request.
    pub(super) fn no_host(origin: &Origin) -> Box<Self> {
        let target = Target { origin, proxy: None };
        let mut error = Self::new(target, Phase::Dns, Outcome::Error, INVALID_NAME, "it is no name of a host");
        error.failed_by = FailedBy::Own;
        error
    }

    /// The name was not resolved.
    pub(super) fn lookup(target: Target<'_>, error: Arc<io::Error>) -> Box<Self> {
        let (code, reason) = match error.get_ref().and_then(|inner| inner.downcast_ref::<LookupError>()) {
            Some(lookup) => (lookup.error_type(), lookup.reason().to_owned()),
            None => (system_code(&error, code::NAME_RESOLUTION), error.to_string()),
        };
        Self::new(target, Phase::Dns, Outcome::Dns, code, reason).system(error)
    }

    /// The resolver took too long.
    pub(super) fn lookup_silent(target: Target<'_>, after: Duration) -> Box<Self> {
        Self::new(target, Phase::Dns, Outcome::Dns, code::TIMEOUT, unanswered(after))
    }

    /// The name has no address that may be used.
    pub(super) fn no_address(target: Target<'_>) -> Box<Self> {
        let reason = "it has no address of the family that was asked for";
        Self::new(target, Phase::Dns, Outcome::Dns, code::NAME_NOT_FOUND, reason)
    }

    /// All of its addresses are never connected to.
    pub(super) fn blocked(target: Target<'_>, address: SocketAddr) -> Box<Self> {
        let reason = "the address is in a network that is never connected to";
        let mut error = Self::new(target, Phase::Connect, Outcome::Error, BLOCKED_ADDRESS, reason);
        (error.failed_by, error.address) = (FailedBy::Own, Some(address));
        error
    }

    /// The origin, or the proxy on the way to it, is this very gateway.
    pub(super) fn circle(target: Target<'_>, address: SocketAddr) -> Box<Self> {
        let mut error = Self::new(target, Phase::Connect, Outcome::Error, BLOCKED_ADDRESS, "it is this very gateway");
        (error.failed_by, error.address) = (FailedBy::Own, Some(address));
        error
    }

    /// No address gave a connection.
    pub(super) fn connect(target: Target<'_>, mut tried: Vec<Tried>, timeout: Duration) -> Box<Self> {
        // Of several the one that got furthest, and of these the first.
        let telling = (0..tried.len()).rev().max_by_key(|&index| how_far(tried[index].error.as_ref()));
        let (address, error) = telling.map(|index| tried.remove(index)).map(|told| (told.address, told.error)).unzip();
        let mut told = match error.flatten() {
            Some(error) => {
                let code = system_code(&error, code::CONNECT);
                Self::new(target, Phase::Connect, Outcome::Connect, code, error.to_string()).system(Arc::new(error))
            }
            None => Self::new(target, Phase::Connect, Outcome::Connect, code::TIMEOUT, unanswered(timeout)),
        };
        (told.address, told.tried) = (address, tried);
        told
    }

    /// The proxy's variable names none that can be used.
    pub(super) fn unusable_proxy(origin: &Origin, error: &ProxyError) -> Box<Self> {
        let target = Target { origin, proxy: None };
        let mut error = Self::new(target, Phase::Proxy, Outcome::Error, PROXY_UNSUPPORTED, error.to_string());
        error.failed_by = FailedBy::Own;
        error
    }

    /// The proxy at this address does not lead on.
    pub(super) fn refused(target: Target<'_>, refusal: Refusal, address: SocketAddr) -> Box<Self> {
        let new = |code: &str, reason: String| Self::new(target, Phase::Proxy, Outcome::Connect, code, reason);
        let mut error = match refusal {
            Refusal::Status(status) => {
                let code = match status {
                    407 => code::PROXY_AUTHENTICATION_REQUIRED.to_owned(),
                    _ => format!("{}_{status}", code::PROXY_REFUSED),
                };
                let mut error = new(&code, format!("it answered {status}"));
                error.status = Some(status);
                error
            }
            Refusal::Garbage => new(PROXY_INVALID_RESPONSE, "its answer is no HTTP".to_owned()),
            Refusal::Closed => new(code::PROXY_CLOSED, "it closed instead of answering".to_owned()),
            Refusal::Broken(error) => new(system_code(&error, code::CONNECT), error.to_string()).system(Arc::new(error)),
            Refusal::Silent(after) => new(code::TIMEOUT, unanswered(after)),
        };
        error.address = Some(address);
        error
    }

    /// The handshake with the peer at this address failed; `phase` tells whether that is the proxy.
    pub(super) fn handshake(target: Target<'_>, phase: Phase, broken: Broken, address: SocketAddr) -> Box<Self> {
        let new = |code: &'static str, reason: String| Self::new(target, phase, Outcome::Tls, code, reason);
        let mut error = match broken {
            Broken::Name(error) => {
                let mut error = new(INVALID_NAME, error.to_string());
                error.failed_by = FailedBy::Own;
                error
            }
            Broken::Silent(after) => new(code::TIMEOUT, unanswered(after)),
            Broken::Io(error) => {
                let (code, reason) = match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                    Some(error) => of_rustls(error),
                    None if error.kind() == ErrorKind::UnexpectedEof => {
                        (code::CONNECTION_CLOSED, "the peer closed within the handshake".to_owned())
                    }
                    None => (system_code(&error, code::TLS), error.to_string()),
                };
                new(code, reason).system(Arc::new(error))
            }
        };
        error.address = Some(address);
        error
    }

    /// TLS could not be set up here.
    pub(super) fn no_tls(target: Target<'_>, reason: &str) -> Box<Self> {
        let mut error = Self::new(target, Phase::Tls, Outcome::Tls, code::TLS, reason.to_owned());
        error.failed_by = FailedBy::Own;
        error
    }

    /// The peer asks for a certificate of its client, which is not here.
    pub(super) fn certificate_wanted(target: Target<'_>) -> Box<Self> {
        Self::new(target, Phase::Tls, Outcome::Tls, CERTIFICATE_WANTED, "it asks for certificates of its clients")
    }

    /// HTTP cannot be begun on a connection that has just been opened.
    pub(crate) fn http(origin: &Origin, reason: &dyn Error) -> Box<Self> {
        let target = Target { origin, proxy: None };
        Self::new(target, Phase::Send, Outcome::Reset, code::CONNECTION_CLOSED, reason.to_string())
    }

    /// Whether the peer said nothing for too long.
    pub(crate) fn is_silence(&self) -> bool {
        *self.error_type == *code::TIMEOUT
    }

    /// Whether the peer's TLS is such that another try would fail too.
    pub(crate) fn is_lasting(&self) -> bool {
        let inner = self.source.as_ref().and_then(|error| error.get_ref());
        *self.error_type == *CERTIFICATE_WANTED || inner.is_some_and(|inner| inner.is::<rustls::Error>())
    }

    /// With the system's error behind it.
    fn system(mut self: Box<Self>, error: Arc<io::Error>) -> Box<Self> {
        self.errno = error.raw_os_error();
        if code::is_own_limit(error.kind(), self.errno) {
            self.failed_by = FailedBy::Own;
        }
        self.source = Some(error);
        self
    }

    /// What to do about it, where that is known.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        Some(match (&*self.error_type, self.phase) {
            ("too_many_open_files", _) => "raise the limit on open files (`ulimit -n`)",
            ("no_local_port", _) => "no local address or port is left for it: keep connections open instead of making many",
            (code::NAME_NOT_FOUND, _) => "check its spelling, and which resolver this machine or container uses",
            (_, Phase::Dns) => "check the resolver of this machine or container (/etc/resolv.conf)",
            (BLOCKED_ADDRESS, _) => "it is protected from being reached this way",
            ("connection_refused", Phase::Connect) => {
                "check that it runs there, and host and port: inside a container `localhost` is the container itself"
            }
            (code::TIMEOUT, Phase::Connect) => "check firewall, egress rules, host and port",
            (_, Phase::Connect) => "check the routes and egress rules of this machine",
            (code::CERTIFICATE_EXPIRED | CERTIFICATE_NOT_YET_VALID, _) => {
                "renew the certificate; check the clock of this machine"
            }
            (code::CERTIFICATE_UNKNOWN_ISSUER, _) => "name the PEM file of its authority in SSL_CERT_FILE",
            (code::CERTIFICATE_NAME, _) => "ask for it by a name that its certificate is for",
            (code::NOT_TLS, _) => "it may speak plain HTTP: write `http://`",
            (code::TLS_ALERT, _) => "it may want another server name, TLS version or a client's certificate",
            (PROXY_UNSUPPORTED, _) => ProxyError::HINT,
            (code::PROXY_AUTHENTICATION_REQUIRED, _) => "write the proxy with its credentials: http://user:password@host:port",
            (_, Phase::Proxy) if self.status.is_some() => "ask whoever runs the proxy, or name the host in NO_PROXY",
            (_, Phase::Proxy) => "check that a forward proxy is what runs there, and its log",
            (code::TIMEOUT | code::CONNECTION_CLOSED, Phase::Tls) => {
                "check that it speaks TLS on this port, and what stands between"
            }
            _ => return None,
        })
    }
}

impl fmt::Display for ConnectError {
    /// What failed, where, and what to do about it; one line. In the alternate form without the last.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin, proxy, phase, reason, .. } = self;
        match (phase, proxy) {
            (Phase::Dns, None) => write!(f, "cannot resolve `{}`", redact::name(&origin.host))?,
            (Phase::Dns, Some(proxy)) => write!(f, "cannot resolve the proxy `{proxy}`")?,
            (Phase::Connect, None) => write!(f, "cannot connect to `{origin}`")?,
            (Phase::Connect, Some(proxy)) => write!(f, "cannot connect to the proxy `{proxy}`")?,
            (Phase::Proxy, Some(proxy)) => write!(f, "the proxy `{proxy}` does not lead to `{origin}`")?,
            (Phase::Tls, _) => write!(f, "no TLS with `{origin}`")?,
            _ => write!(f, "no way to `{origin}`")?,
        }
        if let Some(address) = self.address {
            write!(f, " at {address}")?;
        }
        write!(f, ": {reason}")?;
        match self.hint() {
            Some(hint) if !f.alternate() => write!(f, "; {hint}"),
            _ => Ok(()),
        }
    }
}

impl Error for ConnectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|error| error as _)
    }
}

fn system_code(error: &io::Error, other: &'static str) -> &'static str {
    match code::of_system(error.kind(), error.raw_os_error()) {
        code::OTHER => other,
        code => code,
    }
}

fn unanswered(after: Duration) -> String {
    format!("no answer within {}", human_duration(crate::model::clock::nanos(after)))
}

/// How far an attempt got: one that was turned down reached somebody, one that was not answered at least left.
fn how_far(error: Option<&io::Error>) -> u8 {
    match error.map(io::Error::kind) {
        Some(ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted) => 3,
        None | Some(ErrorKind::TimedOut) => 2,
        Some(ErrorKind::AddrNotAvailable) => 0,
        Some(_) => 1,
    }
}

fn of_rustls(error: &rustls::Error) -> (&'static str, String) {
    match error {
        rustls::Error::InvalidCertificate(why) => of_certificate(why),
        rustls::Error::NoCertificatesPresented => (code::CERTIFICATE, "the peer showed no certificate".to_owned()),
        rustls::Error::AlertReceived(alert) => {
            (code::TLS_ALERT, format!("the peer ended the handshake with the alert {alert:?}"))
        }
        rustls::Error::InvalidMessage(_) => (code::NOT_TLS, "what answers does not speak TLS".to_owned()),
        other => (code::TLS, other.to_string()),
    }
}

fn of_certificate(error: &CertificateError) -> (&'static str, String) {
    match error {
        CertificateError::Expired => (code::CERTIFICATE_EXPIRED, "the certificate has expired".to_owned()),
        CertificateError::ExpiredContext { not_after, .. } => {
            (code::CERTIFICATE_EXPIRED, format!("the certificate expired at {}", instant(not_after.as_secs())))
        }
        CertificateError::NotValidYet => (CERTIFICATE_NOT_YET_VALID, "the certificate is not valid yet".to_owned()),
        CertificateError::NotValidYetContext { not_before, .. } => {
            (CERTIFICATE_NOT_YET_VALID, format!("the certificate is valid only from {}", instant(not_before.as_secs())))
        }
        CertificateError::UnknownIssuer => {
            (code::CERTIFICATE_UNKNOWN_ISSUER, "the certificate's issuer is not trusted here".to_owned())
        }
        CertificateError::NotValidForName => (code::CERTIFICATE_NAME, "the certificate is for other names".to_owned()),
        CertificateError::NotValidForNameContext { presented, .. } => {
            // As in `DnsName("docs.internal")`.
            let bare = |name: &String| redact::name(name.split(['(', ')']).nth(1).unwrap_or(name).trim_matches('"'));
            let names: Vec<String> = presented.iter().take(NAMES_MAX).map(bare).collect();
            let more = if presented.len() > NAMES_MAX { " and more" } else { "" };
            let names = if names.is_empty() { "no name at all".to_owned() } else { names.join(", ") };
            (code::CERTIFICATE_NAME, format!("the certificate is for {names}{more}"))
        }
        other => (code::CERTIFICATE, format!("the certificate cannot be used: {other}")),
    }
}

fn instant(seconds: u64) -> String {
    rfc3339(seconds.saturating_mul(1_000_000_000))
}
