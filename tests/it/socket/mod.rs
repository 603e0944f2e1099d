//! The sockets of events: a real listener on loopback, a real client.

mod auth;
mod hostile;
mod resume;
mod rows;
mod stream;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use hookswitch::base::ids::{Id, TenantId};
use hookswitch::base::role::Role;
use hookswitch::base::shutdown::{self, Stopper};
use hookswitch::events::{Draft, outbox};
use hookswitch::http::serve;
use hookswitch::http::socket::{self, Options, Sockets};
use serde_json::{Map, Value, json};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::api::app::TestApp;
use crate::support::{PATIENCE, TestDb, tenant};

/// A service of sockets over a test's API.
pub(crate) struct Live {
    pub(crate) app: TestApp,
    pub(crate) sockets: Arc<Sockets>,
    pub(crate) address: SocketAddr,
    pub(crate) node: Id,
    stopper: Stopper,
    tasks: Vec<JoinHandle<()>>,
}

impl Live {
    /// With what production has.
    pub(crate) async fn new(test: Arc<TestDb>) -> Self {
        Self::with(test, |_| {}).await
    }

    /// With other options. Tenants `acme` and `globex` are there.
    pub(crate) async fn with(test: Arc<TestDb>, change: impl FnOnce(&mut Options)) -> Self {
        let app = TestApp::new(test).await;
        app.tenant("acme").await;
        app.tenant("globex").await;
        Self::of(app, change).await
    }

    /// Over an API that is there.
    pub(crate) async fn of(app: TestApp, change: impl FnOnce(&mut Options)) -> Self {
        let node = app.gate.ids.next();
        let mut options = Options::new(node.clone(), 100_000);
        (options.check_time, options.keys_time) = (Duration::from_millis(50), Duration::from_millis(50));
        change(&mut options);
        let sockets = Sockets::new(&app.gate, options);
        let (stopper, stopping) = shutdown::channel();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = sockets.start(&stopping);
        let routes = app.routes.clone().merge(socket::routes(&sockets));
        tasks.push(tokio::spawn(serve::serve(listener, routes, stopping.clone())));
        let news = app.gate.events.news.clone();
        tasks.push(tokio::spawn(news.watch(app.gate.db.clone(), app.clock.clone(), stopping)));
        Self { app, sockets, address, node, stopper, tasks }
    }

    /// A client that has not said who it is.
    pub(crate) async fn connect(&self) -> Client {
        Client::over(TcpStream::connect(self.address).await.unwrap()).await
    }

    /// A client that is welcome.
    pub(crate) async fn enter(&self, token: &str) -> Client {
        let mut client = self.connect().await;
        client.send(json!({"op": "auth", "token": token})).await;
        let ready = client.next().await;
        assert_eq!(ready["op"], "ready", "{ready}");
        client
    }

    /// A client that listens to some types.
    pub(crate) async fn listen(&self, token: &str, types: &[&str]) -> Client {
        let mut client = self.enter(token).await;
        client.subscribe(json!({"op": "subscribe", "types": types})).await;
        client
    }

    /// An admin of acme's.
    pub(crate) async fn admin(&self) -> String {
        self.app.token(Role::TenantAdmin, "acme").await
    }

    /// A key of acme's with these scopes.
    pub(crate) async fn key(&self, admin: &str, scopes: &[&str]) -> (String, String) {
        let body = json!({"name": "k", "role": "tenant_admin", "scopes": scopes});
        let made = self.app.post("/api-keys", admin, body).await.expect(201);
        (made.id(), made.text("key"))
    }

    /// Makes a tag, which is told.
    pub(crate) async fn tag(&self, admin: &str, name: &str) {
        self.app.post("/tags", admin, json!({"name": name})).await.expect(201);
    }

