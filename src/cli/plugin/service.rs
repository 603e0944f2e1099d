//! A running service as whoever writes plugins reaches it: its REST API, with an API key.
//!
//! The key comes from a file or the environment and never from the command line, where every user of the machine could
//! read it.

use std::path::PathBuf;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use url::{Host, Url};

use super::{at, said};
use crate::app::Error;
use crate::base::secret::Secret;
use crate::config::limits::kit as limits;

/// Where the service is, and who asks.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Reach {
    /// The service, such as https://pbx.example.com.
    #[arg(long, value_name = "URL", env = "HOOKSWITCH_SERVER")]
    server: String,
    /// A file that holds the API key; without it the key is what HOOKSWITCH_API_KEY says.
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

/// The environment's variable for the key.
const KEY: &str = "HOOKSWITCH_API_KEY";

/// The service.
pub(super) struct Service {
    http: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: String,
    key: HeaderValue,
    runtime: tokio::runtime::Runtime,
}

/// An answer below 400.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
}

/// Why there is none.
pub(super) enum Refused {
    /// There is no such record.
    NotFound(Error),
    /// Anything else.
    Other(Error),
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NotFound(error) | Refused::Other(error) => error,
        }
    }
}

impl Service {
    pub(super) fn open(reach: &Reach) -> Result<Self, Error> {
        let base = base(&reach.server)?;
        let key = match &reach.key_file {
            Some(path) => std::fs::read_to_string(path).map_err(at(path))?,
            None => std::env::var(KEY).map_err(|_| {
                Error::Said(format!("no API key: set {KEY}, or name a file that holds it with --key-file"))
            })?,
        };
        let key = Secret::new(key.trim().to_owned());
        let mut key = HeaderValue::try_from(format!("Bearer {}", key.expose()))
            .map_err(|_| said("the API key is no key: it has characters that none has"))?;
        key.set_sensitive(true);
        let tls = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())
            .map_err(said)?;
        let http = Client::builder(TokioExecutor::new()).build(tls.https_or_http().enable_http1().build());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(said)?;
        Ok(Self { http, base, key, runtime })
    }

    pub(super) fn get(&self, path: &str) -> Result<Value, Refused> {
        Ok(self.ask(Method::GET, path, None)?.body)
    }

    /// Asks for something to be done, with JSON.
    pub(super) fn post(&self, path: &str, body: &Value) -> Result<Answer, Refused> {
        self.ask(Method::POST, path, Some(("application/json", body.to_string().into())))
    }

    /// Asks for something to be done that needs no body.
    pub(super) fn act(&self, path: &str) -> Result<Answer, Refused> {
        self.ask(Method::POST, path, None)
    }

    /// Sends a file.
    pub(super) fn send(&self, path: &str, kind: &str, file: Bytes) -> Result<Answer, Refused> {
        self.ask(Method::POST, path, Some((kind, file)))
    }

    fn ask(&self, method: Method, path: &str, body: Option<(&str, Bytes)>) -> Result<Answer, Refused> {
        let other = |error: String| Refused::Other(Error::Said(format!("{}: {error}", self.base)));
        let (kind, body) = body.unwrap_or_default();
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() =
            format!("{}/api/v1{path}", self.base).parse().map_err(|e| other(format!("{path}: {e}")))?;
        request.headers_mut().insert(AUTHORIZATION, self.key.clone());
        if !kind.is_empty() {
            let kind = HeaderValue::from_str(kind).map_err(|e| other(e.to_string()))?;
            request.headers_mut().insert(CONTENT_TYPE, kind);
        }
        let exchange = async {
            let response = self.http.request(request).await.map_err(|error| innermost(&error))?;
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), limits::ANSWER_BYTES).collect().await;
            Ok((status, body.map_err(|error| error.to_string())?.to_bytes()))
        };
        // The timer needs the runtime when it is made.
        let answered =
            self.runtime.block_on(async { tokio::time::timeout(limits::ANSWER_TIME, exchange).await });
        let (status, body) = answered
            .unwrap_or_else(|_| Err(format!("no answer within {} s", limits::ANSWER_TIME.as_secs())))
            .map_err(other)?;
        let value = serde_json::from_slice::<Value>(&body);
        match (status, value) {
            (200..300, _) if body.is_empty() => Ok(Answer { status, body: Value::Null }),
            (200..300, Ok(body)) => Ok(Answer { status, body }),
            (404, Ok(problem)) => Err(Refused::NotFound(Error::Said(told(status, &problem)))),
            (400.., Ok(problem)) => Err(Refused::Other(Error::Said(told(status, &problem)))),
            _ => Err(other(format!("the answer is none of Hookswitch's (HTTP status {status})"))),
        }
    }
}

/// Where the API lies: the address without what a slip may have put behind it.
fn base(server: &str) -> Result<String, Error> {
    let no = |why: &str| Error::Said(format!("--server {server}: {why}, such as https://pbx.example.com"));
    let url = Url::parse(server).map_err(|_| no("this must be an address"))?;
    let Some(host) = url.host() else { return Err(no("this must be an address")) };
    if !matches!(url.scheme(), "http" | "https") || url.query().is_some() || !url.username().is_empty() {
        return Err(no("this must be an address of http or https and no more"));
    }
    let is_here = match host {
        Host::Domain(name) => name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    };
    if url.scheme() == "http" && !is_here {
        eprintln!("hookswitch: {server} is not https: whoever is on the way can read the API key");
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// A problem with every fault, as the service says it.
fn told(status: u16, problem: &Value) -> String {
    let text =
        |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut told =
        format!("the service refuses it ({status} {}): {}", text(problem, "code"), text(problem, "detail"));
    for fault in problem.get("errors").and_then(Value::as_array).into_iter().flatten() {
        let place = [text(fault, "pointer"), text(fault, "parameter")].concat();
        let place = if place.is_empty() { place } else { format!("{place}: ") };
        told.push_str(&format!("\n  {place}{}", text(fault, "detail")));
    }
    told
}

/// The last cause says what happened; the ones above it say only where.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |cause| cause.source());
    chain.last().map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_address_is_taken_as_people_write_it() {
        assert_eq!(base("https://pbx.example.com/").unwrap(), "https://pbx.example.com");
        assert_eq!(base("http://127.0.0.1:8080").unwrap(), "http://127.0.0.1:8080");
        assert_eq!(base("https://example.com/pbx/").unwrap(), "https://example.com/pbx");
        for bad in ["", "pbx.example.com", "ftp://x", "https://key@x", "https://x/?a=1"] {
            assert!(base(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_fault_is_told() {
        let problem = json!({"code": "grant-missing", "detail": "Something is missing.",
            "errors": [{"pointer": "/grants", "detail": "kv: add it."}, {"detail": "line 3"}]});
        let said = "the service refuses it (422 grant-missing): Something is missing.\n  /grants: kv: add it.\n  line 3";
        assert_eq!(told(422, &problem), said);
    }
}
