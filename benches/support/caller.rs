//! Calls as Asterisk makes them over FastAGI, as many as one thread can.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::now;

/// What Asterisk 22 sends before anything else, in one packet of some 850 bytes.
pub(crate) fn environment(script: &str) -> String {
    format!(
        "agi_network: yes\n\
        agi_network_script: {script}\nagi_request: agi://127.0.0.1:4573/{script}\n\
        agi_channel: PJSIP/carrier-00000011\nagi_language: en\nagi_type: PJSIP\nagi_uniqueid: 1763870000.17\n\
        agi_version: 22.5.2\nagi_callerid: +15557770009\nagi_calleridname: Caller\nagi_callingpres: 0\n\
        agi_callingani2: 0\nagi_callington: 0\nagi_callingtns: 0\nagi_dnid: +15550001000\nagi_rdnis: unknown\n\
        agi_context: hookswitch-call\nagi_extension: +15550001000\nagi_priority: 15\nagi_enhanced: 0.0\n\
        agi_accountcode: \nagi_threadid: 140218331813568\n\n"
    )
}

/// Appends what comes; `None` when nothing more will.
pub(crate) async fn read_some(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<()> {
    stream.read_buf(bytes).await.ok().filter(|n| *n > 0).map(drop)
}

/// Calls to one number, so many at a time.
#[derive(Clone)]
pub(crate) struct Load {
    /// Who is called.
    pub(crate) number: String,
    /// Calls at a time.
    pub(crate) connections: usize,
    /// How long a caller waits before its next call.
    pub(crate) pause: Duration,
    /// Ends the load before its time.
    pub(crate) stop: Arc<AtomicBool>,
}

impl Load {
    /// One call after the other.
    pub(crate) fn to(number: &str, connections: usize) -> Self {
        Self { number: number.to_owned(), connections, pause: Duration::ZERO, stop: Arc::default() }
    }

    /// Runs it: seconds of each call, how many failed, seconds from the first connect to the last close.
    pub(crate) fn run(&self, to: SocketAddr, seconds: f64) -> (Vec<f64>, usize, f64) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let start = now();
        let end = start + Duration::from_secs_f64(seconds);
        let (latencies, errors) = runtime.block_on(async {
            let callers: Vec<_> =
                (0..self.connections).map(|_| tokio::spawn(caller(self.clone(), to, end))).collect();
            let mut all = (Vec::new(), 0);
            for caller in callers {
                let (latencies, errors) = caller.await.expect("a caller");
                all.0.extend(latencies);
                all.1 += errors;
            }
            all
        });
        (latencies, errors, start.elapsed().as_secs_f64())
    }
}

async fn caller(load: Load, to: SocketAddr, end: Instant) -> (Vec<f64>, usize) {
    let (mut latencies, mut errors) = (Vec::new(), 0_usize);
    let mut bytes = Vec::with_capacity(1_024);
    let environment = environment(&format!("route?did={}&linkedid=1763870000.17", load.number));
    while now() < end && !load.stop.load(Relaxed) {
        let began = now();
        match call(to, &environment, &mut bytes).await {
            Some(()) => latencies.push(began.elapsed().as_secs_f64()),
            None => errors += 1,
        }
        if !load.pause.is_zero() {
            tokio::time::sleep(load.pause).await;
        }
    }
    (latencies, errors)
}

/// The load of the demo's static route, in a closed loop; see [`Load::run`].
pub(crate) fn load(to: SocketAddr, connections: usize, seconds: f64) -> (Vec<f64>, usize, f64) {
    Load::to("+15550001000", connections).run(to, seconds)
}

/// One call as Asterisk makes it; `None` when it did not end as it should.
async fn call(to: SocketAddr, environment: &str, bytes: &mut Vec<u8>) -> Option<()> {
    let mut stream = TcpStream::connect(to).await.ok()?;
    stream.write_all(environment.as_bytes()).await.ok()?;
    bytes.clear();
    while !bytes.ends_with(b"\n") {
        read_some(&mut stream, bytes).await?;
    }
    if !bytes.starts_with(b"EXEC MSet ") {
        return None;
    }
    stream.write_all(b"200 result=1\n").await.ok()?;
    bytes.clear();
    match stream.read_buf(bytes).await {
        Ok(0) => Some(()),
        _ => None,
    }
}
