//! Sockets of the event stream: what thousands that wait cost, how soon the last of them has an event, how fast missed
//! ones are made up for, and how long it takes until all are back after a restart.
//!
//! The clients are one thread of this process and read bytes: they cost little, and share the two cores with the service.
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

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use hookswitch::base::clock::Clock;
use hookswitch::base::ids::{IdSource, TenantId};
use hookswitch::db::Db;
use hookswitch::events::{Draft, outbox};
use serde_json::{Map, Value, json};
use support::rest::{ask, login};
use support::service::{Service, with_files};
use support::{Report, argument, cpu_seconds, flag, median, now, percentile, resident_bytes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const KIB: f64 = 1024.0;
/// Sockets that one key may hold.
const OF_ONE: usize = hookswitch::config::limits::sockets::SOCKETS_OF_ONE;
const EVENT: &[u8] = b"\"op\":\"event\"";

fn main() -> ExitCode {
    if !flag("--files-raised") {
        let me = std::env::current_exe().expect("this program");
        let arguments = std::env::args().skip(1);
        let status = with_files(&me.to_string_lossy()).args(arguments).arg("--files-raised").status();
        return if status.expect("this program again").success() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        };
    }
    let mut report = Report::new();
    crowd(&mut report);
    for url in std::iter::once(None).chain(std::env::var("HOOKSWITCH_TEST_MYSQL_URL").ok().map(Some)) {
        resume(url, &mut report);
    }
    report.end("Sockets")
}

/// Keys for so many sockets.
fn keys(to: SocketAddr, token: &str, sockets: usize) -> Vec<String> {
    let body = r#"{"name":"bench","role":"tenant_admin","scopes":["*:read"]}"#;
    let make =
        |_| ask(to, "POST", "/api/v1/api-keys", token, body)["key"].as_str().expect("a key").to_owned();
    (0..sockets.div_ceil(OF_ONE)).map(make).collect()
}

fn latest(to: SocketAddr, token: &str) -> String {
    let page = ask(to, "GET", "/api/v1/events?after=latest", token, "");
    page["page"]["next"].as_str().expect("a cursor").to_owned()
}

/// A client's text frame; its mask of zeros leaves the text as it is.
fn frame(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).expect("a short text");
    let mut bytes = vec![0x81];
    match length {
        0..126 => bytes.push(0x80 | length as u8),
        _ => {
            bytes.push(0x80 | 126);
            bytes.extend(length.to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend(text.as_bytes());
    bytes
}

fn count(bytes: &[u8], word: &[u8]) -> usize {
    bytes.windows(word.len()).filter(|window| *window == word).count()
}

/// Reads until a word has come.
async fn read_until(stream: &mut TcpStream, word: &[u8]) {
    let mut bytes = Vec::with_capacity(1_024);
    while count(&bytes, word) == 0 {
        let n = stream.read_buf(&mut bytes).await.expect("to read");
        assert!(n > 0, "closed: {}", String::from_utf8_lossy(&bytes));
    }
}

/// A socket that has said who it is.
async fn enter(to: SocketAddr, key: &str) -> TcpStream {
    let mut stream = TcpStream::connect(to).await.expect("to connect");
    stream.set_nodelay(true).expect("no delay");
    let head = "GET /ws/v1 HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("to write");
    read_until(&mut stream, b"\r\n\r\n").await;
    stream.write_all(&frame(&json!({"op": "auth", "token": key}).to_string())).await.expect("to write");
    read_until(&mut stream, b"\"op\":\"ready\"").await;
    stream
}

/// Events that so many sockets had together, and when each was complete: had by all of them.
struct Crowd {
    open: Arc<AtomicUsize>,
    complete: Receiver<Instant>,
    thread: Option<std::thread::JoinHandle<()>>,
    end: Option<tokio::sync::oneshot::Sender<()>>,
}

impl Crowd {
    /// Opens sockets, each subscribed from `after` on, or from now on.
    fn open(to: SocketAddr, keys: Vec<String>, sockets: usize, after: Option<String>, events: usize) -> Self {
        let open = Arc::new(AtomicUsize::new(0));
        let (sender, complete) = channel();
        let (end, ended) = tokio::sync::oneshot::channel();
        let counter = Arc::clone(&open);
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let local = tokio::task::LocalSet::new();
                let got = std::rc::Rc::new(std::cell::RefCell::new(vec![0_usize; events]));
                // A handful at a time say who they are, as jitter would have it.
                let turns = std::rc::Rc::new(tokio::sync::Semaphore::new(64));
                for n in 0..sockets {
                    let (key, after, counter) = (keys[n / OF_ONE].clone(), after.clone(), Arc::clone(&counter));
                    let (got, turns, sender) = (got.clone(), turns.clone(), sender.clone());
                    local.spawn_local(async move {
                        let turn = turns.acquire().await.expect("a turn");
                        let mut stream = enter(to, &key).await;
                        let wish = json!({"op": "subscribe", "types": ["*"], "after": after.as_deref().unwrap_or("latest")});
                        stream.write_all(&frame(&wish.to_string())).await.expect("to write");
                        drop(turn);
                        follow(stream, &counter, &got, (sockets, &sender)).await;
                    });
                }
                local.run_until(async { drop(ended.await) }).await;
            });
        });
        Self { open, complete, thread: Some(thread), end: Some(end) }
    }

    /// Waits until all are there.
    fn wait(&self, sockets: usize) {
        let start = now();
        while self.open.load(Ordering::Relaxed) < sockets {
            assert!(
                start.elapsed() < Duration::from_secs(120),
                "{} sockets",
                self.open.load(Ordering::Relaxed)
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the clients");
        }
    }
}

