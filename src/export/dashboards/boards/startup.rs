//! *Start-up*: what a process does before it serves, and what it does again in each request.

use super::dependency::STATES;
use super::{runs, share};
use crate::export::dashboards::board::{Board, Variable, to_dependency, to_run};
use crate::export::dashboards::panel::{Colors, Panel, Unit, View, lines, number};
use crate::export::dashboards::query::{Series, max, shown, sum};
use crate::model::names::{self, Metric, label};
use crate::model::palette;
use crate::model::{ConnectionState, Kind, Outcome, Phase};

pub(super) fn board() -> Board {
    let mut panels = start_ups();
    panels.extend(cold_and_warm());
    Board {
        name: "startup",
        title: "Start-up",
        description: "How long processes take until they serve, what for, and what of it is done again in requests.",
        variables: &[Variable::Runs, Variable::Dependencies],
        panels,
    }
}

fn of(metric: &'static Metric) -> Series {
    shown(metric).chosen(label::DEPENDENCY, label::DEPENDENCY)
}

fn start_ups() -> Vec<Panel> {
    let slowest = max(&[], &shown(&names::STARTUP).now());
    let failed = shown(&names::STARTUP).other_than(label::OUTCOME, Outcome::Ok.as_str());
    vec![
        number(
            "Slowest start-up",
            "The last start-up of the slowest of the chosen instances.",
            Unit::Seconds,
            Colors::One(palette::kind(Kind::Llm)),
        )
        .width(12)
        .query(slowest, "slowest")
        .empty("No start-up is told: the library's `startup()` does"),
        number(
            "Start-ups that did not come to serve",
            "Instances whose last start-up failed or was given up. Red from the first on.",
            Unit::Count,
            Colors::FailureFrom(0.5),
        )
        .width(12)
        .query(format!("count({})", failed.now()), "failed")
        .empty("Every start-up came to its end"),
        lines(
            "Phases of the last start-up",
            "What start-up went into, the slowest instance of each. Phases may run side by side and inside each other.",
            Unit::Seconds,
        )
        .view(View::Bars)
        .colors(Colors::One(palette::kind(Kind::Agent)))
        .query(format!("sort_desc({})", max(&[label::PHASE], &shown(&names::STARTUP_PHASE).now())), "{{phase}}")
        .empty("No start-up has named phases: the library's `startup().phase(…)` does"),
        lines("Start-up, by instance", "The last start-up of each instance, over deployments and restarts.", Unit::Seconds)
            .query(max(&["instance", label::OUTCOME], &shown(&names::STARTUP).now()), "{{instance}} {{outcome}}")
            .empty("No start-up is told: the library's `startup()` does"),
    ]
}

fn cold_and_warm() -> Vec<Panel> {
    let blame = shown(&names::BLAME).chosen(label::RUN, label::RUN).is(label::KIND, Kind::Startup.as_str());
    let of_run = [label::RUN];
    let opened = |series: Series| sum(&[label::DEPENDENCY], &series.rate());
    let clients = of(&names::CLIENT_CONNECTIONS);
    let new = clients.clone().is(label::STATE, ConnectionState::New.as_str());
    let took = of(&names::ATTEMPT_DURATION);
    let set_up = of(&names::HOP_PHASE)
        .among(label::PHASE, &[Phase::Dns, Phase::Connect, Phase::Proxy, Phase::Tls].map(Phase::as_str).join("|"));
    let calls = of(&names::HOP_DURATION).observations(&[label::DEPENDENCY]);
    vec![
        lines(
            "Start-up inside of runs",
            "Start-up on the critical path of the mean run, by its name. Of a process that is one run it is the cold start; in \
             a server, whose runs are requests, it is work that is rebuilt for each: do it once, and share what it makes.",
            Unit::Seconds,
        )
        .query(format!("{} / {}", sum(&of_run, &blame.rate()), sum(&of_run, &runs().rate())), "{{run}}")
        .empty("No run has start-up on its critical path")
        .leads(to_run()),
        lines(
            "Cold against warm",
            "Median time of tries that had to open their connection (new), and of those that found one (reused).",
            Unit::Seconds,
        )
        .colors(Colors::Named(STATES))
        .query(took.quantile(0.5, &[label::STATE]), "{{state}}")
        .empty("No try is known to have a connection of its own"),
        lines(
            "Clients built anew",
            "The share of calls whose client opened a connection for them. Near 1, a client is made for each request, and \
             connection, TLS session and pool are lost with it: make one, and share it.",
            Unit::Share,
        )
        .query(share(&opened(new), &opened(clients)), "{{dependency}}")
        .empty("No call is known to have a client's connection")
        .leads(to_dependency()),
        lines("Set-up of connections", "Time of the mean call that goes into dns, connect, proxy and tls.", Unit::Seconds)
            .query(format!("{} / {calls}", set_up.observed(&[label::DEPENDENCY])), "{{dependency}}")
            .empty("No call has opened a connection")
            .leads(to_dependency()),
    ]
}
