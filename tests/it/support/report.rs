//! The JSON report with accessors that show the whole of it when something is not as expected.

use std::fmt::Write as _;
use std::process::Command;
use std::sync::OnceLock;

use jsonschema::Validator;
use serde_json::Value;

use super::app::Finished;
use super::via::Via;

/// A sum may differ by this much for each of its parts, in milliseconds.
const EXACT_MS: f64 = 0.01;
/// Two records of one call agree when they are apart by no more than this, in milliseconds, or this part of it.
const AGREE_MS: f64 = 2.0;
const AGREE_PART: f64 = 0.05;
/// Where many programs run at once, each waits for the others.
const BUSY_MS: f64 = 400.0;

/// A report of one run, and what the program wrote, for the messages.
pub(crate) struct Report {
    value: Value,
    context: String,
    via: Via,
}

impl Report {
    #[track_caller]
    pub(crate) fn parse(text: &str, finished: &Finished) -> Self {
        let value = serde_json::from_str(text).unwrap_or_else(|error| panic!("the report is not JSON: {error}\n{text}"));
        let mut context = String::new();
        let _ = write!(context, "exit code {}\n{}\n{}", finished.code, finished.stdout, finished.stderr);
        let report = Self { value, context, via: Via::default() };
        if let Err(error) = schema().validate(&report.value) {
            panic!("the report does not fit its schema: {error} at {}: {}", error.instance_path(), report.dump());
        }
        report.is("/schema", "hopwatch.report/1");
        report.is("/source", "run");
        assert_eq!(report.list("/runs").len(), 1, "{}", report.dump());
        report
    }

    /// How its calls were seen.
    pub(crate) fn seen(self, via: Via) -> Self {
        Self { via, ..self }
    }

    /// The report and the program's output, for a message.
    pub(crate) fn dump(&self) -> String {
        format!("{:#}\n--- {}", self.value, self.context)
    }

    /// What stands at a JSON pointer; it must stand there, be it null.
    #[track_caller]
    pub(crate) fn at(&self, pointer: &str) -> &Value {
        self.value.pointer(pointer).unwrap_or_else(|| panic!("nothing at {pointer}: {}", self.dump()))
    }

    #[track_caller]
    pub(crate) fn is(&self, pointer: &str, expected: impl Into<Value>) {
        let (found, expected) = (self.at(pointer), expected.into());
        assert!(*found == expected, "{pointer} is {found}, not {expected}: {}", self.dump());
    }

    #[track_caller]
    pub(crate) fn list(&self, pointer: &str) -> &[Value] {
        self.at(pointer).as_array().unwrap_or_else(|| panic!("{pointer} is no list: {}", self.dump()))
    }

    #[track_caller]
    pub(crate) fn number(&self, pointer: &str) -> f64 {
        self.at(pointer).as_f64().unwrap_or_else(|| panic!("{pointer} is no number: {}", self.dump()))
    }

    #[track_caller]
    pub(crate) fn holds(&self, condition: bool, what: &str) {
        assert!(condition, "not so: {what}: {}", self.dump());
    }

