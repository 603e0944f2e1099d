//! The event socket of the TypeScript client in a real Chromium, over a service that is killed under it.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};

use serde_json::{Value, json};

use crate::support::service::{Database, Service, ServiceOptions};
use crate::support::wait::{PATIENCE, now};
use crate::tools::run;
use crate::typescript::client;

/// Serves the client's folder to a browser and takes what its page tells.
struct Site {
    address: SocketAddr,
    told: Receiver<Value>,
    heard: VecDeque<Value>,
}

impl Site {
    fn start(folder: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, told) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (folder, sender) = (folder.clone(), sender.clone());
                // A browser that goes away in the middle is no concern.
                std::thread::spawn(move || drop(serve(stream.unwrap(), &folder, &sender)));
            }
        });
        Self { address, told, heard: VecDeque::new() }
    }

    /// The next thing that the page tells.
    fn next(&mut self) -> Value {
        let next = self.told.recv_timeout(PATIENCE);
        next.unwrap_or_else(|_| panic!("the page is silent; it told {:#?}", self.heard))
    }

    /// The next thing of a kind; others are put by.
    fn until(&mut self, kind: &str) -> Value {
        let start = now();
        loop {
            assert!(start.elapsed() < PATIENCE, "no {kind}; the page told {:#?}", self.heard);
            let next = self.next();
            self.heard.push_back(next.clone());
            if let Some(value) = next.get(kind) {
                return value.clone();
            }
        }
    }
}

fn serve(stream: TcpStream, folder: &Path, told: &Sender<Value>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut line, mut length) = (String::new(), 0);
    reader.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or("/").split('?').next().unwrap_or_default().to_owned();
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? <= 2 {
            break;
        }
        if let Some(n) = header.to_ascii_lowercase().strip_prefix("content-length:") {
            length = n.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    if line.starts_with("POST") {
        told.send(serde_json::from_slice(&body).unwrap()).map_err(std::io::Error::other)?;
    }
    let file = std::fs::read(folder.join(path.trim_start_matches('/'))).unwrap_or_default();
    let kind = if path.ends_with(".js") { "text/javascript" } else { "text/html" };
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        file.len()
    )?;
    stream.write_all(&file)
}

/// A browser at a page; gone on drop.
struct Browser(Child, #[expect(dead_code, reason = "its folder goes with it")] tempfile::TempDir);

impl Browser {
    fn open(url: &str) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let child = Command::new("setpriv")
            .args([
                "--pdeathsig",
                "TERM",
                "chromium",
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
            ])
            .args([
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(url)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromium; run scripts/lab-install");
        Self(child, profile)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It ends its own children when asked, not when killed.
        let asked = Command::new("kill").arg(self.0.id().to_string()).status();
        if asked.is_err() {
            let _ = self.0.kill();
        }
        let _ = self.0.wait();
    }
}

#[test]
fn a_page_hears_every_event_once_over_a_service_that_is_killed() {
    let mut service = Service::start(&ServiceOptions::new(Database::Sqlite));
    let login = service.post(
        "/api/v1/auth/login",
        "",
        r#"{"email":"admin@acme.test","password":"hookswitch-demo-1"}"#,
    );
    let token = serde_json::from_str::<Value>(&login.1).unwrap()["access_token"].as_str().unwrap().to_owned();
    let built = client();
    run(built.path(), "npm", &["run", "build"]);
    let mut site = Site::start(built.path().to_owned());
    let base = format!("http://{}", service.http());
    let url = format!("http://{}/test/socket-page.html?base={base}&token={token}", site.address);
    let _browser = Browser::open(&url);
    assert_eq!(site.until("ready"), "tenant_admin");
    // Ready comes before the subscription: the first event may be before it too.
    let tag = |service: &Service, name: &str| {
        let made = service.post("/api/v1/tags", &token, &json!({"name": name}).to_string());
        assert_eq!(made.0, 201, "{}", made.1);
    };
    let mut expected = Vec::new();
    let mut heard: Vec<Value> = Vec::new();
    for n in 0.. {
        tag(&service, &format!("first {n}"));
        if let Ok(told) = site.told.recv_timeout(std::time::Duration::from_millis(200)) {
            let first =
                told["event"].as_str().unwrap().trim_start_matches("first ").parse::<usize>().unwrap();
            expected.extend((first..=n).map(|n| json!(format!("first {n}"))));
            heard.push(told["event"].clone());
            break;
        }
        assert!(n < 100, "no event came");
    }
    for round in 0..2 {
        let mut make = |service: &Service, part: &str| {
            for n in 0..20 {
                let name = format!("{round} {part} {n}");
                tag(service, &name);
                expected.push(json!(name));
            }
        };
        make(&service, "before");
        service.kill();
        service.start_again();
        make(&service, "after");
        while heard.len() < expected.len() {
            heard.push(site.until("event"));
        }
        assert_eq!(heard, expected);
    }
    let (status, body) = service.post("/api/v1/tickets", &token, r#"{"subject":"a ticket"}"#);
    assert_eq!(status, 201, "{body}");
    assert_eq!(site.until("event"), "a ticket");
    assert_eq!(
        site.heard.iter().filter(|told| told.get("lost").is_some()).count(),
        2 + refused(&site),
        "{:#?}",
        site.heard
    );
    service.stop();
    let end = site.next();
    assert_eq!((&end["lost"], &end["reason"]), (&json!(1001), &json!("server-stopping")));
    assert!(
        site.heard.iter().all(|told| told.get("error").is_none() && told.get("resync").is_none()),
        "{:#?}",
        site.heard
    );
}

/// Connections that were refused while nobody listened: lost without a word, one after another.
fn refused(site: &Site) -> usize {
    let all: Vec<&Value> = site.heard.iter().collect();
    all.windows(2).filter(|pair| pair.iter().all(|told| told.get("lost").is_some())).count()
}
