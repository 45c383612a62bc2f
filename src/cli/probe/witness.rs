//! Sees the certificate that a server shows, also when it is turned down. Decides nothing.

use crate::gateway::connect::trust::{self, TrustError};
use crate::model::redact;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::sync::{Arc, Mutex, PoisonError};
use x509_parser::certificate::X509Certificate;

/// TLS whose verifier is witnessed.
#[derive(Debug)]
pub(super) struct Secured {
    pub(super) config: Arc<ClientConfig>,
    pub(super) witness: Option<Arc<Witness>>,
    /// How many authorities are trusted.
    pub(super) authorities: usize,
}

/// A verifier, and who issued the last certificate that it was shown. For tries that come one after another.
#[derive(Debug)]
pub(super) struct Witness {
    verifier: Arc<WebPkiServerVerifier>,
    issuer: Mutex<Option<String>>,
}

impl Secured {
    /// Trusts these authorities.
    ///
    /// # Errors
    /// When rustls cannot be set up.
    pub(super) fn with(roots: RootCertStore) -> Result<Self, TrustError> {
        let authorities = roots.len();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let Ok(verifier) = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build() else {
            // Without authorities there is nothing to verify with: every certificate is turned down.
            return Ok(Self { config: trust::client(RootCertStore::empty())?, witness: None, authorities });
        };
        let witness = Arc::new(Witness { verifier, issuer: Mutex::default() });
        let verifier: Arc<dyn ServerCertVerifier> = Arc::<Witness>::clone(&witness);
        let mut config = trust::builder()?.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
        // Each try is a whole handshake, as a client's first connection makes it.
        config.resumption = Resumption::disabled();
        Ok(Self { config: Arc::new(config), witness: Some(witness), authorities })
    }
}

impl Witness {
    /// Who issued the last certificate that was shown; then that is forgotten.
    pub(super) fn take_issuer(&self) -> Option<String> {
        self.issuer.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        *self.issuer.lock().unwrap_or_else(PoisonError::into_inner) = issuer(certificate);
        self.verifier.verify_server_cert(certificate, intermediates, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// The common name of a certificate's issuer, else its whole name.
fn issuer(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, certificate): (_, X509Certificate<'_>) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let issuer = certificate.issuer();
    let common = issuer.iter_common_name().find_map(|name| name.as_str().ok()).map(str::to_owned);
    Some(redact::name(&common.unwrap_or_else(|| issuer.to_string())))
}
