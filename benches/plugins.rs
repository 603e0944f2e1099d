//! Plugins: what a run costs beside bare wasmtime, what spinning neighbours cost a good one, what sleeps and idles hold.
//!
//! `cargo bench --bench plugins` needs what `scripts/build-plugins` makes (plugins/dist, or HOOKSWITCH_TEST_PLUGINS).
#![expect(
    clippy::expect_used,
    clippy::panic,
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

/// As in the service.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hookswitch::sandbox::types::{Call, Contact, Decision, Failure, Level, Party};
use hookswitch::sandbox::{
    Answer, Answering, Ask, Grants, Host, Input, Job, Language, Limits, Nobody, Options, Outcome, Program,
    Sandbox, Settings, Share, World,
};
use support::{Report, argument, flag, median, now, percentile, resident_bytes};
use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store};

/// The demo's router as a script: the same questions as the Rust one.
const SCRIPT: &str = "export function routeCall(call) {
    const number = call.caller.number ?? '';
    const contact = contacts.byNumber(number);
    const vip = settings.getList('vip').includes(number) || (contact?.tags.includes('vip') ?? false);
    const target = vip ? {tag: 'endpoint', val: settings.get('endpoint') ?? '101'} : {tag: 'queue', val: settings.get('queue') ?? 'support'};
    log.write('info', `${number} is ${vip ? 'a VIP' : 'not a VIP'}`);
    return {tag: 'route', val: {steps: [{target, timeout: 30}], reason: vip ? 'vip' : 'not vip', variables: []}};
}";

/// Knows nobody, at once.
struct Quick;

impl Host for Quick {
    fn ask<'a>(&'a self, _: &'a Ask) -> Answering<'a> {
        Box::pin(std::future::ready(Ok(Answer::Contact(None))))
    }
}

/// Never answers.
struct Asleep(AtomicU64);

impl Host for Asleep {
    fn ask<'a>(&'a self, ask: &'a Ask) -> Answering<'a> {
        if matches!(ask, Ask::Answer) {
            return Box::pin(std::future::ready(Ok(Answer::Nothing)));
        }
        self.0.fetch_add(1, Ordering::Relaxed);
        Box::pin(std::future::pending())
    }
}

fn built(name: &str) -> Bytes {
    let folder = std::env::var("HOOKSWITCH_TEST_PLUGINS").unwrap_or_else(|_| "plugins/dist".into());
    let file = std::path::Path::new(&folder).join(name);
    let bytes = std::fs::read(&file);
    bytes.unwrap_or_else(|e| panic!("{}: {e}; run scripts/build-plugins first", file.display())).into()
}

fn call() -> Call {
    Call {
        id: "01jx7yq6a3b9c8d7e6f5g4h3j2".into(),
        linked_id: "1770000000.123".into(),
        caller: Party { number: Some("+15557770001".into()), name: Some("Ada Lovelace".into()) },
        dialled: "+15550001006".into(),
        language: "en".into(),
        at: 1_770_000_000_000,
        seed: 4_503_599_627_370_495,
        ..Call::default()
    }
}

struct Bench {
    sandbox: Arc<Sandbox>,
    settings: Arc<Settings>,
    host: Arc<dyn Host>,
}

impl Bench {
    fn job(&self, share: &Arc<Share>) -> Job {
        Job {
            input: Input::Call(Box::new(call())),
            settings: Arc::clone(&self.settings),
            grants: Grants::all(),
            limits: World::Router.limits(),
            host: Arc::clone(&self.host),
            share: Arc::clone(share),
        }
    }

    /// Microseconds of each run for a time.
    async fn ours(&self, program: &Arc<Program>, time: Duration) -> Vec<f64> {
        let share = Arc::new(Share::default());
        let (mut all, start) = (Vec::new(), now());
        while start.elapsed() < time {
            let began = now();
            let report = self.sandbox.run(program, self.job(&share)).await;
            all.push(began.elapsed().as_secs_f64() * 1e6);
            assert_eq!(report.outcome, Outcome::Ok, "{report:?}");
        }
        all
    }
}

/// Several threads at once: runs a second of all together.
fn threads(n: usize, time: Duration, one: impl Fn() -> usize + Send + Sync) -> f64 {
    let stop = AtomicBool::new(false);
    let total = AtomicU64::new(0);
    let start = now();
    std::thread::scope(|scope| {
        for _ in 0..n {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    total.fetch_add(one() as u64, Ordering::Relaxed);
                }
            });
        }
        std::thread::sleep(time);
        stop.store(true, Ordering::Relaxed);
    });
    total.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64()
}

