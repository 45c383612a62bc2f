use crate::support::{Ended, ended, hopwatch};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// `hopwatch config` where there is this file, and nothing else that says something.
fn config(text: &str, arguments: &[&str]) -> Ended {
    let folder = folder(text);
    ended(&mut command(folder.path(), arguments))
}

fn folder(text: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    if !text.is_empty() {
        fs::write(folder.path().join("hopwatch.toml"), text).unwrap();
    }
    folder
}

fn command(folder: &Path, arguments: &[&str]) -> std::process::Command {
    let mut command = hopwatch();
    let ours = std::env::vars_os().map(|(name, _)| name);
    for name in ours
        .filter(|name| name.to_str().is_some_and(|name| name.starts_with("HOPWATCH_") || name.to_lowercase().ends_with("_proxy")))
    {
        command.env_remove(name);
    }
    command.arg("config").args(arguments).current_dir(folder);
    command
}

/// The repository's file for deployments.
fn deployed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/deploy/hopwatch.toml")
}

#[test]
fn help_teaches_and_tells_every_key() {
    for (arguments, words) in [
        (&["--help"][..], &["check", "show", "reference", "hopwatch config reference > hopwatch.toml"][..]),
        (&["check", "--help"], &["--strict", "--set", "Exit code", "Nothing is connected to"]),
        (&["show", "-h"], &["--json", "`--help` tells what every key does"]),
        (
            &["show", "--help"],
            &[
                "[gateway]",
                "listen = [\"127.0.0.1:9471\"]  HOPWATCH_GATEWAY_LISTEN",
                "all_proxy, ALL_PROXY",
                "[[route]]",
                "Longer than clients keep theirs",
            ],
        ),
        (&["reference", "--help"], &["commented out"]),
    ] {
        let ended = config("", arguments);
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
        let lower = ended.out.to_lowercase();
        for word in words {
            assert!(lower.contains(&word.to_lowercase()), "`{word}` in {arguments:?}:\n{}", ended.out);
        }
        assert!(ended.out.lines().all(|line| line.chars().count() <= 100), "{}", ended.out);
    }
}

#[test]
fn wrong_words_are_answered_with_the_nearest() {
    for (arguments, message, hint) in [
        (&[][..], "no verb given", "verbs are `check`, `show`, `reference`; see `hopwatch config --help`"),
        (&["chek"], "unknown verb `chek`", "did you mean `hopwatch config check`?"),
        (&["check", "--strct"], "unknown option `--strct`", "did you mean `--strict`?"),
        (&["show", "--jsn"], "unknown option `--jsn`", "did you mean `--json`?"),
        (&["show", "--set", "gateway.workers"], "`--set`: `gateway.workers` has no `=`", "write KEY=VALUE"),
        (
            &["show", "--set", "gateway.wrkers=1"],
            "`--set`: no setting is called `gateway.wrkers`",
            "did you mean `gateway.workers`?",
        ),
        (
            &["check", "a.toml", "-c", "b.toml"],
            "cannot be given more than once, or not with another option",
            "see `hopwatch config check --help`",
        ),
    ] {
        let ended = config("", arguments);
        assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(ended.err.starts_with("error: ") && ended.err.contains(message), "{arguments:?}: {}", ended.err);
        assert!(ended.err.contains(&format!("\nhint: {hint}")), "{arguments:?}: {}", ended.err);
    }
}

