use crate::support::{ended, hopwatch, plain_run};
use std::io::Write;
use std::process::Stdio;

#[test]
fn the_exit_code_is_the_commands_own() {
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("kill -9 $$", 137), ("kill -TERM $$", 143)] {
        assert_eq!(ended(&mut plain_run(&["sh", "-c", script])).code, Some(code), "{script}");
    }
}

#[test]
fn input_output_and_errors_pass_byte_by_byte() {
    let input: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let mut command = plain_run(&["sh", "-c", "tee /dev/stderr"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let sent = input.clone();
    let writer = std::thread::spawn(move || stdin.write_all(&sent).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stdout == input, "standard output differs");
    assert!(output.stderr == input, "standard error differs");
}

#[test]
fn the_report_goes_to_standard_error_and_quiet_keeps_it() {
    let told = ended(hopwatch().args(["run", "--via", "none", "--name", "agent", "--", "echo", "hello"]));
    assert_eq!(told.out, "hello\n");
    assert!(told.err.starts_with("run  agent"), "{}", told.err);
    assert!(!told.err.contains('\u{1b}'), "no colour where there is no terminal");
    let coloured = ended(hopwatch().args(["run", "--via", "none", "--color", "always", "--", "sh", "-c", "exit 3"]));
    assert!(coloured.err.contains('\u{1b}'), "{}", coloured.err);
    let forced = ended(hopwatch().env("CLICOLOR_FORCE", "1").args(["run", "--via", "none", "--", "sh", "-c", "exit 3"]));
    assert!(forced.err.contains('\u{1b}'), "{}", forced.err);
    let refused = ended(
        hopwatch().env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1").args(["run", "--via", "none", "--", "sh", "-c", "exit 3"]),
    );
    assert!(!refused.err.contains('\u{1b}'), "{}", refused.err);
    let quiet = ended(hopwatch().args(["run", "--via", "none", "--quiet", "--", "echo", "hello"]));
    assert_eq!((quiet.out.as_str(), quiet.err.as_str()), ("hello\n", ""));
}

#[test]
fn the_json_report_is_written_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.json");
    let mut command = hopwatch();
    command.args([
        "run",
        "--via",
        "none",
        "--quiet",
        "--deadline",
        "1h",
        "--json",
        path.to_str().unwrap(),
        "--",
        "sh",
        "-c",
        "exit 4",
    ]);
    assert_eq!(ended(&mut command).code, Some(4));
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(report["schema"], "hopwatch.report/1");
    let run = &report["runs"][0];
    assert_eq!((&run["exit_code"], &run["deadline_ms"], &run["name"]), (&4.into(), &3_600_000.0.into(), &"sh".into()));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing but the report");
}

#[test]
fn the_command_inherits_no_descriptor_of_hopwatch() {
    let listing = "ls /proc/self/fd | wc -l";
    let own = std::process::Command::new("sh").args(["-c", listing]).output().unwrap();
    let wrapped = plain_run(&["sh", "-c", listing]).output().unwrap();
    assert_eq!(String::from_utf8(wrapped.stdout).unwrap(), String::from_utf8(own.stdout).unwrap());
}

#[test]
fn the_command_inherits_the_signal_state_of_hopwatch() {
    let state = "grep -E '^Sig(Blk|Ign)' /proc/self/status";
    let own = std::process::Command::new("sh").args(["-c", state]).output().unwrap();
    let wrapped = std::process::Command::new(env!("CARGO_BIN_EXE_hopwatch"))
        .args(["run", "--via", "none", "--quiet", "--", "sh", "-c", state])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(wrapped.stdout).unwrap(), String::from_utf8(own.stdout).unwrap());
    // As `nohup` and daemons start things: ignored signals stay ignored.
    let ignoring =
        format!("trap '' HUP PIPE CHLD; {} run --via none --quiet -- sh -c \"{state}\"", env!("CARGO_BIN_EXE_hopwatch"));
    let direct = format!("trap '' HUP PIPE CHLD; sh -c \"{state}\"");
    let of = |script: &str| std::process::Command::new("sh").args(["-c", script]).output().unwrap().stdout;
    assert_eq!(String::from_utf8(of(&ignoring)).unwrap(), String::from_utf8(of(&direct)).unwrap());
}

#[test]
fn descriptors_that_were_closed_stay_closed() {
    let state = "for fd in 0 1 2; do if [ -e /proc/self/fd/$fd ]; then echo $fd; fi; done >&9";
    let of = |before: &str| {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("list");
        let script = format!("exec 9>{} 0<&- 2>&-; {before} sh -c '{state}'", list.display());
        assert!(std::process::Command::new("sh").args(["-c", &script]).output().unwrap().status.success());
        std::fs::read_to_string(list).unwrap()
    };
    assert_eq!(of("").trim(), "1");
    assert_eq!(of(&format!("{} run --via none --quiet --", env!("CARGO_BIN_EXE_hopwatch"))), of(""));
}

#[test]
fn the_command_learns_which_run_it_is() {
    let of = || ended(&mut plain_run(&["sh", "-c", "echo $HOPWATCH_RUN_ID"])).out;
    let (first, second) = (of(), of());
    assert_eq!(first.trim().len(), 32, "{first}");
    assert_ne!(first, second);
}

#[test]
fn a_command_keeps_the_name_it_was_called_by() {
    assert_eq!(ended(&mut plain_run(&["sh", "-c", "echo $0"])).out, "sh\n");
}
