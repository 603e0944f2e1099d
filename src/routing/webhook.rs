//! The route type `webhook`: a tenant's own server says what happens to a call.
//!
//! One signed `POST` (Standard Webhooks 1.0, see [`crate::webhooks::sign`]) with the call as JSON; the answer is
//! `200` with a JSON object such as `{"action": "queue", "target": "support", "timeout": 30}`. With a second URL,
//! any failure of the first one asks the second; both requests carry the same `webhook-id`, so a receiver behind
//! both can tell that it is one question.
//!
//! **Time.** `timeout_ms` is the budget of both URLs together. Without a second URL the first has all of it. With
//! one, the first has at most half, and the second has whatever is left: half of it after a time-out, nearly all
//! of it after a connection that was refused at once.
//!
//! **Answer.** Read and checked by [`WebhookAnswer::parse`]; the content type is not looked at.
//!
//! Invariants: the caller of [`ask`] waits no longer than the budget; secrets, paths and answers appear in no error.

mod answer;

use std::time::Duration;

pub use answer::{WebhookAction, WebhookAnswer};
use chrono::{DateTime, SecondsFormat, Utc};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{HeaderMap, Method};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::config::limits::webhook as limits;
use crate::outgoing::{self, Ask, Client, Longer, OutgoingUrl, Refusal};
use crate::webhooks::sign::{self, Secret};

/// Where to ask, and for how long.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookRoute {
    /// Asked first.
    pub url: OutgoingUrl,
    /// Asked if the first gives no usable answer.
    #[serde(default)]
    pub second_url: Option<OutgoingUrl>,
    /// Signs both requests.
    pub secret: Secret,
    /// Milliseconds for both URLs together, 100 to 10,000; 2,000 unless given.
    #[serde(default = "default_timeout_ms", deserialize_with = "timeout_ms")]
    pub timeout_ms: u32,
}

impl WebhookRoute {
    /// Checks the parts as they lie in a row.
    ///
    /// # Errors
    /// A sentence that names the part, without the secret.
    pub fn check(url: &str, second: Option<&str>, secret: &str, timeout_ms: u32) -> Result<Self, String> {
        let parse = |what: &str, url: &str| url.parse::<OutgoingUrl>().map_err(|e| format!("{what}: {e}"));
        Ok(Self {
            url: parse("webhook_url", url)?,
            second_url: second.map(|url| parse("webhook_second_url", url)).transpose()?,
            secret: secret.parse().map_err(|e: sign::SecretError| format!("webhook_secret: {e}"))?,
            timeout_ms,
        })
    }

    /// Time for both URLs together; a number outside the limits is moved to the nearest one.
    #[must_use]
    pub fn budget(&self) -> Duration {
        let ms = self.timeout_ms.clamp(limits::ROUTE_MIN_MS, limits::ROUTE_MAX_MS);
        Duration::from_millis(u64::from(ms))
    }
}

fn default_timeout_ms() -> u32 {
    limits::ROUTE_DEFAULT_MS
}

fn timeout_ms<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    let ms = u32::deserialize(from)?;
    if (limits::ROUTE_MIN_MS..=limits::ROUTE_MAX_MS).contains(&ms) {
        return Ok(ms);
    }
    Err(serde::de::Error::custom("timeout_ms lies between 100 and 10000"))
}

/// The call as the tenant's server sees it. On the wire an `attempt` is added: 1 for the first URL, 2 for the second.
#[derive(Clone, Debug, Serialize)]
pub struct WebhookCall<'a> {
    /// Our id of the call.
    pub call_id: &'a str,
    /// Our id of the tenant.
    pub tenant_id: &'a str,
    /// The number that was dialled.
    pub did: &'a str,
    /// Who calls.
    pub caller: WebhookCaller<'a>,
    /// Asterisk's language of the channel, such as `en`.
    pub language: &'a str,
    /// When the call came in; RFC 3339 in UTC with microseconds.
    #[serde(serialize_with = "rfc3339_us")]
    pub at: DateTime<Utc>,
    /// Asterisk's id of the channel.
    pub uniqueid: &'a str,
    /// Asterisk's id of the first channel of the same call.
    pub linkedid: &'a str,
}

/// Who calls; `null` where the network did not say.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct WebhookCaller<'a> {
    pub number: Option<&'a str>,
    pub name: Option<&'a str>,
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(flatten)]
    call: &'a WebhookCall<'a>,
    attempt: u8,
}

fn rfc3339_us<S: Serializer>(at: &DateTime<Utc>, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&at.to_rfc3339_opts(SecondsFormat::Micros, true))
}

/// Why a URL gave no usable answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum WebhookError {
    #[error("no complete answer in time")]
    Timeout,
    #[error("{0}")]
    RefusedAddress(Refusal),
    #[error("the name cannot be resolved: {0}")]
    Resolve(String),
    #[error("no connection: {0}")]
    Connect(String),
    #[error("no TLS connection: {0}")]
    Tls(String),
    #[error("redirects are not followed (status {0})")]
    Redirect(u16),
    #[error("status {0}; only 200 is an answer")]
    Status(u16),
    #[error("the answer has more than 16 KiB")]
    TooLarge,
    #[error("the answer cannot be used: {0}")]
    BadAnswer(String),
    #[error("the exchange failed: {0}")]
    Exchange(String),
    #[error("nothing was sent: {0}")]
    Unsent(String),
}

