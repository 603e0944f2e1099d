//! Webhooks: the sender alone beside a bare signed POST; the whole way beside the rate at which the database takes the same
//! rows in group commits; how soon a first attempt comes; one good endpoint beside nine dead ones.
//!
//! The consumer is this program again, in a process of its own. With `HOOKSWITCH_TEST_MYSQL_URL` set, the whole way is
//! measured on MariaDB too.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a bench prints, or cannot go on"
)]
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "statistics"
)]

mod support;

use std::collections::HashMap;
use std::io::BufRead;
use std::net::SocketAddr;
use std::process::{Child, ExitCode, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hookswitch::app;
use hookswitch::auth::Auth;
use hookswitch::base::clock::Clock;
use hookswitch::base::ids::{Id, IdSource, TenantId};
use hookswitch::base::secret::Secret;
use hookswitch::base::shutdown;
use hookswitch::db::{Db, db_tx};
use hookswitch::events::{Draft, outbox};
use hookswitch::outgoing::{Client, Guard};
use hookswitch::webhooks::endpoint::{self, Endpoint};
use hookswitch::webhooks::send::attempt;
use hookswitch::webhooks::sign::{self, Secret as Signing};
use hookswitch::webhooks::{Body, Parts, desk, store};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Map, json};
use support::service::with_files;
use support::{Report, argument, flag, median, now, percentile};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CONCURRENT: usize = 64;
const TENANT: &str = "acme";

fn main() -> ExitCode {
    if flag("--sink") {
        sink();
        return ExitCode::SUCCESS;
    }
    let mut report = Report::new();
    let sink = Sink::start();
    sender_alone(&mut report, &sink);
    for url in std::iter::once(None).chain(std::env::var("HOOKSWITCH_TEST_MYSQL_URL").ok().map(Some)) {
        whole_way(&mut report, &sink, url);
    }
    beside_the_dead(&mut report, &sink);
    report.end("webhooks")
}

/// A consumer that answers at once, on one thread. It remembers when each `webhook-id` came first, in microseconds since
/// 1970; `GET /` gives them, and forgets.
fn sink() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let came: Arc<Mutex<HashMap<String, i64>>> = Arc::default();
    let clock = Clock::system();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        println!("{}", listener.local_addr().expect("an address"));
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let _ = stream.set_nodelay(true);
            let (came, clock) = (Arc::clone(&came), clock.clone());
            let service =
                hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                    let (came, clock) = (Arc::clone(&came), clock.clone());
                    async move {
                        let body = note(&request, &came, clock.now_us());
                        // The body is read by hyper when the next request comes.
                        use http_body_util::BodyExt;
                        let _ = request.into_body().collect().await;
                        Ok::<_, std::convert::Infallible>(hyper::Response::new(http_body_util::Full::new(
                            Bytes::from(body),
                        )))
                    }
                });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
            );
        }
    });
}

/// What came is remembered, or told.
fn note(
    request: &hyper::Request<hyper::body::Incoming>,
    came: &Mutex<HashMap<String, i64>>,
    now_us: i64,
) -> String {
    let mut came = came.lock().expect("no poison");
    if request.method() == hyper::Method::GET {
        return json!(std::mem::take(&mut *came)).to_string();
    }
    if let Some(id) = request.headers().get("webhook-id").and_then(|v| v.to_str().ok()) {
        came.entry(id.to_owned()).or_insert(now_us);
    }
    String::new()
}

struct Sink(Child, SocketAddr);

impl Sink {
    fn start() -> Self {
        let me = std::env::current_exe().expect("this program");
        let mut child = with_files(&me.to_string_lossy())
            .arg("--sink")
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program again");
        let mut line = String::new();
        std::io::BufReader::new(child.stdout.take().expect("piped"))
            .read_line(&mut line)
            .expect("an address");
        Self(child, line.trim().parse().expect("an address"))
    }

