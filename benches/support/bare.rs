//! A FastAGI server that decides nothing: the ceiling beside a real Asterisk. One thread, no journal, no database.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use super::caller::read_some;

/// What makes this program the server: see [`serve`].
pub(crate) const FLAG: &str = "--bare-server";

/// As long as a real answer of ours: the number is not in service.
const REFUSE: &[u8] =
    b"EXEC MSet \"HS_CALL_ID=01kaqh3v5w9e6kmw6v1yqkq5z1,HS_TENANT=acme,HS_TARGET=1,HS_TIMEOUT=,\
    HS_OPTIONS=,HS_RECORD=0,HS_MESSAGE=,HS_LANGUAGE=,HS_STATE=,HS_REASON=inactive-did,HS_ACTION=hangup\"\n";

/// The answer to `ended`.
const ENDED: &[u8] = b"SET VARIABLE HS_ENDED \"1\"\n";

/// Serves until killed. The first line of its output is its address.
pub(crate) fn serve() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_nodelay(true).expect("no delay");
        socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
        let listener = socket.listen(4_096).expect("to listen");
        println!("{}", listener.local_addr().expect("an address"));
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            tokio::spawn(session(stream));
        }
    });
}

/// Reads the environment, sends one command, reads the answer and closes.
async fn session(mut stream: TcpStream) -> Option<()> {
    let mut bytes = Vec::with_capacity(2_048);
    while !bytes.ends_with(b"\n\n") {
        read_some(&mut stream, &mut bytes).await?;
    }
    let is_end = String::from_utf8_lossy(&bytes).contains("agi_network_script: ended");
    stream.write_all(if is_end { ENDED } else { REFUSE }).await.ok()?;
    bytes.clear();
    while !bytes.ends_with(b"\n") {
        read_some(&mut stream, &mut bytes).await?;
    }
    Some(())
}

/// This program as a bare server of its own; ends on drop.
pub(crate) struct Bare {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Bare {
    /// Starts it on a free port.
    pub(crate) fn start() -> Self {
        let me = std::env::current_exe().expect("this program");
        let mut child =
            Command::new(me).arg(FLAG).stdout(Stdio::piped()).spawn().expect("this program again");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("an address");
        Self { child, address: line.trim().parse().expect("an address") }
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // Already gone is as good as killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
