//! Asterisk's side of a connection, and a server with a handler given as a function.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hookswitch::agi::environment::KEYS;
use hookswitch::agi::server::{DrainReport, Handler, Outcome, Server, ServerOptions};
use hookswitch::agi::{AgiStats, Conn, Environment, Timeouts};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Longest wait of a test for anything: reached only when it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) type Run<'a> = Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

pub(crate) struct Function<F>(F);

impl<F> Handler for Function<F>
where
    F: for<'a> Fn(&'a mut Conn<TcpStream>, &'a Environment) -> Run<'a> + Send + Sync + 'static,
{
    async fn call<'a>(
        &'a self,
        conn: &'a mut Conn<TcpStream>,
        environment: &'a Environment,
        _peer: SocketAddr,
    ) -> Outcome {
        (self.0)(conn, environment).await
    }
}

/// A handler of a function.
pub(crate) fn handler<F>(function: F) -> Function<F>
where
    F: for<'a> Fn(&'a mut Conn<TcpStream>, &'a Environment) -> Run<'a> + Send + Sync + 'static,
{
    Function(function)
}

pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) stats: Arc<AgiStats>,
    stop: watch::Sender<bool>,
    task: JoinHandle<DrainReport>,
}

impl Running {
    pub(crate) fn start<H: Handler>(options: ServerOptions, handler: H) -> Self {
        let server = Server::bind("127.0.0.1:0".parse().unwrap(), options).unwrap();
        let (stop, stopped) = watch::channel(false);
        let (address, stats) = (server.local_addr().unwrap(), server.stats());
        Self { address, stats, stop, task: tokio::spawn(server.serve(handler, stopped)) }
    }

    pub(crate) fn begin_stop(&self) {
        self.stop.send_replace(true);
    }

    pub(crate) async fn stop(self) -> DrainReport {
        self.begin_stop();
        timeout(PATIENCE, self.task).await.expect("the server stops").unwrap()
    }

    /// Waits until a condition over the counters holds.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&AgiStats) -> bool) {
        let wait = async {
            while !holds(&self.stats) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        assert!(timeout(PATIENCE, wait).await.is_ok(), "{what}: {:?}", self.stats);
    }
}

/// Short times, so that what must run out does so within a test.
pub(crate) fn quick_options(ms: u64) -> ServerOptions {
    let time = Duration::from_millis(ms);
    let timeouts = Timeouts { environment: time, quick: time, media: time, write: time, linger: time };
    ServerOptions { timeouts, drain: PATIENCE, ..ServerOptions::default() }
}

/// An environment as Asterisk writes it, with some values of the test's own.
pub(crate) fn environment(values: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for key in KEYS {
        let own = values.iter().find(|(name, _)| *name == key).map(|(_, value)| *value);
        if key == "network_script" && own == Some(b"-") {
            continue;
        }
        let usual: &[u8] = match key {
            "network" => b"yes",
            "network_script" => b"route?did=5550100&t=acme",
            "enhanced" => b"0.0",
            "accountcode" => b"",
            "threadid" => b"139889375049408",
            "callerid" => b"5551000",
            "calleridname" => b"Alice \\\"Q\\\" O'Neil",
            "dnid" | "extension" => b"5550100",
            "rdnis" => b"unknown",
            "channel" => b"PJSIP/trunk-00000000",
            "uniqueid" => b"labpbx-1795345187.0",
            _ => b"0",
        };
        bytes.extend_from_slice(format!("agi_{key}: ").as_bytes());
        bytes.extend_from_slice(own.unwrap_or(usual));
        bytes.push(b'\n');
    }
    for (name, value) in values.iter().filter(|(name, _)| name.starts_with("arg_")) {
        bytes.extend_from_slice(format!("agi_{name}: ").as_bytes());
        bytes.extend_from_slice(value);
        bytes.push(b'\n');
    }
    bytes.push(b'\n');
    bytes
}

/// A connection as Asterisk holds it.
pub(crate) struct Peer {
    stream: BufReader<TcpStream>,
}

impl Peer {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = timeout(PATIENCE, TcpStream::connect(address)).await.expect("connects").unwrap();
        stream.set_nodelay(true).unwrap();
        // Small, so that a thousand of them hide nothing of the server's memory.
        Self { stream: BufReader::with_capacity(256, stream) }
    }

    /// Connects and sends the usual environment.
    pub(crate) async fn call(address: SocketAddr) -> Self {
        let mut peer = Self::connect(address).await;
        peer.send(&environment(&[])).await;
        peer
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).await.expect("sends");
    }

    pub(crate) async fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        timeout(PATIENCE, self.stream.write_all(bytes)).await.expect("the server reads")
    }

    /// The next line without its line feed; `None` at the end of the stream.
    pub(crate) async fn line(&mut self) -> Option<Vec<u8>> {
        let mut line = Vec::new();
        let read =
            timeout(PATIENCE, self.stream.read_until(b'\n', &mut line)).await.expect("a line or the end");
        match read {
            Ok(0) | Err(_) => None,
            Ok(_) => {
                assert_eq!(line.pop(), Some(b'\n'), "half a line: {}", line.escape_ascii());
                Some(line)
            }
        }
    }

    /// True when no byte is there to read, without waiting. The end of the stream is no byte.
    pub(crate) async fn is_quiet(&mut self) -> bool {
        timeout(Duration::ZERO, self.stream.fill_buf())
            .await
            .is_ok_and(|read| read.is_ok_and(<[u8]>::is_empty))
            || self.stream.buffer().is_empty()
    }

    pub(crate) async fn expect(&mut self, line: &str) {
        let got = self.line().await;
        assert_eq!(got.as_deref().map(|l| l.escape_ascii().to_string()), Some(line.replace('"', "\\\"")));
    }

    pub(crate) async fn expect_end(&mut self) {
        let mut rest = Vec::new();
        let _ = timeout(PATIENCE, self.stream.read_to_end(&mut rest)).await.expect("the end");
        assert_eq!(rest.escape_ascii().to_string(), "", "at the end");
    }

    /// Drops the connection with a reset instead of an end.
    pub(crate) fn reset(self) {
        let stream = self.stream.into_inner();
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
}
