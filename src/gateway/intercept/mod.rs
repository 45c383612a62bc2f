//! TLS that clients ask to be led through is ended here, for those who asked for that (`hopwatch run --intercept`), so that what is inside
//! can be seen in full.
//!
//! A client is shown a certificate of a throw-away [`authority`] that it was told to trust. Before that, TLS is set up with the host that
//! it asked for, whose certificate is verified as ever, so that both agree on one version of HTTP ([`open`]). What is asked [`inside`] is
//! served as any request. Where this would break a call, its bytes pass as they came: what is no TLS, or no HTTP; hosts whose certificate
//! is not trusted here, which its client may see and judge for itself; and hosts whose clients pin, once they have turned one certificate
//! down ([`alone`]).

mod alone;
mod authority;
mod bundle;
mod hello;
mod inside;
mod open;
mod replay;

pub use alone::{LeftAlone, Why};
pub use authority::AuthorityError;
pub(super) use inside::{Brought, Inside};
pub(super) use open::{Led, open};

use super::connect::{Origin, trust};
use crate::model::clock::Anchor;
use alone::Memory;
use authority::Authority;
use std::iter;
use std::path::PathBuf;

/// An authority, and what became of it with clients so far.
#[derive(Debug)]
pub struct Intercept {
    authority: Authority,
    alone: Memory,
    tell: Option<fn(&LeftAlone)>,
}

impl Intercept {
    /// A new authority, whose keys are in memory alone. `tell` is told of each host that is left alone from then on, once, by the thread
    /// that serves.
    ///
    /// # Errors
    /// No keys or certificates can be made.
    pub fn new(anchor: Anchor, tell: Option<fn(&LeftAlone)>) -> Result<Self, AuthorityError> {
        Ok(Self { authority: Authority::new(anchor)?, alone: Memory::default(), tell })
    }

    /// The certificate that clients have to trust, as DER (RFC 5280).
    #[must_use]
    pub fn certificate(&self) -> &[u8] {
        self.authority.certificate()
    }

    /// What a client is to trust, as the text of a PEM file: this authority, the system's, and those of files and folders that are
    /// named, as far as they can be read. `None` = the system has none and nothing is named, so that no host could be verified.
    ///
    /// Reads files, which takes tens of milliseconds.
    #[must_use]
    pub fn bundle(&self, named: &[PathBuf]) -> Option<String> {
        let others = trust::authorities(&trust::readable(named)).unwrap_or_default();
        (!others.is_empty()).then(|| bundle::pem(iter::once(self.certificate()).chain(others.iter().map(|other| &**other))))
    }

    /// The hosts that are left alone so far, by their names.
    #[must_use]
    pub fn left_alone(&self) -> Vec<LeftAlone> {
        self.alone.all()
    }

    fn leave_alone(&self, origin: &Origin, why: Why) {
        if let (Some(left), Some(tell)) = (self.alone.add(origin, why), self.tell) {
            tell(&left);
        }
    }
}
