//! `tracestate` (W3C Trace Context, level 1, 3.3): passed on as it came, cut where it is too long.

/// Most members of a list.
const MEMBERS_MAX: usize = 32;
/// What is passed on at least, and here at most, in bytes.
pub(super) const BYTES_MAX: usize = 512;
/// Members beyond this go first where the list is too long.
const LONG: usize = 128;

/// The list that is passed on; `None` when there is none, or when it breaks the rules, since then nothing of it can be trusted.
pub(super) fn clean(text: &str) -> Option<String> {
    let mut members: Vec<&str> = Vec::new();
    for member in text.split(',').map(|member| member.trim_matches([' ', '\t'])).filter(|member| !member.is_empty()) {
        let (key, value) = member.split_once('=')?;
        let twice = members.iter().any(|known| known.split('=').next() == Some(key));
        if !is_key(key) || !is_value(value) || twice || members.len() == MEMBERS_MAX {
            return None;
        }
        members.push(member);
    }
    while length(&members) > BYTES_MAX {
        let longest = members.iter().rposition(|member| member.len() > LONG);
        members.remove(longest.unwrap_or(members.len() - 1));
    }
    (!members.is_empty()).then(|| members.join(","))
}

fn length(members: &[&str]) -> usize {
    members.iter().map(|member| member.len() + 1).sum::<usize>().saturating_sub(1)
}

/// `lcalpha 0*255(..)`, or `tenant@system`.
fn is_key(key: &str) -> bool {
    let of = |part: &str, most: usize, digit_first: bool| {
        let first = |c: u8| c.is_ascii_lowercase() || (digit_first && c.is_ascii_digit());
        let next = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'_' | b'-' | b'*' | b'/');
        part.len() <= most && part.bytes().next().is_some_and(first) && part.bytes().all(next)
    };
    match key.split_once('@') {
        Some((tenant, system)) => of(tenant, 241, true) && of(system, 14, false),
        None => of(key, 256, false),
    }
}

/// Up to 256 printable characters without `,` and `=`, not ending in a space.
fn is_value(value: &str) -> bool {
    let allowed = |c: u8| matches!(c, b' '..=b'~') && c != b',' && c != b'=';
    !value.is_empty() && value.len() <= 256 && value.bytes().all(allowed) && !value.ends_with(' ')
}
