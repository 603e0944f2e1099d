//! Plugins and real calls: what a plugin adds to a call's processor time, and what calls and HTTP notice of four tenants
//! whose plugins use all that they may.
//!
//! `hookswitch serve` with the demo data; needs vip-router.wasm, which `scripts/build-plugins` makes (plugins/dist, or
//! HOOKSWITCH_TEST_PLUGINS). A plugin that goes beyond its limits is parked after five runs. So the neighbours' plugin
//! spins for most of the time it may, then answers: it goes on for ever.
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

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use serde_json::json;
use support::caller::Load;
use support::rest::{ask, exchange, login, login_as, request, send};
use support::service::Service;
use support::{Report, argument, cpu_seconds, median, now, percentile, thread_seconds};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

/// The demo's static route to the queue support.
const STATIC: &str = "+15550001000";
/// The demo's plugin vip-router, which sends this caller to the same queue.
const PLUGIN: &str = "+15550001006";
/// Processor time that a neighbour's run takes: the limit is 20 ms, and one that is measured beside others is charged
/// for their cache misses.
const SPIN_US: f64 = 14_000.0;
/// Instructions that it takes at most: the limit is 50 million.
const SPIN_FUEL: f64 = 45e6;
/// Calls of a neighbour at a time: as many runs of a tenant as may take long.
const CALLS: usize = 2;

fn main() -> ExitCode {
    let mut report = Report::new();
    let (rounds, seconds) = (argument("--rounds", 7.0) as usize, argument("--seconds", 2.0));
    let service = Service::start_with("vip-router.wasm");
    if argument("--only", 2.0) == 2.0 {
        with_and_without(&mut report, &service, rounds, seconds);
    }
    if argument("--only", 3.0) == 3.0 {
        beside(&mut report, &service, rounds, seconds);
    }
    report.end("Plugins and calls")
}

/// Processor microseconds of a call: while calls come, and until all of them are in the database; calls a second.
fn cost(service: &Service, number: &str, seconds: f64) -> [f64; 3] {
    let connections = argument("--connections", 64.0) as usize;
    let before = cpu_seconds(service.pid());
    let (calls, errors, took) = Load::to(number, connections).run(service.agi, seconds);
    let during = cpu_seconds(service.pid()) - before;
    service.wait_drained();
    let whole = cpu_seconds(service.pid()) - before;
    assert_eq!(errors, 0, "calls failed");
    let n = calls.len() as f64;
    [during / n * 1e6, whole / n * 1e6, n / took]
}

/// The same exchange with a plugin's decision and with a static one.
fn with_and_without(report: &mut Report, service: &Service, rounds: usize, seconds: f64) {
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for n in 0..=rounds {
        let plain = cost(service, STATIC, seconds);
        let plugin = cost(service, PLUGIN, seconds);
        eprintln!("static {plain:.1?}, plugin {plugin:.1?}: CPU during and in all (µs), calls/s");
        if n > 0 {
            without.push(plain);
            with.push(plugin);
        }
    }
    let runs = service.metric("hookswitch_plugin_runs_total{kind=\"router\",outcome=\"ok\"}");
    assert!(runs > 0.0, "vip-router decided nothing: is it built?");
    let column = |all: &[[f64; 3]], at: usize| all.iter().map(|row| row[at]).collect::<Vec<_>>();
    let ratio = |at: usize| {
        let mut all: Vec<f64> = with.iter().zip(&without).map(|(a, b)| a[at] / b[at]).collect();
        let (low, high) = (percentile(&mut all, 0.0), percentile(&mut all, 1.0));
        let both = (median(&column(&with, at)), median(&column(&without, at)));
        (median(&all), format!("({low:.2} to {high:.2}; {:.1} ÷ {:.1}", both.0, both.1))
    };
    let (during, shown) = ratio(0);
    let name = "vip-router ÷ static route, CPU per call";
    report.goal(
        &format!("{name}, during the calls"),
        format!("{during:.2} {shown} µs)"),
        "≤ 1.25",
        during <= 1.25,
    );
    let (whole, shown) = ratio(1);
    report.note(&format!("{name}, until all is in the database"), format!("{whole:.2} {shown} µs)"));
    let (rate, shown) = ratio(2);
    report.note("vip-router ÷ static route, calls/s", format!("{rate:.2} {shown}/s)"));
}

