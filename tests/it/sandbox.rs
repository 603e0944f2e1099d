//! The sandbox against real programs: the demo's plugins in three languages, as `scripts/build-plugins` makes them, and
//! the hostile set.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hookswitch::config::limits::plugins;
use hookswitch::sandbox::types::{Call, Contact, Decision, DialStatus, Event, Failure, Party, Plan, Target};
use hookswitch::sandbox::{
    Answer, Answering, Ask, Grants, Host, Input, Job, Language, Limits, Options, Outcome, Output, Program,
    Report, Sandbox, Scripted, Setting, Settings, Share, World,
};

/// What `scripts/build-plugins` made.
pub(crate) fn built_path(name: &str) -> PathBuf {
    let folder = std::env::var("HOOKSWITCH_TEST_PLUGINS").map(PathBuf::from);
    folder.unwrap_or_else(|_| Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins/dist")).join(name)
}

fn built(name: &str) -> Bytes {
    let file = built_path(name);
    let bytes = std::fs::read(&file);
    bytes.unwrap_or_else(|e| panic!("{}: {e}; run scripts/build-plugins first", file.display())).into()
}

/// A sandbox whose native code stays from test to test, so that the large components are compiled once.
pub(crate) fn sandbox() -> Arc<Sandbox> {
    let folder = std::env::temp_dir().join(format!("hookswitch-native-{}", rustix_uid()));
    let js_engine = Some(built("js-engine.wasm"));
    Sandbox::open(Options { folder, key: [7; 32], js_engine, threads: 2 }).unwrap()
}

fn rustix_uid() -> u32 {
    rustix::process::getuid().as_raw()
}

/// Knows a VIP; takes ten seconds for kv.
struct Desk;

impl Host for Desk {
    fn ask<'a>(&'a self, ask: &'a Ask) -> Answering<'a> {
        Box::pin(async move {
            match ask {
                Ask::ContactByNumber { number } => {
                    Ok(Answer::Contact((number == "+15557770001").then(|| Contact {
                        id: "01".into(),
                        name: "Ada".into(),
                        tags: vec!["vip".into()],
                        numbers: vec![number.clone()],
                        ..Contact::default()
                    })))
                }
                Ask::Answer => Err(Failure::HungUp),
                Ask::TicketComment { .. } => Ok(Answer::Nothing),
                Ask::Dial { .. } => Ok(Answer::Dialled(DialStatus::Busy)),
                _ => {
                    tokio::time::sleep(Duration::from_secs(10)).await;
                    Ok(Answer::Text(None))
                }
            }
        })
    }
}

fn call(caller: &str) -> Input {
    Input::Call(Box::new(Call {
        id: "01jx7y".into(),
        linked_id: "1.1".into(),
        caller: Party { number: Some(caller.into()), name: None },
        dialled: "+15550001006".into(),
        language: "en".into(),
        at: 1_770_000_000_000,
        seed: 7,
        ..Call::default()
    }))
}

fn event() -> Input {
    Input::Event(Box::new(Event {
        id: "evt_1".into(),
        kind: "call.missed".into(),
        at: 1_770_000_000_000,
        key: "call:01jx7y".into(),
        sequence: 3,
        data: r#"{"call_id":"01jx7y","caller_number":"+15557770001","did":"+15550001000"}"#.into(),
        ..Event::default()
    }))
}

fn job(world: World, input: Input, settings: Settings, host: Arc<dyn Host>) -> Job {
    Job {
        input,
        settings: Arc::new(settings),
        grants: Grants::all(),
        limits: world.limits(),
        host,
        share: Arc::new(Share::default()),
    }
}

async fn load(sandbox: &Arc<Sandbox>, bytes: Bytes, language: Language, world: World) -> Arc<Program> {
    sandbox.load(bytes, language, world).await.unwrap_or_else(|refusal| panic!("{refusal}"))
}

fn target(report: &Report) -> &Target {
    match report.decision() {
        Some(Decision::Route(Plan { steps, .. })) => &steps[0].target,
        other => panic!("{other:?}: {report:?}"),
    }
}

#[tokio::test]
async fn the_rust_router_sends_a_vip_to_the_endpoint() {
    let sandbox = sandbox();
    let program = load(&sandbox, built("vip-router.wasm"), Language::Component, World::Router).await;
    let ask = async |caller: &str| {
        sandbox.run(&program, job(World::Router, call(caller), Settings::new(), Arc::new(Desk))).await
    };
    let vip = ask("+15557770001").await;
    assert_eq!(target(&vip), &Target::Endpoint("101".into()));
    assert!(!vip.log.is_empty() && vip.cost.fuel > 0, "{vip:?}");
    // The SDK's allocator serves from memory that is there.
    assert_eq!(vip.cost.memory_grows, 0, "{vip:?}");
    let other = ask("+15557770002").await;
    assert_eq!(target(&other), &Target::Queue("support".into()));
    // The same input costs the same.
    assert_eq!(ask("+15557770002").await.cost.fuel, other.cost.fuel);
}

fn orders() -> Settings {
    let orders = vec!["4711=shipped".to_owned(), "4712=delayed".to_owned()];
    BTreeMap::from([("orders".to_owned(), Setting::List(orders))])
}

/// As text and as a component the script is the same.
#[tokio::test]
async fn the_call_script_talks_to_the_caller() {
    let sandbox = sandbox();
    for (file, language) in
        [("order-status.js", Language::JavaScript), ("order-status.wasm", Language::Component)]
    {
        let program = load(&sandbox, built(file), language, World::CallScript).await;
        let talk = async |keys: &str| {
            let caller = Arc::new(Scripted::new(keys, 1_770_000_000_000));
            let host = Arc::clone(&caller) as Arc<dyn Host>;
            let report =
                sandbox.run(&program, job(World::CallScript, call("+15557770002"), orders(), host)).await;
            (report, caller.heard())
        };
        let (shipped, heard) = talk("4711#").await;
        assert!(matches!(shipped.decision(), Some(Decision::HangUp(_))), "{file}: {shipped:?}");
        assert!(heard.iter().any(|line| line == "hears the digits 4711"), "{file}: {heard:?}");
        let (delayed, _) = talk("4712#").await;
        assert_eq!(target(&delayed), &Target::Queue("support".into()), "{file}");
        let (unknown, heard) = talk("1#2#3#").await;
        assert_eq!(target(&unknown), &Target::Queue("support".into()), "{file}");
        assert_eq!(heard.iter().filter(|line| *line == "hears please-try-again").count(), 2, "{heard:?}");
        let (gone, _) = talk("!").await;
        assert_eq!(gone.outcome, Outcome::Pass, "{file}: {gone:?}");
    }
}

#[tokio::test]
async fn the_python_ticketer_drafts_a_ticket() {
    let sandbox = sandbox();
    let program =
        load(&sandbox, built("missed-call-ticket.wasm"), Language::Component, World::Ticketer).await;
    let report = sandbox.run(&program, job(World::Ticketer, event(), Settings::new(), Arc::new(Desk))).await;
    let Some(Output::Draft(Some(draft))) = &report.output else { panic!("{report:?}") };
    assert_eq!((draft.rule.as_str(), draft.contact.as_deref()), ("missed-call", Some("+15557770001")));
    assert!(draft.body.contains("+15550001000"), "{draft:?}");
}

async fn script(source: &str) -> Report {
    let sandbox = sandbox();
    let program = load(&sandbox, source.to_owned().into(), Language::JavaScript, World::Router).await;
    let job = job(World::Router, call("+15557770001"), Settings::new(), Arc::new(Desk));
    // A run that takes long gets a processor only when nobody else wants it.
    let wall = Duration::from_secs(60);
    sandbox.run(&program, Job { limits: Limits { wall, ..job.limits }, ..job }).await
}

#[tokio::test]
async fn a_script_says_where_it_went_wrong() {
    for (body, outcome, says) in [
        ("return call.missing.number", Outcome::PluginError, "script.js:2:"),
        ("throw 'no list'", Outcome::PluginError, "no list"),
        ("for (;;) {}", Outcome::CpuLimit, "it used more than"),
        ("const f = () => f() + 1; return f()", Outcome::PluginError, "call stack"),
        ("const all = []; for (;;) all.push(new ArrayBuffer(1 << 20))", Outcome::MemoryLimit, "memory"),
        ("return 7", Outcome::RejectedOutput, "routeCall returned"),
        ("return {tag: 'route', val: {steps: []}}", Outcome::RejectedOutput, "1 to 8 steps"),
        ("return {tag: 'somewhere'}", Outcome::RejectedOutput, "routeCall returned"),
        ("await Promise.reject(new RangeError('later'))", Outcome::PluginError, "later"),
        ("return {tag: 'pass'}", Outcome::Pass, ""),
    ] {
        let report = script(&format!("export async function routeCall(call) {{\n  {body}\n}}")).await;
        assert_eq!(report.outcome, outcome, "{body}: {report:?}");
        assert!(report.text.contains(says), "{body}: {report:?}");
    }
}

#[tokio::test]
async fn a_script_is_refused_with_line_and_column() {
    let sandbox = sandbox();
    let refused = async |source: &str, world| {
        sandbox.load(source.to_owned().into(), Language::JavaScript, world).await.unwrap_err()
    };
    let syntax = refused("export function routeCall(call) {\n  return {\n}", World::Router).await;
    assert_eq!(syntax.code, "syntax-error", "{syntax}");
    assert!(syntax.text.contains("script.js:3"), "{syntax}");
    let other = refused("export function onEvent() {}", World::Router).await;
    assert_eq!((other.code, other.text.contains("routeCall")), ("no-export", true), "{other}");
    let import = refused("import fs from 'fs'; export function routeCall() {}", World::Router).await;
    assert_eq!(import.code, "syntax-error", "{import}");
}

#[tokio::test]
async fn a_script_has_the_clock_and_the_chance_of_its_input() {
    let source = "export function routeCall(call) {
        const reason = [Date.now(), new Date().toISOString(), Math.random() === Math.random(), call.seed].join(' ');
        return {tag: 'hang-up', val: {cause: 'busy', reason}};
    }";
    let (a, b) = (script(source).await, script(source).await);
    assert_eq!(a.output, b.output);
    let Some(Decision::HangUp(farewell)) = a.decision() else { panic!("{a:?}") };
    assert_eq!(farewell.reason.as_deref(), Some("1770000000000 2026-02-02T02:40:00.000Z false 7"));
}

