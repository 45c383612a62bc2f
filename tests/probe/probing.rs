//! Running the probe and reading what it tells.

use std::io::{Read, Write};
use std::process::{Command, Output};
use std::sync::LazyLock;

use serde_json::Value;

use crate::peer::Peer;

/// Variables of the surroundings that would change what is probed, and how.
const CLEARED: [&str; 17] = [
    "ALL_PROXY",
    "CLICOLOR_FORCE",
    "CURL_CA_BUNDLE",
    "HOPWATCH_CONFIG",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_COLOR",
    "NO_PROXY",
    "OPENAI_BASE_URL",
    "REQUESTS_CA_BUNDLE",
    "REQUEST_METHOD",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "all_proxy",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];

static SCHEMA: LazyLock<jsonschema::Validator> = LazyLock::new(|| {
    let told = ended(&mut probe(&["--schema"]));
    assert_eq!((told.code, told.err.as_str()), (0, ""));
    jsonschema::validator_for(&serde_json::from_str(&told.out).unwrap()).unwrap()
});

pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// `hopwatch probe` without what the tests' own environment says to it.
pub(crate) fn probe(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hopwatch"));
    for name in CLEARED {
        command.env_remove(name);
    }
    command.arg("probe").args(arguments);
    command
}

/// Of one try that has far more time than what is near needs.
pub(crate) fn once(url: &str) -> Command {
    probe(&["-n", "1", "--timeout", "20s", url])
}

/// Of one try that has little time.
pub(crate) fn briefly(url: &str) -> Command {
    probe(&["-n", "1", "--timeout", "500ms", url])
}

pub(crate) fn ended(command: &mut Command) -> Ended {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { code: status.code().unwrap(), out: text(stdout), err: text(stderr) }
}

/// The report, which is as its schema says, and as the exit code.
#[track_caller]
pub(crate) fn report(command: &mut Command) -> Value {
    let told = ended(command.arg("--json"));
    assert_eq!(told.err, "");
    let report: Value = serde_json::from_str(&told.out).unwrap_or_else(|error| panic!("{error}: {}", told.out));
    let errors: Vec<String> = SCHEMA.iter_errors(&report).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}\n{report:#}");
    assert_eq!(report["schema"], "hopwatch.probe/1");
    assert_eq!(report["ok"], told.code == 0, "{report:#}");
    report
}

/// The report's only target. The phases of its only try sum to it, but for the moment before the first of them.
#[track_caller]
pub(crate) fn target(command: &mut Command) -> Value {
    let mut report = report(command);
    let targets = report["targets"].as_array_mut().unwrap();
    assert_eq!(targets.len(), 1);
    let target = targets.remove(0);
    if target["tries"] == 1 {
        let phases = target["phases"].as_object().unwrap().values();
        let sum: f64 = phases.filter_map(|spread| spread["max_ms"].as_f64()).sum();
        let total = target["total"]["max_ms"].as_f64().unwrap();
        assert!(sum <= total + 0.01 && sum + 50.0 >= total, "{sum} of {total}");
    }
    target
}

/// The only finding of a target: its cause, its sentence and its remedy.
#[track_caller]
pub(crate) fn finding(target: &Value) -> (&str, &str, &str) {
    let [finding] = target["findings"].as_array().unwrap().as_slice() else { panic!("{target:#}") };
    assert!(!finding["evidence"].as_array().unwrap().is_empty(), "{finding}");
    let text = |name: &str| finding[name].as_str().unwrap();
    (text("cause"), text("sentence"), text("remedy"))
}

/// A piece of evidence of its findings.
pub(crate) fn evidence<'a>(target: &'a Value, name: &str) -> &'a Value {
    let mut all = target["findings"].as_array().unwrap().iter().flat_map(|finding| finding["evidence"].as_array().unwrap());
    all.find(|evidence| evidence["name"] == name).map_or(&Value::Null, |evidence| &evidence["value"])
}

/// A peer that reads something, answers this and closes.
pub(crate) fn saying(answer: &'static [u8]) -> Peer {
    Peer::new(move |mut stream| {
        // A client that left is no concern of this side.
        drop(stream.read(&mut [0; 4096]));
        drop(stream.write_all(answer));
    })
}
