//! Copies bytes both ways until both have ended.

use super::buffer::Buffer;
use crate::model::Nanos;
use crate::model::clock::Anchor;
use crate::wire::Direction;
use bytes::Bytes;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

/// How long until a side that is not read from is asked whether it is still there: at first, and in the end.
const ASK: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(5));

/// A connection that bytes are copied from and to.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Unpin {
    /// The bare connection.
    fn tcp(&self) -> &TcpStream;

    /// Whether its other end, which has closed, is known to have closed both ways.
    fn is_gone(&self) -> bool {
        false
    }
}

/// Who is told of what passes.
pub(super) trait Passing {
    /// Bytes came, and are to go on.
    fn passed(&mut self, direction: Direction, at: Nanos, bytes: &[u8]);
    /// The sender of a direction said that no more comes.
    fn ended(&mut self, direction: Direction, at: Nanos);
}

/// How it came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Over {
    /// The side that ended it, by what it sends: it was the first to close, or its connection broke.
    pub(super) by: Direction,
    pub(super) at: Nanos,
    /// Error number by which that side's connection broke; 0 = both sides closed in order.
    pub(super) errno: i32,
}

/// Copies between a client and its upstream. `early` was read of each already. A side that closes is told to the other, which may go on.
///
/// # Cancel safety
/// Dropped midway, what was read and not written yet is lost with the connections.
pub(super) async fn pump(
    client: &mut impl Socket,
    upstream: &mut impl Socket,
    early: [Bytes; 2],
    anchor: Anchor,
    passing: &mut impl Passing,
) -> Over {
    for (direction, bytes) in [Direction::Request, Direction::Response].into_iter().zip(&early) {
        if !bytes.is_empty() {
            passing.passed(direction, anchor.now(), bytes);
        }
    }
    let mut both = Both { ways: early.map(Way::new), upload_first: false, patience: None, asks_after: ASK.0, is_armed: false };
    poll_fn(|cx| both.poll(cx, client, upstream, anchor, passing)).await
}

/// Both directions.
struct Both {
    /// The request's, the response's.
    ways: [Way; 2],
    /// They take turns in being first, so that a busy one does not use up the time of the other.
    upload_first: bool,
    patience: Option<Pin<Box<Sleep>>>,
    asks_after: Duration,
    is_armed: bool,
}

/// One direction.
struct Way {
    /// What was read and not written yet.
    piece: Piece,
    stage: Stage,
    /// Something was written since the last flush.
    unflushed: bool,
    /// When its sender ended it.
    ended: Option<Nanos>,
    /// Error number by which its receiver's connection broke.
    broken: Option<i32>,
}

#[derive(Default)]
enum Piece {
    #[default]
    Nothing,
    Early(Bytes),
    Read {
        buffer: Buffer,
        from: usize,
        to: usize,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Open,
    /// Its sender ended it, which its receiver is to be told.
    Ending,
    Over,
}

/// A connection broke, by this error number.
enum Fault {
    Reading(i32),
    Writing(i32),
}

impl Both {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut impl Socket,
        upstream: &mut impl Socket,
        anchor: Anchor,
        passing: &mut impl Passing,
    ) -> Poll<Over> {
        self.upload_first = !self.upload_first;
        for turn in 0..2 {
            let [upload, download] = &mut self.ways;
            let (direction, copied) = if self.upload_first == (turn == 0) {
                (Direction::Request, upload.poll(cx, client, upstream, Direction::Request, anchor, passing))
            } else {
                (Direction::Response, download.poll(cx, upstream, client, Direction::Response, anchor, passing))
            };
            let Err(fault) = copied else { continue };
            match (direction, fault) {
                // What it still says can be read.
                (Direction::Request, Fault::Writing(errno)) if self.ways[1].stage != Stage::Over => self.ways[0].give_up(errno),
                (Direction::Request, Fault::Reading(errno)) | (Direction::Response, Fault::Writing(errno)) => {
                    return Poll::Ready(self.over(Direction::Request, errno, anchor));
                }
                (Direction::Response, Fault::Reading(errno)) | (Direction::Request, Fault::Writing(errno)) => {
                    return Poll::Ready(self.over(Direction::Response, errno, anchor));
                }
            }
        }
        let [upload, download] = &self.ways;
        if upload.stage == Stage::Over && download.stage == Stage::Over {
            let client_first = match (upload.ended, download.ended) {
                (Some(upload), Some(download)) => upload <= download,
                (upload, _) => upload.is_some(),
            };
            let (by, errno) = match upload.broken {
                Some(errno) => (Direction::Response, errno),
                None if client_first => (Direction::Request, 0),
                None => (Direction::Response, 0),
            };
            return Poll::Ready(self.over(by, errno, anchor));
        }
        self.ask(cx, client, upstream, anchor)
    }

