//! A real Asterisk 22 with the shipped dialplan asks the real service about every call: 100 calls a second for 30 s.
//!
//! The calls of the first run are to a number that is not in service: Asterisk refuses them (404) and carries no sound,
//! so the run measures the signalling alone. Each asks twice: `route`, and `ended` at its end. The second run, slower,
//! lets a phone answer. Needs what `scripts/lab-install` installs.
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a bench that cannot go on ends")]
#![expect(clippy::panic, clippy::print_stdout, clippy::print_stderr, reason = "a bench prints")]
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "statistics"
)]

#[path = "support/mod.rs"]
mod bench;
#[expect(dead_code, reason = "made for the end-to-end tests")]
#[path = "../tests/support/mod.rs"]
mod support;

use std::process::ExitCode;

use bench::service::Service;
use bench::{Report, argument, cpu_seconds, percentile};
use support::asterisk::{Pbx, PbxOptions};
use support::call::{Call, CallResult};
use support::phone::Phone;
use support::scenario::Behaviour;

fn main() -> ExitCode {
    let (rate, seconds) = (argument("--rate", 100.0) as u32, argument("--seconds", 30.0) as u32);
    let mut report = Report::new();
    let service = Service::start();
    let pbx = Pbx::start(&PbxOptions::new(service.agi));
    let refused = Call::to("+15550001009").times(rate * seconds, rate);
    run("refused", &service, &pbx, &refused, rate * seconds, &mut report, |result| {
        result.refused == Some(404)
    });

    let (rate, seconds) = (rate / 5, seconds / 2);
    let phone = Phone::start(&pbx, "acme-101", Behaviour::Answers { after_ms: 1, hangs_up_after_ms: None });
    let answered = Call::to("+15550001001").stay(100).times(rate * seconds, rate);
    run("answered", &service, &pbx, &answered, rate * seconds, &mut report, |result| {
        result.answered_after.is_some()
    });
    drop(phone);
    report.end("A real Asterisk 22 beside the service")
}

fn run(
    name: &str,
    service: &Service,
    pbx: &Pbx,
    calls: &Call,
    expected: u32,
    report: &mut Report,
    right: impl Fn(&CallResult) -> bool,
) {
    let pid = std::fs::read_to_string(pbx.path("run/asterisk.pid")).expect("Asterisk's pid file");
    let pid = pid.trim().parse().expect("a number");
    let written = || service.metric("hookswitch_journal_written_total");
    let before = (cpu_seconds(service.pid()), cpu_seconds(pid), written());
    let results = calls.run_all(pbx);
    pbx.wait_idle();
    service.wait_drained();
    let ours = cpu_seconds(service.pid()) - before.0;
    let theirs = cpu_seconds(pid) - before.1;
    let lost = expected as usize - results.iter().filter(|result| right(result)).count();
    // One record of the beginning and one of the end.
    let mut outcomes = std::collections::BTreeMap::new();
    for result in &results {
        *outcomes.entry((result.answered_after.is_some(), result.refused)).or_insert(0) += 1;
    }
    eprintln!("{name}: (answered, refused with): calls {outcomes:?}");
    let unwritten = f64::from(expected) * 2.0 - (written() - before.2);
    let mut waits: Vec<f64> = results
        .iter()
        .filter_map(|result| result.answered_after.or(result.ended_after))
        .map(|after| after.as_secs_f64() * 1e3)
        .collect();
    eprintln!(
        "{name}: {expected} calls, Asterisk {theirs:.2} s, hookswitch {ours:.2} s, {:.0} µs a call",
        ours / f64::from(expected) * 1e6
    );
    let row = |what: &str| format!("{name}, {expected} calls: {what}");
    report.goal(&row("lost"), lost.to_string(), "0", lost == 0);
    report.goal(&row("records missing"), unwritten.to_string(), "0", unwritten == 0.0);
    report.goal(&row("our CPU ÷ Asterisk's"), format!("{:.3}", ours / theirs), "≤ 0.1", ours <= theirs * 0.1);
    report.note(&row("INVITE to final answer, p50"), format!("{:.0} ms", percentile(&mut waits, 0.5)));
    report.note(&row("INVITE to final answer, p99"), format!("{:.0} ms", percentile(&mut waits, 0.99)));
}
