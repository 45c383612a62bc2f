//! The whole screen, line by line.

use super::data::{Data, Detail};
use super::fall::Fall;
use super::ink::{Ink, Line};
use super::panels::{Panel, clock, sign};
use super::state::{Top, View};
use super::table;
use crate::export::report::columns::wrap;
use crate::export::report::{RunReport, human, outcome_text, plural, took_text};
use crate::model::{Outcome, Phase};
use std::time::Instant;

/// Below so many lines there is room for one panel.
const SEVERAL_FROM: usize = 18;
/// Most lines of a verdict's words above a waterfall.
const WORDS_MAX: usize = 6;

const KEYS: &[(&str, &str)] = &[
    ("Enter", "a run's waterfall; of the others the runs that they are about"),
    ("Up Down PgUp PgDn Home End", "choose (also k j g G)"),
    ("Tab, 1 to 4", "the next panel, or this one"),
    ("s r", "sort by something else; the other way round"),
    ("/", "show only what has a text in it; Enter keeps it, Esc drops it"),
    ("p", "pause, and go on"),
    ("Esc", "back"),
    ("? q", "this; quit"),
];

/// The screen at a moment: `height` lines of at most `width` cells.
pub(super) fn page(top: &Top, width: usize, height: usize, at: Instant) -> Vec<Line> {
    let mut lines = vec![header(top)];
    if let Some(trouble) = &top.trouble {
        lines.push(Line::of(Ink::Bad, "away  ").with(Ink::Plain, &format!("{trouble}; asked again and again")));
    }
    let room = height.saturating_sub(lines.len() + 1);
    let body = match (&top.view, &top.data) {
        _ if top.help => help(),
        (_, None) if top.trouble.is_none() => vec![Line::of(Ink::Faint, "asking ...")],
        (_, None) => Vec::new(),
        (View::Panels, Some(data)) => panels(top, data, width, room, at),
        (View::Run(id), Some(data)) => run(top, data, id, width, room),
    };
    lines.extend(body.into_iter().take(room));
    lines.resize_with(height.saturating_sub(1), Line::default);
    lines.push(footer(top));
    lines.truncate(height);
    lines.into_iter().map(|line| line.cut(width)).collect()
}

/// All of it for a reader that is no screen: every panel whole, and the waterfall where a run is looked into.
pub(super) fn sheet(top: &Top, width: usize, at: Instant) -> Vec<Line> {
    let mut lines = vec![header(top)];
    if let Some(data) = &top.data {
        match &top.view {
            View::Run(id) => lines.extend(run(top, data, id, width, usize::MAX)),
            View::Panels => {
                for panel in Panel::ALL {
                    lines.push(Line::default());
                    lines.extend(listed(top, data, panel, None, width, usize::MAX, at));
                }
            }
        }
    }
    lines.into_iter().map(|line| line.cut(width)).collect()
}

/// Whom it asks, as of when, and how it stands there.
fn header(top: &Top) -> Line {
    let mut line = Line::of(Ink::Strong, "hopwatch top");
    if let Some(data) = &top.data {
        let runs = &data.report.runs;
        let unwell = runs.iter().filter(|run| !run.healthy && !run.open).count();
        line.push(Ink::Plain, &format!("  {}", plural(runs.len(), "run")));
        if unwell > 0 {
            line.push(Ink::Bad, &format!(", {unwell} not healthy"));
        }
        line.push(Ink::Plain, &format!(", {} open", plural(data.open.hops.len(), "call")));
        line.push(Ink::Faint, &format!("  {}", clock(&data.report.generated_at)));
    }
    if top.paused {
        line.push(Ink::Strong, "  paused");
    }
    line.with(Ink::Faint, &format!("  {}", top.address))
}

