//! TLS to a collector: rustls with ring.

use crate::export::otlp::config::OtlpSignal;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub(in crate::export::otlp) enum TlsError {
    /// A file cannot be read.
    #[error("cannot read `{path}` as {what} in PEM: {reason}")]
    File {
        /// Which.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// Why not.
        reason: String,
    },
    /// Nothing to trust.
    #[error("the system has no certificates to trust: name a PEM file in OTEL_EXPORTER_OTLP_CERTIFICATE")]
    NoRoots,
    /// One half of a pair.
    #[error("a client certificate needs its key and a key its certificate: set both or neither")]
    HalfIdentity,
    /// They do not fit.
    #[error("TLS cannot be set up: {0}")]
    Unusable(#[from] rustls::Error),
}

/// The client's side. Where TLS is not `needed` nothing is trusted and nothing read.
pub(super) fn client(signal: &OtlpSignal, needed: bool) -> Result<ClientConfig, TlsError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(if needed { roots(signal.certificate.as_deref())? } else { RootCertStore::empty() });
    match (&signal.client_certificate, &signal.client_key) {
        _ if !needed => Ok(builder.with_no_client_auth()),
        (None, None) => Ok(builder.with_no_client_auth()),
        (Some(certificate), Some(key)) => {
            let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, "a private key", &error))?;
            Ok(builder.with_client_auth_cert(certificates(certificate)?, key)?)
        }
        _ => Err(TlsError::HalfIdentity),
    }
}

fn roots(file: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    match file {
        Some(path) => {
            for certificate in certificates(path)? {
                roots.add(certificate)?;
            }
        }
        // One of the system's that cannot be read is no reason to trust none.
        None => _ = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs),
    }
    if roots.is_empty() { Err(TlsError::NoRoots) } else { Ok(roots) }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(found) if found.is_empty() => {
            Err(TlsError::File { path: path.to_owned(), what: "certificates", reason: "it holds none".to_owned() })
        }
        read => read.map_err(|error| unreadable(path, "certificates", &error)),
    }
}

fn unreadable(path: &Path, what: &'static str, error: &dyn std::fmt::Display) -> TlsError {
    TlsError::File { path: path.to_owned(), what, reason: error.to_string() }
}
