//! REST: a simple GET by id beside a bare axum handler with the same query; deep pages of a long list; what the idle
//! service takes, and how soon it is ready.
//!
//! One load thread, 16 connections in a closed loop. Rounds alternate between the two servers. Both have the threads and
//! the priority that the service gives to HTTP. With `HOOKSWITCH_TEST_MYSQL_URL` set, the list is measured on MariaDB too.
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

use std::io::BufRead;
use std::net::SocketAddr;
use std::process::{Child, ExitCode, Stdio};
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::header;
use axum::response::IntoResponse;
use hookswitch::base::priority;
use hookswitch::db::{Db, db_read, db_tx};
use serde_json::json;
use support::rest::{ask, exchange, login, request};
use support::service::{Service, with_files};
use support::{Report, argument, flag, median, now, resident_bytes};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CONNECTIONS: usize = 16;

fn main() -> ExitCode {
    if flag("--bare-server") {
        bare_server();
        return ExitCode::SUCCESS;
    }
    let mut report = Report::new();
    get_by_id(&mut report);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    for url in std::iter::once(None).chain(std::env::var("HOOKSWITCH_TEST_MYSQL_URL").ok().map(Some)) {
        deep_pages(&runtime, url, &mut report);
    }
    report.end("REST")
}

/// The ceiling: the same statement and a JSON answer, nothing else.
fn bare_server() {
    let url = std::env::var("BARE_DATABASE").expect("a database");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().on_thread_start(priority::give_way).build();
    runtime.expect("a runtime").block_on(async {
        let db = Db::connect(&url, 8).await.expect("the database");
        let routes =
            axum::Router::new().route("/tags/{id}", axum::routing::get(bare_get)).with_state(Arc::new(db));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        println!("{}", listener.local_addr().expect("an address"));
        axum::serve(listener, routes).await.expect("to serve");
    });
}

async fn bare_get(State(db): State<Arc<Db>>, Path(id): Path<String>) -> impl IntoResponse {
    const SQL: &str = "SELECT id, tenant_id, name, color, description, created_at, updated_at FROM tags t \
         WHERE tenant_id = ? AND id = ?";
    type Row = (String, String, String, String, String, i64, i64);
    let row: Row =
        db_read!(&*db, |p| sqlx::query_as(SQL).bind("acme").bind(&id).fetch_one(p).await).expect("a row");
    let body = json!({"id": row.0, "tenant_id": row.1, "name": row.2, "color": row.3, "description": row.4,
        "created_at": row.5, "updated_at": row.6});
    ([(header::CONTENT_TYPE, "application/json")], body.to_string())
}

struct Bare(Child, SocketAddr);

