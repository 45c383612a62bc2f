//! The library's doors: what wraps the clients that a service already has.

pub mod failure;
