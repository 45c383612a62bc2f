//! Whom TLS trusts: the system's authorities, and those in files that are named.

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::OnceCell;

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

/// TLS, set up when it is first needed: to read the system's authorities takes tens of milliseconds, which a start is not to wait for.
#[derive(Clone, Debug)]
pub(crate) struct Tls(Arc<Lazy>);

#[derive(Debug)]
struct Lazy {
    /// Files and folders whose authorities are trusted too. What cannot be read is left out.
    named: Vec<PathBuf>,
    config: OnceCell<Result<Arc<ClientConfig>, String>>,
}

impl Tls {
    /// Trusts the system's authorities and those of the files and folders that are named, as far as they can be read.
    pub(crate) fn trusting(named: Vec<PathBuf>) -> Self {
        Self(Arc::new(Lazy { named, config: OnceCell::new() }))
    }

    /// Its configuration. The first time it reads files, on a blocking thread; all who ask meanwhile wait for that.
    ///
    /// # Errors
    /// rustls cannot be set up.
    ///
    /// # Cancel safety
    /// Dropped while it reads, the next one who asks reads anew.
    pub(crate) async fn config(&self) -> Result<&Arc<ClientConfig>, &str> {
        let read = async || {
            let this = self.clone();
            let read = tokio::task::spawn_blocking(move || this.read());
            read.await.unwrap_or_else(|error| Err(error.to_string()))
        };
        self.0.config.get_or_init(read).await.as_ref().map_err(String::as_str)
    }

    fn read(&self) -> Result<Arc<ClientConfig>, String> {
        roots(&readable(&self.0.named)).and_then(client).map_err(|error| error.to_string())
    }
}

impl From<Arc<ClientConfig>> for Tls {
    fn from(config: Arc<ClientConfig>) -> Self {
        Self(Arc::new(Lazy { named: Vec::new(), config: OnceCell::new_with(Some(Ok(config))) }))
    }
}

/// The authorities of the system and those of PEM files and folders that are named, as a store. Empty where there are none at all: then
/// every handshake fails.
///
/// # Errors
/// As [`authorities`].
pub(crate) fn roots(named: &[PathBuf]) -> Result<RootCertStore, TrustError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(authorities(named)?);
    Ok(roots)
}

/// The certificates of the system's authorities and of those of PEM files and folders that are named.
///
/// Reads files: some hundred of the system's, which takes tens of milliseconds.
///
/// # Errors
/// When something that was named cannot be read or holds no certificate. A single one that is none is skipped.
pub(crate) fn authorities(named: &[PathBuf]) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let mut found = rustls_native_certs::load_native_certs().certs;
    // Where `SSL_CERT_FILE` or its sibling is set here, the above is what it names, in place of the system's.
    if openssl_probe::has_ssl_cert_env_vars() {
        for folder in openssl_probe::candidate_cert_dirs() {
            found.extend(rustls_native_certs::load_certs_from_paths(None, Some(folder)).certs);
        }
    }
    for path in named {
        found.extend(certificates(path)?);
    }
    Ok(found)
}

/// Those of files and folders that hold certificates.
pub(crate) fn readable(named: &[PathBuf]) -> Vec<PathBuf> {
    named.iter().filter(|path| certificates(path).is_ok()).cloned().collect()
}

/// What the variables of an environment name, by which clients of OpenSSL, Python's `requests` and curl are told whom to trust.
/// A folder of `SSL_CERT_DIR` that is not there is left out, as OpenSSL does.
pub(crate) fn named_by(environment: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let set = |name| environment(name).filter(|value| !value.is_empty());
    let files = ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"].into_iter().filter_map(set).map(PathBuf::from);
    let folders = set("SSL_CERT_DIR").map_or_else(Vec::new, |value| std::env::split_paths(&value).collect());
    files.chain(folders.into_iter().filter(|folder| folder.is_dir())).collect()
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
    Ok(Arc::new(builder()?.with_root_certificates(roots).with_no_client_auth()))
}

/// The same before it is settled who verifies certificates.
///
/// # Errors
/// When rustls cannot be set up.
pub(crate) fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, TrustError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    Ok(builder.with_safe_default_protocol_versions()?)
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
    fn the_variables_of_all_clients_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let folders = std::env::join_paths([folder.path(), Path::new("/nonexistent")]).unwrap();
        let named = named_by(|name| match name {
            "SSL_CERT_FILE" => Some("a.pem".into()),
            "CURL_CA_BUNDLE" => Some("b.pem".into()),
            "REQUESTS_CA_BUNDLE" => Some(OsString::new()),
            "SSL_CERT_DIR" => Some(folders.clone()),
            _ => None,
        });
        assert_eq!(named, ["a.pem".into(), "b.pem".into(), folder.path().to_owned()]);
    }

    #[tokio::test]
    async fn what_is_not_read_yet_is_read_once_for_all_who_ask() {
        let tls = Tls::trusting(vec!["/nonexistent.pem".into()]);
        let (one, other) = tokio::join!(tls.config(), tls.config());
        assert!(Arc::ptr_eq(one.unwrap(), other.unwrap()));
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
