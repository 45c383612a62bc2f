use super::*;
use proptest::prelude::*;
use std::time::Duration;

const FULL: &str = r#"
[agent]
admin = "0.0.0.0:9470"
drain = 30

[gateway]
listen = ["127.0.0.1:9000", "[::1]:9000"]
allow = ["10.1.2.3/8", "192.168.0.7"]
upstream_failure = "502"
max_header_size = "1MiB"
ca = "certs/ca.pem"

[run]
name = "support agent"
deadline = "1m30s"
kill = true
skip = ["git", "make"]
agent = "auto"

[[dependency]]
name = "docs"
kind = "retrieval"
match = ["127.0.0.1:40001", "Docs.Internal"]

[[route]]
prefix = "/docs/"
upstream = "http://127.0.0.1:40001"
dependency = "docs"

[[route]]
prefix = "/"
upstream = "https://Api.Example.com/v1/"
dependency = "openai"
kind = "llm"
host = "keep"

[[tcp]]
listen = "127.0.0.1:15432"
upstream = "DB.internal:5432"
dependency = "pgvector"
kind = "retrieval"
"#;

fn parse(text: &str) -> Result<Settings, ConfigError> {
    Settings::parse(text, Path::new("hopwatch.toml"))
}

/// The mistakes of a text, each with its hint.
fn told(text: &str) -> Vec<(String, String)> {
    mistakes(parse(text).unwrap_err())
}

fn mistakes(error: ConfigError) -> Vec<(String, String)> {
    let ConfigError::Invalid { faults, more: 0 } = error else { panic!("{error}") };
    faults.into_iter().map(|fault| (fault.to_string(), fault.hint.unwrap_or_default())).collect()
}

/// The only mistake of a text.
fn refused(text: &str) -> (String, String) {
    let mut told = told(text);
    assert_eq!(told.len(), 1, "{told:?}");
    told.remove(0)
}

fn warned(text: &str) -> Vec<String> {
    parse(text).unwrap().warnings.iter().map(ToString::to_string).collect()
}

