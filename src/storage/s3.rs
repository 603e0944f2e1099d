//! The S3 side of the store: its requests go over the HTTP client and the TLS that the rest of the service uses.

use std::sync::Arc;

use async_trait::async_trait;
use http_body_util::BodyExt;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector as Tcp;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse,
    HttpResponseBody, HttpService,
};
use object_store::{ClientOptions, ObjectStore, RetryConfig};

use super::StorageSettings;
use crate::config::limits::sound as limits;

/// A bucket.
pub(super) fn bucket(settings: &StorageSettings, name: &str) -> Result<Arc<dyn ObjectStore>, String> {
    // Tries within one copy are few: whoever asked for it tries again later.
    let retry = RetryConfig {
        max_retries: limits::STORE_RETRIES,
        retry_timeout: limits::STORE_RETRY_TIME,
        ..RetryConfig::default()
    };
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(name)
        .with_region(&settings.region)
        .with_conditional_put(S3ConditionalPut::Disabled)
        // One by one: not every S3-compatible service takes several at once.
        .with_disable_bulk_delete(true)
        .with_retry(retry)
        .with_http_connector(Connector);
    if !settings.endpoint.is_empty() {
        let is_plain = settings.endpoint.starts_with("http://");
        builder = builder.with_endpoint(&settings.endpoint).with_allow_http(is_plain);
    }
    if !settings.access_key.is_empty() {
        builder = builder
            .with_access_key_id(&settings.access_key)
            .with_secret_access_key(settings.secret_key.expose());
    }
    let store = builder.build().map_err(|e| e.to_string())?;
    Ok(Arc::new(store))
}

#[derive(Debug)]
struct Connector;

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        let wrong =
            |source: rustls::Error| object_store::Error::Generic { store: "S3", source: source.into() };
        let mut tcp = Tcp::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(limits::STORE_CONNECT_TIME));
        let https = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())
            .map_err(wrong)?
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(crate::config::limits::outgoing::IDLE_TIME)
            .build(https);
        Ok(HttpClient::new(Service { client }))
    }
}

#[derive(Debug)]
struct Service {
    client: Client<HttpsConnector<Tcp>, HttpRequestBody>,
}

#[async_trait]
impl HttpService for Service {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let asked = tokio::time::timeout(limits::STORE_ANSWER_TIME, self.client.request(request)).await;
        let answer = asked.map_err(|late| HttpError::new(HttpErrorKind::Timeout, late))?;
        let answer = answer.map_err(|error| {
            let kind = if error.is_connect() { HttpErrorKind::Connect } else { HttpErrorKind::Request };
            HttpError::new(kind, error)
        })?;
        Ok(answer.map(|body| {
            HttpResponseBody::new(body.map_err(|error| HttpError::new(HttpErrorKind::Interrupted, error)))
        }))
    }
}
