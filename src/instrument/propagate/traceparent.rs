//! `traceparent` (W3C Trace Context, level 1, 3.2).

use crate::model::{SpanId, TraceId};
use std::fmt;

/// The caller has, or may have, recorded its span.
pub(super) const SAMPLED: u8 = 0x01;
/// The last seven bytes of the trace id are random (level 2, 3.2.2.5.2): to be passed on with it.
const RANDOM: u8 = 0x02;

/// A span of a trace, as it is told to the next process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TraceParent {
    pub(crate) trace: TraceId,
    pub(crate) span: SpanId,
    pub(crate) flags: u8,
}

impl TraceParent {
    /// A span that we recorded.
    pub(super) const fn sampled(trace: TraceId, span: SpanId) -> Self {
        Self { trace, span, flags: SAMPLED }
    }

    /// Reads a header's value; `None` when it breaks the rules. Of a later version what this one knows is read.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let bytes = text.trim_matches([' ', '\t']).as_bytes();
        let (known, rest) = bytes.split_at_checked(55)?;
        let version = hex(&known[..2])?;
        let at_dashes = known[2] == b'-' && known[35] == b'-' && known[52] == b'-';
        let rest_fits = match version {
            0 => rest.is_empty(),
            0xff => false,
            _ => rest.first().is_none_or(|&next| next == b'-'),
        };
        if !at_dashes || !rest_fits {
            return None;
        }
        let mut trace = [0; 16];
        for (byte, digits) in trace.iter_mut().zip(known[3..35].chunks_exact(2)) {
            *byte = hex(digits)?;
        }
        let span = known[36..52].chunks_exact(2).try_fold(0_u64, |id, digits| Some(id << 8 | u64::from(hex(digits)?)))?;
        let flags = hex(&known[53..])?;
        (trace != [0; 16] && span != 0).then_some(Self {
            trace: TraceId(trace),
            span: SpanId(span),
            flags: flags & (SAMPLED | RANDOM),
        })
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace, self.span, self.flags)
    }
}

/// Two lower-case hexadecimal digits; others are not allowed.
fn hex(digits: &[u8]) -> Option<u8> {
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    Some(value(digits[0])? << 4 | value(digits[1])?)
}
