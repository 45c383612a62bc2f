use super::*;

#[test]
fn a_hop_s_time_goes_to_its_phases_and_its_rest_is_an_estimated_wait() {
    let run = run(1_000)
        .call(Kind::Llm, "openai", 100, &[(Phase::Dns, 110), (Phase::Connect, 130), (Phase::Wait, 500), (Phase::Stream, 700)])
        .with(|span, _| span.end = Some(T0 + 750 * MS));
    let judgement = judge(&run);
    let expected = ["-/- self 350", "llm/openai wait 420", "llm/openai stream 200", "llm/openai connect 20", "llm/openai dns 10"];
    let mut told = told(&judgement);
    told.sort();
    let mut sorted = expected;
    sorted.sort();
    assert_eq!(told, sorted);
    assert!(judgement.blame.iter().all(|row| row.inferred == (row.component.phase == Phase::Wait)));
}

#[test]
fn the_caller_s_own_phases_inside_a_hop_are_the_caller_s() {
    let run = run(1_000).call(
        Kind::Llm,
        "openai",
        0,
        &[(Phase::Own, 50), (Phase::Wait, 400), (Phase::Stall, 900), (Phase::Stream, 1_000)],
    );
    assert_eq!(told(&judge(&run)), ["-/- stall 500", "llm/openai wait 350", "llm/openai stream 100", "-/- self 50"]);
}

#[test]
fn a_stall_beside_a_waiting_hop_does_not_take_the_hop_s_time() {
    let run = run(1_000).call(Kind::Llm, "openai", 100, &[(Phase::Wait, 600)]).stalled(50, 700, StallCause::Lock);
    let judgement = judge(&run);
    assert_eq!(told(&judgement), ["llm/openai wait 500", "-/- self 350", "-/- stall 150"]);
    assert_eq!(judgement.blame[2].detail.as_deref(), Some("event loop blocked by a lock"));
}

#[test]
fn a_stall_on_a_connection_names_whose_it_was() {
    let mut run = run(1_000).stalled(100, 900, StallCause::Io);
    run.stalls[0].dependency = Some((Kind::Retrieval, "docs".into()));
    // A thread that waited all along says less than the event loop that was blocked.
    run.stalls.push(crate::model::Stall { start: T0, end: T0 + 1_000 * MS, event_loop: false, ..run.stalls[0].clone() });
    let judgement = judge(&run);
    assert_eq!(told(&judgement), ["-/- stall 1000"]);
    assert_eq!(judgement.blame[0].detail.as_deref(), Some("event loop blocked in a read or write on docs (retrieval)"));
}

#[test]
fn start_up_has_a_kind_and_its_own_stall() {
    let mut run = run(1_000).stalled(100, 200, StallCause::File);
    let mut startup = Span::new(9, Some(1), "agent".into(), "startup".into(), T0, Some(T0 + 400 * MS));
    startup.kind = Some(Kind::Startup);
    run.spans.push(startup);
    assert_eq!(told(&judge(&run)), ["-/- self 600", "startup/- self 300", "startup/- stall 100"]);
}

#[test]
fn an_internal_span_of_a_known_kind_is_self_of_its_own_kind() {
    let mut run = run(1_000);
    let mut tool = Span::new(9, Some(1), "agent".into(), "execute_tool lookup".into(), T0 + 100 * MS, Some(T0 + 800 * MS));
    (tool.kind, tool.dependency) = (Some(Kind::Tool), Some("lookup".into()));
    run.spans.push(tool);
    run.spans.push(Span::new(10, Some(9), "agent".into(), "parse".into(), T0 + 200 * MS, Some(T0 + 300 * MS)));
    assert_eq!(told(&judge(&run)), ["tool/lookup self 700", "-/- self 300"]);
}

#[test]
fn time_in_a_called_service_is_its_client_s_dependency() {
    let mut run = run(1_000).call(Kind::Http, "orders", 100, &[(Phase::Connect, 200), (Phase::Wait, 900)]);
    let mut server = Span::new(9, Some(2), "orders".into(), "GET /".into(), T0 + 300 * MS, Some(T0 + 800 * MS));
    server.role = Role::Server;
    run.spans.push(server);
    assert_eq!(told(&judge(&run)), ["http/orders wait 700", "-/- self 200", "http/orders connect 100"]);
    // Without a name of its own, a client span is named by who served it.
    (run.spans[1].dependency, run.spans[1].call) = (None, None);
    assert_eq!(told(&judge(&run)), ["http/orders wait 800", "-/- self 200"]);
}

#[test]
fn usual_is_the_median_of_the_other_calls_that_ended_well() {
    let times = [100, 200, 300, 5_000];
    let run = times.iter().fold((run(6_000), 0), |(run, at), took| (run.calls(1, Kind::Tool, "x", at, *took), at + took)).0;
    assert_eq!(judge(&run).blame[0].usual, Some(200 * MS), "for the slowest: of 100, 200, 300");
    let failing = run.calls(1, Kind::Tool, "x", 5_600, 50).failed(Outcome::ServerError, FailedBy::Peer);
    assert_eq!(judge(&failing).blame[0].usual, Some(200 * MS), "a failed call is not compared with");
    let few = super::run(600).calls(3, Kind::Tool, "x", 0, 200);
    assert_eq!(judge(&few).blame[0].usual, None);
}

#[test]
fn calls_of_a_neighbouring_size_are_compared_and_far_ones_are_not() {
    let sized = |other: u64| {
        let run = (0..5).fold(run(1_000), |run, _| run.calls(1, Kind::Llm, "m", 0, 100).with(|_, call| call.bytes.sent = other));
        let run = run.calls(1, Kind::Llm, "m", 200, 700).with(|_, call| call.bytes.sent = 1_030);
        judge(&run).blame[0].usual
    };
    assert_eq!(sized(1_000), Some(100 * MS), "the last call, against the five");
    assert_eq!(sized(60), None);
    assert_eq!(sized(100_000), None);
}

#[test]
fn what_the_root_does_not_cover_is_the_caller_s() {
    let mut run = run(1_000).call(Kind::Llm, "openai", 300, &[(Phase::Wait, 600)]);
    (run.spans[0].start, run.spans[0].end) = (T0 + 200 * MS, Some(T0 + 700 * MS));
    assert_eq!(told(&judge(&run)), ["-/- self 700", "llm/openai wait 300"]);
    run.spans.clear();
    assert_eq!(told(&judge(&run)), ["-/- self 1000"]);
}

#[test]
fn blame_names_how_many_calls_are_behind_a_row() {
    let run = run(1_000).calls(4, Kind::Tool, "x", 0, 200);
    let judgement = judge(&run);
    assert_eq!((judgement.blame[0].calls, judgement.blame[0].share), (4, 0.8));
}

#[test]
fn an_open_call_of_a_process_that_died_lasts_no_longer_than_it() {
    let run = run(5_000).call(Kind::Http, "docs", 500, &[(Phase::Connect, 510), (Phase::Wait, 1_000)]).open();
    assert_eq!(told(&judge(&run)), ["-/- self 4500", "http/docs wait 490", "http/docs connect 10"]);
}
