//! Parts of the report, the page for browsers and the text for others, and for whom.

use serde_json::{Value, json};

use hopwatch::model::{Kind, Outcome, Phase};

use crate::ask::wait_for;
use crate::client::{Client, curled};
use crate::runs::{Hop, goes_on, hand_over, run};
use crate::sidecar::Sidecar;

fn late(name: &str) -> hopwatch::model::Run {
    let hop = Hop { outcome: Some(Outcome::Timeout), ..Hop::new(Kind::Retrieval, "docs", 10, &[(Phase::Wait, 4_000)]) };
    run(name, &[hop], 4_100, Some(4_000))
}

#[test]
fn a_report_is_told_in_brief_or_of_one_run() {
    let sidecar = Sidecar::start("");
    for name in ["one", "two"] {
        hand_over(&sidecar.admin, name, late(name));
    }
    let whole = sidecar.report();
    let brief = sidecar.json("/api/report?hops=0");
    let strip = |mut report: Value| {
        for run in report["runs"].as_array_mut().unwrap() {
            (run["hops"], run["critical_path"]) = (json!([]), json!([]));
        }
        report["generated_at"].take();
        report
    };
    assert!(whole["runs"].as_array().unwrap().iter().all(|run| run["hops"].as_array().unwrap().len() == 1));
    assert_eq!(strip(whole.clone()), strip(brief.clone()));
    assert_eq!(brief["runs"], strip(brief.clone())["runs"]);
    for run in whole["runs"].as_array().unwrap() {
        let alone = sidecar.json(&format!("/api/report?x=1&run={}", run["id"].as_str().unwrap()));
        assert_eq!(alone["runs"], json!([run]));
        assert_eq!(alone["dependencies"], whole["dependencies"]);
    }
    let (status, why) = sidecar.asked("/api/report?run=0000000000000000");
    assert!(status == 404 && why.contains("agent.keep_runs"), "{why}");
    // The last minutes of a dependency: both calls.
    let trend = &whole["dependencies"][0]["trend"];
    let sum = |key: &str| trend.as_array().unwrap().iter().map(|step| step[key].as_u64().unwrap()).sum::<u64>();
    assert_eq!((sum("calls"), sum("failed")), (2, 2), "{trend}");
    let waited: f64 = trend.as_array().unwrap().iter().map(|step| step["phases"]["wait"].as_f64().unwrap()).sum();
    assert_eq!(waited, 8_000.0);
}

#[test]
fn a_run_that_goes_on_is_told_by_the_id_that_it_ends_with() {
    let sidecar = Sidecar::start("");
    let open = Hop { outcome: None, ..Hop::new(Kind::Llm, "openai", 500, &[(Phase::Wait, 100)]) };
    let going_on = goes_on(&sidecar.admin, "job", "job", &[Hop::new(Kind::Retrieval, "docs", 10, &[(Phase::Wait, 400)]), open]);
    let report = sidecar.report();
    let [going] = &**report["runs"].as_array().unwrap() else { panic!("one run: {report:#}") };
    assert_eq!((&going["open"], &going["name"]), (&true.into(), &"job".into()));
    let hops = going["hops"].as_array().unwrap();
    assert_eq!(hops.iter().map(|hop| hop["open"].as_bool().unwrap()).collect::<Vec<_>>(), [false, true], "{going:#}");
    assert!(going["duration_ms"].as_f64().unwrap() >= 60_000.0);
    let blamed: f64 = going["blame"].as_array().unwrap().iter().map(|row| row["ms"].as_f64().unwrap()).sum();
    assert!((blamed - going["duration_ms"].as_f64().unwrap()).abs() < 0.1, "{going:#}");
    drop(going_on);
    hand_over(&sidecar.admin, "job", late("job"));
    let after = sidecar.report();
    let [ended] = &**after["runs"].as_array().unwrap() else { panic!("one run: {after:#}") };
    assert_eq!((&ended["open"], &ended["id"]), (&false.into(), &going["id"]));
}

#[test]
fn browsers_get_a_page_and_others_the_text_they_always_got() {
    let sidecar = Sidecar::start("");
    let mut client = Client::to(&sidecar.admin);
    // As Chromium and Firefox ask.
    let asked = client.get_with("/", "accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n");
    // The host that this client names is none of loopback's.
    assert_eq!(asked.unwrap().status, 421);
    let page = curled(&["--header", "accept: text/html", &format!("http://{}/", sidecar.admin)]);
    assert!(page.starts_with("<!doctype html>"), "{page}");
    let text = curled(&[&format!("http://{}/", sidecar.admin)]);
    assert!(text.contains("/api/report") && !text.contains('<'), "{text}");
    let (_, port) = sidecar.admin.rsplit_once(':').unwrap();
    let named = curled(&["--include", "--header", "accept: text/html", &format!("http://localhost:{port}/page/main.js"), "-4"]);
    assert!(
        named.starts_with("HTTP/1.1 200") && named.contains("\r\ncontent-type: text/javascript; charset=utf-8\r\n"),
        "{named}"
    );
}

#[test]
fn a_page_of_somebody_else_whose_name_was_led_here_is_told_nothing() {
    let sidecar = Sidecar::start("");
    let (address, port) = sidecar.admin.rsplit_once(':').unwrap();
    for path in ["/", "/api/report", "/api/open", "/api/events", "/page/main.js"] {
        let rebound = format!("http://rebound.test:{port}{path}");
        let told = curled(&["--include", "--resolve", &format!("rebound.test:{port}:{address}"), &rebound]);
        assert!(told.starts_with("HTTP/1.1 421") && told.contains("http://localhost:PORT/"), "{told}");
    }
    // Nor may it hand anything over.
    let options = ["--include", "--request", "PUT", "--header", "x-hopwatch-handover: 1", "--data", "{}"];
    let more = ["--header", "host: rebound.test", &format!("http://{}/api/runs/x", sidecar.admin)];
    let told = curled(&[&options[..], &more[..]].concat());
    assert!(told.starts_with("HTTP/1.1 421"), "{told}");
    // A scraper may know the host by any name.
    let told = curled(&["--include", "--header", "host: agent.pod:9470", &format!("http://{}/metrics", sidecar.admin)]);
    assert!(told.starts_with("HTTP/1.1 200"), "{told}");
    wait_for("it serves on", || if sidecar.asked("/healthz").0 == 200 { Ok(()) } else { Err(String::new()) });
}
