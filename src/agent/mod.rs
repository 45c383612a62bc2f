//! What stands between the sources and the people: configuration and the naming of peers.

pub mod address;
pub mod admin;
pub mod assemble;
pub mod base_url;
pub mod config;
pub mod duration;
pub mod gateway;
pub mod handoff;
pub mod hub;
pub mod nearest;
pub mod page;
pub mod providers;
pub mod sidecar;
pub mod size;
#[cfg(target_os = "linux")]
pub mod stitch;
pub mod systemd;

pub use config::Settings;
