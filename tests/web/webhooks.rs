//! What consumers do with our webhooks: the official libraries of Standard Webhooks and the documented snippets verify
//! real deliveries, and the documented consumer works.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use hookswitch::base::clock::Clock;
use hookswitch::webhooks::sign::{self, Secret};
use serde_json::{Value, json};

use crate::support::service::{Database, Service, ServiceOptions};
use crate::support::wait;
use crate::tools::cache;

/// A request as it came.
struct Taken {
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

/// What the receiver looks at.
#[derive(Clone)]
struct Message {
    id: String,
    stamp: String,
    signature: String,
    body: Vec<u8>,
}

impl From<Taken> for Message {
    fn from(taken: Taken) -> Self {
        let header = |name: &str| taken.headers[&format!("webhook-{name}")].clone();
        Self {
            id: header("id"),
            stamp: header("timestamp"),
            signature: header("signature"),
            body: taken.body,
        }
    }
}

/// A consumer that answers 200 to everything.
fn receiver() -> (SocketAddr, Receiver<Taken>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, taken) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut headers = HashMap::new();
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).unwrap();
                match line.trim_end().split_once(": ") {
                    Some((name, value)) => drop(headers.insert(name.to_ascii_lowercase(), value.to_owned())),
                    None if line.trim().is_empty() => break,
                    None => {}
                }
            }
            let mut body = vec![0; headers["content-length"].parse().unwrap()];
            stream.read_exact(&mut body).unwrap();
            stream
                .get_mut()
                .write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
                .unwrap();
            if sender.send(Taken { headers, body }).is_err() {
                return;
            }
        }
    });
    (address, taken)
}

/// The service with somebody signed in.
struct Desk {
    service: Service,
    token: String,
}

impl Desk {
    fn start() -> Self {
        let service = Service::start(&ServiceOptions::new(Database::Sqlite).set("HOOKSWITCH_LOG", "trace"));
        let login = r#"{"email":"admin@acme.test","password":"hookswitch-demo-1"}"#;
        let (status, answer) = service.post("/api/v1/auth/login", "", login);
        assert_eq!(status, 200, "{answer}");
        let answer: Value = serde_json::from_str(&answer).unwrap();
        Self { token: answer["access_token"].as_str().unwrap().to_owned(), service }
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (status, answer) = self.service.post(&format!("/api/v1{path}"), &self.token, &body);
        assert!((200..300).contains(&status), "{path}: {status} {answer}");
        serde_json::from_str(&answer).unwrap()
    }

    fn get(&self, path: &str) -> Value {
        let (status, answer) = self.service.ask("GET", &format!("/api/v1{path}"), &self.token, "");
        assert_eq!(status, 200, "{path}: {answer}");
        serde_json::from_str(&answer).unwrap()
    }
}