/// Nothing of a run is left for the next.
#[tokio::test]
async fn runs_share_nothing() {
    let sandbox = sandbox();
    let source = "globalThis.count = (globalThis.count ?? 0) + 1; Array.prototype.seen = (Array.prototype.seen ?? 0) + 1;
        export function routeCall() {
            const reason = `${globalThis.count} ${[].seen}`;
            return {tag: 'hang-up', val: {cause: 'normal', reason}};
        }";
    let program = load(&sandbox, source.to_owned().into(), Language::JavaScript, World::Router).await;
    for _ in 0..50 {
        let report =
            sandbox.run(&program, job(World::Router, call("+1"), Settings::new(), Arc::new(Desk))).await;
        let Some(Decision::HangUp(farewell)) = report.decision() else { panic!("{report:?}") };
        assert_eq!(farewell.reason.as_deref(), Some("1 1"));
    }
}

/// Runs that take long have few turns; one that waits for the host takes none from the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_the_host_takes_no_turn() {
    let sandbox = sandbox();
    let source = "export function routeCall(call) {
            for (let i = 0, n = 0; i < 300000; i++) n += i;
            if (call.caller.number === '+2') kv.get('slow');
            return {tag: 'pass'};
        }";
    let program = load(&sandbox, source.to_owned().into(), Language::JavaScript, World::Router).await;
    let share = Arc::new(Share::default());
    let run = |caller: &str, wall: u64| {
        let limits = Limits {
            cpu: Duration::from_secs(5),
            fuel: 1_000_000_000,
            wall: Duration::from_secs(wall),
            ..World::Router.limits()
        };
        let job = Job {
            limits,
            share: Arc::clone(&share),
            ..job(World::Router, call(caller), Settings::new(), Arc::new(Desk))
        };
        let (sandbox, program) = (Arc::clone(&sandbox), Arc::clone(&program));
        tokio::spawn(async move { sandbox.run(&program, job).await })
    };
    // From now on it begins on the plugins' own threads.
    assert_eq!(run("+1", 10).await.unwrap().outcome, Outcome::Pass);
    let slow: Vec<_> = (0..plugins::HEAVY_RUNS + 2).map(|_| run("+2", 60)).collect();
    for _ in 0..4 {
        assert_eq!(run("+1", 5).await.unwrap().outcome, Outcome::Pass);
    }
    assert!(slow.iter().all(|slow| !slow.is_finished()), "they are asleep for ten seconds");
    slow.iter().for_each(tokio::task::JoinHandle::abort);
}

