use crate::probing::{ended, probe};

/// The two lines that a wrong usage prints.
#[track_caller]
fn refused(arguments: &[&str]) -> (String, String) {
    let told = ended(probe(arguments).env("EMPTY", ""));
    assert_eq!((told.code, told.out.as_str()), (2, ""), "{arguments:?}");
    let mut lines = told.err.lines();
    let mut line = |prefix: &str| lines.next().and_then(|line| line.strip_prefix(prefix)).unwrap_or_default().to_owned();
    (line("error: "), line("hint: "))
}

#[test]
fn help_teaches() {
    let told = ended(&mut probe(&["--help"]));
    assert_eq!((told.code, told.err.as_str()), (0, ""));
    for word in
        ["tcp://qdrant:6333", "--max", "status below 500", "SSL_CERT_FILE", "no_proxy", "Exit code: 0 all ok", "--bearer-env"]
    {
        assert!(told.out.contains(word), "`{word}`:\n{}", told.out);
    }
    assert!(told.out.lines().all(|line| line.chars().count() <= 100), "{}", told.out);
}

#[test]
fn wrong_usage_says_what_to_do() {
    for (arguments, message, hint) in [
        (&[][..], "URL", "see `hopwatch probe --help`"),
        (&["ftp://h"], "`ftp://h` cannot be tested", "`https://`"),
        (&["tcp://h"], "`tcp://h` has no port", "tcp://HOST:PORT"),
        (&["https://user:s3cret@h"], "holds credentials", "--bearer-env"),
        (&["h", "-n", "0"], "`--tries`", ""),
        (&["h", "--timeout", "soon"], "`soon` is no duration", "`1m30s`"),
        (&["h", "--max", "tsl=1s"], "`tsl` is no phase of a try", "did you mean `tls`?"),
        (&["h", "--max", "tls=soon"], "`soon` is no duration", "`500ms`"),
        (&["h", "-4", "-6"], "not with another option", ""),
        (&["h", "--method", "G ET"], "`G ET` is no method", "`HEAD`"),
        (&["h", "--bearer-env", "NOT_SET_ANYWHERE"], "the variable `NOT_SET_ANYWHERE` is not set", "export it"),
        (&["h", "--bearer-env", "EMPTY"], "the variable `EMPTY` is not set", ""),
        (&["h", "--dep", "docs=h"], "has no kind", "KIND/NAME=HOST[:PORT]"),
        (&["h", "--config", "/nonexistent.toml"], "cannot read `/nonexistent.toml`", ""),
        (&["h", "--ca", "/nonexistent.pem"], "cannot read certificates from `/nonexistent.pem`", "`--ca`"),
        (&["h", "--json=/nonexistent/probe.json"], "cannot write the report to", ""),
        (&["h", "--schema"], "not with another option", ""),
        (&["h", "--tmeout", "1s"], "unknown option `--tmeout`", "did you mean `--timeout`?"),
    ] {
        let (said, hinted) = refused(arguments);
        assert!(said.contains(message), "{arguments:?}: {said}");
        assert!(hinted.contains(hint), "{arguments:?}: {hinted}");
        assert!(!said.contains("s3cret") && !hinted.contains("s3cret"));
    }
}

#[test]
fn a_file_of_authorities_that_the_environment_names_and_is_not_there_is_told() {
    let told = ended(probe(&["h"]).env("SSL_CERT_FILE", "/nonexistent.pem"));
    assert_eq!(told.code, 2);
    assert!(told.err.contains("cannot read certificates from `/nonexistent.pem`"), "{}", told.err);
    assert!(told.err.contains("hint: files are named by SSL_CERT_FILE"), "{}", told.err);
}

#[test]
fn the_schema_is_the_probes() {
    let told = ended(&mut probe(&["--schema"]));
    let schema: serde_json::Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!((told.code, &schema["title"]), (0, &serde_json::json!("ProbeReport")));
}
