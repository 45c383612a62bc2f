//! What a statement does, in a word: its first keyword, of a closed set.

use std::hash::Hasher;

use rustc_hash::{FxHashMap, FxHasher};

/// A statement of which no known word was seen.
pub(super) const QUERY: &str = "query";
/// A statement is prepared and not executed yet.
pub(super) const PREPARE: &str = "PREPARE";
/// Prepared statements or portals are forgotten.
pub(super) const DEALLOCATE: &str = "DEALLOCATE";

/// First keywords (<https://www.postgresql.org/docs/current/sql-commands.html>).
const KEYWORDS: &[&str] = &[
    "ALTER",
    "ANALYZE",
    "BEGIN",
    "CALL",
    "CHECKPOINT",
    "CLOSE",
    "CLUSTER",
    "COMMENT",
    "COMMIT",
    "COPY",
    "CREATE",
    DEALLOCATE,
    "DECLARE",
    "DELETE",
    "DISCARD",
    "DO",
    "DROP",
    "EXECUTE",
    "EXPLAIN",
    "FETCH",
    "GRANT",
    "IMPORT",
    "INSERT",
    "LISTEN",
    "LOAD",
    "LOCK",
    "MERGE",
    "MOVE",
    "NOTIFY",
    PREPARE,
    "REFRESH",
    "REINDEX",
    "RELEASE",
    "RESET",
    "REVOKE",
    "ROLLBACK",
    "SAVEPOINT",
    "SELECT",
    "SET",
    "SHOW",
    "TRUNCATE",
    "UNLISTEN",
    "UPDATE",
    "VACUUM",
    "VALUES",
    "WITH",
];
/// Longest of them, in bytes.
const KEYWORD_MAX: usize = 10;
/// Most names of statements, or of portals, that are remembered.
const NAMES_MAX: usize = 1_024;

fn of_keyword(word: &[u8]) -> &'static str {
    match word {
        b"ABORT" => "ROLLBACK",
        b"END" => "COMMIT",
        b"START" => "BEGIN",
        b"TABLE" => "SELECT",
        _ => KEYWORDS.iter().copied().find(|known| known.as_bytes() == word).unwrap_or(QUERY),
    }
}

/// Finds the first keyword of a statement that comes in pieces. Nothing else of it is kept.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scanner {
    place: Place,
    word: [u8; KEYWORD_MAX],
    length: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// Before the first word.
    #[default]
    Start,
    /// After one `-`.
    Dash,
    LineComment,
    /// After a `/` within so many comments.
    Slash(u16),
    /// Within so many comments, which nest.
    Comment(u16),
    /// After a `*` within them.
    Star(u16),
    Word,
    /// It is no word, or was decided.
    Over,
}

impl Scanner {
    /// Takes bytes of the statement.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if self.place == Place::Over {
                return;
            }
            self.byte(byte);
        }
    }

    fn byte(&mut self, byte: u8) {
        self.place = match (self.place, byte) {
            (Place::Start, b'-') => Place::Dash,
            (Place::Start, b'/') => Place::Slash(0),
            // `(SELECT …) UNION …`, `; SELECT …`
            (Place::Start, b'(' | b';') => Place::Start,
            (Place::Start, _) if byte.is_ascii_whitespace() => Place::Start,
            (Place::Dash, b'-') => Place::LineComment,
            (Place::LineComment, b'\n' | b'\r') => Place::Start,
            (Place::LineComment, _) => Place::LineComment,
            (Place::Slash(depth), b'*') => Place::Comment(depth.saturating_add(1)),
            (Place::Slash(0), _) => Place::Over,
            (Place::Slash(depth) | Place::Comment(depth), b'/') => Place::Slash(depth),
            (Place::Comment(depth) | Place::Star(depth), b'*') => Place::Star(depth),
            (Place::Star(..=1), b'/') => Place::Start,
            (Place::Star(depth), b'/') => Place::Comment(depth - 1),
            (Place::Slash(depth) | Place::Comment(depth) | Place::Star(depth), _) => Place::Comment(depth),
            (Place::Start | Place::Word, _) if byte.is_ascii_alphabetic() && self.length < KEYWORD_MAX => {
                self.word[self.length] = byte.to_ascii_uppercase();
                self.length += 1;
                Place::Word
            }
            (Place::Word, _) if byte.is_ascii_alphanumeric() || byte == b'_' => {
                self.length = 0;
                Place::Over
            }
            _ => Place::Over,
        };
    }

    /// What the statement does, after its end, or after bytes of it were not kept.
    pub(super) fn operation(&self) -> &'static str {
        of_keyword(&self.word[..self.length])
    }

    /// Bytes are missing here: a word that is not complete stays unknown.
    pub(super) fn gap(&mut self) {
        if self.place == Place::Word {
            self.length = 0;
        }
        self.place = Place::Over;
    }
}

/// A name, known by its digest alone.
#[derive(Clone, Default)]
pub(super) struct Digest(FxHasher);

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Digest")
    }
}

impl Digest {
    /// Takes bytes of the name.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        // One by one, so that it does not matter how they are cut.
        bytes.iter().for_each(|&byte| self.0.write_u8(byte));
    }
}

/// What the statements, or portals, of a connection do, by their names.
#[derive(Debug, Default)]
pub(super) struct Names(FxHashMap<u64, &'static str>);

impl Names {
    /// A name stands for this from now on.
    pub(super) fn put(&mut self, name: &Digest, operation: &'static str) {
        let name = name.0.finish();
        if self.0.len() >= NAMES_MAX && !self.0.contains_key(&name) {
            self.0.clear();
        }
        self.0.insert(name, operation);
    }

    /// What a name stands for.
    pub(super) fn get(&self, name: &Digest) -> &'static str {
        self.0.get(&name.0.finish()).copied().unwrap_or(QUERY)
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn retained_bytes(&self) -> usize {
        self.0.capacity() * size_of::<(u64, &str)>()
    }
}
