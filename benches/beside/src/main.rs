//! The demo's vip-router in our sandbox beside the same router in Extism, each run in a fresh instance of what was
//! compiled before.
//!
//! Both begin with a call and end with a decision that was read. Ours has everything that the service's runs have: limits
//! of processor, memory and host calls, grants, a log that is kept, a check of the answer. Extism has none of its limits
//! switched on, and is measured as it comes and with the pool that ours has.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a bench prints, or cannot go on"
)]
#![expect(clippy::cast_precision_loss, reason = "statistics")]

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use extism::{CompiledPlugin, Function, PTR, Plugin, PluginBuilder, UserData, Wasm};
use hookswitch::sandbox::types::{Call, Decision, Party};
use hookswitch::sandbox::{
    Answer, Answering, Ask, Grants, Host, Input, Job, Language, Options, Outcome, Program, Sandbox, Settings,
    Share, World,
};
use wasmtime::{Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};

/// As in the service.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Times that ours shall be faster.
const GOAL: f64 = 8.0;

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

/// Knows nobody, at once.
struct Nobody;

impl Host for Nobody {
    fn ask<'a>(&'a self, _: &'a Ask) -> Answering<'a> {
        Box::pin(std::future::ready(Ok(Answer::Contact(None))))
    }
}

struct Ours {
    sandbox: Arc<Sandbox>,
    program: Arc<Program>,
    host: Arc<dyn Host>,
    settings: Arc<Settings>,
    _folder: tempfile::TempDir,
}

impl Ours {
    fn open(file: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options =
            Options { folder: folder.path().join("native"), key: [7; 32], js_engine: None, threads: 1 };
        let sandbox = Sandbox::open(options).expect("a sandbox");
        let load = sandbox.load(read(file).into(), Language::Component, World::Router);
        let program = runtime().block_on(load).expect("a program");
        Self { sandbox, program, host: Arc::new(Nobody), settings: Arc::default(), _folder: folder }
    }

    /// Runs for a while on this thread: how many.
    fn runs(&self, stop: &AtomicBool) -> u64 {
        let share = Arc::new(Share::default());
        runtime().block_on(async {
            let mut done = 0;
            while !stop.load(Relaxed) {
                let job = Job {
                    input: Input::Call(Box::new(call())),
                    settings: Arc::clone(&self.settings),
                    grants: Grants::all(),
                    limits: World::Router.limits(),
                    host: Arc::clone(&self.host),
                    share: Arc::clone(&share),
                };
                let report = self.sandbox.run(&self.program, job).await;
                assert_eq!(report.outcome, Outcome::Ok, "{report:?}");
                done += 1;
            }
            done
        })
    }
}

struct Extism(CompiledPlugin);

impl Extism {
    fn open(file: &str, pool: bool) -> Self {
        let manifest = extism::Manifest::new([Wasm::data(read(file))]);
        let nobody = Function::new("by_number", [PTR], [PTR], UserData::new(()), |plugin, given, out, _| {
            let number: String = plugin.memory_get_val(&given[0])?;
            let answer = if number.is_empty() { "" } else { "null" };
            plugin.memory_set_val(&mut out[0], answer)
        });
        let mut builder = PluginBuilder::new(manifest).with_functions([nobody]).with_cache_disabled();
        if pool {
            builder = builder.with_wasmtime_config(pooled());
        }
        Self(builder.compile().expect("a plugin"))
    }

    fn once(&self) -> Decision {
        let input = serde_json::to_string(&call()).expect("JSON");
        let mut plugin = Plugin::new_from_compiled(&self.0).expect("an instance");
        let answer: &str = plugin.call("route_call", &input).expect("a run");
        serde_json::from_str(answer).expect("a decision")
    }

    fn runs(&self, stop: &AtomicBool) -> u64 {
        let mut done = 0;
        while !stop.load(Relaxed) {
            assert!(matches!(self.once(), Decision::Route(_)));
            done += 1;
        }
        done
    }
}

/// The settings that made ours fast.
fn pooled() -> wasmtime::Config {
    let mut pool = PoolingAllocationConfig::new();
    pool.max_memory_size(32 << 20)
        .linear_memory_keep_resident(1 << 20)
        .table_keep_resident(64 << 10)
        .max_unused_warm_slots(16)
        .pagemap_scan(Enabled::Auto);
    let mut config = wasmtime::Config::new();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn read(file: &str) -> Vec<u8> {
    std::fs::read(file).unwrap_or_else(|error| {
        eprintln!("{file}: {error}");
        std::process::exit(1)
    })
}

/// Runs a second of so many threads together.
#[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
fn rate(threads: usize, time: Duration, runs: &(dyn Fn(&AtomicBool) -> u64 + Sync)) -> f64 {
    let (stop, total, start) = (AtomicBool::new(false), AtomicU64::new(0), Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| total.fetch_add(runs(&stop), Relaxed));
        }
        std::thread::sleep(time);
        stop.store(true, Relaxed);
    });
    total.load(Relaxed) as f64 / start.elapsed().as_secs_f64()
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let values = sorted(values);
    values[values.len() / 2]
}

fn argument(name: &str, default: f64) -> f64 {
    let all: Vec<String> = std::env::args().collect();
    all.windows(2).find(|pair| pair[0] == name).and_then(|pair| pair[1].parse().ok()).unwrap_or(default)
}

fn main() -> ExitCode {
    let files: Vec<String> = std::env::args().skip(1).take(2).collect();
    let [component, module] = files.as_slice() else {
        eprintln!(
            "usage: hookswitch-beside VIP-ROUTER.WASM EXTISM-VIP-ROUTER.WASM [--rounds 7] [--seconds 1]"
        );
        return ExitCode::FAILURE;
    };
    let rounds = argument("--rounds", 7.0);
    let time = Duration::from_secs_f64(argument("--seconds", 1.0));
    let ours = Ours::open(component);
    let (plain, pool) = (Extism::open(module, false), Extism::open(module, true));
    println!("Extism's router: {:?}", plain.once());
    println!(
        "\n| fresh instances | ours | Extism | ÷ | with a pool | ÷ | goal | |\n|---|---|---|---|---|---|---|---|"
    );
    for threads in [1, 2] {
        let mut all = Vec::new();
        while all.len() as f64 <= rounds {
            let round = [
                rate(threads, time, &|stop| ours.runs(stop)),
                rate(threads, time, &|stop| plain.runs(stop)),
                rate(threads, time, &|stop| pool.runs(stop)),
            ];
            eprintln!("{threads}: {round:.0?} runs/s");
            all.push(round);
        }
        // The first is for warming up.
        let all = &all[1..];
        let of = |at: usize| median(all.iter().map(|round| round[at]));
        let times = |at: usize| {
            let values = sorted(all.iter().map(|round| round[0] / round[at]));
            let middle = values[values.len() / 2];
            (middle, format!("{middle:.1} ({:.1} to {:.1})", values[0], values[values.len() - 1]))
        };
        let ((one, shown), (other, with_pool)) = (times(1), times(2));
        let verdict = if one >= GOAL && other >= GOAL { "PASS" } else { "FAIL" };
        println!(
            "| {threads} thread(s), runs/s | {:.0} | {:.0} | {shown} | {:.0} | {with_pool} | ≥ {GOAL} | {verdict} |",
            of(0),
            of(1),
            of(2)
        );
    }
    ExitCode::SUCCESS
}
