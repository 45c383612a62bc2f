//! The demo's faults, and what the verdict has to say about each.

use crate::export::report::Report;
use crate::model::{Cause, Kind, Phase};
use clap::ValueEnum;

/// Name of the model server.
pub(super) const LLM: &str = "openai";
/// Name of the retriever.
pub(super) const DOCS: &str = "docs";
/// Name of the tool.
pub(super) const TOOL: &str = "lookup_policy";
/// Questions that are answered as they should be, before the one that meets the fault.
pub(super) const WARM_UP: usize = 7;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Fault {
    SlowRetrieval,
    SlowFirstToken,
    StalledStream,
    SlowTool,
    Refused,
    RateLimited,
    BlockedLoop,
    Reset,
    NewClientPerCall,
    None,
}

/// What the report has to say.
enum Expected {
    /// This verdict.
    Verdict { kind: Option<Kind>, dependency: Option<&'static str>, phases: &'static [Phase] },
    /// This finding about this dependency.
    Finding(Cause, &'static str),
    /// Nothing.
    Healthy,
}

impl Fault {
    /// Its name on the command line.
    pub(super) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// What one sees.
    pub(super) const fn shows(self) -> &'static str {
        match self {
            Self::SlowRetrieval => "the retriever eats the budget; the error is raised at the model",
            Self::SlowFirstToken => "the model answers at once, but its first token never comes",
            Self::StalledStream => "the model's stream stops after a few tokens",
            Self::SlowTool => "the tool eats the budget; the error is raised at the model",
            Self::Refused => "nobody listens at the tool's address any more",
            Self::RateLimited => "the model answers 429 with `retry-after`; the client waits, tries again and gives up",
            Self::BlockedLoop => "blocking code in async code: the model's answer lies unread, and the model is not blamed",
            Self::Reset => "the model server resets the connection in the middle of its answer",
            Self::NewClientPerCall => "nothing fails, but each call builds its client anew: a finding",
            Self::None => "nothing is wrong, and nothing is blamed",
        }
    }

    const fn expected(self) -> Expected {
        const fn verdict(kind: Kind, dependency: &'static str, phases: &'static [Phase]) -> Expected {
            Expected::Verdict { kind: Some(kind), dependency: Some(dependency), phases }
        }
        match self {
            Self::SlowRetrieval => verdict(Kind::Retrieval, DOCS, &[Phase::Wait]),
            Self::SlowFirstToken => verdict(Kind::Llm, LLM, &[Phase::FirstToken]),
            Self::StalledStream | Self::Reset => verdict(Kind::Llm, LLM, &[Phase::Stream]),
            Self::SlowTool => verdict(Kind::Tool, TOOL, &[Phase::Wait]),
            Self::Refused => verdict(Kind::Tool, TOOL, &[Phase::Connect]),
            Self::RateLimited => verdict(Kind::Llm, LLM, &[Phase::Backoff]),
            Self::BlockedLoop => Expected::Verdict { kind: None, dependency: None, phases: &[Phase::Stall] },
            Self::NewClientPerCall => Expected::Finding(Cause::ClientRecreated, LLM),
            Self::None => Expected::Healthy,
        }
    }

    /// Whether the report says what it has to.
    ///
    /// # Errors
    /// Says what it says instead.
    pub(super) fn check(self, report: &Report) -> Result<(), String> {
        let run = report.runs.first().ok_or("the report holds no run")?;
        let verdict = run.verdict.as_ref();
        let said = || match verdict {
            Some(verdict) => format!("the verdict is: {}", verdict.sentence),
            None => "there is no verdict".to_owned(),
        };
        let holds = match self.expected() {
            Expected::Verdict { kind, dependency, phases } => verdict.is_some_and(|verdict| {
                verdict.kind == kind && verdict.dependency.as_deref() == dependency && phases.contains(&verdict.phase)
            }),
            Expected::Finding(cause, dependency) => {
                let is_it = |finding: &crate::export::report::FindingReport| {
                    finding.cause == cause && finding.dependency.as_deref() == Some(dependency)
                };
                if verdict.is_none() && !report.findings.iter().any(is_it) {
                    return Err(format!("no finding says `{cause}`"));
                }
                verdict.is_none()
            }
            Expected::Healthy => verdict.is_none() && run.healthy && report.findings.is_empty(),
        };
        if holds { Ok(()) } else { Err(said()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_says_what_one_sees() {
        let faults = Fault::value_variants();
        assert!(faults.len() > 6);
        for fault in faults {
            assert!(!fault.name().is_empty() && !fault.shows().is_empty());
        }
    }
}
