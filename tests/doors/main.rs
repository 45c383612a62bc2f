//! The library's doors against scripted servers with real faults: each passes the same table of endings and changes nothing.

#[cfg(test)]
#[path = "../it/support/mod.rs"]
#[expect(dead_code, reason = "shared with tests of other doors and of other binaries")]
mod support;

#[cfg(test)]
mod classified;
#[cfg(test)]
mod clients;
#[cfg(test)]
mod endings;
#[cfg(test)]
mod h2;
#[cfg(test)]
mod mounted;
#[cfg(test)]
mod phases;
mod pools;
#[cfg(test)]
mod ready;
#[cfg(test)]
mod retries;
#[cfg(test)]
mod served;
#[cfg(test)]
mod tower;
#[cfg(test)]
mod untouched;
