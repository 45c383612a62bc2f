use super::*;
use std::fmt;
use std::io::ErrorKind;
use std::time::Duration;

fn codes(failure: &Failure) -> (Outcome, Option<FailedBy>, &str) {
    (failure.outcome, failure.failed_by, &failure.error_type)
}

/// An error of an application, which wraps another one.
#[derive(Debug)]
struct SearchError(Option<Box<dyn Error + Send + Sync>>);

impl fmt::Display for SearchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("search failed")
    }
}

impl Error for SearchError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.as_deref().map(|error| error as _)
    }
}

#[test]
fn a_systems_error_keeps_its_number() {
    // ECONNREFUSED and ECONNRESET.
    for (errno, outcome, code) in [(111, Outcome::Connect, "connection_refused"), (104, Outcome::Reset, "connection_reset")] {
        let failure = classify_any(&io::Error::from_raw_os_error(errno));
        assert_eq!(codes(&failure), (outcome, Some(FailedBy::Peer), code));
        assert_eq!((failure.errno, failure.phase), (Some(errno), None));
    }
}

#[test]
fn running_out_of_descriptors_or_ports_is_the_callers() {
    for (errno, code) in [(24, "too_many_open_files"), (99, "no_local_port")] {
        let failure = classify_any(&io::Error::from_raw_os_error(errno));
        assert_eq!(codes(&failure), (Outcome::Connect, Some(FailedBy::Caller), code));
    }
}

#[tokio::test(start_paused = true)]
async fn a_timer_is_the_callers_and_the_kernels_is_not() {
    let elapsed = tokio::time::timeout(Duration::from_secs(1), std::future::pending::<()>()).await.unwrap_err();
    assert_eq!(codes(&classify_any(&elapsed)), (Outcome::Timeout, Some(FailedBy::Caller), "timeout"));
    let dressed = io::Error::new(ErrorKind::TimedOut, elapsed);
    assert_eq!(codes(&classify_any(&dressed)), (Outcome::Timeout, Some(FailedBy::Caller), "timeout"));
    let kernel = io::Error::from_raw_os_error(110);
    assert_eq!(codes(&classify_any(&kernel)), (Outcome::Timeout, Some(FailedBy::Peer), "timeout"));
}

#[test]
fn errors_are_found_inside_others_and_inside_boxes() {
    let refused = || Box::new(io::Error::from_raw_os_error(111));
    let expected = (Outcome::Connect, Some(FailedBy::Peer), "connection_refused");
    let outer = SearchError(Some(refused()));
    assert_eq!(codes(&classify(&outer)), expected);
    let boxed: Box<dyn Error + Send + Sync> = Box::new(outer);
    assert_eq!(codes(&classify_any(&boxed)), expected);
    let boxed: Box<dyn Error> = Box::new(SearchError(Some(refused())));
    assert_eq!(codes(&classify_any(&boxed)), expected);
    let inside: Box<dyn Error + Send> = Box::new(io::Error::other(SearchError(Some(refused()))));
    assert_eq!(codes(&classify_any(&inside)), expected);
}

#[test]
fn an_unknown_type_gives_its_name_and_an_unknown_error_nothing() {
    assert_eq!(codes(&classify_any(&SearchError(None))), (Outcome::Error, Some(FailedBy::Peer), "SearchError"));
    assert_eq!(codes(&classify(&SearchError(None))), (Outcome::Error, Some(FailedBy::Peer), "_OTHER"));
    assert_eq!(&*classify_any(&Option::<SearchError>::None).error_type, "Option");
    assert_eq!(&*classify_any(&"text").error_type, "_OTHER");
    assert_eq!(&*classify_any(&(1, 2)).error_type, "_OTHER");
}

#[test]
fn a_chain_that_leads_back_to_itself_ends() {
    #[derive(Debug)]
    struct Round;
    impl fmt::Display for Round {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("round")
        }
    }
    impl Error for Round {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(self)
        }
    }
    assert_eq!(classify(&Round).outcome, Outcome::Error);
    assert_eq!(chain(&Round).count(), DEPTH_MAX);
}

#[cfg(all(unix, feature = "reqwest"))]
#[test]
fn a_failed_lookup_tells_no_name_from_no_server() {
    for (lookup, code) in
        [(libc::EAI_NONAME, "name_not_found"), (libc::EAI_AGAIN, "name_server_failure"), (libc::EAI_FAIL, "name_resolution")]
    {
        let failure = classify_any(&io::Error::other(LookupError::of_code(lookup)));
        assert_eq!(codes(&failure), (Outcome::Dns, Some(FailedBy::Peer), code));
        assert_eq!(failure.phase, Some(Phase::Dns));
    }
}

#[cfg(feature = "reqwest")]
#[test]
fn what_rustls_finds_wrong_is_named() {
    use rustls::{AlertDescription, CertificateError, InvalidMessage};
    for (error, code) in [
        (rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer), "certificate_unknown_issuer"),
        (rustls::Error::InvalidCertificate(CertificateError::Expired), "certificate_expired"),
        (rustls::Error::InvalidCertificate(CertificateError::NotValidForName), "certificate_name"),
        (rustls::Error::InvalidCertificate(CertificateError::Revoked), "certificate"),
        (rustls::Error::AlertReceived(AlertDescription::HandshakeFailure), "tls_alert"),
        (rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType), "not_tls"),
    ] {
        // As tokio-rustls and hyper-util wrap it.
        let wrapped = io::Error::other(io::Error::new(ErrorKind::InvalidData, error));
        let failure = classify_any(&wrapped);
        assert_eq!(codes(&failure), (Outcome::Tls, Some(FailedBy::Peer), code));
        assert_eq!(failure.phase, Some(Phase::Tls));
    }
}

#[cfg(feature = "reqwest-middleware")]
#[test]
fn a_middlewares_error_is_looked_into() {
    let failure = classify_any(&::reqwest_middleware::Error::middleware(io::Error::from_raw_os_error(111)));
    assert_eq!(codes(&failure), (Outcome::Connect, Some(FailedBy::Peer), "connection_refused"));
}
