//! What `scripts/demo` runs: one real call for each demo number, or, with `--no-asterisk`, the simulator's decision for
//! each. It stands on what the end-to-end tests stand on: the real program, a real Asterisk 22, SIPp phones.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a demonstration"
)]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use hookswitch::calls::store::CallRow;
use hookswitch::routing::trace::Trace;
use support::call::{Call, CallResult};
use support::phone::Phone;
use support::scenario::Behaviour;
use support::service::{Database, Service, ServiceOptions, WEBHOOK_SECRET};
use support::world::World;

#[path = "../tests/support/mod.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod support;

/// A number, what it is there for, and what its caller does: keys, then so many milliseconds of staying.
const CALLS: [(&str, &str, &str, u64); 12] = [
    ("+15550001000", "queue support", "", 1_500),
    ("+15550001001", "endpoint 101", "", 1_500),
    ("+15550001002", "menu, key 2", "2", 2_000),
    ("+15550001003", "webhook", "", 2_000),
    ("+15550001004", "external number", "", 1_500),
    ("+15550001005", "voicemail", "#", 2_000),
    ("+15550001006", "plugin vip-router", "", 1_500),
    ("+15550001007", "plugin order-status, 4711#", "4711#", 14_000),
    ("+15550001008", "closed", "#", 2_000),
    ("+15550001009", "inactive", "", 1_500),
    ("+15550002000", "globex's queue", "", 1_500),
    ("+15550009999", "nobody's number", "", 1_500),
];

/// Before the first key: a second into the prompt.
const KEY_AFTER_MS: u64 = 1_000;

struct Row {
    number: &'static str,
    what: &'static str,
    call: String,
    decisions: Vec<Trace>,
}

fn main() -> ExitCode {
    let simulated = match std::env::args().nth(1).as_deref() {
        None => false,
        Some("--no-asterisk") => true,
        Some(other) => {
            println!("demo: unknown option {other}; scripts/demo --help");
            return ExitCode::from(64);
        }
    };
    // What went wrong and what to do about it, without the place in this source.
    std::panic::set_hook(Box::new(|panic| {
        let what = panic.payload_as_str().unwrap_or("something went wrong that has no words");
        println!("demo: {what}");
    }));
    let start = support::wait::now();
    let receiver = Receiver::start();
    say("a webhook receiver answers \"queue support\" to signed questions");
    let options =
        ServiceOptions { webhook_url: receiver.url.clone(), ..ServiceOptions::new(Database::Sqlite) };
    // scripts/demo says where they are, when they are built.
    let options =
        if std::env::var_os("HOOKSWITCH_TEST_PLUGINS").is_some() { options.with_plugins() } else { options };
    let (rows, logins) = if simulated { simulate(&options) } else { call(&options) };
    drop(receiver);
    table(&rows, simulated);
    by_hand(&logins);
    println!("\nDone in {:.0} s; everything started has been stopped.", start.elapsed().as_secs_f64());
    ExitCode::SUCCESS
}

fn say(what: &str) {
    println!("demo: {what}");
}

/// `examples/webhook_receiver.rs`, built beside this program; ends on drop.
struct Receiver {
    url: String,
    child: Child,
}

