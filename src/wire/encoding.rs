//! Compressed bodies, decompressed as they come.
//!
//! Output goes on at once; memory is bounded by the window sizes accepted here. What cannot be decompressed (a gap, bad data,
//! a bomb) ends the decoder quietly: bodies are read for facts only, so there are just no more of them.

use std::fmt;
use std::io::{self, Read, Write};

use super::headers::ContentEncoding;

/// Input is taken in steps of this size.
const STEP: usize = 1024;
/// Most output of one step. Deflate reaches about 1,000 times its input, real text about 10 times: more than this is a bomb.
const OUTPUT_LIMIT: usize = 512 * 1024;
/// Most output of a body for each byte of its input, beyond what any may have. Text shrinks to a tenth; who sends more is after the time that
/// it takes to read it.
const OUTPUT_PER_INPUT: u64 = 32;
const OUTPUT_FREE: u64 = 16 * 1024 * 1024;
/// Largest window that is accepted, in bytes, as RFC 9659 limits it for zstd.
const WINDOW_LIMIT: u64 = 8 * 1024 * 1024;
/// Largest zstd block, in bytes (RFC 8878, 3.1.1.2.4): so much waits until it is complete, and so much comes out of it.
const BLOCK_LIMIT: usize = 128 * 1024;
/// Most zstd blocks in one step; the small ones of a stream that is flushed after each event stay below it.
const BLOCKS_A_STEP: usize = 64;

/// Decompresses one body.
pub struct Decoder {
    codec: Codec,
    /// Bytes that went in, and that came out.
    input: u64,
    output: u64,
}

enum Codec {
    Identity,
    /// Nothing seen yet; built by the first byte.
    Fresh(ContentEncoding),
    Gzip(Box<flate2::write::MultiGzDecoder<Output>>),
    Zlib(Box<flate2::write::ZlibDecoder<Output>>),
    Deflate(Box<flate2::write::DeflateDecoder<Output>>),
    Brotli(Box<brotli_decompressor::DecompressorWriter<Output>>),
    Zstd(Box<Zstd>),
    GivenUp,
}

/// Takes what a codec writes, up to the limit.
#[derive(Default)]
struct Output(Vec<u8>);

struct Zstd {
    frame: ruzstd::decoding::FrameDecoder,
    /// Input that is no whole block yet.
    waiting: Vec<u8>,
    /// Inside a frame; its blocks follow, and a checksum if `true`.
    checksum: Option<bool>,
}

impl Decoder {
    /// A decoder for a body in this encoding.
    #[must_use]
    pub const fn new(encoding: ContentEncoding) -> Self {
        let codec = match encoding {
            ContentEncoding::Identity => Codec::Identity,
            ContentEncoding::Other => Codec::GivenUp,
            encoding => Codec::Fresh(encoding),
        };
        Self { codec, input: 0, output: 0 }
    }

    /// Decompresses the next bytes and gives what comes out to `plain`.
    pub fn feed(&mut self, bytes: &[u8], plain: &mut impl FnMut(&[u8])) {
        if matches!(self.codec, Codec::Identity) {
            return plain(bytes);
        }
        for step in bytes.chunks(STEP) {
            if let Codec::Fresh(encoding) = self.codec {
                self.codec = Codec::begin(encoding, step[0]);
            }
            let output = &mut self.output;
            let mut plain = |bytes: &[u8]| {
                *output += bytes.len() as u64;
                plain(bytes);
            };
            let written = match &mut self.codec {
                Codec::Zstd(zstd) => zstd.write(step, &mut plain),
                codec => codec.write(step),
            };
            // What came out before an error is true.
            if let Some(output) = self.codec.output() {
                if !output.0.is_empty() {
                    plain(&output.0);
                }
                output.0.clear();
                output.0.shrink_to(OUTPUT_LIMIT / 8);
            }
            self.input += step.len() as u64;
            if written.is_err() || self.output > OUTPUT_FREE + self.input * OUTPUT_PER_INPUT {
                self.codec = Codec::GivenUp;
                return;
            }
        }
    }

