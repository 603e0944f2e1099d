//! A consumer: takes requests, remembers them, answers as it is told.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};

/// One request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    pub(crate) path: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Bytes,
}

impl Taken {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn id(&self) -> &str {
        &self.headers["webhook-id"]
    }
}

type Answer = dyn Fn(&Taken) -> Response + Send + Sync;

/// The consumer.
#[derive(Clone)]
pub(crate) struct Sink {
    pub(crate) address: SocketAddr,
    taken: Arc<Mutex<Vec<Taken>>>,
    answer: Arc<Mutex<Arc<Answer>>>,
}

impl Sink {
    /// Listens, and answers 200.
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sink = Self {
            address: listener.local_addr().unwrap(),
            taken: Arc::default(),
            answer: Arc::new(Mutex::new(Arc::new(|_: &Taken| "thanks".into_response()))),
        };
        let routes = axum::Router::new().fallback(take).with_state(sink.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        sink
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Answers so from now on.
    pub(crate) fn answers(&self, answer: impl Fn(&Taken) -> Response + Send + Sync + 'static) {
        *self.answer.lock().unwrap() = Arc::new(answer);
    }

    /// Answers this status from now on.
    pub(crate) fn says(&self, status: u16) {
        self.answers(move |_| axum::http::StatusCode::from_u16(status).unwrap().into_response());
    }

    pub(crate) fn taken(&self) -> Vec<Taken> {
        self.taken.lock().unwrap().clone()
    }

    /// Types of what came, in order.
    pub(crate) fn types(&self) -> Vec<String> {
        self.taken().iter().map(|t| t.json()["type"].as_str().unwrap().to_owned()).collect()
    }
}

async fn take(State(sink): State<Sink>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let headers = headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or("?").to_owned()))
        .collect();
    let taken = Taken { path: uri.path().to_owned(), headers, body };
    let answer = Arc::clone(&*sink.answer.lock().unwrap());
    sink.taken.lock().unwrap().push(taken.clone());
    answer(&taken)
}
