//! Calls as Asterisk makes them over FastAGI, as many as one thread can.

use std::net::SocketAddr;
use std::time::Duration;

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

/// The load: seconds of each call, how many failed, seconds from the first connect to the last close.
pub(crate) fn load(to: SocketAddr, connections: usize, seconds: f64) -> (Vec<f64>, usize, f64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let start = now();
    let end = start + Duration::from_secs_f64(seconds);
    let (latencies, errors) = runtime.block_on(async {
        let callers: Vec<_> = (0..connections)
            .map(|_| {
                tokio::spawn(async move {
                    let (mut latencies, mut errors) = (Vec::new(), 0_usize);
                    let mut bytes = Vec::with_capacity(1_024);
                    let environment = environment("route?did=+15550001000&linkedid=1763870000.17");
                    while now() < end {
                        let began = now();
                        match call(to, &environment, &mut bytes).await {
                            Some(()) => latencies.push(began.elapsed().as_secs_f64()),
                            None => errors += 1,
                        }
                    }
                    (latencies, errors)
                })
            })
            .collect();
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