/// Settings without a file.
fn beside(environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Settings, ConfigError> {
    Settings::read(&sources(environment, flags))
}

fn sources(environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Sources {
    Sources {
        file: None,
        environment: environment.iter().map(|(name, value)| (name.into(), value.into())).collect(),
        flags: flags.iter().map(|(key, value)| Flag { option: "--set", key: (*key).into(), value: (*value).into() }).collect(),
    }
}

#[test]
fn a_full_configuration_is_read() {
    let settings = Settings::parse(FULL, Path::new("/etc/hopwatch/hopwatch.toml")).unwrap();
    assert_eq!(settings.agent.admin.value, ([0, 0, 0, 0], 9470).into());
    assert_eq!(*settings.agent.drain, Duration::from_secs(30));
    let gateway = &settings.gateway;
    assert_eq!(gateway.listen.len(), 2);
    assert_eq!(gateway.allow.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.0.0.0/8", "192.168.0.7/32"]);
    assert_eq!(*gateway.upstream_failure, UpstreamFailure::BadGateway);
    assert_eq!(gateway.max_header_size.0, 1 << 20);
    assert_eq!(*gateway.ca, [PathBuf::from("/etc/hopwatch/certs/ca.pem")], "relative to the file");
    assert_eq!(*settings.run.deadline, Some(Duration::from_secs(90)));
    assert_eq!(*settings.run.skip, [Program("git".into()), Program("make".into())]);
    assert_eq!(*settings.run.agent, Some(RunAgent::Auto));
    let rule = |host: &str, port| Rule { kind: Some(Kind::Retrieval), name: "docs".into(), host: host.into(), port };
    assert_eq!(settings.rules(), [rule("127.0.0.1", Some(40001)), rule("docs.internal", None)]);
    let [docs, rest] = &settings.routes[..] else { panic!() };
    assert_eq!((&*docs.prefix.0, *docs.host), ("/docs", HostHeader::Upstream));
    assert_eq!((&*rest.prefix.0, *rest.host), ("", HostHeader::Keep));
    assert_eq!(rest.upstream.base.path(), "/v1");
    assert_eq!(rest.upstream.target(), Target { host: "api.example.com".into(), port: 443 });
    assert_eq!(settings.tcp_routes[0].upstream.value, Target { host: "db.internal".into(), port: 5432 });
    assert_eq!(settings.kind_of("docs"), Some(Kind::Retrieval));
    assert_eq!(settings.kind_of("pgvector"), Some(Kind::Retrieval));
    assert_eq!(settings.kind_of("nobody"), None);
    assert_eq!(settings.warnings, []);
}

#[test]
fn without_anything_the_defaults_hold() {
    let settings = beside(&[], &[]).unwrap();
    assert_eq!(*settings.agent.admin, ([127, 0, 0, 1], 9470).into());
    assert_eq!(*settings.gateway.listen, [([127, 0, 0, 1], 9471).into()]);
    assert_eq!(*settings.gateway.idle_timeout, Duration::from_secs(75));
    assert!(settings.gateway.block.iter().any(|network| network.contains(&std::net::IpAddr::from([169, 254, 169, 254]))));
    assert!(settings.gateway.http_proxy.is_none() && settings.run.agent.is_none() && !*settings.run.kill);
    assert_eq!((settings.gateway.listen.source, settings.warnings), (Source::Default, vec![]));
}

#[test]
fn a_flag_wins_over_the_environment_that_over_the_file_that_over_the_default() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hopwatch.toml");
    std::fs::write(&path, "[gateway]\nworkers = 2\nconnect_timeout = \"2s\"\nheader_timeout = 2\n").unwrap();
    let given = Sources {
        file: Some(path.clone()),
        ..sources(
            &[("HOPWATCH_CONNECT_TIMEOUT", "3s"), ("HOPWATCH_HEADER_TIMEOUT", "3s"), ("HOPWATCH_MAX_CLIENTS", "")],
            &[("gateway.header_timeout", "9s"), ("gateway.header_timeout", "4s")],
        )
    };
    let GatewaySettings { workers, connect_timeout, header_timeout, max_clients, .. } = Settings::read(&given).unwrap().gateway;
    assert_eq!((workers.value, workers.source.shown()), (2, format!("{}:2", path.display())));
    assert_eq!((connect_timeout.as_secs(), &*connect_timeout.source.shown()), (3, "environment HOPWATCH_CONNECT_TIMEOUT"));
    assert_eq!((header_timeout.as_secs(), &*header_timeout.source.shown()), (4, "flag --set"));
    assert_eq!((max_clients.value, &*max_clients.source.shown()), (10_000, "default"), "empty is as good as none");
}

#[test]
fn an_unknown_key_is_placed_and_answered_with_the_nearest_of_any_table() {
    for (text, message, hint) in [
        ("[run]\nname = \"x\"\n  dedline = \"10s\"\n", "3:3: unknown key `dedline`", "did you mean `deadline`?"),
        ("[[dependencies]]\nname = \"x\"\n", "1:3: unknown key `dependencies`", "did you mean `dependency`?"),
        ("[run]\nxyzzy = 1\n", "2:1: unknown key `xyzzy`", "keys here are `name`, `deadline`, `kill`, `skip`, `agent`"),
        ("[run]\nidle_timeout = \"9s\"\n", "2:1: unknown key `idle_timeout`", "it belongs under `[gateway]`"),
        ("[run]\nupstream = 1\n", "2:1: unknown key `upstream`", "it belongs under `[[route]]` or `[[tcp]]`"),
        (
            "[agent]\nidle_timout = 9\n",
            "2:1: unknown key `idle_timout`",
            "did you mean `idle_timeout`? It belongs under `[gateway]`",
        ),
        ("idle_timeout = 9\n", "1:1: unknown key `idle_timeout`", "write `idle_timeout` under `[gateway]`"),
        ("\"gateway.workers\" = 9\n", "1:1: unknown key `gateway.workers`", "write `workers` under `[gateway]`"),
        (
            "[xyzzy]\n",
            "1:2: unknown key `xyzzy`",
            "tables are `[agent]`, `[gateway]`, `[run]`, `[[dependency]]`, `[[route]]`, `[[tcp]]`",
        ),
        ("[dependency]\n", "1:1: `dependency` is a list of tables", "write `[[dependency]]` above each of them"),
        ("[[run]]\n", "1:1: `run` is one table", "write `[run]`, and its keys below"),
    ] {
        assert_eq!(refused(text), (format!("hopwatch.toml:{message}"), hint.to_owned()), "{text}");
    }
}

#[test]
fn a_wrong_value_is_placed_and_told() {
    for (text, message, hint) in [
        (
            "[[dependency]]\nname = \"docs\"\nkind = \"retreival\"\n",
            "3:8: `retreival` is no kind of dependency",
            "did you mean `retrieval`?",
        ),
        ("[run]\ndeadline = \"soon\"\n", "2:12: `soon` is no duration: a number is missing", "write it like `10s`"),
        ("[[dependency]]\nname = \"d\"\nmatch = [\"ok\", \"http://d\"]\n", "3:16: `http://d` is a URL", ""),
        ("[run]\nkill = \"yes\"\n", "2:8: text in quotes cannot stand here", "write `true` or `false`"),
        (
            "[run]\nskip = [\"git\", \"/usr/bin/make\"]\n",
            "2:16: `/usr/bin/make` is a path; write the program's name alone: `make`",
            "",
        ),
        ("[gateway]\nworkers = 0\n", "2:11: `0` is out of range", "it may be `1` to `256`"),
        ("[gateway]\nworkers = 1.5\n", "2:11: `1.5` is no whole number", "write a whole number"),
        ("[gateway]\nmax_clients = -1\n", "2:15: `-1` is no whole number", ""),
        ("[gateway]\nmax_header_size = \"4KiB\"\n", "2:19: `4KiB` is out of range", "it may be `8KiB` to `16MiB`"),
        ("[gateway]\nmax_header_size = \"64Kb\"\n", "2:19: `64Kb` is no size: its unit is not known", "write it like `64KiB`"),
        ("[gateway]\nlisten = \"localhost\"\n", "2:10: `localhost` is no address", "write [ADDRESS:]PORT"),
        ("[gateway]\nallow = [\"10.0.0.0/33\"]\n", "2:10: `10.0.0.0/33` is no network", "write a network, like `10.0.0.0/8`"),
        ("[gateway]\nforward = [true]\n", "2:11: a list cannot stand here", "write `true` or `false`"),
        ("[gateway]\nupstream_failure = \"reset\"\n", "2:20: `reset` is not known here", "write `close` or `502`"),
        (
            "[gateway]\nhttps_proxy = \"socks5://me:pw@h:1\"\n",
            "2:15: `https_proxy` names a SOCKS proxy, which is not spoken",
            "write http://[user:password@]host:port",
        ),
        ("[gateway.listen]\n", "2:", ""),
        ("[run]\nname = 2026-01-01\n", "2:8: a date cannot stand here", "write text in quotes"),
    ] {
        let (said, hinted) = refused(text);
        let message = if text.starts_with("[gateway.listen]") { "1:1: a table cannot stand here" } else { message };
        assert!(said.starts_with(&format!("hopwatch.toml:{message}")), "{text}: {said}");
        assert!(hinted.starts_with(hint), "{text}: {hinted}");
    }
}

#[test]
fn every_mistake_of_a_file_is_told_at_once_in_its_order() {
    let said: Vec<String> = told(
        "[gateway]\nworkers = 0\nlisten = [\"x\", \"127.0.0.1:1\", \"y\"]\n[[route]]\nprefix = \"docs\"\nupstrem = \"http://h\"\n[run]\nkill = 1\n",
    )
    .into_iter()
    .map(|(said, _)| said.trim_start_matches("hopwatch.toml:").to_owned())
    .collect();
    assert_eq!(
        said,
        [
            "2:11: `0` is out of range",
            "3:11: `x` is no address",
            "3:31: `y` is no address",
            "4:1: `dependency` is missing",
            "5:10: prefix `docs` does not start with `/`",
            "6:1: unknown key `upstrem`",
            "8:8: a number cannot stand here",
        ]
    );
}

#[test]
fn what_is_no_toml_is_told_once_a_line() {
    let said = told("[run]\nname = x y\n\nkill = true true\n[gateway]\nworkers = 0\n");
    let places: Vec<_> = said.iter().map(|(said, _)| said.split(": ").next().unwrap()).collect();
    assert_eq!(places, ["hopwatch.toml:2:8", "hopwatch.toml:4:8"], "{said:?}");
    assert!(told("name = 1\nname = 2\n")[0].0.starts_with("hopwatch.toml:2:1: duplicate key"));
}

#[test]
fn mistakes_beside_the_file_name_the_variable_or_the_key() {
    let said = mistakes(
        beside(
            &[("HOPWATCH_GATEWAY_LISTEN", "here"), ("HOPWATCH_DRAIN", "0"), ("HOPWATCH_GATEWAY_FORWARD", "maybe")],
            &[("gateway.workers", "many"), ("gateway.wrkers", "1"), ("listen", "1"), ("route.prefix", "/")],
        )
        .unwrap_err(),
    );
    let all: Vec<_> = said.iter().map(|(said, hint)| format!("{said} | {hint}")).collect();
    for (expected, hint) in [
        ("HOPWATCH_GATEWAY_LISTEN: `here` is no address", "write [ADDRESS:]PORT"),
        ("HOPWATCH_DRAIN: `0` is no duration: it must be above zero", "write it like"),
        ("HOPWATCH_GATEWAY_FORWARD: `maybe` is neither true nor false", "write `true` or `false`"),
        ("`--set`: gateway.workers: `many` is no whole number", "write a whole number"),
        ("`--set`: no setting is called `gateway.wrkers`", "did you mean `gateway.workers`?"),
        ("`--set`: no setting is called `listen`", "did you mean `gateway.listen`?"),
        ("`--set`: `route.prefix` has no place on the command line", "write it into the file"),
    ] {
        let found = said.iter().find(|(said, _)| said == expected).unwrap_or_else(|| panic!("{expected}: {all:#?}"));
        assert!(found.1.starts_with(hint), "{found:?}");
    }
    assert_eq!(said.len(), 7, "{all:#?}");
}

#[test]
fn a_mistake_that_something_stronger_hides_is_told_all_the_same() {
    let said = mistakes(beside(&[("HOPWATCH_DRAIN", "soon")], &[("agent.drain", "3s")]).unwrap_err());
    assert_eq!(said[0].0, "HOPWATCH_DRAIN: `soon` is no duration: a number is missing");
}

#[test]
fn proxies_are_taken_from_the_environment_as_clients_take_them() {
    let read = |environment: &[(&str, &str)]| {
        let settings = beside(environment, &[]).unwrap();
        let gateway = &settings.gateway;
        let text = |proxy: &Setting<Option<ProxyUrl>>| proxy.as_ref().map(|url| url.secret().to_owned()).unwrap_or_default();
        ([text(&gateway.http_proxy), text(&gateway.https_proxy), text(&gateway.all_proxy)], settings)
    };
    let (urls, settings) = read(&[("HTTP_PROXY", "http://upper:1"), ("http_proxy", "http://lower:1"), ("ALL_PROXY", "all:1")]);
    assert_eq!(urls, ["http://lower:1", "", "all:1"]);
    assert_eq!(settings.gateway.http_proxy.source.shown(), "environment http_proxy");
    assert_eq!(read(&[("https_proxy", ""), ("HTTPS_PROXY", "upper:1")]).0[1], "", "an empty one hides the other");
    assert_eq!(read(&[("HTTP_PROXY", "evil:1"), ("REQUEST_METHOD", "GET")]).0[0], "", "a client's header in CGI");
    let (_, settings) = read(&[("NO_PROXY", "localhost, .internal,,10.0.0.0/8")]);
    assert_eq!(*settings.gateway.no_proxy, ["localhost", ".internal", "10.0.0.0/8"]);
    // What is not ours keeps nothing from starting, and is refused where it would be used.
    let (urls, settings) = read(&[("all_proxy", "socks5://secret@h:1")]);
    assert_eq!(urls[2], "socks5://secret@h:1");
    let told: Vec<_> = settings.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["all_proxy: `all_proxy` names a SOCKS proxy, which is not spoken"]);
    assert_eq!(settings.gateway.proxy_variables()["all_proxy"], "socks5://secret@h:1");
    let unset = beside(&[("http_proxy", "http://h:1")], &[("gateway.http_proxy", "")]).unwrap();
    assert_eq!(*unset.gateway.http_proxy, None, "an empty flag unsets");
}

#[test]
fn a_variable_that_is_likely_misspelt_is_warned_of() {
    let warnings = |name: &str| beside(&[(name, "1")], &[]).unwrap().warnings;
    let [warning] = &warnings("HOPWATCH_GATEWAY_LISTN")[..] else { panic!() };
    assert_eq!(warning.to_string(), "HOPWATCH_GATEWAY_LISTN: no setting is read from this variable");
    assert_eq!(warning.hint.as_deref(), Some("did you mean `HOPWATCH_GATEWAY_LISTEN`?"));
    for name in [
        "HOPWATCH_CONFIG",
        "HOPWATCH_RUN_ID",
        "HOPWATCH_PORT_9470_TCP",
        "HOPWATCH_SERVICE_HOST",
        "HOPWATCH_GATEWAY_PORT",
        "LISTEN",
    ] {
        assert_eq!(warnings(name), [], "{name}");
    }
}

#[test]
fn a_route_names_a_known_dependency_or_a_new_one_with_its_kind() {
    let route = |rest: &str| {
        format!(
            "[[dependency]]\nname = \"docs\"\nmatch = \"d\"\n[[route]]\nprefix = \"/d\"\nupstream = \"http://h\"\ndependency = \"{rest}\n"
        )
    };
    assert!(parse(&route("docs\"")).is_ok());
    assert!(parse(&route("new\"\nkind = \"tool\"")).is_ok());
    let (message, hint) = refused(&route("doks\""));
    assert_eq!(message, "hopwatch.toml:7:14: no dependency is called `doks`");
    assert!(hint.starts_with("did you mean `docs`?"), "{hint}");
    // One that is written with a mistake of its own is no unknown one.
    let (message, _) = refused(&route("docs\"").replace("match = \"d\"", "kind = \"x\""));
    assert!(message.contains("`x` is no kind"), "{message}");
    let twice = |kind: &str| {
        let tcp = |port: u16, kind: &str| format!("[[tcp]]\nlisten = {port}\nupstream = \"h:1\"\ndependency = \"db\"\n{kind}\n");
        tcp(1, "kind = \"retrieval\"") + &tcp(2, kind)
    };
    assert!(parse(&twice("")).is_ok(), "its kind is known from elsewhere");
    assert_eq!(refused(&twice("kind = \"tool\"")).0, "hopwatch.toml:10:8: `db` is of the kind `retrieval` elsewhere");
}

#[test]
fn names_and_prefixes_stand_once() {
    assert!(refused("[[dependency]]\nname = \"a\"\n[[dependency]]\nname = \"a\"\n").0.contains(":4:8: `a` is named twice"));
    assert!(refused("[[dependency]]\nname = \" \"\n").0.contains("name is empty"));
    let route = |prefix: &str| {
        format!("[[route]]\nprefix = \"{prefix}\"\nupstream = \"http://h\"\ndependency = \"d\"\nkind = \"tool\"\n")
    };
    let (message, _) = refused(&(route("/a") + &route("/a/")));
    assert_eq!(message, "hopwatch.toml:7:10: two routes have the prefix `/a`; the other is at hopwatch.toml:2:10");
    assert!(parse(&(route("/a") + &route("/a/b") + &route("/"))).is_ok());
}

#[test]
fn upstreams_and_prefixes_that_cannot_be_are_told() {
    let route = |key: &str, value: &str| {
        let (prefix, upstream) = if key == "prefix" { (value, "http://h") } else { ("/a", value) };
        format!("[[route]]\nprefix = \"{prefix}\"\nupstream = \"{upstream}\"\ndependency = \"d\"\nkind = \"tool\"\n")
    };
    for (key, value, message) in [
        ("upstream", "127.0.0.1:8000", "upstream `127.0.0.1:8000` is no URL"),
        ("upstream", "ftp://h", "upstream `ftp://h` is no URL"),
        ("upstream", "http://", "upstream `http://` is no URL"),
        ("upstream", "http://h:0", "upstream `http://h:0` is no URL"),
        ("upstream", "http://h:99999", "upstream `http://h:99999` is no URL"),
        ("upstream", "https://user:secret@h", "upstream holds credentials, which are not sent"),
        ("upstream", "https://h/v1?key=secret", "upstream holds a query or a fragment"),
        ("prefix", "/a?b", "prefix `/a?b` is no plain path"),
        ("prefix", "/a/../b", "prefix `/a/../b` is no plain path"),
        ("prefix", "//a", "prefix `//a` is no plain path"),
    ] {
        let (said, _) = refused(&route(key, value));
        assert!(said.ends_with(message), "{value}: {said}");
    }
    for value in ["https://[::1]:8000/v1", "HTTP://h", "http://h:80/"] {
        assert!(parse(&route("upstream", value)).is_ok(), "{value}");
    }
}

#[test]
fn nobody_listens_where_another_does() {
    for (text, message) in [
        ("[agent]\nadmin = 9471\n", "2:9: `127.0.0.1:9471` is taken: it is the gateway"),
        ("[gateway]\nlisten = \"0.0.0.0:9470\"\nallow = \"::1\"\n", "2:10: `0.0.0.0:9470` is taken: it is the admin address"),
        (
            "[gateway]\nlisten = [\"[::]:1\", \"127.0.0.1:1\"]\nallow = \"::1\"\n",
            "2:10: `127.0.0.1:1` is taken: it is the gateway",
        ),
        (
            "[[tcp]]\nlisten = \"127.0.0.1:9471\"\nupstream = \"h:1\"\ndependency = \"d\"\nkind = \"tool\"\n",
            "2:10: `127.0.0.1:9471` is taken: it is the gateway",
        ),
    ] {
        let (said, hint) = refused(text);
        assert_eq!((said, hint.as_str()), (format!("hopwatch.toml:{message}"), "give it a port of its own"));
    }
    assert!(parse("[agent]\nadmin = 0\n[gateway]\nlisten = 0\n").is_ok(), "port 0 is another one each time");
    assert!(parse("[gateway]\nlisten = \"127.0.0.2:9470\"\n").is_ok());
}

#[test]
fn nothing_leads_back_to_the_agent_itself() {
    let route =
        |upstream: &str| format!("[[route]]\nprefix = \"/\"\nupstream = \"{upstream}\"\ndependency = \"d\"\nkind = \"tool\"\n");
    for (upstream, what) in [
        ("http://127.0.0.1:9471/x", "the gateway"),
        ("http://LOCALHOST:9471", "the gateway"),
        ("http://0.0.0.0:9470", "the admin address"),
        ("http://[::ffff:127.0.0.1]:9470", "the admin address"),
    ] {
        let (said, _) = refused(&route(upstream));
        assert!(said.ends_with(&format!("leads back to the agent itself: it is {what}")), "{upstream}: {said}");
    }
    assert!(parse(&route("http://10.0.0.1:9471")).is_ok());
    let open = "[gateway]\nlisten = \"0.0.0.0:9471\"\nallow = \"10.0.0.0/8\"\n".to_owned();
    assert!(parse(&(open.clone() + &route("http://10.0.0.1:9471"))).is_ok(), "another machine");
    assert!(parse(&(open + &route("http://127.0.0.1:9471"))).is_err());
    let proxy = "http://me:secret@127.0.0.1:9471";
    let message = "`127.0.0.1:9471` leads back to the agent itself: it is the gateway";
    let (said, _) = refused(&format!("[gateway]\nhttp_proxy = \"{proxy}\"\n"));
    assert_eq!(said, format!("hopwatch.toml:2:14: {message}"));
    // In a pod it is said to the programs that the agent stands beside, and to `hopwatch run` among them.
    let beside_it = beside(&[("HTTP_PROXY", proxy)], &[]).unwrap();
    assert_eq!(beside_it.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(), [format!("HTTP_PROXY: {message}")]);
    assert!(beside_it.gateway.http_proxy.is_some());
}

#[test]
fn a_certificate_and_its_key_come_together() {
    let (message, hint) = refused("[gateway]\ntls_key = \"k.pem\"\n");
    assert_eq!((&*message, &*hint), ("hopwatch.toml:2:11: a key needs its certificate", "add `gateway.tls_certificate`"));
    let (message, _) = refused("[gateway]\ntls_certificate = \"c.pem\"\n");
    assert_eq!(message, "hopwatch.toml:2:19: a certificate needs its key");
}

#[test]
fn what_is_hardly_meant_is_warned_of() {
    for (text, message) in [
        ("[gateway]\nallow = [\"0.0.0.0/0\"]\n", "2:9: `0.0.0.0/0` allows every address"),
        ("[gateway]\nlisten = \"0.0.0.0:1\"\n", "2:10: `0.0.0.0:1` can be reached from elsewhere, and only loopback is served"),
        ("[gateway]\nblock = []\n", "2:9: the metadata services of clouds can be reached through the gateway"),
        (
            "[gateway]\nidle_timeout = \"5s\"\n",
            "2:16: idle connections are closed after 5s, while Python's clients keep theirs 5s",
        ),
        ("[[dependency]]\nname = \"docs\"\n", "2:8: `docs` names nothing"),
        ("[run]\nkill = true\n", "2:8: nothing is killed without a deadline"),
        (
            "[[dependency]]\nname = \"a\"\nmatch = \"h:1\"\n[[dependency]]\nname = \"b\"\nmatch = [\"g\", \"H:1\"]\n",
            "6:9: `h:1` is `a` already, and the first one counts",
        ),
    ] {
        let warned = warned(text);
        assert!(warned.len() == 1 && warned[0].starts_with(&format!("hopwatch.toml:{message}")), "{warned:?}");
    }
}

#[test]
fn a_missing_file_says_which() {
    let missing = Sources { file: Some("/nonexistent/hopwatch.toml".into()), ..Sources::default() };
    assert_eq!(Settings::read(&missing).unwrap_err().to_string(), "cannot read `/nonexistent/hopwatch.toml`");
}

#[test]
fn credentials_of_a_proxy_are_in_no_text() {
    let settings = beside(&[("HTTPS_PROXY", "http://user:s3cr3t@proxy:3128/p?q")], &[]).unwrap();
    assert_eq!(settings.gateway.https_proxy.as_ref().unwrap().secret(), "http://user:s3cr3t@proxy:3128/p?q");
    let shown = show(&settings, [], 0);
    for text in [format!("{settings:?}"), text(&settings, &shown), serde_json::to_string(&shown).unwrap()] {
        assert!(!text.contains("s3cr3t") && !text.contains("user"), "{text}");
        assert!(text.contains("http://***@proxy:3128"), "{text}");
    }
    let said = sources(&[("HTTPS_PROXY", "http://user:s3cr3t@proxy")], &[("gateway.http_proxy", "http://user:s3cr3t@proxy")]);
    assert_eq!(format!("{said:?}"), r#"Sources { file: None, environment: ["HTTPS_PROXY"], flags: [--set gateway.http_proxy] }"#);
    for odd in ["http://user:s3/cr3t@proxy:1", "user:s3cr3t@proxy", "http://us@er:s3cr3t@proxy:1"] {
        let url = <ProxyUrl as value::Value>::of_text(odd).unwrap();
        assert!(url.to_string().starts_with("http://***@proxy"), "{url}");
    }
    for wrong in [
        "[gateway]\nhttp_proxy = \"ftp://user:s3cr3t@proxy\"\n",
        "[[dependency]]\nname = \"d\"\nmatch = \"http://user:s3cr3t@h\"\n",
        "[[tcp]]\nlisten = 1\nupstream = \"postgres://user:s3cr3t@h:5432\"\ndependency = \"d\"\nkind = \"tool\"\n",
    ] {
        let (said, hint) = refused(wrong);
        assert!(!said.contains("s3cr3t") && !hint.contains("s3cr3t"), "{said}");
    }
}

#[test]
fn every_key_has_a_default_or_an_example_that_is_read() {
    let mut variables = Vec::new();
    for key in keys::all() {
        assert!(key.default_line().is_some() || key.example_line().is_some(), "{}", key.path());
        assert!(key.about.ends_with('.') && !key.about.contains('\n'), "{}: {}", key.path(), key.about);
        if let Some(ours) = key.variables.iter().find(|name| name.starts_with(keys::PREFIX)) {
            assert!(!variables.contains(ours), "{ours} sets two keys");
            variables.push(ours);
        }
    }
    assert!(variables.len() > 15);
}

#[test]
fn the_commented_file_says_the_defaults() {
    let uncommented: String = commented_file()
        .lines()
        .map(|line| line.strip_prefix('#').filter(|rest| !rest.is_empty() && !rest.starts_with(' ')).unwrap_or(line))
        .map(|line| format!("{line}\n"))
        .collect();
    let said = parse(&uncommented).unwrap_or_else(|error| panic!("{error}\n{uncommented}"));
    let defaults = beside(&[], &[]).unwrap();
    assert_eq!(said.agent.keep_for.value, defaults.agent.keep_for.value);
    assert!(matches!(said.gateway.block.source, Source::File { .. }));
    let (said, defaults) = (show(&said, [], 0), show(&defaults, [], 0));
    for (said, default) in said.keys.iter().zip(&defaults.keys) {
        let unset = default.value.is_null() || default.value.as_array().is_some_and(Vec::is_empty);
        assert!(unset || said.value == default.value, "{}: {} is not {}", said.key, said.value, default.value);
    }
    assert_eq!((said.dependencies.len(), said.routes.len(), said.tcp.len()), (1, 1, 1));
    // As it is, it changes nothing.
    assert_eq!(show(&parse(&commented_file()).unwrap(), [], 0).keys, defaults.keys);
}

#[test]
fn the_settings_in_force_are_shown_with_their_sources() {
    let shown =
        show(&parse(FULL).unwrap(), [ShownRoute { source: "built in".into(), ..shown_route() }], 1_700_000_000_000_000_000);
    let key = |name: &str| shown.keys.iter().find(|key| key.key == name).unwrap();
    assert_eq!((key("agent.drain").value.as_f64(), key("agent.drain").unit.as_deref()), (Some(30_000.0), Some("ms")));
    assert_eq!(key("agent.drain").source, "hopwatch.toml:4");
    assert_eq!(
        (key("gateway.max_header_size").value.as_u64(), key("gateway.workers").source.as_str()),
        (Some(1 << 20), "default")
    );
    assert!(key("gateway.tls_key").value.is_null());
    assert_eq!(shown.generated_at, "2023-11-14T22:13:20.000Z");
    let routes: Vec<_> =
        shown.routes.iter().map(|route| (&*route.prefix, &*route.upstream, route.kind, &*route.source)).collect();
    assert_eq!(routes[0], ("/docs", "http://127.0.0.1:40001", Some(Kind::Retrieval), "hopwatch.toml:26"));
    assert_eq!(routes[1], ("/", "https://Api.Example.com/v1", Some(Kind::Llm), "hopwatch.toml:31"));
    assert_eq!(routes[2].3, "built in");
    assert_eq!(shown.tcp[0].upstream, "db.internal:5432");
    let text = text(&parse(FULL).unwrap(), &shown);
    let line = |start: &str| text.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{start}: {text}"));
    assert!(line("gateway.listen").contains("  127.0.0.1:9000, [::1]:9000  "), "{text}");
    assert!(line("agent.drain").ends_with("  hopwatch.toml:4") && line("agent.drain").contains("  30s  "), "{text}");
    assert!(line("route").contains("retrieval/docs") && line("route").contains("/docs -> http://127.0.0.1:40001"), "{text}");
    let schema = serde_json::to_value(schema()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    assert!(validator.is_valid(&serde_json::to_value(&shown).unwrap()));
}

fn shown_route() -> ShownRoute {
    ShownRoute {
        prefix: "/openai".into(),
        upstream: "https://api.openai.com".into(),
        dependency: "openai".into(),
        kind: Some(Kind::Llm),
        host: "upstream".into(),
        source: String::new(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_does_harm(text in "\\PC{0,200}") {
        drop(parse(&text));
    }

    #[test]
    fn no_slip_in_a_configuration_does_harm(at in 0..FULL.len(), length in 0..20_usize, put in "[\\[\\]\"=,.a-z0-9\n]{0,8}") {
        let mut text = FULL.as_bytes().to_vec();
        text.splice(at..(at + length).min(FULL.len()), put.bytes());
        if let Err(ConfigError::Invalid { faults, .. }) = parse(&String::from_utf8(text).unwrap()) {
            prop_assert!(!faults.is_empty());
        }
    }
}
