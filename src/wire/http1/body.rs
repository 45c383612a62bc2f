//! Where a body ends (RFC 9112, 6 and 7).

use memchr::memchr;

use crate::wire::Chunk;

/// Longest chunk extension or trailer section that is followed, in bytes.
const LINE_LIMIT: u32 = 64 * 1024;

/// How the end of a body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// After so many bytes.
    Length(u64),
    /// After the last chunk and its trailers.
    Chunked,
    /// With the connection.
    ToEnd,
}

/// Follows one body through its framing.
#[derive(Debug)]
pub(super) struct Body {
    state: State,
    /// Bytes of content so far, framing not counted.
    bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Length(u64),
    ToEnd,
    /// In a chunk's size.
    Size {
        size: u64,
        digits: u8,
    },
    /// Between a chunk's size and the end of its line.
    Extension {
        size: u64,
        seen: u32,
    },
    Data(u64),
    /// Before the line end that follows a chunk's data.
    DataEnd,
    /// In the trailers: bytes in this line that are no line end, and bytes in all.
    Trailer {
        line: u32,
        seen: u32,
    },
    Done,
    Lost,
}

impl Body {
    pub(super) const fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Size { size: 0, digits: 0 },
            Framing::ToEnd => State::ToEnd,
        };
        Self { state, bytes: 0 }
    }

    /// A chunked body that goes on with a chunk's size, after `bytes` of content.
    pub(super) const fn resumed(bytes: u64) -> Self {
        Self {
            bytes,
            ..Self::new(Framing::Chunked)
        }
    }

    /// Content bytes so far.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether its last byte has been seen.
    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether nobody can say any more where it ends.
    pub(super) fn is_lost(&self) -> bool {
        self.state == State::Lost
    }

    /// Whether the end of the connection ends it.
    pub(super) fn is_to_end(&self) -> bool {
        self.state == State::ToEnd
    }

    /// Gives content to `content` and returns how many bytes belong to this body; the rest, if any, comes after it.
    pub(super) fn feed(&mut self, bytes: &[u8], content: &mut impl FnMut(&[u8])) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            at += match self.state {
                State::Done | State::Lost => break,
                State::Length(left) => {
                    let data = first(rest, left);
                    self.state = match left - data.len() as u64 {
                        0 => State::Done,
                        left => State::Length(left),
                    };
                    self.give(data, content)
                }
                State::ToEnd => self.give(rest, content),
                State::Data(left) => {
                    let data = first(rest, left);
                    self.state = match left - data.len() as u64 {
                        0 => State::DataEnd,
                        left => State::Data(left),
                    };
                    self.give(data, content)
                }
                State::Extension { size, seen } => self.extension(rest, size, seen),
                State::Size { size, digits } => {
                    self.state = after_size(size, digits, rest[0]);
                    1
                }
                State::DataEnd => {
                    self.state = match rest[0] {
                        b'\r' => State::DataEnd,
                        b'\n' => State::Size { size: 0, digits: 0 },
                        _ => State::Lost,
                    };
                    1
                }
                State::Trailer { line, seen } => {
                    self.state = match rest[0] {
                        _ if seen >= LINE_LIMIT => State::Lost,
                        b'\n' if line == 0 => State::Done,
                        b'\n' => State::Trailer {
                            line: 0,
                            seen: seen + 1,
                        },
                        b'\r' => State::Trailer {
                            line,
                            seen: seen + 1,
                        },
                        _ => State::Trailer {
                            line: line + 1,
                            seen: seen + 1,
                        },
                    };
                    1
                }
            };
        }
        at
    }

    /// Steps over bytes that were not kept. Returns how many of them belong to this body.
    pub(super) fn skip(&mut self, gap: u64) -> u64 {
        let taken = match self.state {
            State::Done | State::Lost => return 0,
            State::ToEnd => gap,
            State::Length(left) if gap >= left => {
                self.state = State::Done;
                left
            }
            State::Length(left) => {
                self.state = State::Length(left - gap);
                gap
            }
            State::Data(left) if gap < left => {
                self.state = State::Data(left - gap);
                gap
            }
            State::Data(left) if gap == left => {
                self.state = State::DataEnd;
                gap
            }
            _ => {
                self.state = State::Lost;
                gap
            }
        };
        self.bytes = self.bytes.saturating_add(taken);
        taken
    }

    fn give(&mut self, data: &[u8], content: &mut impl FnMut(&[u8])) -> usize {
        self.bytes = self.bytes.saturating_add(data.len() as u64);
        content(data);
        data.len()
    }

    fn extension(&mut self, rest: &[u8], size: u64, seen: u32) -> usize {
        match memchr(b'\n', rest) {
            Some(end) => {
                self.state = match size {
                    0 => State::Trailer { line: 0, seen: 0 },
                    size => State::Data(size),
                };
                end + 1
            }
            None => {
                let seen = u32::try_from(rest.len())
                    .unwrap_or(u32::MAX)
                    .saturating_add(seen);
                self.state = if seen > LINE_LIMIT {
                    State::Lost
                } else {
                    State::Extension { size, seen }
                };
                rest.len()
            }
        }
    }
}

/// Whether a call holds whole chunks and nothing else, as servers write them: there a body whose framing was lost can be
/// followed again.
pub(super) fn holds_whole_chunks(chunk: Chunk<'_>) -> bool {
    let mut at = 0;
    while at < chunk.len() {
        let (mut size, mut digits) = (0_u64, 0);
        // Seven digits: 256 MiB, more than one call moves.
        while let Some(digit) = byte_at(chunk, at)
            .and_then(|byte| (byte as char).to_digit(16))
            .filter(|_| digits < 7)
        {
            size = size << 4 | u64::from(digit);
            digits += 1;
            at += 1;
        }
        let line_end =
            |at| byte_at(chunk, at) == Some(b'\r') && byte_at(chunk, at + 1) == Some(b'\n');
        if digits == 0 || !line_end(at) || !line_end(at + 2 + size) {
            return false;
        }
        at += size + 4;
    }
    true
}

/// The byte at a place in a call, where it was kept.
fn byte_at(chunk: Chunk<'_>, at: u64) -> Option<u8> {
    let head = chunk.head.len() as u64;
    if at < head {
        return chunk.head.get(usize::try_from(at).ok()?).copied();
    }
    chunk
        .tail
        .get(usize::try_from(at.checked_sub(head.saturating_add(chunk.skipped))?).ok()?)
        .copied()
}

fn after_size(size: u64, digits: u8, byte: u8) -> State {
    let digit = match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'f' => byte - b'a' + 10,
        b'A'..=b'F' => byte - b'A' + 10,
        b'\n' if digits > 0 && size == 0 => return State::Trailer { line: 0, seen: 0 },
        b'\n' if digits > 0 => return State::Data(size),
        b'\r' | b';' | b' ' | b'\t' if digits > 0 => return State::Extension { size, seen: 0 },
        _ => return State::Lost,
    };
    // Sixteen digits fill a u64.
    if digits == 16 {
        return State::Lost;
    }
    State::Size {
        size: size << 4 | u64::from(digit),
        digits: digits + 1,
    }
}

/// At most the first `left` bytes.
fn first(bytes: &[u8], left: u64) -> &[u8] {
    match usize::try_from(left) {
        Ok(left) if left < bytes.len() => &bytes[..left],
        _ => bytes,
    }
}

#[cfg(test)]
mod tests;
