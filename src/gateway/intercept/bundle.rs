//! Certificates as text (RFC 7468).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustc_hash::FxHashSet;

/// Characters of a line.
const LINE: usize = 64;

/// Certificates as the text of a PEM file, each once.
pub(super) fn pem<'a>(certificates: impl Iterator<Item = &'a [u8]>) -> String {
    let mut known = FxHashSet::default();
    let mut text = String::new();
    for certificate in certificates.filter(|certificate| known.insert(*certificate)) {
        let encoded = STANDARD.encode(certificate);
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        let mut rest = &*encoded;
        while !rest.is_empty() {
            let (line, after) = rest.split_at(rest.len().min(LINE));
            text.push_str(line);
            text.push('\n');
            rest = after;
        }
        text.push_str("-----END CERTIFICATE-----\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    #[test]
    fn what_is_written_is_read_again_each_once() {
        let long: Vec<u8> = (0..=255).cycle().take(1_000).collect();
        let certificates = [&long[..], b"short", &long[..], &[0; 48]];
        let text = pem(certificates.into_iter());
        let read: Vec<Vec<u8>> =
            CertificateDer::pem_slice_iter(text.as_bytes()).map(|certificate| certificate.unwrap().to_vec()).collect();
        assert_eq!(read, [certificates[0], certificates[1], certificates[3]]);
        assert!(text.lines().all(|line| line.len() <= LINE), "{text}");
    }
}
