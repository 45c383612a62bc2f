//! The throw-away authority, in memory alone: its certificate is told, its keys never leave the process.

use crate::model::clock::Anchor;
use crate::model::{Name, Nanos};
use jiff::Timestamp;
use jiff::tz::Offset;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SerialNumber, date_time_ymd,
};
use rustc_hash::FxHashMap;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SigningKey, SingleCertAndKey};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Most certificates of hosts that are kept.
const LEAVES_MAX: usize = 256;
/// Certificates are valid from so long before now on: clocks of a machine and of its containers may differ.
const BEFORE: Nanos = 2 * DAY;
/// To so long after now. Some clients turn down what is valid for more than 398 days.
const AFTER: Nanos = 365 * DAY;
const DAY: Nanos = 24 * 3_600 * 1_000_000_000;

/// What its certificates are for, as who looks at one reads it.
const NAME: &str = "hopwatch run --intercept";

/// Why there is no authority, or no certificate for a host.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A certificate cannot be made.
    #[error("a certificate cannot be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// An authority whose certificates stand for those of hosts, for whoever trusts it.
pub(super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// What all certificates of hosts have in common, their key included.
    leaf: CertificateParams,
    key: KeyPair,
    signing: Arc<dyn SigningKey>,
    serials: AtomicU64,
    leaves: Mutex<FxHashMap<Name, Arc<CertifiedKey>>>,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl Authority {
    /// A new one.
    pub(super) fn new(anchor: Anchor) -> Result<Self, AuthorityError> {
        let now = anchor.now();
        let (year, month, day) = date(now.saturating_sub(BEFORE));
        let (last_year, last_month, last_day) = date(now.saturating_add(AFTER));
        let mut common = CertificateParams::default();
        common.not_before = date_time_ymd(year, month, day);
        common.not_after = date_time_ymd(last_year, last_month, last_day);
        common.use_authority_key_identifier_extension = true;
        common.distinguished_name = DistinguishedName::new();
        common.distinguished_name.push(DnType::OrganizationName, NAME);

        let mut own = common.clone();
        // One run's is not to be taken for another's.
        let run = RandomState::new().hash_one(now);
        own.distinguished_name.push(DnType::CommonName, format!("{NAME} {run:016x}"));
        own.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        own.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(own, KeyPair::generate()?)?;

        let key = KeyPair::generate()?;
        let secret = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let signing = ring::sign::any_ecdsa_type(&secret)?;
        common.is_ca = IsCa::ExplicitNoCa;
        common.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        common.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        Ok(Self { issuer, leaf: common, key, signing, serials: AtomicU64::new(run >> 1), leaves: Mutex::default() })
    }

    /// What a client has to trust.
    pub(super) fn certificate(&self) -> &CertificateDer<'static> {
        self.issuer.der()
    }

    /// The certificate of a host: the one of before, else a new one.
    ///
    /// # Errors
    /// The host is none that a certificate could name.
    pub(super) fn leaf(&self, host: &str) -> Result<Arc<CertifiedKey>, AuthorityError> {
        let mut leaves = self.leaves.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = leaves.get(host) {
            return Ok(Arc::clone(known));
        }
        // The dot of a fully qualified name is no part of a certificate's (RFC 6066, section 3).
        let names = CertificateParams::new(vec![host.trim_end_matches('.').to_owned()])?;
        let mut params = self.leaf.clone();
        params.subject_alt_names = names.subject_alt_names;
        // Two certificates of one authority are never to have the same (RFC 5280, 4.1.2.2).
        let serial = self.serials.fetch_add(1, Ordering::Relaxed);
        params.serial_number = Some(SerialNumber::from(serial));
        let certificate = params.signed_by(&self.key, &self.issuer)?;
        let leaf = Arc::new(CertifiedKey::new(vec![certificate.der().clone()], Arc::clone(&self.signing)));
        if leaves.len() >= LEAVES_MAX {
            leaves.clear();
        }
        leaves.insert(host.into(), Arc::clone(&leaf));
        Ok(leaf)
    }
}

