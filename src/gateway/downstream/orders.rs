//! What the task of a client's connection is told from outside.

use atomic_waker::AtomicWaker;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::Context;

/// An order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Order {
    /// To end once what goes on is over.
    Finish = 1,
    /// To end at once.
    Leave = 2,
}

/// Orders to one task; the strictest counts. To look costs a few nanoseconds, since it is done whenever bytes move.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    given: AtomicU8,
    task: AtomicWaker,
}

impl Orders {
    /// Gives an order; whether it had been given before.
    pub(crate) fn give(&self, order: Order) -> bool {
        let before = self.given.fetch_max(order as u8, Ordering::AcqRel);
        self.task.wake();
        before >= order as u8
    }

    /// The order that was given; the task is woken by one to come.
    pub(crate) fn poll(&self, cx: &Context<'_>) -> Option<Order> {
        self.task.register(cx.waker());
        match self.given.load(Ordering::Acquire) {
            0 => None,
            1 => Some(Order::Finish),
            _ => Some(Order::Leave),
        }
    }
}