#[test]
fn every_mistake_is_told_with_its_place_and_its_hint() {
    let text = "[gateway]\nlisten = \"here\"\nwokers = 2\n\n[[route]]\nprefix = \"/docs\"\nupstream = \"http://h\"\ndependency = \"docs\"\n";
    let told = config(text, &["check"]);
    assert_eq!((told.code, told.out.as_str()), (Some(2), ""));
    assert_eq!(
        told.err,
        "\
error: hopwatch.toml:2:10: `here` is no address
hint: write [ADDRESS:]PORT, like `127.0.0.1:9464`, `9464` or `0.0.0.0:9464`
error: hopwatch.toml:3:1: unknown key `wokers`
hint: did you mean `workers`?
error: hopwatch.toml:8:14: no dependency is called `docs`
hint: add a `kind` here, or a `[[dependency]]` of that name
"
    );
    let mut by_variable = command(folder("").path(), &["check"]);
    let told = ended(by_variable.current_dir("/").env("HOPWATCH_GATEWAY_LISTEN", "here"));
    assert_eq!(told.code, Some(2));
    assert!(told.err.starts_with("error: HOPWATCH_GATEWAY_LISTEN: `here` is no address\n"), "{}", told.err);
    let many = config(&(0..30).map(|n| format!("x{n} = 1\n")).collect::<String>(), &["check"]);
    assert!(many.err.ends_with("error: there are 10 more\n"), "{}", many.err);
    let missing = config("", &["check", "nowhere.toml"]);
    assert_eq!(missing.code, Some(2));
    assert!(missing.err.starts_with("error: cannot read `nowhere.toml`: No such file"), "{}", missing.err);
}

#[test]
fn what_is_fine_is_said_in_a_line() {
    let route = "[[route]]\nprefix = \"/a\"\nupstream = \"http://h\"\ndependency = \"a\"\nkind = \"tool\"\n";
    for (text, arguments, line) in [
        ("", &["check"][..], "no file: fine\n"),
        ("[agent]\n", &["check"], "hopwatch.toml: fine\n"),
        (route, &["check", "hopwatch.toml"], "hopwatch.toml: fine (1 route)\n"),
        (route, &["check", "-c", "hopwatch.toml", "--strict"], "hopwatch.toml: fine (1 route)\n"),
    ] {
        let told = config(text, arguments);
        assert_eq!((told.code, told.out.as_str(), told.err.as_str()), (Some(0), line, ""));
    }
}

#[test]
fn warnings_fail_where_asked_to() {
    let text = "[gateway]\nallow = \"0.0.0.0/0\"\n";
    let told = config(text, &["check"]);
    assert_eq!((told.code, told.out.as_str()), (Some(0), "hopwatch.toml: fine, 1 warning\n"));
    assert!(
        told.err.starts_with("warning: hopwatch.toml:2:9: `0.0.0.0/0` allows every address\nhint: name the networks"),
        "{}",
        told.err
    );
    let strict = config(text, &["check", "--strict"]);
    assert_eq!((strict.code, strict.out.as_str(), strict.err), (Some(1), "hopwatch.toml: 1 warning\n", told.err));
}

#[test]
fn certificates_and_keys_are_looked_into() {
    let made = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (one, other) = (made(), made());
    let folder = folder("[gateway]\ntls_certificate = \"tls.pem\"\ntls_key = \"tls.key\"\nca = [\"ca.pem\"]\n");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let check = || ended(&mut command(folder.path(), &["check"]));
    let told = check();
    assert_eq!(told.code, Some(2));
    assert!(told.err.contains("error: hopwatch.toml:4:6: cannot read certificates from `ca.pem`: "), "{}", told.err);
    assert!(told.err.contains("error: hopwatch.toml:2:19: cannot read `tls.pem`: "), "{}", told.err);
    write("ca.pem", &one.cert.pem());
    write("tls.pem", &one.cert.pem());
    write("tls.key", "nothing");
    assert!(
        check().err.starts_with("error: hopwatch.toml:3:11: `tls.key` holds no private key\nhint: it must be PEM"),
        "{}",
        check().err
    );
    write("tls.key", &other.signing_key.serialize_pem());
    let told = check();
    assert!(told.err.starts_with("error: hopwatch.toml:2:19: `tls.pem` and `tls.key` cannot be served: "), "{}", told.err);
    assert!(told.err.contains("hint: the key must be the one"), "{}", told.err);
    write("tls.key", &one.signing_key.serialize_pem());
    assert_eq!((check().code, check().err.as_str()), (Some(0), ""));
}

