//! The look-ups of the system's resolver.

use reqwest::dns::{Name, Resolving};

/// Looks a name up as the standard library does, on a blocking thread.
#[cfg(unix)]
pub(super) fn resolve(name: Name) -> Resolving {
    let host = name.as_str().to_owned();
    let lookup = Blocking(tokio::task::spawn_blocking(move || crate::lookup::addresses(&host, libc::AF_UNSPEC)));
    Box::pin(async move { Ok(Box::new(lookup.await?.into_iter()) as reqwest::dns::Addrs) })
}

/// Looks a name up by hyper-util's resolver, reqwest's default.
#[cfg(not(unix))]
pub(super) fn resolve(name: Name) -> Resolving {
    use hyper_util::client::legacy::connect::dns::GaiResolver;
    use tower_service::Service;
    let host = name.as_str().to_owned();
    Box::pin(async move {
        let addresses = GaiResolver::new().call(host.parse()?).await?;
        Ok(Box::new(addresses) as reqwest::dns::Addrs)
    })
}

/// Work on a blocking thread that is not begun any more when nobody waits for it.
#[cfg(unix)]
struct Blocking<T>(tokio::task::JoinHandle<T>);

#[cfg(unix)]
impl<T> Drop for Blocking<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(unix)]
impl<T> Future for Blocking<std::io::Result<T>> {
    type Output = std::io::Result<T>;

    fn poll(mut self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        std::pin::Pin::new(&mut self.0).poll(cx).map(|joined| match joined {
            Ok(result) => result,
            // The runtime is going down, or the look-up panicked.
            Err(error) => Err(std::io::Error::new(std::io::ErrorKind::Interrupted, error)),
        })
    }
}