/// One plugin of the hostile set.
struct Hostile {
    name: String,
    world: Option<World>,
    loads: bool,
    outcome: String,
    bytes: Bytes,
}

fn hostile() -> Vec<Hostile> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins/hostile");
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|e| e == "wat"));
    files.sort();
    files.iter().map(|file| read(file)).collect()
}

/// The first line says what a file is: `;; world: router  upload: ok  run: cpu-limit`.
fn read(file: &Path) -> Hostile {
    let text = std::fs::read_to_string(file).unwrap();
    let first = text.lines().next().unwrap();
    let word = |name: &str| first.split(name).nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    let world = World::parse(&word("world:"));
    let mut bytes = wat::parse_str(&text).unwrap();
    if let Some(world) = world {
        let mut resolve = wit_parser::Resolve::default();
        let (package, _) = resolve.push_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("wit/1.0.0")).unwrap();
        let world = resolve.select_world(&[package], Some(world.as_str())).unwrap();
        let encoding = wit_component::StringEncoding::UTF8;
        wit_component::embed_component_metadata(&mut bytes, &resolve, world, encoding).unwrap();
        // As an attacker would, without looking whether it is valid.
        let encoder = wit_component::ComponentEncoder::default().validate(false);
        bytes = encoder.module(&bytes).unwrap().encode().unwrap();
    }
    Hostile {
        name: file.file_stem().unwrap().to_string_lossy().into_owned(),
        world,
        loads: word("upload:") == "ok",
        outcome: word("run:"),
        bytes: bytes.into(),
    }
}

