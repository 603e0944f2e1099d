//! Living calls: how fast a recorded stream of Asterisk's events is folded, whether memory stays flat over a million calls,
//! and, with a real Asterisk at 50 answered calls a second, how far the table lags behind it, what a click costs beside bare
//! ARI, and what is known two seconds after the socket was lost for thirty. Needs what `scripts/lab-install` installs.
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

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bench::service::Service;
use bench::{Report, argument, now, percentile, rest};
use hookswitch::ari::{Asterisk, Event, Links, News, Request, Watch, event};
use hookswitch::base::clock::Clock;
use hookswitch::base::secret::Secret;
use hookswitch::base::shutdown;
use hookswitch::calls::table::Table;
use hookswitch::config;
use serde_json::Value;
use support::asterisk::{ARI_PASSWORD, ARI_USER, Pbx, PbxOptions};
use support::call::Call;
use support::phone::Phone;
use support::ports;
use support::scenario::Behaviour;

/// A call through a queue, as a real Asterisk told it: 23 events.
const RECORDED: &str = include_str!("../tests/fixtures/ari/queue-call.jsonl");
/// Calls that are alive at the same time in the first part.
const ALIVE: usize = 500;

fn main() -> ExitCode {
    let only = argument("--only", 0.0);
    let mut report = Report::new();
    if only == 0.0 || only == 1.0 {
        fold(&mut report, argument("--calls", 1_000_000.0) as usize);
    }
    if only == 0.0 || only == 2.0 {
        beside_asterisk(&mut report, argument("--rate", 50.0) as u32, argument("--seconds", 20.0) as u32);
    }
    report.end("Living calls")
}

/// The recorded call with ids of its own.
fn frames(call: usize) -> Vec<String> {
    let id = format!("01arz3ndektsv4rrff{call:08x}");
    let text = RECORDED.replace("01arz3ndektsv4rrffq69g5fav", &id);
    let text = text
        .replace("\"A5\"", &format!("\"a{call}\""))
        .replace("hookswitch-1795688723.5", &format!("b{call}"));
    let text = text.replace("6ce82766-65fe-42e9-9118-69af062b2ea5", &format!("br{call}"));
    text.lines().map(str::to_owned).collect()
}

fn resident() -> f64 {
    bench::resident_bytes(std::process::id()) / 1_048_576.0
}

fn fold(report: &mut Report, calls: usize) {
    let (mut table, mut events, mut parsing, mut folding) = (Table::default(), 0_usize, 0.0, 0.0);
    let mut memory = Vec::new();
    let mut changes = 0;
    // Always so many at once, each at another place of its life.
    let mut alive: Vec<std::vec::IntoIter<String>> = (0..ALIVE).map(|n| frames(n).into_iter()).collect();
    let (mut begun, mut ended) = (ALIVE, 0);
    while ended < calls {
        let mut batch = Vec::with_capacity(ALIVE);
        for call in &mut alive {
            match call.next() {
                Some(frame) => batch.push(frame),
                None => {
                    ended += 1;
                    if begun < calls {
                        *call = frames(begun).into_iter();
                        begun += 1;
                    }
                }
            }
        }
        if batch.is_empty() && begun >= calls {
            break;
        }
        let start = now();
        let told: Vec<event::Told> = batch.iter().map(|text| event::parse(text).expect("an event")).collect();
        let middle = now();
        for told in &told {
            changes += table.take("pbx", told).len();
        }
        folding += middle.elapsed().as_secs_f64();
        parsing += (middle - start).as_secs_f64();
        events += told.len();
        if ended / (calls / 10).max(1) > memory.len() {
            memory.push(resident());
            eprintln!("{ended} calls, {events} events, {:.0} MiB", memory[memory.len() - 1]);
        }
    }
    let rate = events as f64 / (parsing + folding);
    report.goal(
        "events read and folded a second, one core",
        format!("{rate:.0}"),
        "≥ 20,000",
        rate >= 20_000.0,
    );
    report.note("of it reading JSON", format!("{:.0} %", parsing / (parsing + folding) * 100.0));
    report.note("changes told", format!("{:.2} a call", changes as f64 / calls as f64));
    let (first, last) = (memory.first().copied().unwrap_or_default(), resident());
    let flat = last <= first * 1.1 + 8.0;
    report.goal(
        &format!("memory after a tenth and after all of {calls} calls"),
        format!("{first:.0} and {last:.0} MiB"),
        "flat",
        flat,
    );
    report.goal("legs left", table.len().to_string(), "0", table.is_empty());
}