/// A router of the world that spins so many times, then leaves the call to its number's fallback.
fn spinner(times: u64) -> Vec<u8> {
    let core = format!(
        r#"(module (memory (export "memory") 2)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 65536)
  (func (export "route-call") (param i32) (result i32) (local $n i64) (local $x i64)
    (local.set $n (i64.const {times}))
    (loop $again
      (local.set $x (i64.div_u (i64.const 0x7ffffffffffffff) (i64.or (local.get $x) (i64.const 1))))
      (br_if $again (i64.ne (i64.const 0) (local.tee $n (i64.sub (local.get $n) (i64.const 1))))))
    (i64.store (i32.const 32) (local.get $x))
    (i32.store (i32.const 16) (i32.const 0)) (i32.store (i32.const 20) (i32.const 0)) i32.const 16))"#
    );
    let mut core = wat::parse_str(core).expect("a module");
    let mut resolve = wit_parser::Resolve::default();
    let wit = concat!(env!("CARGO_MANIFEST_DIR"), "/wit/1.0.0");
    let (package, _) = resolve.push_dir(wit).expect("the worlds");
    let world = resolve.select_world(&[package], Some("router")).expect("the world");
    embed_component_metadata(&mut core, &resolve, world, StringEncoding::UTF8).expect("a component");
    ComponentEncoder::default().module(&core).expect("a component").encode().expect("a component")
}

/// Makes a tenant with a number whose plugin spins.
fn neighbour(service: &Service, root: &str, n: u64) -> String {
    let (id, email) = (format!("spin{n}"), format!("admin@spin{n}.test"));
    let to = service.http;
    let tenant = json!({"id": id, "name": id, "admin_email": email, "admin_password": "hookswitch-demo-1"});
    ask(to, "POST", "/api/v1/tenants", root, &tenant.to_string());
    let token = login_as(to, &email);
    let made = ask(to, "POST", "/api/v1/plugins", &token, r#"{"name":"spins","kind":"router"}"#);
    let path = format!("/api/v1/plugins/{}/versions", made["id"].as_str().expect("an id"));
    let upload = |times: u64| {
        let made = send(to, "POST", &path, &token, ("application/wasm", &spinner(times)));
        made["number"].as_u64().expect("a version")
    };
    // Every tenant has a plugin of its own, for which this machine says how often it has to turn.
    let (few, input) = (1_000_000 + n, json!({"input": {"call": {"caller": {"number": "+15557770009"}}}}));
    let tried = upload(few);
    let test = |number: u64| ask(to, "POST", &format!("{path}/{number}/test"), &token, &input.to_string());
    let all: Vec<f64> = (0..5).map(|_| test(tried)["cpu_us"].as_f64().expect("its cost")).collect();
    let fuel = test(tried)["fuel"].as_f64().expect("its cost");
    let times = few as f64 * (SPIN_US / median(&all)).min(SPIN_FUEL / fuel);
    let number = upload(times as u64);
    eprintln!("{id} turns {times:.0} times: {}, {} µs", test(number)["outcome"], test(number)["cpu_us"]);
    ask(to, "POST", &format!("{path}/{number}/activate"), &token, "");
    let did = format!("+1555300000{n}");
    let body = json!({"number": did, "route_type": "hangup", "route_target": "17", "plugin": "spins"});
    let made = ask(to, "POST", "/api/v1/dids", &token, &body.to_string());
    assert!(made["id"].is_string(), "{made}");
    did
}

/// Microseconds of calls, and of GETs, one at a time with a pause after each: p50 and p99 of each.
fn quiet(service: &Service, get: &str, seconds: f64) -> [f64; 4] {
    let load = Load { pause: Duration::from_millis(1), ..Load::to(STATIC, 1) };
    let (mut calls, errors, _) = load.run(service.agi, seconds);
    assert_eq!(errors, 0, "calls failed");
    let mut gets = gets(service.http, get, seconds);
    let us = |all: &mut [f64], part| percentile(all, part) * 1e6;
    [us(&mut calls, 0.5), us(&mut calls, 0.99), us(&mut gets, 0.5), us(&mut gets, 0.99)]
}

fn gets(to: SocketAddr, text: &str, seconds: f64) -> Vec<f64> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut stream = tokio::net::TcpStream::connect(to).await.expect("to connect");
        stream.set_nodelay(true).expect("no delay");
        let (mut all, mut buffer, start) = (Vec::new(), Vec::with_capacity(4_096), now());
        while start.elapsed().as_secs_f64() < seconds {
            let began = now();
            exchange(&mut stream, text, &mut buffer).await;
            all.push(began.elapsed().as_secs_f64());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        all
    })
}

/// Two programs of the lowest class that do nothing but use processors, outside the service, and as many plain calls as the
/// neighbours make: what the machine itself takes from whoever has to be woken while no processor is ever at rest, and what
/// the traffic does.
fn beside_anything(service: &Service, get: &str, seconds: f64) -> [f64; 4] {
    let stop = Arc::new(AtomicBool::new(false));
    let (load, to) = (
        Load { stop: Arc::clone(&stop), pause: Duration::from_millis(20), ..Load::to(STATIC, 4 * CALLS) },
        service.agi,
    );
    let calls = std::thread::spawn(move || load.run(to, 3_600.0));
    let spinning: Vec<_> = (0..2)
        .map(|_| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                hookswitch::base::priority::come_last();
                while !stop.load(Relaxed) {
                    std::hint::black_box(0);
                }
            })
        })
        .collect();
    std::thread::sleep(Duration::from_millis(500));
    let during = quiet(service, get, seconds);
    stop.store(true, Relaxed);
    spinning.into_iter().for_each(|one| one.join().expect("a spinner"));
    assert_eq!(calls.join().expect("a caller").1, 0, "calls failed");
    during
}

