//! A report that somebody else wrote, made fit to be shown: whoever answers at an address, or wrote a file, may have put anything in it.

use crate::model::{Cause, Confidence, ConnectionState, FailedBy, Kind, Origin, Outcome, Phase, Value, redact};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

/// Reads the JSON of a report. Fields that are not known are left out; texts are bounded and printable.
///
/// # Errors
/// It is no JSON, or of another shape.
pub(crate) fn read<T: DeserializeOwned + Printable>(json: &[u8]) -> serde_json::Result<T> {
    let mut read: T = serde_json::from_slice(json)?;
    read.make_printable();
    Ok(read)
}

/// Something with texts from outside in it.
pub(crate) trait Printable {
    /// Replaces what moves the cursor or re-orders what follows, and cuts what is endless.
    fn make_printable(&mut self);
}

impl Printable for String {
    fn make_printable(&mut self) {
        *self = redact::text(self);
    }
}

impl Printable for Value {
    fn make_printable(&mut self) {
        if let Self::Text(text) = self {
            text.make_printable();
        }
    }
}

impl<T: Printable> Printable for Option<T> {
    fn make_printable(&mut self) {
        self.iter_mut().for_each(T::make_printable);
    }
}

impl<T: Printable> Printable for Vec<T> {
    fn make_printable(&mut self) {
        self.iter_mut().for_each(T::make_printable);
    }
}

impl<K: Printable + Ord, V: Printable> Printable for BTreeMap<K, V> {
    fn make_printable(&mut self) {
        let clean = |(mut key, mut value): (K, V)| {
            key.make_printable();
            value.make_printable();
            (key, value)
        };
        *self = std::mem::take(self).into_iter().map(clean).collect();
    }
}

/// Numbers and words of closed sets are what they are.
macro_rules! harmless {
    ($($type:ty),+) => {
        $(impl Printable for $type {
            fn make_printable(&mut self) {}
        })+
    };
}

harmless!(bool, i32, u16, u32, u64, f64, Cause, Confidence, ConnectionState, FailedBy, Kind, Origin, Outcome, Phase);
