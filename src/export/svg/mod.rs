//! One run's waterfall as a picture for tickets and chats: it stands alone (no script, nothing from elsewhere), is light or dark as its reader is,
//! and says everything in words too.

mod markup;
#[cfg(test)]
mod tests;

use crate::export::report::axis::{Tick, ticks};
use crate::export::report::columns::{cut, wrap};
use crate::export::report::waterfall::{Row, Stretch, Waterfall};
use crate::export::report::{RunReport, component, human, outcome_text, took_text};
use crate::model::{Phase, palette};
use markup::{escaped, number};
use std::fmt::Write;

/// Most rows that are drawn.
const ROWS_MAX: usize = 150;
/// Deepest hop that is set in.
const DEPTH_MAX: usize = 6;
/// Widths in px. A character takes about 6.6 px at 12 px.
const WIDTH: f64 = 1_000.0;
const MARGIN: f64 = 16.0;
/// Where bars begin, and how long one of the whole axis is.
const PLOT: f64 = 270.0;
const PLOT_WIDTH: f64 = 570.0;
/// Where what is said of a row stands.
const SAID: f64 = PLOT + PLOT_WIDTH + 12.0;
/// Characters of a row's name, and of a line of text.
const LABEL_COLUMNS: usize = 36;
const LINE_COLUMNS: usize = 140;
/// Heights in px.
const ROW: f64 = 24.0;
const BAR: f64 = 12.0;
const LINE: f64 = 19.0;
/// Marks on the axis beside its begin.
const TICKS: usize = 6;

/// The picture. `version` is of the hopwatch that made the report.
pub(crate) fn svg(run: &RunReport, version: &str) -> String {
    let mut waterfall = Waterfall::of(run);
    let left_out = waterfall.keep(ROWS_MAX);
    let mut picture = Picture { waterfall, body: String::new(), y: MARGIN };
    picture.head(run);
    picture.plot(run);
    if left_out > 0 {
        picture.line("faint", &format!("{left_out} more calls are not drawn."));
    }
    picture.legend();
    picture.foot(run, version);
    picture.document(run)
}

/// A picture as it grows downwards.
struct Picture {
    waterfall: Waterfall,
    body: String,
    y: f64,
}

impl Picture {
    /// Where a time is on the axis.
    fn x(&self, ms: f64) -> f64 {
        PLOT + self.length(ms)
    }

    fn length(&self, ms: f64) -> f64 {
        ms.max(0.0) / self.waterfall.end_ms * PLOT_WIDTH
    }

    /// What the run came to, in words.
    fn head(&mut self, run: &RunReport) {
        self.y += 6.0;
        self.line("head", &cut(&headline(run), LINE_COLUMNS * 3 / 4));
        let Some(verdict) = &run.verdict else { return };
        for line in wrap(&verdict.sentence, LINE_COLUMNS) {
            self.line("said", &line);
        }
        if let Some(cause) = verdict.cause {
            self.line("said", &format!("Cause: {cause}"));
        }
        for line in verdict.remedy.iter().flat_map(|remedy| wrap(&format!("Try: {remedy}"), LINE_COLUMNS)) {
            self.line("faint", &line);
        }
    }

    /// A line of text.
    fn line(&mut self, class: &str, text: &str) {
        self.y += LINE;
        self.text(class, MARGIN, self.y - 5.0, "start", text);
    }

