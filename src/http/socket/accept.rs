//! From a request to a connection: the address's limit, a place, the handshake, and the task that serves it.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use axum::routing::get;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;

use super::Sockets;
use super::session::{self, Origin};
use super::wire::Wire;
use crate::api::Problem;
use crate::config::limits::api as limits;
use crate::http::{problem, request};

/// `GET /ws/v1`
pub fn routes(sockets: &Arc<Sockets>) -> Router {
    let sockets = Arc::clone(sockets);
    Router::new().route("/ws/v1", get(move |request: Request| accept(Arc::clone(&sockets), request)))
}

async fn accept(sockets: Arc<Sockets>, mut request: Request) -> Response {
    let id = request::request_id(request.headers(), || format!("req_{}", sockets.gate.ids.next()));
    match handshake(&sockets, &mut request) {
        Ok((response, place, origin)) => {
            tokio::spawn(upgraded(sockets, hyper::upgrade::on(request), place, origin));
            response
        }
        Err(refused) => {
            let mut response = problem::response(&refused, request.uri().path(), &id);
            if refused.status == 426 {
                response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            }
            response
        }
    }
}

fn handshake(
    sockets: &Sockets,
    request: &mut Request,
) -> Result<(Response, OwnedSemaphorePermit, Origin), Problem> {
    let (parts, body) = std::mem::take(request).into_parts();
    let address: IpAddr = request::address(&parts, &sockets.gate.trusted);
    let user_agent = request::text(&parts.headers, header::USER_AGENT, limits::USER_AGENT_CHARACTERS);
    *request = Request::from_parts(parts, body);
    sockets.gate.limiter.address(address)?;
    let response = create_response_with_body(request, Body::empty).map_err(|error| {
        Problem::new(426, "upgrade-required", format!("This is a WebSocket, version 13: {error}."))
    })?;
    let place = Arc::clone(&sockets.places).try_acquire_owned().map_err(|_| {
        Problem::busy("too-many-sockets", "The service has no place for another socket.", limits::RETRY_TIME)
    })?;
    Ok((response, place, Origin { address, user_agent }))
}

async fn upgraded(
    sockets: Arc<Sockets>,
    upgrade: hyper::upgrade::OnUpgrade,
    place: OwnedSemaphorePermit,
    origin: Origin,
) {
    let upgraded = match upgrade.await {
        Ok(upgraded) => upgraded,
        Err(error) => return tracing::debug!(%error, "a socket was gone before it was one"),
    };
    // The connection as it was accepted: without the layers of HTTP around it.
    let Ok(parts) = upgraded.downcast::<TokioIo<TcpStream>>() else {
        return tracing::error!("a socket is no TCP connection");
    };
    let wire = Wire::new(parts.io.into_inner(), &parts.read_buf, sockets.options.send_time).await;
    session::run(&sockets, wire, origin).await;
    drop(place);
}
