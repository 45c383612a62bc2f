use super::super::findings;
use super::*;
use crate::model::{Cause, Evidence, Value};

/// A start-up of the library's: phases as `(name, parent, start, end)`; the root is 1, the first phase 2.
fn startup(end: u64, ending: Outcome, phases: &[(&str, u64, u64, u64)]) -> Run {
    let mut run = scope(end, ending);
    run.name = "startup".into();
    (run.spans[0].kind, run.spans[0].operation) = (Some(Kind::Startup), "startup".into());
    phases.iter().fold(run, |run, &(name, parent, start, end)| run.phase(name, parent, start, end))
}

trait Phased {
    /// Adds a named part of a start-up.
    fn phase(self, name: &str, parent: u64, start: u64, end: u64) -> Self;
}

impl Phased for Run {
    fn phase(mut self, name: &str, parent: u64, start: u64, end: u64) -> Self {
        let id = self.spans.len() as u64 + 1;
        let end = Some(T0 + end * MS);
        let span = Span::new(id, Some(parent), "agent".into(), name.into(), T0 + start * MS, end);
        self.spans.push(Span { kind: Some(Kind::Startup), ..span });
        self
    }
}

#[test]
fn a_slow_start_up_names_the_phases_that_took_it() {
    let phases = [("config", 1, 100, 200), ("index", 1, 200, 8_200), ("read", 3, 300, 3_300), ("tools", 1, 200, 1_000)];
    let run = startup(9_000, Outcome::Ok, &phases).deadline(5_000);
    let judgement = judge(&run);
    assert_eq!((told(&judgement), culprit(&judgement)), (vec!["startup/- self 5000".to_owned()], "startup self".to_owned()));
    assert_eq!(judgement.blame[0].detail.as_deref(), Some("read 3 s, index 1.8 s, config 0.1 s"));
    let verdict = judgement.verdict.unwrap();
    assert_eq!(verdict.sentence, "Start-up took 5 s of the 5 s: read 3 s, index 1.8 s, config 0.1 s.");
    assert!(verdict.evidence.contains(&Evidence::text("phases", "read 3 s, index 1.8 s, config 0.1 s")));
    assert!(judge(&startup(9_000, Outcome::Ok, &phases)).healthy, "nobody said how long it may take");
}

#[test]
fn of_parallel_phases_the_one_that_ends_last_is_on_the_path() {
    let run = startup(1_000, Outcome::Ok, &[("clients", 1, 0, 300), ("index", 1, 0, 900), ("tools", 1, 100, 700)]);
    assert_eq!(judge(&run).blame[0].detail.as_deref(), Some("index 0.9 s"));
}

#[test]
fn a_call_inside_a_start_up_phase_is_its_dependency_s() {
    let run = startup(4_000, Outcome::Ok, &[("index", 1, 0, 3_000)]).call(Kind::Http, "s3", 500, &[(Phase::Wait, 2_500)]);
    let mut run = run.deadline(3_000);
    run.spans[2].parent = Some(crate::model::SpanId(2));
    let judgement = judge(&run);
    assert_eq!(told(&judgement), ["http/s3 wait 2000", "startup/- self 1000"]);
    assert_eq!(culprit(&judgement), "http/s3 wait");
}

#[test]
fn a_start_up_that_failed_by_itself_names_the_phase_it_was_in() {
    let phases = [("config", 1, 0, 100), ("index", 1, 100, 3_000), ("parse", 3, 2_000, 3_000)];
    let failed = judge(&startup(3_000, Outcome::Error, &phases));
    assert_eq!((failed.outcome, failed.healthy, culprit(&failed).as_str()), (Outcome::Error, false, "startup self"));
    let verdict = failed.verdict.unwrap();
    assert_eq!(verdict.sentence, "Start-up failed after 3 s, in parse.");
    assert!(verdict.evidence.contains(&Evidence::text("ended_in", "parse")), "{:?}", verdict.evidence);
    let dropped = judge(&startup(3_000, Outcome::Cancelled, &phases[..2]));
    assert_eq!((dropped.outcome, dropped.healthy), (Outcome::Cancelled, false));
    assert_eq!(dropped.verdict.unwrap().sentence, "Start-up was given up after 3 s, in index.");
    let between = judge(&startup(3_000, Outcome::Error, &phases[..1]));
    assert_eq!(between.verdict.unwrap().sentence, "Start-up failed after 3 s.");
}

