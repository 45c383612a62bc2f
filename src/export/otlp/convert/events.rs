//! What happened to a call at a moment, as events of its span: further tries, and the steps by which its connection was set up.
//!
//! The conventions have no names for them yet (`semantic-conventions` #3385). Spans of their own would be up to four more for each call.

use super::attributes::Attributes;
use crate::model::{Attempt, Call, Outcome, Phase, Timeline, attributes as names, conventions, millis};
use opentelemetry_proto::tonic::trace::v1::span::Event;

/// Steps of setting up a connection: their events are named like them.
const SET_UP: [Phase; 4] = [Phase::Dns, Phase::Connect, Phase::Proxy, Phase::Tls];

/// The tries after the first one, each at its start: its number, what became of it, and why the one before was not the last.
pub(super) fn further_tries(call: &Call) -> Vec<Event> {
    let pairs = call.attempts.windows(2).filter_map(|pair| Some((pair.first()?, pair.last()?)));
    pairs.map(|(before, attempt)| further_try(before, attempt)).collect()
}

fn further_try(before: &Attempt, attempt: &Attempt) -> Event {
    let mut attributes = Attributes::default();
    attributes.int(names::ATTEMPT, Some(attempt.number));
    attributes.word(names::OUTCOME, attempt.outcome.map(Outcome::as_str));
    attributes.name(names::ATTEMPT_REASON, conventions::error_type(before.outcome, before.status, None).as_deref());
    event(attempt.timeline.start(), names::EVENT_ATTEMPT, attributes)
}

/// The steps by which a try's connection was set up, each at its end with its time. A connection that was there has none.
pub(super) fn set_up(timeline: &Timeline) -> Vec<Event> {
    let mut events: Vec<Event> = SET_UP.iter().filter_map(|&phase| step(timeline, phase)).collect();
    events.sort_by_key(|event| event.time_unix_nano);
    events
}

fn step(timeline: &Timeline, phase: Phase) -> Option<Event> {
    // Where it was done in several goes, the last one ends it.
    let last = timeline.stretches().rfind(|part| part.phase == phase)?;
    let mut attributes = Attributes::default();
    attributes.float(names::phase_ms(phase), timeline.total(phase).map(millis));
    Some(event(last.end, phase.as_str(), attributes))
}

fn event(at: u64, name: &str, attributes: Attributes) -> Event {
    Event { time_unix_nano: at, name: name.to_owned(), attributes: attributes.into(), ..Event::default() }
}
