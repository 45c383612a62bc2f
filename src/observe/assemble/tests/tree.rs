use super::*;

fn accept(script: &mut Script, conn: u32, client: (&str, u16), own: (&str, u16), at: f64) {
    let payload = [endpoint(client), endpoint(own)].concat();
    script.record(Event::Accept, at, at, |record| (record.conn, record.flags) = (conn, flag::ACCEPTED), &payload);
}

fn serve(script: &mut Script, conn: u32, at: f64) {
    script.flags |= flag::ACCEPTED;
    script.read(conn, at, b"GET /run HTTP/1.1\r\nHost: me\r\n\r\n");
    script.flags &= !flag::ACCEPTED;
}

fn reply(script: &mut Script, conn: u32, at: f64) {
    script.flags |= flag::ACCEPTED;
    script.write(conn, at, &answer(200, "x"));
    script.flags &= !flag::ACCEPTED;
}

#[test]
fn a_call_made_while_one_request_is_served_belongs_to_it() {
    let mut script = Script::new();
    script.flags = flag::LOOP;
    accept(&mut script, 1, ("10.0.0.8", 999), ("10.0.0.1", 8000), 0.0);
    serve(&mut script, 1, 5.0);
    script.connect(2, DOCS, 6.0, 7.0);
    script.exchange(2, 7.0, 17.0, &get("/a"), &answer(200, ""));
    reply(&mut script, 1, 20.0);
    let out = script.finish(100.0);
    let (served, hop) = (&out.spans[0], &out.spans[1]);
    assert_eq!((served.role, &*served.operation, served.end), (Role::Server, "GET /run", Some(20 * MS)));
    assert_eq!(hop.parent, Some(served.id));
    assert_eq!(out.first_activity, Some(5 * MS));
}

#[test]
fn with_two_requests_in_one_loop_nothing_is_guessed_but_threads_are_sure() {
    let mut script = Script::new();
    for (conn, tid) in [(1, 7), (2, 8)] {
        script.tid = tid;
        accept(&mut script, conn, ("10.0.0.8", 999 + conn as u16), ("10.0.0.1", 8000), 0.0);
        serve(&mut script, conn, 5.0);
    }
    script.connect(3, DOCS, 6.0, 7.0);
    script.exchange(3, 7.0, 17.0, &get("/a"), &answer(200, ""));
    script.flags = flag::LOOP;
    script.exchange(3, 18.0, 19.0, &get("/b"), &answer(200, ""));
    let out = script.finish(100.0);
    let parents: Vec<_> = out.spans.iter().filter(|span| span.role == Role::Client).map(|span| span.parent).collect();
    assert_eq!(parents, [Some(out.spans[1].id), None]);
}

#[test]
fn the_same_trace_tells_whose_call_it_is() {
    let mut script = Script::new();
    script.flags = flag::LOOP;
    for conn in [1u32, 2] {
        accept(&mut script, conn, ("10.0.0.8", 999 + conn as u16), ("10.0.0.1", 8000), 0.0);
        script.flags |= flag::ACCEPTED;
        let head = format!("GET /run HTTP/1.1\r\ntraceparent: 00-{conn:032x}-{:016x}-01\r\n\r\n", 9);
        script.read(conn, 5.0, head.as_bytes());
        script.flags &= !flag::ACCEPTED;
    }
    script.connect(3, DOCS, 6.0, 7.0);
    let request = format!("GET /a HTTP/1.1\r\ntraceparent: 00-{:032x}-{:016x}-01\r\n\r\n", 2, 7);
    script.exchange(3, 7.0, 17.0, request.as_bytes(), &answer(200, ""));
    let out = script.finish(100.0);
    let hop = out.spans.iter().find(|span| span.role == Role::Client).unwrap();
    assert_eq!(hop.parent, Some(out.spans[1].id));
}

#[test]
fn calls_within_the_tree_are_internal_unless_they_are_named() {
    let mut script = Script::new();
    let agent = 0;
    let server = script.begin(200, 100);
    for (conn, to) in [(1, ("127.0.0.1", 9000)), (2, DOCS)] {
        script.act_as(agent);
        script.connect(conn, to, 0.0, 1.0);
        script.write(conn, 1.0, &get("/run"));
        script.act_as(server);
        accept(&mut script, conn, ("127.0.0.1", 50_000 + conn as u16), to, 0.5);
        serve(&mut script, conn, 2.0);
        reply(&mut script, conn, 9.0);
        script.act_as(agent);
        script.read(conn, 10.0, &answer(200, "x"));
    }
    let out = script.finish(100.0);
    let hops = out.spans.iter().filter(|span| span.role == Role::Client);
    let internal: Vec<_> = hops.map(|span| (span.dependency.as_deref(), call(span).internal)).collect();
    assert_eq!(internal, [(Some("127.0.0.1:9000"), true), (Some("docs"), false)]);
}

