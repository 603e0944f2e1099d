//! The outgoing door against real servers on the loopback: what is refused, what is cut off, what ends in time.

#![expect(clippy::unwrap_used, reason = "a test file")]

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::response::Redirect;
use axum::routing::{get, post};
use bytes::Bytes;
use hookswitch::outgoing::{Answer, Ask, Client, Error, Guard, Longer, OutgoingUrl};
use hyper::{HeaderMap, Method};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const LIMIT: usize = 1_000;

fn client(allow: &str) -> Client {
    Client::new(Guard::parse(allow).unwrap()).unwrap()
}

async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

async fn fetch(client: &Client, url: &str, time: Duration) -> Result<Answer, Error> {
    let url: OutgoingUrl = url.parse().unwrap();
    let ask = Ask {
        method: Method::POST,
        url: &url,
        headers: HeaderMap::new(),
        body: Bytes::from_static(b"ping"),
        time,
        answer_bytes: LIMIT,
        longer: Longer::Refuse,
    };
    client.send(ask).await
}

const LONG: Duration = Duration::from_secs(10);

/// Echo, and how many requests came.
async fn echo() -> (SocketAddr, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&count);
    let app = Router::new().route(
        "/",
        post(move |headers: HeaderMap, body: Bytes| async move {
            seen.fetch_add(1, Ordering::SeqCst);
            assert!(headers["user-agent"].to_str().unwrap().starts_with("Hookswitch/"));
            body
        }),
    );
    (serve(app).await, count)
}

#[tokio::test]
async fn an_allowed_network_is_reached_by_address_and_by_name() {
    let (address, count) = echo().await;
    let client = client("127.0.0.0/8");
    for host in ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]"] {
        let url = format!("http://{host}:{}/", address.port());
        let answer = fetch(&client, &url, LONG).await.unwrap();
        assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, &b"ping"[..]), "{host}");
        assert_eq!(answer.peer.unwrap().port(), address.port());
    }
    assert_eq!(count.load(Ordering::SeqCst), 5);
}

#[tokio::test]
async fn private_addresses_are_refused_in_every_spelling() {
    let (address, count) = echo().await;
    let client = client("");
    for host in [
        "localhost",
        "LOCALHOST",
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "169.254.169.254",
        "[fe80::1]",
        "100.64.0.1",
        "[fd00::1]",
    ] {
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://{host}:{}/", address.port());
            let error = fetch(&client, &url, LONG).await.unwrap_err();
            assert_eq!(error.code(), "refused-address", "{url}: {error}");
        }
    }
    assert_eq!(count.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_allow_list_for_one_network_opens_no_other() {
    let (address, _) = echo().await;
    let url = format!("http://127.0.0.1:{}/", address.port());
    let error = fetch(&client("10.0.0.0/8,::1"), &url, LONG).await.unwrap_err();
    assert_eq!(error.code(), "refused-address");
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (target, count) = echo().await;
    let to = format!("http://127.0.0.1:{}/", target.port());
    let app = Router::new().route("/", post(move || async move { Redirect::temporary(&to) }));
    let address = serve(app).await;
    let error = fetch(&client("127.0.0.0/8"), &format!("http://{address}/"), LONG).await.unwrap_err();
    assert!(matches!(error, Error::Redirect(StatusCode::TEMPORARY_REDIRECT)), "{error}");
    assert_eq!(count.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn other_statuses_are_answers() {
    let app = Router::new().route("/", post(|| async { (StatusCode::GONE, "gone") }));
    let address = serve(app).await;
    let answer = fetch(&client("127.0.0.0/8"), &format!("http://{address}/"), LONG).await.unwrap();
    assert_eq!(answer.status, StatusCode::GONE);
    let get_only = serve(Router::new().route("/", get(|| async { "" }))).await;
    let answer = fetch(&client("127.0.0.0/8"), &format!("http://{get_only}/"), LONG).await.unwrap();
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
}

/// A server that answers each connection with `head`, then repeats `more` until the client is gone; counts what it could write.
async fn flood(head: &'static str, more: &'static [u8]) -> (SocketAddr, tokio::task::JoinHandle<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let written = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4_096];
        assert!(socket.read(&mut request).await.unwrap() > 0);
        let mut written = head.len();
        socket.write_all(head.as_bytes()).await.unwrap();
        while let Ok(count) = socket.write(more).await {
            written += count;
            if more.is_empty() {
                // Silent from here on: wait for the client to leave.
                let _ = socket.read(&mut request).await;
                break;
            }
        }
        written
    });
    (address, written)
}

static CHUNK: [u8; 4_096] = [b'x'; 4_096];

#[tokio::test]
async fn an_endless_answer_is_cut_at_the_limit() {
    for head in ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n"] {
        let (address, written) = flood(head, &CHUNK).await;
        let error = fetch(&client("127.0.0.0/8"), &format!("http://{address}/"), LONG).await.unwrap_err();
        assert_eq!(error.code(), "too-large", "{error}");
        // The server ends only because the connection was closed on it; the rest sat in socket buffers.
        let written = tokio::time::timeout(LONG, written).await.unwrap().unwrap();
        assert!(written < 16 * 1024 * 1024, "{written}");
    }
}

