//! Who is the culprit of a run.
//!
//! **The two stories.** A run that failed before its deadline was ended by a call that failed, and that call is the culprit,
//! whatever its share. A run that ran out of time was ended by whoever happened to be called last, and the culprit is whoever took
//! the time: the largest measured excess, or without a measure the largest share. A program with a budget of its own tells
//! the second story in the words of the first: it hands what is left to its last call, gives up there and raises that call's error.
//! So a call that the *caller* left is only believed to be the culprit when the time did not go elsewhere. It did when
//!
//! - the call's answer lay unread for longer than the call was waited for: then the caller's stall is the culprit;
//! - at least nine tenths of the run's deadline are gone: then the run is judged as one that ran out of time;
//! - another call before it has more measured excess than it took at all (than its own excess, where known);
//! - another call before it took at least twice as long, and either three times its usual or more; or there is nothing to compare
//!   with, it took more than half of the run without its start-up, the call that was left was the last one, had its
//!   connection, and was not left at a fixed timeout of its own.
//!
//! A fixed timeout is a round number (0.3 s, half a second, 2 s, 30 s); what is left of a budget is not. A call that the peer
//! failed (refused, reset, an error status) is the culprit in any case.
//!
//! **Healthy runs.** A run that ended well, in time and without a failure that stands gets a verdict only when something is grossly
//! out of its usual way. Many calls that queue, a long answer, a model that is always slow are the usual way.

use super::account::{Account, Row};
use super::cause::{self, Case};
use super::ending::Ending;
use super::failure;
use super::history::History;
use super::rules;
use super::sentence;
use crate::model::{
    BlameRow, Call, Component, Confidence, FailedBy, Kind, Losses, Nanos, Outcome, Phase, RaisedAt, Run, Span, StallCause,
    Verdict,
};

/// What attribution says of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// How the run ended.
    pub outcome: Outcome,
    /// Nothing stood out: no failure, no deadline missed, nothing far from its usual time.
    pub healthy: bool,
    /// The run's time by component, longest first.
    pub blame: Vec<BlameRow>,
    /// The culprit, where there is one.
    pub verdict: Option<Verdict>,
}

/// Judges a run by the report reference, section 5. See the module's page for how the culprit is found.
///
/// A call is compared with the run's other calls of its like; [`judge_with`] also remembers those of earlier runs.
#[must_use]
pub fn judge(run: &Run, losses: &Losses) -> Judgement {
    judge_with(run, losses, &History::default())
}

/// Judges a run, comparing its calls with the run's other calls of their like and with those remembered. Calls of the run itself that
/// were learned already count once.
#[must_use]
pub fn judge_with(run: &Run, losses: &Losses, history: &History) -> Judgement {
    let account = Account::of(run, history);
    let ending = Ending::of(run);
    let Ending { late, stopped, broke, .. } = ending;
    let failed = failure::last_unrecovered(run, late || broke.is_some() || stopped, ending.is_from_outside());
    let outcome = match broke {
        _ if late => Outcome::Timeout,
        _ if stopped => Outcome::Cancelled,
        Some(own) => failed.and_then(|hop| run.spans[hop as usize].call.as_ref()?.outcome).unwrap_or(own),
        None => Outcome::Ok,
    };
    let stopped = stopped && !late;
    let aborted = if failed.is_none() && !late && (stopped || broke.is_some()) { aborted_startup(&account) } else { None };
    let culprit = match failed {
        _ if late => spent(&account),
        _ if aborted.is_some() => aborted,
        _ if stopped => interrupted(&account),
        Some(hop) => ended_by(&account, hop),
        None if broke.is_some() => None,
        None => gross_excess(&account).or_else(|| gross_stall(&account)),
    };
    let healthy = culprit.is_none() && (stopped || (outcome == Outcome::Ok && failed.is_none()));
    let verdict = culprit.map(|culprit| verdict(&account, &culprit, failed, losses));
    Judgement { outcome, healthy, blame: account.blame(), verdict }
}

/// What a culprit was found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Basis {
    /// It failed.
    Failure,
    /// It took more than usual.
    Excess,
    /// It took most.
    Share,
}

/// The culprit, before it is put into words.
#[derive(Clone, Debug)]
pub(super) struct Culprit {
    pub(super) component: Component,
    pub(super) basis: Basis,
    /// The call that matters most; `None` for the caller.
    pub(super) hop: Option<u32>,
}

impl Culprit {
    fn row(account: &Account<'_>, row: &Row<'_>, basis: Basis) -> Self {
        let main = row.main_part(&account.baselines);
        Self { component: row.component(), basis, hop: main.map(|part| part.span) }
    }
}