fn footer(top: &Top) -> Line {
    if top.typing {
        return Line::of(Ink::Strong, "/").with(Ink::Plain, &top.filter).with(Ink::Strong, "_");
    }
    let keys = match top.view {
        _ if top.help => "any key: back",
        View::Run(_) => "Esc back  Up/Down choose  p pause  ? keys  q quit",
        View::Panels => "Enter look  Tab panel  s sort  / filter  ? keys  q quit",
    };
    let mut line = Line::default();
    if !top.filter.is_empty() {
        line = line.with(Ink::Strong, &format!("only `{}`  ", top.filter));
    }
    line.with(Ink::Faint, keys)
}

fn help() -> Vec<Line> {
    let mut lines = vec![Line::default()];
    lines.extend(KEYS.iter().map(|(keys, what)| Line::of(Ink::Strong, &format!("  {keys:<27}")).with(Ink::Plain, what)));
    let signs = "  runs: + healthy   ! ended well, but not healthy   x failed   ~ goes on";
    lines.extend([Line::default(), Line::of(Ink::Plain, signs)]);
    lines.push(Line::of(Ink::Plain, "  letters of phases, where there is no colour (capitals: on the critical path):"));
    let letters: Vec<String> = Phase::ALL.iter().map(|&phase| format!("{} {phase}", super::fall::letter(phase))).collect();
    lines.extend(letters.chunks(5).map(|some| Line::of(Ink::Faint, &format!("    {}", some.join("   ")))));
    lines
}

/// The panels in so many lines: the one that is looked at has most of them.
fn panels(top: &Top, data: &Data, width: usize, room: usize, at: Instant) -> Vec<Line> {
    if room < SEVERAL_FROM {
        let mut tabs = Line::default();
        for panel in Panel::ALL {
            let ink = if panel == top.panel { Ink::Strong } else { Ink::Faint };
            tabs.push(ink, &format!("{} {}  ", panel.name(), panel.count(data)));
        }
        let mut lines = vec![tabs];
        lines.extend(listed(top, data, top.panel, Some(top.panel), width, room.saturating_sub(1), at));
        return lines;
    }
    let others: Vec<(Panel, usize)> = Panel::ALL
        .into_iter()
        .filter(|&panel| panel != top.panel)
        .map(|panel| (panel, if panel.count(data) == 0 { 1 } else { 2 + panel.count(data).min(room / 8) }))
        .collect();
    let rest = room.saturating_sub(others.iter().map(|(_, lines)| lines + 1).sum());
    let mut lines = Vec::new();
    for panel in Panel::ALL {
        let height = others.iter().find(|(other, _)| *other == panel).map_or(rest, |(_, height)| *height);
        let mut listed = listed(top, data, panel, Some(top.panel), width, height, at);
        listed.resize_with(height, Line::default);
        lines.extend(listed);
        lines.push(Line::default());
    }
    lines
}

/// A panel in at most so many lines. `looked_at` is the one that keys act on.
fn listed(top: &Top, data: &Data, panel: Panel, looked_at: Option<Panel>, width: usize, height: usize, at: Instant) -> Vec<Line> {
    let items = top.items(panel, at);
    let (by, reversed) = top.sorts[panel as usize];
    let is_here = looked_at == Some(panel);
    let all = panel.count(data);
    let count = if items.len() == all { all.to_string() } else { format!("{} of {all}", items.len()) };
    let mut title = Line::of(Ink::Strong, if is_here { "> " } else { "  " });
    title.push(if is_here || looked_at.is_none() { Ink::Strong } else { Ink::Plain }, panel.name());
    title.push(Ink::Plain, &format!(" {}", if all == 0 { "none" } else { &count }));
    if items.is_empty() {
        return vec![title];
    }
    let sort = panel.sorts().get(by).copied().unwrap_or_default();
    title.push(Ink::Faint, &format!("  by {sort}{}", if reversed { ", reversed" } else { "" }));
    let chosen = top.chosen(panel, &items).filter(|_| is_here);
    let shown = height.saturating_sub(2).min(items.len());
    let first = first_shown(chosen.unwrap_or(0), shown, items.len());
    let rows: Vec<Vec<Line>> = items[first..first + shown].iter().map(|item| item.cells(top.color)).collect();
    let mut lines = vec![title];
    lines.extend(table::lines(panel.columns(), &rows, chosen.map(|chosen| chosen - first), width));
    lines
}

