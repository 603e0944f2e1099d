//! A consumer: takes requests, remembers them, answers as it is told.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use tokio::sync::watch;

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
    /// What begins with `/hang` is answered once this is true.
    open: Arc<watch::Sender<bool>>,
    /// Requests under way, and the most there ever were.
    pub(crate) busy: Arc<(AtomicUsize, AtomicUsize)>,
}

impl Sink {
    /// Listens, and answers 200.
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sink = Self {
            address: listener.local_addr().unwrap(),
            taken: Arc::default(),
            answer: Arc::new(Mutex::new(Arc::new(|_: &Taken| "thanks".into_response()))),
            open: Arc::new(watch::channel(false).0),
            busy: Arc::default(),
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
        self.answers(move |_| StatusCode::from_u16(status).unwrap().into_response());
    }

    /// Answers what begins with `/hang`, or does not.
    pub(crate) fn opens(&self, open: bool) {
        self.open.send_replace(open);
    }

    pub(crate) fn taken(&self) -> Vec<Taken> {
        self.taken.lock().unwrap().clone()
    }

    /// What came to a path.
    pub(crate) fn at(&self, path: &str) -> Vec<Taken> {
        self.taken().into_iter().filter(|taken| taken.path == path).collect()
    }

    pub(crate) fn clear(&self) {
        self.taken.lock().unwrap().clear();
    }

    /// Types of what came, in order.
    pub(crate) fn types(&self) -> Vec<String> {
        self.taken().iter().map(|t| t.json()["type"].as_str().unwrap().to_owned()).collect()
    }

    /// Key and sequence of what came, in order.
    pub(crate) fn sequences(&self) -> Vec<(String, i64)> {
        let read = |t: &Taken| {
            let event = t.json();
            (event["key"].as_str().unwrap().to_owned(), event["sequence"].as_i64().unwrap())
        };
        self.taken().iter().map(read).collect()
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
    let busy = sink.busy.0.fetch_add(1, Ordering::SeqCst) + 1;
    sink.busy.1.fetch_max(busy, Ordering::SeqCst);
    let leave = Leave(Arc::clone(&sink.busy));
    if taken.path.starts_with("/hang") {
        // An error would mean that the sink is gone, which it can't be here.
        let _ = sink.open.subscribe().wait_for(|open| *open).await;
    }
    drop(leave);
    answer(&taken)
}

/// Counts a request out, also one whose sender left.
struct Leave(Arc<(AtomicUsize, AtomicUsize)>);

impl Drop for Leave {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}
