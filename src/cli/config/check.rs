//! `hopwatch config check`: what is wrong with a configuration.

use super::options::{ConfigOptions, settings, told};
use crate::agent::config::{Fault, Settings};
use crate::cli::{Failure, print, status, tell};
use clap::Args;
use std::path::PathBuf;

/// Explain what is wrong with the configuration
///
/// Reads the file, the environment and the options as `hopwatch agent` would, and tells every mistake with its place, the nearest
/// valid key and what to do. Nothing is connected to; the files of certificates are looked into.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hopwatch config check
  hopwatch config check deploy/hopwatch.toml
  hopwatch config check --strict -c deploy/hopwatch.toml --set gateway.listen=0.0.0.0:9471

Exit code: 0 fine, 1 there are warnings and --strict, 2 there are mistakes.")]
pub(super) struct CheckArgs {
    /// The file [default: as without it]
    #[arg(value_name = "FILE", conflicts_with = "config")]
    file: Option<PathBuf>,

    #[command(flatten)]
    options: ConfigOptions,

    /// Fail on warnings too
    #[arg(long)]
    strict: bool,
}

/// Checks, and says that all is fine or what is not.
pub(super) fn check(mut args: CheckArgs) -> Result<u8, Failure> {
    args.options.config = args.file.or(args.options.config);
    let settings = settings(&args.options.sources())?;
    let wrong = settings.check_files();
    if !wrong.is_empty() {
        return Err(told(&wrong));
    }
    tell(&settings.warnings.iter().map(warning).collect::<String>());
    let failed = args.strict && !settings.warnings.is_empty();
    print(&format!("{}\n", summary(&settings, failed)))?;
    Ok(if failed { status::CHECK_FAILED } else { 0 })
}

fn warning(fault: &Fault) -> String {
    let hint = fault.hint.as_ref().map_or_else(String::new, |hint| format!("hint: {hint}\n"));
    format!("warning: {fault}\n{hint}")
}

/// `hopwatch.toml: fine (1 dependency, 2 routes), 1 warning`.
fn summary(settings: &Settings, failed: bool) -> String {
    let file = settings.file.as_ref().map_or_else(|| "no file".to_owned(), |path| path.display().to_string());
    let counts = [
        counted(settings.dependencies.len(), "dependency", "dependencies"),
        counted(settings.routes.len(), "route", "routes"),
        counted(settings.tcp_routes.len(), "TCP route", "TCP routes"),
    ];
    let counts = counts.into_iter().flatten().collect::<Vec<_>>().join(", ");
    let fine = match (failed, counts.is_empty()) {
        (true, _) => None,
        (false, true) => Some("fine".to_owned()),
        (false, false) => Some(format!("fine ({counts})")),
    };
    let said: Vec<_> = fine.into_iter().chain(counted(settings.warnings.len(), "warning", "warnings")).collect();
    format!("{file}: {}", said.join(", "))
}

/// How many there are, if any.
fn counted(count: usize, one: &str, several: &str) -> Option<String> {
    (count > 0).then(|| format!("{count} {}", if count == 1 { one } else { several }))
}
