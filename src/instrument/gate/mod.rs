//! x
mod adapt;
