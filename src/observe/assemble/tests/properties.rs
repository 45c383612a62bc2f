use super::*;
use proptest::prelude::*;

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(get("/a")),
        Just(get("/b?x=1")),
        Just(post("/v1/chat/completions", Some(0), "{}")),
        Just(post("/v1/chat/completions", Some(1), "{}")),
        Just(answer(200, "hello")),
        Just(answer(503, "")),
        Just(answer(429, "")),
        Just(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: x\n\n".to_vec()),
        Just(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n".to_vec()),
        Just(vec![22, 3, 1, 0, 4, 1, 0, 0, 0]),
        Just(vec![20, 3, 3, 0, 1, 1, 23, 3, 3, 0, 1, 0]),
        Just(b"CONNECT a:443 HTTP/1.1\r\n\r\n".to_vec()),
        Just(vec![0, 0, 0, 8, 4, 210, 22, 47]),
        Just(b"N".to_vec()),
        Just(b"\0\0\0\x10\0\x03\0\0user\0me\0".to_vec()),
        Just(b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x07\0\0\0\0".to_vec()),
        Just(b"R\0\0\0\x08\0\0\0\0K\0\0\0\x0c\0\0\0\x07\0\0\0\0Z\0\0\0\x05I".to_vec()),
        Just(b"Q\0\0\0\x0dselect 1\0".to_vec()),
        Just(b"P\0\0\0\x08\0\0\0\0B\0\0\0\x0c\0\0\0\0\0\0\0\0E\0\0\0\x09\0\0\0\0\0S\0\0\0\x04".to_vec()),
        Just(b"E\0\0\0\x0cC57014\0\0".to_vec()),
        Just(b"C\0\0\0\x06a\0Z\0\0\0\x05I".to_vec()),
        Just(endpoint(DOCS)),
        Just([endpoint(DOCS), endpoint(("10.0.0.1", 80))].concat()),
        Just([&mapped("127.0.0.1")[..], b"docs"].concat()),
        prop::collection::vec(any::<u8>(), 0..64),
    ]
}

type Step = ((u16, u16, u32, u64, u64), (u32, i64, i32, u32, u64, u64), Vec<u8>);

fn step() -> impl Strategy<Value = Step> {
    let flags = prop_oneof![3 => Just(0u16), 1 => 0u16..256];
    let errno = prop_oneof![5 => Just(0), 1 => Just(libc::ECONNRESET), 1 => Just(libc::ECONNREFUSED), 1 => Just(libc::EAGAIN)];
    (
        (1u16..23, flags, 1u32..4, 0u64..2_000, prop_oneof![Just(0u64), 0u64..500, Just(u64::MAX)]),
        (
            1u32..5,
            prop_oneof![Just(0i64), Just(1), Just(-1), 0i64..200, any::<i64>()],
            errno,
            prop_oneof![Just(AGE_UNKNOWN), 0u32..900, any::<u32>()],
            prop_oneof![0u64..300, any::<u64>()],
            prop_oneof![0u64..4, any::<u64>()],
        ),
        bytes(),
    )
}

#[test]
fn hops_beyond_the_limit_are_counted_as_dropped() {
    let mut script = Script::new();
    script.assembler.shared.hops.limit(3);
    script.connect(1, DOCS, 0.0, 1.0);
    for at in 1..=5 {
        script.exchange(1, f64::from(at) * 10.0, f64::from(at) * 10.0 + 5.0, &get("/a"), &answer(503, ""));
        script.tid += 1;
        script.write(1, f64::from(at) * 10.0 + 6.0, &get(&format!("/{at}")));
        script.read(1, f64::from(at) * 10.0 + 7.0, &answer(200, ""));
    }
    let out = script.finish(100.0);
    assert_eq!(out.spans.len(), 3);
    assert!(out.losses.dropped["hops_full"] > 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn whatever_is_recorded_counts_are_exact_and_phases_sum(
        steps in prop::collection::vec(step(), 0..60),
        ordered in any::<bool>(),
        ending in 0..3,
    ) {
        let mut script = Script::new();
        let mut now = 0;
        for ((event, flags, tid, at, dur), (conn, rc, errno, age, offset, aux), payload) in steps {
            now = if ordered { now + at % 50 } else { at };
            let t = now * MS;
            let rc = if ordered && errno == 0 && matches!(event, 6 | 7) { payload.len() as i64 } else { rc };
            let record = Record {
                seq: 0, event, flags, tid, t, dur: dur.saturating_mul(MS), fd: 3, conn, rc, errno, age_ms: age, offset, aux,
                head: payload.len() as u32, tail: 0,
            };
            script.assembler.record(0, &Entry { record, payload }, &script.anchor);
            let losses = script.assembler.losses();
            prop_assert_eq!(losses.started, losses.recorded + losses.open + losses.dropped.values().sum::<u64>());
        }
        script.threads = vec![Thread { tid: 1, call: Call::Sleep as u32, since: 1, conn: 0, is_loop: false }];
        for span in script.open(3_000.0) {
            check(&span);
        }
        match ending {
            0 => script.exit(3_000.0),
            1 => script.ended(3_000.0, Ending::Killed),
            _ => {}
        }
        let out = script.finish(3_000.0);
        for span in &out.spans {
            check(span);
        }
        let mut ids: Vec<_> = out.spans.iter().map(|span| span.id).collect();
        ids.sort();
        ids.dedup();
        prop_assert_eq!(ids.len(), out.spans.len());
    }
}

fn check(span: &Span) {
    assert!(span.end.is_none_or(|end| end >= span.start));
    let Some(call) = &span.call else { return };
    assert_eq!(call.timeline.start(), span.start);
    if let Some(end) = span.end {
        assert_eq!(call.timeline.end(), end);
    }
    assert_eq!(span.is_open(), call.outcome.is_none());
    assert!(!call.attempts.is_empty());
    let sum: Nanos = Phase::ALL.iter().filter_map(|&phase| call.timeline.total(phase)).sum();
    assert_eq!(sum, call.timeline.duration());
}