/// Who took the time of a run that ran out of it.
fn spent(account: &Account<'_>) -> Option<Culprit> {
    let own = account.own();
    let longest_own = account.rows.iter().find(|row| row.is_callers());
    let internal = account.rows.iter().filter(|row| row.internal).map(|row| row.time).max().unwrap_or(0);
    let by_own = || longest_own.map(|row| Culprit::row(account, row, Basis::Share));
    if own > account.total / 2 {
        return by_own();
    }
    match spent_in_calls(account) {
        Some((row, basis)) if basis == Basis::Excess || row.time >= internal => Some(Culprit::row(account, row, basis)),
        // Most of it went into a server of the run's own, which is no dependency to blame.
        _ if internal > 0 => None,
        _ => by_own(),
    }
}

/// The component of a dependency that took the time: by measured excess where that says something, else by share.
fn spent_in_calls<'a, 'b>(account: &'b Account<'a>) -> Option<(&'b Row<'a>, Basis)> {
    let hops = || account.rows.iter().filter(|row| !row.is_callers() && !row.internal);
    let measured = hops().filter_map(|row| Some((row.excess()?, row))).max_by_key(|&(excess, row)| (excess, row.time));
    // A small excess says little beside a call of unknown usual time that took much longer.
    let unmeasured = hops().filter(|row| row.usual.is_none()).map(|row| row.time).max().unwrap_or(0);
    match measured {
        Some((excess, row)) if excess > 0 && (excess >= account.total / 10 || excess > unmeasured) => Some((row, Basis::Excess)),
        _ => hops().max_by_key(|row| row.time).map(|row| (row, Basis::Share)),
    }
}

/// The culprit of a run with a failed call: that call, unless the time went elsewhere.
fn ended_by(account: &Account<'_>, hop: u32) -> Option<Culprit> {
    let span = account.span(hop);
    let call = span.call.as_ref()?;
    if call.failed_by == Some(FailedBy::Caller)
        && let Some(culprit) = went_elsewhere(account, hop, span, call)
    {
        return Some(culprit);
    }
    if call.internal {
        return None;
    }
    let component = Component { kind: span.kind, dependency: span.dependency.clone(), phase: failed_in(span) };
    Some(Culprit { component, basis: Basis::Failure, hop: Some(hop) })
}

/// Who explains a run better than the call that its caller left (the module's page has the rule).
fn went_elsewhere(account: &Account<'_>, left: u32, span: &Span, call: &Call) -> Option<Culprit> {
    let run = account.run;
    let stalled = call.timeline.total(Phase::Stall).unwrap_or(0);
    let waited = call.timeline.stretches().filter(|part| !part.phase.is_callers()).map(|part| part.end - part.start).sum();
    if stalled > waited {
        let row = account.rows.iter().find(|row| row.is_callers() && row.kind.is_none() && row.phase == Phase::Stall);
        return row.map(|row| Culprit::row(account, row, Basis::Share));
    }
    if run.deadline.is_some_and(|deadline| run.duration() >= deadline - deadline / 10) {
        return spent(account).filter(|culprit| !is_about(culprit, span));
    }
    let (row, basis) = spent_in_calls(account)?;
    let culprit = Culprit::row(account, row, basis);
    let before = culprit.hop.is_some_and(|hop| account.span(hop).start < span.start);
    if !before || is_about(&culprit, span) {
        return None;
    }
    let excess = account.baselines.usual(left, None).map_or(waited, |usual| waited.saturating_sub(usual.median));
    let startup: Nanos = account.rows.iter().filter(|row| row.kind == Some(Kind::Startup)).map(|row| row.time).sum();
    let elsewhere = match row.usual {
        Some(_) if row.excess() > Some(excess) => true,
        Some(usual) => row.time >= waited.saturating_mul(2) && row.time >= usual.saturating_mul(3),
        None => {
            let last = || run.spans.iter().all(|other| other.call.is_none() || other.start < span.end.unwrap_or(span.start));
            let connected = || !matches!(failed_in(span), Phase::Dns | Phase::Connect | Phase::Proxy | Phase::Tls);
            let most = row.time > (account.total - startup) / 2 && row.time >= waited.saturating_mul(2);
            most && connected() && last() && !left_at_fixed_timeout(call)
        }
    };
    elsewhere.then_some(culprit)
}

fn is_about(culprit: &Culprit, span: &Span) -> bool {
    culprit.component.kind == span.kind && culprit.component.dependency == span.dependency
}

