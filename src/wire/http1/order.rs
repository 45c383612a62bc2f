//! What must be true of any sequence of facts, for tests and fuzzing.

use super::Fact;
use std::collections::HashSet;

/// Each exchange runs through its stages at most once, and in order.
///
/// # Panics
/// It is not so.
pub fn check_order(facts: &[Fact]) {
    let (mut begun, mut ended, mut head_told, mut request_ended) = (0, 0, 0, HashSet::new());
    for fact in facts {
        match fact {
            Fact::RequestStarted { exchange, .. } => {
                assert_eq!(*exchange, begun);
                begun += 1;
            }
            Fact::RequestHead { exchange, head, .. } => assert!(*exchange < begun && !head.path.contains('?')),
            Fact::RequestEnded { exchange, .. } => assert!(*exchange < begun && request_ended.insert(*exchange)),
            Fact::ResponseStarted { exchange, .. } | Fact::Interim { exchange, .. } => {
                assert!(*exchange == ended && *exchange < begun);
            }
            Fact::ResponseHead { exchange, .. } => {
                assert!(*exchange == ended && *exchange == head_told);
                head_told += 1;
            }
            Fact::FirstContent { exchange, .. } | Fact::Content { exchange, .. } => {
                assert!(*exchange == ended && head_told == ended + 1);
            }
            Fact::ResponseEnded { exchange, .. } | Fact::Upgraded { exchange, .. } => {
                assert!(*exchange == ended && head_told == ended + 1);
                ended += 1;
            }
            Fact::NotHttp { .. } => {}
        }
    }
}
