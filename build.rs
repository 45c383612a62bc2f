//! Runs at build time.
fn main() {}
