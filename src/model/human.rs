//! Durations as people read them.

use super::Nanos;

/// A duration in two or three digits: `0.4 ms`, `42 ms`, `0.3 s`, `7.9 s`, `10 s`, `2 min 3 s`, `1 h 5 min`.
#[must_use]
pub fn human_duration(nanos: Nanos) -> String {
    const MILLI: u64 = 1_000_000;
    const SECOND: u64 = 1_000 * MILLI;
    // Rounded before the unit is chosen, so that 59.97 s is 1 min and never 60 s.
    let tenths = nanos.saturating_add(SECOND / 20) / (SECOND / 10);
    let seconds = nanos.saturating_add(SECOND / 2) / SECOND;
    let unit = |whole: u64, name: &str, rest: u64, small: &str| match rest {
        0 => format!("{whole} {name}"),
        _ => format!("{whole} {name} {rest} {small}"),
    };
    match nanos {
        0 => "0 ms".to_owned(),
        1..MILLI => format!("{} ms", trimmed(nanos as f64 / MILLI as f64, if nanos < MILLI / 10 { 3 } else { 1 })),
        MILLI..99_500_000 => format!("{} ms", (nanos + MILLI / 2) / MILLI),
        99_500_000..995_000_000 => format!("{} s", trimmed(nanos as f64 / SECOND as f64, 2)),
        _ if tenths < 600 => format!("{} s", trimmed(tenths as f64 / 10.0, 1)),
        _ if seconds < 3_600 => unit(seconds / 60, "min", seconds % 60, "s"),
        _ => unit(seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
    }
}

fn trimmed(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::human_duration;

    #[test]
    fn durations_read_well_at_every_size() {
        let cases = [
            (0, "0 ms"),
            (1_500, "0.002 ms"),
            (400_000, "0.4 ms"),
            (42_000_000, "42 ms"),
            (99_700_000, "0.1 s"),
            (300_400_000, "0.3 s"),
            (310_000_000, "0.31 s"),
            (7_900_000_000, "7.9 s"),
            (9_960_000_000, "10 s"),
            (10_000_000_000, "10 s"),
            (59_970_000_000, "1 min"),
            (123_000_000_000, "2 min 3 s"),
            (3_900_000_000_000, "1 h 5 min"),
        ];
        for (nanos, text) in cases {
            assert_eq!(human_duration(nanos), text, "{nanos}");
        }
        assert!(human_duration(u64::MAX).ends_with("min"));
    }
}