    /// When what came since the last look came.
    async fn came(&self) -> HashMap<String, i64> {
        use http_body_util::BodyExt;
        let stream = tokio::net::TcpStream::connect(self.1).await.expect("to connect");
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("a handshake");
        tokio::spawn(connection);
        let request =
            hyper::Request::get("/").header("host", "x").body(http_body_util::Empty::<Bytes>::new());
        let answer = sender.send_request(request.expect("a request")).await.expect("an answer");
        let body = answer.into_body().collect().await.expect("a body").to_bytes();
        serde_json::from_slice(&body).expect("JSON")
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A body of the usual size: some 600 bytes.
fn body() -> Body {
    let data = "x".repeat(400);
    let text = json!({"id": "evt_01kb2x8v9q3d5s7f1g4h6j8k0m", "type": "call.ended", "timestamp": "2026-11-23T08:00:00Z",
        "tenant_id": "acme", "key": "call:01kb2x8v9q3d5s7f1g4h6j8k0m", "sequence": 3, "data": {"text": data}});
    Body {
        id: "evt_01kb2x8v9q3d5s7f1g4h6j8k0m".into(),
        key: "call:01kb2x8v9q3d5s7f1g4h6j8k0m".into(),
        bytes: text.to_string().into(),
    }
}

fn one_thread() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Requests per second of a closed loop, `CONCURRENT` at a time, on one thread.
fn closed_loop<F, D>(seconds: f64, make: impl Fn() -> F) -> f64
where
    F: FnOnce(Instant) -> D,
    D: Future<Output = u64> + Send + 'static,
{
    one_thread().block_on(async {
        let start = now();
        let mut set = tokio::task::JoinSet::new();
        for _ in 0..CONCURRENT {
            set.spawn(make()(start));
        }
        let done: u64 = set.join_all().await.into_iter().sum();
        assert!(start.elapsed().as_secs_f64() >= seconds);
        done as f64 / start.elapsed().as_secs_f64()
    })
}

fn sender_alone(report: &mut Report, sink: &Sink) {
    let (rounds, seconds) = (argument("--rounds", 5.0) as usize, argument("--seconds", 3.0));
    let url = format!("http://{}/hook", sink.1);
    let secret: Signing = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".parse().expect("a secret");
    let event = Arc::new(body());
    let bare = || {
        let (secret, event, url) = (secret.clone(), Arc::clone(&event), url.clone());
        let client = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
            .build_http::<http_body_util::Full<Bytes>>();
        let clock = Clock::system();
        closed_loop(seconds, move || {
            let (secret, event, url) = (secret.clone(), Arc::clone(&event), url.clone());
            let (client, clock) = (client.clone(), clock.clone());
            move |start: Instant| async move {
                use http_body_util::BodyExt;
                let mut done = 0;
                while start.elapsed().as_secs_f64() < seconds {
                    let signed =
                        sign::sign(std::slice::from_ref(&secret), &event.id, clock.now(), &event.bytes);
                    let signed = signed.expect("a signature");
                    let request = hyper::Request::post(&url)
                        .header("content-type", "application/json")
                        .header("webhook-id", signed.id)
                        .header("webhook-timestamp", signed.timestamp)
                        .header("webhook-signature", signed.signature)
                        .body(http_body_util::Full::new(event.bytes.clone()));
                    let answer = client.request(request.expect("a request")).await.expect("an answer");
                    answer.into_body().collect().await.expect("a body");
                    done += 1;
                }
                done
            }
        })
    };
    let ours = || {
        let endpoint = Arc::new(endpoint_to(&url, &secret));
        let client = Client::new(Guard::parse("127.0.0.0/8").expect("a network")).expect("a client");
        let clock = Clock::system();
        let event = Arc::clone(&event);
        closed_loop(seconds, move || {
            let (endpoint, event) = (Arc::clone(&endpoint), Arc::clone(&event));
            let (client, clock) = (client.clone(), clock.clone());
            move |start: Instant| async move {
                let mut done = 0;
                while start.elapsed().as_secs_f64() < seconds {
                    let attempt = attempt(&client, &clock, &endpoint, &event).await;
                    assert!(attempt.is_ok(), "{attempt:?}");
                    done += 1;
                }
                done
            }
        })
    };
    let (mut ratios, mut all) = (Vec::new(), Vec::new());
    for round in 0..=rounds {
        let (bare, ours) = (bare(), ours());
        eprintln!("bare signed POST {bare:.0}/s, ours {ours:.0}/s");
        if round > 0 {
            ratios.push(ours / bare);
            all.push((bare, ours));
        }
    }
    let middle = |part: fn(&(f64, f64)) -> f64| median(&all.iter().map(part).collect::<Vec<_>>());
    let ratio = median(&ratios);
    let shown = format!("{ratio:.2} ({:.0} ÷ {:.0}/s)", middle(|a| a.1), middle(|a| a.0));
    report.goal(
        "deliveries/s at 64 concurrent, sender alone ÷ bare signed POST",
        shown,
        "≥ 0.6",
        ratio >= 0.6,
    );
}

fn endpoint_to(url: &str, secret: &Signing) -> Endpoint {
    Endpoint {
        id: Id::parse("01kb2x8v9q3d5s7f1g4h6j8k0m").expect("an id"),
        tenant: TenantId::parse(TENANT).expect("a tenant"),
        url: url.parse().expect("a URL"),
        headers: hyper::HeaderMap::new(),
        secrets: vec![secret.clone()],
        old_until_us: None,
        pair: None,
        symmetric: true,
        concurrency: CONCURRENT,
        timeout: Duration::from_secs(15),
        status: hookswitch::webhooks::WebhookStatus::Active,
        failing_since_us: None,
        failures: 0,
    }
}

/// A database with a tenant, and all that delivering needs.
struct World {
    parts: Parts,
    tenant: TenantId,
    _folder: tempfile::TempDir,
}

impl World {
    async fn new(url: Option<&str>) -> Self {
        let folder = tempfile::Builder::new().prefix("hs-bench").tempdir().expect("a temporary folder");
        let url =
            url.map_or_else(|| format!("sqlite://{}", folder.path().join("b.db").display()), str::to_owned);
        let db = Db::connect(&url, 8).await.expect("the database");
        db.migrate().await.expect("a schema");
        let clock = Clock::system();
        let ids = IdSource::new(clock.clone());
        let tenant = TenantId::parse(TENANT).expect("a tenant");
        let mut tx = db.begin().await.expect("the database");
        for table in [
            "webhook_attempts",
            "webhook_deliveries",
            "webhook_cursors",
            "webhooks",
            "events",
            "event_heads",
            "event_sequences",
        ] {
            let sql = sqlx::AssertSqlSafe(format!("DELETE FROM {table}"));
            db_tx!(&mut tx, |c| sqlx::query(sql).execute(c).await.map(drop)).expect("to clear");
        }
        // There it may be from a run before.
        let _ = hookswitch::tenants::store::insert(&mut tx, &demo_tenant(&tenant), clock.now_us()).await;
        tx.commit().await.expect("to commit");
        let secret = Secret::new("a secret of a bench, 32 bytes and more");
        let parts = Parts {
            auth: Arc::new(Auth::new(&secret, clock.clone(), ids.clone()).expect("keys")),
            events: app::api::events(),
            client: Client::new(Guard::parse("127.0.0.0/8").expect("a network")).expect("a client"),
            node: ids.next(),
            stats: Arc::default(),
            db,
            clock,
            ids,
        };
        Self { parts, tenant, _folder: folder }
    }

    /// An endpoint that wants everything.
    async fn webhook(&self, url: &str, concurrency: i64) -> Id {
        const SQL: &str = "INSERT INTO webhooks (id, tenant_id, name, url, types, headers_secret, header_names, signatures, \
             secret, private_key, public_key, ordered, concurrency, timeout_s, status, from_position, metadata, created_at, \
             updated_at) VALUES (?, ?, '', ?, '[\"*\"]', '', '[]', '[\"v1\"]', ?, '', '', ?, ?, 2, 'active', 0, '{}', ?, ?)";
        let (id, now_us) = (self.parts.ids.next(), self.parts.clock.now_us());
        let secret = self.parts.auth.sealer.seal(id.as_str(), &[7; 32]).expect("to seal");
        let mut tx = self.parts.db.begin().await.expect("the database");
        db_tx!(&mut tx, |c| sqlx::query(SQL)
            .bind(id.as_str())
            .bind(TENANT)
            .bind(url)
            .bind(&secret)
            .bind(false)
            .bind(concurrency)
            .bind(now_us)
            .bind(now_us)
            .execute(c)
            .await
            .map(drop))
        .expect("an endpoint");
        store::begin_handing_out(&mut tx, &self.tenant, 0).await.expect("a cursor");
        tx.commit().await.expect("to commit");
        assert!(endpoint::one(&self.parts.db, &self.parts.auth, &id).await.expect("the database").is_some());
        id
    }

    fn draft(&self, n: u64) -> Draft {
        let data = Map::from_iter([("text".to_owned(), json!("x".repeat(400)))]);
        Draft {
            kind: "call.ended".into(),
            key: format!("call:{n}"),
            at_us: self.parts.clock.now_us(),
            owners: None,
            data,
        }
    }

    /// Writes some events in one transaction.
    async fn write(&self, drafts: &[Draft]) {
        let mut tx = self.parts.db.begin().await.expect("the database");
        let position =
            outbox::append(&mut tx, &self.parts.ids, (&self.tenant, self.parts.clock.now_us()), drafts).await;
        let position = position.expect("to write");
        tx.commit().await.expect("to commit");
        self.parts.events.news.tell(&self.tenant, position);
    }
}

fn demo_tenant(id: &TenantId) -> hookswitch::tenants::Tenant {
    hookswitch::tenants::Tenant {
        id: id.clone(),
        name: "Acme".into(),
        status: hookswitch::tenants::TenantStatus::Active,
        language: "en".into(),
        zone: "UTC".into(),
        max_agents: 0,
        max_dids: 0,
        max_concurrent_calls: 0,
        features: Vec::new(),
    }
}

/// Event-plus-delivery rows per second in group commits of 16, one transaction after the other: the ceiling.
async fn bare_rows(world: &World, seconds: f64) -> f64 {
    const EVENT: &str = "INSERT INTO events (tenant_id, position, id, kind, event_key, sequence, at, owners, data) \
         VALUES ('bare', ?, ?, 'call.ended', ?, 1, ?, '', ?)";
    const DELIVERY: &str = "INSERT INTO webhook_deliveries (id, tenant_id, webhook_id, event_position, event_id, event_type, \
         event_key, status, cause, attempts, next_at, owner, created_at) \
         VALUES (?, 'bare', 'bare', ?, ?, 'call.ended', ?, 'delivered', 'event', 0, ?, '', ?)";
    static POSITION: AtomicU64 = AtomicU64::new(1);
    let data = json!({"text": "x".repeat(400)}).to_string();
    let (start, mut done) = (now(), 0_u64);
    while start.elapsed().as_secs_f64() < seconds {
        let mut tx = world.parts.db.begin().await.expect("the database");
        for _ in 0..16 {
            let position = POSITION.fetch_add(1, Ordering::Relaxed) as i64;
            let (id, key, now_us) =
                (world.parts.ids.next(), format!("call:{position}"), world.parts.clock.now_us());
            db_tx!(&mut tx, |c| {
                let event =
                    sqlx::query(EVENT).bind(position).bind(format!("evt_{id}")).bind(&key).bind(now_us);
                event.bind(&data).execute(&mut *c).await.expect("an event");
                let delivery = sqlx::query(DELIVERY)
                    .bind(id.as_str())
                    .bind(position)
                    .bind(format!("evt_{id}"))
                    .bind(&key);
                delivery.bind(now_us).bind(now_us).execute(c).await.expect("a delivery");
            });
            done += 1;
        }
        tx.commit().await.expect("to commit");
    }
    done as f64 / start.elapsed().as_secs_f64()
}

/// Events written in groups of 16, delivered, and their attempts recorded: per second, until all is in the database.
async fn our_rate(world: &World, seconds: f64) -> f64 {
    let before = world.parts.stats.delivered.load(Ordering::Relaxed);
    let (start, mut written) = (now(), 0_u64);
    while start.elapsed().as_secs_f64() < seconds {
        // Not further ahead than memory holds: what is measured is the whole way, not a queue.
        let behind = written.saturating_sub(world.parts.stats.delivered.load(Ordering::Relaxed) - before);
        if behind > 400 {
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        }
        let drafts: Vec<Draft> = (written..written + 16).map(|n| world.draft(n)).collect();
        world.write(&drafts).await;
        written += 16;
    }
    wait(|| world.parts.stats.delivered.load(Ordering::Relaxed) - before >= written).await;
    wait(|| world.parts.stats.unwritten.load(Ordering::Relaxed) == 0).await;
    written as f64 / start.elapsed().as_secs_f64()
}

async fn wait(is_so: impl Fn() -> bool) {
    let start = now();
    while !is_so() {
        assert!(start.elapsed().as_secs() < 60, "it takes too long");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn whole_way(report: &mut Report, sink: &Sink, url: Option<String>) {
    let name = if url.is_some() { "MariaDB" } else { "SQLite" };
    let (rounds, seconds) = (argument("--rounds", 5.0) as usize, argument("--seconds", 3.0));
    // As the service has it: threads that give way to calls.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let world = World::new(url.as_deref()).await;
        world.webhook(&format!("http://{}/hook", sink.1), 64).await;
        let (stopper, stopping) = shutdown::channel();
        let running = tokio::spawn(desk::run(world.parts.clone(), stopping));
        let (mut ratios, mut ours, mut bares) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..=rounds {
            let (bare, our) = (bare_rows(&world, seconds).await, our_rate(&world, seconds).await);
            eprintln!("{name}: bare rows {bare:.0}/s, the whole way {our:.0}/s");
            if round > 0 {
                ratios.push(our / bare);
                ours.push(our);
                bares.push(bare);
            }
        }
        let ratio = median(&ratios);
        let shown = format!("{ratio:.2} ({:.0} ÷ {:.0}/s)", median(&ours), median(&bares));
        let figure =
            format!("{name}: written, delivered, recorded ÷ event and delivery rows in group commits");
        report.goal(&figure, shown, "≥ 0.5", ratio >= 0.5);
        let rate = 0.5 * 0.5 * median(&bares);
        let mut delays = first_attempts(&world, sink, rate, seconds * 2.0).await;
        let p99 = percentile(&mut delays, 0.99);
        let shown = format!("{p99:.1} ms (p50 {:.1} ms)", percentile(&mut delays, 0.5));
        report.goal(
            &format!("{name}: event to first attempt at {rate:.0} events/s, p99"),
            shown,
            "≤ 50 ms",
            p99 <= 50.0,
        );
        stopper.stop();
        let _ = running.await;
    });
}

/// Milliseconds from an event's own time to its arrival, at a steady rate of events.
async fn first_attempts(world: &World, sink: &Sink, rate: f64, seconds: f64) -> Vec<f64> {
    sink.came().await;
    let first = outbox::bounds(&world.parts.db, &world.tenant).await.expect("the database").1;
    let (start, mut written) = (now(), 0_u64);
    while start.elapsed().as_secs_f64() < seconds {
        // A group every 5 ms, as large as the rate asks for.
        let due = (start.elapsed().as_secs_f64() * rate) as u64;
        let drafts: Vec<Draft> = (written..due).map(|n| world.draft(n)).collect();
        written = due;
        if !drafts.is_empty() {
            world.write(&drafts).await;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let came = sink.came().await;
    let (mut delays, mut position) = (Vec::new(), first);
    loop {
        let some = outbox::after(&world.parts.db, &world.tenant, position, 200).await.expect("the database");
        let Some(last) = some.last() else { break };
        position = last.position;
        for event in &some {
            let arrived = came.get(&event.id).copied();
            delays.push((arrived.unwrap_or(i64::MAX) - event.at_us) as f64 / 1_000.0);
        }
    }
    delays
}

/// Endpoints that take a connection and never answer.
async fn dead_end() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    address
}

fn beside_the_dead(report: &mut Report, sink: &Sink) {
    let seconds = argument("--seconds", 3.0) * 3.0;
    let rate = argument("--dead-rate", 200.0);
    let measure = |dead: usize| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let world = World::new(None).await;
            for _ in 0..dead {
                world.webhook(&format!("http://{}/", dead_end().await), 8).await;
            }
            world.webhook(&format!("http://{}/hook", sink.1), 8).await;
            let (stopper, stopping) = shutdown::channel();
            let running = tokio::spawn(desk::run(world.parts.clone(), stopping));
            let mut delays = first_attempts(&world, sink, rate, seconds).await;
            stopper.stop();
            let _ = running.await;
            percentile(&mut delays, 0.99)
        })
    };
    let (mut ratios, mut alone, mut beside) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..argument("--rounds", 5.0) as usize {
        let (one, ten) = (measure(0), measure(9));
        eprintln!("p99 alone {one:.1} ms, beside nine dead ones {ten:.1} ms");
        ratios.push(ten / one);
        alone.push(one);
        beside.push(ten);
    }
    let ratio = median(&ratios);
    let shown =
        format!("{ratio:.2} ({:.1} ÷ {:.1} ms, at {rate:.0} events/s)", median(&beside), median(&alone));
    report.goal("p99 of a good endpoint beside nine dead ones ÷ alone", shown, "≤ 1.2", ratio <= 1.2);
}
