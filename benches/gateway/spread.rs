//! Rounds as figures.

/// Lower quartile, median and upper quartile.
pub(crate) fn quartiles(values: &[f64]) -> (f64, f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |part: usize| sorted[(sorted.len() - 1) * part / 4];
    (at(1), at(2), at(3))
}

/// `12.5 (12.1 to 13.0)`.
pub(crate) fn shown(values: &[f64], digits: usize) -> String {
    let (low, median, high) = quartiles(values);
    format!("{median:.digits$} ({low:.digits$} to {high:.digits$})")
}

/// Of the same rounds, one side by another.
pub(crate) fn ratios(of: &[f64], by: &[f64]) -> Vec<f64> {
    of.iter().zip(by).map(|(of, by)| of / by).collect()
}

/// Of the same rounds, one side less another.
pub(crate) fn differences(of: &[f64], less: &[f64]) -> Vec<f64> {
    of.iter().zip(less).map(|(of, less)| of - less).collect()
}

/// Nanoseconds at a part of all of them, in microseconds.
pub(crate) fn percentile(times: &mut [u64], part: f64) -> f64 {
    times.sort_unstable();
    let place = ((times.len() - 1) as f64 * part) as usize;
    times[place] as f64 / 1e3
}
