//! What must be true of any sequence of facts, for tests and fuzzing.

use super::Fact;

/// Queries begin and end in their order, each once, and are called by words of the protocol.
///
/// # Panics
/// It is not so.
pub fn check_order(facts: &[Fact]) {
    let (mut begun, mut ended, mut answered) = (0, 0, false);
    for fact in facts {
        match fact {
            Fact::QueryStarted { query, .. } => {
                assert_eq!(*query, begun);
                begun += 1;
            }
            Fact::QuerySent { query, .. } => assert!((ended..begun).contains(query)),
            Fact::AnswerStarted { query, .. } => {
                assert!(*query == ended && *query < begun);
                answered = true;
            }
            Fact::AnswerEnded { query, error, .. } => {
                assert!(*query == ended && answered && error.is_none_or(|error| matches!(error.as_str().len(), 5 | 6)));
                ended += 1;
                answered = false;
            }
            _ => {}
        }
    }
}