fn current() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// wasmtime with the same pool and nothing of ours.
struct Bare {
    pre: InstancePre<()>,
    js: Option<Vec<u8>>,
}

fn bare_engine() -> Engine {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(128)
        .total_memories(128)
        .total_tables(256)
        .total_core_instances(512)
        .max_memory_size(32 << 20)
        .table_elements(10_000)
        .linear_memory_keep_resident(1 << 20)
        .table_keep_resident(64 << 10)
        .max_unused_warm_slots(16)
        .pagemap_scan(Enabled::Auto);
    let mut config = Config::new();
    config.epoch_interruption(true).allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config).expect("an engine")
}

impl Bare {
    fn rust() -> Self {
        let engine = bare_engine();
        let mut linker = Linker::<()>::new(&engine);
        let name = |name: &str| format!("hookswitch:plugin/{name}@1.0.0");
        let mut log = linker.instance(&name("log")).expect("log");
        log.func_wrap("write", |_, (_, _): (Level, String)| Ok(())).expect("write");
        let mut settings = linker.instance(&name("settings")).expect("settings");
        settings.func_wrap("get", |_, (_,): (String,)| Ok((None::<String>,))).expect("get");
        settings.func_wrap("get-list", |_, (_,): (String,)| Ok((Vec::<String>::new(),))).expect("get-list");
        let mut contacts = linker.instance(&name("contacts")).expect("contacts");
        contacts
            .func_wrap("by-number", |_, (_,): (String,)| Ok((Ok::<Option<Contact>, Failure>(None),)))
            .expect("by-number");
        let component = Component::from_binary(&engine, &built("vip-router.wasm")).expect("a component");
        Self { pre: linker.instantiate_pre(&component).expect("imports"), js: None }
    }

    fn js() -> Self {
        let engine = bare_engine();
        let mut linker = Linker::<()>::new(&engine);
        let mut door = linker.instance("hookswitch:js/host@1.0.0").expect("the door");
        door.func_wrap("call", |_, (name, _): (String, String)| {
            let answer = if name == "settings.getList" { "[]" } else { "null" };
            Ok((Ok::<String, String>(answer.to_owned()),))
        })
        .expect("call");
        let component = Component::from_binary(&engine, &built("js-engine.wasm")).expect("a component");
        let pre = linker.instantiate_pre(&component).expect("imports");
        let mut store = Store::new(&engine, ());
        store.set_epoch_deadline(u64::MAX / 2);
        let instance = pre.instantiate(&mut store).expect("an instance");
        let compile = instance
            .get_typed_func::<(&str,), (Result<Vec<u8>, String>,)>(&mut store, "compile")
            .expect("compile");
        let (code,) = compile.call(&mut store, (SCRIPT,)).expect("byte code");
        Self { pre, js: Some(code.expect("a script")) }
    }

    fn once(&self) {
        let mut store = Store::new(self.pre.engine(), ());
        store.set_epoch_deadline(u64::MAX / 2);
        let instance = self.pre.instantiate(&mut store).expect("an instance");
        match &self.js {
            None => {
                let run = instance
                    .get_typed_func::<(Call,), (Result<Decision, String>,)>(&mut store, "route-call")
                    .expect("route-call");
                let (decision,) = run.call(&mut store, (call(),)).expect("a run");
                assert!(decision.is_ok());
            }
            Some(code) => {
                let input = serde_json::to_string(&call()).expect("JSON");
                let run = instance
                    .get_typed_func::<(&[u8], bool, &str, &str, u64, u64), (Result<String, String>,)>(
                        &mut store, "run",
                    )
                    .expect("run");
                let (answer,) = run
                    .call(&mut store, (code, true, "routeCall", &input, 1_770_000_000_000, 7))
                    .expect("a run");
                let answer: Decision = serde_json::from_str(&answer.expect("an answer")).expect("a decision");
                assert!(matches!(answer, Decision::Route(_)));
            }
        }
    }

    fn time(&self, time: Duration) -> Vec<f64> {
        let (mut all, start) = (Vec::new(), now());
        while start.elapsed() < time {
            let began = now();
            self.once();
            all.push(began.elapsed().as_secs_f64() * 1e6);
        }
        all
    }
}

