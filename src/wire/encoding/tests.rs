use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use proptest::prelude::*;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::*;

/// `{"model":"m","usage":{"prompt_tokens":3,"completion_tokens":4},"pad":"abc…"}`, compressed by Node.js.
const BROTLI: &str = "1ba100108cc374a33d7f84726c361941de52bf5069dd1ed5fcd0a40e4b1f6cc08163fe84b30c3eb10c1b701e583c2eebfe82c492eee2cbb357beb65e2e2567b01febc998883e9001";
/// 4 MiB of zeros, compressed by Node.js.
const BROTLI_BOMB: &str = "9bffff3ff82700e2b14020f7fe07";

fn from_hex(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn compress(encoding: ContentEncoding, plain: &[u8]) -> Vec<u8> {
    fn through(mut encoder: impl Write, plain: &[u8]) {
        encoder.write_all(plain).unwrap();
    }
    let mut compressed = Vec::new();
    match encoding {
        ContentEncoding::Gzip => through(GzEncoder::new(&mut compressed, Compression::fast()), plain),
        ContentEncoding::Deflate => through(ZlibEncoder::new(&mut compressed, Compression::fast()), plain),
        ContentEncoding::Zstd => compressed = compress_to_vec(plain, CompressionLevel::Fastest),
        _ => compressed.extend_from_slice(plain),
    }
    compressed
}

fn decompress(encoding: ContentEncoding, wire: &[u8], size: usize) -> (Vec<u8>, bool) {
    let mut decoder = Decoder::new(encoding);
    let mut plain = Vec::new();
    for piece in wire.chunks(size) {
        decoder.feed(piece, &mut |bytes| plain.extend_from_slice(bytes));
        assert!(decoder.retained_bytes() <= OUTPUT_LIMIT);
    }
    (plain, decoder.has_given_up())
}

const ENCODINGS: [ContentEncoding; 4] =
    [ContentEncoding::Identity, ContentEncoding::Gzip, ContentEncoding::Deflate, ContentEncoding::Zstd];

#[test]
fn every_encoding_is_undone_in_any_split() {
    let plain: Vec<u8> = (0..50_000_u32).flat_map(|number| format!("{{\"n\":{number}}}").into_bytes()).collect();
    for encoding in ENCODINGS {
        let wire = compress(encoding, &plain);
        for size in [13, 1024, wire.len()] {
            let (read, given_up) = decompress(encoding, &wire, size);
            assert!(read == plain && !given_up, "{encoding:?} in pieces of {size}: {} bytes", read.len());
        }
    }
}

#[test]
fn brotli_is_undone_in_any_split() {
    let wire = from_hex(BROTLI);
    for size in [1, 7, wire.len()] {
        let (read, given_up) = decompress(ContentEncoding::Brotli, &wire, size);
        let text = String::from_utf8(read).unwrap();
        assert!(text.starts_with("{\"model\":\"m\",\"usage\":") && text.ends_with("abc\"}"), "{text}");
        assert!(!given_up);
    }
}

#[test]
fn deflate_is_read_in_both_of_its_forms() {
    let mut wire = Vec::new();
    DeflateEncoder::new(&mut wire, Compression::best()).write_all(b"some text, some text").unwrap();
    assert_eq!(decompress(ContentEncoding::Deflate, &wire, 3).0, b"some text, some text");
}

#[test]
fn what_was_flushed_comes_out_at_once() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let mut decoder = Decoder::new(ContentEncoding::Gzip);
    let mut sent = 0;
    for number in 0..5 {
        let event = format!("data: {number}\n\n");
        encoder.write_all(event.as_bytes()).unwrap();
        encoder.flush().unwrap();
        let mut read = Vec::new();
        decoder.feed(&encoder.get_ref()[sent..], &mut |bytes| read.extend_from_slice(bytes));
        sent = encoder.get_ref().len();
        assert_eq!(read, event.as_bytes());
    }
}

/// Zeros: a frame of blocks of 128 KiB, each of one byte that is repeated (RFC 8878, 3.1.1.2).
fn zstd_bomb(blocks: usize) -> Vec<u8> {
    let mut wire = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38];
    let header = (BLOCK_LIMIT << 3 | 1 << 1).to_le_bytes();
    (0..blocks).for_each(|_| wire.extend([header[0], header[1], header[2], 0]));
    wire
}

