//! `hopwatch config`: what is in force, where it is from, and what is wrong with it.

mod check;
mod options;
mod show;

pub(super) use options::{ConfigOptions, settings, told};

use super::Failure;
use crate::agent::config::commented_file;
use clap::{Args, Subcommand};

/// Explain and show the configuration
///
/// Settings come from the command line, the environment, a file and the defaults, the former winning over the latter.
#[derive(Debug, Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = false,
    subcommand_value_name = "VERB",
    subcommand_help_heading = "Verbs"
)]
#[command(after_help = "\
Examples:
  hopwatch config reference > hopwatch.toml   a file to start from
  hopwatch config check hopwatch.toml         what is wrong with it: line, column, nearest key
  hopwatch config show                        what is in force here, and where it is from")]
pub(super) struct ConfigArgs {
    #[command(subcommand)]
    verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
enum Verb {
    Check(check::CheckArgs),
    Show(show::ShowArgs),
    Reference(ReferenceArgs),
}

/// Print a file with every key, its default and what it does
///
/// All of it is commented out, so that it changes nothing as it is.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hopwatch config reference > hopwatch.toml")]
struct ReferenceArgs {}

/// Does what the verb says; the exit code.
pub(super) fn config(args: ConfigArgs) -> Result<u8, Failure> {
    match args.verb {
        Verb::Check(args) => check::check(args),
        Verb::Show(args) => show::show(&args),
        Verb::Reference(ReferenceArgs {}) => super::print(&commented_file()).map(|()| 0),
    }
}
