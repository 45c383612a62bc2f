//! HTTP/2 on either side.

mod bombs;
mod client;
mod downstream;
mod endings;
mod intercept;
mod server;
mod slots;
mod smuggling;
mod upstream;