    /// The calls of a dependency in the order of their start. Where two records of each were made they must agree, and the gateway's
    /// stands for it.
    #[track_caller]
    pub(crate) fn hops(&self, kind: &str, dependency: &str) -> Vec<Hop<'_>> {
        let of = |hop: &&Value| hop["kind"] == kind && hop["dependency"] == dependency;
        let hops: Vec<Hop<'_>> = self.list("/runs/0/hops").iter().filter(of).map(|value| Hop { value, report: self }).collect();
        if self.via != Via::Both {
            return hops;
        }
        let pairs = self.pairs(&hops);
        pairs.iter().for_each(|(carried, observed)| carried.agrees(*observed));
        pairs.into_iter().map(|(carried, _)| carried).collect()
    }

    /// The two records of each call: the gateway's, and the observer's around it.
    #[track_caller]
    fn pairs<'a>(&self, hops: &[Hop<'a>]) -> Vec<(Hop<'a>, Hop<'a>)> {
        let (carried, observed): (Vec<Hop<'_>>, Vec<Hop<'_>>) = hops.iter().partition(|hop| hop.at("/origin") == "gateway");
        assert_eq!(carried.len(), observed.len(), "as many records of both: {}", self.dump());
        let around = |carried: &Hop<'_>| observed.iter().copied().find(|hop| hop.at("/id") == carried.at("/parent_id"));
        let pair = |carried| {
            (carried, around(&carried).unwrap_or_else(|| panic!("no record around {}: {}", carried.value, self.dump())))
        };
        carried.into_iter().map(pair).collect()
    }

    /// For each call of the whole run, in their order, what its two records say where they are further apart than they may be.
    #[track_caller]
    pub(crate) fn disagreements(&self) -> Vec<Option<String>> {
        let hops: Vec<Hop<'_>> = self.list("/runs/0/hops").iter().map(|value| Hop { value, report: self }).collect();
        let told = |(carried, observed): (Hop<'_>, Hop<'_>)| {
            let said = |hop: Hop<'_>| format!("{} ms {}", hop.duration(), hop.at("/phases"));
            let is_apart = carried.apart(observed) > AGREE_MS.max(observed.duration() * AGREE_PART);
            is_apart.then(|| format!("{}: gateway {}, observer {}", carried.at("/operation"), said(carried), said(observed)))
        };
        self.pairs(&hops).into_iter().map(told).collect()
    }

    /// The only hop of a dependency.
    #[track_caller]
    pub(crate) fn hop(&self, kind: &str, dependency: &str) -> Hop<'_> {
        let hops = self.hops(kind, dependency);
        assert_eq!(hops.len(), 1, "hops of {kind}/{dependency}: {}", self.dump());
        hops[0]
    }

    /// Milliseconds blamed on a phase of a dependency.
    #[track_caller]
    pub(crate) fn blamed(&self, kind: &str, dependency: &str, phase: &str) -> f64 {
        let of = |row: &&Value| row["kind"] == kind && row["dependency"] == dependency && row["phase"] == phase;
        self.list("/runs/0/blame").iter().filter(of).filter_map(|row| row["ms"].as_f64()).sum()
    }

    /// Milliseconds that no dependency is to blame for, in one of the caller's own phases, start-up included.
    #[track_caller]
    pub(crate) fn own(&self, phase: &str) -> f64 {
        let of = |row: &&Value| row["dependency"].is_null() && row["phase"] == phase;
        self.list("/runs/0/blame").iter().filter(of).filter_map(|row| row["ms"].as_f64()).sum()
    }

    /// Milliseconds from the start of the program to its first call: imports, which a busy machine makes long.
    #[track_caller]
    pub(crate) fn startup(&self) -> f64 {
        let of = |row: &&Value| row["kind"] == "startup";
        self.list("/runs/0/blame").iter().filter(of).filter_map(|row| row["ms"].as_f64()).sum()
    }

    /// What the blame sums to: the duration, or the deadline when the run was cut there.
    #[track_caller]
    pub(crate) fn total(&self) -> f64 {
        let duration = self.number("/runs/0/duration_ms");
        self.at("/runs/0/deadline_ms").as_f64().map_or(duration, |deadline| duration.min(deadline))
    }

    /// The verdict names this culprit, and it took more than half of the run's time after start-up.
    #[track_caller]
    pub(crate) fn culprit(&self, kind: &str, dependency: &str, phase: &str) {
        self.is("/runs/0/healthy", false);
        self.is("/runs/0/verdict/kind", kind);
        self.is("/runs/0/verdict/dependency", dependency);
        self.is("/runs/0/verdict/phase", phase);
        let blamed = self.blamed(kind, dependency, phase);
        let rest = self.total() - self.startup();
        self.holds(blamed > rest / 2.0, &format!("{blamed} ms of {kind}/{dependency} {phase} are over half of {rest} ms"));
    }

    /// Nothing stood out, nobody is blamed.
    #[track_caller]
    pub(crate) fn healthy(&self) {
        self.is("/runs/0/verdict", Value::Null);
        self.is("/runs/0/healthy", true);
        self.is("/runs/0/outcome", "ok");
    }

    /// A finding of this cause; at most one is expected.
    #[track_caller]
    pub(crate) fn finding(&self, cause: &str) -> Option<&Value> {
        self.list("/findings").iter().find(|finding| finding["cause"] == cause)
    }

    /// Blame is sorted and sums to the run, phases sum to their hop, shares to one; nothing was lost.
    #[track_caller]
    pub(crate) fn check_sums(&self) {
        let blame = self.list("/runs/0/blame");
        let ms: Vec<f64> = blame.iter().map(|row| row["ms"].as_f64().unwrap()).collect();
        self.holds(ms.is_sorted_by(|a, b| a >= b), "blame is sorted");
        self.sums(&ms, self.total(), "blame");
        for row in blame {
            let share = row["share"].as_f64().unwrap();
            let expected = row["ms"].as_f64().unwrap() / self.total();
            self.holds((share - expected).abs() < 0.01, &format!("share {share} of {row}"));
        }
        for hop in self.list("/runs/0/hops") {
            let phases = hop["phases"].as_object().unwrap();
            let ms: Vec<f64> = phases.values().filter_map(Value::as_f64).collect();
            self.holds(ms.iter().all(|ms| *ms >= 0.0), &format!("no negative phase in {hop}"));
            self.sums(&ms, hop["duration_ms"].as_f64().unwrap(), &format!("the phases of {hop}"));
        }
        self.holds(self.at("/losses/dropped").as_object().is_some_and(serde_json::Map::is_empty), "nothing was dropped");
    }

    #[track_caller]
    fn sums(&self, parts: &[f64], expected: f64, what: &str) {
        let sum: f64 = parts.iter().sum();
        let allowed = EXACT_MS * parts.len().max(1) as f64;
        self.holds((sum - expected).abs() <= allowed, &format!("{what} sum to {sum}, not {expected}"));
    }
}

