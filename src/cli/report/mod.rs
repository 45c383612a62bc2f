//! `hopwatch report`: the report of an agent, or of a file, as text, as JSON, or one of its runs as a picture.

mod from;
mod select;

pub(super) use select::Selector;

use super::color::Color;
use super::run::{JsonFile, report as form};
use super::{Failure, print, status};
use crate::export::report::{Style, text};
use crate::export::svg::svg;
use clap::{Args, ValueEnum};
use from::Source;
use std::path::{Path, PathBuf};

/// Show the report of an agent or a file: as text, as JSON, or a run's waterfall as a picture
///
/// A file is what `hopwatch run --json FILE` wrote, or what was fetched from an agent's /api/report.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hopwatch report                                      what the agent of this host knows
  hopwatch report --from agent.internal:9470 --run last
  hopwatch report --from report.json --svg=run.svg     the waterfall, for a ticket
  hopwatch report --run support_agent.py --svg > run.svg
  curl -s http://agent:9470/api/report | hopwatch report --from - --format json
  hopwatch report --schema > hopwatch.report.schema.json

The picture stands alone: no script, nothing from elsewhere, light or dark as its reader is.

Environment: HOPWATCH_ADMIN names the agent; NO_COLOR and CLICOLOR_FORCE as usual.

Exit code: 0 it was shown, 2 wrong usage, 3 there is no such report or run.")]
pub(super) struct ReportArgs {
    /// Whose report: an agent's admin address or URL, a file, or `-` for standard input [default: $HOPWATCH_ADMIN, else 127.0.0.1:9470]
    #[arg(long, value_name = "URL|FILE")]
    from: Option<String>,

    /// One run alone: its id, its name (the last of that name), or `last`
    #[arg(long, value_name = "ID|NAME|last")]
    run: Option<Selector>,

    /// Write one run's waterfall as SVG, to standard output or to a file [default run: the last]
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, conflicts_with = "format")]
    svg: Option<Option<PathBuf>>,

    /// How it is written
    #[arg(long, value_name = "FORM", default_value = "text")]
    format: Format,

    /// Colour the text
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: Color,

    /// Print the JSON Schema of the report
    #[arg(long, exclusive = true)]
    schema: bool,
}

/// `--format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For machines
    Json,
}

/// Shows the report.
pub(super) fn report(args: ReportArgs) -> Result<u8, Failure> {
    if args.schema {
        return print(&form::schema()?).map(|()| 0);
    }
    let file = args.svg.as_ref().and_then(Option::as_deref).filter(|path| *path != Path::new("-"));
    let file = file.map(JsonFile::check).transpose()?;
    let source = Source::of(args.from.as_deref())?;
    // One picture shows one run.
    let run = args.run.or_else(|| args.svg.is_some().then_some(Selector::Last));
    let report = source.report(run.as_ref())?;
    if args.svg.is_some() {
        let run = report.runs.first().ok_or_else(|| Failure::new(status::FAILED, format!("{source} has no run")))?;
        let picture = svg(run, &report.hopwatch);
        return match &file {
            Some(file) => file.write(|to| to.write_all(picture.as_bytes())),
            None => print(&picture),
        }
        .map(|()| 0);
    }
    match args.format {
        Format::Json => print(&super::json(&report)?)?,
        Format::Text => {
            let told = text(&report, Style { color: args.color.on_stdout() });
            print(if told.is_empty() { "no run, no finding and no note so far\n" } else { &told })?;
        }
    }
    Ok(0)
}
