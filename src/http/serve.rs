//! A listener for HTTP/1.1 with limits: connections at a time, time for a request's head, time to finish at shutdown.
//!
//! A connection that becomes a socket gives its place back: sockets have places of their own ([`super::socket`]).

use std::sync::Arc;

use axum::Router;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tower_service::Service;

use super::request::Peer;
use crate::base::shutdown::Stopping;
use crate::config::limits::http as limits;

/// Serves `routes` until `stopping`; then open requests get [`limits::DRAIN_TIME`].
pub async fn serve(listener: TcpListener, routes: Router, mut stopping: Stopping) {
    let places = Arc::new(Semaphore::new(limits::CONNECTIONS));
    let mut server = hyper::server::conn::http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(limits::HEAD_TIME).max_buf_size(limits::HEAD_BYTES);
    loop {
        // A place first: who comes when all are taken waits in the kernel's queue.
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place,
            () = stopping.stopped() => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopping.stopped() => break,
        };
        let (stream, peer) = match accepted {
            Ok((stream, peer)) => (stream, peer.ip()),
            Err(error) => {
                tracing::warn!(%error, "an HTTP connection can't be accepted");
                tokio::time::sleep(limits::ACCEPT_PAUSE).await;
                continue;
            }
        };
        let routes = routes.clone();
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(Peer(peer));
            // A router is always ready.
            routes.clone().call(request)
        });
        let connection = server.serve_connection(TokioIo::new(stream), service).with_upgrades();
        let mut stopping = stopping.clone();
        tokio::spawn(async move {
            let mut connection = std::pin::pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = stopping.stopped() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "an HTTP connection ended early");
            }
            drop(place);
        });
    }
    drop(listener);
    let all = places.acquire_many(u32::try_from(limits::CONNECTIONS).unwrap_or(u32::MAX));
    if tokio::time::timeout(limits::DRAIN_TIME, all).await.is_err() {
        tracing::info!("HTTP requests that had not come whole were cut off");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::shutdown;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    async fn started() -> (std::net::SocketAddr, shutdown::Stopper, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stopper, stopping) = shutdown::channel();
        let routes = Router::new().route("/", axum::routing::get(|| async { "here" }));
        (address, stopper, tokio::spawn(serve(listener, routes, stopping)))
    }

    #[tokio::test]
    async fn a_request_is_answered_and_an_endless_one_does_not_hold_the_end_up() {
        let (address, stopper, serving) = started().await;
        let mut whole = TcpStream::connect(address).await.unwrap();
        whole.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        whole.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("here"), "{answer}");
        let mut half = TcpStream::connect(address).await.unwrap();
        half.write_all(b"GET / HTT").await.unwrap();
        stopper.stop();
        let most = limits::DRAIN_TIME + std::time::Duration::from_secs(5);
        tokio::time::timeout(most, serving).await.expect("the end").unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_never_ends_is_cut_off() {
        let (address, _stopper, _serving) = started().await;
        let mut half = TcpStream::connect(address).await.unwrap();
        half.write_all(b"GET / HTTP/1.1\r\nhost").await.unwrap();
        let start = tokio::time::Instant::now();
        let mut rest = Vec::new();
        // Closed, with or without a 408.
        let _ = half.read_to_end(&mut rest).await;
        assert!(
            start.elapsed() <= limits::HEAD_TIME + std::time::Duration::from_secs(1),
            "{:?}",
            start.elapsed()
        );
    }
}
