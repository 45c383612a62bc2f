//! Which hop ate the time: pure functions over [`crate::model`], without I/O and without a clock.
//!
//! [`decompose`] cuts a trace into the sections of its critical path, [`blame`] charges a run's sections to components, [`judge`]
//! names the culprit ([`judge_with`] also by what a [`History`] of earlier calls tells), [`findings`] tells what is worth changing
//! although nothing failed. The meanings are those of the design page, section 4, and of the report reference, section 5.

mod account;
mod baseline;
mod blame;
mod cause;
mod ending;
mod failure;
mod findings;
mod forest;
mod history;
mod measure;
mod path;
mod self_time;
mod sentence;
mod stalls;
mod verdict;

pub use blame::blame;
pub use findings::findings;
pub use history::History;
pub use path::{Charge, Decomposition, Section, Tree, decompose};
pub use self_time::self_times;
pub use verdict::{Judgement, judge, judge_with};

#[cfg(test)]
mod tests;