/// Counts what comes to one socket; whoever is the last with an event says so.
async fn follow(
    mut stream: TcpStream,
    open: &AtomicUsize,
    got: &std::cell::RefCell<Vec<usize>>,
    (sockets, sender): (usize, &Sender<Instant>),
) {
    let (mut mine, mut is_open) = (0, false);
    let mut bytes = Vec::with_capacity(2_048);
    loop {
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
        if !is_open && count(&bytes, b"\"op\":\"subscribed\"") > 0 {
            is_open = true;
            open.fetch_add(1, Ordering::Relaxed);
        }
        for _ in 0..count(&bytes, EVENT) {
            let mut got = got.borrow_mut();
            if let Some(all) = got.get_mut(mine) {
                *all += 1;
                if *all == sockets {
                    sender.send(now()).expect("somebody who listens");
                }
            }
            mine += 1;
        }
        // What could be a word's beginning stays; a whole one does not fit into it.
        if is_open {
            bytes.drain(..bytes.len().saturating_sub(EVENT.len() - 1));
        }
    }
}

fn crowd(report: &mut Report) {
    let sockets = argument("--sockets", 5_000.0) as usize;
    let events = argument("--events", 200.0) as usize;
    let mut service = Service::start();
    let token = login(service.http);
    let keys = keys(service.http, &token, sockets);
    let tag = |to: SocketAddr, name: String| {
        ask(to, "POST", "/api/v1/tags", &token, &json!({"name": name}).to_string())
    };
    // What the allocator and the caches take once is not a socket's.
    {
        let some = Crowd::open(service.http, keys.clone(), 200.min(sockets), None, 1);
        some.wait(200.min(sockets));
        tag(service.http, "warm".to_owned());
        some.complete.recv_timeout(Duration::from_secs(30)).expect("an event");
    }
    let settled = |service: &Service, open: usize| {
        while service.metric("hookswitch_sockets_open") as usize != open {
            std::thread::sleep(Duration::from_millis(20));
        }
        // Rows are written twice a second.
        std::thread::sleep(Duration::from_secs(3));
        resident_bytes(service.pid())
    };
    let before = settled(&service, 0);
    let start = now();
    let all = Crowd::open(service.http, keys.clone(), sockets, None, events);
    all.wait(sockets);
    report.note(
        &format!("{sockets} sockets opened and subscribed"),
        format!("{:.1} s", start.elapsed().as_secs_f64()),
    );
    let each = (settled(&service, sockets) - before) / sockets as f64 / KIB;
    report.goal(
        &format!("{sockets} idle sockets: memory of each"),
        format!("{each:.1} KiB"),
        "≤ 24 KiB",
        each <= 24.0,
    );
    let cpu = cpu_seconds(service.pid());
    std::thread::sleep(Duration::from_secs(5));
    let idle = (cpu_seconds(service.pid()) - cpu) / 5.0 * 100.0;
    report.note(&format!("{sockets} idle sockets: processor"), format!("{idle:.1} % of one"));
    let mut times = Vec::with_capacity(events);
    let mut written = Vec::with_capacity(events);
    for n in 0..events {
        let began = now();
        tag(service.http, format!("t{n}"));
        written.push(began.elapsed().as_secs_f64() * 1e3);
        let last = all.complete.recv_timeout(Duration::from_secs(30)).expect("an event for everybody");
        times.push(last.duration_since(began).as_secs_f64() * 1e3);
        std::thread::sleep(Duration::from_millis(20));
    }
    report.note("one event: its POST answered, median", format!("{:.1} ms", median(&written)));
    report.note(
        &format!("one event: POST sent to the last of {sockets}, median"),
        format!("{:.0} ms", median(&times)),
    );
    let p99 = percentile(&mut times, 0.99);
    report.goal(
        &format!("one event: POST sent to the last of {sockets}, p99 of {events}"),
        format!("{p99:.0} ms"),
        "≤ 250 ms",
        p99 <= 250.0,
    );
    let each = (settled(&service, sockets) - before) / sockets as f64 / KIB;
    report.note(&format!("memory of each after {events} events"), format!("{each:.1} KiB"));
    let cursor = latest(service.http, &token);
    drop(all);
    herd(&mut service, (keys, sockets, cursor), report);
}

