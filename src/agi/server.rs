//! The listener: accepts, admits, runs one task for each call, drains.
//!
//! Invariants: the accept loop waits for nothing but accept, shutdown and finished tasks, and no error of `accept`
//! ends it. A call's panic ends that call alone. Whoever is not served is told so (`failure`, AGISTATUS=FAILURE) or,
//! from an address that is not allowed, dropped.

use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use ipnet::IpNet;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::conn::{AgiError, Conn, Timeouts};
use super::environment::{EnvError, Environment};
use super::stats::AgiStats;
use crate::config::limits::agi as limits;

/// How a session ends towards the dialplan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// AGISTATUS=SUCCESS (HANGUP when the caller has gone): the dialplan goes on.
    Done,
    /// AGISTATUS=FAILURE: the dialplan takes its fallback.
    Failed,
}

/// What is done with a call. The connection stays the server's, which closes it in the right way.
pub trait Handler: Send + Sync + 'static {
    /// Serves one call. A panic counts as [`Outcome::Failed`].
    fn call<'a>(
        &'a self,
        conn: &'a mut Conn<TcpStream>,
        environment: &'a Environment,
        peer: SocketAddr,
    ) -> impl Future<Output = Outcome> + Send + 'a;
}

/// Settings of a listener.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Who may connect; empty: only this machine.
    pub allow: Vec<IpNet>,
    /// Connections open at a time.
    pub max_connections: u64,
    /// Waiting times.
    pub timeouts: Timeouts,
    /// How long running calls may go on after shutdown.
    pub drain: Duration,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            max_connections: limits::CONNECTIONS,
            timeouts: Timeouts::default(),
            drain: limits::DRAIN_TIME,
        }
    }
}

impl ServerOptions {
    fn allows(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        if self.allow.is_empty() { ip.is_loopback() } else { self.allow.iter().any(|net| net.contains(&ip)) }
    }
}

/// What became of the calls that were open at shutdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrainReport {
    /// Ended by themselves in time.
    pub finished: usize,
    /// Cut off.
    pub aborted: usize,
}

/// A FastAGI listener.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    options: ServerOptions,
    stats: Arc<AgiStats>,
}

impl Server {
    /// Opens the listener. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// What the operating system says, for instance that the port is taken.
    pub fn bind(address: SocketAddr, options: ServerOptions) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        // Linux hands the options of the listener down to each connection: no system calls per call.
        tune(&SockRef::from(&socket))?;
        socket.bind(address)?;
        let listener = socket.listen(limits::ACCEPT_QUEUE)?;
        Ok(Self { listener, options, stats: Arc::new(AgiStats::default()) })
    }

    /// The address that is listened on.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The counters.
    #[must_use]
    pub fn stats(&self) -> Arc<AgiStats> {
        Arc::clone(&self.stats)
    }

    /// Serves calls until `shutdown` turns true or its sender is gone; then takes no new ones, waits for those
    /// that run, and cuts off what is left after [`ServerOptions::drain`].
    pub async fn serve<H: Handler>(self, handler: H, mut shutdown: watch::Receiver<bool>) -> DrainReport {
        let Self { listener, options, stats } = self;
        let shared = Arc::new(Shared { handler, options, stats });
        let mut tasks = JoinSet::new();
        let mut stop = pin!(async move { shutdown.wait_for(|stop| *stop).await.is_ok() });
        let mut failures: u32 = 0;
        loop {
            tokio::select! {
                _ = &mut stop => break,
                // A call that ended gave a descriptor back: no reason to wait any longer. Otherwise ended calls are
                // swept up when the next one comes, without a turn of their own.
                Some(_) = tasks.join_next(), if failures > 0 => failures = 0,
                accepted = accept(&listener, failures) => match accepted {
                    Ok((stream, peer)) => {
                        failures = 0;
                        while tasks.try_join_next().is_some() {}
                        shared.admit(&mut tasks, stream, peer);
                    }
                    Err(error) => {
                        failures = failures.saturating_add(1);
                        shared.stats.accept_errors.add(1);
                        if failures.is_power_of_two() {
                            tracing::warn!(%error, agi.failures = failures, "can't accept AGI connections; trying again");
                        }
                    }
                },
            }
        }
        drop(listener);
        drain(tasks, &shared).await
    }
}

/// Accepts one connection. After failures (no file descriptors left) it waits first: `accept` would fail again at
/// once, and the loop would spin. Reconnects in the kernel's queue wait meanwhile.
async fn accept(listener: &TcpListener, failures: u32) -> io::Result<(TcpStream, SocketAddr)> {
    if failures > 0 {
        let wait = limits::ACCEPT_PAUSE.saturating_mul(1 << failures.min(10));
        sleep(wait.min(limits::ACCEPT_PAUSE_MAX)).await;
    }
    listener.accept().await
}

