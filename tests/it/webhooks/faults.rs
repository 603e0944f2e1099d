//! Consumers that misbehave: each attempt ends in time, with the right code, and costs nobody else anything.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::World;
use crate::support::both_databases;

/// Bytes that could be written to whoever asked for the endless answers.
static WRITTEN: AtomicUsize = AtomicUsize::new(0);

/// How a consumer misbehaves, by the name of its endpoint.
async fn misbehave(how: &'static str, mut socket: TcpStream) -> std::io::Result<()> {
    let mut request = vec![0; 8_192];
    if how == "slams the door" {
        return Ok(());
    }
    if socket.read(&mut request).await? == 0 {
        return Ok(());
    }
    match how {
        "hangs before the head" => std::future::pending().await,
        "hangs in the head" => {
            socket.write_all(b"HTTP/1.1 200 OK\r\nx-one: 1\r\n").await?;
            std::future::pending().await
        }
        "hangs in the body" => {
            socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf ").await?;
            std::future::pending().await
        }
        "closes before the head" => {}
        "closes in the body" => {
            socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf ").await?
        }
        "speaks garbage" => socket.write_all(b"\x00\xff\xfe\x16\x03garbage\r\n\r\n\xc3\x28").await?,
        "speaks something else" => socket.write_all(b"220 mail.example.com ESMTP\r\n").await?,
        "has huge headers" => {
            let line = format!("x-large: {}\r\n", "x".repeat(60_000));
            socket.write_all(format!("HTTP/1.1 200 OK\r\n{line}{line}{line}\r\n").as_bytes()).await?;
        }
        "has a thousand headers" => {
            let lines: String = (0..1_000).map(|n| format!("x-{n}: 1\r\n")).collect();
            socket.write_all(format!("HTTP/1.1 200 OK\r\n{lines}\r\n").as_bytes()).await?;
        }
        "answers a gigabyte" => {
            socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n").await?;
            flood(&mut socket, &[b'x'; 65_536]).await;
        }
        "answers without end" => {
            socket.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
            flood(&mut socket, &[b"8000\r\n", [b'y'; 0x8000].as_slice(), b"\r\n"].concat()).await;
        }
        "continues first" => {
            socket.write_all(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n").await?;
        }
        "continues for ever" => loop {
            socket.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        },
        "drips" => {
            socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await?;
            loop {
                socket.write_all(b".").await?;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        "answers bytes that are no text" => {
            socket.write_all(b"HTTP/1.1 200 OK\r\nx-odd: \xff\xfe\r\ncontent-length: 256\r\n\r\n").await?;
            socket.write_all(&(0..=255).collect::<Vec<u8>>()).await?;
        }
        _ => unreachable!("{how}"),
    }
    Ok(())
}

async fn flood(socket: &mut TcpStream, piece: &[u8]) {
    for _ in 0..(1 << 30) / piece.len() {
        if socket.write_all(piece).await.is_err() {
            return;
        }
        WRITTEN.fetch_add(piece.len(), Ordering::Relaxed);
    }
}

async fn consumer(how: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            // The sender leaves, as it should.
            tokio::spawn(async move { misbehave(how, socket).await });
        }
    });
    address
}

/// A TLS server that nobody vouches for.
async fn self_signed() -> SocketAddr {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            assert!(acceptor.accept(socket).await.is_err(), "somebody trusts a self-signed certificate");
        }
    });
    address
}

/// Kilobytes of this process in memory.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// How each consumer misbehaves, and what is recorded of it.
const EXPECTED: [(&str, &str); 16] = [
    ("slams the door", "exchange"),
    ("hangs before the head", "timeout"),
    ("hangs in the head", "timeout"),
    ("hangs in the body", "timeout"),
    ("closes before the head", "exchange"),
    ("closes in the body", "exchange"),
    ("speaks garbage", "exchange"),
    ("speaks something else", "exchange"),
    ("has huge headers", "too-large"),
    ("has a thousand headers", "too-large"),
    ("answers a gigabyte", "ok"),
    ("answers without end", "ok"),
    ("continues first", "ok"),
    ("continues for ever", "timeout"),
    ("drips", "timeout"),
    ("answers bytes that are no text", "ok"),
];

both_databases! {
    /// All of them at once, beside a good one.
    async fn consumers_that_misbehave(test) {
        let world = World::new(test).await;
        let mut endpoints = BTreeMap::new();
        let mut make = async |how: &'static str, url: String, outcome: &'static str| {
            let made = world.webhook("/", json!({"name": how, "url": url, "timeout_s": 1})).await;
            endpoints.insert(made.id(), (how, outcome));
        };
        for (how, outcome) in EXPECTED {
            make(how, format!("http://{}/hook", consumer(how).await), outcome).await;
        }
        make("is not there", "http://127.0.0.1:1/".into(), "connect").await;
        make("has no address", "http://nowhere.invalid/".into(), "resolve").await;
        make("nobody vouches for", format!("https://localhost:{}/", self_signed().await.port()), "tls").await;
        make("speaks no TLS", format!("https://127.0.0.1:{}/", world.sink.address.port()), "tls").await;
        world.webhook("/good", json!({})).await;
        let count = endpoints.len();
        let before = resident();
        world.happen(&["ticket:1"]).await;
        world.until("the good one's", |w| w.sink.at("/good").len() == 1).await;
        world.recorded(i64::try_from(count).unwrap() + 1).await;
        let grown = resident().saturating_sub(before);
        let written = WRITTEN.load(Ordering::Relaxed);
        assert!(grown < 64 * 1_024 && written < 64 << 20, "{grown} KB more, {written} bytes written");
        let mut wrong = Vec::new();
        for (id, (how, outcome)) in &endpoints {
            let attempt = world.attempts(id).await.remove(0);
            let body = attempt["response_body"].as_str().unwrap();
            let took = attempt["duration_ms"].as_i64().unwrap();
            let is_fine = match *how {
                "answers a gigabyte" => body.len() == 20_000,
                "answers without end" => body.len() == 20_000,
                "answers bytes that are no text" => body.contains("ABC"),
                "continues first" => attempt["status_code"] == 204,
                _ => *outcome == "ok" || attempt["status_code"] == Value::Null && !attempt["detail"].as_str().unwrap().is_empty() && attempt["response_headers"] == json!({}),
            };
            let in_time = took < 1_500 && (*outcome != "timeout" || took >= 1_000);
            if attempt["outcome"] != *outcome || !is_fine || !in_time {
                wrong.push(format!("{how}: {} {} {} after {took} ms", attempt["outcome"], attempt["status_code"], attempt["detail"]));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        // The good one is served all the same, while the others are tried again.
        for n in 0..20 {
            world.wait(Duration::from_secs(7));
            world.happen(&[format!("ticket:{n}")]).await;
        }
        world.until("the good one's", |w| w.sink.at("/good").len() == 21).await;
    }
}
