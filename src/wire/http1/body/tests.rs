use super::*;

/// Content that was given, bytes taken, and the body as it stands.
fn read(framing: Framing, pieces: &[&[u8]]) -> (Vec<u8>, usize, Body) {
    let mut body = Body::new(framing);
    let mut content = Vec::new();
    let taken = pieces
        .iter()
        .map(|piece| body.feed(piece, &mut |data| content.extend_from_slice(data)))
        .sum();
    (content, taken, body)
}

#[test]
fn a_length_ends_a_body_exactly() {
    let (content, taken, body) = read(Framing::Length(5), &[b"abc", b"defg"]);
    assert_eq!(
        (content.as_slice(), taken, body.is_done()),
        (&b"abcde"[..], 5, true)
    );
    assert!(Body::new(Framing::Length(0)).is_done());
}

#[test]
fn chunks_are_taken_out_of_their_framing() {
    let wire = b"3\r\nabc\r\n0A ;x=\"\r\"\r\n0123456789\r\n000\r\na: b\r\n\r\nGET";
    let (content, taken, body) = read(Framing::Chunked, &[wire]);
    assert_eq!(
        (content.as_slice(), taken),
        (&b"abc0123456789"[..], wire.len() - 3)
    );
    assert!(body.is_done());
    let bytewise: Vec<&[u8]> = wire.chunks(1).collect();
    assert_eq!(read(Framing::Chunked, &bytewise).0, content);
}

#[test]
fn broken_chunks_lose_the_framing() {
    for wire in [
        &b"xyz\r\n"[..],
        b"\r\n",
        b"11111111111111111\r\n",
        b"3\r\nabcd\r\n",
        b"-1\r\n",
        b";a=b\r\n",
    ] {
        assert!(read(Framing::Chunked, &[wire]).2.is_lost(), "{wire:?}");
    }
}

#[test]
fn the_largest_chunk_size_is_no_overflow() {
    let (_, _, mut body) = read(Framing::Chunked, &[b"ffffffffffffffff\r\nabc"]);
    assert_eq!(body.skip(u64::MAX - 3), u64::MAX - 3);
    assert!(!body.is_lost());
    assert_eq!(body.bytes(), u64::MAX);
}

#[test]
fn endless_extensions_and_trailers_lose_the_framing() {
    let line = [b'a'; 1024];
    for start in [&b"3;"[..], b"0\r\n"] {
        let mut body = Body::new(Framing::Chunked);
        body.feed(start, &mut |_| {});
        for _ in 0..100 {
            body.feed(&line, &mut |_| {});
        }
        assert!(body.is_lost());
    }
}

#[test]
fn gaps_are_stepped_over_where_the_framing_allows_it() {
    let mut body = Body::new(Framing::Length(10));
    assert_eq!((body.skip(4), body.skip(9), body.is_done()), (4, 6, true));

    let (_, _, mut body) = read(Framing::Chunked, &[b"a\r\n01"]);
    assert_eq!(body.skip(8), 8);
    assert_eq!(body.feed(b"\r\n0\r\n\r\n", &mut |_| {}), 7);
    assert!(body.is_done());

    let (_, _, mut body) = read(Framing::Chunked, &[b"a\r\n01"]);
    body.skip(9);
    assert!(body.is_lost());

    let (_, _, mut body) = read(Framing::Chunked, &[b"a"]);
    body.skip(1);
    assert!(body.is_lost());
}

#[test]
fn calls_of_whole_chunks_are_told_from_others() {
    let cut = |head, skipped, tail| {
        holds_whole_chunks(Chunk {
            at: 0,
            head,
            skipped,
            tail,
        })
    };
    assert!(cut(b"3\r\nabc\r\n", 0, b""));
    assert!(cut(b"3\r\nabc\r\n1\r\na\r\n0\r\n\r\n", 0, b""));
    assert!(cut(b"64\r\nabc", 90, b"vwxyz12\r\n"));
    assert!(!cut(b"64\r\nabc", 91, b"vwxyz12\r\n"));
    assert!(!cut(b"3\r\nabc", 0, b""));
    assert!(!cut(b"data: abc\n\n", 0, b""));
    assert!(!cut(b"fffffff\r\nabc", 0, b""));
}