/// The schema that the binary itself prints.
fn schema() -> &'static Validator {
    static SCHEMA: OnceLock<Validator> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let output = Command::new(env!("CARGO_BIN_EXE_hopwatch")).args(["report", "--schema"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        jsonschema::validator_for(&serde_json::from_slice(&output.stdout).unwrap()).unwrap()
    })
}

/// One hop of a report.
#[derive(Clone, Copy)]
pub(crate) struct Hop<'a> {
    value: &'a Value,
    report: &'a Report,
}

impl<'a> Hop<'a> {
    #[track_caller]
    pub(crate) fn at(self, pointer: &str) -> &'a Value {
        self.value.pointer(pointer).unwrap_or_else(|| panic!("nothing at {pointer} of {}: {}", self.value, self.report.dump()))
    }

    #[track_caller]
    pub(crate) fn is(self, pointer: &str, expected: impl Into<Value>) -> Self {
        let (found, expected) = (self.at(pointer), expected.into());
        assert!(*found == expected, "{pointer} is {found}, not {expected}, in {}: {}", self.value, self.report.dump());
        self
    }

    /// Outcome and who failed.
    #[track_caller]
    pub(crate) fn ended(self, outcome: &str, failed_by: &str) -> Self {
        self.is("/outcome", outcome).is("/failed_by", failed_by).is("/open", false)
    }

    /// Nothing failed.
    #[track_caller]
    pub(crate) fn ended_ok(self) -> Self {
        self.is("/outcome", "ok").is("/failed_by", Value::Null).is("/open", false)
    }

    /// Milliseconds in a phase; an absent phase took none.
    #[track_caller]
    pub(crate) fn phase(self, name: &str) -> f64 {
        self.at("/phases").get(name).and_then(Value::as_f64).unwrap_or(0.0)
    }

    /// As the observer says of the same call, whose record may be longer by its caller's own time.
    #[track_caller]
    fn agrees(self, observed: Self) {
        for field in ["/operation", "/outcome", "/failed_by", "/open", "/status", "/model", "/tokens", "/stream", "/client"] {
            self.is(field, observed.at(field).clone());
        }
        let apart = self.apart(observed);
        self.report.holds(
            apart <= BUSY_MS.max(observed.duration() * AGREE_PART),
            &format!("{apart} ms apart: {} {}", self.value, observed.value),
        );
    }

    /// Milliseconds between the times that this record and the observer's of the same call tell, whose caller's own are left out.
    fn apart(self, observed: Self) -> f64 {
        let own = observed.phase("stall") + observed.phase("self");
        let longer = observed.duration() - self.duration();
        if longer < 0.0 { -longer } else { (longer - own).max(0.0) }
    }

    pub(crate) fn duration(self) -> f64 {
        self.at("/duration_ms").as_f64().unwrap()
    }

    /// A phase took about as long as the server made it take: not less, and not much more.
    #[track_caller]
    pub(crate) fn took(self, phase: &str, least_ms: f64, most_ms: f64) -> Self {
        let ms = self.phase(phase);
        self.report.holds(
            (least_ms..=most_ms).contains(&ms),
            &format!("{phase} of {} took {least_ms} to {most_ms} ms, was {ms}", self.value),
        );
        self
    }

    #[track_caller]
    pub(crate) fn attempts(self) -> &'a [Value] {
        self.at("/attempts").as_array().unwrap()
    }
}
