//! `--intercept`: what a command is told to trust, and that nothing of it stays.

use crate::support::{ended, hopwatch, send, wait_until};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A run with files of its own in a folder of the test's.
fn intercepting(temporary: &Path, options: &[&str], command: &[&str]) -> Command {
    let mut run = hopwatch();
    run.args(["run", "--quiet", "--intercept"]).args(options).arg("--").args(command);
    for name in ["SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"] {
        run.env_remove(name);
    }
    run.env("TMPDIR", temporary);
    run
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().next().is_none()
}

#[test]
fn the_command_is_told_whom_to_trust_by_a_private_file_without_any_key() {
    let temporary = tempfile::tempdir().unwrap();
    let own = temporary.path().join("own.pem");
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["own.example".to_owned()]).unwrap().self_signed(&key).unwrap();
    fs::write(&own, certificate.pem()).unwrap();
    let script = "env; read -r line";
    let mut command = intercepting(temporary.path(), &[], &["sh", "-c", script]);
    command.env("NODE_EXTRA_CA_CERTS", &own).env("SSL_CERT_DIR", temporary.path());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let written = || files(temporary.path()).into_iter().find(|file| *file != own);
    wait_until("the file is there", || written().is_some_and(|file| fs::read_to_string(file).unwrap().ends_with("-----\n")));
    let file = written().unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
    assert_eq!(files(temporary.path()).len(), 2, "nothing else was written");
    let text = fs::read_to_string(&file).unwrap();
    let kinds: Vec<&str> = text.lines().filter(|line| line.starts_with("-----BEGIN")).collect();
    assert!(kinds.len() > 2 && kinds.iter().all(|kind| *kind == "-----BEGIN CERTIFICATE-----"), "{kinds:?}");
    assert!(text.contains(certificate.pem().lines().nth(2).unwrap()), "what the user had named is in it");
    drop(child.stdin.take());
    let ended = child.wait_with_output().unwrap();
    let environment = String::from_utf8(ended.stdout).unwrap();
    for name in [
        "SSL_CERT_FILE",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "NODE_EXTRA_CA_CERTS",
        "AWS_CA_BUNDLE",
        "GIT_SSL_CAINFO",
        "PIP_CERT",
        "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    ] {
        let line = format!("{name}={}", file.display());
        assert!(environment.lines().any(|said| said == line), "{line}: {environment}");
    }
    assert!(!environment.contains("SSL_CERT_DIR"), "{environment}");
    assert!(environment.contains("HTTPS_PROXY=http://127.0.0.1:"), "{environment}");
    assert_eq!(files(temporary.path()), [own]);
}

#[test]
fn nothing_stays_however_the_command_ends() {
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", 137), ("kill -SEGV $$", 139)] {
        let temporary = tempfile::tempdir().unwrap();
        let ended =
            ended(&mut intercepting(temporary.path(), &[], &["sh", "-c", &format!("test -s $SSL_CERT_FILE && {script}")]));
        assert_eq!((ended.code, &*ended.err), (Some(code), ""), "{script}");
        assert!(is_empty(temporary.path()), "{script}");
    }
    let temporary = tempfile::tempdir().unwrap();
    let late = intercepting(temporary.path(), &["--deadline", "300ms", "--kill"], &["sleep", "60"]).status().unwrap();
    assert!(late.code() == Some(124) && is_empty(temporary.path()));
    let missing = ended(&mut intercepting(temporary.path(), &[], &["no-such-command-at-all"]));
    assert!(missing.code == Some(127) && is_empty(temporary.path()), "{}", missing.err);
}

#[test]
fn nothing_stays_when_hopwatch_is_asked_to_end() {
    for signal in [libc::SIGTERM, libc::SIGHUP, libc::SIGINT] {
        let temporary = tempfile::tempdir().unwrap();
        let ready = temporary.path().join("ready");
        let script = format!("touch {}; exec sleep 60", ready.display());
        let mut child = intercepting(temporary.path(), &[], &["sh", "-c", &script]).spawn().unwrap();
        wait_until("the command runs", || ready.exists());
        send(child.id(), signal);
        assert_eq!(child.wait().unwrap().code(), Some(128 + signal));
        assert_eq!(files(temporary.path()), [ready]);
        assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 1);
    }
}

#[test]
fn where_nothing_can_be_written_it_does_not_start() {
    let temporary = tempfile::tempdir().unwrap();
    let ended = ended(&mut intercepting(&temporary.path().join("missing"), &[], &["touch", "started"]));
    assert_eq!(ended.code, Some(3));
    assert!(
        ended.err.starts_with("error: `--intercept` cannot write") && ended.err.contains("hint: set TMPDIR"),
        "{}",
        ended.err
    );
}

#[test]
fn it_is_the_gateways_and_comes_by_the_proxy_variables() {
    let temporary = tempfile::tempdir().unwrap();
    for via in ["observer", "none"] {
        let ended = ended(&mut intercepting(temporary.path(), &["--via", via], &["true"]));
        assert_eq!(ended.code, Some(2));
        assert!(
            ended.err.starts_with("error: `--intercept` is done by the gateway\nhint: write `--via gateway`"),
            "{}",
            ended.err
        );
    }
    let ended = ended(&mut intercepting(temporary.path(), &["--no-proxy-env"], &["true"]));
    assert!(ended.code == Some(2) && ended.err.contains("hint: leave `--no-proxy-env` out"), "{}", ended.err);
}
