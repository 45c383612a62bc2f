//! When to try again.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// The first pause.
const FIRST: Duration = Duration::from_millis(100);
/// The longest that is not asked for.
const LONGEST: Duration = Duration::from_secs(30);
/// A server that asks for more is asked again after this: it may have meant something else.
const LONGEST_ASKED: Duration = Duration::from_secs(300);

/// Exponential backoff with jitter that keeps to what the server asked for.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
    random: RandomState,
    tries: u64,
}

/// A pause before the next try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pause {
    /// How long.
    pub(super) time: Duration,
    /// The server asked for it: nothing may cut it short.
    pub(super) asked: bool,
}

impl Backoff {
    pub(super) fn new() -> Self {
        Self { next: FIRST, random: RandomState::new(), tries: 0 }
    }

    /// The pause after a failed try; `asked` is what the server asked for.
    pub(super) fn pause(&mut self, asked: Option<Duration>) -> Pause {
        self.tries += 1;
        let full = self.next;
        self.next = (full * 2).min(LONGEST);
        // Between half of it and all: clients that failed together do not come back together.
        let part = self.random.hash_one(self.tries) % 1000;
        let own = full / 2 + (full / 2).mul_f64(part as f64 / 1000.0);
        match asked {
            // A little later than asked, for the same reason.
            Some(asked) => Pause { time: asked.min(LONGEST_ASKED) + own.min(FIRST), asked: true },
            None => Pause { time: own, asked: false },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_differ() {
        let mut backoff = Backoff::new();
        let mut full = FIRST;
        for _ in 0..20 {
            let Pause { time, asked } = backoff.pause(None);
            assert!(!asked && time >= full / 2 && time <= full, "{time:?} of {full:?}");
            full = (full * 2).min(LONGEST);
        }
        let firsts: std::collections::HashSet<_> = (0..20).map(|_| Backoff::new().pause(None).time).collect();
        assert!(firsts.len() > 1, "all alike: {firsts:?}");
    }

    #[test]
    fn what_the_server_asks_for_is_kept_within_reason() {
        let minute = Duration::from_secs(60);
        let pause = Backoff::new().pause(Some(minute));
        assert!(pause.asked && pause.time >= minute && pause.time <= minute + FIRST);
        assert!(Backoff::new().pause(Some(Duration::from_secs(86_400))).time <= LONGEST_ASKED + FIRST);
    }
}
