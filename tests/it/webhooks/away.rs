//! A MariaDB that goes away, or whose answer to a commit gets lost: nothing is forgotten, nothing is stuck.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::World;
use crate::support::{Kind, TestDb};

/// A way to MariaDB that can be closed, and that can lose answers to commits.
struct Way {
    url: String,
    open: watch::Sender<bool>,
    /// How many answers to commits are lost from here on.
    lose: Arc<AtomicUsize>,
}

/// The command of a statement as text (MariaDB client/server protocol).
const QUERY: u8 = 0x03;

impl Way {
    async fn to(url: &str) -> Self {
        let (user, place) = url.strip_prefix("mysql://").unwrap().split_once('@').unwrap();
        let (server, name) = place.split_once('/').unwrap();
        let server = server.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("mysql://{user}@{}/{name}?ssl-mode=disabled", listener.local_addr().unwrap());
        let (open, is_open) = watch::channel(true);
        let lose = Arc::new(AtomicUsize::new(0));
        let losing = Arc::clone(&lose);
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                if !*is_open.borrow() {
                    continue;
                }
                let server = TcpStream::connect(&server).await.unwrap();
                let (mut is_open, losing) = (is_open.clone(), Arc::clone(&losing));
                tokio::spawn(async move {
                    tokio::select! {
                        () = between(client, server, losing) => {}
                        _ = is_open.wait_for(|open| !open) => {}
                    }
                });
            }
        });
        Self { url, open, lose }
    }
}

/// Passes everything on; ends, with both connections, when the answer to a commit is to be lost.
async fn between(client: TcpStream, server: TcpStream, lose: Arc<AtomicUsize>) {
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let is_lost = AtomicBool::new(false);
    let there = async {
        loop {
            let mut head = [0; 4];
            if from_client.read_exact(&mut head).await.is_err() {
                return;
            }
            let length = usize::from(head[0]) | usize::from(head[1]) << 8 | usize::from(head[2]) << 16;
            let mut packet = vec![0; length];
            if from_client.read_exact(&mut packet).await.is_err() {
                return;
            }
            if packet.first() == Some(&QUERY) && packet[1..].eq_ignore_ascii_case(b"commit") {
                let taken = lose.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
                is_lost.store(taken.is_ok(), Ordering::SeqCst);
            }
            if to_server.write_all(&[&head, packet.as_slice()].concat()).await.is_err() {
                return;
            }
        }
    };
    let back = async {
        let mut piece = vec![0; 65_536];
        loop {
            let Ok(count @ 1..) = from_server.read(&mut piece).await else { return };
            // It was done there, and nobody hears of it here.
            if is_lost.load(Ordering::SeqCst) || to_client.write_all(&piece[..count]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = there => {}
        () = back => {}
    }
}

/// Runs a test whose service reaches MariaDB over a [`Way`]; `test` reaches it directly.
fn run(body: impl AsyncFnOnce(World, Way, Arc<TestDb>) + Send + 'static) {
    crate::support::run(Kind::MySql, |test: Arc<TestDb>| {
        let handle = tokio::runtime::Handle::current();
        // The futures of the test borrow from it, so they stay on one thread.
        let done = tokio::task::spawn_blocking(move || {
            handle.block_on(async {
                let way = Way::to(&test.url).await;
                let over = Arc::new(test.through(&way.url).await);
                let world = World::new(Arc::clone(&over)).await;
                body(world, way, test).await;
                over.db.close().await;
            });
        });
        async { done.await.unwrap() }
    });
}

fn keys(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("ticket:{}", n % 10)).collect()
}

async fn until_delivered(test: &TestDb, count: i64) {
    crate::support::eventually("all deliveries", async || {
        let sql = "SELECT COUNT(*) FROM webhook_deliveries WHERE status = 'delivered'";
        (test.number(sql).await == count).then_some(())
    })
    .await;
}

fn distinct(world: &World, path: &str) -> usize {
    world.sink.at(path).iter().map(|taken| taken.id().to_owned()).collect::<HashSet<_>>().len()
}

/// A database that is away for seconds while requests are under way and events wait.
#[test]
fn a_database_that_is_away() {
    run(async |world, way, test| {
        world.sink.opens(false);
        world.webhook("/hang", json!({"concurrency": 8, "timeout_s": 30})).await;
        world.webhook("/ordered", json!({"ordered": true})).await;
        world.happen(&keys(100)).await;
        world.until("requests", |w| w.sink.at("/hang").len() == 8 && w.sink.at("/ordered").len() >= 10).await;
        way.open.send_replace(false);
        world.sink.opens(true);
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert!(world.stats.unwritten.load(Ordering::Relaxed) > 0);
        way.open.send_replace(true);
        until_delivered(&test, 200).await;
        world.all_done().await;
        assert_eq!((distinct(&world, "/hang"), distinct(&world, "/ordered")), (100, 100));
        assert_eq!(test.number("SELECT COUNT(*) FROM webhook_attempts").await, 200, "each result once");
    });
}

/// Whether a commit lasted is not known when its answer gets lost: over and over, whoever commits.
#[test]
fn answers_to_commits_get_lost() {
    run(async |world, way, test| {
        world.webhook("/plain", json!({})).await;
        world.webhook("/ordered", json!({"ordered": true})).await;
        let events = &world.desk.app.gate.events;
        let acme = crate::support::tenant("acme");
        let ids = &world.desk.app.gate.ids;
        for round in 0..5_i64 {
            // Written past the way, so that only deliveries meet with it.
            let now_us = world.desk.app.clock.now_us();
            let draft = |key: &String| hookswitch::events::Draft {
                kind: "ticket.updated".into(),
                key: key.clone(),
                at_us: now_us,
                owners: None,
                data: serde_json::Map::new(),
            };
            let drafts: Vec<_> = keys(60).iter().map(draft).collect();
            let mut tx = test.db.begin().await.unwrap();
            let position =
                hookswitch::events::outbox::append(&mut tx, ids, (&acme, now_us), &drafts).await.unwrap();
            tx.commit().await.unwrap();
            way.lose.store(3, Ordering::SeqCst);
            events.news.tell(&acme, position);
            until_delivered(&test, (round + 1) * 120).await;
        }
        way.lose.store(0, Ordering::SeqCst);
        world.all_done().await;
        assert_eq!((distinct(&world, "/plain"), distinct(&world, "/ordered")), (300, 300));
        let mut last = std::collections::HashMap::new();
        for taken in world.sink.at("/ordered") {
            let event = taken.json();
            let (key, sequence) = (event["key"].to_string(), event["sequence"].as_i64().unwrap());
            assert!(last.insert(key, sequence).is_none_or(|before| before <= sequence), "{event}");
        }
        let twice = "SELECT COUNT(*) FROM webhook_deliveries WHERE attempts <> 1";
        assert_eq!(test.number(twice).await, 0, "nothing was written twice");
        assert_eq!(test.number("SELECT COUNT(*) FROM webhook_attempts").await, 600);
    });
}
