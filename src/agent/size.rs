//! Sizes as people write them: `64KiB`, `1MiB`, `16MB`, bare bytes.

use std::fmt;

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl Size {
    /// What to write instead of what is none.
    pub const HINT: &str = "write it like `64KiB`, `1MiB` or `16MB`; a bare number counts bytes";

    /// Reads a size.
    ///
    /// # Errors
    /// When it is no whole number with a known unit, or is beyond 64 bits.
    pub fn parse(text: &str) -> Result<Self, String> {
        let fail = |reason| format!("`{text}` is no size: {reason}");
        let trimmed = text.trim();
        let digits = trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(digits);
        if number.is_empty() {
            return Err(fail("a number is missing"));
        }
        let Some((_, scale)) = UNITS.iter().find(|(name, _)| *name == unit.trim()) else {
            return Err(fail("its unit is not known"));
        };
        number.parse().ok().and_then(|number: u64| number.checked_mul(*scale)).map(Self).ok_or_else(|| fail("it is too large"))
    }
}

/// The largest of the binary ones that divides it.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let binary = UNITS.iter().filter(|(name, _)| name.ends_with("iB"));
        match binary.rev().find(|(_, scale)| self.0 != 0 && self.0.is_multiple_of(*scale)) {
            Some((name, scale)) => write!(f, "{}{name}", self.0 / scale),
            None => self.0.fmt(f),
        }
    }
}

/// Units by their names; of the binary ones the larger come later.
const UNITS: [(&str, u64); 8] = [
    ("", 1),
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them_and_written_back() {
        for (text, bytes, back) in [
            ("64KiB", 65_536, "64KiB"),
            ("1 MiB", 1 << 20, "1MiB"),
            ("1024KiB", 1 << 20, "1MiB"),
            ("16MB", 16_000_000, "15625KiB"),
            ("100", 100, "100"),
            ("0", 0, "0"),
        ] {
            assert_eq!(Size::parse(text), Ok(Size(bytes)), "{text}");
            assert_eq!(Size(bytes).to_string(), back);
        }
    }

    #[test]
    fn what_is_no_size_is_told_why() {
        for text in ["", "KiB", "-1", "1.5MiB", "10 bananas", "99999999999999999999", "99999999999GiB"] {
            assert!(Size::parse(text).is_err(), "{text}");
        }
        assert_eq!(Size::parse("10Kb"), Err("`10Kb` is no size: its unit is not known".to_owned()));
    }
}