/// Whether the caller left at a timeout that somebody wrote down, as opposed to what was left of a budget.
fn left_at_fixed_timeout(call: &Call) -> bool {
    const MILLI: Nanos = 1_000_000;
    if let Some(stated) = call.client.read_timeout {
        return stated % (100 * MILLI) == 0;
    }
    // A timer fires a little late, never early. Short timeouts come in finer steps.
    let is_round = |after: Nanos| match after.saturating_add(MILLI) {
        after if after < 100 * MILLI => false,
        after if after < 500 * MILLI => after % (100 * MILLI) <= 12 * MILLI,
        after => after % (500 * MILLI) <= 25 * MILLI,
    };
    call.gave_up_after.is_some_and(is_round)
}

/// The phase a call failed in.
pub(super) fn failed_in(span: &Span) -> Phase {
    let Some(call) = &span.call else { return Phase::Wait };
    let last = || call.timeline.stretches().rev().map(|part| part.phase).find(|phase| !phase.is_callers());
    let longest = || {
        let phases = Phase::ALL.iter().filter(|phase| !phase.is_callers());
        phases
            .filter_map(|&phase| Some((call.timeline.total(phase)?, phase)))
            .max_by_key(|&(time, _)| time)
            .map(|(_, phase)| phase)
    };
    match (call.outcome, call.failed_by) {
        // Its connect is behind it.
        (Some(Outcome::Connect | Outcome::Tls), _) if last() == Some(Phase::Proxy) => Phase::Proxy,
        (Some(Outcome::Connect), _) => Phase::Connect,
        (Some(Outcome::Dns), _) => Phase::Dns,
        (Some(Outcome::Tls), _) => Phase::Tls,
        (_, Some(FailedBy::Caller)) | (Some(Outcome::Reset | Outcome::Body), _) => last().unwrap_or(Phase::Wait),
        _ => longest().unwrap_or(Phase::Wait),
    }
}

/// A start-up that was given up, or failed for a reason of its own: told with the part that was going on then.
fn aborted_startup(account: &Account<'_>) -> Option<Culprit> {
    /// Parts end as the start-up is given up, the inner ones first.
    const AT_ONCE: Nanos = 5_000_000;
    let run = account.run;
    run.spans.first().filter(|root| root.kind == Some(Kind::Startup))?;
    let horizon = run.horizon();
    let going_on = |span: &Span| rules::names_a_start_up_phase(span) && span.end_or(horizon).saturating_add(AT_ONCE) >= horizon;
    let parts = run.spans.iter().enumerate().skip(1).filter(|(_, span)| going_on(span));
    let last = parts.max_by_key(|(_, span)| (span.is_open(), span.start, span.id));
    let longest = account.rows.iter().find(|row| row.kind == Some(Kind::Startup));
    let phase = longest.map_or(Phase::Own, |row| row.phase);
    let component = Component { kind: Some(Kind::Startup), dependency: None, phase };
    Some(Culprit { component, basis: Basis::Failure, hop: last.map(|(index, _)| index as u32) })
}

/// What a run that the user stopped was waiting for: only what stands out, since stopping is no failure.
fn interrupted(account: &Account<'_>) -> Option<Culprit> {
    const LONG: Nanos = 1_000_000_000;
    let culprit = spent(account)?;
    let span = account.span(culprit.hop?);
    let at_the_end = span.end_or(account.run.horizon()).saturating_add(LONG / 10) >= account.run.horizon();
    let took = span.end_or(account.run.horizon()).saturating_sub(span.start);
    let usual = account.baselines.usual(culprit.hop?, None);
    let stands_out = usual.map_or(took >= account.total / 4, |usual| took >= usual.median.saturating_mul(3));
    (at_the_end && took >= LONG && stands_out).then_some(culprit)
}

/// The smallest excess or stall that makes a run unhealthy which ended well.
fn is_gross(time: Nanos, total: Nanos) -> bool {
    time >= 500_000_000 && time >= total / 4
}

/// A call far beyond what its like take, on the path of a run that ended well.
fn gross_excess(account: &Account<'_>) -> Option<Culprit> {
    const FEWEST: usize = 5;
    let mut on_path: rustc_hash::FxHashMap<u32, Nanos> = rustc_hash::FxHashMap::default();
    for row in account.rows.iter().filter(|row| !row.is_callers() && !row.internal) {
        row.parts.iter().for_each(|part| *on_path.entry(part.span).or_default() += part.time);
    }
    let gross = on_path.into_iter().filter_map(|(hop, time)| {
        let usual = account.baselines.usual(hop, None).filter(|usual| usual.calls >= FEWEST)?;
        let excess = time.saturating_sub(usual.median);
        let far = time >= usual.median.saturating_mul(5) && is_gross(excess, account.total);
        // A long answer takes long; that is no fault of who gives it.
        let longer = || account.baselines.received(hop).is_some_and(|(own, usual)| own >= usual.saturating_mul(4));
        let beyond = || {
            let spread = account.baselines.spread(hop, usual.median);
            time > usual.median.saturating_add(spread.saturating_mul(6))
        };
        (far && !longer() && beyond()).then_some((excess, hop))
    });
    let (_, hop) = gross.max()?;
    let over = |row: &&Row<'_>| {
        let part = row.parts.iter().find(|part| part.span == hop)?;
        let usual = account.baselines.usual(hop, Some(row.phase)).map_or(0, |usual| usual.median);
        Some(part.time.saturating_sub(usual))
    };
    let row = account.rows.iter().filter(|row| !row.is_callers()).max_by_key(over)?;
    Some(Culprit { component: row.component(), basis: Basis::Excess, hop: Some(hop) })
}

