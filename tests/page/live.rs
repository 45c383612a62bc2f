//! A fault as it is seen by somebody who looks on.

use std::sync::{Arc, Mutex};

use crate::browser::Stage;
use crate::client::{Client, curl};
use crate::sidecar::{Sidecar, free, hopwatch, route};
use crate::support::replies::documents;
use crate::support::script::{Script, Step};
use crate::support::server::Router;

/// Goes through the gateway with secrets wherever there is a place for them, and gives up.
fn impatient(sidecar: &Sidecar, path: &str) {
    let url = format!("{}?api_key=query-s3cret", sidecar.url(path));
    let ended =
        curl(&["--max-time", "1", "--header", "authorization: Bearer bearer-s3cret", "--data", "prompt-s3cret", &url]).output();
    assert_eq!(ended.unwrap().status.code(), Some(28));
}

#[test]
fn a_fault_appears_while_one_looks_and_is_found_by_keys_links_and_filters() {
    let Some(stage) = Stage::find() else { return };
    let docs = Router::new()
        .route("/search", |request| if request.number == 0 { Script::new().then(Step::Stall) } else { documents().after(3_000) })
        .start();
    let tool = Router::new().route("/lookup", |_| Script::new().then(Step::Reset)).start();
    let admin = free();
    let routes = route("/docs", &docs.url(""), "retrieval", "docs") + &route("/tool", &tool.url(""), "tool", "lookup");
    let file = format!("[agent]\nadmin = \"{admin}\"\n[gateway]\nlisten = \"127.0.0.1:0\"\n{routes}");
    let begin = || {
        let mut command = hopwatch();
        command.arg("agent");
        let mut sidecar = Sidecar::begun(&file, command);
        sidecar.is_ready();
        sidecar
    };
    let sidecar = Arc::new(Mutex::new(Some(begin())));
    let with = |act: &dyn Fn(&Sidecar)| act(sidecar.lock().unwrap().as_ref().unwrap());
    let mut scene = stage.play("live", &admin);
    let mut client = Client::to(&sidecar.lock().unwrap().as_ref().unwrap().gateway[0]);
    scene.step("a call hangs", || {
        client.write(b"GET /docs/search?q=query-s3cret HTTP/1.1\r\nhost: a\r\nauthorization: Bearer bearer-s3cret\r\n\r\n");
    });
    scene.step("its client leaves", || client.leave());
    scene.step("more faults", || {
        with(&|sidecar| {
            impatient(sidecar, "/docs/search");
            for _ in 0..2 {
                // Reset by the tool: not what curl would call an answer.
                assert!(
                    !curl(&["--data", "prompt-s3cret", &sidecar.url("/tool/lookup?k=query-s3cret")]).status().unwrap().success()
                );
            }
        });
    });
    scene.step("the agent goes", || drop(sidecar.lock().unwrap().take()));
    scene.step("the agent comes back", || *sidecar.lock().unwrap() = Some(begin()));
    scene.ends();
}
