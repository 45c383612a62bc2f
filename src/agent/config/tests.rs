use super::*;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("hopwatch.toml"))
}

fn refused(text: &str) -> (String, String) {
    let error = parse(text).unwrap_err();
    (error.to_string(), error.hint().unwrap_or_default().to_owned())
}

#[test]
fn a_full_configuration_is_read() {
    let config = parse(
        r#"
[run]
name = "support agent"
deadline = "1m30s"
kill = true
skip = ["git", "make"]

[[dependency]]
name = "docs"
kind = "retrieval"
match = ["127.0.0.1:40001", "Docs.Internal"]

[[route]]
prefix = "/docs"
upstream = "http://127.0.0.1:40001"
dependency = "docs"

[[tcp]]
listen = "127.0.0.1:15432"
upstream = "db.internal:5432"
dependency = "pgvector"
kind = "retrieval"
"#,
    )
    .unwrap();
    assert_eq!(config.run.deadline, Some(Duration::from_secs(90)));
    assert_eq!(config.run.skip.iter().map(|name| name.get_ref().as_str()).collect::<Vec<_>>(), ["git", "make"]);
    let rules = config.rules();
    assert_eq!(
        rules,
        [
            Rule { kind: Some(Kind::Retrieval), name: "docs".into(), host: "127.0.0.1".into(), port: Some(40001) },
            Rule { kind: Some(Kind::Retrieval), name: "docs".into(), host: "docs.internal".into(), port: None },
        ]
    );
    assert_eq!((config.routes.len(), config.tcp_routes.len()), (1, 1));
}

#[test]
fn an_unknown_key_is_placed_and_answered_with_the_nearest() {
    let (message, hint) = refused("[run]\nname = \"x\"\n  dedline = \"10s\"\n");
    assert_eq!(message, "hopwatch.toml:3:3: unknown key `dedline`");
    assert_eq!(hint, "did you mean `deadline`?");
    let (message, hint) = refused("[[dependencies]]\nname = \"x\"\n");
    assert_eq!(message, "hopwatch.toml:1:3: unknown key `dependencies`");
    assert_eq!(hint, "did you mean `dependency`?");
    let (_, hint) = refused("[run]\nxyzzy = 1\n");
    assert_eq!(hint, "keys here are `name`, `deadline`, `kill`, `skip`");
}

#[test]
fn a_wrong_value_is_placed_and_told() {
    let (message, hint) = refused("[[dependency]]\nname = \"docs\"\nkind = \"retreival\"\n");
    assert_eq!(message, "hopwatch.toml:3:8: `retreival` is no kind of dependency");
    assert!(hint.starts_with("did you mean `retrieval`?"), "{hint}");
    let (message, hint) = refused("[run]\ndeadline = \"soon\"\n");
    assert_eq!(message, "hopwatch.toml:2:12: `soon` is no duration: a number is missing");
    assert_eq!(hint, duration::DurationError::HINT);
    let (message, _) = refused("[[dependency]]\nname = \"docs\"\nmatch = [\"ok\", \"http://docs\"]\n");
    assert!(message.starts_with("hopwatch.toml:3:16: "), "{message}");
    let (message, _) = refused("[run]\nkill = \"yes\"\n");
    assert!(message.starts_with("hopwatch.toml:2:8: invalid type"), "{message}");
    let (message, _) = refused("[run]\nskip = [\"git\", \"/usr/bin/make\"]\n");
    assert_eq!(message, "hopwatch.toml:2:16: `/usr/bin/make` is a path; write the program's name alone: `make`");
    let (message, _) = refused("[run\n");
    assert!(message.starts_with("hopwatch.toml:1:5: "), "{message}");
}

#[test]
fn a_route_names_a_known_dependency_or_a_new_one_with_its_kind() {
    let route = |rest: &str| {
        format!("[[dependency]]\nname = \"docs\"\n[[route]]\nprefix = \"/d\"\nupstream = \"http://h\"\ndependency = \"{rest}\n")
    };
    assert!(parse(&route("docs\"")).is_ok());
    assert!(parse(&route("new\"\nkind = \"tool\"")).is_ok());
    let (message, hint) = refused(&route("doks\""));
    assert_eq!(message, "hopwatch.toml:6:14: no dependency is called `doks`");
    assert!(hint.starts_with("did you mean `docs`?"), "{hint}");
}

#[test]
fn a_name_that_stands_twice_or_is_empty_is_refused() {
    assert!(refused("[[dependency]]\nname = \"a\"\n[[dependency]]\nname = \"a\"\n").0.contains(":4:8: `a` is named twice"));
    assert!(refused("[[dependency]]\nname = \" \"\n").0.contains("name is empty"));
}

#[test]
fn a_missing_file_says_which() {
    let error = Config::read(Path::new("/nonexistent/hopwatch.toml")).unwrap_err();
    assert_eq!(error.to_string(), "cannot read `/nonexistent/hopwatch.toml`");
}

#[test]
fn columns_count_characters() {
    assert_eq!(position("a\nüx", 4), (2, 2));
    assert_eq!(position("", 9), (1, 1));
}
