//! Text that is safe to show: bounded, printable, without secrets.

/// Longest name that is kept, in bytes.
pub const NAME_MAX: usize = 120;

/// A name from outside, fit to be shown: as [`printable`], and cut at [`NAME_MAX`] bytes.
#[must_use]
pub fn name(text: &str) -> String {
    cut(text, NAME_MAX)
}

/// Longest text that is kept, in bytes.
pub const TEXT_MAX: usize = 1_000;

/// A sentence with names from outside in it, fit to be shown: as [`printable`], and cut at [`TEXT_MAX`] bytes.
#[must_use]
pub fn text(text: &str) -> String {
    cut(text, TEXT_MAX)
}

/// A text with its control and bidirectional formatting characters replaced.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars().map(shown).collect()
}

fn cut(text: &str, most: usize) -> String {
    let mut out = String::with_capacity(text.len().min(most));
    for shown in text.chars().map(shown) {
        if out.len() + shown.len_utf8() > most {
            out.push('…');
            break;
        }
        out.push(shown);
    }
    out
}

fn shown(character: char) -> char {
    if is_hostile(character) { '\u{fffd}' } else { character }
}

/// Control characters move the cursor, and bidirectional formatting re-orders what follows.
fn is_hostile(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// A URL without what may be secret in it: credentials and query.
#[must_use]
pub fn url(text: &str) -> String {
    let (scheme, rest) = text.split_once("://").map_or(("", text), |(scheme, rest)| (scheme, rest));
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let authority = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    let separator = if scheme.is_empty() { "" } else { "://" };
    format!("{scheme}{separator}{authority}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_characters_and_endless_names_do_no_harm() {
        assert_eq!(name("a\u{1b}[31m\u{202e}b"), "a\u{fffd}[31m\u{fffd}b");
        assert!(name(&"é".repeat(10_000)).len() <= NAME_MAX + '…'.len_utf8());
    }

    #[test]
    fn of_a_url_neither_credentials_nor_query_are_kept() {
        assert_eq!(url("https://user:p@ss@host:1/a?key=s#x"), "https://host:1/a");
        assert_eq!(url("user:pass@host?x"), "host");
        assert_eq!(url(""), "");
    }
}
