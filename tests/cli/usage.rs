use crate::support::{ended, hopwatch, plain_run};
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// Exit code and the two lines that a wrong usage prints.
fn refused(arguments: &[&str]) -> (Option<i32>, String, String) {
    let ended = ended(hopwatch().args(arguments));
    assert_eq!(ended.out, "", "standard output is for data");
    let mut lines = ended.err.lines();
    let line = |line: Option<&str>, prefix: &str| line.and_then(|line| line.strip_prefix(prefix)).unwrap_or_default().to_owned();
    (ended.code, line(lines.next(), "error: "), line(lines.next(), "hint: "))
}

#[test]
fn help_teaches_and_goes_to_standard_output() {
    for (arguments, words) in [
        (vec!["--help"], vec!["hopwatch demo", "hopwatch run --deadline 10s -- python agent.py"]),
        (
            vec!["run", "--help"],
            vec![
                "--deadline",
                "--metrics",
                "keys never leave",
                "Short runs end between two scrapes",
                "KIND/NAME=HOST[:PORT]",
                "Ctrl-C",
                "SIGQUIT",
                "Exit code",
                "127 not found",
            ],
        ),
        (vec!["demo", "--help"], vec!["--fault", "--list"]),
        (vec!["report", "--help"], vec!["--schema", "--svg", "--from", "HOPWATCH_ADMIN", "Exit code"]),
        (vec!["top", "--help"], vec!["--once", "--interval", "Keys:", "HOPWATCH_ADMIN", "NO_COLOR", "Exit code"]),
    ] {
        let ended = ended(hopwatch().args(&arguments));
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
        for word in words {
            assert!(ended.out.contains(word), "`{word}` in {arguments:?}:\n{}", ended.out);
        }
        assert!(!ended.out.contains("demo-agent"), "the demo's own verb is hidden");
        assert!(ended.out.lines().all(|line| line.chars().count() <= 100), "{}", ended.out);
    }
}

#[test]
fn unknown_words_are_answered_with_the_nearest() {
    for (arguments, message, hint) in [
        (vec!["rnu"], "unknown verb `rnu`", "did you mean `hopwatch run`?"),
        (vec!["run", "--dedline", "3", "--", "true"], "unknown option `--dedline`", "did you mean `--deadline`?"),
        (vec!["demo", "--falt", "x"], "unknown option `--falt`", "did you mean `--fault`?"),
        (
            vec!["demo", "--fault", "slow-retreival"],
            "`slow-retreival` is no value for `--fault`",
            "did you mean `slow-retrieval`?",
        ),
        (vec!["run", "--dep", "tol/x=h", "--", "true"], "`--dep`: `tol` is no kind of dependency", "did you mean `tool`?"),
        (vec!["run", "--color", "allways", "--", "true"], "`allways` is no value for `--color`", "did you mean `always`?"),
    ] {
        let (code, said, hinted) = refused(&arguments);
        assert_eq!((code, said.as_str()), (Some(2), message));
        assert!(hinted.starts_with(hint), "{hinted}");
    }
}

#[test]
fn wrong_usage_says_what_to_do() {
    for (arguments, message, hint) in [
        (vec![], "no verb", "hopwatch demo"),
        (vec!["run"], "no command", "after `--`"),
        (vec!["run", "--via", "gatway", "--", "true"], "`gatway` is no value for `--via`", "did you mean `gateway`?"),
        (
            vec!["run", "--skip", "/bin/git", "--", "true"],
            "`--skip`: `/bin/git` is a path; write the program's name alone: `git`",
            "",
        ),
        (vec!["run", "--deadline", "soon", "--", "true"], "`soon` is no duration", "`1m30s`"),
        (vec!["run", "--deadline", "-3s", "--", "true"], "`-3s` is no duration", "`1m30s`"),
        (vec!["run", "--kill", "--", "true"], "`--kill` needs a deadline", "--deadline"),
        (vec!["run", "--dep", "docs=h", "--", "true"], "has no kind", "KIND/NAME=HOST[:PORT]"),
        (vec!["run", "--json", "-", "--", "true"], "needs a file", "report.json"),
        (vec!["run", "--metrics", "http://h", "--", "true"], "`--metrics`: `http://h` is no address", "`127.0.0.1:9464`"),
        (vec!["run", "--metrics", "127.0.0.1", "--", "true"], "is no address", "[ADDRESS:]PORT"),
        (vec!["run", "--watch", "--via", "none", "--", "true"], "`--watch` has nothing to show", "leave one of them out"),
        (vec!["report", "--from", "ftp://h"], "`ftp://h` is no address", "[HOST:]PORT"),
        (vec!["report", "--format", "yaml"], "`yaml` is no value for `--format`", "`json`"),
        (vec!["top", "a b"], "`a b` is no address", "[HOST:]PORT"),
        (vec!["top", "https://h"], "is asked over TLS", "curl"),
        (vec!["top", "--interval", "soon"], "`soon` is no duration", "`1m30s`"),
    ] {
        let (code, said, hinted) = refused(&arguments);
        assert_eq!(code, Some(2), "{arguments:?}");
        assert!(said.contains(message), "{arguments:?}: {said}");
        assert!(hinted.contains(hint), "{arguments:?}: {hinted}");
    }
}

