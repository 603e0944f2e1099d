//! `/asterisk/ari`, where Asterisk connects by itself (`outbound_websocket` of `ari.conf`): one lasting connection for the
//! application, or one for each call (`<app>:<channel name>`), told apart by their first frame.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper_util::rt::TokioIo;
use subtle::ConstantTimeEq;
use tokio::net::TcpStream;
use tokio::time::{sleep, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::conn::{End, Open};
use super::dial::basic;
use super::event::{Event, Told};
use super::pipe::{self, Bytes, Prompt, Socket};
use super::{Asterisk, Links};
use crate::base::shutdown::Stopping;
use crate::config::limits::ari as limits;

/// Where Asterisks connect.
pub(super) fn routes(links: &Links) -> Router {
    let links = links.clone();
    Router::new().route("/asterisk/ari", get(move |request: Request| accept(links.clone(), request)))
}

async fn accept(links: Links, request: Request) -> Response {
    let groups = allowed(&links, request.headers());
    if groups.is_empty() {
        refused(&links);
        let challenge = [(header::WWW_AUTHENTICATE, "Basic realm=\"hookswitch ari\"")];
        return (StatusCode::UNAUTHORIZED, challenge, "username and password of an [ari.NAME] without url\n")
            .into_response();
    }
    let mut response = match create_response_with_body(&request, Body::empty) {
        Ok(response) => response,
        Err(error) => {
            let upgrade = [(header::UPGRADE, "websocket")];
            return (StatusCode::UPGRADE_REQUIRED, upgrade, format!("{error}\n")).into_response();
        }
    };
    if offers_ari(request.headers()) {
        response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("ari"));
    }
    let Ok(place) = Arc::clone(&links.places).try_acquire_owned() else {
        tracing::error!("Asterisks have opened too many connections; one was refused");
        return (StatusCode::SERVICE_UNAVAILABLE, "too many connections\n").into_response();
    };
    let mut stopping = links.end.1.clone();
    tokio::spawn(async move {
        if let Some(socket) = upgraded(hyper::upgrade::on(request)).await {
            serve(&groups, socket, &mut stopping).await;
        }
        drop(place);
    });
    response
}

/// The groups whose credentials these are. All are compared, each as a whole.
fn allowed(links: &Links, headers: &HeaderMap) -> Vec<Arc<Asterisk>> {
    let given = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
    let waits = links.all().filter(|asterisk| asterisk.settings.url.is_none());
    let is_its = |asterisk: &&Arc<Asterisk>| bool::from(basic(&asterisk.settings).as_bytes().ct_eq(given));
    waits.filter(is_its).cloned().collect()
}

/// Says it, but not with each of many attempts.
fn refused(links: &Links) {
    let now_us = links.clock.now_us();
    let before = links.refused_us.load(Ordering::Relaxed);
    let pause = i64::try_from(limits::REFUSED_PAUSE.as_micros()).unwrap_or(i64::MAX);
    if now_us - before >= pause {
        links.refused_us.store(now_us, Ordering::Relaxed);
        tracing::error!(
            "somebody without the credentials of an [ari.NAME] without url was refused at /asterisk/ari; \
             if it is an Asterisk of yours, compare websocket_client.conf"
        );
    }
}

fn offers_ari(headers: &HeaderMap) -> bool {
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    offered.filter_map(|value| value.to_str().ok()).any(|list| list.split(',').any(|one| one.trim() == "ari"))
}

async fn upgraded(upgrade: hyper::upgrade::OnUpgrade) -> Option<Socket> {
    let upgraded = match upgrade.await {
        Ok(upgraded) => upgraded,
        Err(error) => {
            tracing::debug!(%error, "Asterisk was gone before its socket was one");
            return None;
        }
    };
    // The connection as it was accepted: without the layers of HTTP around it.
    let Ok(parts) = upgraded.downcast::<TokioIo<TcpStream>>() else {
        tracing::error!("a socket is no TCP connection");
        return None;
    };
    let stream: Box<dyn Bytes> = Box::new(Prompt::new(parts.io.into_inner()));
    let part = parts.read_buf.to_vec();
    Some(WebSocketStream::from_partially_read(stream, part, Role::Server, Some(pipe::config())).await)
}