    /// Bytes are missing here: what follows cannot be decompressed.
    pub fn gap(&mut self) {
        if !matches!(self.codec, Codec::Identity) {
            self.codec = Codec::GivenUp;
        }
    }

    /// Whether nothing comes out any more.
    #[must_use]
    pub const fn has_given_up(&self) -> bool {
        matches!(self.codec, Codec::GivenUp)
    }

    /// Whether what goes in is what comes out.
    #[must_use]
    #[cfg(feature = "cli")]
    pub(crate) const fn is_plain(&self) -> bool {
        matches!(self.codec, Codec::Identity)
    }

    /// Whether what goes in comes out at once. Zstd's window holds it back.
    #[must_use]
    pub const fn is_timely(&self) -> bool {
        !matches!(self.codec, Codec::GivenUp | Codec::Zstd(_) | Codec::Fresh(ContentEncoding::Zstd))
    }

    /// Bytes held on the heap, as far as they are known; windows are not counted.
    #[cfg(any(test, fuzzing))]
    pub(super) fn retained_bytes(&self) -> usize {
        match &self.codec {
            Codec::Zstd(zstd) => zstd.waiting.capacity(),
            Codec::Gzip(codec) => codec.get_ref().0.capacity(),
            Codec::Zlib(codec) => codec.get_ref().0.capacity(),
            Codec::Deflate(codec) => codec.get_ref().0.capacity(),
            Codec::Brotli(codec) => codec.get_ref().0.capacity(),
            Codec::Identity | Codec::Fresh(_) | Codec::GivenUp => 0,
        }
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.codec {
            Codec::Identity => "Identity",
            Codec::Fresh(_) => "Fresh",
            Codec::Gzip(_) => "Gzip",
            Codec::Zlib(_) | Codec::Deflate(_) => "Deflate",
            Codec::Brotli(_) => "Brotli",
            Codec::Zstd(_) => "Zstd",
            Codec::GivenUp => "GivenUp",
        })
    }
}

