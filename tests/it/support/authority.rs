//! A certificate authority of the test's own and a server certificate from it, for `localhost` and `127.0.0.1`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tempfile::TempDir;

/// The authority's certificate as a file, and what a TLS server needs.
pub(crate) struct Authority {
    folder: TempDir,
    config: Arc<ServerConfig>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        Self::with(|_| ())
    }

    /// With another certificate for the server.
    pub(crate) fn with(change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut issuer = CertificateParams::new(Vec::new()).unwrap();
        issuer.distinguished_name.push(DnType::CommonName, "hopwatch test authority");
        issuer.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        issuer.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let issuer = CertifiedIssuer::self_signed(issuer, KeyPair::generate().unwrap()).unwrap();

        let key = KeyPair::generate().unwrap();
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut server = CertificateParams::new(names).unwrap();
        server.use_authority_key_identifier_extension = true;
        change(&mut server);
        let certificate = server.signed_by(&key, &issuer).unwrap();

        let folder = tempfile::tempdir().unwrap();
        for (name, pem) in [("ca.pem", issuer.pem()), ("server.crt", certificate.pem()), ("server.key", key.serialize_pem())] {
            std::fs::write(folder.path().join(name), pem).unwrap();
        }
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der())))
            .unwrap();
        Self { folder, config: Arc::new(config) }
    }

    /// Where the authority's certificate lies, for `SSL_CERT_FILE` and its like; beside it `server.crt` and `server.key`.
    pub(crate) fn file(&self) -> PathBuf {
        Path::join(self.folder.path(), "ca.pem")
    }

    /// Where the server's certificate and its key lie, for a server of another process.
    pub(crate) fn server(&self) -> (PathBuf, PathBuf) {
        (self.folder.path().join("server.crt"), self.folder.path().join("server.key"))
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }
}