/// All of them come back to a service that was killed, each with the same cursor, and each missed 100 events.
fn herd(service: &mut Service, (keys, sockets, cursor): (Vec<String>, usize, String), report: &mut Report) {
    write(&service.database_url(), 100);
    service.restart_seconds();
    let start = now();
    let all = Crowd::open(service.http, keys, sockets, Some(cursor), 100);
    let token = login(service.http);
    let (mut slowest, mut done) = (0.0_f64, 0);
    while done < 100 {
        // REST goes on meanwhile.
        let began = now();
        ask(service.http, "GET", "/api/v1/tags?limit=1", &token, "");
        slowest = slowest.max(began.elapsed().as_secs_f64() * 1e3);
        done += all.complete.try_iter().count();
        assert!(start.elapsed() < Duration::from_secs(120), "{done} of 100");
        std::thread::sleep(Duration::from_millis(10));
    }
    report.note(
        &format!("after a restart: {sockets} back with 100 missed events each"),
        format!("{:.1} s", start.elapsed().as_secs_f64()),
    );
    report.note("slowest GET of a tag meanwhile", format!("{slowest:.0} ms"));
}

/// Writes events of acme's, as another process would.
fn write(url: &str, many: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let db = Db::connect(url, 2).await.expect("the database");
        let clock = Clock::system();
        let (ids, acme) = (IdSource::new(clock.clone()), TenantId::parse("acme").expect("a tenant"));
        let record = |n: usize| {
            let record = json!({"id": ids.next().as_str(), "tenant_id": "acme", "name": format!("tag {n}"), "color": "#336699",
                "description": "What a tag's record holds.", "created_at": "2026-11-23T10:00:00Z", "updated_at": "2026-11-23T10:00:00Z"});
            match record {
                Value::Object(fields) => fields,
                _ => Map::new(),
            }
        };
        for from in (0..many).step_by(1_000) {
            let drafts: Vec<Draft> = (from..many.min(from + 1_000))
                .map(|n| Draft { kind: "tag.created".into(), key: format!("tag:{}", ids.next()), at_us: clock.now_us(), owners: None, data: record(n) })
                .collect();
            let mut tx = db.begin().await.expect("a transaction");
            outbox::append(&mut tx, &ids, (&acme, clock.now_us()), &drafts).await.expect("events");
            tx.commit().await.expect("to commit");
        }
        db.close().await;
    });
}

fn resume(server: Option<String>, report: &mut Report) {
    let (missed, rounds) = (argument("--missed", 10_000.0) as usize, argument("--rounds", 5.0) as usize);
    let kind = if server.is_some() { "MariaDB" } else { "SQLite" };
    let service = Service::start_on(server.as_deref().unwrap_or_default());
    let token = login(service.http);
    let cursor = latest(service.http, &token);
    write(&service.database_url(), missed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut times = Vec::new();
    for _ in 0..=rounds {
        let took = runtime.block_on(async {
            let mut stream = enter(service.http, &token).await;
            let start = now();
            let wish = json!({"op": "subscribe", "types": ["*"], "after": cursor});
            stream.write_all(&frame(&wish.to_string())).await.expect("to write");
            let (mut bytes, mut got) = (Vec::with_capacity(64 * 1024), 0);
            while got < missed {
                assert!(stream.read_buf(&mut bytes).await.expect("to read") > 0, "closed");
                got += count(&bytes, EVENT);
                bytes.drain(..bytes.len().saturating_sub(EVENT.len() - 1));
            }
            start.elapsed().as_secs_f64()
        });
        eprintln!("{kind}: {missed} events in {took:.2} s");
        times.push(took);
    }
    // The first one warms.
    let took = median(&times[1..]);
    report.goal(
        &format!("{missed} missed events resumed, {kind}"),
        format!("{took:.2} s"),
        "< 1 s",
        took < 1.0,
    );
}