/// Calls of a static route and GETs by id, alone and beside four tenants that spin.
fn beside(report: &mut Report, service: &Service, rounds: usize, seconds: f64) {
    let root = login_as(service.http, "root@hookswitch.test");
    let numbers: Vec<String> = (1..=4).map(|n| neighbour(service, &root, n)).collect();
    let token = login(service.http);
    let made = ask(service.http, "POST", "/api/v1/tags", &token, r#"{"name":"beside"}"#);
    let get = request(&format!("/api/v1/tags/{}", made["id"].as_str().expect("an id")), &token);
    let spun = || thread_seconds(service.pid()).get("plugin").copied().unwrap_or(0.0);
    let (mut ratios, mut same, mut spins) = (Vec::new(), Vec::new(), Vec::new());
    let (mut alone, mut loud, mut anything) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..=rounds {
        let before = quiet(service, &get, seconds);
        let stop = Arc::new(AtomicBool::new(false));
        let spinning: Vec<_> = (numbers.iter())
            .map(|number| {
                let load = Load { stop: Arc::clone(&stop), ..Load::to(number, CALLS) };
                let to = service.agi;
                std::thread::spawn(move || load.run(to, 3_600.0))
            })
            .collect();
        std::thread::sleep(Duration::from_millis(500));
        let (used, since) = (spun(), now());
        let during = quiet(service, &get, seconds);
        let part = (spun() - used) / since.elapsed().as_secs_f64();
        stop.store(true, Relaxed);
        let calls: usize = spinning.into_iter().map(|one| one.join().expect("a caller").0.len()).sum();
        let after = quiet(service, &get, seconds);
        let outside = beside_anything(service, &get, seconds);
        eprintln!(
            "alone {before:.0?}, beside {during:.0?}, alone {after:.0?}, beside anything {outside:.0?}; {part:.2} \
             processors spun, {calls} calls"
        );
        if n > 0 {
            let mean: [f64; 4] = std::array::from_fn(|at| f64::midpoint(before[at], after[at]));
            ratios.push(std::array::from_fn::<f64, 4, _>(|at| during[at] / mean[at]));
            same.push(std::array::from_fn::<f64, 4, _>(|at| after[at] / before[at]));
            alone.push(mean);
            loud.push(during);
            anything.push(std::array::from_fn::<f64, 4, _>(|at| outside[at] / mean[at]));
            spins.push(part);
        }
    }
    let parked = service.metric("hookswitch_plugins_parked_total");
    assert!(parked == 0.0, "neighbours went beyond their limits and were parked");
    report.note("processors that spun meanwhile, of the plugins' threads", format!("{:.2}", median(&spins)));
    let names = ["AGI, connect to close, p50", "p99", "GET by id, p50", "p99"];
    for (at, name) in names.into_iter().enumerate() {
        let column = |all: &[[f64; 4]]| all.iter().map(|row| row[at]).collect::<Vec<_>>();
        let mut all = column(&ratios);
        let ratio = median(&all);
        let mut noise = column(&same);
        let shown = format!(
            "{ratio:.2} ({:.2} to {:.2}; {:.0} ÷ {:.0} µs; alone ÷ alone {:.2} to {:.2})",
            percentile(&mut all, 0.0),
            percentile(&mut all, 1.0),
            median(&column(&loud)),
            median(&column(&alone)),
            percentile(&mut noise, 0.0),
            percentile(&mut noise, 1.0),
        );
        report.note(&format!("{name}, beside four that spin ÷ alone"), shown);
        let mut outside = column(&anything);
        let shown = format!(
            "{:.2} ({:.2} to {:.2})",
            median(&outside),
            percentile(&mut outside, 0.0),
            percentile(&mut outside, 1.0)
        );
        report.note(&format!("{name}, beside two idle-class loops outside and plain calls ÷ alone"), shown);
        // A machine without a processor at rest is slower whoever uses it: what tenants' code adds is above that.
        let mut more: Vec<f64> =
            column(&ratios).iter().zip(column(&anything)).map(|(here, there)| here / there).collect();
        let added = median(&more);
        let (least, most) = (percentile(&mut more, 0.0), percentile(&mut more, 1.0));
        let shown = format!("{added:.2} ({least:.2} to {most:.2})");
        report.goal(
            &format!("{name}, beside four that spin ÷ beside the loops outside"),
            shown,
            "≤ 1.1",
            added <= 1.1,
        );
    }
}
