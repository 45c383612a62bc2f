//! `hopwatch run`: wraps an unchanged command.

mod child;
mod export;
mod json;
mod message;
mod name;
mod onlookers;
mod options;
mod relay;
pub(super) mod report;
mod source;
mod stdio;
mod supervise;
mod terminal;
mod trusted;
mod view;

pub(super) use json::JsonFile;
pub(super) use options::{AgentPlan, Plan, RunArgs, Via, address_option, dependency_option, duration_option};
pub(super) use report::Finished;
pub(super) use supervise::supervise;

use super::signals::Inbox;
use super::{Failure, tell};
use crate::export::report::{Style, text};

/// Runs the command and tells what ate its time; its exit code.
pub(super) fn run(args: RunArgs) -> Result<u8, Failure> {
    // Before anything starts a thread: a signal must find nobody who dies of it.
    let inbox = Inbox::open()?;
    let (color, quiet) = (args.color.on_stderr(), args.quiet);
    let plan = args.plan()?;
    let finished = supervise(&plan, inbox)?;
    if !quiet {
        tell(&text(&finished.report, Style { color }));
    }
    if let Some(Err(failure)) = plan.json.as_ref().map(|file| file.write(|to| report::json(&finished.report, to))) {
        // The command's exit code outweighs ours once it ran.
        failure.print();
    }
    if let Some(export) = finished.export {
        export.finish();
    }
    Ok(finished.code)
}
