//! One attempt: sign, send, look at the answer. No database.

use hyper::HeaderMap;
use hyper::Method;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};

use super::Body;
use super::endpoint::Endpoint;
use super::schedule;
use super::sign::{self, HEADER_ID, HEADER_SIGNATURE, HEADER_TIMESTAMP};
use crate::base::clock::{Clock, Stopwatch, from_us};
use crate::calls::fit;
use crate::config::limits::webhooks as limits;
use crate::outgoing::{Answer, Ask, Client, Error, Longer};

/// What came of an attempt.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// `ok`, `status` (an answer that is no 2xx), or why there was no answer.
    pub outcome: &'static str,
    /// The answer's status.
    pub status: Option<u16>,
    /// An error's own words.
    pub detail: String,
    /// When it began, microseconds since 1970 UTC.
    pub at_us: i64,
    /// How long it took.
    pub duration_ms: i64,
    /// The address that answered.
    pub peer: String,
    /// The headers that were sent, as JSON; values of the tenant's own are masked.
    pub request_headers: String,
    /// The answer's headers, as JSON.
    pub response_headers: String,
    /// The answer's first bytes.
    pub response_body: String,
    /// What its `Retry-After` asks for, microseconds.
    pub retry_after_us: Option<i64>,
}

impl Attempt {
    /// Whether it was taken: 2xx and nothing else (Standard Webhooks 1.0).
    pub fn is_ok(&self) -> bool {
        self.outcome == "ok"
    }

    /// Whether the endpoint says that it is gone for good.
    pub fn is_gone(&self) -> bool {
        self.status == Some(410)
    }
}

/// Sends an event to an endpoint once.
pub async fn attempt(client: &Client, clock: &Clock, endpoint: &Endpoint, event: &Body) -> Attempt {
    let at_us = clock.now_us();
    let took = Stopwatch::start();
    let mut attempt = Attempt {
        outcome: "ok",
        status: None,
        detail: String::new(),
        at_us,
        duration_ms: 0,
        peer: String::new(),
        request_headers: "{}".into(),
        response_headers: "{}".into(),
        response_body: String::new(),
        retry_after_us: None,
    };
    let headers = match request_headers(endpoint, event, at_us) {
        Ok(headers) => headers,
        Err(why) => {
            (attempt.outcome, attempt.detail) = ("unsigned", why);
            return attempt;
        }
    };
    attempt.request_headers = shown(&headers, Some(&endpoint.headers));
    let ask = Ask {
        method: Method::POST,
        url: &endpoint.url,
        headers,
        body: event.bytes.clone(),
        time: endpoint.timeout,
        answer_bytes: limits::ANSWER_BYTES,
        longer: Longer::Cut,
    };
    match client.send(ask).await {
        Ok(answer) => answered(&mut attempt, &answer, clock.now_us()),
        Err(error) => {
            attempt.outcome = error.code();
            attempt.detail = fit(&error.to_string(), limits::DETAIL_CHARACTERS);
            if let Error::Redirect(status) = error {
                attempt.status = Some(status.as_u16());
            }
        }
    }
    attempt.duration_ms = i64::try_from(took.elapsed_ns() / 1_000_000).unwrap_or(i64::MAX);
    attempt
}

fn answered(attempt: &mut Attempt, answer: &Answer, now_us: i64) {
    attempt.status = Some(answer.status.as_u16());
    if !answer.status.is_success() {
        attempt.outcome = "status";
    }
    attempt.peer = answer.peer.map(|peer| peer.to_string()).unwrap_or_default();
    attempt.response_headers = shown(&answer.headers, None);
    let text = String::from_utf8_lossy(&answer.body);
    // Neither database keeps a NUL in a text that others can read.
    attempt.response_body = text.chars().filter(|c| *c != '\0').collect();
    let asked = answer.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    attempt.retry_after_us = asked.and_then(|text| schedule::retry_after_us(text, now_us));
}

fn request_headers(endpoint: &Endpoint, event: &Body, at_us: i64) -> Result<HeaderMap, String> {
    let (secrets, pair) = (endpoint.secrets_at(at_us), endpoint.pair.as_ref());
    let signed = sign::sign_with(secrets, pair, &event.id, from_us(at_us), &event.bytes);
    let signed = signed.map_err(|why| why.to_string())?;
    let mut headers = endpoint.headers.clone();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in
        [(HEADER_ID, signed.id), (HEADER_TIMESTAMP, signed.timestamp), (HEADER_SIGNATURE, signed.signature)]
    {
        let value = HeaderValue::from_str(&value).map_err(|why| why.to_string())?;
        headers.insert(HeaderName::from_static(name), value);
    }
    Ok(headers)
}

/// Headers as JSON for whoever looks at an attempt. `masked` are the tenant's own: they may be passwords.
fn shown(headers: &HeaderMap, masked: Option<&HeaderMap>) -> String {
    let (mut all, mut bytes) = (serde_json::Map::new(), 0);
    for (name, value) in headers {
        let is_masked = masked.is_some_and(|masked| masked.contains_key(name));
        let text = if is_masked { "[secret]".into() } else { String::from_utf8_lossy(value.as_bytes()) };
        bytes += name.as_str().len() + text.len();
        if bytes > limits::ANSWER_HEADERS_BYTES {
            break;
        }
        all.insert(name.as_str().to_owned(), text.replace('\0', "").into());
    }
    serde_json::Value::Object(all).to_string()
}
