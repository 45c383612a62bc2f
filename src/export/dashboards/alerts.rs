//! Alerts: what is worth telling somebody, with whom it is about in its labels or its message.

use super::board::uid;
use super::parameters::{Parameters, number};
use super::query::{all, max, sum};
use super::rules::{BURNS, Burn, DEPENDENCY, PRESENT, RUN, USUAL, mean, timeouts};
use crate::model::names::{self, label};
use crate::model::{ConnectionState, Outcome, Phase};

const MINUTE: u64 = 60;
/// Timeouts that a window must have before its share means anything.
const TIMEOUTS_MIN: u32 = 3;
/// The same of calls.
const CALLS_MIN: u32 = 10;
/// A mean below this is nobody's trouble, in seconds.
const SLOW_MIN: f64 = 0.5;
/// The share of a call's time that waiting for a connection may take.
const POOL_SHARE: f64 = 0.2;
/// A gate is full with this share of its permits out.
const FULL: f64 = 0.9;
/// Callers that wait at a gate that is too narrow.
const WAITING_MIN: u32 = 1;
/// The share of tries that may be refused.
const REFUSED_SHARE: f64 = 0.05;
/// The share of calls that may open a connection.
const NEW_SHARE: f64 = 0.8;

/// An alert, with what its runbook says.
#[derive(Debug)]
pub(super) struct Alert {
    pub(super) name: &'static str,
    pub(super) expr: String,
    pub(super) hold: String,
    pub(super) severity: &'static str,
    /// Labels beside the severity.
    pub(super) labels: Vec<(&'static str, String)>,
    pub(super) summary: String,
    pub(super) description: String,
    /// Path and query of the dashboard to open, a template.
    pub(super) dashboard: String,
    pub(super) runbook: Runbook,
}

/// What to do about an alert.
#[derive(Clone, Copy, Debug)]
pub(super) struct Runbook {
    pub(super) meaning: &'static str,
    pub(super) look: &'static str,
    pub(super) act: &'static str,
}

/// All of them. Alerts of one name stand together.
pub(super) fn alerts(parameters: &Parameters) -> Vec<Alert> {
    let mut alerts: Vec<Alert> = BURNS.iter().map(|burn| burning(parameters, *burn)).collect();
    alerts.extend([
        slow(parameters),
        open(parameters),
        pool(parameters),
        gate(parameters),
        limited(parameters),
        recreated(parameters),
        startup(parameters),
        dropping(parameters),
        down(parameters),
    ]);
    alerts
}

/// `{{ $labels.kind }}/{{ $labels.dependency }}`: whom it is about.
fn who() -> String {
    format!("{{{{ $labels.{} }}}}/{{{{ $labels.{} }}}}", label::KIND, label::DEPENDENCY)
}

fn to_dependency() -> String {
    format!("/d/{}?var-dependency={{{{ $labels.{} | urlquery }}}}", uid("dependency"), label::DEPENDENCY)
}

fn burning(parameters: &Parameters, burn: Burn) -> Alert {
    let Burn { long, short, factor, hold, severity } = burn;
    let allowed = number(factor * (1.0 - parameters.objective));
    let window = parameters.window(long);
    let late = all(&names::RUNS, &window).is(label::OUTCOME, Outcome::Timeout.as_str());
    let expr = format!(
        "{} > {allowed}\nand {} > {allowed}\nand {} >= {TIMEOUTS_MIN}",
        timeouts(parameters, long),
        timeouts(parameters, short),
        sum(&RUN, &late.increase()),
    );
    Alert {
        name: "HopwatchTimeoutsBurnBudget",
        expr,
        hold: parameters.hold(hold),
        severity,
        labels: vec![("long", window.clone()), ("short", parameters.window(short))],
        summary: format!("{{{{ $labels.{} }}}} times out: {}", label::RUN, culprit(&window)),
        description: format!(
            "{{{{ $value | humanizePercentage }}}} of the runs of {{{{ $labels.{} }}}} timed out within {window}, and it goes \
             on. Most verdicts name {}.",
            label::RUN,
            culprit(&window)
        ),
        dashboard: format!("/d/{}?var-run={{{{ $labels.{} | urlquery }}}}", uid("timeouts"), label::RUN),
        runbook: Runbook {
            meaning: "Runs pass their deadline so often that the budget of timeouts will not last: at this pace it is used up \
                      in two days (1 h window), five days (6 h), ten days (1 d) or in the month that it is for (3 d).",
            look: "Timeouts: *Time of a run, by dependency* shows whose time it is, *by phase* which part of it, *Verdicts* the \
                   cause; a click on a dependency leads to it. The error is often raised elsewhere than the time went.",
            act: "Do what the cause says (below). Until then give the culprit a timeout of its own well under the run's \
                  deadline, so that the run can go on without it.",
        },
    }
}

/// Whom most verdicts on the timeouts of a run name, as a template: asked for when the alert is told.
fn culprit(window: &str) -> String {
    let by = [label::KIND, label::DEPENDENCY, label::PHASE, label::CAUSE];
    // `%q` keeps what is in a name within its quotes.
    let verdicts =
        format!("{}{{job=%q,{}=%q,{}=\\\"{}\\\"}}", names::VERDICTS.name, label::RUN, label::OUTCOME, Outcome::Timeout);
    let asked = format!("topk(1, {})", sum(&by, &format!("increase({verdicts}[{window}])")));
    format!(
        "{{{{ with printf \"{asked}\" $labels.job $labels.{run} | query }}}}{{{{ with first . }}}}{{{{ if .Labels.{dependency} \
         }}}}{{{{ .Labels.{kind} }}}}/{{{{ .Labels.{dependency} }}}}{{{{ else }}}}the program itself{{{{ end }}}} in {{{{ \
         .Labels.{phase} }}}}{{{{ with .Labels.{cause} }}}} ({{{{ . }}}}){{{{ end }}}}{{{{ end }}}}{{{{ else }}}}no culprit \
         yet{{{{ end }}}}",
        run = label::RUN,
        kind = label::KIND,
        dependency = label::DEPENDENCY,
        phase = label::PHASE,
        cause = label::CAUSE,
    )
}

fn slow(parameters: &Parameters) -> Alert {
    let (present, usual) = (mean(parameters, PRESENT), mean(parameters, USUAL));
    let factor = number(parameters.slow_factor);
    let calls = all(&names::HOP_CALLS, &parameters.window(PRESENT));
    Alert {
        name: "HopwatchDependencySlow",
        expr: format!(
            "{present} > {factor} * {usual}\nand {present} > {}\nand {} >= {CALLS_MIN}",
            number(SLOW_MIN),
            sum(&DEPENDENCY, &calls.increase()),
        ),
        hold: parameters.hold(5 * MINUTE),
        severity: "warning",
        labels: Vec::new(),
        summary: format!("{} takes {{{{ $value | humanizeDuration }}}}, far above its usual", who()),
        description: format!(
            "Calls to {} take {{{{ $value | humanizeDuration }}}} on average, more than {factor} times what they took over {}.",
            who(),
            parameters.window(USUAL)
        ),
        dashboard: to_dependency(),
        runbook: Runbook {
            meaning: "A dependency takes several times longer than it did over the last day.",
            look: "Dependency: *Time of a call, by phase* tells whether it is the dependency (wait, first_token, stream), the \
                   way to it (dns, connect, tls) or the caller (gate, pool, stall); *In flight against latency* whether load \
                   does it.",
            act: "Dependency's own time: look there, and give it a timeout well under the run's. Way there: `hopwatch probe` \
                  from the same place. Load: cap what is in flight.",
        },
    }
}

fn open(parameters: &Parameters) -> Alert {
    let by = [DEPENDENCY.as_slice(), &[label::PHASE]].concat();
    Alert {
        name: "HopwatchHopOpenTooLong",
        expr: format!("{} > {}", max(&by, &all(&names::HOP_OPEN_AGE, "").now()), number(parameters.open_age.as_secs_f64())),
        hold: "0s".to_owned(),
        severity: "warning",
        labels: Vec::new(),
        summary: format!("A call to {} hangs in {{{{ $labels.{} }}}}", who(), label::PHASE),
        description: format!(
            "A call to {} has been open for {{{{ $value | humanizeDuration }}}} and is in {{{{ $labels.{} }}}}.",
            who(),
            label::PHASE
        ),
        dashboard: to_dependency(),
        runbook: Runbook {
            meaning: "A call has been open for longer than any should be. Its caller waits.",
            look: "`/api/open` of the agent (or its page) names the call, its run and the phase it is in; Dependency: *Age of \
                   open calls, by phase*.",
            act: "Give calls of this dependency a timeout. In `connect`: nothing answers, so look at firewalls and routes. In \
                  `wait`: the dependency has the request. In `stream`: it stopped in the middle. Restart the caller if it \
                  cannot be reached.",
        },
    }
}

fn pool(parameters: &Parameters) -> Alert {
    let window = parameters.window(5 * MINUTE);
    let waited = all(&names::HOP_PHASE, &window).is(label::PHASE, Phase::Pool.as_str()).observed(&DEPENDENCY);
    let took = all(&names::HOP_DURATION, &window).observed(&DEPENDENCY);
    Alert {
        name: "HopwatchPoolSaturated",
        expr: format!("{waited} / {took} > {}", number(POOL_SHARE)),
        hold: parameters.hold(5 * MINUTE),
        severity: "warning",
        labels: Vec::new(),
        summary: format!("Calls to {} wait for a connection", who()),
        description: format!(
            "{{{{ $value | humanizePercentage }}}} of the time of calls to {} goes into waiting for a connection.",
            who()
        ),
        dashboard: format!("/d/{}", uid("runtime")),
        runbook: Runbook {
            meaning: "The pool of connections to a dependency has none free: calls wait before they are even sent.",
            look: "Runtime: *Wait for a connection*; Dependency: *In flight against latency*.",
            act: "Look for answers that are never read to their end and transactions that stay open, which hold connections; \
                  then for calls that take long. Widen the pool last, and only if the dependency can bear it.",
        },
    }
}

fn gate(parameters: &Parameters) -> Alert {
    let by = ["job", label::GATE];
    let window = parameters.window(5 * MINUTE);
    // On average: a permit on its way to the next caller is out with nobody.
    let of = |metric| sum(&by, &all(metric, &window).average());
    Alert {
        name: "HopwatchGateSaturated",
        expr: format!(
            "{} >= {WAITING_MIN}\nand {} >= {} * {}",
            of(&names::GATE_QUEUE),
            of(&names::GATE_IN_USE),
            number(FULL),
            of(&names::GATE_LIMIT)
        ),
        hold: parameters.hold(5 * MINUTE),
        severity: "warning",
        labels: Vec::new(),
        summary: format!("Gate {{{{ $labels.{} }}}} is full", label::GATE),
        description: format!(
            "The permits of {{{{ $labels.{} }}}} are out, and {{{{ $value | humanize }}}} callers wait, on average over \
             {window}.",
            label::GATE
        ),
        dashboard: format!("/d/{}", uid("runtime")),
        runbook: Runbook {
            meaning: "More wants to go through a concurrency limit than it lets.",
            look: "Runtime: *Wait for a permit* is what callers pay, *Permits held* why: is it the number of callers, or do \
                   permits stay out longer?",
            act: "Permits held for longer: the dependency behind the gate is slow, see it. As long as ever: shed load, or raise \
                  the limit towards the dependency's knee.",
        },
    }
}

fn limited(parameters: &Parameters) -> Alert {
    let by = ["job", label::DEPENDENCY];
    let tries = all(&names::ATTEMPTS, &parameters.window(5 * MINUTE));
    let refused = tries.clone().is(label::OUTCOME, Outcome::RateLimited.as_str());
    Alert {
        name: "HopwatchRateLimited",
        expr: format!("{} / {} > {}", sum(&by, &refused.rate()), sum(&by, &tries.rate()), number(REFUSED_SHARE)),
        hold: parameters.hold(5 * MINUTE),
        severity: "warning",
        labels: Vec::new(),
        summary: format!("{{{{ $labels.{} }}}} limits the rate", label::DEPENDENCY),
        description: format!(
            "{{{{ $labels.{} }}}} refuses {{{{ $value | humanizePercentage }}}} of the tries for now (429 and kin).",
            label::DEPENDENCY
        ),
        dashboard: format!("/d/{}?var-dependency={{{{ $labels.{} | urlquery }}}}", uid("llm"), label::DEPENDENCY),
        runbook: Runbook {
            meaning: "A dependency refuses tries because there are too many.",
            look: "LLM: *Refused by rate limits*, *Asked to wait*, *Tokens, by model*; Dependency: *Tries by number* for \
                   retries that make it worse.",
            act: "Send less at once (a gate), heed `retry-after`, retry with backoff and few times; ask for a higher limit, or \
                  spread over models.",
        },
    }
}

fn recreated(parameters: &Parameters) -> Alert {
    let by = ["job", label::DEPENDENCY];
    let calls = all(&names::CLIENT_CONNECTIONS, &parameters.window(15 * MINUTE));
    let new = calls.clone().is(label::STATE, ConnectionState::New.as_str());
    Alert {
        name: "HopwatchClientsRecreated",
        expr: format!(
            "{} / {} > {}\nand {} >= {CALLS_MIN}",
            sum(&by, &new.rate()),
            sum(&by, &calls.rate()),
            number(NEW_SHARE),
            sum(&by, &calls.increase()),
        ),
        hold: parameters.hold(15 * MINUTE),
        severity: "info",
        labels: Vec::new(),
        summary: format!("Clients of {{{{ $labels.{} }}}} are built anew for each call", label::DEPENDENCY),
        description: format!(
            "{{{{ $value | humanizePercentage }}}} of the calls to {{{{ $labels.{} }}}} open a connection of their own.",
            label::DEPENDENCY
        ),
        dashboard: format!("/d/{}?var-dependency={{{{ $labels.{} | urlquery }}}}", uid("startup"), label::DEPENDENCY),
        runbook: Runbook {
            meaning: "Nearly every call opens a connection: a client is built for each, and its pool and TLS sessions are \
                      thrown away with it.",
            look: "Start-up: *Clients built anew*, *Cold against warm* for what it costs, *Set-up of connections*.",
            act: "Make one client when the process starts and share it. If it is one already, look for `connection: close` of \
                  the server, or for an idle time that is shorter than the pause between calls.",
        },
    }
}

fn startup(parameters: &Parameters) -> Alert {
    let by = ["job", "instance"];
    let budget = number(parameters.startup_budget.as_secs_f64());
    let slowest = format!(
        "{{{{ with printf \"topk(1, {}{{job=%q,instance=%q}})\" $labels.job $labels.instance | query }}}}{{{{ with first . \
         }}}}; most of it in {{{{ .Labels.{} }}}} ({{{{ .Value | humanizeDuration }}}}){{{{ end }}}}{{{{ end }}}}",
        names::STARTUP_PHASE.name,
        label::PHASE
    );
    Alert {
        name: "HopwatchStartupSlow",
        expr: format!("{} > {budget}", max(&by, &all(&names::STARTUP, "").now())),
        hold: "0s".to_owned(),
        severity: "warning",
        labels: Vec::new(),
        summary: "{{ $labels.instance }} took {{ $value | humanizeDuration }} to start".to_owned(),
        description: format!(
            "The start-up of {{{{ $labels.instance }}}} took {{{{ $value | humanizeDuration }}}}, more than its budget of \
             {budget} s{slowest}."
        ),
        dashboard: format!("/d/{}", uid("startup")),
        runbook: Runbook {
            meaning: "A process took longer until it served than it may: scaling up and deployments take as much longer.",
            look: "Start-up: *Phases of the last start-up*, *Start-up, by instance* for since when.",
            act: "Shorten the longest phase: load in parallel, on first use, or from a closer place; warm up before traffic \
                  comes. `hopwatch run` names the imports and files of a Python start-up.",
        },
    }
}

fn dropping(parameters: &Parameters) -> Alert {
    let window = parameters.window(5 * MINUTE);
    let lost =
        |series: super::query::Series, by: &'static str| format!("{} > 0", sum(&["job", "instance", by], &series.increase()));
    let exports = all(&names::EXPORT_SPANS, &window).other_than(label::OUTCOME, "exported");
    let expr = [
        lost(all(&names::HOPS_DROPPED, &window), label::REASON),
        lost(all(&names::MISSED, &window), label::REASON),
        lost(all(&names::SERIES_OVERFLOW, &window), label::METRIC),
        lost(exports, label::OUTCOME),
    ];
    Alert {
        name: "HopwatchDropping",
        expr: expr.join("\nor "),
        hold: parameters.hold(5 * MINUTE),
        severity: "warning",
        labels: Vec::new(),
        summary: "hopwatch at {{ $labels.instance }} loses what it sees".to_owned(),
        description: format!(
            "Within {window} {{{{ $value | humanize }}}} were lost at {{{{ $labels.instance }}}}: \
             {{{{ $labels.{} }}}}{{{{ $labels.{} }}}}{{{{ $labels.{} }}}}. Verdicts may be less sure.",
            label::REASON,
            label::METRIC,
            label::OUTCOME
        ),
        dashboard: format!("/d/{}?var-instance={{{{ $labels.instance | urlquery }}}}", uid("agent")),
        runbook: Runbook {
            meaning: "hopwatch drops hops, misses observations, has too many series, or cannot deliver spans. What it watches \
                      is not affected.",
            look: "Agent: *Dropped hops*, *Missed observations*, *Series beyond the cap*, *Spans to the collector*.",
            act: "Dropped or missed: give the agent more CPU, or watch less with one. Series: a dependency, run or model has \
                  names that are made up for each request; name it by `[[dependency]]`. Spans: is the collector up, and does it \
                  keep pace?",
        },
    }
}

fn down(parameters: &Parameters) -> Alert {
    let seen = format!("present_over_time({}[{}])", names::BUILD_INFO.name, parameters.window(60 * MINUTE));
    Alert {
        name: "HopwatchDown",
        expr: format!("up == 0\nand on (job, instance) {seen}"),
        hold: parameters.hold(2 * MINUTE),
        severity: "critical",
        labels: Vec::new(),
        summary: "hopwatch at {{ $labels.instance }} cannot be scraped".to_owned(),
        description: "{{ $labels.instance }} ({{ $labels.job }}) was there within the last hour and does not answer: nothing is \
                      known of what it watches."
            .to_owned(),
        dashboard: format!("/d/{}", uid("agent")),
        runbook: Runbook {
            meaning: "An agent, or a service with the library, does not answer Prometheus any more.",
            look: "Does the process run (`/healthz`)? Is its admin address reachable from Prometheus? It listens on loopback \
                   unless told otherwise.",
            act: "Start it again; its exit code and last line say why it ended. Traffic that goes through its gateway fails \
                  until then: point clients at their dependency directly if that takes long.",
        },
    }
}
