//! `hopwatch report`: what a report is.

use super::Failure;
use clap::Args;

/// Describe the JSON report
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hopwatch report --schema > hopwatch.report.schema.json")]
pub(super) struct ReportArgs {
    /// Print the JSON Schema of the report that `run --json` writes
    #[arg(long, required = true)]
    schema: bool,
}

/// Prints the schema.
pub(super) fn report(args: &ReportArgs) -> Result<u8, Failure> {
    debug_assert!(args.schema, "the only form");
    super::print(&super::run::report::schema()?)?;
    Ok(0)
}