#[test]
fn a_bomb_is_given_up_in_bounded_memory_and_time() {
    let zeros = vec![0; 64 * 1024 * 1024];
    let mut bombs = vec![(ContentEncoding::Brotli, from_hex(BROTLI_BOMB)), (ContentEncoding::Zstd, zstd_bomb(1_000))];
    bombs.extend([ContentEncoding::Gzip, ContentEncoding::Deflate].map(|encoding| (encoding, compress(encoding, &zeros))));
    for (encoding, bomb) in bombs {
        for size in [7, 1024, bomb.len()] {
            let mut decoder = Decoder::new(encoding);
            let (mut longest, mut all) = (0, 0);
            for piece in bomb.chunks(size) {
                decoder.feed(piece, &mut |bytes| {
                    longest = longest.max(bytes.len());
                    all += bytes.len() as u64;
                });
                assert!(decoder.retained_bytes() <= OUTPUT_LIMIT, "{encoding:?}");
            }
            assert!(decoder.has_given_up(), "{encoding:?} in pieces of {size} gave {all} bytes");
            // Of what comes at once the rest is given too.
            let most = OUTPUT_FREE + bomb.len() as u64 * OUTPUT_PER_INPUT + (BLOCKS_A_STEP * BLOCK_LIMIT) as u64;
            assert!(longest <= OUTPUT_LIMIT && all <= most, "{encoding:?}: {longest} at once, {all} in all");
        }
    }
}

#[test]
fn what_is_small_is_no_bomb_however_well_it_was_compressed() {
    let line = r#"{"object":"list","data":[{"object":"embedding","index":0,"score":0.5}],"model":"m"}"#;
    let plain = format!("{line}\n").repeat(100_000).into_bytes();
    for encoding in [ContentEncoding::Gzip, ContentEncoding::Zstd] {
        let (read, given_up) = decompress(encoding, &compress(encoding, &plain), 10_000);
        assert!(!given_up && read == plain, "{encoding:?}: {} of {}", read.len(), plain.len());
    }
}

#[test]
fn bad_data_and_gaps_end_a_decoder_quietly() {
    for encoding in [ContentEncoding::Gzip, ContentEncoding::Deflate, ContentEncoding::Brotli, ContentEncoding::Zstd] {
        assert!(decompress(encoding, b"\xff\xff\xff this is not compressed", 5).1, "{encoding:?}");
        let mut decoder = Decoder::new(encoding);
        decoder.gap();
        assert!(decoder.has_given_up());
        decoder.feed(b"more", &mut |_| panic!("nothing comes out"));
    }
    let mut decoder = Decoder::new(ContentEncoding::Identity);
    decoder.gap();
    assert!(!decoder.has_given_up());
    assert!(Decoder::new(ContentEncoding::Other).has_given_up());
}

#[test]
fn large_windows_are_refused_before_they_are_allocated() {
    // A window of 2 GiB.
    assert!(decompress(ContentEncoding::Zstd, &[0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0, 0, 0], 9).1);
    // A single segment of 4 GiB.
    assert!(decompress(ContentEncoding::Zstd, &[0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0, 0, 0, 0xff, 0, 0, 0], 12).1);
    // 16 MiB for brotli; 4 MiB is what its encoders use by default.
    assert_eq!((brotli_window(0x0f), brotli_window(0x1b), brotli_window(0x00)), (1 << 24, 1 << 22, 1 << 16));
    assert!(decompress(ContentEncoding::Brotli, &[0x0f, 0, 0], 3).1);
}

#[test]
fn zstd_frames_may_follow_each_other() {
    let mut wire = compress(ContentEncoding::Zstd, b"one ");
    wire.extend(compress(ContentEncoding::Zstd, b"two"));
    assert_eq!(decompress(ContentEncoding::Zstd, &wire, 4), (b"one two".to_vec(), false));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300), size in 1..50_usize, valid in 0..40_usize) {
        for encoding in [ContentEncoding::Gzip, ContentEncoding::Deflate, ContentEncoding::Brotli, ContentEncoding::Zstd] {
            decompress(encoding, &bytes, size);
            // A valid beginning reaches deeper.
            let mut wire = compress(encoding, b"some text that is compressed, and compressed again");
            wire.truncate(valid);
            wire.extend_from_slice(&bytes);
            decompress(encoding, &wire, size);
        }
    }
}