    /// Writes events of acme's as another process would; nobody is told.
    pub(crate) async fn write(&self, kind: &str, from: usize, many: usize) -> i64 {
        let drafts: Vec<Draft> = (from..from + many)
            .map(|n| Draft {
                kind: kind.to_owned(),
                key: format!("tag:{}", n % 7),
                at_us: self.app.clock.now_us(),
                owners: None,
                data: Map::from_iter([("n".to_owned(), json!(n))]),
            })
            .collect();
        let (gate, acme) = (&self.app.gate, acme());
        let mut tx = gate.db.begin().await.unwrap();
        let at = outbox::append(&mut tx, &gate.ids, (&acme, gate.clock.now_us()), &drafts).await.unwrap();
        tx.commit().await.unwrap();
        at
    }

    /// Says "stop" and waits for the end.
    pub(crate) async fn stop(self) -> TestApp {
        self.stopper.stop();
        for task in self.tasks {
            timeout(PATIENCE, task).await.expect("the end").unwrap();
        }
        self.app
    }
}

pub(crate) fn acme() -> TenantId {
    tenant("acme")
}

/// The other side.
pub(crate) struct Client {
    pub(crate) socket: WebSocketStream<TcpStream>,
}

impl Client {
    /// Over a connection.
    pub(crate) async fn over(stream: TcpStream) -> Self {
        let shaking = tokio_tungstenite::client_async("ws://localhost/ws/v1", stream);
        let (socket, _) = timeout(PATIENCE, shaking).await.expect("a handshake").unwrap();
        Self { socket }
    }

    /// Over a connection whose kernel keeps little for who does not read.
    pub(crate) async fn narrow(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        Self::over(socket.connect(address).await.unwrap()).await
    }

    pub(crate) async fn send(&mut self, frame: Value) {
        self.raw(Message::text(frame.to_string())).await;
    }

    pub(crate) async fn raw(&mut self, message: Message) {
        self.socket.send(message).await.unwrap();
    }

    /// The next text.
    pub(crate) async fn next(&mut self) -> Value {
        self.come().await.unwrap_or_else(|(code, why)| panic!("closed: {code} {why}"))
    }

    /// The next text, or how it was closed; 1006 without a closing frame.
    pub(crate) async fn come(&mut self) -> Result<Value, (u16, String)> {
        // All in all: pings alone are nothing.
        timeout(PATIENCE, self.some()).await.expect("a frame")
    }

    async fn some(&mut self) -> Result<Value, (u16, String)> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(Some(frame)))) => {
                    return Err((frame.code.into(), frame.reason.to_string()));
                }
                Some(Ok(_)) => {}
                None | Some(Err(Error::Io(_) | Error::Protocol(_))) => return Err((1006, String::new())),
                Some(Err(error)) => panic!("{error}"),
            }
        }
    }

    /// How it is closed; what comes before is dropped.
    pub(crate) async fn closed(&mut self) -> (u16, String) {
        loop {
            if let Err(closed) = self.come().await {
                return closed;
            }
        }
    }

    /// Sends a subscription and returns the cursor it begins with.
    pub(crate) async fn subscribe(&mut self, frame: Value) -> String {
        self.send(frame).await;
        let answer = self.next().await;
        assert_eq!(answer["op"], "subscribed", "{answer}");
        answer["cursor"].as_str().unwrap().to_owned()
    }

    /// The next event.
    pub(crate) async fn event(&mut self) -> Value {
        let event = self.next().await;
        assert_eq!(event["op"], "event", "{event}");
        event
    }

    /// Whether nothing was on the way: the answer to a ping is the next text.
    pub(crate) async fn is_quiet(&mut self) -> bool {
        self.send(json!({"op": "ping"})).await;
        let next = self.next().await;
        next["op"] == "pong" || panic!("not quiet: {next}")
    }
}

/// The cursor of a frame.
pub(crate) fn cursor(frame: &Value) -> String {
    frame["cursor"].as_str().unwrap_or_else(|| panic!("no cursor in {frame}")).to_owned()
}
