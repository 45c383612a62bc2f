//! Name look-ups, and which connect used which.

use super::MILLI;
use super::peer::address;
use crate::model::{Name, Nanos, redact};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::net::IpAddr;

/// Most look-ups that are remembered in one process.
const LOOKUPS: usize = 512;
/// Most names by address that are remembered in one process.
const NAMES: usize = 4_096;
/// Most addresses of one look-up that are kept.
const ADDRESSES: usize = 64;
/// A connect that comes later does not belong to the look-up any more.
const USED_WITHIN: Nanos = 5_000 * MILLI;
/// A connect to another address of the same look-up follows a failed one within this time.
const NEXT_WITHIN: Nanos = 100 * MILLI;

/// A look-up that ended.
#[derive(Debug)]
pub(super) struct Lookup {
    pub(super) number: u64,
    pub(super) tid: u32,
    pub(super) start: Nanos,
    pub(super) end: Nanos,
    pub(super) name: Name,
    addresses: Vec<IpAddr>,
    /// Addresses that were tried.
    tried: Vec<IpAddr>,
    /// A try is under way, or one succeeded.
    pub(super) trying: u32,
    pub(super) connected: bool,
    /// When the last try failed, and the hop that was made of it.
    pub(super) failed: Option<(Nanos, Option<usize>)>,
    /// When the first thing was done for it: of a row of tries.
    pub(super) first: Nanos,
}

/// A look-up under way.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) tid: u32,
    pub(super) start: Nanos,
    pub(super) name: Name,
}

/// All look-ups of a process.
#[derive(Debug, Default)]
pub(super) struct Lookups {
    pub(super) pending: VecDeque<Pending>,
    ended: VecDeque<Lookup>,
    names: FxHashMap<IpAddr, Name>,
    next: u64,
}

impl Lookups {
    /// A look-up began.
    pub(super) fn begin(&mut self, tid: u32, start: Nanos, name: &[u8]) {
        if self.pending.len() == LOOKUPS {
            self.pending.pop_front();
        }
        self.pending.push_back(Pending { tid, start, name: text(name) });
    }

    /// A look-up ended; the name it was for.
    pub(super) fn end(&mut self, tid: u32, start: Nanos, end: Nanos, count: usize, payload: &[u8]) -> Name {
        self.pending.retain(|pending| pending.tid != tid);
        let split = count.saturating_mul(16).min(payload.len());
        let (addresses, name) = payload.split_at(split);
        let name = text(name);
        let addresses: Vec<IpAddr> = addresses.chunks_exact(16).take(ADDRESSES).filter_map(address).collect();
        if addresses.is_empty() {
            return name;
        }
        for &address in &addresses {
            if self.names.len() < NAMES || self.names.contains_key(&address) {
                self.names.insert(address, name.clone());
            }
        }
        if self.ended.len() == LOOKUPS {
            self.ended.pop_front();
        }
        self.next += 1;
        self.ended.push_back(Lookup {
            number: self.next,
            tid,
            start,
            end,
            name: name.clone(),
            addresses,
            tried: Vec::new(),
            trying: 0,
            connected: false,
            failed: None,
            first: start,
        });
        name
    }

    /// The look-up that a connect at `at` to an address belongs to, and whether it is another try of it.
    pub(super) fn claim(&mut self, tid: u32, at: Nanos, address: IpAddr) -> Option<(&mut Lookup, bool)> {
        let fresh = |lookup: &Lookup| {
            lookup.tried.is_empty()
                && lookup.end <= at.saturating_add(MILLI)
                && at.saturating_sub(lookup.end) <= USED_WITHIN
                && lookup.addresses.contains(&address)
        };
        let next = |lookup: &Lookup| {
            !lookup.tried.is_empty()
                && !lookup.connected
                && lookup.addresses.contains(&address)
                && !lookup.tried.contains(&address)
                && (lookup.trying > 0 || lookup.failed.is_some_and(|(failed, _)| at.saturating_sub(failed) <= NEXT_WITHIN))
        };
        let first_choice = |lookup: &Lookup| fresh(lookup) && lookup.addresses.first() == Some(&address);
        let own = |lookup: &Lookup| lookup.tid == tid;
        let position = |wanted: &dyn Fn(&Lookup) -> bool| self.ended.iter().position(wanted);
        // The newest of one's own thread, else the oldest that nobody used.
        let index = self
            .ended
            .iter()
            .rposition(|lookup| own(lookup) && fresh(lookup))
            .or_else(|| self.ended.iter().rposition(|lookup| own(lookup) && next(lookup)))
            .or_else(|| position(&first_choice))
            .or_else(|| position(&next))
            .or_else(|| position(&fresh))?;
        let lookup = self.ended.get_mut(index)?;
        let again = !lookup.tried.is_empty();
        lookup.tried.push(address);
        lookup.trying += 1;
        Some((lookup, again))
    }

    /// The look-up of a number.
    pub(super) fn get(&mut self, number: u64) -> Option<&mut Lookup> {
        self.ended.iter_mut().rev().find(|lookup| lookup.number == number)
    }

    /// The name that was last looked up for an address.
    pub(super) fn name_of(&self, address: IpAddr) -> Option<Name> {
        self.names.get(&address).cloned()
    }
}

fn text(name: &[u8]) -> Name {
    redact::name(&String::from_utf8_lossy(name).to_ascii_lowercase()).into()
}
