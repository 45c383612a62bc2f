//! Whether to colour.

use clap::ValueEnum;
use std::ffi::OsString;
use std::io::IsTerminal;

/// `--color`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless `NO_COLOR` is set
    #[default]
    Auto,
    /// Whatever it is written to
    Always,
    /// Not at all
    Never,
}

impl Color {
    /// Whether standard error is coloured.
    pub(crate) fn on_stderr(self) -> bool {
        self.decide(std::io::stderr().is_terminal(), |name| std::env::var_os(name))
    }

    /// Whether standard output is coloured.
    pub(crate) fn on_stdout(self) -> bool {
        self.decide(std::io::stdout().is_terminal(), |name| std::env::var_os(name))
    }

    /// Whether a terminal is coloured, whatever else is written to.
    pub(crate) fn on_terminal(self) -> bool {
        self.decide(true, |name| std::env::var_os(name))
    }

    fn decide(self, terminal: bool, env: impl Fn(&str) -> Option<OsString>) -> bool {
        let is_set = |name| env(name).is_some_and(|value| !value.is_empty());
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto if is_set("NO_COLOR") => false,
            Self::Auto if is_set("CLICOLOR_FORCE") && env("CLICOLOR_FORCE").is_none_or(|value| value != "0") => true,
            Self::Auto => terminal && env("TERM").is_none_or(|term| term != "dumb"),
        }
    }
}

/// Whether the terminal says of itself that it can do nothing, or nothing at all.
pub(super) fn is_dumb() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_follows_the_option_then_the_environment_then_the_terminal() {
        let none = |_: &str| None;
        let only = |name: &'static str, value: &'static str| move |asked: &str| (asked == name).then(|| OsString::from(value));
        assert!(Color::Auto.decide(true, none));
        assert!(!Color::Auto.decide(false, none));
        assert!(!Color::Auto.decide(true, only("NO_COLOR", "1")));
        assert!(Color::Auto.decide(true, only("NO_COLOR", "")));
        assert!(Color::Auto.decide(false, only("CLICOLOR_FORCE", "1")));
        assert!(!Color::Auto.decide(false, only("CLICOLOR_FORCE", "0")));
        assert!(!Color::Auto.decide(true, only("TERM", "dumb")));
        assert!(Color::Always.decide(false, only("NO_COLOR", "1")));
        assert!(!Color::Never.decide(true, only("CLICOLOR_FORCE", "1")));
    }
}