#[tokio::test]
async fn an_endless_header_is_cut() {
    static HEADER: &[u8] = b"x-pad: 0123456789012345678901234567890123456789\r\n";
    let (address, _) = flood("HTTP/1.1 200 OK\r\n", HEADER).await;
    let error = fetch(&client("127.0.0.0/8"), &format!("http://{address}/"), LONG).await.unwrap_err();
    assert_eq!(error.code(), "too-large", "{error}");
}

/// One frame, of a length that is not told beforehand.
struct Unannounced(Option<Bytes>);

impl hyper::body::Body for Unannounced {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(hyper::body::Frame::data(bytes))))
    }
}

#[tokio::test]
async fn the_limits_are_exact() {
    let client = client("127.0.0.0/8");
    for (announced, length, code) in [
        (true, LIMIT, "ok"),
        (false, LIMIT, "ok"),
        (true, LIMIT + 1, "too-large"),
        (false, LIMIT + 1, "too-large"),
    ] {
        // A streamed body goes out in chunks, without a content-length.
        let body = Bytes::from(vec![b'x'; length]);
        let app = Router::new().route(
            "/",
            post(move || async move {
                if announced {
                    return axum::body::Body::from(body);
                }
                axum::body::Body::new(Unannounced(Some(body)))
            }),
        );
        let address = serve(app).await;
        let result = fetch(&client, &format!("http://{address}/"), LONG).await;
        assert_eq!(result.as_ref().map_or_else(Error::code, |_| "ok"), code, "{announced} {length}");
    }
    // One header that fits and one that does not; hyper's own limit would be about 400 KiB.
    for (length, code) in [(8 * 1024, "ok"), (100 * 1024, "too-large")] {
        let app = Router::new().route("/", post(move || async move { [("x-pad", "x".repeat(length))] }));
        let address = serve(app).await;
        let result = fetch(&client, &format!("http://{address}/"), LONG).await;
        assert_eq!(result.as_ref().map_or_else(Error::code, |_| "ok"), code, "{length}");
    }
}

#[tokio::test]
async fn slow_heads_and_slow_bodies_meet_the_deadline() {
    for head in ["", "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"] {
        let (address, _) = flood(head, b"").await;
        let url = format!("http://{address}/");
        let client = client("127.0.0.0/8");
        let asked = fetch(&client, &url, Duration::from_millis(50));
        let error = tokio::time::timeout(LONG, asked).await.unwrap().unwrap_err();
        assert_eq!(error.code(), "timeout", "{error}");
    }
}

#[tokio::test]
async fn what_can_go_wrong_has_its_own_code() {
    let client = client("127.0.0.0/8");
    // Bound, then closed: nobody listens there any more.
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = fetch(&client, &format!("http://{unused}/"), LONG).await.unwrap_err();
    assert_eq!(error.code(), "connect", "{error}");
    assert!(error.to_string().contains("refused"), "{error}");

    // A server without TLS, and one that is no HTTP server.
    let (plain, _) = echo().await;
    let error = fetch(&client, &format!("https://{plain}/"), LONG).await.unwrap_err();
    assert_eq!(error.code(), "tls", "{error}");
    let (noise, _) = flood("220 mail.example.com ESMTP\r\n", b"").await;
    let error = fetch(&client, &format!("http://{noise}/"), LONG).await.unwrap_err();
    assert_eq!(error.code(), "exchange", "{error}");

    // RFC 6761: `.invalid` never resolves.
    let error = fetch(&client, "http://nowhere.invalid/", LONG).await.unwrap_err();
    assert_eq!(error.code(), "resolve", "{error}");

    let url: OutgoingUrl = format!("http://{plain}/").parse().unwrap();
    let ask = Ask {
        method: Method::POST,
        url: &url,
        headers: HeaderMap::new(),
        body: vec![0; 256 * 1024 + 1].into(),
        time: LONG,
        answer_bytes: LIMIT,
        longer: Longer::Refuse,
    };
    assert_eq!(client.send(ask).await.unwrap_err().code(), "request-too-large");
}

/// A TLS server with a certificate of its own for `localhost`, and the certificate.
async fn tls_server() -> (SocketAddr, rustls::pki_types::CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let Ok(mut tls) = acceptor.accept(socket).await else { continue };
            let mut request = vec![0; 4_096];
            if tls.read(&mut request).await.is_ok_and(|count| count > 0) {
                tls.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nsafe").await.unwrap();
                tls.shutdown().await.unwrap();
            }
        }
    });
    (address, certificate)
}

#[tokio::test]
async fn certificates_and_names_are_checked() {
    let (address, certificate) = tls_server().await;
    let url = format!("https://localhost:{}/", address.port());
    let public = fetch(&client("127.0.0.0/8"), &url, LONG).await.unwrap_err();
    assert_eq!(public.code(), "tls", "{public}");

    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    let tls = rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let trusting = Client::with_tls(Guard::parse("127.0.0.0/8").unwrap(), tls);
    assert_eq!(&fetch(&trusting, &url, LONG).await.unwrap().body[..], b"safe");
    let other_name = format!("https://127.0.0.1:{}/", address.port());
    let error = fetch(&trusting, &other_name, LONG).await.unwrap_err();
    assert_eq!(error.code(), "tls", "{error}");
}