/// Something that says whether a message is genuine.
struct Judge {
    name: String,
    program: PathBuf,
    arguments: Vec<PathBuf>,
    env: Vec<(&'static str, PathBuf)>,
}

impl Judge {
    fn takes(&self, secret: &str, message: &Message) -> bool {
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .args([&message.id, &message.stamp, &message.signature])
            .env("WEBHOOK_SECRET", secret)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{}: {e}; run scripts/lab-install", self.name));
        child.stdin.take().unwrap().write_all(&message.body).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        match (said.as_str(), output.status.code()) {
            ("ok", Some(0)) => true,
            // `go run` has a status of its own.
            ("refused", Some(1)) => false,
            _ => panic!("{}: {output:?}", self.name),
        }
    }
}

fn at_hand(program: &str) -> bool {
    let version = if program == "go" { "version" } else { "--version" };
    let run = Command::new(program).arg(version).stdout(Stdio::null()).stderr(Stdio::null()).status();
    run.is_ok_and(|status| status.success())
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The official libraries, as `scripts/lab-install` has installed them.
fn libraries() -> Vec<Judge> {
    let (installed, scripts) = (cache().join("standardwebhooks"), root().join("tests/web/library"));
    vec![
        Judge {
            name: "standardwebhooks of PyPI".into(),
            program: installed.join("python/bin/python"),
            arguments: vec![scripts.join("verify.py")],
            env: vec![],
        },
        Judge {
            name: "standardwebhooks of npm".into(),
            program: "node".into(),
            arguments: vec![scripts.join("verify.cjs")],
            env: vec![("NODE_PATH", installed.join("node_modules"))],
        },
    ]
}

/// The documented snippets whose language is at hand.
fn snippets() -> Vec<Judge> {
    let folder = root().join("examples/webhooks");
    let all: [(&str, &[&str], &str); 5] = [
        ("python3", &[], "verify.py"),
        ("node", &[], "verify.mjs"),
        ("java", &[], "Verify.java"),
        ("go", &["run"], "verify.go"),
        ("php", &[], "verify.php"),
    ];
    let mut found = Vec::new();
    for (program, before, file) in all {
        if !at_hand(program) {
            println!("SKIPPED {file}: no {program} here");
            continue;
        }
        let mut arguments: Vec<PathBuf> = before.iter().map(PathBuf::from).collect();
        arguments.push(folder.join(file));
        found.push(Judge { name: file.into(), program: program.into(), arguments, env: vec![] });
    }
    assert!(found.len() >= 2, "scripts/lab-install installs Python and Node.js");
    found
}

/// Whether the library for Rust takes it.
fn rust_takes(secret: &str, message: &Message) -> bool {
    let mut headers = hyper::HeaderMap::new();
    for (name, value) in [
        ("webhook-id", &message.id),
        ("webhook-timestamp", &message.stamp),
        ("webhook-signature", &message.signature),
    ] {
        headers.insert(name, value.parse().unwrap());
    }
    standardwebhooks::Webhook::new(secret).unwrap().verify(&message.body, &headers).is_ok()
}

/// What is refused, with a reason: another body, another secret, another id, another time, no signature.
fn forgeries(good: &Message) -> Vec<(&'static str, Message)> {
    let changed = |f: fn(&mut Message)| {
        let mut message = good.clone();
        f(&mut message);
        message
    };
    vec![
        ("a changed body", changed(|m| m.body.push(b' '))),
        ("another id", changed(|m| m.id.push('x'))),
        ("another time", changed(|m| m.stamp = (m.stamp.parse::<i64>().unwrap() + 1).to_string())),
        ("a time that is none", changed(|m| m.stamp = "soon".into())),
        ("half a signature", changed(|m| m.signature.truncate(23))),
        ("no signature", changed(|m| m.signature = "v1,".into())),
    ]
}

const OTHER: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// Official libraries and the documented snippets take a real delivery, also in the middle of a rotation, and refuse what
/// was forged or is old.
#[test]
fn what_we_sign_others_verify() {
    let desk = Desk::start();
    let (address, taken) = receiver();
    let webhook =
        json!({"url": format!("http://{address}/"), "types": ["contact.*"], "signatures": ["v1", "v1a"]});
    let made = desk.post("/webhooks", &webhook);
    let (id, secret) = (made["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    let next = || Message::from(taken.recv_timeout(Duration::from_secs(30)).unwrap());
    desk.post("/contacts", &json!({"first_name": "Zoë", "last_name": "O'Hara \"X\" \u{1f600}"}));
    let plain = next();
    let turned = desk.post(&format!("/webhooks/{id}/rotate-secret"), &json!({}));
    let new = turned["secret"].as_str().unwrap();
    desk.post("/contacts", &json!({"first_name": "Bo"}));
    let rotated = next();
    let (libraries, snippets) = (libraries(), snippets());
    for judge in libraries.iter().chain(&snippets) {
        let name = &judge.name;
        assert!(judge.takes(secret, &plain), "{name} refuses what is good");
        assert!(
            judge.takes(secret, &rotated) && judge.takes(new, &rotated),
            "{name} refuses during a rotation"
        );
        assert!(!judge.takes(new, &plain) && !judge.takes(OTHER, &plain), "{name} takes any secret");
        for (what, forged) in forgeries(&plain) {
            assert!(!judge.takes(secret, &forged), "{name} takes {what}");
        }
        println!("{name} verifies");
    }
    assert!(rust_takes(secret, &plain) && rust_takes(secret, &rotated) && rust_takes(new, &rotated));
    assert!(
        !rust_takes(new, &plain) && forgeries(&plain).iter().all(|(_, forged)| !rust_takes(secret, forged))
    );
    // Old and young: five minutes either way, and not more. A while off, because compilers take theirs.
    let now = Clock::system().now();
    let key: Secret = secret.parse().unwrap();
    for (seconds, is_fine) in [(-400, false), (-200, true), (200, true), (400, false)] {
        let at = now + chrono::TimeDelta::seconds(seconds);
        let signed = sign::sign(std::slice::from_ref(&key), "evt_1", at, b"{}").unwrap();
        let message = Message {
            id: signed.id,
            stamp: signed.timestamp,
            signature: signed.signature,
            body: b"{}".to_vec(),
        };
        for judge in &snippets {
            assert_eq!(judge.takes(secret, &message), is_fine, "{} of {seconds} s", judge.name);
        }
    }
    // The public half is enough for v1a.
    let public = made["public_key"].as_str().unwrap();
    let node = snippets.iter().find(|judge| judge.name == "verify.mjs").unwrap();
    assert!(node.takes(public, &plain) && node.takes(public, &rotated));
    assert!(forgeries(&plain).iter().all(|(_, forged)| !node.takes(public, forged)));
    let log = desk.service.log();
    assert!(log.contains("webhook") || log.contains("TRACE"), "the log says nothing");
    for hidden in [secret, new] {
        assert!(!log.contains(&hidden["whsec_".len()..]), "a secret is in the log");
    }
}

/// Ends with the test.
struct Consumer(Child);

impl Drop for Consumer {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The consumer of the documentation takes what is genuine, once, and refuses the rest.
#[test]
fn the_documented_consumer_works() {
    let lines = std::fs::read_to_string(root().join("examples/webhooks/consumer.py")).unwrap();
    assert!(lines.lines().count() <= 10, "the documentation says ten lines");
    let desk = Desk::start();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let child = Command::new("python3")
        .arg(root().join("examples/webhooks/consumer.py"))
        .env("PORT", port.to_string())
        .env("WEBHOOK_SECRET", OTHER)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut consumer = Consumer(child);
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    wait::until("the consumer to listen", || TcpStream::connect(address).ok());
    // Queues tell their numbers once at the start.
    let webhook = json!({"url": format!("http://{address}/hook"), "secret": OTHER, "types": ["contact.*"]});
    let id = desk.post("/webhooks", &webhook)["id"].as_str().unwrap().to_owned();
    let first = desk.post(&format!("/webhooks/{id}/test"), &Value::Null);
    let delivered = |delivery: &Value| {
        let path = format!("/webhooks/{id}/deliveries/{}", delivery["id"].as_str().unwrap());
        wait::until("the delivery", || (desk.get(&path)["status"] == "delivered").then_some(()));
    };
    delivered(&first);
    let path = format!("/webhooks/{id}/deliveries/{}/resend", first["id"].as_str().unwrap());
    delivered(&desk.post(&path, &Value::Null));
    desk.post("/contacts", &json!({"first_name": "Ann"}));
    let mut printed = BufReader::new(consumer.0.stdout.take().unwrap()).lines();
    let mut line = || printed.next().unwrap().unwrap();
    assert_eq!([line(), line()], ["webhook.test", "contact.created"], "the second test was known already");
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "POST / HTTP/1.0\r\nwebhook-id: evt_1\r\nwebhook-timestamp: 1\r\nwebhook-signature: v1,x\r\ncontent-length: 2\r\n\r\n{{}}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains(" 401 "), "{answer}");
}
