//! *LLM*: what only models have: first tokens, tokens a second, gaps, limits, sizes.

use super::share;
use crate::export::dashboards::board::{Board, Variable, to_dependency};
use crate::export::dashboards::panel::{Colors, Panel, Unit, View, lines, number, stack};
use crate::export::dashboards::query::{Series, shown, sum};
use crate::model::names::{self, Metric, label};
use crate::model::palette::{self, FAILURE};
use crate::model::{Kind, Outcome};

const MODEL: &str = label::GEN_AI_MODEL;

pub(super) fn board() -> Board {
    let mut panels = numbers();
    panels.extend(speed());
    panels.extend(limits());
    panels.extend(tokens());
    Board {
        name: "llm",
        title: "LLM",
        description: "Models: how soon they begin to answer, how fast they go on, what they refuse, and what is sent to them.",
        variables: &[Variable::Dependencies, Variable::Models],
        panels,
    }
}

/// Of the chosen models.
fn by_model(metric: &'static Metric) -> Series {
    shown(metric).chosen(MODEL, "model")
}

/// Of the chosen dependencies.
fn by_dependency(metric: &'static Metric) -> Series {
    shown(metric).chosen(label::DEPENDENCY, label::DEPENDENCY)
}

fn per_token() -> Series {
    by_model(&names::TIME_PER_OUTPUT_TOKEN).chosen(label::DEPENDENCY, label::DEPENDENCY)
}

fn models() -> Series {
    shown(&names::HOP_CALLS).is(label::KIND, Kind::Llm.as_str()).chosen(label::DEPENDENCY, label::DEPENDENCY)
}

fn limited(metric: &'static Metric) -> Series {
    by_dependency(metric).is(label::OUTCOME, Outcome::RateLimited.as_str())
}

fn numbers() -> Vec<Panel> {
    let plain = || Colors::One(palette::kind(Kind::Llm));
    let tries = sum(&[], &by_dependency(&names::ATTEMPTS).rate());
    vec![
        number("Calls of models", "Calls that ended, a second.", Unit::PerSecond, plain())
            .query(sum(&[], &models().rate()), "calls")
            .empty("No call of a model: name one with `--dep llm/NAME=HOST`"),
        number(
            "First token, 95th percentile",
            "Nineteen of twenty streamed answers begin sooner than this.",
            Unit::Seconds,
            plain(),
        )
        .query(by_model(&names::GEN_AI_FIRST_CHUNK).quantile(0.95, &[]), "p95")
        .empty("No streamed answer has ended"),
        number(
            "Tokens a second, median",
            "How fast one streamed answer goes on after its first token.",
            Unit::PerSecond,
            plain(),
        )
        .query(format!("1 / {}", per_token().quantile(0.5, &[])), "p50")
        .empty("No streamed answer told its tokens"),
        number(
            "Share of tries refused by rate limits",
            "Tries that were refused for now (429 and kin), among all. Red from one in twenty.",
            Unit::Share,
            Colors::FailureFrom(0.05),
        )
        .query(share(&sum(&[], &limited(&names::ATTEMPTS).rate()), &tries), "refused")
        .empty("No call has ended"),
    ]
}

fn speed() -> Vec<Panel> {
    let first = by_model(&names::GEN_AI_FIRST_CHUNK);
    let took = by_model(&names::GEN_AI_DURATION);
    let gap = by_dependency(&names::STREAM_GAP);
    vec![
        lines("First token, by model", "Time from the request to the first chunk of a streamed answer.", Unit::Seconds)
            .query(first.quantile(0.5, &[MODEL]), "{{gen_ai_request_model}} p50")
            .query(first.quantile(0.95, &[MODEL]), "{{gen_ai_request_model}} p95")
            .empty("No streamed answer has ended within the time shown"),
        lines(
            "Duration of operations, by model",
            "How long whole operations take as the client sees them, tries and all.",
            Unit::Seconds,
        )
        .query(took.quantile(0.5, &[MODEL]), "{{gen_ai_request_model}} p50")
        .query(took.quantile(0.95, &[MODEL]), "{{gen_ai_request_model}} p95")
        .empty("No operation has ended within the time shown"),
        lines(
            "Tokens a second of one answer, by model",
            "How fast a streamed answer goes on after its first token: the median, and the slowest twentieth.",
            Unit::PerSecond,
        )
        .query(format!("1 / {}", per_token().quantile(0.5, &[MODEL])), "{{gen_ai_request_model}} median")
        .query(format!("1 / {}", per_token().quantile(0.95, &[MODEL])), "{{gen_ai_request_model}} slowest 5 %")
        .empty("No streamed answer told its tokens"),
        lines(
            "Longest gap within an answer",
            "The longest time between two pieces of an answer: far above the median, a stream has stalled.",
            Unit::Seconds,
        )
        .query(gap.quantile(0.5, &[label::DEPENDENCY]), "{{dependency}} p50")
        .query(gap.quantile(0.99, &[label::DEPENDENCY]), "{{dependency}} p99")
        .empty("No answer came in several pieces")
        .leads(to_dependency()),
    ]
}