/// How TLS is spoken with a client that gets this certificate, with this protocol inside (`None` = none is agreed on). Sessions are not
/// taken up again, so that each handshake shows whether its client accepts the certificate.
///
/// # Errors
/// rustls cannot be set up.
pub(super) fn server(leaf: Arc<CertifiedKey>, protocol: Option<&[u8]>) -> Result<Arc<ServerConfig>, rustls::Error> {
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions()?;
    let mut server = builder.with_no_client_auth().with_cert_resolver(Arc::new(SingleCertAndKey::from(leaf)));
    server.alpn_protocols = protocol.map(<[u8]>::to_vec).into_iter().collect();
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    Ok(Arc::new(server))
}

/// Year, month and day of an instant.
fn date(instant: Nanos) -> (i32, u8, u8) {
    let date = Offset::UTC.to_datetime(Timestamp::from_nanosecond(i128::from(instant)).unwrap_or_default()).date();
    (date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::RootCertStore;
    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier;
    use rustls::pki_types::{ServerName, UnixTime};
    use std::time::Duration;

    fn authority() -> Authority {
        Authority::new(Anchor::new(0)).unwrap()
    }

    /// Whether who trusts one authority takes a certificate for that of a host, so many days from now.
    fn is_taken(authority: &Authority, leaf: &CertifiedKey, host: &str, days: i64) -> bool {
        let mut roots = RootCertStore::empty();
        roots.add(authority.certificate().clone()).unwrap();
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        let now = i64::try_from(UnixTime::now().as_secs()).unwrap() + days * 24 * 3_600;
        let at = UnixTime::since_unix_epoch(Duration::from_secs(now.unsigned_abs()));
        let host = ServerName::try_from(host.to_owned()).unwrap();
        verifier.verify_server_cert(leaf.end_entity_cert().unwrap(), &[], &host, &[], at).is_ok()
    }

    #[test]
    fn a_certificate_stands_for_its_host_alone_and_for_a_year() {
        let authority = authority();
        for host in ["api.example.com", "127.0.0.1", "::1"] {
            let leaf = authority.leaf(host).unwrap();
            assert!([-1, 0, 363].map(|days| is_taken(&authority, &leaf, host, days)) == [true; 3], "{host}");
            assert!([-4, 367].map(|days| is_taken(&authority, &leaf, host, days)) == [false; 2], "{host}");
            assert!(!is_taken(&authority, &leaf, "other.example.com", 0));
        }
        let dotted = authority.leaf("api.example.com.").unwrap();
        assert!(is_taken(&authority, &dotted, "api.example.com", 0));
    }

    #[test]
    fn another_run_has_another_authority() {
        let (one, other) = (authority(), authority());
        assert!(!is_taken(&other, &one.leaf("a.example").unwrap(), "a.example", 0));
        let name = |authority: &Authority| {
            let (_, read) = x509_parser::parse_x509_certificate(authority.certificate()).unwrap();
            read.subject().to_string()
        };
        assert!(name(&one).contains(NAME), "{}", name(&one));
        assert_ne!(name(&one), name(&other));
    }

    #[test]
    fn certificates_are_made_once_differ_in_their_numbers_and_are_bounded() {
        let authority = authority();
        let first = authority.leaf("a.example").unwrap();
        assert!(Arc::ptr_eq(&first, &authority.leaf("a.example").unwrap()));
        let serial = |leaf: &CertifiedKey| {
            let (_, read) = x509_parser::parse_x509_certificate(&leaf.cert[0]).unwrap();
            read.raw_serial().to_vec()
        };
        assert_ne!(serial(&first), serial(&authority.leaf("b.example").unwrap()));
        for number in 0..=LEAVES_MAX {
            authority.leaf(&format!("{number}.example")).unwrap();
        }
        assert!(authority.leaves.lock().unwrap().len() <= LEAVES_MAX);
    }

    #[test]
    fn what_can_be_no_host_gets_none_and_keys_are_not_printed() {
        let authority = authority();
        assert!(authority.leaf("h\u{f6}st.example").is_err());
        assert_eq!(format!("{authority:?}"), "Authority { .. }");
    }
}