impl WebhookError {
    /// Short stable code for traces and metrics.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Timeout => "webhook-timeout",
            Self::RefusedAddress(_) => "webhook-refused-address",
            Self::Resolve(_) => "webhook-resolve",
            Self::Connect(_) => "webhook-connect",
            Self::Tls(_) => "webhook-tls",
            Self::Redirect(_) => "webhook-redirect",
            Self::Status(_) => "webhook-status",
            Self::TooLarge => "webhook-too-large",
            Self::BadAnswer(_) => "webhook-bad-answer",
            Self::Exchange(_) => "webhook-exchange",
            Self::Unsent(_) => "webhook-unsent",
        }
    }
}

impl From<outgoing::Error> for WebhookError {
    fn from(error: outgoing::Error) -> Self {
        match error {
            outgoing::Error::Refused(refusal) => Self::RefusedAddress(refusal),
            outgoing::Error::Resolve(text) => Self::Resolve(text),
            outgoing::Error::Connect(text) => Self::Connect(text),
            outgoing::Error::Tls(text) => Self::Tls(text),
            outgoing::Error::Deadline => Self::Timeout,
            outgoing::Error::RequestTooLarge => Self::Unsent("the call is too large".to_owned()),
            outgoing::Error::TooLarge => Self::TooLarge,
            outgoing::Error::Redirect(status) => Self::Redirect(status.as_u16()),
            outgoing::Error::Exchange(text) => Self::Exchange(text),
        }
    }
}

/// One URL that was asked, for the trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// 1 for the first URL, 2 for the second.
    pub number: u8,
    /// Host and port; paths may hold tokens.
    pub authority: String,
    /// Why it gave no answer; `None` for the one that did.
    pub error: Option<WebhookError>,
}

/// The outcome.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The answer, or the error of the last attempt.
    pub answer: Result<WebhookAnswer, WebhookError>,
    /// Every URL that was asked, in order.
    pub attempts: Vec<Attempt>,
}

/// Asks a tenant's server about a call. `id` is new for every question (letters, digits, `_`, `-`), `now` signs it.
///
/// Ends within [`WebhookRoute::budget`]. Dropping the future (the caller hung up) ends the exchange.
pub async fn ask(
    client: &Client,
    route: &WebhookRoute,
    id: &str,
    call: &WebhookCall<'_>,
    now: DateTime<Utc>,
) -> Asked {
    let budget = route.budget();
    let urls = [(1, Some(&route.url)), (2, route.second_url.as_ref())];
    let first_time = if route.second_url.is_some() { budget / 2 } else { budget };
    let mut attempts: Vec<Attempt> = Vec::with_capacity(urls.len());
    let mut answer = Err(WebhookError::Timeout);
    let all = async {
        for (number, url) in urls {
            let Some(url) = url else { continue };
            // Noted before it is tried: should the budget run out, the attempt is in the list as a time-out.
            let authority = url.authority().to_owned();
            attempts.push(Attempt { number, authority, error: Some(WebhookError::Timeout) });
            // The second one's time is bounded by the budget around this loop.
            let time = if number == 1 { first_time } else { budget };
            let question = Question { id, call, now, number, time };
            let result = question.put(client, url, &route.secret).await;
            if let Some(attempt) = attempts.last_mut() {
                attempt.error = result.as_ref().err().cloned();
            }
            if result.is_ok() {
                return result;
            }
            answer = result;
        }
        answer
    };
    let answer = tokio::time::timeout(budget, all).await.unwrap_or(Err(WebhookError::Timeout));
    Asked { answer, attempts }
}

struct Question<'a> {
    id: &'a str,
    call: &'a WebhookCall<'a>,
    now: DateTime<Utc>,
    number: u8,
    time: Duration,
}

impl Question<'_> {
    async fn put(
        self,
        client: &Client,
        url: &OutgoingUrl,
        secret: &Secret,
    ) -> Result<WebhookAnswer, WebhookError> {
        let unsent = |error: &dyn std::error::Error| WebhookError::Unsent(error.to_string());
        let body = Body { call: self.call, attempt: self.number };
        let body = serde_json::to_vec(&body).map_err(|error| unsent(&error))?;
        let signed = sign::sign(std::slice::from_ref(secret), self.id, self.now, &body)
            .map_err(|error| unsent(&error))?;
        let mut headers = HeaderMap::with_capacity(4);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in [
            (sign::HEADER_ID, signed.id),
            (sign::HEADER_TIMESTAMP, signed.timestamp),
            (sign::HEADER_SIGNATURE, signed.signature),
        ] {
            headers.insert(
                name,
                value.try_into().map_err(|error: hyper::header::InvalidHeaderValue| unsent(&error))?,
            );
        }
        let ask = Ask {
            method: Method::POST,
            url,
            headers,
            body: body.into(),
            time: self.time,
            answer_bytes: limits::ROUTE_ANSWER_BYTES,
            longer: Longer::Refuse,
        };
        let answer = client.send(ask).await?;
        if answer.status != hyper::StatusCode::OK {
            return Err(WebhookError::Status(answer.status.as_u16()));
        }
        WebhookAnswer::parse(&answer.body).map_err(WebhookError::BadAnswer)
    }
}
