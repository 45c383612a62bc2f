//! An agent asked over HTTP: its report, and what is open there.

use super::{Failure, status};
use crate::export::report::read::{Printable, read};
use crate::export::report::{OpenReport, Report};
use crate::model::redact;
use reqwest::{Client, Url};
use serde::de::DeserializeOwned;
use std::error::Error;
use std::time::Duration;

/// Where an agent is asked when nothing says where it is.
const ADDRESS: &str = "127.0.0.1:9470";
/// How to write where one is.
pub(super) const HINT: &str = "write [HOST:]PORT or a URL, like `9470`, `127.0.0.1:9470` or `http://agent.internal:9470`";
/// How long it may take to get there, and to answer in all.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Longest answer that is read, and how much of one that is no report is shown.
const ANSWER_MAX: usize = 256 << 20;
const REASON_MAX: usize = 200;

/// An agent at an address.
#[derive(Clone, Debug)]
pub(super) struct Agent {
    client: Client,
    base: Url,
}

/// What of the report is asked for. A server that does not know the difference answers with all of it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part<'a> {
    /// The runs without their hops.
    Runs,
    /// One run, by its id.
    Run(&'a str),
}

/// Why an agent told nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error("no agent answers at {at}: {reason}")]
    Unreachable { at: String, reason: String },
    #[error("{at} answered {status}: {reason}")]
    Refused { at: String, status: u16, reason: String },
    #[error("what {at} answered is no report of this version: {source}")]
    Unreadable { at: String, source: serde_json::Error },
    #[error("what {at} answered is longer than {} MiB", ANSWER_MAX >> 20)]
    TooLong { at: String },
}

impl AskError {
    /// What to do about it.
    pub(super) fn failure(&self) -> Failure {
        let failure = Failure::of(status::FAILED, self);
        match self {
            Self::Unreachable { .. } => {
                failure.hint("start one (`hopwatch agent`), or name the admin address of another; `HOPWATCH_ADMIN` names it too")
            }
            Self::Unreadable { .. } => failure.hint("it has to be the admin address of a `hopwatch agent` of this version"),
            Self::Refused { .. } | Self::TooLong { .. } => failure,
        }
    }
}

/// Where agents are asked: what was named, else `HOPWATCH_ADMIN`, else the default.
///
/// # Errors
/// Says what is wrong with it, and what to write.
pub(super) fn place(named: Option<&str>) -> Result<Url, Failure> {
    let variable = std::env::var("HOPWATCH_ADMIN").ok().filter(|value| !value.is_empty());
    parse(named.or(variable.as_deref()).unwrap_or(ADDRESS)).map_err(|message| match message.split_once("\nhint: ") {
        Some((problem, hint)) => Failure::usage(problem).hint(hint),
        None => Failure::usage(message),
    })
}

/// Reads `[HOST:]PORT` or a URL.
///
/// # Errors
/// Says what is wrong with it, and after a line break what to write.
fn parse(text: &str) -> Result<Url, String> {
    let shown = redact::name(&redact::url(text));
    let wrong = |problem: &str, hint: &str| Err(format!("`{shown}` {problem}\nhint: {hint}"));
    let is_port = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let full = match text {
        _ if text.contains("://") => text.to_owned(),
        _ if is_port => format!("http://127.0.0.1:{text}"),
        _ => format!("http://{}{text}", if text.starts_with(':') { "127.0.0.1" } else { "" }),
    };
    let Ok(mut url) = Url::parse(&full) else { return wrong("is no address", HINT) };
    match url.scheme() {
        "http" => {}
        "https" => {
            let hint = "fetch it by something that speaks TLS: `curl https://… | hopwatch report --from -`";
            return wrong("is asked over TLS, which agents do not serve", hint);
        }
        _ => return wrong("is no address", HINT),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return wrong("holds credentials, which agents do not ask for", HINT);
    }
    let path = url.path().trim_end_matches('/').trim_end_matches("/api/report").to_owned() + "/";
    url.set_path(&path);
    (url.query(), url.fragment()).ne(&(None, None)).then(|| (url.set_query(None), url.set_fragment(None)));
    Ok(url)
}

