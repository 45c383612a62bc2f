//! The JSON report with accessors that show the whole of it when something is not as expected.

use std::fmt::Write as _;
use std::process::Command;
use std::sync::OnceLock;

use jsonschema::Validator;
use serde_json::Value;

use super::app::Finished;

/// A sum may differ by this much for each of its parts, in milliseconds.
const EXACT_MS: f64 = 0.01;

/// A report of one run, and what the program wrote, for the messages.
pub(crate) struct Report {
    value: Value,
    context: String,
}

impl Report {
    #[track_caller]
    pub(crate) fn parse(text: &str, finished: &Finished) -> Self {
        let value = serde_json::from_str(text).unwrap_or_else(|error| panic!("the report is not JSON: {error}\n{text}"));
        let mut context = String::new();
        let _ = write!(context, "exit code {}\n{}\n{}", finished.code, finished.stdout, finished.stderr);
        let report = Self { value, context };
        if let Err(error) = schema().validate(&report.value) {
            panic!("the report does not fit its schema: {error} at {}: {}", error.instance_path(), report.dump());
        }
        report.is("/schema", "hopwatch.report/1");
        report.is("/source", "run");
        assert_eq!(report.list("/runs").len(), 1, "{}", report.dump());
        report
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

    /// The hops of a dependency in the order of their start.
    #[track_caller]
    pub(crate) fn hops(&self, kind: &str, dependency: &str) -> Vec<Hop<'_>> {
        let of = |hop: &&Value| hop["kind"] == kind && hop["dependency"] == dependency;
        self.list("/runs/0/hops").iter().filter(of).map(|value| Hop { value, report: self }).collect()
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
