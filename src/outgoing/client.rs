//! One HTTP request to a tenant's URL: guarded, limited, on time.
//!
//! HTTP/1.1 over TCP or TLS (public roots), no redirects, no proxies, no cookies, no compression. Idle connections
//! are kept for a few seconds; each was vetted when it was opened.
//!
//! Invariants: the whole exchange, name look-up to last byte, ends by the deadline; never more of an answer is
//! taken in than the caller's limit and one read buffer. Nothing of a request or an answer is logged here.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{ACCEPT, HeaderValue, USER_AGENT};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_rustls::builderstates::WantsSchemes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpInfo;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use thiserror::Error;

use super::connect::{DialError, Dialer};
use super::guard::{Guard, Refusal};
use super::url::OutgoingUrl;
use crate::config::limits::outgoing as limits;

const AGENT: &str = concat!("Hookswitch/", env!("CARGO_PKG_VERSION"));

/// One request.
#[derive(Debug)]
pub struct Ask<'a> {
    /// Method.
    pub method: Method,
    /// Where to.
    pub url: &'a OutgoingUrl,
    /// Headers of the caller's. `host` and `content-length` are set by the client, `user-agent` and `accept` unless given.
    pub headers: HeaderMap,
    /// Body, at most [`limits::REQUEST_BYTES`].
    pub body: Bytes,
    /// Time for everything, at most [`limits::TOTAL_TIME`].
    pub time: Duration,
    /// Bytes of the answer's body, at most [`limits::RESPONSE_BYTES`].
    pub answer_bytes: usize,
    /// What to do with a longer one.
    pub longer: Longer,
}

/// What becomes of an answer that is longer than asked for. Either way the rest is not read and the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Longer {
    /// It is none.
    Refuse,
    /// Its beginning will do.
    Cut,
}

/// A whole answer; any status but 3xx.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
    /// The address that answered, for traces.
    pub peer: Option<SocketAddr>,
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum Error {
    /// The guard refused every address of the host.
    #[error(transparent)]
    Refused(Refusal),
    /// The name has no address, or the resolver failed.
    #[error("the name cannot be resolved: {0}")]
    Resolve(String),
    /// No TCP connection: refused, unreachable, or not within [`limits::CONNECT_TIME`].
    #[error("no connection: {0}")]
    Connect(String),
    /// The TLS handshake failed: certificate, name or protocol.
    #[error("no TLS connection: {0}")]
    Tls(String),
    /// The time ran out.
    #[error("no complete answer in time")]
    Deadline,
    /// The request's body is over its limit; nothing was sent.
    #[error("the request is larger than allowed")]
    RequestTooLarge,
    /// The answer is over its limit; the rest was not read and the connection is closed.
    #[error("the answer is larger than allowed")]
    TooLarge,
    /// A 3xx answer. Its target was not looked at.
    #[error("redirects are not followed (status {0})")]
    Redirect(StatusCode),
    /// The connection broke, or what came is not HTTP.
    #[error("the exchange failed: {0}")]
    Exchange(String),
}

impl Error {
    /// Short stable code for traces and metrics.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused(_) => "refused-address",
            Self::Resolve(_) => "resolve",
            Self::Connect(_) => "connect",
            Self::Tls(_) => "tls",
            Self::Deadline => "timeout",
            Self::RequestTooLarge => "request-too-large",
            Self::TooLarge => "too-large",
            Self::Redirect(_) => "redirect",
            Self::Exchange(_) => "exchange",
        }
    }
}

/// The client. Cheap to clone; all clones share connections and look-up slots.
#[derive(Clone)]
pub struct Client {
    http: hyper_util::client::legacy::Client<HttpsConnector<Dialer>, Full<Bytes>>,
}

