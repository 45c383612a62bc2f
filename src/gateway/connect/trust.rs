//! Whom TLS trusts: the system's authorities, and those in files that are named.

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why certificates cannot be trusted as asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrustError {
    /// A file or folder that was named cannot be read, or holds none.
    #[error("cannot read certificates from `{}`: {reason}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Unusable(#[from] rustls::Error),
}

/// The authorities of the system and those of PEM files and folders that are named: the values of `SSL_CERT_FILE`, `SSL_CERT_DIR`
/// (each of its folders), `REQUESTS_CA_BUNDLE`, `CURL_CA_BUNDLE`. Empty where there are none at all: then every handshake fails.
///
/// Reads files: some hundred of the system's, which takes tens of milliseconds.
///
/// # Errors
/// When something that was named cannot be read or holds no certificate. A single one that is none is skipped.
pub(crate) fn roots(named: &[PathBuf]) -> Result<RootCertStore, TrustError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    // Where `SSL_CERT_FILE` or its sibling is set here, the above is what it names, in place of the system's.
    if openssl_probe::has_ssl_cert_env_vars() {
        for folder in openssl_probe::candidate_cert_dirs() {
            roots.add_parsable_certificates(rustls_native_certs::load_certs_from_paths(None, Some(folder)).certs);
        }
    }
    for path in named {
        roots.add_parsable_certificates(certificates(path)?);
    }
    Ok(roots)
}

/// The certificates of a PEM file, or of a folder of them.
///
/// # Errors
/// When it cannot be read or holds none. A single one that is none is skipped.
pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let (file, folder) = if path.is_dir() { (None, Some(path)) } else { (Some(path), None) };
    let found = rustls_native_certs::load_certs_from_paths(file, folder);
    match found.errors.first() {
        _ if !found.certs.is_empty() => Ok(found.certs),
        Some(error) => Err(TrustError::Unreadable { path: path.to_owned(), reason: error.to_string() }),
        None => Err(TrustError::Unreadable { path: path.to_owned(), reason: "there is none in it".to_owned() }),
    }
}

/// TLS by rustls with ring, its sessions kept in memory (rustls' default: 256).
///
/// # Errors
/// When rustls cannot be set up.
pub(crate) fn client(roots: RootCertStore) -> Result<Arc<ClientConfig>, TrustError> {
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_folders_that_are_named_are_added() {
        let folder = tempfile::tempdir().unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap().self_signed(&key).unwrap();
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, certificate.pem()).unwrap();
        let before = roots(&[]).unwrap().len();
        assert_eq!(roots(&[file]).unwrap().len(), before + 1);
        assert_eq!(roots(&[folder.path().to_owned()]).unwrap().len(), before + 1);
    }

    #[test]
    fn what_is_named_and_not_there_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("empty.pem");
        std::fs::write(&empty, "nothing").unwrap();
        for path in [folder.path().join("missing.pem"), empty, "/dev/null".into()] {
            let error = roots(std::slice::from_ref(&path)).unwrap_err();
            assert!(error.to_string().contains(&path.display().to_string()), "{error}");
        }
    }
}