/// Passes bytes between the service and Asterisk, until it is cut.
struct Relay {
    address: SocketAddr,
    cut: Arc<AtomicBool>,
}

impl Relay {
    fn start(to: u16) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let cut = Arc::new(AtomicBool::new(false));
        let is_cut = Arc::clone(&cut);
        std::thread::spawn(move || {
            for from in listener.incoming().map_while(Result::ok) {
                if is_cut.load(Ordering::SeqCst) {
                    continue;
                }
                let Ok(into) = std::net::TcpStream::connect(("127.0.0.1", to)) else { continue };
                for (mut a, mut b) in [(from.try_clone().unwrap(), into.try_clone().unwrap()), (into, from)] {
                    a.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
                    a.set_nodelay(true).unwrap();
                    let is_cut = Arc::clone(&is_cut);
                    std::thread::spawn(move || {
                        let mut bytes = vec![0; 65_536];
                        loop {
                            match std::io::Read::read(&mut a, &mut bytes) {
                                Ok(0) => break,
                                Ok(n) => {
                                    if std::io::Write::write_all(&mut b, &bytes[..n]).is_err() {
                                        break;
                                    }
                                }
                                Err(e)
                                    if matches!(
                                        e.kind(),
                                        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                                    ) => {}
                                Err(_) => break,
                            }
                            if is_cut.load(Ordering::SeqCst) {
                                break;
                            }
                        }
                        let _ = b.shutdown(std::net::Shutdown::Both);
                        let _ = a.shutdown(std::net::Shutdown::Both);
                    });
                }
            }
        });
        Self { address, cut }
    }
}

/// When each channel rang first.
#[derive(Default)]
struct Rings(Mutex<HashMap<String, Instant>>);

impl Watch for Rings {
    fn hear(&self, _: &Arc<Asterisk>, news: News) {
        if let News::Told(told) = news
            && let Event::ChannelStateChange { channel } = told.event
            && channel.state == "Ringing"
        {
            self.0.lock().unwrap().entry(channel.id).or_insert_with(now);
        }
    }
}

