//! How wide a text is where every character stands in a cell or two.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The cells that a text takes.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// The text, cut with `…` where it takes more than so many cells.
pub(crate) fn cut(text: &str, most: usize) -> String {
    if width(text) <= most {
        return text.to_owned();
    }
    let mut left = most.saturating_sub(1);
    let fits = |character: &char| match left.checked_sub(character.width().unwrap_or(0)) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    };
    let mut out: String = text.chars().take_while(fits).collect();
    if most > 0 {
        out.push('…');
    }
    out
}

/// The same, filled up with spaces.
pub(crate) fn left(text: &str, columns: usize) -> String {
    let text = cut(text, columns);
    let spaces = columns.saturating_sub(width(&text));
    text + &" ".repeat(spaces)
}

/// The same, with the spaces before it.
pub(crate) fn right(text: &str, columns: usize) -> String {
    let text = cut(text, columns);
    " ".repeat(columns.saturating_sub(width(&text))) + &text
}

/// The text in lines of at most so many cells, broken at spaces where there are some.
pub(crate) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(2);
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let mut word = word;
        while let Some(last) = lines.last_mut() {
            let taken = if last.is_empty() { 0 } else { width(last) + 1 };
            if taken + width(word) <= columns {
                if taken > 0 {
                    last.push(' ');
                }
                last.push_str(word);
                break;
            }
            if taken > 0 {
                lines.push(String::new());
                continue;
            }
            // Longer than a line by itself.
            let at = split(word, columns);
            last.push_str(&word[..at]);
            word = &word[at..];
            lines.push(String::new());
        }
    }
    lines
}

/// Where the first piece of at most so many cells ends; it has at least one character.
fn split(word: &str, columns: usize) -> usize {
    let mut taken = 0;
    let ends = word.char_indices().find(|&(at, character)| {
        taken += character.width().unwrap_or(0);
        at > 0 && taken > columns
    });
    ends.map_or(word.len(), |(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_counted_not_bytes_or_characters() {
        assert_eq!(cut("日本語", 6), "日本語");
        assert_eq!(cut("日本語", 5), "日本…");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(width(&cut("日本語", 4)), 3);
        assert_eq!(cut("abc", 0), "");
        assert_eq!(left("日本", 5), "日本 ");
        assert_eq!(right("ab", 4), "  ab");
        assert_eq!(left("abcdef", 4), "abc…");
    }

    #[test]
    fn lines_break_at_spaces_and_in_what_has_none() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("abcdefgh ij", 3), ["abc", "def", "gh", "ij"]);
        assert_eq!(wrap("日本語", 4), ["日本", "語"]);
        assert_eq!(wrap("", 10), [""]);
        for columns in 0..9 {
            let lines = wrap("a bb 日本語日本語 cccccccccc \u{301}x", columns);
            assert!(lines.iter().all(|line| width(line) <= columns.max(2)), "{columns} {lines:?}");
        }
    }
}