/// The first of `shown` rows out of `count`, so that the chosen one is among them, in the middle where it can be.
fn first_shown(chosen: usize, shown: usize, count: usize) -> usize {
    chosen.saturating_sub(shown / 2).min(count.saturating_sub(shown))
}

/// A run's waterfall in so many lines.
fn run(top: &Top, data: &Data, id: &str, width: usize, room: usize) -> Vec<Line> {
    let Some(detail) = &top.detail else {
        let is_there = data.report.runs.iter().any(|run| run.id == id);
        return vec![Line::of(Ink::Faint, if is_there { "asking ..." } else { "the agent keeps this run no longer" })];
    };
    let mut lines = vec![run_title(&detail.run)];
    lines.extend(words(&detail.run, width).into_iter().take(WORDS_MAX.min(room / 3)));
    let fall = Fall::new(&detail.waterfall, detail.run.deadline_ms, width, top.color);
    lines.push(fall.axis());
    let rows = &detail.waterfall.rows;
    let below = [told(detail, top.row), fall.legend()];
    let shown = room.saturating_sub(lines.len() + below.len()).min(rows.len());
    let chosen = top.row.min(rows.len().saturating_sub(1));
    let first = first_shown(chosen, shown, rows.len());
    let is_screen = room < usize::MAX;
    lines.extend((first..first + shown).map(|index| fall.row(&rows[index], is_screen && index == chosen)));
    lines.extend(below.into_iter().skip(usize::from(!is_screen)));
    lines
}

/// What a run is called, and how it did.
pub(in crate::cli) fn run_title(run: &RunReport) -> Line {
    let ink = if run.outcome == Outcome::Ok { Ink::Plain } else { Ink::Bad };
    let mut line = sign(run);
    line.push(Ink::Strong, &format!(" {}", run.name));
    line.push(ink, &format!("  {}", outcome_text(run)));
    line.with(Ink::Plain, &format!("  {}", took_text(run))).with(Ink::Faint, &format!("  began {}", clock(&run.started_at)))
}

/// The verdict in words.
fn words(run: &RunReport, width: usize) -> Vec<Line> {
    let Some(verdict) = &run.verdict else { return Vec::new() };
    let cause = verdict.cause.map_or_else(String::new, |cause| format!(" ({cause})"));
    let said = wrap(&format!("{}{cause}", verdict.sentence), width).into_iter().map(|line| Line::of(Ink::Plain, &line));
    let remedy = verdict.remedy.iter().flat_map(|remedy| wrap(&format!("Try: {remedy}"), width));
    said.chain(remedy.map(|line| Line::of(Ink::Faint, &line))).collect()
}

/// What is known of the row that keys act on.
fn told(detail: &Detail, row: usize) -> Line {
    let Some(row) = detail.waterfall.rows.get(row.min(detail.waterfall.rows.len().saturating_sub(1))) else {
        return Line::default();
    };
    let mut line = Line::of(Ink::Strong, &row.label);
    if let Some(hop) = row.hop.and_then(|index| detail.run.hops.get(index)) {
        line.push(Ink::Plain, &format!("  {}", hop.operation));
        line.push(Ink::Plain, &hop.status.map_or_else(String::new, |status| format!("  status {status}")));
        if hop.attempts.len() > 1 {
            line.push(Ink::Plain, &format!("  {} tries", hop.attempts.len()));
        }
        for phase in Phase::ALL {
            if let Some(time) = hop.phases.of(*phase).filter(|&time| time > 0.0) {
                line.push(Ink::Faint, &format!("  {phase} {}", human(time)));
            }
        }
    }
    line
}

#[cfg(test)]
mod tests;