fn hostile_job(world: World) -> Job {
    let input = if world == World::Ticketer { event() } else { call("+15557770001") };
    // Shorter than what the host takes.
    let limits = Limits { wall: Duration::from_secs(3), ..world.limits() };
    Job { limits, ..job(world, input, Settings::new(), Arc::new(Desk)) }
}

/// A program that can be made ready.
async fn ready(sandbox: &Arc<Sandbox>, one: &Hostile) -> Result<Arc<Program>, String> {
    let world = one.world.unwrap_or(World::Router);
    let program = sandbox
        .load(one.bytes.clone(), Language::Component, world)
        .await
        .map_err(|refusal| format!("{}: {refusal}", refusal.code))?;
    let trial = sandbox.run(&program, Job { input: Input::Trial, ..hostile_job(world) }).await;
    if trial.outcome == Outcome::Pass {
        Ok(program)
    } else {
        Err(format!("{:?}: {}", trial.outcome, trial.text))
    }
}

#[tokio::test]
async fn every_hostile_plugin_has_its_outcome() {
    let sandbox = sandbox();
    let all = hostile();
    assert!(all.len() >= 25, "{}", all.len());
    for one in &all {
        let program = match ready(&sandbox, one).await {
            Ok(program) if one.loads => program,
            Err(_) if !one.loads => continue,
            other => panic!("{}: {other:?}", one.name),
        };
        let job = hostile_job(program.world);
        // The host takes ten seconds; a spinning run gets a processor only when nobody else wants it.
        let wall = Duration::from_secs(if one.outcome == "time-limit" { 1 } else { 60 });
        let report = sandbox.run(&program, Job { limits: Limits { wall, ..job.limits }, ..job }).await;
        // Whose the queue is the sandbox does not know.
        let expected = if one.name == "foreign-target" { "ok" } else { one.outcome.as_str() };
        assert_eq!(report.outcome.as_str(), expected, "{}: {report:?}", one.name);
        assert_eq!(report.text.is_empty(), report.outcome.is_success(), "{}: {report:?}", one.name);
    }
}

#[tokio::test]
async fn a_file_that_was_cut_or_changed_is_refused_or_runs_within_its_limits() {
    let sandbox = sandbox();
    let good = built("vip-router.wasm");
    for at in (0..good.len()).step_by(good.len() / 97) {
        let cut = good.slice(..at);
        assert!(sandbox.load(cut, Language::Component, World::Router).await.is_err(), "cut at {at}");
        let mut changed = good.to_vec();
        changed[at] ^= 0x55;
        if let Ok(program) = sandbox.load(changed.into(), Language::Component, World::Router).await {
            // It may even be right; what counts is that we are still here.
            sandbox.run(&program, hostile_job(World::Router)).await;
        }
    }
}

/// Resident memory of this process in KiB.
fn resident() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Those that end by themselves a thousand times (or HOOKSWITCH_TEST_RUNS), those that are cut off by time 200 times.
#[tokio::test]
async fn hostile_runs_leave_memory_where_it_was() {
    let sandbox = sandbox();
    let runs = std::env::var("HOOKSWITCH_TEST_RUNS").map_or(1_000, |runs| runs.parse().unwrap());
    for one in hostile().iter().filter(|one| one.loads) {
        let Ok(program) = ready(&sandbox, one).await else { continue };
        let timed = ["cpu-limit", "time-limit", "output-limit"].contains(&one.outcome.as_str());
        let (warm, runs) = if timed { (20, 200) } else { (200, runs) };
        let mut before = 0;
        for n in 0..warm + runs {
            if n == warm {
                before = resident();
            }
            let limits = Limits {
                cpu: Duration::from_millis(1),
                wall: Duration::from_millis(5),
                ..program.world.limits()
            };
            sandbox.run(&program, Job { limits, ..hostile_job(program.world) }).await;
        }
        let grown = resident() - before;
        assert!(grown < 24 * 1024, "{}: {grown} KiB more after {runs} runs", one.name);
    }
}
