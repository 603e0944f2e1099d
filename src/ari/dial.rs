//! The way to an Asterisk that has a URL: dials its `/ari/events`, for ever.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper_rustls::ConfigBuilderExt;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderValue, header};
use url::Url;

use super::Asterisk;
use super::conn::{End, Open};
use super::event::Event;
use super::pipe::{self, Bytes, Prompt, Socket};
use crate::base::shutdown::Stopping;
use crate::config::limits::ari as limits;
use crate::config::{self};

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
enum DialError {
    #[error("user or password is refused: compare ari.NAME.username and .password with ari.conf")]
    Refused,
    #[error("it answers {0}{1}")]
    Status(u16, &'static str),
    #[error("no connection: {0}")]
    Io(#[from] std::io::Error),
    #[error("no connection within the time")]
    Slow,
    #[error("no WebSocket: {0}")]
    Socket(String),
    #[error("the URL can't be used: {0}")]
    Url(String),
}

/// Where the events are.
///
/// # Errors
/// What is wrong with the URL.
pub(super) fn events_url(base: &str, app: &str) -> Result<Url, String> {
    let mut url = Url::parse(base).map_err(|error| error.to_string())?;
    let scheme = match url.scheme() {
        "http" => "ws",
        "https" => "wss",
        other => return Err(format!("{other} is neither http nor https")),
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err("user and password have settings of their own".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("it ends with the path".to_owned());
    }
    url.set_scheme(scheme).map_err(|()| "its scheme".to_owned())?;
    let path = format!("{}/ari/events", url.path().trim_end_matches('/'));
    url.set_path(&path);
    url.query_pairs_mut().append_pair("app", app).append_pair("subscribeAll", "true");
    Ok(url)
}

/// The header of both directions.
pub(super) fn basic(settings: &config::Ari) -> String {
    format!("Basic {}", STANDARD.encode(format!("{}:{}", settings.username, settings.password.expose())))
}

/// Connects and stays connected until `stopping`.
pub(super) async fn run(asterisk: Arc<Asterisk>, base: String, mut stopping: Stopping) {
    let (mut retry, mut replaced) = (limits::RETRY_FIRST, limits::REPLACED_PAUSE);
    let mut said = String::new();
    while !stopping.is_stopping() {
        let pause = match open(&asterisk, &base).await {
            Ok(socket) => {
                said.clear();
                let start = Instant::now();
                match serve(&asterisk, socket, &mut stopping).await {
                    End::Replaced => {
                        let pause =
                            if start.elapsed() > replaced { limits::REPLACED_PAUSE } else { replaced };
                        replaced = (pause * 2).min(limits::REPLACED_MOST);
                        pause
                    }
                    _ => {
                        if start.elapsed() > limits::RETRY_MOST {
                            retry = limits::RETRY_FIRST;
                        }
                        doubled(&mut retry)
                    }
                }
            }
            Err(error) => {
                let refused = matches!(error, DialError::Refused);
                say(&asterisk, &error, &mut said);
                if refused { limits::REFUSED_PAUSE } else { doubled(&mut retry) }
            }
        };
        tokio::select! {
            () = sleep(pause) => {}
            () = stopping.stopped() => return,
        }
    }
}

fn doubled(retry: &mut Duration) -> Duration {
    std::mem::replace(retry, (*retry * 2).min(limits::RETRY_MOST))
}

/// Says what is wrong once, however often it is tried.
fn say(asterisk: &Asterisk, error: &DialError, said: &mut String) {
    let why = error.to_string();
    if *said == why {
        tracing::debug!(ari.asterisk = asterisk.name(), %error, "Asterisk still can't be reached");
    } else if matches!(error, DialError::Refused) {
        tracing::error!(ari.asterisk = asterisk.name(), %error, "Asterisk refuses the service");
    } else {
        tracing::warn!(ari.asterisk = asterisk.name(), %error, "Asterisk can't be reached; it is tried again and again");
    }
    *said = why;
}

async fn serve(asterisk: &Asterisk, socket: Socket, stopping: &mut Stopping) -> End {
    let mut open = Open::new(socket, asterisk.next_id(), false, asterisk.clock.clone());
    asterisk.inbox.enter(Arc::clone(&open.conn));
    let end = loop {
        let told = tokio::select! {
            told = open.next() => told,
            () = stopping.stopped() => Err(End::Ours),
        };
        match told {
            Ok(told) if matches!(told.event, Event::ApplicationReplaced {}) => break End::Replaced,
            Ok(told) => asterisk.put(&open.conn, told),
            Err(end) => break end,
        }
    };
    asterisk.left(&open.conn, &end);
    let linger = end == End::Silent;
    let mut stopping = stopping.clone();
    let closing = async move {
        open.close(if linger { limits::LINGER_TIME } else { limits::CLOSE_TIME }, &mut stopping).await;
    };
    // Not to be waited for: it may take minutes.
    if linger {
        drop(tokio::spawn(closing))
    } else {
        closing.await
    }
    end
}

async fn open(asterisk: &Asterisk, base: &str) -> Result<Socket, DialError> {
    let url = events_url(base, asterisk.app()).map_err(DialError::Url)?;
    timeout(limits::CONNECT_TIME, handshake(asterisk, &url)).await.map_err(|_| DialError::Slow)?
}

async fn handshake(asterisk: &Asterisk, url: &Url) -> Result<Socket, DialError> {
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or_default();
    let tcp = TcpStream::connect((host.trim_matches(['[', ']']), port)).await?;
    let stream: Box<dyn Bytes> = match url.scheme() {
        "wss" => Box::new(tls(host, Prompt::new(tcp)).await?),
        _ => Box::new(Prompt::new(tcp)),
    };
    let mut request =
        url.as_str().into_client_request().map_err(|error| DialError::Url(error.to_string()))?;
    let mut secret = HeaderValue::try_from(basic(&asterisk.settings))
        .map_err(|error| DialError::Url(error.to_string()))?;
    secret.set_sensitive(true);
    request.headers_mut().insert(header::AUTHORIZATION, secret);
    request.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("ari"));
    let opened = client_async_with_config(request, stream, Some(pipe::config())).await;
    opened.map(|(socket, _)| socket).map_err(|error| match error {
        WsError::Http(answer) => refused(answer.status().as_u16()),
        WsError::Io(error) => DialError::Io(error),
        error => DialError::Socket(error.to_string()),
    })
}

fn refused(status: u16) -> DialError {
    match status {
        401 | 403 => DialError::Refused,
        404 => DialError::Status(
            404,
            ": is ARI enabled (ari.conf, http.conf), and is a prefix of http.conf in the URL?",
        ),
        503 => DialError::Status(503, ": it boots"),
        status => DialError::Status(status, ""),
    }
}

async fn tls(host: &str, stream: Prompt) -> Result<tokio_rustls::client::TlsStream<Prompt>, DialError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| DialError::Socket(error.to_string()))?
        .with_webpki_roots()
        .with_no_client_auth();
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
        .map_err(|error| DialError::Url(error.to_string()))?;
    Ok(TlsConnector::from(Arc::new(config)).connect(name, stream).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_events_are_below_the_url_and_any_application_is_named_whole() {
        let url = |base: &str| events_url(base, "hs&x").map(String::from);
        assert_eq!(url("http://pbx:8088").unwrap(), "ws://pbx:8088/ari/events?app=hs%26x&subscribeAll=true");
        assert_eq!(
            url("https://pbx/asterisk/").unwrap(),
            "wss://pbx/asterisk/ari/events?app=hs%26x&subscribeAll=true"
        );
        for wrong in ["http://", "ftp://pbx", "http://a:b@pbx", "http://pbx?x=1"] {
            assert!(url(wrong).is_err(), "{wrong}");
        }
    }
}
