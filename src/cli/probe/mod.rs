//! `hopwatch probe`: endpoints tested from this very runtime, phase by phase.

mod attempt;
mod container;
mod exchange;
mod findings;
mod limits;
mod meter;
mod options;
mod progress;
mod report;
mod target;
mod text;
mod witness;

pub(super) use options::ProbeArgs;

use super::run::JsonFile;
use super::{Failure, json, print, status};
use crate::export::report::Style;
use crate::gateway::connect::{Connector, ConnectorOptions, Origin, Protocols, Proxies, Scheme, Steps};
use crate::model::Phase;
use crate::model::clock::Anchor;
use attempt::{Prober, Try};
use findings::{Case, Here};
use meter::Meter;
use options::Plan;
use progress::Progress;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use target::Target;

/// How long it may take to see whether an endpoint connects without its proxy.
const DIRECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Tests the endpoints and tells how they did; 0 when all is well.
pub(super) fn probe(args: ProbeArgs) -> Result<u8, Failure> {
    if args.schema {
        print(&json(&schemars::schema_for!(report::ProbeReport))?)?;
        return Ok(0);
    }
    let (to, style) = (args.json.clone(), Style { color: args.color.on_stdout() });
    let plan = args.plan()?;
    let file = to.as_ref().and_then(Option::as_deref).filter(|path| *path != Path::new("-"));
    let file = file.map(JsonFile::check).transpose()?;
    let failed = |error| Failure::new(status::FAILED, format!("cannot start: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let anchor = Anchor::new(0);
    let here = Here { container: container::mark(), authorities: plan.tls.authorities };
    let cases = runtime.block_on(all(&plan, &here, anchor));
    // A name that is still being resolved keeps nobody waiting.
    runtime.shutdown_background();
    let report = report::report(&cases, &plan.limits, anchor.now());
    match (&file, to) {
        (Some(file), _) => {
            let text = json(&report)?;
            file.write(|file| file.write_all(text.as_bytes()))?;
            print(&text::text(&report, style))?;
        }
        (None, Some(_)) => print(&json(&report)?)?,
        (None, None) => print(&text::text(&report, style))?,
    }
    Ok(if report.ok { 0 } else { status::CHECK_FAILED })
}

/// The tries of all endpoints, one after the other: none is slow for another's sake.
async fn all<'a>(plan: &'a Plan, here: &'a Here, anchor: Anchor) -> Vec<Case<'a>> {
    let direct = ConnectorOptions { proxies: Proxies::default(), ..plan.connector.clone() };
    let prober = Prober {
        connector: Connector::new(plan.connector.clone()),
        direct: Connector::new(direct),
        witness: plan.tls.witness.clone(),
        anchor,
        timeout: plan.timeout,
        method: plan.method.clone(),
        authorization: plan.authorization.clone(),
    };
    let mut meter = Meter::new(plan.tries);
    let mut cases = Vec::with_capacity(plan.targets.len());
    for target in &plan.targets {
        let mut tries = Vec::new();
        for number in 1..=plan.tries {
            let progress = Arc::new(Progress::new(anchor));
            let attempt = prober.attempt(target, &progress);
            tries.push(meter.beside(attempt, target, number, &progress).await);
        }
        let direct = if is_proxys_fault(&tries) { Some(connects_directly(&prober, target).await) } else { None };
        cases.push(Case { target, tries, here, direct });
    }
    meter.clear();
    cases
}

/// Whether every try failed on the way to its proxy, or there.
fn is_proxys_fault(tries: &[Try]) -> bool {
    tries.iter().all(|one| {
        let phase = one.failure.as_ref().map(|failure| failure.phase);
        one.proxy.is_some() && matches!(phase, Some(Phase::Dns | Phase::Connect | Phase::Proxy))
    })
}

/// Whether a connection can be opened without the proxy. Nothing is said on it.
async fn connects_directly(prober: &Prober, target: &Target) -> bool {
    let origin = Origin { scheme: Scheme::Tcp, ..target.origin.clone() };
    let steps = Steps::new(prober.anchor);
    let connecting = prober.direct.connect(&origin, Protocols::H1, &steps);
    matches!(tokio::time::timeout(DIRECT_TIMEOUT.min(prober.timeout), connecting).await, Ok(Ok(_)))
}
