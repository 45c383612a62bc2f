//! Errors of reqwest, hyper-util's client and rustls.

use super::judge::{Code, Evidence, Judged, Place};
use crate::model::{Outcome, error_type};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use rustls::CertificateError;
use std::error::Error;
use tower_service::Service;

// hyper-util does not export these two by name.
type ConnectError = <HttpConnector as Service<::http::Uri>>::Error;
type TunnelError = <Tunnel<HttpConnector> as Service<::http::Uri>>::Error;

pub(super) fn see(error: &(dyn Error + 'static), evidence: &mut Evidence) {
    if let Some(error) = error.downcast_ref::<::reqwest::Error>() {
        of_client(error, evidence);
    } else if let Some(error) = error.downcast_ref::<hyper_util::client::legacy::Error>() {
        evidence.place = match (evidence.place, error.is_connect()) {
            (Place::Unknown | Place::Exchange, true) => Place::Connecting,
            (Place::Unknown, false) => Place::Exchange,
            (place, _) => place,
        };
    } else if let Some(error) = error.downcast_ref::<TunnelError>() {
        evidence.place = Place::Tunnel;
        evidence.tunnel = match error {
            TunnelError::ConnectFailed(_) | TunnelError::Io(_) => None,
            TunnelError::ProxyAuthRequired => Some(error_type::PROXY_AUTHENTICATION_REQUIRED),
            TunnelError::TunnelUnexpectedEof => Some(error_type::PROXY_CLOSED),
            _ => Some(error_type::PROXY_REFUSED),
        };
    } else if error.is::<ConnectError>() {
        if evidence.place != Place::Dns {
            evidence.place = Place::Tcp;
        }
    } else if let Some(error) = error.downcast_ref::<rustls::Error>() {
        evidence.place = Place::Tls;
        evidence.tls = evidence.tls.or(Some(of_handshake(error)));
    } else if evidence.place == Place::Connecting && error.is::<std::io::Error>() {
        // Below hyper-util's connect error without a connector's error: the stream was open, and the handshake on it failed.
        evidence.place = Place::Tls;
    }
}

fn of_client(error: &::reqwest::Error, evidence: &mut Evidence) {
    evidence.timer |= error.is_timeout();
    if let Some(status) = error.status() {
        evidence.status = evidence.status.or(Some(status.as_u16()));
    } else if error.is_dns() {
        evidence.place = Place::Dns;
    } else if error.is_builder() {
        evidence.client = evidence.client.or(Some(Judged::caller(Outcome::Error, "request")));
    } else if error.is_redirect() {
        evidence.client = evidence.client.or(Some(Judged::peer(Outcome::Error, "redirect")));
    } else if error.is_decode() {
        evidence.place = Place::Body;
        evidence.client = evidence.client.or(Some(Judged::peer(Outcome::Body, "decode")));
    } else if error.is_body() && evidence.place == Place::Unknown {
        evidence.place = Place::Body;
    } else if error.is_upgrade() {
        evidence.client = evidence.client.or(Some(Judged::peer(Outcome::Error, "upgrade")));
    }
}

fn of_handshake(error: &rustls::Error) -> Code {
    match error {
        rustls::Error::InvalidCertificate(why) => match why {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => error_type::CERTIFICATE_EXPIRED,
            CertificateError::UnknownIssuer => error_type::CERTIFICATE_UNKNOWN_ISSUER,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => error_type::CERTIFICATE_NAME,
            _ => error_type::CERTIFICATE,
        },
        rustls::Error::NoCertificatesPresented => error_type::CERTIFICATE,
        rustls::Error::AlertReceived(_) => error_type::TLS_ALERT,
        rustls::Error::InvalidMessage(_) => error_type::NOT_TLS,
        _ => error_type::TLS,
    }
}
