//! Durations as people read them.

use super::Nanos;

/// A duration in the unit that fits: `42 ms`, `0.3 s`, `10 s`, `2 min 3 s`.
#[must_use]
pub fn human_duration(nanos: Nanos) -> String {
    let tenths = (nanos + 50_000_000) / 100_000_000;
    match nanos {
        0..=999_999 => format!("{:.1} ms", nanos as f64 / 1e6),
        1_000_000..=94_999_999 => format!("{} ms", (nanos + 500_000) / 1_000_000),
        _ if tenths < 600 && tenths % 10 == 0 => format!("{} s", tenths / 10),
        _ if tenths < 600 => format!("{}.{} s", tenths / 10, tenths % 10),
        _ => {
            let seconds = (nanos + 500_000_000) / 1_000_000_000;
            match seconds % 60 {
                0 => format!("{} min", seconds / 60),
                rest => format!("{} min {rest} s", seconds / 60),
            }
        }
    }
}
