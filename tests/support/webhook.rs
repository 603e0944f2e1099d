//! A tenant's server for the route type `webhook`: checks the signature, and answers or misbehaves as told.

use super::service::WEBHOOK_SECRET;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use chrono::Utc;
use hookswitch::webhooks::sign::{self, Secret};
use serde_json::Value;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What the server does with a question.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// Answers this JSON.
    Json(&'static str),
    /// Answers this JSON after so many milliseconds.
    After(u64, &'static str),
    /// Never answers.
    Silence,
    /// Sends the asker elsewhere on the same server, where a good answer would be.
    Redirect,
    /// Answers a megabyte.
    Huge,
}

struct Shared {
    answer: Mutex<Answer>,
    asked: Mutex<Vec<Value>>,
}

/// The server; ends on drop.
pub(crate) struct Webhook {
    url: String,
    shared: Arc<Shared>,
    _runtime: tokio::runtime::Runtime,
}

impl Webhook {
    /// Listens on a free port.
    pub(crate) fn start(answer: Answer) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let shared = Arc::new(Shared { answer: Mutex::new(answer), asked: Mutex::new(Vec::new()) });
        let app = Router::new().route("/{*path}", any(reply)).with_state(Arc::clone(&shared));
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}/route", listener.local_addr().unwrap());
        runtime.spawn(async move { axum::serve(listener, app).await });
        Self { url, shared, _runtime: runtime }
    }

    /// Where it is asked.
    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    /// Answers otherwise from now on.
    pub(crate) fn answer(&self, answer: Answer) {
        *self.shared.answer.lock().unwrap() = answer;
    }

    /// The rightly signed questions so far.
    pub(crate) fn asked(&self) -> Vec<Value> {
        self.shared.asked.lock().unwrap().clone()
    }
}

#[expect(clippy::disallowed_methods, reason = "a server of its own, with no clock to pass in")]
async fn reply(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let secret: Secret = WEBHOOK_SECRET.parse().unwrap();
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (id, at) = (header(sign::HEADER_ID), header(sign::HEADER_TIMESTAMP));
    if sign::verify(&[secret], id, at, header(sign::HEADER_SIGNATURE), &body, Utc::now()).is_err() {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    shared.asked.lock().unwrap().push(serde_json::from_slice(&body).unwrap());
    let answer = shared.answer.lock().unwrap().clone();
    match answer {
        Answer::Json(text) => text.into_response(),
        Answer::After(ms, text) => {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            text.into_response()
        }
        Answer::Silence => std::future::pending().await,
        Answer::Redirect => (StatusCode::TEMPORARY_REDIRECT, [("location", "/elsewhere")]).into_response(),
        Answer::Huge => {
            format!("{{\"action\":\"queue\",\"target\":\"support\",\"x\":\"{}\"}}", "x".repeat(1 << 20))
                .into_response()
        }
    }
}
