//! Scripted servers with real faults, and programs run beside them with and without `hopwatch run`.

pub(crate) mod app;
pub(crate) mod authority;
pub(crate) mod chroma;
pub(crate) mod part;
pub(crate) mod peers;
pub(crate) mod postgres;
pub(crate) mod replies;
pub(crate) mod report;
pub(crate) mod request;
pub(crate) mod routed;
pub(crate) mod script;
pub(crate) mod server;
pub(crate) mod tinyproxy;
pub(crate) mod turn;
pub(crate) mod via;