#[test]
fn a_start_up_that_a_call_failed_blames_the_call() {
    let run = startup(3_000, Outcome::Error, &[("index", 1, 0, 3_000)]);
    let run = run.call(Kind::Http, "s3", 2_000, &[(Phase::Connect, 3_000)]).failed(Outcome::Connect, FailedBy::Peer);
    let judgement = judge(&run);
    assert_eq!((judgement.outcome, culprit(&judgement).as_str()), (Outcome::Connect, "http/s3 connect"));
}

#[test]
fn a_start_up_phase_that_was_blocked_tells_by_what_and_which() {
    let run = startup(4_000, Outcome::Ok, &[("index", 1, 0, 4_000)]).stalled(0, 3_000, StallCause::File).deadline(3_500);
    let verdict = judge(&run).verdict.unwrap();
    assert_eq!((verdict.component.phase, verdict.cause), (Phase::Stall, Some(Cause::BlockingInAsync)));
    assert_eq!(verdict.sentence, "Start-up took 3 s of the 3.5 s: event loop blocked by a file.");
    assert!(verdict.evidence.contains(&Evidence::text("phases", "index 3 s")), "{:?}", verdict.evidence);
}

#[test]
fn start_up_work_inside_every_request_is_told_with_what_it_costs() {
    let request = |nth: u64| scope(2_000, Outcome::Ok).phase("index", 1, 0, 1_000).phase("client", 2, 100, 300).later(nth);
    let runs: Vec<Run> = (0..3).map(request).collect();
    let found = findings(&runs.iter().collect::<Vec<_>>());
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].cause, found[0].source.kind, found[0].runs), (Cause::RebuiltPerRequest, Some(Kind::Startup), 3));
    assert_eq!(found[0].sentence, "Start-up work was done again in 3 runs: index, client, 1 s of each run.");
    let numbers: Vec<_> = found[0].evidence.iter().map(|evidence| (evidence.name, evidence.value.clone())).collect();
    let expected = [
        ("phases", Value::Text("index, client".into())),
        ("times", Value::Number(6.0)),
        ("times_per_run", Value::Number(2.0)),
        ("startup", Value::Number(3_000.0)),
    ];
    assert_eq!(numbers, expected);
    assert!(judge(&runs[0]).healthy, "a finding is no verdict");
}

#[test]
fn start_up_work_that_does_not_repeat_is_not_told() {
    let request = |nth| scope(2_000, Outcome::Ok).later(nth);
    let first_use = |nth| request(nth).phase("index", 1, 0, 1_000);
    let told = |runs: &[Run]| findings(&runs.iter().collect::<Vec<_>>()).len();
    assert_eq!(told(&[first_use(1), first_use(2), request(3)]), 0, "first use, twice side by side");
    let few: Vec<Run> = (0..3).map(first_use).chain((3..9).map(request)).collect();
    assert_eq!(told(&few), 0, "a few of many");
    let starts: Vec<Run> = (0..5).map(|nth| startup(900, Outcome::Ok, &[("index", 1, 0, 900)]).later(nth)).collect();
    assert_eq!(told(&starts), 0, "start-ups themselves");
    let processes: Vec<Run> = (0..5).map(|nth| run(900).phase("startup", 1, 0, 400).later(nth)).collect();
    assert_eq!(told(&processes), 0, "the start of a process");
    assert_eq!(findings(&[]).len(), 0);
}
