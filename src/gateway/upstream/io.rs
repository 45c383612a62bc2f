//! An upstream's bytes, with the marks of when they moved.

use crate::gateway::connect::Stream;
use crate::gateway::pieces::poll_write_pieces;
use crate::gateway::record::Marks;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection to an upstream that notes each move, above TLS: what TLS says for itself is no answer.
#[derive(Debug)]
pub(crate) struct UpstreamIo {
    stream: Stream,
    marks: Arc<Marks>,
}

impl UpstreamIo {
    pub(crate) const fn new(stream: Stream, marks: Arc<Marks>) -> Self {
        Self { stream, marks }
    }

    /// The bytes alone.
    pub(crate) fn into_stream(self) -> Stream {
        self.stream
    }

    fn wrote(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(bytes)) if bytes > 0 => self.marks.wrote(bytes),
            // An answer may still be there to be read: what it says counts more than that no more can be written.
            Poll::Ready(Ok(_) | Err(_)) | Poll::Pending => {}
        }
        written
    }
}

impl AsyncRead for UpstreamIo {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match ready!(Pin::new(&mut self.stream).poll_read(cx, buffer)) {
            Ok(()) => match buffer.filled().len() - before {
                0 => self.marks.broke(0),
                bytes => self.marks.read(bytes),
            },
            Err(error) => {
                self.marks.broke(error.raw_os_error().unwrap_or(0));
                return Poll::Ready(Err(error));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for UpstreamIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(written)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = poll_write_pieces(Pin::new(&mut self.stream), cx, bytes);
        self.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
