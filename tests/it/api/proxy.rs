//! A proxy before MariaDB that takes the tenant's condition out of chosen queries: `tenant_id = ?` becomes a condition
//! that always holds, with the same parameters.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub(crate) struct Proxy {
    pub(crate) url: String,
    rewritten: Arc<AtomicUsize>,
    seen: Arc<Mutex<BTreeSet<String>>>,
    task: tokio::task::JoinHandle<()>,
}

/// The first byte of the command that prepares a statement (MariaDB client/server protocol).
const PREPARE: u8 = 0x16;
/// What is taken out.
const TENANT: &str = "tenant_id = ?";

impl Proxy {
    /// In front of a database; queries that hold these words are rewritten.
    pub(crate) async fn start(url: &str, holds: Option<String>) -> Self {
        let rest = url.strip_prefix("mysql://").unwrap();
        let (user, place) = rest.split_once('@').unwrap();
        let (server, name) = place.split_once('/').unwrap();
        let server = server.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("mysql://{user}@{}/{name}?ssl-mode=disabled", listener.local_addr().unwrap());
        let rewritten = Arc::new(AtomicUsize::new(0));
        let seen: Arc<Mutex<BTreeSet<String>>> = Arc::default();
        let (count, note) = (Arc::clone(&rewritten), Arc::clone(&seen));
        let task = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let server = TcpStream::connect(&server).await.unwrap();
                tokio::spawn(between(client, server, holds.clone(), Arc::clone(&count), Arc::clone(&note)));
            }
        });
        Self { url, rewritten, seen, task }
    }

    /// How many statements have been rewritten.
    pub(crate) fn rewritten(&self) -> usize {
        self.rewritten.load(Ordering::SeqCst)
    }
}

impl Proxy {
    /// Every query that names a tenant.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().cloned().collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn between(
    client: TcpStream,
    server: TcpStream,
    holds: Option<String>,
    count: Arc<AtomicUsize>,
    seen: Arc<Mutex<BTreeSet<String>>>,
) {
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
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
        if packet.first() == Some(&PREPARE)
            && let Ok(sql) = std::str::from_utf8(&packet[1..])
            && sql.contains(TENANT)
        {
            seen.lock().unwrap().insert(sql.to_owned());
            if holds.as_ref().is_some_and(|words| sql.contains(words.as_str())) {
                let open = sql.replace(TENANT, "(tenant_id = ? OR 1 = 1)");
                packet = [&[PREPARE], open.as_bytes()].concat();
                count.fetch_add(1, Ordering::SeqCst);
            }
        }
        let length = (packet.len() as u32).to_le_bytes();
        let whole = [&[length[0], length[1], length[2], head[3]], packet.as_slice()].concat();
        if to_server.write_all(&whole).await.is_err() {
            return;
        }
    }
}
