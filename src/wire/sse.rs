//! Server-sent events (WHATWG HTML, 9.2), read as they come.
//!
//! Data is passed on, not kept: an event of any length takes the same memory.

use memchr::memchr2;

/// Longest event name that is kept, in bytes.
const NAME_LIMIT: usize = 64;
/// A field's name is recognised by so many bytes.
const FIELD_LIMIT: usize = 8;

/// What a stream of events consists of, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A piece of the data of the event that comes to its end next. Lines are joined by `\n`.
    Data(&'a [u8]),
    /// An event is complete.
    Event(Event<'a>),
}

/// A complete event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// Its `event` field, empty when there is none; cut to 64 bytes.
    pub name: &'a [u8],
    /// Length of its data in bytes, as far as they were seen.
    pub bytes: u64,
    /// Bytes inside it were not seen.
    pub cut: bool,
}

/// An incremental reader of events.
#[derive(Debug, Default)]
pub struct Parser {
    place: Place,
    /// Bytes of a byte order mark seen; `BOM.len()` once that is behind.
    mark: usize,
    /// A line ended with CR: an LF now belongs to it.
    after_cr: bool,
    field: Short<FIELD_LIMIT>,
    name: Short<NAME_LIMIT>,
    /// The event has data, perhaps empty.
    has_data: bool,
    bytes: u64,
    cut: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// In a field's name, or before it.
    #[default]
    Field,
    /// After the colon, where one space is no part of the value.
    Space(Value),
    /// In a value.
    Value(Value),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    Data,
    Name,
    /// A comment, or a field that says nothing here.
    Other,
}

/// The first bytes of something, and whether there was more.
#[derive(Debug)]
struct Short<const N: usize> {
    bytes: [u8; N],
    length: usize,
    longer: bool,
}

const BOM: &[u8] = b"\xef\xbb\xbf";

impl Parser {
    /// Reads bytes and tells what they complete.
    pub fn feed(&mut self, bytes: &[u8], tell: &mut impl FnMut(Item<'_>)) {
        let mut rest = self.after_mark(bytes);
        while let Some(&first) = rest.first() {
            if std::mem::take(&mut self.after_cr) && first == b'\n' {
                rest = &rest[1..];
                continue;
            }
            match self.place {
                Place::Field => {
                    let end = rest.iter().position(|byte| matches!(byte, b':' | b'\r' | b'\n'));
                    self.field.push(&rest[..end.unwrap_or(rest.len())]);
                    let Some(end) = end else { return };
                    if rest[end] == b':' {
                        let value = self.field_began(tell);
                        self.place = Place::Space(value);
                    } else {
                        self.after_cr = rest[end] == b'\r';
                        self.line_without_colon(tell);
                    }
                    rest = &rest[end + 1..];
                }
                Place::Space(value) => {
                    self.place = Place::Value(value);
                    rest = if first == b' ' { &rest[1..] } else { rest };
                }
                Place::Value(value) => {
                    let end = memchr2(b'\r', b'\n', rest);
                    let piece = &rest[..end.unwrap_or(rest.len())];
                    match value {
                        Value::Data if !piece.is_empty() => self.data(piece, tell),
                        Value::Name => self.name.push(piece),
                        Value::Data | Value::Other => {}
                    }
                    let Some(end) = end else { return };
                    self.after_cr = rest[end] == b'\r';
                    self.place = Place::Field;
                    self.field.clear();
                    rest = &rest[end + 1..];
                }
            }
        }
    }

    /// Bytes are missing here. What follows is taken for the rest of a line of data.
    pub fn gap(&mut self) {
        self.mark = BOM.len();
        self.after_cr = false;
        if self.place == Place::Value(Value::Name) {
            self.name.clear();
        }
        self.place = Place::Value(Value::Data);
        self.has_data = true;
        self.cut = true;
    }

    /// Bytes held on the heap.
    #[cfg(any(test, fuzzing))]
    pub(super) const fn retained_bytes(&self) -> usize {
        size_of::<Self>()
    }

    fn after_mark<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let mut rest = bytes;
        while self.mark < BOM.len() {
            let Some(&first) = rest.first() else { break };
            if first != BOM[self.mark] {
                // No mark after all: its first bytes began a line.
                self.field.push(&BOM[..self.mark]);
                self.mark = BOM.len();
                break;
            }
            self.mark += 1;
            rest = &rest[1..];
        }
        rest
    }

    fn field_began(&mut self, tell: &mut impl FnMut(Item<'_>)) -> Value {
        match self.field.whole() {
            Some(b"data") => {
                // The lines before end here.
                if std::mem::replace(&mut self.has_data, true) {
                    self.data(b"\n", tell);
                }
                Value::Data
            }
            Some(b"event") => {
                self.name.clear();
                Value::Name
            }
            _ => Value::Other,
        }
    }

    fn line_without_colon(&mut self, tell: &mut impl FnMut(Item<'_>)) {
        if self.field.is_empty() {
            if self.has_data {
                tell(Item::Event(Event { name: self.name.start(), bytes: self.bytes, cut: self.cut }));
            }
            self.name.clear();
            self.has_data = false;
            self.bytes = 0;
            self.cut = false;
        } else {
            // A field with an empty value.
            self.field_began(tell);
        }
        self.field.clear();
    }

    fn data(&mut self, piece: &[u8], tell: &mut impl FnMut(Item<'_>)) {
        self.bytes = self.bytes.saturating_add(piece.len() as u64);
        tell(Item::Data(piece));
    }
}

impl<const N: usize> Default for Short<N> {
    fn default() -> Self {
        Self { bytes: [0; N], length: 0, longer: false }
    }
}

impl<const N: usize> Short<N> {
    fn push(&mut self, more: &[u8]) {
        let taken = more.len().min(N - self.length);
        self.bytes[self.length..self.length + taken].copy_from_slice(&more[..taken]);
        self.length += taken;
        self.longer |= taken < more.len();
    }

    fn start(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    fn whole(&self) -> Option<&[u8]> {
        (!self.longer).then(|| self.start())
    }

    fn is_empty(&self) -> bool {
        self.length == 0
    }

    fn clear(&mut self) {
        self.length = 0;
        self.longer = false;
    }
}

#[cfg(test)]
mod tests;
