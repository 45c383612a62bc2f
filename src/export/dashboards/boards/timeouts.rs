//! *Timeouts*: where to start. Which runs time out, and what their time went into.

use super::{RANGE, blame_of_each_run, runs, share};
use crate::export::dashboards::board::{Board, Variable, to_dependency};
use crate::export::dashboards::causes::explained;
use crate::export::dashboards::panel::{Colors, Lead, Panel, Texts, Unit, VALUE, View, lines, number, stack};
use crate::export::dashboards::query::{shown, sum};
use crate::model::names::{self, label};
use crate::model::palette::{self, FAILURE};
use crate::model::{Cause, Kind, Outcome};

/// The column of remedies.
const REMEDY: &str = "remedy";
const WHO: [&str; 2] = [label::KIND, label::DEPENDENCY];

pub(super) fn board(runbook: &str) -> Board {
    let mut panels = numbers();
    panels.extend(over_time());
    panels.extend(verdicts(runbook));
    panels.extend(budgets());
    Board {
        name: "timeouts",
        title: "Timeouts",
        description: "Start here: which runs time out, which dependency and which phase their time went into, and what to do.",
        variables: &[Variable::Runs],
        panels,
    }
}

fn timed_out() -> super::Series {
    runs().is(label::OUTCOME, Outcome::Timeout.as_str())
}

fn numbers() -> Vec<Panel> {
    let ok = Colors::One(palette::outcome(Outcome::Ok));
    let ended = |series: super::Series| sum(&[], &series.over(RANGE).increase());
    let verdicts = shown(&names::VERDICTS).chosen(label::RUN, label::RUN).is(label::OUTCOME, Outcome::Timeout.as_str());
    let by = [label::KIND, label::DEPENDENCY, label::PHASE, label::CAUSE];
    vec![
        number("Runs", "Runs that ended within the time shown.", Unit::Count, ok)
            .query(ended(runs()), "runs")
            .empty("No run has ended: hand some over with `hopwatch run --agent`"),
        number(
            "Timeouts",
            "Runs that passed their deadline within the time shown. Red from the first on.",
            Unit::Count,
            Colors::FailureFrom(0.5),
        )
        .query(ended(timed_out()), "timeouts")
        .empty("No run has timed out"),
        number(
            "Share of runs that time out",
            "Timeouts among the runs that ended within the time shown. Red from one in a hundred, which is the alerts' default \
             objective.",
            Unit::Share,
            Colors::FailureFrom(0.01),
        )
        .query(share(&ended(timed_out()), &ended(runs())), "share")
        .empty("No run has ended"),
        number(
            "Culprit of most timeouts",
            "The dependency, phase and cause that most verdicts on runs that timed out name. Open it in the dashboard \
             Dependency.",
            Unit::Count,
            Colors::One(palette::kind(Kind::Retrieval)),
        )
        .view(View::Name)
        .query(format!("topk(1, {})", sum(&by, &verdicts.over(RANGE).increase())), "{{kind}}/{{dependency}} {{phase}} {{cause}}")
        .empty("No run that timed out has a verdict")
        .leads(to_dependency()),
    ]
}

fn over_time() -> Vec<Panel> {
    vec![
        stack(
            "Time of a run, by dependency",
            "What the mean run's time goes into, on its critical path: the areas add up to its duration, and the widest is \
             where to look. A click leads to the dependency. (own time) and (start-up) are the program itself.",
            Unit::Seconds,
            Colors::Kinds,
        )
        .query(blame_of_each_run(&WHO), "{{kind}}/{{dependency}}")
        .empty("No run has ended within the time shown")
        .leads(to_dependency()),
        stack(
            "Time of a run, by phase",
            "The same time by phase: waiting for a permit (gate) or a connection (pool), setting one up (dns, connect, proxy, \
             tls), sending, waiting for the answer (wait), for its first content (first_token), reading it (stream), between \
             tries (backoff), blocked (stall), or the program's own (self).",
            Unit::Seconds,
            Colors::Phases,
        )
        .query(blame_of_each_run(&[label::PHASE]), "{{phase}}")
        .empty("No run has ended within the time shown"),
        stack(
            "Runs by outcome",
            "Runs that ended, a second, by how they ended. Shades of red are failures.",
            Unit::PerSecond,
            Colors::Outcomes,
        )
        .query(sum(&[label::OUTCOME], &runs().rate()), "{{outcome}}")
        .empty("No run has ended within the time shown"),
        lines(
            "Calls that time out, by dependency",
            "Calls that ran out of time, a second. Where an error is raised is rarely where the time went: compare with the \
             time of a run.",
            Unit::PerSecond,
        )
        .colors(Colors::One(FAILURE))
        .query(
            sum(&WHO, &shown(&names::HOP_CALLS).is(label::OUTCOME, Outcome::Timeout.as_str()).rate()),
            "{{kind}}/{{dependency}}",
        )
        .empty("No call has timed out")
        .leads(to_dependency()),
    ]
}

fn verdicts(runbook: &str) -> Vec<Panel> {
    let cause = label::CAUSE;
    let by = [label::RUN, label::OUTCOME, label::KIND, label::DEPENDENCY, label::PHASE, label::CAUSE];
    let verdicts = shown(&names::VERDICTS).chosen(label::RUN, label::RUN).over(RANGE);
    let remedy = Lead {
        title: "What it means, and what to do",
        url: format!("{runbook}#${{__data.fields.{cause}}}"),
        column: Some(cause),
    };
    let remedies = Cause::ALL.iter().map(|&cause| (cause.as_str(), explained(cause).remedy));
    vec![
        lines(
            "Verdicts",
            "What was found to be to blame, with its cause and its remedy; a click on the cause leads to more. A verdict \
             without a cause is sure of whom, and not of why. Single calls of no run that failed or took far too long have \
             verdicts too.",
            Unit::Count,
        )
        .view(View::Table)
        .query(format!("label_replace({} > 0, \"{REMEDY}\", \"$1\", \"{cause}\", \"(.+)\")", sum(&by, &verdicts.increase())), "")
        .empty("No verdict: nothing has failed or stood out")
        .width(24)
        .leads(remedy)
        .columns(&[
            (label::RUN, 170),
            (label::OUTCOME, 100),
            (label::KIND, 100),
            (label::DEPENDENCY, 160),
            (label::PHASE, 100),
            (label::CAUSE, 170),
            (VALUE, 80),
            (REMEDY, 0),
        ])
        .texts(Texts { column: REMEDY, of: remedies.collect() }),
    ]
}

fn budgets() -> Vec<Panel> {
    let left = shown(&names::BUDGET_LEFT).chosen(label::RUN, label::RUN);
    let took = shown(&names::RUN_DURATION).chosen(label::RUN, label::RUN);
    vec![
        lines(
            "Budget left",
            "What is left of the deadline when a run ends: the tightest twentieth, and the median. What comes near 0 times out \
             next.",
            Unit::Seconds,
        )
        .query(left.quantile(0.05, &[label::RUN]), "{{run}} tightest 5 %")
        .query(left.quantile(0.5, &[label::RUN]), "{{run}} median")
        .empty("No run with a deadline has ended: give one with `hopwatch run --deadline`"),
        lines("Duration of runs", "How long runs take: median, 95th and 99th percentile.", Unit::Seconds)
            .query(took.quantile(0.5, &[label::RUN]), "{{run}} p50")
            .query(took.quantile(0.95, &[label::RUN]), "{{run}} p95")
            .query(took.quantile(0.99, &[label::RUN]), "{{run}} p99")
            .empty("No run has ended within the time shown"),
    ]
}
