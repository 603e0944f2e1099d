//! The whole FastAGI exchange of a static route: `hookswitch serve` beside a bare tokio server that decides nothing.
//!
//! One load thread, closed loop: connect, environment, read the command, answer it, wait for the close. Rounds alternate
//! between the two servers. Our rounds begin with an empty journal and are followed by its drain, so that the bare
//! server's rounds have the machine to themselves; the drain's processor time is counted as ours.
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
use std::process::{Child, Command, ExitCode, Stdio};

use support::caller::{load, read_some};
use support::service::{Service, with_files};
use support::{Report, argument, cpu_seconds, flag, median, percentile};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

/// As long as a real answer of ours.
const COMMAND: &[u8] = b"EXEC MSet \"HS_CALL_ID=01kaqh3v5w9e6kmw6v1yqkq5z1,HS_TENANT=acme,HS_TARGET=acme-support,HS_TIMEOUT=,\
    HS_OPTIONS=,HS_RECORD=0,HS_MESSAGE=,HS_LANGUAGE=en,HS_STATE=d:+15550001000:p,HS_REASON=static,HS_ACTION=queue\"\n";

/// A round's connection that took this long waited for TCP to send its SYN again.
const SYN_RETRY_S: f64 = 0.95;

fn main() -> ExitCode {
    if flag("--bare-server") {
        bare_server();
        return ExitCode::SUCCESS;
    }
    let mut report = Report::new();
    for connections in [64, 512].into_iter().filter(|c| argument("--only", *c as f64) == *c as f64) {
        compare(connections, &mut report);
    }
    report.end("FastAGI, static route: hookswitch ÷ bare tokio server")
}

/// The ceiling: the exchange and nothing else, on one thread.
fn bare_server() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_nodelay(true).expect("no delay");
        socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
        let listener = socket.listen(4_096).expect("to listen");
        println!("{}", listener.local_addr().expect("an address"));
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            tokio::spawn(bare_session(stream));
        }
    });
}

async fn bare_session(mut stream: TcpStream) -> Option<()> {
    let mut bytes = Vec::with_capacity(2_048);
    while !bytes.ends_with(b"\n\n") {
        read_some(&mut stream, &mut bytes).await?;
    }
    stream.write_all(COMMAND).await.ok()?;
    bytes.clear();
    while !bytes.ends_with(b"\n") {
        read_some(&mut stream, &mut bytes).await?;
    }
    Some(())
}

struct Bare {
    child: Child,
    address: SocketAddr,
}

impl Bare {
    fn start() -> Self {
        let me = std::env::current_exe().expect("this program");
        let mut command: Command = with_files(&me.to_string_lossy());
        let mut child =
            command.arg("--bare-server").stdout(Stdio::piped()).spawn().expect("this program again");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("piped");
        std::io::BufReader::new(stdout).read_line(&mut line).expect("an address");
        Self { child, address: line.trim().parse().expect("an address") }
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What one server did in one round.
#[derive(Default)]
struct Round {
    rate: f64,
    p50_us: f64,
    p99_us: f64,
    max_s: f64,
    /// Processor microseconds per call while calls came.
    cpu_us: f64,
    /// And until the journal was empty again.
    whole_cpu_us: f64,
    drain_s: f64,
    errors: usize,
    retries: usize,
}

fn compare(connections: usize, report: &mut Report) {
    let (rounds, seconds) = (argument("--rounds", 5.0) as usize, argument("--seconds", 3.0));
    let (bare, service) = (Bare::start(), Service::start());
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    for n in 0..=rounds {
        let their = round(bare.address, bare.child.id(), connections, seconds, || 0.0);
        let our = round(service.agi, service.pid(), connections, seconds, || service.wait_drained());
        if n > 0 {
            for (name, r) in [("bare", &their), ("hookswitch", &our)] {
                eprintln!(
                    "{name:>10} {connections:>3}: {:6.0}/s p50 {:6.0} p99 {:6.0} µs max {:6.1} ms cpu {:5.1} / {:5.1} µs drain {:4.1} s",
                    r.rate,
                    r.p50_us,
                    r.p99_us,
                    r.max_s * 1e3,
                    r.cpu_us,
                    r.whole_cpu_us,
                    r.drain_s
                );
            }
            theirs.push(their);
            ours.push(our);
        }
    }
    // Each round against its neighbour, so that the machine's drift falls out.
    let ratio = |f: fn(&Round) -> f64| {
        median(&ours.iter().zip(&theirs).map(|(o, t)| f(o) / f(t)).collect::<Vec<_>>())
    };
    let (rate, p50, p99) = (ratio(|r| r.rate), ratio(|r| r.p50_us), ratio(|r| r.p99_us));
    let (cpu, whole) = (ratio(|r| r.cpu_us), ratio(|r| r.whole_cpu_us));
    let sum = |all: &[Round], f: fn(&Round) -> usize| all.iter().map(f).sum::<usize>();
    let (errors, retries) = (sum(&ours, |r| r.errors), sum(&ours, |r| r.retries));
    let name = |what: &str| format!("{connections} connections: {what}");
    report.goal(&name("calls/s"), format!("{rate:.2}"), "≥ 0.85", rate >= 0.85);
    report.note(&name("p50"), format!("{p50:.2}"));
    if connections == 64 {
        report.goal(&name("p99"), format!("{p99:.2}"), "≤ 1.5", p99 <= 1.5);
        report.goal(&name("CPU per call, during the calls"), format!("{cpu:.2}"), "≤ 2", cpu <= 2.0);
    } else {
        report.note(&name("p99"), format!("{p99:.2}"));
        report.note(&name("CPU per call, during the calls"), format!("{cpu:.2}"));
    }
    report.note(&name("CPU per call, until all is in the database"), format!("{whole:.2}"));
    report.note(&name("drain after a round of calls"), {
        let drains: Vec<f64> = ours.iter().map(|r| r.drain_s / seconds).collect();
        format!("{:.2} of the round", median(&drains))
    });
    report.goal(&name("failed calls"), errors.to_string(), "0", errors == 0);
    let bare_retries = sum(&theirs, |r| r.retries);
    report.goal(
        &name("waits for a SYN retry"),
        format!("{retries} (bare: {bare_retries})"),
        "0",
        retries == 0,
    );
    let lost = service.metric("hookswitch_journal_lost_total");
    report.goal(&name("records lost"), format!("{lost}"), "0", lost == 0.0);
}

/// Calls for `seconds`, `connections` at a time; then waits for `settle`.
fn round(to: SocketAddr, pid: u32, connections: usize, seconds: f64, settle: impl FnOnce() -> f64) -> Round {
    let cpu_before = cpu_seconds(pid);
    let (mut latencies, errors, took) = load(to, connections, seconds);
    let cpu = cpu_seconds(pid) - cpu_before;
    let drain_s = settle();
    let whole = cpu_seconds(pid) - cpu_before;
    let calls = latencies.len().max(1) as f64;
    let retries = latencies.iter().filter(|s| **s > SYN_RETRY_S).count();
    Round {
        rate: latencies.len() as f64 / took,
        p50_us: percentile(&mut latencies, 0.5) * 1e6,
        p99_us: percentile(&mut latencies, 0.99) * 1e6,
        max_s: latencies.last().copied().unwrap_or(0.0),
        cpu_us: cpu / calls * 1e6,
        whole_cpu_us: whole / calls * 1e6,
        drain_s,
        errors,
        retries,
    }
}
