//! A real Asterisk 22 with the shipped dialplan asks the real service about every call: 100 calls a second for 30 s.
//!
//! The calls of the first run are to a number that is not in service: Asterisk refuses them (404) and carries no sound,
//! so the run measures the signalling alone. Each asks twice: `route`, and `ended` at its end. The second run, slower,
//! lets a phone answer. Beside the first run, the same calls ask a server that decides nothing: what FastAGI itself costs
//! behind this Asterisk. Needs what `scripts/lab-install` installs.
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

use std::net::SocketAddr;
use std::process::ExitCode;

use bench::bare::{self, Bare};
use bench::service::Service;
use bench::{Report, argument, cpu_seconds, flag, percentile, thread_seconds};
use support::asterisk::{Pbx, PbxOptions};
use support::call::{Call, CallResult};
use support::phone::Phone;
use support::scenario::Behaviour;

fn main() -> ExitCode {
    if flag(bare::FLAG) {
        bare::serve();
        return ExitCode::SUCCESS;
    }
    let (rate, seconds) = (argument("--rate", 100.0) as u32, argument("--seconds", 30.0) as u32);
    let mut report = Report::new();
    let (service, bare) = (Service::start(), Bare::start());
    let pbx = Pbx::start(&PbxOptions::new(service.agi));
    let refused = Run { name: "refused", calls: Call::to("+15550001009"), rate, seconds };
    let is_refused = |result: &CallResult| result.refused == Some(404);
    let asked = |agi: SocketAddr| pbx.cli(&format!("dialplan set global HS_AGI {agi}"));

    asked(bare.address);
    let ceiling = refused.measure("bare server, refused", bare.pid(), &pbx, || {});
    assert!(ceiling.results.iter().all(is_refused), "the bare server must refuse every call");
    asked(service.agi);
    let ours = refused.report(&service, &pbx, &mut report, is_refused);
    let ratio = ours.server_us / ceiling.server_us;
    let name = |what: &str| format!("refused: {what}");
    report.note(&name("bare server's CPU ÷ Asterisk's"), format!("{:.3}", ceiling.share));
    report.note(&name("our CPU ÷ the bare server's"), format!("{ratio:.2}"));

    let calls = Call::to("+15550001001").stay(100);
    let answered = Run { name: "answered", calls, rate: rate / 5, seconds: seconds / 2 };
    let phone = Phone::start(&pbx, "acme-101", Behaviour::Answers { after_ms: 1, hangs_up_after_ms: None });
    answered.report(&service, &pbx, &mut report, |result| result.answered_after.is_some());
    drop(phone);
    report.end("A real Asterisk 22 beside the service")
}

/// Calls that all have the same fate.
struct Run {
    name: &'static str,
    calls: Call,
    rate: u32,
    seconds: u32,
}

/// What they cost.
struct Cost {
    results: Vec<CallResult>,
    /// Processor microseconds of a call, of the server that was asked.
    server_us: f64,
    /// Its processor time ÷ Asterisk's.
    share: f64,
}

impl Run {
    /// Makes the calls and waits until all is done.
    fn measure(&self, what: &str, server: u32, pbx: &Pbx, settle: impl FnOnce()) -> Cost {
        let pid = std::fs::read_to_string(pbx.path("run/asterisk.pid")).expect("Asterisk's pid file");
        let pid = pid.trim().parse().expect("a number");
        let before = (cpu_seconds(server), cpu_seconds(pid), thread_seconds(server));
        let results = self.calls.clone().times(self.rate * self.seconds, self.rate).run_all(pbx);
        pbx.wait_idle();
        settle();
        let (ours, theirs) = (cpu_seconds(server) - before.0, cpu_seconds(pid) - before.1);
        let server_us = ours / f64::from(self.rate * self.seconds) * 1e6;
        eprintln!("{what}: Asterisk {theirs:.2} s, server {ours:.2} s, {server_us:.0} µs a call");
        for (name, seconds) in thread_seconds(server) {
            let us =
                (seconds - before.2.get(&name).unwrap_or(&0.0)) / f64::from(self.rate * self.seconds) * 1e6;
            eprintln!("{what}: thread {name}: {us:.0} µs a call");
        }
        Cost { results, server_us, share: ours / theirs }
    }

    /// The same, asking the service, with what is expected of it.
    fn report(
        &self,
        service: &Service,
        pbx: &Pbx,
        report: &mut Report,
        right: impl Fn(&CallResult) -> bool,
    ) -> Cost {
        let expected = self.rate * self.seconds;
        let written = || service.metric("hookswitch_journal_written_total");
        let before = written();
        let cost = self.measure(self.name, service.pid(), pbx, || {
            service.wait_drained();
        });
        let results = &cost.results;
        let lost = expected as usize - results.iter().filter(|result| right(result)).count();
        let mut outcomes = std::collections::BTreeMap::new();
        for result in results {
            *outcomes.entry((result.answered_after.is_some(), result.refused)).or_insert(0) += 1;
        }
        eprintln!("{}: (answered, refused with): calls {outcomes:?}", self.name);
        // One record of the beginning and one of the end.
        let unwritten = f64::from(expected) * 2.0 - (written() - before);
        let mut waits: Vec<f64> = results
            .iter()
            .filter_map(|result| result.answered_after.or(result.ended_after))
            .map(|after| after.as_secs_f64() * 1e3)
            .collect();
        let row = |what: &str| format!("{}, {expected} calls: {what}", self.name);
        let share = cost.share;
        report.goal(&row("lost"), lost.to_string(), "0", lost == 0);
        report.goal(&row("records missing"), unwritten.to_string(), "0", unwritten == 0.0);
        report.goal(&row("our CPU ÷ Asterisk's"), format!("{share:.3}"), "≤ 0.1", share <= 0.1);
        report.note(&row("INVITE to final answer, p50"), format!("{:.0} ms", percentile(&mut waits, 0.5)));
        report.note(&row("INVITE to final answer, p99"), format!("{:.0} ms", percentile(&mut waits, 0.99)));
        cost
    }
}
