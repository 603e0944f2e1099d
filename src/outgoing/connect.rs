//! From a host name to a connection: resolve, vet, connect to the vetted address.
//!
//! Invariant: hyper's connector sees only addresses that the guard passed, whether they came from a name or stood
//! in the URL. The check and the connection use the same address, so a name that resolves to something else a
//! moment later (DNS rebinding) changes nothing.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use thiserror::Error;
use tokio::sync::Semaphore;
use tower_service::Service;

use super::guard::{Guard, Refusal};
use crate::config::limits::outgoing as limits;

/// Why there is no connection. [`super::client`] finds it in hyper's chain of errors.
#[derive(Debug, Error)]
pub(super) enum DialError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("the name cannot be resolved")]
    Resolve(#[source] io::Error),
    #[error("no connection")]
    Connect(#[source] Box<dyn std::error::Error + Send + Sync>),
}

type Pending<T> = Pin<Box<dyn Future<Output = Result<T, DialError>> + Send>>;

/// Resolves a name through the system and keeps the addresses that the guard passes.
#[derive(Clone)]
pub(super) struct Resolver {
    guard: Arc<Guard>,
    slots: Arc<Semaphore>,
}

impl Resolver {
    async fn resolve(self, host: String) -> Result<std::vec::IntoIter<SocketAddr>, DialError> {
        let closed = |_| DialError::Resolve(io::Error::other("the resolver has stopped"));
        let slot = self.slots.acquire_owned().await.map_err(closed)?;
        // The slot moves into the thread: a look-up that nobody waits for any more still occupies it.
        let lookup = tokio::task::spawn_blocking(move || {
            let found = (host.as_str(), 0).to_socket_addrs();
            drop(slot);
            found
        });
        let found = lookup.await.map_err(|error| DialError::Resolve(error.into()))?;
        let found = found.map_err(DialError::Resolve)?;
        vetted(&self.guard, found)
    }
}

/// The addresses that may be reached. A name with a public and a private address keeps the public one.
fn vetted(
    guard: &Guard,
    found: impl Iterator<Item = SocketAddr>,
) -> Result<std::vec::IntoIter<SocketAddr>, DialError> {
    let mut refused = None;
    let mut passed = Vec::new();
    for address in found.take(limits::ADDRESSES) {
        match guard.vet(address.ip()) {
            Ok(()) => passed.push(address),
            Err(refusal) => refused = refused.or(Some(refusal)),
        }
    }
    match refused {
        Some(refusal) if passed.is_empty() => Err(refusal.into()),
        _ if passed.is_empty() => Err(DialError::Resolve(io::ErrorKind::NotFound.into())),
        _ => Ok(passed.into_iter()),
    }
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = DialError;
    type Future = Pending<Self::Response>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        Box::pin(self.clone().resolve(name.as_str().to_owned()))
    }
}

/// hyper's connector behind the guard.
#[derive(Clone)]
pub(super) struct Dialer {
    guard: Arc<Guard>,
    tcp: HttpConnector<Resolver>,
}

impl Dialer {
    pub(super) fn new(guard: Guard) -> Self {
        let guard = Arc::new(guard);
        let slots = Arc::new(Semaphore::new(limits::LOOKUPS));
        let mut tcp = HttpConnector::new_with_resolver(Resolver { guard: Arc::clone(&guard), slots });
        // Both schemes come through here; TLS is the layer above.
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(limits::CONNECT_TIME));
        Self { guard, tcp }
    }

    /// The connector asks the resolver about names only, so an address in the URL is vetted here.
    fn vet_literal(&self, target: &Uri) -> Result<(), Refusal> {
        let host = target.host().unwrap_or("");
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        bare.parse::<IpAddr>().map_or(Ok(()), |address| self.guard.vet(address))
    }
}

impl Service<Uri> for Dialer {
    type Response = <HttpConnector<Resolver> as Service<Uri>>::Response;
    type Error = DialError;
    type Future = Pending<Self::Response>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        self.tcp.poll_ready(context).map_err(|error| DialError::Connect(error.into()))
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        if let Err(refusal) = self.vet_literal(&target) {
            return Box::pin(std::future::ready(Err(refusal.into())));
        }
        let connection = self.tcp.call(target);
        Box::pin(async move { connection.await.map_err(|error| classified(error.into())) })
    }
}

/// The resolver's own error if it is what ended the connection.
fn classified(error: Box<dyn std::error::Error + Send + Sync>) -> DialError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error.as_ref());
    while let Some(current) = cause {
        match current.downcast_ref::<DialError>() {
            Some(DialError::Refused(refusal)) => return DialError::Refused(*refusal),
            Some(DialError::Resolve(inner)) => {
                return DialError::Resolve(io::Error::new(inner.kind(), inner.to_string()));
            }
            _ => cause = current.source(),
        }
    }
    DialError::Connect(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(list: &[&str]) -> Vec<SocketAddr> {
        list.iter().map(|text| SocketAddr::new(text.parse().unwrap(), 0)).collect()
    }

    #[test]
    fn only_public_addresses_of_a_name_are_kept() {
        let guard = Guard::default();
        let mixed = addresses(&["10.0.0.1", "1.1.1.1", "::1", "2606:4700::1111"]);
        let kept: Vec<_> = vetted(&guard, mixed.into_iter()).unwrap().collect();
        assert_eq!(kept, addresses(&["1.1.1.1", "2606:4700::1111"]));
        let private = vetted(&guard, addresses(&["10.0.0.1", "::1"]).into_iter());
        assert!(matches!(private, Err(DialError::Refused(refusal)) if refusal.network == "private"));
        assert!(matches!(vetted(&guard, std::iter::empty()), Err(DialError::Resolve(_))));
    }

    #[test]
    fn a_long_answer_is_cut() {
        let many = addresses(&["1.1.1.1"; 100]);
        assert_eq!(vetted(&Guard::default(), many.into_iter()).unwrap().count(), limits::ADDRESSES);
    }
}
