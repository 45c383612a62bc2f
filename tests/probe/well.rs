use crate::peer::Peer;
use crate::probing::{ended, evidence, finding, once, probe, report, target};
use crate::support::script::Script;
use crate::support::server::{Router, Server};
use serde_json::{Value, json};
use std::fs;
use std::io::Read;

fn answering(status: u16) -> Server {
    Router::new().route("/", move |_| Script::answer(status, &[("x-secret", "in-a-header")], &json!("in a body"))).start()
}

fn max_ms(target: &Value, phase: &str) -> f64 {
    target["phases"][phase]["max_ms"].as_f64().unwrap_or_else(|| panic!("no {phase}: {target:#}"))
}

#[test]
fn each_try_is_a_connection_of_its_own_told_phase_by_phase() {
    let server = Router::new().route("/v1", |_| Script::json(&json!("ready")).after(200)).start();
    let target = target(&mut probe(&["-n", "4", &server.url("/v1")]));
    assert_eq!((&target["tries"], &target["answered"]), (&json!(4), &json!(4)));
    assert_eq!((server.requests().len(), server.connections()), (4, 4));
    assert_eq!((&target["outcomes"], &target["statuses"]), (&json!({"ok": 4}), &json!({"200": 4})));
    assert_eq!(target["address"], format!("127.0.0.1:{}", server.port()));
    for absent in ["dns", "proxy", "tls"] {
        assert_eq!(target["phases"][absent], Value::Null, "{absent}");
    }
    assert!(max_ms(&target, "wait") >= 200.0);
    for present in ["connect", "send", "stream"] {
        assert!(max_ms(&target, present) > 0.0, "{present}");
    }
    assert!(target["total"]["p50_ms"].as_f64() <= target["total"]["max_ms"].as_f64());
    for (name, value) in
        [("failed_phase", Value::Null), ("error", Value::Null), ("via_proxy", Value::Null), ("findings", json!([]))]
    {
        assert_eq!(target[name], value, "{name}");
    }
}

#[test]
fn a_name_is_resolved_and_the_text_is_a_table_of_phases() {
    let server = answering(200);
    let told = ended(&mut probe(&["-4", &format!("http://localhost:{}/?key=s3cret", server.port())]));
    assert_eq!((told.code, told.err.as_str()), (0, ""));
    let mut lines = told.out.lines();
    assert_eq!(lines.next(), Some(&*format!("probe    http://localhost:{}/   ok   3 of 3 answered, status 200", server.port())));
    assert_eq!(lines.next(), Some(&*format!("way      127.0.0.1:{}", server.port())));
    let rows: Vec<&str> = lines.map(|line| line.split_whitespace().next().unwrap()).collect();
    assert_eq!(rows, ["phase", "dns", "connect", "send", "wait", "stream", "total"]);
    assert!(!told.out.contains("s3cret") && !told.out.contains("in-a-header"), "{}", told.out);
}

#[test]
fn what_an_endpoint_answers_is_told_and_no_fault_of_the_way_but_its_own_failures_are_no_success() {
    for (status, outcome, code, note) in [
        (204, "ok", 0, None),
        (301, "ok", 0, Some("points elsewhere")),
        (401, "client_error", 0, Some("wants credentials")),
        (403, "client_error", 0, Some("does not let this request in")),
        (404, "client_error", 0, Some("nothing on this path")),
        (405, "client_error", 0, Some("--method")),
        (429, "rate_limited", 0, Some("limits the rate")),
        (503, "server_error", 1, Some("fails itself")),
    ] {
        let server = answering(status);
        let target = target(&mut once(&server.url("/")));
        assert_eq!(target["ok"], code == 0);
        assert_eq!(target["outcomes"], json!({outcome: 1}));
        assert_eq!((&target["failed_phase"], &target["findings"]), (&Value::Null, &json!([])));
        let notes = target["notes"].as_array().unwrap();
        match note {
            Some(note) => assert!(notes[0].as_str().is_some_and(|text| text.contains(note)), "{notes:?}"),
            None => assert_eq!(notes.len(), 0, "{notes:?}"),
        }
    }
}

#[test]
fn a_try_beyond_its_limit_is_exit_1() {
    let server = Router::new().route("/", |_| Script::json(&json!("ready")).after(300)).start();
    let url = server.url("/");
    let slow = target(probe(&["-n", "2", &url]).args(["--max", "100ms"]));
    let [exceeded] = slow["exceeded"].as_array().unwrap().as_slice() else { panic!("{slow:#}") };
    assert_eq!((&exceeded["limit"], &exceeded["allowed_ms"]), (&json!("total"), &json!(100.0)));
    assert!(exceeded["max_ms"].as_f64() >= Some(300.0) && slow["error"] == Value::Null);
    let by_phase = target(once(&url).args(["--max", "connect=20s,wait=100ms", "--max", "total=1m"]));
    assert_eq!((by_phase["exceeded"].as_array().unwrap().len(), &by_phase["exceeded"][0]["limit"]), (1, &json!("wait")));
    assert_eq!(target(once(&url).args(["--max", "total=1m,tls=1ms"]))["exceeded"], json!([]), "what is not there is not slow");
    let told = ended(once(&url).args(["--max", "wait=100ms"]));
    assert!(told.out.contains("\nlimit    wait took ") && told.out.contains(" at most, 0.1 s is allowed\n"), "{}", told.out);
}

