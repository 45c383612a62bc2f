//! What must be true of any sequence of facts, for tests and fuzzing.

use super::Fact;

/// One handshake, then exchanges one after the other.
///
/// # Panics
/// It is not so.
pub fn check_order(facts: &[Fact]) {
    let (mut hellos, mut shaken, mut begun, mut sent, mut answered) = ((0, 0), 0, 0, false, false);
    for fact in facts {
        match fact {
            Fact::ClientHello { .. } => hellos.0 += 1,
            Fact::ServerHello { .. } => hellos.1 += 1,
            Fact::HandshakeEnded { .. } => shaken += 1,
            Fact::RequestStarted { exchange, .. } => {
                assert_eq!((*exchange, shaken), (begun, 1));
                begun += 1;
                (sent, answered) = (false, false);
            }
            Fact::RequestEnded { exchange, .. } => {
                assert_eq!(exchange + 1, begun);
                sent = true;
            }
            Fact::ResponseStarted { exchange, .. } => {
                assert!(exchange + 1 == begun && sent);
                answered = true;
            }
            Fact::Content { exchange, .. } => assert!(exchange + 1 == begun && answered),
            Fact::ResponseEnded { exchange, .. } => {
                assert!(exchange + 1 == begun && answered);
                answered = false;
            }
            Fact::Alert { .. } | Fact::NotTls { .. } => {}
        }
    }
    assert!(hellos.0 <= 1 && hellos.1 <= 1 && shaken <= 1);
}
