//! Options of every verb that is configured.

use crate::agent::config::{ConfigError, Fault, Flag, Settings, Sources};
use crate::cli::{Failure, status};
use clap::Args;
use std::path::PathBuf;

/// Where settings come from.
#[derive(Debug, Args)]
pub(crate) struct ConfigOptions {
    /// Configuration file [default: $HOPWATCH_CONFIG, else hopwatch.toml here if there is one]
    #[arg(long, short, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,

    /// Set a key of the configuration, like gateway.workers=2; repeatable
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = set_option)]
    set: Vec<Flag>,
}

impl ConfigOptions {
    /// All that settings come from.
    pub(crate) fn sources(&self) -> Sources {
        Sources::of_process(self.config.as_deref(), self.set.clone())
    }
}

/// Reads the settings; every mistake in them is told.
pub(crate) fn settings(sources: &Sources) -> Result<Settings, Failure> {
    Settings::read(sources).map_err(|error| match error {
        ConfigError::Invalid { faults, more: 0 } => told(&faults),
        ConfigError::Invalid { faults, more } => told(&faults).and(Failure::usage(format!("there are {more} more"))),
        error => Failure::of(status::USAGE, &error),
    })
}

/// Mistakes as a failure.
pub(crate) fn told(faults: &[Fault]) -> Failure {
    faults.iter().fold(Failure::silent(status::USAGE), |failure, fault| {
        let told = Failure::usage(fault.to_string());
        failure.and(match &fault.hint {
            Some(hint) => told.hint(hint),
            None => told,
        })
    })
}

/// Reads `KEY=VALUE`. Whether there is such a key is told with all other mistakes.
fn set_option(text: &str) -> Result<Flag, String> {
    let (key, value) = text.split_once('=').ok_or_else(|| {
        format!("`{text}` has no `=`\nhint: write KEY=VALUE, like `gateway.workers=2`; lists are separated by commas")
    })?;
    Ok(Flag { option: "--set", key: key.trim().to_owned(), value: value.to_owned() })
}
