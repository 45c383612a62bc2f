//! The command line: one file a verb.
//!
//! Data goes to standard output, talk to standard error. Exit codes: 0 fine, 1 a check failed, 2 usage or configuration,
//! 3 failed at run time; `run` answers with its child's. A reader that went away (broken pipe) is no failure.

mod agent;
mod color;
mod config;
mod dashboards;
mod demo;
mod descriptors;
mod failure;
mod pages;
mod probe;
mod remote;
mod report;
mod run;
mod signals;
mod top;
mod usage;

use clap::{Parser, Subcommand};
use serde::Serialize;
use std::io::Write;
use std::process::ExitCode;

pub(crate) use failure::{Failure, status};

/// Find out which dependency ate the timeout
#[derive(Debug, Parser)]
#[command(
    name = "hopwatch",
    version,
    about = "Times every hop of a request and names the dependency, the phase and the cause that ate the timeout",
    after_help = "\
Start here:
  hopwatch demo                                   a small agent with a fault inside, and the verdict
  hopwatch run --deadline 10s -- python agent.py  the same for your own program, unchanged
  hopwatch probe https://api.openai.com           whether an endpoint is reached, phase by phase
  hopwatch agent                                  a sidecar: what cannot be seen from inside goes through it
  hopwatch top                                    what it sees, live

Exit codes: 0 fine, 1 a check failed, 2 usage or configuration, 3 failed at run time;
`run` keeps its command's own.",
    subcommand_required = true,
    arg_required_else_help = false,
    max_term_width = 100,
    subcommand_value_name = "VERB",
    subcommand_help_heading = "Verbs"
)]
struct CommandLine {
    #[command(subcommand)]
    verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
enum Verb {
    Run(run::RunArgs),
    Agent(agent::AgentArgs),
    Demo(demo::DemoArgs),
    Probe(probe::ProbeArgs),
    Report(report::ReportArgs),
    Top(top::TopArgs),
    Dashboards(dashboards::DashboardsArgs),
    Config(config::ConfigArgs),
    #[command(hide = true)]
    DemoAgent(demo::AgentArgs),
}

impl Verb {
    /// Does it; the exit code.
    fn perform(self) -> Result<u8, Failure> {
        match self {
            Self::Run(args) => run::run(args),
            Self::Agent(args) => agent::agent(args),
            Self::Demo(args) => demo::demo(args),
            Self::Probe(args) => probe::probe(args),
            Self::Report(args) => report::report(args),
            Self::Top(args) => top::top(args),
            Self::Dashboards(args) => dashboards::dashboards(&args),
            Self::Config(args) => config::config(args),
            Self::DemoAgent(args) => demo::agent(args),
        }
    }
}

/// Does what the command line says; the exit code.
#[must_use]
pub fn main() -> ExitCode {
    match parse().and_then(Verb::perform) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            failure.print();
            ExitCode::from(failure.code())
        }
    }
}

/// Reads the command line. `--help` and `--version` print and end here.
fn parse() -> Result<Verb, Failure> {
    CommandLine::try_parse().map(|line| line.verb).map_err(|error| usage::failure(&error))
}

/// Writes data to standard output; a reader that went away is no failure.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::new(status::FAILED, format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// A value as JSON text.
pub(crate) fn json(value: &impl Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(value);
    text.map(|text| text + "\n").map_err(|error| Failure::new(status::FAILED, format!("cannot write JSON: {error}")))
}

/// Writes talk to standard error. Nobody is left to tell when that fails.
pub(crate) fn tell(text: &str) {
    let _unheard = std::io::stderr().lock().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }
}
