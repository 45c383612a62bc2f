//! Marks on an axis of time.

/// A mark, in ms, and what is written there.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tick {
    pub(crate) at_ms: f64,
    pub(crate) label: String,
}

/// Units that an axis counts in, and from how many of them on.
const UNITS: &[(&str, f64, f64)] = &[("h", 3_600_000.0, 2.0), ("min", 60_000.0, 3.0), ("s", 1_000.0, 0.5), ("ms", 1.0, 0.0)];

/// Marks from 0 to `end_ms`, at most `most` of them beside that at 0, at round numbers of one unit.
pub(crate) fn ticks(end_ms: f64, most: usize) -> Vec<Tick> {
    let (unit, ms, _) = UNITS.iter().copied().find(|&(_, ms, from)| end_ms >= ms * from).unwrap_or(("ms", 1.0, 0.0));
    let end = end_ms / ms;
    if !(end > 0.0 && end.is_finite()) {
        return vec![Tick { at_ms: 0.0, label: format!("0 {unit}") }];
    }
    let step = step(end, most.max(1));
    let decimals = (-step.log10().floor()).clamp(0.0, 9.0) as usize;
    let at = |index: usize| index as f64 * step;
    // A mark at the very end is one too, whatever the division made of it.
    let marks = (0..=most).map(at).take_while(|&mark| mark <= end * (1.0 + 1e-9));
    marks.map(|mark| Tick { at_ms: mark * ms, label: format!("{mark:.decimals$} {unit}") }).collect()
}

/// The least of 1, 2, 5, 10, 20, 50, ... of which at most so many fit.
fn step(end: f64, most: usize) -> f64 {
    let least = end / most as f64;
    let power = 10_f64.powf(least.log10().floor());
    let fits = [1.0, 2.0, 5.0].into_iter().map(|factor| factor * power).find(|step| step * (1.0 + 1e-9) >= least);
    fits.unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(end_ms: f64, most: usize) -> Vec<String> {
        ticks(end_ms, most).into_iter().map(|tick| tick.label).collect()
    }

    #[test]
    fn marks_stand_at_round_numbers_of_one_unit() {
        assert_eq!(labels(10_700.0, 6), ["0 s", "2 s", "4 s", "6 s", "8 s", "10 s"]);
        assert_eq!(labels(10_000.0, 5), ["0 s", "2 s", "4 s", "6 s", "8 s", "10 s"]);
        assert_eq!(labels(430.0, 5), ["0 ms", "100 ms", "200 ms", "300 ms", "400 ms"]);
        assert_eq!(labels(900.0, 5), ["0.0 s", "0.2 s", "0.4 s", "0.6 s", "0.8 s"]);
        assert_eq!(labels(0.35, 4), ["0.0 ms", "0.1 ms", "0.2 ms", "0.3 ms"]);
        assert_eq!(labels(600_000.0, 5), ["0 min", "2 min", "4 min", "6 min", "8 min", "10 min"]);
        assert_eq!(labels(36_000_000.0, 2), ["0 h", "5 h", "10 h"]);
    }

    #[test]
    fn any_length_has_an_axis_that_is_not_too_full() {
        for end in [0.0, 1e-300, 1e-6, 0.5, 1.0, 7.0, 99.0, 1e4, 1e9, 1e300, f64::MAX, f64::NAN, -1.0] {
            for most in [0, 1, 3, 10] {
                let ticks = ticks(end, most);
                assert!((1..=most.max(1) + 1).contains(&ticks.len()), "{end} {most} {ticks:?}");
                assert_eq!(ticks[0].at_ms, 0.0);
            }
        }
    }
}
