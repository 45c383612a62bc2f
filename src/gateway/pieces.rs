//! Head and body of a small message, written as one.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;

/// Up to so many bytes are copied together: a `send` of one piece costs less than a `writev` of two.
const TOGETHER: usize = 1_500;

/// Writes pieces, or the first of them.
pub(crate) fn poll_write_pieces<W: AsyncWrite>(
    io: Pin<&mut W>,
    cx: &mut Context<'_>,
    pieces: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    if let [only] = pieces {
        return io.poll_write(cx, only);
    }
    let mut together = [0; TOGETHER];
    let mut filled = 0;
    for piece in pieces {
        let Some(place) = together.get_mut(filled..filled + piece.len()) else { return io.poll_write_vectored(cx, pieces) };
        place.copy_from_slice(piece);
        filled += piece.len();
    }
    io.poll_write(cx, &together[..filled])
}