impl Codec {
    fn begin(encoding: ContentEncoding, first: u8) -> Self {
        use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
        match encoding {
            ContentEncoding::Gzip => Self::Gzip(Box::new(MultiGzDecoder::new(Output::default()))),
            // `deflate` means zlib's form, but some servers send it bare. Zlib's first byte names method 8 and a window of at
            // most 32 KiB; a bare stream hardly ever begins so.
            ContentEncoding::Deflate if first & 0x0f == 8 && first >> 4 <= 7 => {
                Self::Zlib(Box::new(ZlibDecoder::new(Output::default())))
            }
            ContentEncoding::Deflate => Self::Deflate(Box::new(DeflateDecoder::new(Output::default()))),
            ContentEncoding::Brotli if brotli_window(first) <= WINDOW_LIMIT => {
                Self::Brotli(Box::new(brotli_decompressor::DecompressorWriter::new(Output::default(), 16 * 1024)))
            }
            ContentEncoding::Zstd => Self::Zstd(Box::new(Zstd::new())),
            ContentEncoding::Identity => Self::Identity,
            ContentEncoding::Brotli | ContentEncoding::Other => Self::GivenUp,
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        fn through(codec: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
            codec.write_all(bytes)?;
            codec.flush()
        }
        match self {
            Self::Gzip(codec) => through(codec, bytes),
            Self::Zlib(codec) => through(codec, bytes),
            Self::Deflate(codec) => through(codec, bytes),
            Self::Brotli(codec) => through(codec, bytes),
            Self::Zstd(_) | Self::Identity | Self::Fresh(_) | Self::GivenUp => Ok(()),
        }
    }

    fn output(&mut self) -> Option<&mut Output> {
        match self {
            Self::Gzip(codec) => Some(codec.get_mut()),
            Self::Zlib(codec) => Some(codec.get_mut()),
            Self::Deflate(codec) => Some(codec.get_mut()),
            Self::Brotli(codec) => Some(codec.get_mut()),
            Self::Zstd(_) | Self::Identity | Self::Fresh(_) | Self::GivenUp => None,
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > OUTPUT_LIMIT {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The window that a brotli stream asks for (RFC 7932, 9.1), in bytes.
fn brotli_window(first: u8) -> u64 {
    let bits = match (first & 1, first >> 1 & 7, first >> 4 & 7) {
        (0, _, _) => 16,
        (_, 0, 0) => 17,
        // Large windows are an extension.
        (_, 0, 1) => 63,
        (_, 0, n) => 8 + n,
        (_, n, _) => 17 + n,
    };
    1 << bits
}

impl Zstd {
    fn new() -> Self {
        Self { frame: ruzstd::decoding::FrameDecoder::new(), waiting: Vec::new(), checksum: None }
    }

    fn write(&mut self, bytes: &[u8], plain: &mut impl FnMut(&[u8])) -> io::Result<()> {
        self.waiting.extend_from_slice(bytes);
        let mut at = 0;
        let mut blocks = 0;
        loop {
            let rest = &self.waiting[at..];
            // The decoder gets whole headers and whole blocks only: it does not go on after half of one.
            let Some(checksum) = self.checksum else {
                let Some(length) = frame_header(rest)? else {
                    break;
                };
                self.frame.init(&rest[..length]).map_err(io::Error::other)?;
                self.checksum = Some(rest[4] & 4 != 0);
                at += length;
                continue;
            };
            let Some(block) = block_length(rest, checksum)?.and_then(|length| rest.get(..length)) else {
                break;
            };
            blocks += 1;
            if blocks > BLOCKS_A_STEP {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            let strategy = ruzstd::decoding::BlockDecodingStrategy::UptoBlocks(1);
            let finished = self.frame.decode_blocks(block, strategy).map_err(io::Error::other)?;
            at += block.len();
            let mut piece = [0; 4096];
            loop {
                match self.frame.read(&mut piece)? {
                    0 => break,
                    length => plain(&piece[..length]),
                }
            }
            if finished {
                self.checksum = None;
            }
        }
        self.waiting.drain(..at);
        self.waiting.shrink_to(BLOCK_LIMIT / 8);
        Ok(())
    }
}

/// The length of a zstd block with its header (RFC 8878, 3.1.1.2) and the frame's checksum where one follows; `None` while
/// that is not known.
fn block_length(bytes: &[u8], checksum: bool) -> io::Result<Option<usize>> {
    let &[first, second, third, ..] = bytes else {
        return Ok(None);
    };
    let header = usize::from(first) | usize::from(second) << 8 | usize::from(third) << 16;
    let size = header >> 3;
    let content = match header >> 1 & 3 {
        _ if size > BLOCK_LIMIT => return Err(io::ErrorKind::InvalidData.into()),
        // One byte, many times.
        1 => 1,
        0 | 2 => size,
        _ => return Err(io::ErrorKind::InvalidData.into()),
    };
    let last = header & 1 == 1;
    Ok(Some(3 + content + if checksum && last { 4 } else { 0 }))
}

/// The length of a zstd frame's header (RFC 8878, 3.1.1), `None` while it is not complete. Fails on other data and on windows
/// above the limit, before anything is allocated for them.
fn frame_header(bytes: &[u8]) -> io::Result<Option<usize>> {
    const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
    let seen = bytes.len().min(MAGIC.len());
    if bytes[..seen] != MAGIC[..seen] {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let Some(&descriptor) = bytes.get(4) else {
        return Ok(None);
    };
    let single = descriptor & 0x20 != 0;
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let size = match descriptor >> 6 {
        0 => usize::from(single),
        n => 1 << n,
    };
    let window = usize::from(!single);
    let length = 5 + window + dictionary + size;
    let Some(header) = bytes.get(..length) else {
        return Ok(None);
    };
    let needs = if single {
        let size_field = header[length - size..].iter().rev().fold(0_u64, |sum, &byte| sum << 8 | u64::from(byte));
        size_field + if size == 2 { 256 } else { 0 }
    } else {
        let base = 1_u64 << (10 + (header[5] >> 3));
        base + (base >> 3) * u64::from(header[5] & 7)
    };
    match needs <= WINDOW_LIMIT {
        true => Ok(Some(length)),
        false => Err(io::ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests;
