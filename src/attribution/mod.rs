//! Which hop ate the time: pure functions over [`crate::model`], without I/O and without a clock.
//!
//! [`decompose`] cuts a trace into the sections of its critical path, [`blame`] charges a run's sections to components, [`judge`]
//! names the culprit ([`judge_with`] also by what a [`History`] of earlier calls tells), [`findings`] tells what is worth changing
//! although nothing failed. The meanings are those of the design page, section 4, and of the report reference, section 5.
//!
//! **Start-up.** A span of kind `startup` is the caller's own time, charged to `startup` as one row. Its operation names the part of the
//! start-up (all but `startup` itself, which is the whole): rows and verdicts tell the parts, inner before outer, parallel ones by the
//! one that ends last. In a run whose root is not of that kind, such spans are work that may repeat in each run.
//!
//! **Gates.** The wait at a gate is a span with a call in phase `gate`, whose dependency is the gate's name and whose kind is that of what
//! it guards, `http` where that is not known. It may be an internal span: what has a call is charged by its phases.

mod account;
mod baseline;
mod blame;
mod cause;
mod critical;
mod ending;
mod exceeded;
mod failure;
mod findings;
mod forest;
mod history;
mod measure;
mod path;
mod rules;
mod self_time;
mod sentence;
mod stalls;
mod verdict;

pub use blame::blame;
pub use critical::{PathPiece, critical_path};
pub use exceeded::exceeded;
pub use findings::findings;
pub use history::{History, PastCall};
pub use path::{Charge, Decomposition, Section, Tree, decompose};
pub use self_time::self_times;
pub use verdict::{Judgement, judge, judge_with};

#[cfg(test)]
mod tests;