/// An event loop that was blocked for a good part of a run that ended well.
fn gross_stall(account: &Account<'_>) -> Option<Culprit> {
    let row = account.rows.iter().find(|row| row.is_callers() && row.kind.is_none() && row.phase == Phase::Stall)?;
    // A loop that computes while nothing waits for it does its work.
    let works = |cause| matches!(cause, StallCause::Cpu | StallCause::InterpreterLock | StallCause::Unknown);
    let blocked = row.blockers.iter().filter(|(blocker, _)| blocker.event_loop && !works(blocker.cause));
    let on_path: Nanos = blocked.map(|&(_, time)| time).sum();
    let gross = is_gross(on_path, account.total) || is_gross(unread(account), account.total);
    gross.then(|| Culprit::row(account, row, Basis::Share))
}

/// How long answers lay unread because an event loop was blocked.
fn unread(account: &Account<'_>) -> Nanos {
    let blocks = super::stalls::Blocks::of(account.run);
    let calls = account.run.spans.iter().filter_map(|span| span.call.as_ref());
    let mut tiles: Vec<(Nanos, Nanos)> = calls
        .flat_map(|call| call.timeline.stretches())
        .filter(|part| part.phase == Phase::Stall && blocks.blocker(part.start, part.end, part.cause).event_loop)
        .map(|part| (part.start, part.end))
        .collect();
    tiles.sort_unstable();
    let (mut sum, mut reached) = (0, 0);
    for (start, end) in tiles {
        let start = start.max(reached);
        if start < end {
            sum += end - start;
            reached = end;
        }
    }
    sum
}

fn verdict(account: &Account<'_>, culprit: &Culprit, failed: Option<u32>, losses: &Losses) -> Verdict {
    let row = account.rows.iter().find(|row| row.component() == culprit.component);
    let time = row.map_or(0, |row| row.time);
    let usual = culprit.hop.and_then(|hop| account.baselines.usual(hop, Some(culprit.component.phase)));
    let case = Case { account, culprit, row, span: culprit.hop.map(|hop| account.span(hop)), usual };
    let rule = rules::of(&case);
    let mut verdict = Verdict {
        component: culprit.component.clone(),
        cause: rule.map(|rule| rule.cause),
        time,
        share: account.share(time),
        usual: usual.map(|usual| usual.median),
        confidence: confidence(account, culprit, losses),
        raised_at: failed.and_then(|hop| raised_at(account.run, culprit, account.span(hop))),
        evidence: cause::evidence(&case, rule),
        sentence: String::new(),
        remedy: rule.map(|rule| cause::remedy(&case, rule)),
    };
    verdict.sentence = sentence::of(&case, &verdict);
    verdict
}

fn confidence(account: &Account<'_>, culprit: &Culprit, losses: &Losses) -> Confidence {
    let lost = losses.dropped.values().chain(losses.missed.values()).any(|&count| count > 0);
    let inferred: Nanos = account.rows.iter().map(|row| row.inferred).sum();
    match culprit.basis {
        _ if lost || inferred > account.total / 2 => Confidence::Low,
        Basis::Failure | Basis::Excess => Confidence::High,
        Basis::Share => Confidence::Medium,
    }
}

/// Where the error was raised, when that is not the culprit.
fn raised_at(run: &Run, culprit: &Culprit, span: &Span) -> Option<RaisedAt> {
    if is_about(culprit, span) {
        return None;
    }
    let call = span.call.as_ref()?;
    // A call that the caller left may only be seen to end when its socket is closed, after the error was written.
    let failed_from = if call.failed_by == Some(FailedBy::Caller) { span.start } else { span.end.unwrap_or(span.start) };
    let written = run.raised.as_ref().filter(|&&(_, at)| at >= failed_from);
    Some(RaisedAt {
        kind: span.kind.unwrap_or(Kind::Http),
        dependency: span.dependency.clone()?,
        outcome: call.outcome?,
        error_type: call.error_type.clone().or_else(|| written.map(|(class, _)| class.clone())),
        gave_up_after: call.gave_up_after,
    })
}
