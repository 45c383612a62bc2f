//! What stands between the sources and the people: configuration and the naming of peers.

pub mod address;
pub mod assemble;
pub mod base_url;
pub mod config;
pub mod duration;
pub mod nearest;
pub mod size;
pub mod systemd;

pub use config::Settings;
