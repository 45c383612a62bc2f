//! `baggage` (W3C Baggage): passed on as it came, and read and written by key.

use std::fmt::Write;

/// What is passed on at least, and here at most, in bytes.
pub(super) const BYTES_MAX: usize = 8_192;

/// The members that are passed on: those that keep the rules, up to the limit. `None` when there are none.
pub(super) fn clean(text: &str) -> Option<String> {
    let mut out = String::new();
    for (_, _, member) in text.split(',').filter_map(member) {
        push(&mut out, member);
    }
    (!out.is_empty()).then_some(out)
}

/// The list with one more member, or with its value replaced. `None` when the key is no name or there is no room.
pub(super) fn with(text: Option<&str>, key: &str, value: &str) -> Option<String> {
    if !is_token(key) {
        return None;
    }
    let mut added = format!("{key}=");
    for byte in value.bytes() {
        match byte {
            b'%' => added.push_str("%25"),
            byte if is_octet(byte) => added.push(char::from(byte)),
            byte => {
                let _ = write!(added, "%{byte:02X}");
            }
        }
    }
    let mut out = String::new();
    for (_, _, member) in text.unwrap_or_default().split(',').filter_map(member).filter(|&(known, ..)| known != key) {
        push(&mut out, member);
    }
    push(&mut out, &added).then_some(out)
}

/// The keys and their values, decoded. What is no UTF-8 is replaced.
pub(super) fn all(text: &str) -> impl Iterator<Item = (&str, String)> {
    text.split(',').filter_map(member).map(|(key, value, _)| (key, decoded(value)))
}

fn decoded(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digit = |at: usize| after.get(at).and_then(|&digit| char::from(digit).to_digit(16));
        match (byte, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high << 4 | low) as u8);
                rest = &after[2..];
            }
            _ => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Appends a member where there is room.
fn push(out: &mut String, member: &str) -> bool {
    let comma = usize::from(!out.is_empty());
    let fits = out.len() + comma + member.len() <= BYTES_MAX;
    if fits {
        out.push_str(&","[..comma]);
        out.push_str(member);
    }
    fits
}

/// Key, value and the whole member with its properties; `None` when it breaks the rules.
fn member(text: &str) -> Option<(&str, &str, &str)> {
    let whole = trim(text);
    let (pair, properties) = whole.split_once(';').map_or((whole, None), |(pair, rest)| (pair, Some(rest)));
    let (key, value) = pair.split_once('=')?;
    let (key, value) = (trim(key), trim(value));
    let is_property = |property: &str| match property.split_once('=') {
        Some((key, value)) => is_token(trim(key)) && trim(value).bytes().all(is_octet),
        None => is_token(trim(property)),
    };
    let fits = is_token(key) && value.bytes().all(is_octet) && properties.is_none_or(|all| all.split(';').all(is_property));
    fits.then_some((key, value, whole))
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// RFC 9110, 5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// US-ASCII without controls, space, `"`, `,`, `;` and `\`.
fn is_octet(byte: u8) -> bool {
    matches!(byte, b'!' | b'#'..=b'+' | b'-'..=b':' | b'<'..=b'[' | b']'..=b'~')
}
