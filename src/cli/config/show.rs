//! `hopwatch config show`: the settings in force, each with its source.

use super::options::{ConfigOptions, settings};
use crate::agent::config::{self, help};
use crate::agent::providers::ProviderRoutes;
use crate::cli::{Failure, print, status};
use crate::model::clock::Anchor;
use clap::Args;

const EXAMPLES: &str = "\
Examples:
  hopwatch config show
  hopwatch config show -c deploy/hopwatch.toml --set gateway.workers=2
  hopwatch config show --json | jq '.keys[] | select(.source != \"default\")'";

/// Show the settings in force and where each is from
///
/// Every key with its value and its source: the default, a line of the file, a variable, or an option; and every route, those
/// to known providers among them. Credentials are masked.
#[derive(Debug, Args)]
#[command(after_help = format!("{EXAMPLES}\n\n`--help` tells what every key does."))]
#[command(after_long_help = format!("{EXAMPLES}\n\n{}", help().trim_end()))]
pub(super) struct ShowArgs {
    #[command(flatten)]
    options: ConfigOptions,

    /// As JSON
    #[arg(long)]
    json: bool,

    /// Print the JSON Schema of what --json prints
    #[arg(long, exclusive = true)]
    schema: bool,
}

/// Prints them.
pub(super) fn show(args: &ShowArgs) -> Result<u8, Failure> {
    if args.schema {
        print(&pretty(&config::schema())?)?;
        return Ok(0);
    }
    let settings = settings(&args.options.sources())?;
    let providers = ProviderRoutes::of(|name| std::env::var(name).ok());
    // Of the monotonic clock nothing is converted here.
    let shown = config::show(&settings, providers.shown(&settings), Anchor::new(0).now());
    print(&if args.json { pretty(&shown)? } else { config::text(&settings, &shown) })?;
    Ok(0)
}

fn pretty(value: &impl serde::Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(value);
    let text = text.map_err(|error| Failure::new(status::FAILED, format!("cannot write JSON: {error}")))?;
    Ok(text + "\n")
}