#[test]
fn every_key_is_shown_with_its_source() {
    let folder = folder("[gateway]\nworkers = 2\nhttps_proxy = \"http://me:s3cr3t@proxy:3128\"\n");
    let shown = |arguments: &[&str]| {
        let mut command = command(folder.path(), arguments);
        let ended = ended(command.env("HOPWATCH_DRAIN", "3s"));
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
        assert!(!ended.out.contains("s3cr3t"), "{}", ended.out);
        ended.out
    };
    let text = shown(&["show", "--set", "gateway.allow=10.0.0.0/8"]);
    let line = |key: &str| {
        let line = text.lines().find(|line| line.starts_with(key)).unwrap_or_else(|| panic!("{key}: {text}"));
        line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("file"), "hopwatch.toml");
    assert_eq!(line("gateway.workers"), "2 hopwatch.toml:2");
    assert_eq!(line("gateway.https_proxy"), "http://***@proxy:3128 hopwatch.toml:3");
    assert_eq!(line("gateway.allow"), "10.0.0.0/8 flag --set");
    assert_eq!(line("agent.drain"), "3s environment HOPWATCH_DRAIN");
    assert_eq!(line("gateway.tls_key"), "- default");

    let json: Value = serde_json::from_str(&shown(&["show", "--json"])).unwrap();
    assert_eq!((json["schema"].as_str(), json["file"].as_str()), (Some("hopwatch.config/1"), Some("hopwatch.toml")));
    let key = |name: &str| json["keys"].as_array().unwrap().iter().find(|key| key["key"] == name).unwrap().clone();
    assert_eq!(
        key("agent.drain"),
        serde_json::json!({"key": "agent.drain", "value": 3000.0, "unit": "ms", "source": "environment HOPWATCH_DRAIN"})
    );
    assert_eq!(key("gateway.workers")["value"], 2);
    assert!(key("gateway.tls_key")["value"].is_null());
    let schema: Value = serde_json::from_str(&shown(&["show", "--schema"])).unwrap();
    let wrong: Vec<_> = jsonschema::validator_for(&schema).unwrap().iter_errors(&json).map(|error| error.to_string()).collect();
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn the_file_of_the_deployment_is_what_the_reference_prints() {
    let reference = config("", &["reference"]);
    assert_eq!((reference.code, reference.err.as_str()), (Some(0), ""));
    let committed = fs::read_to_string(deployed()).unwrap_or_default();
    assert!(committed == reference.out, "make it anew: hopwatch config reference > examples/deploy/hopwatch.toml");
    let fine = config(&reference.out, &["check", "--strict"]);
    assert_eq!((fine.code, fine.out.as_str(), fine.err.as_str()), (Some(0), "hopwatch.toml: fine\n", ""));
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let folder = folder("");
    let mut child = command(folder.path(), &["reference"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn routes_that_are_built_in_are_shown_with_what_says_where_they_lead() {
    let own =
        "[[route]]\nprefix = \"/ollama\"\nupstream = \"http://gpu:1\"\ndependency = \"local\"\nkind = \"llm\"\nhttp2 = true\n";
    let folder = folder(own);
    let mut command = command(folder.path(), &["show", "--json"]);
    let ended = ended(command.env("OPENAI_BASE_URL", "http://user:s3cret@10.0.0.7:8000/v1"));
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    assert!(!ended.out.contains("s3cret"), "{}", ended.out);
    let shown: Value = serde_json::from_str(&ended.out).unwrap();
    let routes = shown["routes"].as_array().unwrap();
    let one = |prefix: &str| {
        let mut of = routes.iter().filter(|route| route["prefix"] == prefix);
        let found = of.next().unwrap_or_else(|| panic!("{prefix}: {shown:#}"));
        assert!(of.next().is_none(), "{prefix} twice");
        (found["upstream"].as_str().unwrap(), found["dependency"].as_str().unwrap(), found["source"].as_str().unwrap())
    };
    assert_eq!(one("/openai"), ("http://10.0.0.7:8000", "openai", "environment OPENAI_BASE_URL"));
    assert_eq!(one("/anthropic"), ("https://api.anthropic.com", "anthropic", "built in"));
    assert_eq!(one("/ollama"), ("http://gpu:1", "local", "hopwatch.toml:2"));
}
