//! What benches ask over REST, and the load of a GET.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

/// A request of its own connection, with a JSON body or none; the answer's JSON.
pub(crate) fn ask(to: SocketAddr, method: &str, path: &str, token: &str, body: &str) -> Value {
    send(to, method, path, token, ("application/json", body.as_bytes()))
}

/// The same with any body.
pub(crate) fn send(to: SocketAddr, method: &str, path: &str, token: &str, body: (&str, &[u8])) -> Value {
    let mut stream = TcpStream::connect(to).expect("to connect");
    let bearer = if token.is_empty() { String::new() } else { format!("authorization: Bearer {token}\r\n") };
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{bearer}content-type: {}\r\n\
         content-length: {}\r\n\r\n",
        body.0,
        body.1.len()
    )
    .expect("to write");
    stream.write_all(body.1).expect("to write");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("to read");
    let body = answer.split_once("\r\n\r\n").expect("an answer").1;
    serde_json::from_str(body).unwrap_or_else(|error| {
        eprintln!("{error}: {answer}");
        std::process::exit(1)
    })
}

/// A token of the demo's admin of acme.
pub(crate) fn login(to: SocketAddr) -> String {
    login_as(to, "admin@acme.test")
}

/// A token of anybody with the demo's password.
pub(crate) fn login_as(to: SocketAddr, email: &str) -> String {
    let body = format!(r#"{{"email":"{email}","password":"hookswitch-demo-1"}}"#);
    let answer = ask(to, "POST", "/api/v1/auth/login", "", &body);
    answer["access_token"].as_str().expect("a token").to_owned()
}

/// A GET as it goes over a connection that stays open.
pub(crate) fn request(path: &str, token: &str) -> String {
    let bearer = if token.is_empty() { String::new() } else { format!("authorization: Bearer {token}\r\n") };
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{bearer}\r\n")
}

/// Sends a request and reads the whole answer, which must be a 200.
pub(crate) async fn exchange(stream: &mut tokio::net::TcpStream, text: &str, buffer: &mut Vec<u8>) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    stream.write_all(text.as_bytes()).await.expect("to write");
    buffer.clear();
    loop {
        assert!(stream.read_buf(buffer).await.expect("to read") > 0, "closed early");
        let Some(head) = buffer.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
        let top = String::from_utf8_lossy(&buffer[..head]).to_ascii_lowercase();
        assert!(top.starts_with("http/1.1 200"), "{top}");
        let length =
            top.lines().find_map(|l| l.strip_prefix("content-length: ")?.trim().parse::<usize>().ok());
        if buffer.len() >= head + 4 + length.expect("a length") {
            return;
        }
    }
}