fn main() -> ExitCode {
    let time = Duration::from_secs_f64(argument("--seconds", 1.0));
    let rounds = argument("--rounds", 5.0) as usize;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sandbox = Sandbox::open(Options {
        folder: folder.path().join("native"),
        key: [7; 32],
        js_engine: Some(built("js-engine.wasm")),
        threads: 2,
    })
    .expect("a sandbox");
    let mut report = Report::new();
    report.note("places for runs", sandbox.places().as_str().to_owned());
    let bench = Bench { sandbox, settings: Arc::default(), host: Arc::new(Quick) };
    let runtime = current();
    let load = |bytes: Bytes, language, world| {
        runtime.block_on(bench.sandbox.load(bytes, language, world)).expect("a program")
    };
    let rust = load(built("vip-router.wasm"), Language::Component, World::Router);
    let js = load(SCRIPT.into(), Language::JavaScript, World::Router);
    if !flag("--only-spinning") {
        alone(&mut report, &bench, ("Rust", &rust), &Bare::rust(), (1.3, 2.0), (time, rounds));
        alone(&mut report, &bench, ("JavaScript", &js), &Bare::js(), (1.2, f64::INFINITY), (time, rounds));
    }
    spinning(&mut report, &bench, &rust, time, rounds);
    if flag("--only-spinning") {
        return report.end("plugins");
    }
    runtime.block_on(sleepers(&mut report, &bench));
    if !flag("--quick") {
        runtime.block_on(idle(&mut report, &bench));
    }
    report.end("plugins")
}

/// A figure that should be at most so large.
fn most(report: &mut Report, name: &str, value: f64, goal: f64) {
    let wanted = if goal.is_finite() { format!("at most {goal}") } else { "no goal".to_owned() };
    report.goal(name, format!("{value:.2}"), &wanted, value <= goal);
}

/// A figure that should be at least so large.
fn least(report: &mut Report, name: &str, value: f64, goal: f64) {
    report.goal(name, format!("{value:.2}"), &format!("at least {goal}"), value >= goal);
}

/// One program on a quiet machine, beside the bare loop.
fn alone(
    report: &mut Report,
    bench: &Bench,
    (name, program): (&str, &Arc<Program>),
    bare: &Bare,
    (p50_most, p99_most): (f64, f64),
    (time, rounds): (Duration, usize),
) {
    let runtime = current();
    let (mut p50s, mut p99s, mut ours50, mut ours99, mut bare50) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut scales = Vec::new();
    for n in 0..=rounds {
        let mut ours = runtime.block_on(bench.ours(program, time));
        let mut theirs = bare.time(time);
        let (a, b) = (percentile(&mut ours, 0.5), percentile(&mut theirs, 0.5));
        let (c, d) = (percentile(&mut ours, 0.99), percentile(&mut theirs, 0.99));
        let batch = || {
            let runtime = current();
            runtime.block_on(bench.ours(program, time / 20)).len()
        };
        let (one, two) = (threads(1, time, batch), threads(2, time, batch));
        eprintln!("{name}: {a:.1} / {c:.1} µs, bare {b:.1} / {d:.1} µs, {one:.0} and {two:.0} runs/s");
        if n > 0 {
            p50s.push(a / b);
            p99s.push(c / d);
            ours50.push(a);
            ours99.push(c);
            bare50.push(b);
            scales.push(two / one);
        }
    }
    let both = format!("{:.1} / {:.1} µs", median(&ours50), median(&ours99));
    report.note(&format!("{name}: a run, p50 / p99"), both);
    report.note(&format!("{name}: bare, p50"), format!("{:.1} µs", median(&bare50)));
    most(report, &format!("{name}: p50 ÷ bare"), median(&p50s), p50_most);
    most(report, &format!("{name}: p99 ÷ bare"), median(&p99s), p99_most);
    least(report, &format!("{name}: two threads ÷ one"), median(&scales), 1.7);
}