fn wait_for<T>(what: &str, mut see: impl FnMut() -> Option<T>) -> T {
    let start = now();
    loop {
        if let Some(seen) = see() {
            return seen;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn leak(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

fn beside_asterisk(report: &mut Report, rate: u32, seconds: u32) {
    let [port] = ports::free();
    let relay = Relay::start(port);
    let service = Service::start_as(
        "",
        &[
            ("HOOKSWITCH_ARI__PBX__URL", leak(format!("http://{}", relay.address))),
            ("HOOKSWITCH_ARI__PBX__USERNAME", ARI_USER),
            ("HOOKSWITCH_ARI__PBX__PASSWORD", ARI_PASSWORD),
            ("HOOKSWITCH_ARI__PBX__APP", "hookswitch"),
        ],
    );
    let pbx = Pbx::start(&PbxOptions::new(service.agi).dialled_at(port));
    let token = rest::login_as(service.http, "supervisor@acme.test");
    let get = |path: &str| rest::ask(service.http, "GET", path, &token, "");
    let connected = || get("/api/v1/asterisks")["data"][0]["connected"] == true;
    wait_for("Asterisk to be connected", || connected().then_some(()));
    let phone = Phone::start(&pbx, "acme-101", Behaviour::Answers { after_ms: 1, hangs_up_after_ms: None });
    let other = Phone::start(&pbx, "acme-102", Behaviour::Rejects(486));
    let load = |seconds: u32| Call::to("+15550001001").stay(1_000).times(rate * seconds, rate).start(&pbx);

    let before = lags(&service);
    let calling = load(seconds);
    let clicks = clicks(&service, &token, port);
    let results = calling.finish();
    let answered = results.iter().filter(|result| result.answered_after.is_some()).count();
    pbx.wait_idle();
    lag(report, &before, &lags(&service));
    report.goal(
        "calls answered",
        format!("{answered} of {}", results.len()),
        "all",
        answered == results.len(),
    );
    let (mut ours, mut bare) = clicks;
    let (ours, bare) = (percentile(&mut ours, 0.5), percentile(&mut bare, 0.5));
    report.note("POST /calls to the first ring, p50", format!("{ours:.1} ms"));
    report.note("bare ARI to the first ring, p50", format!("{bare:.1} ms"));
    report.goal("more than bare ARI", format!("{:.1} ms", ours - bare), "≤ 150 ms", ours - bare <= 150.0);
    drop(other);
    loss(report, &service, &pbx, &relay, &token, load(50));
    drop(phone);
}

/// Events by the longest lag of their class, cumulated.
fn lags(service: &Service) -> BTreeMap<u64, f64> {
    let of = |le: &str| service.metric(&format!("hookswitch_ari_lag_seconds_bucket{{le=\"{le}\"}}"));
    [("0.005", 5), ("0.02", 20), ("0.05", 50), ("+Inf", u64::MAX)]
        .into_iter()
        .map(|(le, ms)| (ms, of(le)))
        .collect()
}

fn lag(report: &mut Report, before: &BTreeMap<u64, f64>, after: &BTreeMap<u64, f64>) {
    let since = |ms: u64| after[&ms] - before[&ms];
    let share = |ms: u64| since(ms) / since(u64::MAX) * 100.0;
    report.note("events", format!("{:.0}", since(u64::MAX)));
    report.note("known within 5 ms of Asterisk's own time", format!("{:.2} %", share(5)));
    report.goal("known within 50 ms", format!("{:.2} %", share(50)), "≥ 99 %", share(50) >= 99.0);
}

/// From asking to ringing, in milliseconds: through the API and straight at Asterisk, in turns.
fn clicks(service: &Service, token: &str, port: u16) -> (Vec<f64>, Vec<f64>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let _inside = runtime.enter();
    let group = config::Ari {
        url: Some(format!("http://127.0.0.1:{port}")),
        username: ARI_USER.to_owned(),
        password: Secret::new(ARI_PASSWORD),
        app: "observer".to_owned(),
    };
    let links = Links::new(&[("pbx".to_owned(), group)].into(), Clock::system());
    let rings = Arc::new(Rings::default());
    let watch: Arc<dyn Watch> = rings.clone();
    let (_stopper, stopping) = shutdown::channel();
    links.start(&watch, &stopping);
    let asterisk = Arc::clone(links.get("pbx").unwrap());
    wait_for("the observer to be connected", || asterisk.is_connected().then_some(()));
    std::thread::sleep(Duration::from_millis(500));
    let rang = |channel: &str| wait_for("a phone to ring", || rings.0.lock().unwrap().get(channel).copied());
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for n in 0..25 {
        let start = now();
        let body = r#"{"from":"101","to":"102"}"#;
        let made = rest::ask(service.http, "POST", "/api/v1/calls", token, body);
        let call = made["call_id"].as_str().unwrap_or_else(|| panic!("{made}"));
        ours.push((rang(&format!("hs-pbx-{call}")) - start).as_secs_f64() * 1e3);
        let start = now();
        let request = Request::post("channels")
            .with("endpoint", "PJSIP/acme-101")
            .with("context", "hookswitch-internal")
            .with("extension", "102")
            .with("priority", 1)
            .with("channelId", format!("bare-{n}"));
        runtime.block_on(asterisk.ask(request)).unwrap();
        bare.push((rang(&format!("bare-{n}")) - start).as_secs_f64() * 1e3);
        std::thread::sleep(Duration::from_millis(200));
    }
    (ours, bare)
}

/// The ids of channels that call, by Asterisk and by the service.
fn channels(pbx: &Pbx) -> BTreeSet<String> {
    let shown = pbx.cli("core show channels concise");
    let lines = shown.lines().filter(|line| line.starts_with("PJSIP/"));
    lines.filter_map(|line| line.rsplit('!').next().map(str::to_owned)).collect()
}

fn known(calls: &Value) -> BTreeSet<String> {
    let calls = calls["data"].as_array().unwrap().iter();
    let legs = calls.flat_map(|call| call["legs"].as_array().unwrap().clone());
    legs.map(|leg| leg["uniqueid"].as_str().unwrap().to_owned()).collect()
}

fn loss(
    report: &mut Report,
    service: &Service,
    pbx: &Pbx,
    relay: &Relay,
    token: &str,
    calling: support::call::Calling,
) {
    let get = |path: &str| rest::ask(service.http, "GET", path, token, "");
    std::thread::sleep(Duration::from_secs(8));
    relay.cut.store(true, Ordering::SeqCst);
    std::thread::sleep(Duration::from_secs(30));
    // From here on Asterisk can be reached; when it is, is the service's business.
    relay.cut.store(false, Ordering::SeqCst);
    let back = now();
    wait_for("the socket to be back", || {
        (get("/api/v1/asterisks")["data"][0]["connected"] == true).then_some(())
    });
    report.note("connected again", format!("{:.2} s", back.elapsed().as_secs_f64()));
    // Calls come and go meanwhile: what both said before and after is compared.
    let equal = wait_for("the same channels", || {
        let (before, ours, after) = (channels(pbx), known(&get("/api/v1/calls/live")), channels(pbx));
        let ghosts = ours.difference(&before).filter(|id| !after.contains(*id)).count();
        let missing = before.intersection(&after).filter(|id| !ours.contains(*id)).count();
        (ghosts == 0 && missing == 0 && !ours.is_empty()).then(|| back.elapsed())
    });
    report.goal(
        "the same channels as Asterisk, after it can be reached again",
        format!("{:.2} s", equal.as_secs_f64()),
        "≤ 2 s",
        equal <= Duration::from_secs(2),
    );
    let results = calling.finish();
    pbx.wait_idle();
    std::thread::sleep(Duration::from_secs(2));
    service.wait_drained();
    let left = known(&get("/api/v1/calls/live")).len();
    report.goal("channels left that are none", left.to_string(), "0", left == 0);
    let (started, ended) = (told(&get, "call.started"), told(&get, "call.ended"));
    let missing = started.keys().filter(|call| !ended.contains_key(*call)).count();
    let twice = ended.values().filter(|times| **times != 1).count();
    report.goal("calls that began", started.len().to_string(), "all", started.len() >= results.len());
    report.goal("of them without the event of their end", missing.to_string(), "0", missing == 0);
    report.goal("ends told more than once", twice.to_string(), "0", twice == 0);
}

/// How often each call has an event of a type.
fn told(get: &impl Fn(&str) -> Value, kind: &str) -> HashMap<String, u32> {
    let (mut found, mut after) = (HashMap::new(), String::new());
    loop {
        let page = get(&format!("/api/v1/events?types={kind}&limit=200{after}"));
        for event in page["data"].as_array().unwrap() {
            *found.entry(event["data"]["call_id"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        let next = format!("&after={}", page["page"]["next"].as_str().unwrap());
        if next == std::mem::replace(&mut after, next.clone()) {
            return found;
        }
    }
}