#[test]
fn a_slow_first_byte_is_told_from_a_slow_way() {
    let server = Router::new().route("/", |_| Script::json(&json!("ready")).after(1_100)).start();
    let target = target(&mut once(&server.url("/")));
    let (cause, sentence, remedy) = finding(&target);
    assert_eq!((cause, &target["ok"]), ("slow_dependency", &json!(true)));
    assert!(sentence.contains("to its first byte; the way there took"), "{sentence}");
    assert!(remedy.starts_with("Look at"), "{remedy}");
    assert!(evidence(&target, "wait_p50").as_f64() >= Some(1_100.0));
}

#[test]
fn a_port_is_connected_to_and_nothing_is_said() {
    let peer = Peer::new(|mut stream| assert_eq!(stream.read(&mut [0; 16]).unwrap(), 0, "nothing is said"));
    let target = target(&mut once(&format!("tcp://{}", peer.address())));
    assert_eq!((&target["ok"], &target["outcomes"], &target["statuses"]), (&json!(true), &json!({"ok": 1}), &json!({})));
    assert_eq!((&target["phases"]["send"], &target["phases"]["wait"]), (&Value::Null, &Value::Null));
}

#[test]
fn a_database_is_asked_whether_it_speaks_tls_and_no_more() {
    for answer in [b"S", b"N"] {
        let peer = Peer::new(move |mut stream| {
            let mut asked = [0; 8];
            stream.read_exact(&mut asked).unwrap();
            assert_eq!(asked, [0, 0, 0, 8, 4, 210, 22, 47]);
            std::io::Write::write_all(&mut stream, answer).unwrap();
            assert_eq!(stream.read(&mut [0; 16]).unwrap(), 0, "nobody logs in");
        });
        let target = target(&mut once(&format!("postgres://user:s3cret@{}/app", peer.address())));
        assert_eq!((&target["ok"], &target["url"]), (&json!(true), &json!(format!("postgres://{}", peer.address()))));
        max_ms(&target, "wait");
    }
}

#[test]
fn dependencies_are_named_by_option_and_by_file() {
    let server = answering(200);
    let place = format!("127.0.0.1:{}", server.port());
    let by_option = target(once(&server.url("/")).args(["--dep", &format!("retrieval/docs={place}")]));
    assert_eq!((&by_option["kind"], &by_option["dependency"]), (&json!("retrieval"), &json!("docs")));
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("names.toml");
    fs::write(&config, format!("[[dependency]]\nname = \"docs\"\nkind = \"tool\"\nmatch = [\"{place}\"]\n")).unwrap();
    let by_file = target(once(&server.url("/")).arg("-c").arg(&config));
    assert_eq!((&by_file["kind"], &by_file["dependency"]), (&json!("tool"), &json!("docs")));
    let told = ended(once(&server.url("/")).arg("-c").arg(&config));
    assert!(told.out.contains("   ok   tool/docs   1 of 1 answered"), "{}", told.out);
}

#[test]
fn a_token_is_sent_from_a_variable_and_seen_nowhere() {
    let server = answering(200);
    let mut command = once(&format!("{}?key=s3cret", server.url("/")));
    command.env("TOKEN", "t0ken").args(["--bearer-env", "TOKEN", "--method", "head"]);
    let target = target(&mut command);
    assert!(!target.to_string().contains("t0ken") && !target.to_string().contains("s3cret"), "{target:#}");
    let [request] = &server.requests()[..] else { panic!() };
    let text = String::from_utf8_lossy(&request.bytes).to_lowercase();
    assert!(text.starts_with("head /?key=s3cret http/1.1\r\n"), "{text}");
    assert!(text.contains("\r\nauthorization: bearer t0ken\r\n"), "{text}");
    assert!(text.contains(&format!("\r\nhost: 127.0.0.1:{}\r\n", server.port())), "{text}");
}

#[test]
fn a_report_in_a_file_leaves_the_text() {
    let server = answering(200);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("probe.json");
    let told = ended(once(&server.url("/")).arg(format!("--json={}", file.display())));
    assert!(told.code == 0 && told.out.starts_with("probe    "), "{}{}", told.out, told.err);
    let written: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!((&written["schema"], &written["ok"]), (&json!("hopwatch.probe/1"), &json!(true)));
    let printed = ended(once(&server.url("/")).arg("--json=-"));
    assert!(serde_json::from_str::<Value>(&printed.out).is_ok(), "{}", printed.out);
}

#[test]
fn all_are_tested_although_one_fails() {
    let (good, bad) = (answering(200), answering(500));
    let report = report(&mut probe(&["-n", "1", &bad.url("/"), &good.url("/")]));
    let oks: Vec<&Value> = report["targets"].as_array().unwrap().iter().map(|target| &target["ok"]).collect();
    assert_eq!(oks, [false, true]);
}