fn limits() -> Vec<Panel> {
    let wait = by_dependency(&names::RETRY_AFTER);
    let failed = by_model(&names::GEN_AI_DURATION).other_than(label::ERROR_TYPE, "");
    vec![
        lines("Refused by rate limits", "Tries a second that were refused for now, by dependency.", Unit::PerSecond)
            .colors(Colors::One(palette::outcome(Outcome::RateLimited)))
            .query(sum(&[label::DEPENDENCY], &limited(&names::ATTEMPTS).rate()), "{{dependency}}")
            .empty("No try was refused by a rate limit")
            .leads(to_dependency()),
        lines(
            "Asked to wait",
            "How long dependencies ask to wait before the next try (`retry-after`): median and longest.",
            Unit::Seconds,
        )
        .query(wait.quantile(0.5, &[label::DEPENDENCY]), "{{dependency}} p50")
        .query(wait.quantile(1.0, &[label::DEPENDENCY]), "{{dependency}} longest")
        .empty("No dependency has asked to wait")
        .leads(to_dependency()),
        lines("Failed operations, by error", "Operations that failed, a second, by model and error.", Unit::PerSecond)
            .colors(Colors::One(FAILURE))
            .query(failed.observations(&[MODEL, label::ERROR_TYPE]), "{{gen_ai_request_model}} {{error_type}}")
            .empty("No operation has failed"),
        lines(
            "First token for each thousand tokens of input",
            "What a thousand tokens more of input cost before the first of output; climbs where a cache is lost or a model \
             server is loaded.",
            Unit::Seconds,
        )
        .query(by_dependency(&names::FIRST_TOKEN_PER_1K_INPUT).quantile(0.5, &[label::DEPENDENCY]), "{{dependency}} p50")
        .query(by_dependency(&names::FIRST_TOKEN_PER_1K_INPUT).quantile(0.95, &[label::DEPENDENCY]), "{{dependency}} p95")
        .empty("No streamed answer told its tokens")
        .leads(to_dependency()),
    ]
}

fn tokens() -> Vec<Panel> {
    let by = [MODEL, label::GEN_AI_TOKEN_TYPE];
    let usage = by_model(&names::GEN_AI_TOKEN_USAGE);
    let input = usage.clone().is(label::GEN_AI_TOKEN_TYPE, "input");
    vec![
        stack("Tokens, by model", "Tokens a second, input and output apart.", Unit::PerSecond, Colors::Shades)
            .query(usage.observed(&by), "{{gen_ai_request_model}} {{gen_ai_token_type}}")
            .empty("No answer told its tokens"),
        lines("Size of calls, by model", "Tokens of one call, input and output apart: median and 95th percentile.", Unit::Count)
            .query(usage.quantile(0.5, &by), "{{gen_ai_request_model}} {{gen_ai_token_type}} p50")
            .query(usage.quantile(0.95, &by), "{{gen_ai_request_model}} {{gen_ai_token_type}} p95")
            .empty("No answer told its tokens"),
        lines("Sizes of inputs", "Calls by the tokens of their input.", Unit::Count)
            .view(View::Heatmap)
            .query(input.buckets(), "{{le}}")
            .empty("No answer told its tokens")
            .width(24),
    ]
}
