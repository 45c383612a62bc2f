//! The start of a TLS handshake, seen through rustls' session store: it is asked for a ticket while the client's hello is
//! written.

use super::connecting::CONNECTING;
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, NamedGroup};
use std::sync::Arc;

/// rustls' own default.
const SESSIONS: usize = 256;

/// Tells `tls` from `connect` for clients that use this configuration: hand it to `ClientBuilder::tls_backend_preconfigured`
/// afterwards.
///
/// Sets the session store, which cannot be read back, to rustls' default (256 sessions in memory). A store of your own goes
/// through [`watch_tls_with`].
pub fn watch_tls(config: &mut ClientConfig) {
    watch_tls_with(config, Arc::new(ClientSessionMemoryCache::new(SESSIONS)));
}

/// The same with a session store of your own, which is asked as before.
pub fn watch_tls_with(config: &mut ClientConfig, store: Arc<dyn ClientSessionStore>) {
    config.resumption = Resumption::store(Arc::new(Watched(store)));
}

#[derive(Debug)]
struct Watched(Arc<dyn ClientSessionStore>);

impl ClientSessionStore for Watched {
    fn set_kx_hint(&self, server_name: ServerName<'static>, group: NamedGroup) {
        self.0.set_kx_hint(server_name, group);
    }

    fn kx_hint(&self, server_name: &ServerName<'_>) -> Option<NamedGroup> {
        self.0.kx_hint(server_name)
    }

    fn set_tls12_session(&self, server_name: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.0.set_tls12_session(server_name, value);
    }

    fn tls12_session(&self, server_name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.0.tls12_session(server_name)
    }

    fn remove_tls12_session(&self, server_name: &ServerName<'static>) {
        self.0.remove_tls12_session(server_name);
    }

    fn insert_tls13_ticket(&self, server_name: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.0.insert_tls13_ticket(server_name, value);
    }

    fn take_tls13_ticket(&self, server_name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        // Outside a watched connect there is nothing to tell.
        let _ = CONNECTING.try_with(|connecting| connecting.handshake());
        self.0.take_tls13_ticket(server_name)
    }
}