#[test]
fn what_a_server_of_the_tree_calls_lies_below_the_call_that_it_serves() {
    let mut script = Script::new();
    script.connect(1, ("127.0.0.1", 9000), 0.0, 1.0);
    script.write(1, 1.0, &get("/run"));
    // Another thread of the same process serves it.
    script.tid = 8;
    accept(&mut script, 5, ("127.0.0.1", 50_001), ("127.0.0.1", 9000), 0.5);
    serve(&mut script, 5, 2.0);
    script.connect(2, DOCS, 3.0, 4.0);
    script.exchange(2, 4.0, 90.0, &get("/a"), &answer(200, ""));
    reply(&mut script, 5, 95.0);
    script.tid = 7;
    script.read(1, 96.0, &answer(200, "x"));
    let out = script.finish(100.0);
    let find =
        |role, name: Option<&str>| out.spans.iter().find(|span| span.role == role && span.dependency.as_deref() == name).unwrap();
    let (outer, served, inner) =
        (find(Role::Client, Some("127.0.0.1:9000")), find(Role::Server, None), find(Role::Client, Some("docs")));
    assert_eq!((outer.parent, served.parent, inner.parent), (None, Some(outer.id), Some(served.id)));
}

#[test]
fn facts_of_contexts_connections_errors_and_stalls_are_kept() {
    let mut script = Script::new();
    script.record(Event::TlsContext, 1.0, 3.0, |record| record.aux = 77, &[]);
    script.record(Event::TlsAuthorities, 3.0, 28.0, |record| record.aux = 77, &[]);
    script.connect(1, DOCS, 30.0, 32.0);
    script.exchange(1, 32.0, 40.0, &get("/a"), b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    script.read_failed(1, 41.0, 0);
    script.close(1, 42.0);
    script.connect(2, DOCS, 50.0, 52.0);
    script.exchange(2, 52.0, 60.0, &get("/a"), &answer(200, ""));
    script.close(2, 61.0);
    script.busy(100.0, 200.0, Call::Read, 90);
    script.record(Event::ErrorType, 300.0, 300.0, |_| {}, b"openai.APITimeoutError");
    let out = script.finish(400.0);
    assert_eq!((out.contexts.len(), out.contexts[0].took), (1, 27 * MS));
    let closed: Vec<_> =
        out.connections.iter().map(|fact| (fact.closed, fact.closed_by_caller, fact.close_announced, fact.calls)).collect();
    assert_eq!(closed, [(Some(41 * MS), false, true, 1), (Some(61 * MS), true, false, 1)]);
    assert_eq!(out.connections[0].setup, 2 * MS);
    assert_eq!(out.raised, Some(("openai.APITimeoutError".into(), 300 * MS)));
    assert_eq!(out.stalls[0].cause, crate::model::StallCause::Io);
}

#[test]
fn a_blocking_call_on_a_connection_names_its_dependency() {
    let mut script = Script::new();
    script.connect(1, DOCS, 0.0, 1.0);
    script.exchange(1, 1.0, 10.0, &get("/a"), &answer(200, ""));
    let fill = |record: &mut Record| (record.aux, record.rc, record.conn) = (90 * MS, Call::Poll as i64, 1);
    script.record(Event::Busy, 20.0, 120.0, fill, &[]);
    let out = script.finish(200.0);
    assert_eq!(out.stalls[0].dependency, Some((Kind::Retrieval, "docs".into())));
}

#[test]
fn a_forked_process_knows_the_peers_of_its_parents_connections() {
    let mut script = Script::new();
    script.connect(1, DOCS, 0.0, 1.0);
    let maker = Maker { pid: 101, ppid: 100, program: "agent".into(), start: 0, forked: true };
    let child = script.assembler.begin(&maker);
    script.act_as(child);
    script.exchange(1, 5.0, 10.0, &get("/a"), &answer(200, ""));
    let out = script.finish(20.0);
    let hop = out.spans.iter().find(|span| span.role == Role::Client).unwrap();
    assert_eq!((hop.dependency.as_deref(), call(hop).client.pid), (Some("docs"), Some(101)));
    assert_eq!(out.connections.len(), 1, "the child opened none");
}

#[test]
fn only_an_interpreter_waits_for_its_lock() {
    let cause_in = |program: &str| {
        let mut script = Script::new();
        let maker = Maker { pid: 101, ppid: 100, program: program.into(), start: 0, forked: false };
        let process = script.assembler.begin(&maker);
        script.act_as(process);
        script.record(Event::Busy, 20.0, 120.0, |record| (record.age_ms, record.offset) = (90, 0), &[]);
        script.finish(200.0).stalls[0].cause
    };
    assert_eq!(cause_in("python3.11"), crate::model::StallCause::InterpreterLock);
    assert_eq!(cause_in("node"), crate::model::StallCause::Unknown);
}
