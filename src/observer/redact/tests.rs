use super::super::ring::Payload;
use super::super::sys::IoVec;
use super::{Phase, Scan};

/// What is left of the pieces, each a payload of its own.
fn blanked(scan: &mut Scan, text: &[u8]) -> String {
    let mut copy = text.to_vec();
    let piece = IoVec { base: text.as_ptr(), len: text.len() };
    let payload = Payload { pieces: &raw const piece, count: 1, total: text.len() };
    // SAFETY: the piece is readable for its length.
    unsafe { scan.run(payload, |at| copy[at] = b'*') };
    String::from_utf8_lossy(&copy).into_owned()
}

#[test]
fn credentials_cookies_and_queries_are_blanked() {
    let head = "POST /v1/chat?key=abc HTTP/1.1\r\nHost: a.b\r\nAuthorization: Bearer sk-1\r\nPROXY-authorization: x\r\n\
                X-Goog-Api-Key: y\r\napi-key:z\r\nCookie: a=b; c=d\r\nAccept: text/plain\r\n\r\n{\"authorization: no\"}";
    let left = "POST /v1/chat?******* HTTP/1.1\r\nHost: a.b\r\nAuthorization: ****** ****\r\nPROXY-authorization: *\r\n\
                X-Goog-Api-Key: *\r\napi-key:*\r\nCookie: **** ***\r\nAccept: text/plain\r\n\r\n{\"authorization: no\"}";
    let mut scan = Scan::default();
    assert_eq!(blanked(&mut scan, head.as_bytes()), left);
    assert_eq!(scan.phase, Phase::Body);
}

#[test]
fn answers_lose_their_cookies_only() {
    let head = "HTTP/1.1 200 OK\r\nSet-Cookie: s=1\r\nX-RateLimit-Remaining-Tokens: 5\r\n\r\nbody";
    let left = "HTTP/1.1 200 OK\r\nSet-Cookie: ***\r\nX-RateLimit-Remaining-Tokens: 5\r\n\r\nbody";
    assert_eq!(blanked(&mut Scan::default(), head.as_bytes()), left);
}

#[test]
fn a_head_may_come_in_any_two_pieces() {
    let head = "GET /a?b=c HTTP/1.1\r\nauthorization: Bearer sk-1234\r\nset-cookie: q\r\n\r\nrest: cookie";
    let whole = blanked(&mut Scan::default(), head.as_bytes());
    // The method must be seen whole.
    for cut in 4..head.len() {
        let mut scan = Scan::default();
        let mut pieces = blanked(&mut scan, &head.as_bytes()[..cut]);
        let (phase, name) = scan.pack();
        scan = Scan::unpack(phase, name);
        pieces += &blanked(&mut scan, &head.as_bytes()[cut..]);
        assert_eq!(pieces, whole, "cut at {cut}");
    }
}

#[test]
fn what_is_no_head_is_left_alone() {
    for text in ["{\"api-key: x\": 1}\n", "data: authorization: x\n\n", "PRIx authorization: x\r\n", "", "GE"] {
        assert_eq!(blanked(&mut Scan::default(), text.as_bytes()), text);
    }
}

#[test]
fn a_second_head_after_a_body_is_seen() {
    let mut scan = Scan::default();
    blanked(&mut scan, b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!(blanked(&mut scan, b"GET / HTTP/1.1\r\ncookie: x\r\n\r\n"), "GET / HTTP/1.1\r\ncookie: *\r\n\r\n");
}
