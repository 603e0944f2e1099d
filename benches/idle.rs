//! What open connections cost: thousands that wait, and calls beside connections that never say anything.
//!
//! Three kinds of waiting: before the environment, in a menu that waits for a digit (environment read, two commands
//! answered), and half-open ones beside which calls are made. Resident memory is the service's, from `/proc`.
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

use std::process::ExitCode;
use std::time::Duration;

use support::caller::{environment, load, read_some};
use support::service::{Service, with_files};
use support::{Report, argument, flag, median, now, percentile, resident_bytes};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const KIB: f64 = 1024.0;

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
    let sessions = argument("--sessions", 5_000.0) as usize;
    let mut report = Report::new();
    memory(sessions, &mut report);
    beside_half_open(&mut report);
    report.end("Open connections that wait")
}

fn memory(sessions: usize, report: &mut Report) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut waiting = |what: &str, in_menu: bool| {
        let service = Service::start();
        // What the allocator and the caches take once is not a connection's.
        load(service.agi, 64, 1.0);
        service.wait_drained();
        let before = resident_bytes(service.pid());
        let open = runtime.block_on(async {
            let mut open = Vec::with_capacity(sessions);
            for _ in 0..sessions {
                let mut stream = TcpStream::connect(service.agi).await.expect("a connection");
                if in_menu {
                    enter_menu(&mut stream).await.expect("a menu");
                }
                open.push(stream);
            }
            open
        });
        while (service.metric("hookswitch_agi_open") as usize) < sessions {
            std::thread::sleep(Duration::from_millis(20));
        }
        let each = (resident_bytes(service.pid()) - before) / sessions as f64 / KIB;
        report.goal(
            &format!("{sessions} {what}: memory of each"),
            format!("{each:.1} KiB"),
            "≤ 16 KiB",
            each <= 16.0,
        );
        drop(open);
    };
    waiting("in a menu, waiting for a digit", true);
    waiting("connected, before the environment", false);
}

/// Plays the prompt and then lets the menu wait.
async fn enter_menu(stream: &mut TcpStream) -> Option<()> {
    let script = "ivr?call=01kaqh3v5w9e6kmw6v1yqkq5z1&state=d:acme:+15550001002:p&menu=main";
    stream.write_all(environment(script).as_bytes()).await.ok()?;
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        while !bytes.ends_with(b"\n") {
            read_some(stream, &mut bytes).await?;
        }
        if bytes.starts_with(b"WAIT FOR DIGIT") {
            return Some(());
        }
        stream.write_all(b"200 result=0 endpos=16000\n").await.ok()?;
    }
}

/// Calls alone and calls beside 1,000 connections that send nothing, in turns.
fn beside_half_open(report: &mut Report) {
    let half_open = argument("--half-open", 1_000.0) as usize;
    let rounds = argument("--rounds", 5.0) as usize;
    let service = Service::start();
    let (mut rates, mut p99s, mut errors) = (Vec::new(), Vec::new(), 0);
    for n in 0..=rounds {
        let mut measure = || {
            let (mut latencies, failed, took) = load(service.agi, 64, 2.0);
            errors += failed;
            let rate = latencies.len() as f64 / took;
            service.wait_drained();
            (rate, percentile(&mut latencies, 0.99))
        };
        let alone = measure();
        // The service drops a connection without environment after 5 s: each round is over by then.
        let start = now();
        let open: Vec<_> = (0..half_open)
            .map(|_| std::net::TcpStream::connect(service.agi).expect("a connection"))
            .collect();
        let beside = measure();
        assert!(start.elapsed() < Duration::from_secs(60));
        drop(open);
        if n > 0 {
            eprintln!("alone {:6.0}/s, beside {half_open} half-open {:6.0}/s", alone.0, beside.0);
            rates.push(beside.0 / alone.0);
            p99s.push(beside.1 / alone.1);
        }
    }
    let (rate, p99) = (median(&rates), median(&p99s));
    report.goal(
        &format!("calls/s beside {half_open} half-open ÷ alone"),
        format!("{rate:.2}"),
        "≥ 0.9",
        rate >= 0.9,
    );
    report.note(&format!("p99 beside {half_open} half-open ÷ alone"), format!("{p99:.2}"));
    report.goal("failed calls", errors.to_string(), "0", errors == 0);
}