impl Client {
    /// A client behind a guard.
    ///
    /// # Errors
    /// If the TLS library refuses its own defaults, which a build with other features could bring about.
    pub fn new(guard: Guard) -> Result<Self, rustls::Error> {
        let builder = HttpsConnectorBuilder::new();
        let builder = builder.with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())?;
        Ok(Self::behind(guard, builder))
    }

    /// A client with TLS settings of the caller's, such as a company's own root certificates.
    #[must_use]
    pub fn with_tls(guard: Guard, tls: rustls::ClientConfig) -> Self {
        Self::behind(guard, HttpsConnectorBuilder::new().with_tls_config(tls))
    }

    fn behind(guard: Guard, tls: HttpsConnectorBuilder<WantsSchemes>) -> Self {
        let connector = tls.https_or_http().enable_http1().wrap_connector(Dialer::new(guard));
        let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(limits::IDLE_TIME)
            .pool_max_idle_per_host(limits::IDLE_PER_HOST)
            .http1_max_buf_size(limits::HEAD_BYTES)
            .http1_max_headers(limits::HEADERS)
            .build(connector);
        Self { http }
    }

    /// Sends a request and takes in the whole answer. Dropping the future ends the exchange.
    ///
    /// # Errors
    /// [`enum@Error`]; a status of 4xx or 5xx is an answer, not an error.
    pub async fn send(&self, ask: Ask<'_>) -> Result<Answer, Error> {
        let time = ask.time.min(limits::TOTAL_TIME);
        tokio::time::timeout(time, self.exchange(ask)).await.unwrap_or(Err(Error::Deadline))
    }

    async fn exchange(&self, ask: Ask<'_>) -> Result<Answer, Error> {
        if ask.body.len() > limits::REQUEST_BYTES {
            return Err(Error::RequestTooLarge);
        }
        let mut request = Request::new(Full::new(ask.body));
        *request.method_mut() = ask.method;
        *request.uri_mut() = ask.url.uri().clone();
        *request.headers_mut() = ask.headers;
        let headers = request.headers_mut();
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(AGENT));
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        let response = self.http.request(request).await.map_err(|error| classified(&error))?;
        if response.status().is_redirection() {
            return Err(Error::Redirect(response.status()));
        }
        match ask.longer {
            Longer::Refuse => taken_in(response, ask.answer_bytes.min(limits::RESPONSE_BYTES)).await,
            Longer::Cut => beginning(response, ask.answer_bytes.min(limits::RESPONSE_BYTES)).await,
        }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

async fn taken_in(response: Response<Incoming>, limit: usize) -> Result<Answer, Error> {
    let peer = response.extensions().get::<HttpInfo>().map(HttpInfo::remote_addr);
    let (head, body) = response.into_parts();
    // An announced length over the limit ends it before the first byte of the body.
    if hyper::body::Body::size_hint(&body).lower() > limit as u64 {
        return Err(Error::TooLarge);
    }
    let body = Limited::new(body, limit).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() {
            Error::TooLarge
        } else {
            Error::Exchange(innermost(error.as_ref()))
        }
    })?;
    Ok(Answer { status: head.status, headers: head.headers, body: body.to_bytes(), peer })
}

/// An answer with the first bytes of its body.
async fn beginning(response: Response<Incoming>, limit: usize) -> Result<Answer, Error> {
    let peer = response.extensions().get::<HttpInfo>().map(HttpInfo::remote_addr);
    let (head, mut body) = response.into_parts();
    let mut taken = Vec::new();
    while taken.len() < limit {
        let Some(frame) = body.frame().await else { break };
        let frame = frame.map_err(|error| Error::Exchange(innermost(&error)))?;
        if let Ok(data) = frame.into_data() {
            let room = limit - taken.len();
            taken.extend_from_slice(&data[..data.len().min(room)]);
        }
    }
    Ok(Answer { status: head.status, headers: head.headers, body: taken.into(), peer })
}

/// hyper's error told apart by the types in its chain.
fn classified(error: &hyper_util::client::legacy::Error) -> Error {
    let chain = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    for cause in chain {
        match cause.downcast_ref::<DialError>() {
            Some(DialError::Refused(refusal)) => return Error::Refused(*refusal),
            Some(DialError::Resolve(inner)) => return Error::Resolve(innermost(inner)),
            Some(DialError::Connect(inner)) => return Error::Connect(innermost(inner.as_ref())),
            None => {}
        }
        if cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse_too_large) {
            return Error::TooLarge;
        }
    }
    // Between the TCP connection and HTTP lies only the TLS handshake.
    if error.is_connect() { Error::Tls(innermost(error)) } else { Error::Exchange(innermost(error)) }
}

/// The last cause says what happened; the ones above it say only where.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |cause| cause.source());
    chain.last().map(ToString::to_string).unwrap_or_default()
}
