//! The service as a process that is killed again and again while others ask it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookswitch::base::clock::Stopwatch;
use hookswitch::db::{Db, db_read};
use serde_json::{Value, json};

use crate::cli::{Place, Service, ok};
use crate::support::{Kind, PATIENCE, TestDb};

/// Where the service listens at the moment.
pub(crate) type Where = Arc<Mutex<Option<(SocketAddr, SocketAddr)>>>;

/// Sends a request; `None`: the service did not answer it whole.
pub(crate) fn ask(
    http: SocketAddr,
    method: &str,
    path: &str,
    token: &str,
    body: &Value,
) -> Option<(u16, Value)> {
    send(http, (method, path), token, "application/json", body.to_string().as_bytes())
}

/// The same with a body of another type.
pub(crate) fn send(
    http: SocketAddr,
    (method, path): (&str, &str),
    token: &str,
    kind: &str,
    body: &[u8],
) -> Option<(u16, Value)> {
    let mut socket = TcpStream::connect(http).ok()?;
    socket.set_read_timeout(Some(PATIENCE)).ok()?;
    let head = format!(
        "{method} /api/v1{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\
         content-type: {kind}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all(head.as_bytes()).ok()?;
    socket.write_all(body).ok()?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, serde_json::from_str(body).ok()?))
}

/// Asks until it is served.
pub(crate) fn asked(place: &Where, method: &str, path: &str, token: &str, body: &Value) -> Value {
    let start = Stopwatch::start();
    loop {
        let http = place.lock().unwrap().map(|(_, http)| http);
        match http.and_then(|http| ask(http, method, path, token, body)) {
            Some((200 | 201, answer)) => return answer,
            other => assert!(start.elapsed_us() < 30_000_000, "{method} {path}: {other:?}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Runs the service and kills it, again and again.
pub(crate) fn murder(data: &Place, env: &[(&str, &str)], place: &Where, kills: u64) -> Service {
    let mut chance = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..kills {
        let service = Service::start(data, env);
        *place.lock().unwrap() = Some((service.agi, service.http));
        // xorshift: random enough for moments, and the same in each run.
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        std::thread::sleep(Duration::from_millis(5 + chance % 220));
        *place.lock().unwrap() = None;
        service.kill();
    }
    let service = Service::start(data, env);
    *place.lock().unwrap() = Some((service.agi, service.http));
    service
}

/// A number out of a database, behind the service's back.
pub(crate) fn number(data: &Place, test: &TestDb, sql: &str) -> i64 {
    let file = format!("sqlite://{}", data.path().join("hookswitch.db").display());
    let url = if test.kind == Kind::MySql { &test.url } else { &file };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let db = Db::connect(url, 1).await.unwrap();
        let sql = sqlx::AssertSqlSafe(sql.to_owned());
        let found = db_read!(&db, |p| sqlx::query_scalar(sql).fetch_one(p).await).unwrap();
        db.close().await;
        found
    })
}

/// The demo's data, and what the service needs to stand on it and to take as many requests as come.
pub(crate) fn seeded(test: &TestDb) -> (Place, Vec<(&'static str, String)>) {
    let data = Place::new();
    let mut env = vec![("HOOKSWITCH_OUTGOING_ALLOW", "127.0.0.0/8".to_owned())];
    let limits = [
        "HOOKSWITCH_HTTP__REQUESTS_PER_SECOND_ADDRESS",
        "HOOKSWITCH_HTTP__REQUESTS_PER_SECOND_ACTOR",
        "HOOKSWITCH_HTTP__REQUESTS_PER_SECOND_TENANT",
    ];
    env.extend(limits.map(|name| (name, "0".to_owned())));
    if test.kind == Kind::MySql {
        env.push(("HOOKSWITCH_DATABASE_URL", test.url.clone()));
    }
    let pairs: Vec<(&str, &str)> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
    ok(&data.run(&["seed", "demo"], &pairs));
    (data, env)
}

/// A token of acme's administrator.
pub(crate) fn login(place: &Where) -> String {
    let who = json!({"email": "admin@acme.test", "password": "hookswitch-demo-1"});
    asked(place, "POST", "/auth/login", "-", &who)["access_token"].as_str().unwrap().to_owned()
}
