use super::*;

fn digest(pieces: &[(&[u8], u64)]) -> u64 {
    let mut digest = Digest::default();
    for (bytes, skipped) in pieces {
        digest.update(bytes);
        digest.skip(*skipped);
    }
    digest.finish()
}

#[test]
fn a_digest_depends_on_the_bytes_and_not_on_their_split() {
    assert_eq!(
        digest(&[(b"abcdef", 0)]),
        digest(&[(b"ab", 0), (b"", 0), (b"cdef", 0)])
    );
    assert_ne!(digest(&[(b"abcdef", 0)]), digest(&[(b"abcdeg", 0)]));
    assert_ne!(digest(&[(b"abc", 0)]), digest(&[(b"abc\0", 0)]));
}

#[test]
fn a_digest_of_a_cut_body_holds_its_length() {
    assert_eq!(
        digest(&[(b"abc", 100), (b"xyz", 0)]),
        digest(&[(b"abc", 100), (b"xyz", 0)])
    );
    assert_ne!(
        digest(&[(b"abc", 100), (b"xyz", 0)]),
        digest(&[(b"abc", 101), (b"xyz", 0)])
    );
    assert_ne!(
        digest(&[(b"abc", 100), (b"xyz", 0)]),
        digest(&[(b"abcxyz", 0)])
    );
}

#[test]
fn only_no_body_has_the_digest_zero() {
    assert_eq!(digest(&[(b"", 0)]), 0);
    assert_ne!(digest(&[(b"\0", 0)]), 0);
    assert_ne!(digest(&[(b"", 5)]), 0);
}