    fn text(&mut self, class: &str, x: f64, y: f64, anchor: &str, text: &str) {
        let (x, y, text) = (number(x), number(y), escaped(text));
        let _ = writeln!(self.body, r#"<text class="{class}" x="{x}" y="{y}" text-anchor="{anchor}">{text}</text>"#);
    }

    /// The axis and the rows.
    fn plot(&mut self, run: &RunReport) {
        self.y += 24.0;
        let top = self.y;
        let bottom = top + 6.0 + self.waterfall.rows.len() as f64 * ROW;
        for Tick { at_ms, label } in ticks(self.waterfall.end_ms, TICKS) {
            let x = self.x(at_ms);
            self.upright("grid", x, top, bottom);
            self.text("tick", x, top - 6.0, "middle", &label);
        }
        if let Some(deadline) = run.deadline_ms.filter(|&deadline| deadline <= self.waterfall.end_ms) {
            let x = self.x(deadline);
            self.upright("deadline", x, top - 2.0, bottom + 4.0);
            self.text("deadline-name", x, bottom + 16.0, "end", &format!("deadline {}", human(deadline)));
            self.y = bottom + 20.0;
        } else {
            self.y = bottom + 4.0;
        }
        let rows = std::mem::take(&mut self.waterfall.rows);
        for (index, row) in rows.iter().enumerate() {
            self.row(run, row, top + 6.0 + index as f64 * ROW);
        }
        self.waterfall.rows = rows;
    }

    fn upright(&mut self, class: &str, x: f64, from: f64, to: f64) {
        let (x, from, to) = (number(x), number(from), number(to));
        let _ = writeln!(self.body, r#"<line class="{class}" x1="{x}" y1="{from}" x2="{x}" y2="{to}"/>"#);
    }

    fn row(&mut self, run: &RunReport, row: &Row, top: f64) {
        let hop = row.hop.and_then(|index| run.hops.get(index));
        let id = hop.map_or_else(String::new, |hop| format!(r#" data-hop="{}""#, escaped(&hop.id)));
        let operation = hop.map_or_else(|| "the run".to_owned(), |hop| hop.operation.clone());
        let _ = writeln!(self.body, r#"<g class="row"{id}><title>{}</title>"#, escaped(&format!("{}, {operation}", row.label)));
        let indent = row.depth.min(DEPTH_MAX);
        let label = cut(&row.label, LABEL_COLUMNS.saturating_sub(2 * indent));
        let class = if row.hop.is_none() { "run" } else { "name" };
        self.text(class, MARGIN + 12.0 * indent as f64, top + BAR - 1.0, "start", &label);
        // What is short is seen too, and what no phase tells of.
        self.bar("whole", Stretch { start_ms: row.start_ms, duration_ms: row.duration_ms }, top, BAR, "");
        for segment in &row.segments {
            let tip = format!("{} {}", segment.phase, human(segment.stretch.duration_ms));
            self.bar(&format!("p-{}", segment.phase), segment.stretch, top, BAR, &tip);
        }
        for &stretch in &row.critical {
            self.bar("critical", stretch, top + BAR + 2.0, 3.0, "on the critical path");
        }
        let (end, middle) = (self.x(row.end_ms()), top + BAR / 2.0);
        if row.failed.is_some() {
            self.mark("failed", "M-4 -4L4 4M4 -4L-4 4", end, middle);
        } else if row.open {
            self.mark("open", "M-2 -5L6 0L-2 5Z", end, middle);
        }
        let class = if row.failed.is_some() { "time bad" } else { "time" };
        self.text(class, SAID, top + BAR - 1.0, "start", &said(row));
        self.body.push_str("</g>\n");
    }

    fn bar(&mut self, class: &str, stretch: Stretch, top: f64, height: f64, tip: &str) {
        let (x, width) = (number(self.x(stretch.start_ms)), number(self.length(stretch.duration_ms)));
        let (ms, y, height) = (number(stretch.duration_ms), number(top), number(height));
        let _ = write!(self.body, r#"<rect class="{class}" x="{x}" y="{y}" width="{width}" height="{height}" data-ms="{ms}""#);
        let _ = if tip.is_empty() {
            writeln!(self.body, "/>")
        } else {
            writeln!(self.body, "><title>{}</title></rect>", escaped(tip))
        };
    }

    fn mark(&mut self, class: &str, path: &str, x: f64, y: f64) {
        let (x, y) = (number(x), number(y));
        let _ = writeln!(self.body, r#"<path class="{class}" d="{path}" transform="translate({x} {y})"/>"#);
    }

    /// What the colours and marks that appear mean.
    fn legend(&mut self) {
        self.y += 8.0;
        let mut x = MARGIN;
        let phases: Vec<Phase> = self.waterfall.phases().collect();
        for phase in phases {
            self.swatch(&mut x, phase.as_str(), &format!("p-{phase}"), BAR);
        }
        let has = |is: fn(&Row) -> bool| self.waterfall.rows.iter().any(is);
        let (critical, failed, open) =
            (has(|row| !row.critical.is_empty()), has(|row| row.failed.is_some()), has(|row| row.open && row.failed.is_none()));
        if critical {
            self.swatch(&mut x, "critical path", "critical", 3.0);
        }
        for (_, class, path, name) in
            [(failed, "failed", "M-4 -4L4 4M4 -4L-4 4", "failed"), (open, "open", "M-2 -5L6 0L-2 5Z", "goes on")]
                .into_iter()
                .filter(|(appears, ..)| *appears)
        {
            self.mark(class, path, x + 6.0, self.y + 6.0);
            self.text("key", x + 17.0, self.y + 10.0, "start", name);
            x += 17.0 + 7.0 * name.len() as f64 + 16.0;
        }
        self.y += 20.0;
    }

    fn swatch(&mut self, x: &mut f64, name: &str, class: &str, height: f64) {
        let (at, y) = (number(*x), number(self.y + (BAR - height) / 2.0));
        let _ = writeln!(self.body, r#"<rect class="{class}" x="{at}" y="{y}" width="12" height="{}"/>"#, number(height));
        self.text("key", *x + 17.0, self.y + 10.0, "start", name);
        *x += 17.0 + 7.0 * name.len() as f64 + 16.0;
    }

    fn foot(&mut self, run: &RunReport, version: &str) {
        let started = cut(&run.started_at, 24);
        let text = format!("hopwatch {}   run {}   started {started}", cut(version, 24), cut(&run.id, 16));
        self.line("faint", &text);
        self.y += 8.0;
    }

    /// The whole of it.
    fn document(self, run: &RunReport) -> String {
        let (width, height) = (number(WIDTH), number(self.y));
        let colors = self.waterfall.phases().fold(String::new(), |mut out, phase| {
            let _ = writeln!(out, ".p-{phase}{{fill:{}}}", palette::color(phase));
            out
        });
        format!(
            r#"<?xml version="1.0" encoding="UTF-8"?>
<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img" aria-labelledby="what more">
<title id="what">{}</title>
<desc id="more">{}</desc>
<style>
{STYLE}{colors}</style>
<rect class="paper" width="{width}" height="{height}"/>
{}</svg>
"#,
            escaped(&headline(run)),
            escaped(&described(run)),
            self.body
        )
    }
}

/// Light, and dark where the reader is; plain rules, since not every renderer knows variables. What is red has failed.
const STYLE: &str = "\
text{font-family:system-ui,sans-serif;font-size:12px;fill:#1f2328;direction:ltr;unicode-bidi:isolate;white-space:pre}
.paper{fill:#fff}
.head{font-size:16px;font-weight:600}
.said{font-size:13px}
.faint,.tick,.key{fill:#59636e}
.tick,.key,.deadline-name{font-size:11px}
.run{font-weight:600}
.bad{fill:#b34700;font-weight:600}
.grid{stroke:#d8dee4}
.deadline{stroke:#1f2328;stroke-dasharray:4 3}
.whole{fill:#e4e8ec;stroke:#59636e;stroke-width:.75}
.critical,.open{fill:#1f2328}
.failed{stroke:#b34700;stroke-width:2.5;fill:none}
@media (prefers-color-scheme:dark){
text,.critical,.open{fill:#e6edf3}
.paper{fill:#0d1117}
.faint,.tick,.key{fill:#9198a1}
.bad{fill:#ff8a4c}
.grid{stroke:#30363d}
.deadline{stroke:#e6edf3}
.whole{fill:#2a3038;stroke:#9198a1}
.failed{stroke:#ff8a4c}
}
";

/// `agent.py: timed out, 10.7 s of 10 s`.
fn headline(run: &RunReport) -> String {
    format!("{}: {}, {}", run.name, outcome_text(run), took_text(run))
}

/// The picture for those who do not see it.
fn described(run: &RunReport) -> String {
    let verdict = run.verdict.as_ref().map_or_else(|| "Nothing is to blame.".to_owned(), |verdict| verdict.sentence.clone());
    let shares: Vec<String> = run
        .blame
        .iter()
        .filter(|row| row.share >= 0.01)
        .map(|row| {
            let name = component(row.kind, row.dependency.as_deref());
            format!("{name} {} {} ({:.0} %)", row.phase, human(row.ms), row.share * 100.0)
        })
        .collect();
    if shares.is_empty() { verdict } else { format!("{verdict} Time on the critical path: {}.", shares.join(", ")) }
}

/// What stands behind a row's bar.
fn said(row: &Row) -> String {
    let took = human(row.duration_ms);
    match row.failed {
        Some(outcome) => format!("{took}  {outcome}"),
        None if row.open => format!("{took}  goes on"),
        None => took,
    }
}
