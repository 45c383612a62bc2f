//! The end of a connection by a reset, which takes with it what its client does not have yet.

use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::sleep;

/// How often it is looked whether all has arrived; each time twice as late.
const LOOK: Duration = Duration::from_millis(1);
/// How often at most: for a second in all, which is what a client has to take what was sent.
const LOOKS: u32 = 10;

/// Lets a connection, which is about to be dropped, end with a reset: as soon as its client has what was sent to it, or has not taken it
/// for a second. Where that cannot be set, it ends with a close.
pub(super) fn reset(stream: &TcpStream) {
    let _close = stream.set_zero_linger();
    if unsent(stream) == 0 {
        return;
    }
    // The connection lasts as long as any of its descriptors.
    let (Ok(last), Ok(runtime)) = (stream.as_fd().try_clone_to_owned(), Handle::try_current()) else { return };
    runtime.spawn(async move {
        for look in 0..LOOKS {
            sleep(LOOK * 2_u32.pow(look)).await;
            if unsent(&last) == 0 {
                return;
            }
        }
    });
}

/// Bytes that the other end does not have yet; 0 where that is not told.
fn unsent(socket: &impl AsRawFd) -> usize {
    let mut count: libc::c_int = 0;
    // SAFETY: the system writes one number to where it is pointed to; the descriptor is open as long as it is borrowed.
    let told = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut count) };
    if told == 0 { usize::try_from(count).unwrap_or_default() } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{ErrorKind, Read};
    use tokio::io::AsyncWriteExt;

    /// A connection: the end that is dropped, and the one that sees it.
    async fn pair() -> (TcpStream, std::net::TcpStream) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (listener.accept().await.unwrap().0, client)
    }

    /// Reads to the end, which is a reset; how many bytes.
    fn read(mut client: std::net::TcpStream) -> usize {
        client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let (mut all, mut bytes) = (0, [0; 65_536]);
        loop {
            match client.read(&mut bytes) {
                Ok(0) => panic!("closed after {all} bytes"),
                Ok(count) => all += count,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return all,
                Err(error) => panic!("{error}"),
            }
        }
    }

    #[tokio::test]
    async fn it_comes_behind_all_that_was_sent() {
        let (stream, client) = pair().await;
        // Until the sockets are full: the client has not read yet.
        let mut sent = 0;
        while let Ok(count) = stream.try_write(&[0; 65_536]) {
            sent += count;
            tokio::task::yield_now().await;
        }
        assert!(unsent(&stream) > 0);
        reset(&stream);
        drop(stream);
        let got = tokio::task::spawn_blocking(move || read(client)).await.unwrap();
        assert_eq!(got, sent);
    }

    #[tokio::test]
    async fn it_comes_at_once_where_all_has_arrived_and_in_the_end_where_it_does_not() {
        let (mut stream, client) = pair().await;
        stream.write_all(b"hello").await.unwrap();
        while unsent(&stream) > 0 {
            sleep(LOOK).await;
        }
        reset(&stream);
        drop(stream);
        assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);
        assert_eq!(read(client), 5);
        let (stream, client) = pair().await;
        while stream.try_write(&[0; 65_536]).is_ok() {}
        reset(&stream);
        drop(stream);
        while tokio::runtime::Handle::current().metrics().num_alive_tasks() > 0 {
            sleep(Duration::from_millis(20)).await;
        }
        read(client);
    }
}
