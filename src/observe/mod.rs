//! The observer's other end: follows the observed processes, reads their rings, and makes hops of what they did.
//!
//! [`place`] chooses where things lie, [`spawn`] says whether a program can be seen and with which environment it starts,
//! [`Observer`] follows the rings that appear.

pub(crate) mod assemble;
pub mod ring;
