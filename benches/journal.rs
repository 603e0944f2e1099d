//! The journal: what a record costs until it is in the file, and how fast records reach the database. For information;
//! the bare ceiling of an append is a thread that writes the same bytes and syncs as often.
//!
//! With `HOOKSWITCH_TEST_MYSQL_URL` the drain is measured into that MySQL or MariaDB too. Its tables are filled: give
//! it a database made for tests.
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

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use hookswitch::base::clock::Clock;
use hookswitch::base::ids::{IdSource, TenantId};
use hookswitch::base::shutdown;
use hookswitch::calls::store::Calls;
use hookswitch::calls::{CallAndDecision, Decided, Direction, Ended, Record, Started};
use hookswitch::db::Db;
use hookswitch::events::News;
use hookswitch::journal::{Folder, Journal, Options, drain};
use support::{Report, argument, cpu_seconds, median, now, percentile};

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let mut report = Report::new();
    runtime.block_on(async {
        append(&mut report).await;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let url = format!("sqlite://{}", folder.path().join("bench.db").display());
        drained("SQLite", &url, &mut report).await;
        match std::env::var("HOOKSWITCH_TEST_MYSQL_URL") {
            Ok(url) if !url.is_empty() => drained("MariaDB", &url, &mut report).await,
            _ => {
                report.note("drain into MariaDB", "not measured: HOOKSWITCH_TEST_MYSQL_URL is not set".into())
            }
        }
    });
    report.end("The journal")
}

fn open(folder: &std::path::Path, ids: &IdSource) -> Journal {
    let options = Options {
        folder: folder.join("journal"),
        max_bytes: 1 << 30,
        segment_bytes: 16 << 20,
        sync: Duration::from_millis(10),
        deadline: Duration::from_millis(250),
    };
    Folder::take(options, || ids.next()).and_then(|folder| folder.open(0)).expect("a journal")
}