    /// Looks at sides that are not read from: those would break, or go, unnoticed.
    fn ask(&mut self, cx: &mut Context<'_>, client: &impl Socket, upstream: &impl Socket, anchor: Anchor) -> Poll<Over> {
        while self.ways.iter().any(Way::is_deaf) {
            let patience = self.patience.get_or_insert_with(|| Box::pin(tokio::time::sleep(self.asks_after)));
            if !std::mem::replace(&mut self.is_armed, true) {
                patience.as_mut().reset(Instant::now() + self.asks_after);
            }
            if patience.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.is_armed = false;
            self.asks_after = (self.asks_after * 2).min(ASK.1);
            for (side, socket) in [(Direction::Request, client.tcp()), (Direction::Response, upstream.tcp())] {
                if let Ok(Some(error)) = socket.take_error() {
                    return Poll::Ready(self.over(side, errno(&error), anchor));
                }
            }
            if self.ways[0].stage == Stage::Over && client.is_gone() {
                return Poll::Ready(self.over(Direction::Request, 0, anchor));
            }
        }
        self.asks_after = ASK.0;
        Poll::Pending
    }

    fn over(&self, by: Direction, errno: i32, anchor: Anchor) -> Over {
        Over { by, at: self.ways[by as usize].ended.unwrap_or_else(|| anchor.now()), errno }
    }
}

impl Way {
    fn new(early: Bytes) -> Self {
        let piece = if early.is_empty() { Piece::Nothing } else { Piece::Early(early) };
        Self { piece, stage: Stage::Open, unflushed: false, ended: None, broken: None }
    }

    /// Whether its sender is not read from at the moment.
    const fn is_deaf(&self) -> bool {
        !matches!((&self.piece, self.stage), (Piece::Nothing, Stage::Open))
    }

    /// Its receiver takes no more.
    fn give_up(&mut self, errno: i32) {
        self.piece = Piece::Nothing;
        self.stage = Stage::Over;
        self.broken = Some(errno);
    }

    /// Copies what can be copied.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut impl Socket,
        to: &mut impl Socket,
        direction: Direction,
        anchor: Anchor,
        passing: &mut impl Passing,
    ) -> Result<(), Fault> {
        loop {
            let rest = self.piece.rest();
            if !rest.is_empty() {
                match Pin::new(&mut *to).poll_write(cx, rest) {
                    Poll::Pending => return Ok(()),
                    Poll::Ready(Ok(0)) => return Err(Fault::Writing(libc::EPIPE)),
                    Poll::Ready(Ok(written)) => self.piece.advance(written),
                    Poll::Ready(Err(error)) => return Err(Fault::Writing(errno(&error))),
                }
                self.unflushed = true;
                continue;
            }
            match self.stage {
                Stage::Over => return Ok(()),
                Stage::Ending => {
                    // One that is gone already needs not be told.
                    if Pin::new(&mut *to).poll_shutdown(cx).is_ready() {
                        self.stage = Stage::Over;
                    }
                    return Ok(());
                }
                Stage::Open => {}
            }
            let mut buffer = Buffer::lease();
            let mut read = ReadBuf::new(&mut buffer);
            match Pin::new(&mut *from).poll_read(cx, &mut read) {
                Poll::Pending => {
                    if self.unflushed {
                        match Pin::new(&mut *to).poll_flush(cx) {
                            Poll::Pending => {}
                            Poll::Ready(Ok(())) => self.unflushed = false,
                            Poll::Ready(Err(error)) => return Err(Fault::Writing(errno(&error))),
                        }
                    }
                    return Ok(());
                }
                // An end without the goodbye of TLS is one: many peers say none.
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {}
                Poll::Ready(Err(error)) => return Err(Fault::Reading(errno(&error))),
                Poll::Ready(Ok(())) => {}
            }
            let at = anchor.now();
            let length = read.filled().len();
            if length == 0 {
                self.stage = Stage::Ending;
                self.ended = Some(at);
                passing.ended(direction, at);
            } else {
                passing.passed(direction, at, &buffer[..length]);
                self.piece = Piece::Read { buffer, from: 0, to: length };
            }
        }
    }
}

impl Piece {
    fn rest(&self) -> &[u8] {
        match self {
            Self::Nothing => &[],
            Self::Early(bytes) => bytes,
            Self::Read { buffer, from, to } => &buffer[*from..*to],
        }
    }

    /// So many bytes of it were written.
    fn advance(&mut self, written: usize) {
        let is_done = match self {
            Self::Nothing => true,
            Self::Early(bytes) => {
                bytes::Buf::advance(bytes, written);
                bytes.is_empty()
            }
            Self::Read { from, to, .. } => {
                *from += written;
                from == to
            }
        };
        if is_done {
            *self = Self::Nothing;
        }
    }
}

/// The number of an error by which a connection broke; what TLS cannot go on with has none of its own.
fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::ECONNRESET)
}