/// A good tenant's runs beside four that spin as long as they may.
fn spinning(report: &mut Report, bench: &Bench, good: &Arc<Program>, time: Duration, rounds: usize) {
    let runtime = current();
    let spin = "export function routeCall() { for (;;) {} }";
    let limits = Limits { fuel: u64::MAX, ..World::Router.limits() };
    let spinners: Vec<_> = (0..4)
        .map(|n| {
            let source = format!("{spin} // {n}");
            let loaded = bench.sandbox.load(source.into(), Language::JavaScript, World::Router);
            (runtime.block_on(loaded).expect("a program"), Arc::new(Share::default()))
        })
        .collect();
    let (mut ratios, mut quiets, mut louds, mut late) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for n in 0..=rounds {
        let quiet = percentile(&mut runtime.block_on(bench.ours(good, time)), 0.99);
        // One alone: by how much it is late.
        let job = Job { limits, ..bench.job(&spinners[0].1) };
        let run = runtime.block_on(bench.sandbox.run(&spinners[0].0, job));
        assert_eq!(run.outcome, Outcome::CpuLimit, "{run:?}");
        let over = run.cost.cpu_us as f64 / 1e3 - limits.cpu.as_secs_f64() * 1e3;
        let stop = AtomicBool::new(false);
        let loud = std::thread::scope(|scope| {
            for (program, share) in &spinners {
                // As many at a time as a tenant may.
                for _ in 0..2 {
                    scope.spawn(|| {
                        let runtime = current();
                        while !stop.load(Ordering::Relaxed) {
                            let job = Job { limits, ..bench.job(share) };
                            runtime.block_on(bench.sandbox.run(program, job));
                        }
                    });
                }
            }
            std::thread::sleep(time / 4);
            let loud = percentile(&mut runtime.block_on(bench.ours(good, time)), 0.99);
            stop.store(true, Ordering::Relaxed);
            loud
        });
        eprintln!("spinning: p99 {quiet:.1} alone, {loud:.1} µs beside; over by {over:.2} ms");
        if n > 0 {
            ratios.push(loud / quiet);
            quiets.push(quiet);
            louds.push(loud);
            late.push(over);
        }
    }
    report
        .note("four spin: p99 alone / beside", format!("{:.1} / {:.1} µs", median(&quiets), median(&louds)));
    most(report, "four spin: a good one's p99 ÷ alone", median(&ratios), 2.0);
    most(report, "spinning: ms beyond its processor time", median(&late), 2.0);
}

/// A thousand call scripts that wait for a key.
async fn sleepers(report: &mut Report, bench: &Bench) {
    let source = "export async function handleCall() {
        answer();
        const { digits } = await gather({ prompts: ['beep'], maxDigits: 4 });
        return { tag: 'hang-up', val: { cause: 'normal', reason: digits } };
    }";
    let program =
        bench.sandbox.load(source.into(), Language::JavaScript, World::CallScript).await.expect("a program");
    let host = Arc::new(Asleep(AtomicU64::new(0)));
    let before = resident_bytes(std::process::id());
    let runs: Vec<_> = (0..1_000_u32)
        .map(|n| {
            let share = if n % 100 == 0 { Arc::new(Share::default()) } else { Arc::default() };
            let (sandbox, program) = (Arc::clone(&bench.sandbox), Arc::clone(&program));
            let job = Job {
                host: Arc::clone(&host) as Arc<dyn Host>,
                limits: World::CallScript.limits(),
                ..bench.job(&share)
            };
            tokio::spawn(async move { sandbox.run(&program, job).await })
        })
        .collect();
    while host.0.load(Ordering::Relaxed) < 1_000 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert!(runs.iter().all(|run| !run.is_finished()), "a script ended");
    }
    let held = resident_bytes(std::process::id()) - before;
    report.note("1,000 scripts asleep, each", format!("{:.0} KiB", held / 1_000.0 / 1024.0));
    most(report, "1,000 scripts asleep, GiB", held / f64::from(1 << 30), 1.0);
    runs.iter().for_each(tokio::task::JoinHandle::abort);
}

/// A thousand plugins of different bytes that wait for a call.
async fn idle(report: &mut Report, bench: &Bench) {
    let good = built("vip-router.wasm");
    let mut programs = Vec::new();
    let load = async |n: u32| {
        let mut bytes = good.to_vec();
        // A custom section of its own: id 0, eight bytes, a name of three.
        bytes.extend_from_slice(&[0, 8, 3, b'n', b'u', b'm']);
        bytes.extend_from_slice(&n.to_le_bytes());
        bench.sandbox.load(bytes.into(), Language::Component, World::Router).await.expect("a program")
    };
    programs.push(load(0).await);
    let before = resident_bytes(std::process::id());
    for n in 1..=1_000 {
        programs.push(load(n).await);
    }
    let loaded = resident_bytes(std::process::id()) - before;
    for program in &programs {
        let job = Job { host: Arc::new(Nobody), ..bench.job(&Arc::default()) };
        bench.sandbox.run(program, job).await;
    }
    let used = resident_bytes(std::process::id()) - before;
    report.note("1,000 idle plugins, each, loaded", format!("{:.0} KiB", loaded / 1e3 / 1024.0));
    most(report, "1,000 idle plugins, each after a run, MiB", used / 1e3 / f64::from(1 << 20), 1.0);
}
