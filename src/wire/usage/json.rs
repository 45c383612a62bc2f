//! JSON as a stream of values with their paths, in bounded memory.
//!
//! It does not check documents: it finds the values of known keys and is not fooled by what stands inside strings.

use memchr::memchr2;

use super::key::Key;

/// Values deeper than this are not told.
const LEVELS: usize = 8;
/// Longest text that is kept, in bytes. A longer one is cut, and no key.
const TEXT_LIMIT: usize = 128;

/// A scalar, or the beginning of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// A text without its escapes, cut to 128 bytes.
    Text(&'a [u8]),
    /// A number, `true`, `false` or `null` as it stands.
    Bare(&'a [u8]),
    /// An object or array begins.
    Open,
}

/// Splits JSON into values.
#[derive(Debug)]
pub(super) struct Tokenizer {
    place: Place,
    depth: usize,
    /// The current key at each depth; index 0 is the document itself.
    keys: [Key; LEVELS],
    /// The text or bare value being read, or the text just read.
    text: Vec<u8>,
    /// The text is cut.
    longer: bool,
    /// A text ended: what follows says whether it was a key or a value.
    pending: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Outside,
    Text,
    Escape,
    /// In `\uXXXX`: digits seen and their value.
    Unicode(u8, u16),
    Bare,
}

impl Tokenizer {
    /// At the start of a document.
    pub(super) fn new() -> Self {
        Self { place: Place::Outside, depth: 0, keys: [Key::Other; LEVELS], text: Vec::new(), longer: false, pending: false }
    }

    /// In the middle of a document, `depth` levels deep, perhaps inside a text.
    pub(super) fn resumed(depth: usize, in_text: bool) -> Self {
        let place = if in_text { Place::Text } else { Place::Outside };
        Self { place, depth, keys: [Key::Unknown; LEVELS], longer: in_text, ..Self::new() }
    }

    /// Back to the start of a document.
    pub(super) fn reset(&mut self) {
        self.text.clear();
        *self = Self { text: std::mem::take(&mut self.text), ..Self::new() };
    }

    /// Reads bytes and tells the values they complete, with the keys that lead to them.
    pub(super) fn feed(&mut self, bytes: &[u8], tell: &mut impl FnMut(&[Key], Value<'_>)) {
        let mut rest = bytes;
        while let Some(&first) = rest.first() {
            let mut taken = 1;
            match self.place {
                Place::Text => {
                    let end = memchr2(b'"', b'\\', rest);
                    taken = end.unwrap_or(rest.len());
                    self.keep(&rest[..taken]);
                    if let Some(end) = end {
                        taken += 1;
                        self.pending = rest[end] == b'"';
                        self.place = if self.pending { Place::Outside } else { Place::Escape };
                    }
                }
                Place::Escape => {
                    self.place = Place::Text;
                    match first {
                        b'u' => self.place = Place::Unicode(0, 0),
                        b'n' => self.keep(b"\n"),
                        b't' => self.keep(b"\t"),
                        b'r' => self.keep(b"\r"),
                        b'b' | b'f' => self.keep(b" "),
                        other => self.keep(&[other]),
                    }
                }
                Place::Unicode(digits, value) => match (first as char).to_digit(16) {
                    // No digit: the text goes on here.
                    None => {
                        taken = 0;
                        self.place = Place::Text;
                    }
                    Some(digit) => {
                        let value = value << 4 | digit as u16;
                        self.place = Place::Unicode(digits + 1, value);
                        if digits == 3 {
                            let character = char::from_u32(u32::from(value)).unwrap_or(char::REPLACEMENT_CHARACTER);
                            self.keep(character.encode_utf8(&mut [0; 4]).as_bytes());
                            self.place = Place::Text;
                        }
                    }
                },
                Place::Bare if first.is_ascii_alphanumeric() || matches!(first, b'-' | b'+' | b'.') => {
                    self.keep(&[first]);
                }
                Place::Bare => {
                    taken = 0;
                    self.place = Place::Outside;
                    if let Some(path) = self.keys.get(1..=self.depth)
                        && !self.longer
                    {
                        tell(path, Value::Bare(&self.text));
                    }
                    self.clear_text();
                }
                Place::Outside => self.outside(first, tell),
            }
            rest = &rest[taken..];
        }
    }

    fn outside(&mut self, byte: u8, tell: &mut impl FnMut(&[Key], Value<'_>)) {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => {}
            b':' if std::mem::take(&mut self.pending) => {
                let key = if self.longer { Key::Other } else { Key::of(&self.text) };
                if let Some(current) = self.keys.get_mut(self.depth) {
                    *current = key;
                }
                self.clear_text();
            }
            _ => {
                if std::mem::take(&mut self.pending) {
                    if let Some(path) = self.keys.get(1..=self.depth) {
                        tell(path, Value::Text(&self.text));
                    }
                    self.clear_text();
                }
                match byte {
                    b'{' | b'[' => {
                        if let Some(path) = self.keys.get(1..=self.depth) {
                            tell(path, Value::Open);
                        }
                        self.depth = self.depth.saturating_add(1);
                        if let Some(current) = self.keys.get_mut(self.depth) {
                            *current = if byte == b'[' { Key::Item } else { Key::Other };
                        }
                    }
                    b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                    b'"' => self.place = Place::Text,
                    _ if byte.is_ascii_alphanumeric() || byte == b'-' => {
                        self.place = Place::Bare;
                        self.keep(&[byte]);
                    }
                    _ => {}
                }
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = TEXT_LIMIT - self.text.len().min(TEXT_LIMIT);
        self.longer |= bytes.len() > room;
        self.text.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn clear_text(&mut self) {
        self.text.clear();
        self.longer = false;
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn retained_bytes(&self) -> usize {
        self.text.capacity()
    }
}

/// How deep a document's last part begins, if it is one: its end must be the document's end. `in_text` says whether it
/// begins inside a text; at most one of the two can be true.
pub(super) fn depth_at_start(part: &[u8], in_text: bool) -> Option<usize> {
    let mut in_text = in_text;
    let mut escaped = false;
    let (mut depth, mut lowest) = (0_isize, 0_isize);
    for &byte in part {
        if in_text {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_text = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_text = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            b' ' | b'\t' | b'\r' | b'\n' | b',' | b':' | b'+' | b'-' | b'.' | b'0'..=b'9' => {}
            b't' | b'r' | b'u' | b'e' | b'f' | b'a' | b'l' | b's' | b'n' | b'E' => {}
            _ => return None,
        }
        lowest = lowest.min(depth);
    }
    let ends = matches!(part.trim_ascii_end().last(), Some(b'}' | b']'));
    (!in_text && ends && depth < 0 && depth == lowest).then(|| depth.unsigned_abs())
}