impl Receiver {
    fn start() -> Self {
        let program = std::env::current_exe().unwrap().with_file_name("webhook_receiver");
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(&program)
            .args(["127.0.0.1:0", WEBHOOK_SECRET])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the webhook receiver can't be started: use scripts/demo, which builds it");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines.next().expect("the webhook receiver ended at once").unwrap();
        let url = first.split_whitespace().last().unwrap().to_owned();
        // Read on, or it would be stuck with what it prints.
        std::thread::spawn(move || lines.for_each(drop));
        Self { url, child }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // Already gone is as good as killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn simulate(options: &ServiceOptions) -> (Vec<Row>, Logins) {
    say("loading the demo tenants into SQLite ...");
    let service = Service::start(options);
    let decide = |(number, what, keys, _): (&'static str, &'static str, &str, u64)| {
        say(&format!("deciding {number} ({what}) ..."));
        let json = service.run(&["simulate", "--json", "--did", number, "--digits", keys]);
        let decisions = serde_json::from_str(&json).expect("the simulator prints traces");
        Row { number, what, call: String::new(), decisions }
    };
    (CALLS.into_iter().map(decide).collect(), Logins::of(&service))
}

fn call(options: &ServiceOptions) -> (Vec<Row>, Logins) {
    say("starting the service on SQLite, and Asterisk ...");
    let world = World::start(options);
    let answers = Behaviour::Answers { after_ms: 300, hangs_up_after_ms: None };
    let names = ["acme-101", "acme-102", "globex-101", "globex-102", "carrier"];
    let _phones = names.map(|name| Phone::start(&world.pbx, name, answers));
    say("phones are ready; calling every number at once ...");
    let calling = CALLS.map(|(number, what, keys, stay_ms)| {
        let call = Call::to(number).digits(keys, KEY_AFTER_MS).stay(stay_ms).start(&world.pbx);
        (number, what, call)
    });
    let results = calling.map(|(number, what, call)| {
        let result = call.finish().remove(0);
        say(&format!("{number} ({what}) is over"));
        (number, what, result)
    });
    world.pbx.wait_idle();
    let calls = world.service.calls();
    let row = |(number, what, result): (&'static str, &'static str, CallResult)| {
        let call = calls.iter().find(|call| call.did == number).expect("a call has no row in the database");
        let decisions = world.service.trace(&call.id);
        Row { number, what, call: told(&result, call), decisions }
    };
    (results.into_iter().map(row).collect(), Logins::of(&world.service))
}

/// What `seed demo` tells of the demo's people.
#[derive(serde::Deserialize)]
struct Logins {
    logins: Vec<Login>,
}

#[derive(serde::Deserialize)]
struct Login {
    email: String,
    password: String,
    role: String,
    tenant: Option<String>,
}

impl Logins {
    /// As told by the service, each tried.
    fn of(service: &Service) -> Self {
        let told: Self = serde_json::from_str(&service.run(&["seed", "demo", "--json"])).unwrap();
        for Login { email, password, .. } in &told.logins {
            let body = serde_json::json!({"email": email, "password": password}).to_string();
            let (status, answer) = service.post("/api/v1/auth/login", "", &body);
            assert_eq!(status, 200, "{email} can't sign in: {answer}");
        }
        let (status, _) = service.get("/api/docs").expect("the service does not listen");
        assert_eq!(status, 200, "the API's page is missing");
        say("every login works, and the API's page is there");
        told
    }
}

/// How to look at all this without a demonstration.
fn by_hand(told: &Logins) {
    let program = std::env::current_exe().unwrap().parent().unwrap().with_file_name("hookswitch");
    let program = program.display();
    println!("\nBy hand: {program} seed demo, then {program} serve");
    println!("The API to browse and try: http://127.0.0.1:8080/api/docs; its logins:\n");
    println!("{:<22} {:<18} {:<8} role", "login", "password", "tenant");
    for Login { email, password, role, tenant } in &told.logins {
        println!("{email:<22} {password:<18} {:<8} {role}", tenant.as_deref().unwrap_or("-"));
    }
}

/// What the caller saw, and who it was.
fn told(result: &CallResult, call: &CallRow) -> String {
    let seconds = |after: Option<Duration>| after.map_or(0.0, |after| after.as_secs_f64());
    if let Some(status) = result.refused {
        return format!("SIP {status} after {:.2} s", seconds(result.ended_after));
    }
    let peer = call.answered_by.trim_start_matches("PJSIP/");
    let who = match (peer.rsplit_once('-'), call.action.as_str()) {
        (Some((phone, _)), _) => phone.to_owned(),
        (None, "voicemail") => format!("mailbox {}", call.target),
        (None, _) if !call.fallback.is_empty() => format!("the fallback ({})", call.fallback),
        (None, action) => action.to_owned(),
    };
    format!("{who} (line answered after {:.2} s)", seconds(result.answered_after))
}

fn table(rows: &[Row], simulated: bool) {
    let mut lines =
        vec![["number", "for", "the call reached", "decision", "reason", "µs"].map(str::to_owned)];
    for row in rows {
        let said: Vec<String> = row
            .decisions
            .iter()
            .map(|t| format!("{} {}", t.decision.action.as_str(), t.decision.target))
            .collect();
        let first = row.decisions.first().expect("a call has no trace");
        let last = row.decisions.last().expect("a call has no trace");
        lines.push([
            row.number.to_owned(),
            row.what.to_owned(),
            row.call.clone(),
            said.join(", then "),
            last.decision.reason.to_string(),
            format!("{:.1}", first.us),
        ]);
    }
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 6] = std::array::from_fn(width);
    println!();
    for line in &lines {
        let mut text = String::new();
        for (column, (cell, width)) in line.iter().zip(widths).enumerate() {
            if simulated && column == 2 {
                continue;
            }
            let gap = " ".repeat(width - cell.chars().count());
            text += &if column == 5 { format!("{gap}{cell}") } else { format!("{cell}{gap}  ") };
        }
        println!("{text}");
    }
    println!("\nµs: the first decision of the call, without AGI; for the webhook with the tenant's answer.");
}
