//! What goes through the gateway becomes records: an [`Exchange`] is written by the tasks that carry it, the [`Recorder`] counts it and
//! makes a hop of it when it ended. The work beyond a few stores is done by whoever looks, not by the data path.

mod attempt;
mod entry;
mod exchange;
mod line;
mod marks;
mod recorder;
mod turn;

pub(crate) use exchange::{Answered, Asked, Exchange, Used};
pub(crate) use line::{Ends, Line};
pub(crate) use marks::Marks;
pub(crate) use recorder::{Recorder, Ticket};
pub(crate) use turn::{Http, Passed, Protocol, Step, Turn};
