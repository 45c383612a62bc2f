//! `hopwatch dashboards`: writes Grafana's dashboards, Prometheus' rules and alerts, and the runbook.

use super::run::duration_option;
use super::{Failure, print, status};
use crate::export::dashboards::{File, Parameters, files};
use clap::Args;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Write dashboards, recording rules, alerts and their runbook
///
/// Six dashboards for Grafana, rules and alerts for Prometheus, the runbook that alerts lead to, and what Grafana is provisioned with:
/// made of the names of this version's metrics. Files that are there are replaced; others are left alone.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hopwatch dashboards                            into the folder dashboards
  hopwatch dashboards --out deploy/grafana --objective 0.995 --runbook-url https://wiki.internal/hopwatch
  hopwatch dashboards --check                    exit code 1 where what is there is of another version or other parameters

Exit code: 0 written, or as it should be; 1 with --check where a file differs, 3 it cannot be read or written.")]
pub(super) struct DashboardsArgs {
    /// Folder to write to
    #[arg(long, value_name = "DIR", default_value = "dashboards")]
    out: PathBuf,

    /// Write nothing, and tell which files differ from what would be written
    #[arg(long)]
    check: bool,

    /// Where the runbook can be read [default: where the Grafana of dashboards/compose.yaml serves it]
    #[arg(long, value_name = "URL")]
    runbook_url: Option<String>,

    /// Share of runs that shall end in time [default: 0.99]
    #[arg(long, value_name = "SHARE", value_parser = share)]
    objective: Option<f64>,

    /// How many times its usual a dependency may take [default: 3]
    #[arg(long, value_name = "TIMES", value_parser = times)]
    slow_factor: Option<f64>,

    /// How long a call may be open [default: 2m]
    #[arg(long, value_name = "DURATION", value_parser = duration_option)]
    open_age: Option<Duration>,

    /// How long a start-up may take [default: 30s]
    #[arg(long, value_name = "DURATION", value_parser = duration_option)]
    startup_budget: Option<Duration>,

    /// Divide the windows and waits of alerts by this, to try them out
    #[arg(long, value_name = "TIMES", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    shrink: u32,
}

/// Writes them, or tells what differs.
pub(super) fn dashboards(args: &DashboardsArgs) -> Result<u8, Failure> {
    let made = files(&args.parameters());
    if args.check {
        return check(&args.out, &made);
    }
    for file in &made {
        let path = args.out.join(&file.path);
        let folder = path.parent().unwrap_or(&args.out);
        fs::create_dir_all(folder).and_then(|()| fs::write(&path, &file.text)).map_err(|error| failed("write", &path, &error))?;
    }
    let folder = args.out.display();
    print(&format!("{folder}: {} files written\n", made.len()))?;
    Ok(0)
}

fn check(folder: &Path, made: &[File]) -> Result<u8, Failure> {
    let mut told = String::new();
    for file in made {
        let path = folder.join(&file.path);
        match fs::read_to_string(&path) {
            Ok(text) if text == file.text => {}
            Ok(_) => told.push_str(&format!("{}: differs\n", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                told.push_str(&format!("{}: is not there\n", path.display()));
            }
            Err(error) => return Err(failed("read", &path, &error)),
        }
    }
    if told.is_empty() {
        print(&format!("{}: as it should be ({} files)\n", folder.display(), made.len()))?;
        return Ok(0);
    }
    print(&told)?;
    let hint = format!("`hopwatch dashboards --out {}` with the same options writes them anew", folder.display());
    Err(Failure::new(status::CHECK_FAILED, format!("{} is not what this version makes", folder.display())).hint(hint))
}

fn failed(what: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(status::FAILED, format!("cannot {what} `{}`: {error}", path.display()))
        .hint("`--out DIR` names a folder that can be written to")
}

impl DashboardsArgs {
    fn parameters(&self) -> Parameters {
        let usual = Parameters::default();
        Parameters {
            runbook: self.runbook_url.clone().unwrap_or(usual.runbook),
            objective: self.objective.unwrap_or(usual.objective),
            slow_factor: self.slow_factor.unwrap_or(usual.slow_factor),
            open_age: self.open_age.unwrap_or(usual.open_age),
            startup_budget: self.startup_budget.unwrap_or(usual.startup_budget),
            shrink: self.shrink,
        }
    }
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| *share > 0.0 && *share < 1.0);
    share.ok_or_else(|| "it is no share between 0 and 1\nhint: write it like 0.99".to_owned())
}

fn times(text: &str) -> Result<f64, String> {
    let times = text.parse().ok().filter(|times: &f64| times.is_finite() && *times > 1.0);
    times.ok_or_else(|| "it is no number above 1\nhint: write it like 3 or 2.5".to_owned())
}
