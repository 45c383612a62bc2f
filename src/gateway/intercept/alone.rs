//! Hosts whose TLS is left alone, since ending it here would break their calls.

use crate::gateway::connect::Origin;
use crate::model::{Name, redact};
use rustc_hash::FxHashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Most hosts that are remembered.
const REMEMBERED: usize = 1_024;

/// A host whose calls are led through unread, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftAlone {
    /// `host:port`.
    pub place: Name,
    /// Why.
    pub why: Why,
}

/// Why a host is left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// A client did not accept the certificate that it was shown: it pins, or trusts authorities of its own choice.
    Pins,
    /// No TLS could be agreed on with a client.
    Client,
    /// There is no TLS with the host itself that would be good enough from here, for this reason.
    Host(String),
}

impl fmt::Display for LeftAlone {
    /// As people are told: one sentence without its full stop.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = redact::name(&self.place);
        match &self.why {
            Why::Pins => write!(
                f,
                "a client does not accept the certificate that `--intercept` shows for {place}: it pins, or trusts authorities of its own choice"
            ),
            Why::Client => write!(f, "a client and `--intercept` agree on no TLS for {place}"),
            Why::Host(reason) => write!(f, "`--intercept` has no TLS of its own with {place}: {}", redact::text(reason)),
        }
    }
}

/// The hosts that are left alone, bounded: those that come after the last place are tried each time.
#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<FxHashMap<Name, Why>>);

impl Memory {
    /// Whether a place is left alone.
    pub(super) fn has(&self, origin: &Origin) -> bool {
        let known = self.known();
        !known.is_empty() && known.contains_key(&*origin.to_string())
    }

    /// Leaves a place alone from here on; `None` = it was before, or there is no room.
    pub(super) fn add(&self, origin: &Origin, why: Why) -> Option<LeftAlone> {
        let place = Name::from(origin.to_string());
        let mut known = self.known();
        if known.contains_key(&place) || known.len() >= REMEMBERED {
            return None;
        }
        known.insert(place.clone(), why.clone());
        Some(LeftAlone { place, why })
    }

    /// All of them, by their names.
    pub(super) fn all(&self) -> Vec<LeftAlone> {
        let mut all: Vec<LeftAlone> =
            self.known().iter().map(|(place, why)| LeftAlone { place: place.clone(), why: why.clone() }).collect();
        all.sort_by(|one, other| one.place.cmp(&other.place));
        all
    }

    fn known(&self) -> MutexGuard<'_, FxHashMap<Name, Why>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::connect::Scheme;

    #[test]
    fn a_host_is_told_once_and_remembered_by_its_port() {
        let memory = Memory::default();
        let origin = |port| Origin::new(Scheme::Tunnel, "API.example.com", port);
        assert!(!memory.has(&origin(443)));
        let told = memory.add(&origin(443), Why::Pins).unwrap();
        assert!(told.to_string().contains("api.example.com:443") && told.to_string().contains("pins"), "{told}");
        assert_eq!(memory.add(&origin(443), Why::Client), None);
        assert!(memory.has(&origin(443)) && !memory.has(&origin(8443)));
        assert_eq!(memory.all(), [told]);
    }

    #[test]
    fn hosts_are_remembered_up_to_a_bound() {
        let memory = Memory::default();
        let origin = |number| Origin::new(Scheme::Tunnel, &format!("{number}.example"), 443);
        assert!((0..REMEMBERED).all(|number| memory.add(&origin(number), Why::Pins).is_some()));
        assert_eq!(memory.add(&origin(REMEMBERED), Why::Pins), None);
        assert_eq!(memory.all().len(), REMEMBERED);
    }
}