#[test]
fn an_address_that_is_taken_is_told_before_the_command_starts() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("ran");
    let (code, said, hinted) = refused(&["run", "--metrics", &address, "--", "touch", trace.to_str().unwrap()]);
    assert_eq!(code, Some(3));
    assert!(said.starts_with(&format!("cannot serve metrics at {address}: ")), "{said}");
    assert!(hinted.contains("port 0"), "{hinted}");
    assert!(!trace.exists(), "the command ran");
}

#[test]
fn a_command_that_cannot_be_found_or_executed_answers_as_shells_do() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("agent.sh");
    fs::write(&script, "#!/nonexistent/interpreter\n").unwrap();
    let script = script.to_str().unwrap();
    let (code, message, _) = refused(&["run", "--", script]);
    assert_eq!(code, Some(126));
    assert!(message.contains("is not executable"), "{message}");
    fs::set_permissions(script, fs::Permissions::from_mode(0o755)).unwrap();
    let ended = ended(&mut plain_run(&[script]));
    assert_eq!(ended.code, Some(127));
    assert!(ended.err.contains("its interpreter was not found"), "{}", ended.err);
    let (code, message, _) = refused(&["run", "--", "no-such-command-anywhere"]);
    assert_eq!((code, message.as_str()), (Some(127), "command `no-such-command-anywhere` not found"));
}

#[test]
fn a_json_file_that_cannot_be_written_is_told_before_the_command_starts() {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("started");
    let missing = folder.path().join("missing/report.json");
    for path in [missing.as_path(), folder.path()] {
        let json = path.to_str().unwrap();
        let (code, message, _) = refused(&["run", "--via", "none", "--json", json, "--", "touch", trace.to_str().unwrap()]);
        assert_eq!(code, Some(2));
        assert!(message.contains("cannot write the report to"), "{message}");
        assert!(!trace.exists(), "the command ran");
    }
}

#[test]
fn a_configuration_error_is_placed_by_line_and_column() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hopwatch.toml");
    fs::write(&path, "[run]\n  dedline = \"10s\"\n").unwrap();
    let mut here = hopwatch();
    let told = ended(here.current_dir(folder.path()).args(["run", "--", "true"]));
    assert_eq!(told.code, Some(2));
    assert_eq!(told.err, "error: hopwatch.toml:2:3: unknown key `dedline`\nhint: did you mean `deadline`?\n");
    let named = path.to_str().unwrap();
    let by_option = ended(hopwatch().args(["run", "--config", named, "--", "true"]));
    assert!(by_option.err.starts_with(&format!("error: {named}:2:3: ")), "{}", by_option.err);
    let by_variable = ended(hopwatch().env("HOPWATCH_CONFIG", named).args(["run", "--", "true"]));
    assert_eq!(by_variable.err, by_option.err);
    let missing = ended(hopwatch().args(["run", "--config", "/nonexistent.toml", "--", "true"]));
    assert_eq!(missing.code, Some(2));
    assert!(missing.err.starts_with("error: cannot read `/nonexistent.toml`: No such file"), "{}", missing.err);
}

#[test]
fn the_schema_is_valid_json() {
    let ended = ended(hopwatch().args(["report", "--schema"]));
    assert_eq!(ended.code, Some(0));
    let schema: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(schema["title"], "Report");
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let mut command = hopwatch();
    let mut child = command.args(["report", "--schema"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn the_faults_of_the_demo_are_listed_one_a_line() {
    let ended = ended(hopwatch().args(["demo", "--list"]));
    assert_eq!(ended.code, Some(0));
    assert!(ended.out.lines().count() > 6);
    assert!(ended.out.starts_with("slow-retrieval  "), "{}", ended.out);
}
