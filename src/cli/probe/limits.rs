//! `--max`: how long a try, or a phase of it, may take.

use crate::agent::duration::{self, DurationError};
use crate::agent::nearest::nearest;
use crate::model::Phase;
use std::time::Duration;

/// The phases that a try has.
pub(super) const PHASES: [Phase; 7] =
    [Phase::Dns, Phase::Connect, Phase::Proxy, Phase::Tls, Phase::Send, Phase::Wait, Phase::Stream];
/// What a whole try is called.
pub(super) const TOTAL: &str = "total";

/// What may not take longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    /// The phase; `None` = the whole try.
    pub(super) phase: Option<Phase>,
    pub(super) allowed: Duration,
}

impl Limit {
    /// How the limit is called.
    pub(super) fn name(&self) -> &'static str {
        self.phase.map_or(TOTAL, Phase::as_str)
    }

    /// Reads `DURATION` or `PHASE=DURATION`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (phase, time) = match text.split_once('=') {
            None => (None, text),
            Some((TOTAL, time)) => (None, time),
            Some((word, time)) => (Some(phase(word)?), time),
        };
        let allowed = duration::parse(time).map_err(|error| format!("{error}\nhint: {}", DurationError::HINT))?;
        Ok(Self { phase, allowed })
    }
}

fn phase(word: &str) -> Result<Phase, String> {
    PHASES.into_iter().find(|phase| phase.as_str() == word).ok_or_else(|| {
        let words: Vec<&str> = PHASES.iter().map(|phase| phase.as_str()).chain([TOTAL]).collect();
        let known = format!("phases are `{}`", words.join("`, `"));
        let hint = nearest(word, words.iter().copied())
            .map_or_else(|| known.clone(), |near| format!("did you mean `{near}`? The {known}"));
        format!("`{word}` is no phase of a try\nhint: {hint}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_for_all_or_for_a_phase() {
        let limit = |phase, ms| Ok(Limit { phase, allowed: Duration::from_millis(ms) });
        assert_eq!(Limit::parse("500ms"), limit(None, 500));
        assert_eq!(Limit::parse("total=1s"), limit(None, 1_000));
        assert_eq!(Limit::parse("tls=200ms"), limit(Some(Phase::Tls), 200));
    }

    #[test]
    fn what_is_no_limit_says_what_to_write() {
        assert!(Limit::parse("tsl=1s").unwrap_err().contains("did you mean `tls`?"));
        assert!(Limit::parse("pool=1s").unwrap_err().contains("phases are `dns`"));
        assert!(Limit::parse("tls=soon").unwrap_err().contains("`soon` is no duration"));
        assert!(Limit::parse("").unwrap_err().contains("\nhint: "));
    }
}