async fn drain<H: Handler>(mut tasks: JoinSet<()>, shared: &Shared<H>) -> DrainReport {
    while tasks.try_join_next().is_some() {}
    let open = tasks.len();
    let all = async { while tasks.join_next().await.is_some() {} };
    let in_time = timeout(shared.options.drain, all).await.is_ok();
    let aborted = if in_time { 0 } else { tasks.len() };
    tasks.shutdown().await;
    shared.stats.aborted.add(aborted as u64);
    DrainReport { finished: open - aborted, aborted }
}

fn tune(socket: &SockRef<'_>) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    let keepalive =
        TcpKeepalive::new().with_time(limits::KEEPALIVE_TIME).with_interval(limits::KEEPALIVE_INTERVAL);
    socket.set_tcp_keepalive(&keepalive)
}

struct Shared<H> {
    handler: H,
    options: ServerOptions,
    stats: Arc<AgiStats>,
}

/// Holds one place among the open connections.
struct Open(Arc<AgiStats>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.down();
    }
}

impl<H: Handler> Shared<H> {
    fn admit(self: &Arc<Self>, tasks: &mut JoinSet<()>, stream: TcpStream, peer: SocketAddr) {
        if !self.options.allows(peer.ip()) {
            self.stats.refused_address.add(1);
            tracing::debug!(net.peer = %peer, "AGI connection from an address that is not allowed");
            return;
        }
        if !cfg!(target_os = "linux") && tune(&SockRef::from(&stream)).is_err() {
            return;
        }
        let before = self.stats.open.up();
        let open = Open(Arc::clone(&self.stats));
        if before >= self.options.max_connections {
            self.stats.refused_limit.add(1);
            // Telling takes a moment too; beyond a few at a time they are dropped, which also is a FAILURE
            // or an end of the AGI run.
            if before < self.options.max_connections.saturating_add(limits::REFUSALS) {
                let conn = Conn::new(stream, self.options.timeouts, Arc::clone(&self.stats));
                tasks.spawn(async move {
                    conn.fail().await;
                    drop(open);
                });
            }
            return;
        }
        self.stats.accepted.add(1);
        let shared = Arc::clone(self);
        tasks.spawn(async move {
            shared.session(stream, peer).await;
            drop(open);
        });
    }

    async fn session(&self, stream: TcpStream, peer: SocketAddr) {
        let mut conn = Conn::new(stream, self.options.timeouts, Arc::clone(&self.stats));
        let environment = match conn.environment().await {
            Ok(environment) => environment,
            Err(AgiError::Environment(error)) => {
                if matches!(error, EnvError::Forged { .. }) {
                    tracing::warn!(%error, net.peer = %peer, "AGI call given back");
                }
                return conn.fail().await;
            }
            Err(error) => {
                tracing::debug!(%error, net.peer = %peer, "AGI connection without a call");
                return;
            }
        };
        // Boxed: it is large, and would be copied with the task and kept by connections that never send a word.
        match guarded(Box::pin(self.handler.call(&mut conn, &environment, peer))).await {
            Some(Outcome::Done) => conn.close().await,
            Some(Outcome::Failed) => conn.fail().await,
            None => {
                self.stats.panics.add(1);
                tracing::error!(?environment, "the handler of a call panicked; the call is given back");
                conn.fail().await;
            }
        }
    }
}

/// Runs a future; `None` when it panicked.
async fn guarded<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(output)) => Poll::Ready(Some(output)),
        Err(_) => Poll::Ready(None),
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_connect() {
        let mut options = ServerOptions::default();
        let allows = |options: &ServerOptions, ip: &str| options.allows(ip.parse().unwrap());
        assert!(
            allows(&options, "127.0.0.1") && allows(&options, "::1") && allows(&options, "::ffff:127.0.0.1")
        );
        assert!(!allows(&options, "10.0.0.1") && !allows(&options, "::ffff:10.0.0.1"));
        options.allow = vec!["10.0.0.0/8".parse().unwrap()];
        assert!(allows(&options, "10.1.2.3") && allows(&options, "::ffff:10.1.2.3"));
        assert!(!allows(&options, "127.0.0.1") && !allows(&options, "11.0.0.1"));
    }

    #[tokio::test]
    async fn connections_inherit_what_the_listener_has() {
        let server = Server::bind("127.0.0.1:0".parse().unwrap(), ServerOptions::default()).unwrap();
        let _client = TcpStream::connect(server.local_addr().unwrap()).await.unwrap();
        let (stream, _) = server.listener.accept().await.unwrap();
        assert!(stream.nodelay().unwrap());
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), limits::KEEPALIVE_TIME);
    }
}
