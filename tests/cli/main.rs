//! The command line from outside: what it prints, what it keeps, and its exit codes.

#![cfg(target_os = "linux")]

mod bytes;
mod demo;
mod observed;
mod signals;
mod support;
mod terminal;
mod usage;