impl Bare {
    fn start(url: &str) -> Self {
        let me = std::env::current_exe().expect("this program");
        let mut command = with_files(&me.to_string_lossy());
        command.arg("--bare-server").env("BARE_DATABASE", url).stdout(Stdio::piped());
        let mut child = command.spawn().expect("this program again");
        let mut line = String::new();
        std::io::BufReader::new(child.stdout.take().expect("piped"))
            .read_line(&mut line)
            .expect("an address");
        let address = line.trim().parse().expect("an address");
        Self(child, address)
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn get_by_id(report: &mut Report) {
    let start = now();
    let mut service = Service::start();
    report.note(
        "start to ready, demo data, SQLite, migrations included",
        format!("{:.2} s", start.elapsed().as_secs_f64()),
    );
    // What a service that nobody asks takes, once its threads have settled.
    std::thread::sleep(std::time::Duration::from_secs(3));
    let idle = resident_bytes(service.pid()) / 1024.0 / 1024.0;
    report.goal("resident memory, idle", format!("{idle:.0} MiB"), "≤ 60 MiB", idle <= 60.0);
    let again = service.restart_seconds();
    report.goal("start to ready, migrated", format!("{again:.2} s"), "≤ 1 s", again <= 1.0);
    let token = login(service.http);
    let made = ask(service.http, "POST", "/api/v1/tags", &token, r#"{"name":"bench"}"#);
    let id = made["id"].as_str().expect("an id").to_owned();
    let bare = Bare::start(&service.database_url());
    let (rounds, seconds) = (argument("--rounds", 5.0) as usize, argument("--seconds", 3.0));
    let (mut ratios, mut ours, mut bares) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..=rounds {
        let bare_rate = load(bare.1, &format!("/tags/{id}"), "", seconds);
        let our_rate = load(service.http, &format!("/api/v1/tags/{id}"), &token, seconds);
        eprintln!("bare {bare_rate:.0}/s, ours {our_rate:.0}/s");
        if n > 0 {
            ratios.push(our_rate / bare_rate);
            ours.push(our_rate);
            bares.push(bare_rate);
        }
    }
    let ratio = median(&ratios);
    let shown = format!("{ratio:.2} ({:.0} ÷ {:.0}/s)", median(&ours), median(&bares));
    report.goal("GET by id, requests/s ÷ bare axum with the same query", shown, "≥ 0.7", ratio >= 0.7);
}

/// Requests per second of a closed loop over keep-alive connections, on this thread.
fn load(to: SocketAddr, path: &str, token: &str, seconds: f64) -> f64 {
    let text = request(path, token);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let start = now();
        let loops = (0..CONNECTIONS).map(|_| {
            let text = text.clone();
            async move {
                let mut stream = tokio::net::TcpStream::connect(to).await.expect("to connect");
                stream.set_nodelay(true).expect("no delay");
                let (mut done, mut buffer) = (0_usize, Vec::with_capacity(4_096));
                while start.elapsed().as_secs_f64() < seconds {
                    exchange(&mut stream, &text, &mut buffer).await;
                    done += 1;
                }
                done
            }
        });
        let mut set = tokio::task::JoinSet::new();
        loops.for_each(|one| drop(set.spawn(one)));
        let done: usize = set.join_all().await.into_iter().sum();
        done as f64 / start.elapsed().as_secs_f64()
    })
}

/// Page 1,000 beside page 1 of a list of a million CDRs.
fn deep_pages(runtime: &tokio::runtime::Runtime, mysql: Option<String>, report: &mut Report) {
    let service = match &mysql {
        None => Service::start(),
        Some(server) => Service::start_on(&fresh_database(runtime, server)),
    };
    let rows = argument("--cdrs", 1_000_000.0) as usize;
    runtime.block_on(fill(&service.database_url(), rows));
    let token = login(service.http);
    let list = |after: &str| {
        let cursor = if after.is_empty() { String::new() } else { format!("&after={after}") };
        let start = now();
        let page = ask(service.http, "GET", &format!("/api/v1/cdrs?limit=50{cursor}"), &token, "");
        (start.elapsed().as_secs_f64() * 1e3, page)
    };
    let mut after = String::new();
    for _ in 0..999 {
        let (_, page) = list(&after);
        after = page["page"]["next"].as_str().expect("a next page").to_owned();
    }
    let (mut first, mut deep, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..15 {
        let one: Vec<f64> = (0..20).map(|_| list("").0).collect();
        let other: Vec<f64> = (0..20).map(|_| list(&after).0).collect();
        first.push(median(&one));
        deep.push(median(&other));
        ratios.push(median(&other) / median(&one));
    }
    let kind = if mysql.is_some() { "MariaDB" } else { "SQLite" };
    let ratio = median(&ratios);
    let shown = format!("{ratio:.2} ({:.2} ÷ {:.2} ms)", median(&deep), median(&first));
    report.goal(&format!("{rows} CDRs on {kind}: page 1,000 ÷ page 1"), shown, "≤ 1.2", ratio <= 1.2);
}

fn fresh_database(runtime: &tokio::runtime::Runtime, url: &str) -> String {
    let server = url.rsplit_once('/').expect("mysql://HOST/NAME").0;
    let name = format!("hs_bench_{}", std::process::id());
    runtime.block_on(async {
        let db = Db::connect(&format!("{server}/"), 1).await.expect("the server");
        for sql in [format!("DROP DATABASE IF EXISTS {name}"), format!("CREATE DATABASE {name}")] {
            db_read!(&db, |p| sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(p).await.map(drop))
                .expect("a database");
        }
    });
    format!("{server}/{name}")
}

/// CDRs of acme, a second apart, two at a time.
async fn fill(url: &str, rows: usize) {
    let db = Db::connect(url, 2).await.expect("the database");
    let mut done = 0;
    while done < rows {
        let mut tx = db.begin().await.expect("a transaction");
        let many = 50_000.min(rows - done);
        for piece in 0..many.div_ceil(500) {
            let from = done + piece * 500;
            let values: Vec<String> = (from..(from + 500).min(done + many))
                .map(|n| {
                    let at = 1_700_000_000_000_000_i64 + (n as i64 / 2) * 1_000_000;
                    format!(
                        "('{n:026}','acme','{n:026}','l{n}','u{n}','inbound','+15550001000','+15557770009','Caller',\
                         'support','','','support','',{at},NULL,{at},1,0,'NO ANSWER','{{}}',{at})"
                    )
                })
                .collect();
            let sql = format!(
                "INSERT INTO cdrs (id, tenant_id, call_id, linkedid, uniqueid, direction, did, caller_number, caller_name, \
                 destination, channel, dst_channel, queue, endpoint, started_at, answered_at, ended_at, duration_s, billed_s, \
                 disposition, metadata, created_at) VALUES {}",
                values.join(",")
            );
            db_tx!(&mut tx, |c| sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(c).await.map(drop))
                .expect("rows");
        }
        tx.commit().await.expect("to commit");
        done += many;
        eprintln!("{done} CDRs");
    }
    db.close().await;
}