impl Agent {
    /// The agent there, which is not asked yet.
    pub(super) fn at(base: Url) -> Result<Self, Failure> {
        // Cargo adds features up: where anything asks for reqwest's TLS without a provider, it wants one of the process.
        let _there_already = rustls::crypto::ring::default_provider().install_default();
        // An admin address is near: proxies of the environment lead elsewhere.
        let client = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).connect_timeout(CONNECT_WITHIN);
        let client = client.timeout(ANSWER_WITHIN).build();
        client.map(|client| Self { client, base }).map_err(|error| Failure::of(status::FAILED, &error))
    }

    /// Where it is, without what may be secret in it.
    pub(super) fn shown(&self) -> String {
        let text = redact::name(&redact::url(self.base.as_str()));
        text.trim_start_matches("http://").trim_end_matches('/').to_owned()
    }

    /// The report, or a part of it.
    ///
    /// # Errors
    /// It does not answer, or with something else.
    pub(super) async fn report(&self, part: Option<Part<'_>>) -> Result<Report, AskError> {
        let query = match part {
            None => Vec::new(),
            Some(Part::Runs) => vec![("hops", "0")],
            Some(Part::Run(id)) => vec![("run", id)],
        };
        self.ask("api/report", &query).await
    }

    /// The calls that are open.
    ///
    /// # Errors
    /// Likewise.
    pub(super) async fn open(&self) -> Result<OpenReport, AskError> {
        self.ask("api/open", &[]).await
    }

    async fn ask<T: DeserializeOwned + Printable>(&self, path: &str, query: &[(&str, &str)]) -> Result<T, AskError> {
        let at = || self.shown();
        let unreachable = |error: reqwest::Error| AskError::Unreachable { at: at(), reason: reason(&error) };
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", url.path()));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut answer = self.client.get(url).send().await.map_err(unreachable)?;
        let status = answer.status();
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(unreachable)? {
            if body.len() + piece.len() > ANSWER_MAX {
                return Err(AskError::TooLong { at: at() });
            }
            body.extend_from_slice(&piece);
        }
        if !status.is_success() {
            let text = String::from_utf8_lossy(&body[..body.len().min(REASON_MAX)]);
            return Err(AskError::Refused { at: at(), status: status.as_u16(), reason: redact::name(text.trim()) });
        }
        read(&body).map_err(|source| AskError::Unreadable { at: at(), source })
    }
}

/// The innermost cause, which says most: what is around it names the URL and little else.
fn reason(error: &reqwest::Error) -> String {
    let mut innermost: &dyn Error = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    if error.is_timeout() { "it takes too long".to_owned() } else { redact::name(&innermost.to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        for (text, url) in [
            ("9470", "http://127.0.0.1:9470/"),
            (":9470", "http://127.0.0.1:9470/"),
            ("localhost:9470", "http://localhost:9470/"),
            ("[::1]:9470", "http://[::1]:9470/"),
            ("agent.internal", "http://agent.internal/"),
            ("http://127.0.0.1:9464", "http://127.0.0.1:9464/"),
            ("http://127.0.0.1:9464/", "http://127.0.0.1:9464/"),
            ("http://127.0.0.1:9464/api/report?hops=0#x", "http://127.0.0.1:9464/"),
            ("http://proxy/agents/a", "http://proxy/agents/a/"),
        ] {
            assert_eq!(parse(text).unwrap().as_str(), url, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_says_what_to_write_and_no_secret() {
        for text in ["", "http://", "a b", "ftp://a", "https://a", "http://user:secret@a", "99999999"] {
            let error = parse(text).unwrap_err();
            assert!(error.contains("\nhint: ") && !error.contains("secret"), "{text}: {error}");
        }
    }
}
