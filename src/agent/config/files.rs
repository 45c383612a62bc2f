//! PEM files that settings name: certificates and keys.

use super::Settings;
use super::fault::Fault;
use crate::gateway::connect::trust;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::error::Error;
use std::path::{Path, PathBuf};

/// Why a PEM file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PemError {
    /// It cannot be read, or is no PEM.
    #[error("cannot read `{}`", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: pem::Error,
    },
    /// It is PEM, of something else.
    #[error("`{}` holds no {what}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// What was looked for: `certificate`, `private key`.
        what: &'static str,
    },
    /// Certificate or key are of no use, alone or together.
    #[error("`{}` and `{}` cannot be served", certificate.display(), key.display())]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        source: rustls::Error,
    },
}

/// A certificate chain with its key, to serve TLS with.
///
/// # Errors
/// When one of the files cannot be read or holds none, or when they do not belong together.
pub fn identity(certificate: &Path, key: &Path) -> Result<CertifiedKey, PemError> {
    let unreadable = |path: &Path, source| PemError::Unreadable { path: path.to_owned(), source };
    let missing = |path: &Path, what| PemError::Missing { path: path.to_owned(), what };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect);
    let chain = chain.map_err(|source| unreadable(certificate, source))?;
    if chain.is_empty() {
        return Err(missing(certificate, "certificate"));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|source| match source {
        pem::Error::NoItemsFound => missing(key, "private key"),
        source => unreadable(key, source),
    })?;
    CertifiedKey::from_der(chain, private, &rustls::crypto::ring::default_provider()).map_err(|source| PemError::Unusable {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        source,
    })
}

impl Settings {
    /// Looks into the files that the settings name: what is wrong with them.
    #[must_use]
    pub fn check_files(&self) -> Vec<Fault> {
        let ca = &self.gateway.ca;
        let untrusted = ca.iter().filter_map(|path| trust::certificates(path).err());
        let mut wrong: Vec<_> =
            untrusted.map(|error| Fault { at: ca.source.clone(), message: error.to_string(), hint: None }).collect();
        if let (Some(certificate), Some(key)) = (&self.gateway.tls_certificate.value, &self.gateway.tls_key.value)
            && let Err(error) = identity(certificate, key)
        {
            let of_key = matches!(&error, PemError::Unreadable { path, .. } | PemError::Missing { path, .. } if path == key);
            let at = if of_key { &self.gateway.tls_key.source } else { &self.gateway.tls_certificate.source };
            let cause = error.source().map_or_else(String::new, |cause| format!(": {cause}"));
            wrong.push(Fault { at: at.clone(), message: format!("{error}{cause}"), hint: hint(&error) });
        }
        wrong
    }
}

/// What to do about it.
fn hint(error: &PemError) -> Option<String> {
    let text = match error {
        PemError::Unreadable { .. } => return None,
        PemError::Missing { .. } => "it must be PEM, with `-----BEGIN …-----` lines",
        PemError::Unusable { .. } => "the key must be the one that the first certificate was made for",
    };
    Some(text.to_owned())
}