/// Whose connection it is, and whether for one call.
fn owner<'a>(groups: &'a [Arc<Asterisk>], application: &str) -> Option<(&'a Arc<Asterisk>, bool)> {
    let app = application.split_once(':').map_or(application, |(app, _)| app);
    let found = groups.iter().find(|asterisk| asterisk.app() == app)?;
    Some((found, app.len() != application.len()))
}

async fn serve(groups: &[Arc<Asterisk>], socket: Socket, stopping: &mut Stopping) {
    let Some(any) = groups.first() else { return };
    let mut open = Open::new(socket, any.next_id(), true, any.clock.clone());
    let first = tokio::select! {
        first = timeout(limits::FIRST_FRAME_TIME, open.next()) => first,
        () = stopping.stopped() => return open.close(limits::CLOSE_TIME, stopping).await,
    };
    let Ok(Ok(first)) = first else {
        tracing::warn!(
            ari.asterisk = any.name(),
            "Asterisk connected, but did not say for which application"
        );
        return open.close(limits::CLOSE_TIME, stopping).await;
    };
    let Some((asterisk, is_call)) = owner(groups, &first.application) else {
        tracing::error!(
            ari.asterisk = any.name(),
            ari.application = first.application,
            "Asterisk connected for another application: compare apps of ari.conf with ari.NAME.app"
        );
        // Not at once: it would come again at once.
        tokio::select! {
            () = sleep(limits::REFUSED_PAUSE) => {}
            () = stopping.stopped() => {}
        }
        return open.close(limits::CLOSE_TIME, stopping).await;
    };
    let end = if is_call {
        for_call(asterisk, &mut open, first, stopping).await
    } else {
        for_all(asterisk, &mut open, first, stopping).await
    };
    tracing::debug!(ari.asterisk = asterisk.name(), reason = %end, "a connection of Asterisk's ended");
    let time = if end == End::Silent { limits::LINGER_TIME } else { limits::CLOSE_TIME };
    open.close(time, stopping).await;
}

async fn for_call(asterisk: &Arc<Asterisk>, open: &mut Open, first: Told, stopping: &mut Stopping) -> End {
    let application = first.application.clone();
    if !asterisk.inbox.enter_call(Arc::clone(&open.conn), &application) {
        tracing::error!(
            ari.asterisk = asterisk.name(),
            "too many connections for single calls; one was refused"
        );
        return End::Ours;
    }
    asterisk.put(&open.conn, first);
    let end = read(asterisk, open, stopping).await;
    asterisk.inbox.leave(&open.conn);
    // It may have broken in the middle of the call: Asterisk connects anew then.
    let asterisk = Arc::clone(asterisk);
    tokio::spawn(async move {
        sleep(limits::CALL_AWAY).await;
        asterisk.inbox.leave_call(application);
    });
    end
}

async fn for_all(asterisk: &Arc<Asterisk>, open: &mut Open, first: Told, stopping: &mut Stopping) -> End {
    if let Some(when) = asterisk.inbox.may_be_replaced() {
        tracing::warn!(
            ari.asterisk = asterisk.name(),
            "another connection takes the place of the one that is there; if this goes on, two Asterisks have the \
             credentials of this [ari.NAME]"
        );
        tokio::select! {
            () = sleep_until(when) => {}
            () = stopping.stopped() => return End::Ours,
        }
    }
    if let Some(before) = asterisk.inbox.enter(Arc::clone(&open.conn)) {
        before.close();
    }
    asterisk.put(&open.conn, first);
    let end = read(asterisk, open, stopping).await;
    asterisk.left(&open.conn, &end);
    if end == End::Replaced {
        // Closed at once, Asterisk would connect anew at once and take the application back.
        tokio::select! {
            () = sleep(limits::REPLACED_PAUSE) => {}
            () = stopping.stopped() => {}
        }
    }
    end
}

async fn read(asterisk: &Asterisk, open: &mut Open, stopping: &mut Stopping) -> End {
    loop {
        let told = tokio::select! {
            told = open.next() => told,
            () = stopping.stopped() => return End::Ours,
        };
        match told {
            Ok(told) if matches!(told.event, Event::ApplicationReplaced {}) => return End::Replaced,
            Ok(told) => asterisk.put(&open.conn, told),
            Err(end) => return end,
        }
    }
}
