//! Happy eyeballs (RFC 8305): several addresses, the first that connects wins.

use super::steps::Steps;
use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};

/// How long an address has for itself before the next one is tried beside it (RFC 8305, section 8).
pub(super) const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// Most addresses of a name that are tried.
const ADDRESSES_MAX: usize = 32;
/// When the system asks an idle connection for a sign of life, and how often before it is given up: dead peers are noticed and
/// network address translation stays awake, as the large providers' own clients have it.
const KEEPALIVE: Duration = Duration::from_secs(60);
const KEEPALIVE_RETRIES: u32 = 5;

/// A connection, and the addresses that were tried in vain before it.
#[derive(Debug)]
pub(super) struct Dialed {
    pub(super) stream: TcpStream,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) tried: Vec<Tried>,
}

/// An address that gave no connection.
#[derive(Debug)]
pub(crate) struct Tried {
    /// Which.
    pub(crate) address: SocketAddr,
    /// Why not; `None` = it had not answered when another one did, or when time ran out.
    pub(crate) error: Option<io::Error>,
}

type Dialing = Pin<Box<dyn Future<Output = io::Result<(TcpStream, SocketAddr)>> + Send>>;

/// The attempts that go on, and those that are over.
#[derive(Default)]
struct Race {
    running: Vec<(SocketAddr, Dialing)>,
    failed: Vec<Tried>,
}

/// Connects to one of several addresses, which must be at least one.
///
/// # Errors
/// All that was tried, in order, when nothing connected in time.
///
/// # Cancel safety
/// Dropped, all attempts are closed.
pub(super) async fn connect(addresses: &[SocketAddr], timeout: Duration, steps: &Steps) -> Result<Dialed, Vec<Tried>> {
    let mut left = interleaved(addresses).into_iter().take(ADDRESSES_MAX);
    let mut race = Race::default();
    let deadline = tokio::time::sleep(timeout);
    tokio::pin!(deadline);
    loop {
        if let Some(address) = left.next() {
            steps.tries(address);
            race.running.push((address, Box::pin(dial(address))));
        } else if race.running.is_empty() {
            return Err(race.failed);
        }
        let has_more = left.len() > 0;
        tokio::select! {
            biased;
            // One that failed makes room for the next at once.
            won = race.next() => if let Some((stream, local, remote)) = won {
                return Ok(Dialed { stream, local, remote, tried: race.tried() });
            },
            () = &mut deadline => return Err(race.tried()),
            () = tokio::time::sleep(ATTEMPT_DELAY), if has_more => {}
        }
    }
}

impl Race {
    /// Waits for an attempt to end; `None` = it failed.
    async fn next(&mut self) -> Option<(TcpStream, SocketAddr, SocketAddr)> {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<(TcpStream, SocketAddr, SocketAddr)>> {
        for (index, (_, dialing)) in self.running.iter_mut().enumerate() {
            let Poll::Ready(result) = dialing.as_mut().poll(cx) else { continue };
            let (address, _) = self.running.remove(index);
            return Poll::Ready(match result {
                Ok((stream, local)) => Some((stream, local, address)),
                Err(error) => {
                    self.failed.push(Tried { address, error: Some(error) });
                    None
                }
            });
        }
        Poll::Pending
    }

    /// What gave no connection: first what failed, then what had not answered.
    fn tried(self) -> Vec<Tried> {
        let unanswered = self.running.into_iter().map(|(address, _)| Tried { address, error: None });
        self.failed.into_iter().chain(unanswered).collect()
    }
}

/// Has the system notice that a peer has vanished.
///
/// # Errors
/// The socket is no connection of TCP (any more).
pub(crate) fn keep_alive(socket: &impl AsFd) -> io::Result<()> {
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE).with_retries(KEEPALIVE_RETRIES);
    SockRef::from(socket).set_tcp_keepalive(&keepalive)
}

/// One address: the connection and its own end.
async fn dial(address: SocketAddr) -> io::Result<(TcpStream, SocketAddr)> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_nodelay(true)?;
    keep_alive(&socket)?;
    let stream = socket.connect(address).await?;
    let local = stream.local_addr()?;
    if local == address {
        // Where nobody listens on a port that the system gives to clients, a socket can connect to itself.
        return Err(io::Error::from_raw_os_error(libc::ECONNREFUSED));
    }
    Ok((stream, local))
}

/// The families by turns, beginning with that of the first address; within each the given order (RFC 8305, section 4).
fn interleaved(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<SocketAddr>, Vec<SocketAddr>) =
        addresses.iter().partition(|address| address.is_ipv6() == first_is_v6);
    let mut second = second.into_iter();
    let mut all: Vec<SocketAddr> = first.into_iter().flat_map(|address| std::iter::once(address).chain(second.next())).collect();
    all.extend(second);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns_in_the_resolvers_order() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let [a4, b4, c4, a6, b6] = ["1.1.1.1:1", "2.2.2.2:1", "3.3.3.3:1", "[::a]:1", "[::b]:1"].map(address);
        assert_eq!(interleaved(&[a6, b6, a4, b4, c4]), [a6, a4, b6, b4, c4]);
        assert_eq!(interleaved(&[a4, a6, b6]), [a4, a6, b6]);
        assert_eq!(interleaved(&[a4, b4]), [a4, b4]);
        assert_eq!(interleaved(&[]), []);
    }
}
