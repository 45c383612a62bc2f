//! The client's bytes.

use super::reset::reset;
use super::{Downstream, Left};
use crate::gateway::pieces::poll_write_pieces;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A client's connection that notes who left, and when the client did not take what there was.
#[derive(Debug)]
pub(crate) struct DownstreamIo {
    stream: TcpStream,
    shared: Arc<Downstream>,
}

impl DownstreamIo {
    pub(crate) const fn new(stream: TcpStream, shared: Arc<Downstream>) -> Self {
        Self { stream, shared }
    }

    /// The connection that it notes things for.
    pub(crate) fn shared(&self) -> &Downstream {
        &self.shared
    }

    /// The bare connection.
    pub(crate) const fn tcp(&self) -> &TcpStream {
        &self.stream
    }

    fn failed(&self, error: io::Error) -> io::Error {
        let reset = matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe);
        self.shared.left(if reset { Left::Reset } else { Left::Closed });
        error
    }

    fn wrote(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match written {
            Poll::Pending => {
                self.shared.blocks();
                Poll::Pending
            }
            Poll::Ready(Ok(written)) => {
                self.shared.took(written);
                Poll::Ready(Ok(written))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(self.failed(error))),
        }
    }
}

impl AsRawFd for DownstreamIo {
    fn as_raw_fd(&self) -> RawFd {
        self.stream.as_raw_fd()
    }
}

impl AsyncRead for DownstreamIo {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match ready!(Pin::new(&mut self.stream).poll_read(cx, buffer)) {
            Ok(()) if buffer.filled().len() > before => self.shared.heard(),
            Ok(()) => self.shared.left(Left::Closed),
            Err(error) => return Poll::Ready(Err(self.failed(error))),
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for DownstreamIo {
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
        if self.shared.resets() {
            // The drop resets it.
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Drop for DownstreamIo {
    fn drop(&mut self) {
        if self.shared.resets() {
            // The client is to see what the gateway saw.
            reset(&self.stream);
        }
    }
}