/// A call with a trace of the usual size: 1.5 KB together.
fn begun(ids: &IdSource) -> (Started, Vec<u8>) {
    let steps = r#"{"check":"limits","outcome":"pass","us":0.31},"#.repeat(14);
    let trace = format!(r#"{{"hook":"route","steps":[{}{{}}]}}"#, steps);
    let at_us = Clock::system().now_us();
    let started = Started {
        id: ids.next(),
        direction: Direction::Inbound,
        did: "+15550001000".into(),
        caller: "+15557770009".into(),
        caller_name: "Caller".into(),
        channel: "PJSIP/carrier-00000011".into(),
        uniqueid: format!("{at_us}.17"),
        linkedid: format!("{at_us}.17"),
        language: "en".into(),
        at_us,
    };
    let decided = Decided {
        id: started.id.clone(),
        tenant: TenantId::parse("acme").ok(),
        hook: "route".into(),
        action: "queue".into(),
        target: "acme-support".into(),
        reason: "static".into(),
        at_us,
        record: false,
        trace: serde_json::value::RawValue::from_string(trace).expect("JSON"),
        runs: Vec::new(),
    };
    let record: Record = Record::Began(CallAndDecision { started: started.clone(), decided });
    (started, serde_json::to_vec(&record).expect("JSON"))
}

fn ended(started: &Started) -> Vec<u8> {
    let ended = Ended {
        id: Some(started.id.clone()),
        uniqueid: started.uniqueid.clone(),
        at_us: started.at_us + 60_000_000,
        by: "hook".into(),
        cause: Some(16),
        disposition: "ANSWERED".into(),
        duration_ms: Some(60_000),
        ..Ended::default()
    };
    let record: Record = Record::Ended(ended);
    serde_json::to_vec(&record).expect("JSON")
}

async fn append(report: &mut Report) {
    let (folder, ids) = (tempfile::tempdir().expect("a temporary folder"), IdSource::new(Clock::system()));
    let journal = open(folder.path(), &ids);
    let payload = begun(&ids).1;
    let mut file = std::fs::File::create(folder.path().join("bare")).expect("a file");
    let (mut p50s, mut p99s, mut bares, mut syncs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..argument("--rounds", 5.0) as usize {
        let (mut ours, mut bare, mut sync) = (Vec::new(), Vec::new(), Vec::new());
        for n in 0..5_000 {
            let start = now();
            journal.append(payload.clone()).await.expect("an append");
            ours.push(start.elapsed().as_secs_f64() * 1e6);
            let start = now();
            file.write_all(&payload).expect("a write");
            bare.push(start.elapsed().as_secs_f64() * 1e6);
            if n % 50 == 0 {
                let start = now();
                file.sync_data().expect("a sync");
                sync.push(start.elapsed().as_secs_f64() * 1e6);
            }
        }
        p50s.push(percentile(&mut ours, 0.5));
        p99s.push(percentile(&mut ours, 0.99));
        bares.push(percentile(&mut bare, 0.5));
        syncs.push(percentile(&mut sync, 0.5));
    }
    report.note("append, one at a time: p50", format!("{:.0} µs", median(&p50s)));
    report.note("append, one at a time: p99", format!("{:.0} µs", median(&p99s)));
    report.note("bare write of the same bytes: p50", format!("{:.0} µs", median(&bares)));
    report.note("bare fdatasync: p50", format!("{:.0} µs", median(&syncs)));
    report.note(
        "append p50 ÷ bare write and fdatasync",
        format!("{:.2}", median(&p50s) / (median(&bares) + median(&syncs))),
    );
}

/// Calls that begin, 64 waiting at a time, each ending some thousand calls later, as in life.
async fn drained(name: &str, url: &str, report: &mut Report) {
    let calls = argument("--calls", 40_000.0) as usize;
    let (folder, clock) = (tempfile::tempdir().expect("a temporary folder"), Clock::system());
    let ids = IdSource::new(clock.clone());
    let db = Db::connect(url, 4).await.expect("the database");
    db.migrate().await.expect("the schema");
    let journal = open(folder.path(), &ids);
    let mut payloads = Vec::new();
    let mut live = std::collections::VecDeque::new();
    for _ in 0..calls {
        let (started, payload) = begun(&ids);
        payloads.push(payload);
        live.push_back(started);
        if live.len() > 3_000 {
            payloads.extend(live.pop_front().map(|started| ended(&started)));
        }
    }
    let records = payloads.len();
    let start = now();
    let mut waiting = tokio::task::JoinSet::new();
    for payload in payloads {
        if waiting.len() >= 64 {
            waiting.join_next().await.expect("a task").expect("an append");
        }
        let journal = journal.clone();
        waiting.spawn(async move {
            journal.append(payload).await.expect("an append");
        });
    }
    while waiting.join_next().await.is_some() {}
    report.note(
        &format!("{name}: append, 64 at a time"),
        format!("{:.0} records/s", records as f64 / start.elapsed().as_secs_f64()),
    );
    let (stopper, stopping) = shutdown::channel();
    let me = std::process::id();
    let (start, cpu) = (now(), cpu_seconds(me));
    let draining = tokio::spawn(drain::run(
        journal.clone(),
        Calls {
            db: db.clone(),
            clock,
            ids,
            live: std::sync::Arc::default(),
            news: News::default(),
            sounds: Default::default(),
        },
        stopping,
    ));
    while journal.drained() < journal.last_written() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (took, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds(me) - cpu);
    report.note(
        &format!("{name}: drain, paced, a call's begin and end"),
        format!("{:.0} records/s", records as f64 / took),
    );
    report.note(&format!("{name}: CPU of ours per record"), format!("{:.1} µs", cpu / records as f64 * 1e6));
    stopper.stop();
    let left = draining.await.expect("the drain");
    report.goal(&format!("{name}: records left behind"), left.to_string(), "0", left == 0);
    db.close().await;
}
