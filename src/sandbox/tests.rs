//! The sandbox against components made on the spot of WebAssembly text: no guest toolchain is needed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use wit_component::{ComponentEncoder, StringEncoding};
use wit_parser::{ManglingAndAbi, Resolve, WorldId};

use super::types::{Call, Decision, Failure};
use super::*;
use crate::base::hex::hex;

/// Every file of the released interface, and what it was when it was released.
const FROZEN: [(&str, &str); 3] = [
    ("types.wit", "37735e2caa22b09537827c76a0061bd2055c928c923b3b80dfe21ff94ae7fa47"),
    ("grants.wit", "b52202c8666d140fc1ce9961a3fcdb0d26fbf0fc16788f4878ab0c6cb2fec48f"),
    ("worlds.wit", "554d813268d4a25ca0e7456ea0d688f5cc4d3a80f041f2153055f745bbad5528"),
];

fn wit() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("wit").join(VERSION)
}

fn world(name: &str) -> (Resolve, WorldId) {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(wit()).unwrap();
    let world = resolve.select_world(&[package], Some(name)).unwrap();
    (resolve, world)
}

fn componentize(mut module: Vec<u8>, resolve: &Resolve, world: WorldId) -> Bytes {
    wit_component::embed_component_metadata(&mut module, resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().validate(true).module(&module).unwrap().encode().unwrap().into()
}

/// A router whose `route-call` has this body and which may import from log and kv.
fn router(body: &str) -> Bytes {
    let text = format!(
        r#"(module
          (import "hookswitch:plugin/log@1.0.0" "write" (func $log (param i32 i32 i32)))
          (import "hookswitch:plugin/kv@1.0.0" "get" (func $get (param i32 i32 i32)))
          (memory (export "memory") 2)
          (global $at (mut i32) (i32.const 4096))
          (data (i32.const 16) "no list")
          (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
            (local $p i32)
            (local.set $p (i32.and (i32.add (global.get $at) (i32.const 15)) (i32.const -16)))
            (global.set $at (i32.add (local.get $p) (local.get 3)))
            (local.get $p))
          (func $deep (call $deep) (call $deep))
          (func (export "route-call") (param i32) (result i32) {body}))"#
    );
    let (resolve, world) = world("router");
    componentize(wat::parse_str(text).unwrap(), &resolve, world)
}

/// `ok(pass)`.
const PASS: &str =
    "(i32.store8 (i32.const 64) (i32.const 0)) (i32.store8 (i32.const 68) (i32.const 0)) (i32.const 64)";

fn sandbox() -> (Arc<Sandbox>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { folder: folder.path().join("native"), key: [7; 32], js_engine: None, threads: 2 };
    (Sandbox::open(options).unwrap(), folder)
}

fn job(host: Arc<dyn Host>) -> Job {
    Job {
        input: Input::Call(Box::new(Call { at: 1, ..Call::default() })),
        settings: Arc::default(),
        grants: Grants::all(),
        limits: World::Router.limits(),
        host,
        share: Arc::default(),
    }
}

async fn run(body: &str) -> Report {
    let (sandbox, _folder) = sandbox();
    let program = sandbox.load(router(body), Language::Component, World::Router).await.unwrap();
    // A spinning run gets a processor only when nobody else wants it.
    let limits = Limits { wall: Duration::new(30, 0), ..World::Router.limits() };
    sandbox.run(&program, Job { limits, ..job(Arc::new(Nobody)) }).await
}

/// Remembers which thread answered.
#[derive(Default)]
struct Where(std::sync::Mutex<Vec<String>>);

impl Host for Where {
    fn ask<'a>(&'a self, _: &'a Ask) -> Answering<'a> {
        Box::pin(async {
            self.0.lock().unwrap().push(std::thread::current().name().unwrap_or_default().to_owned());
            Ok(Answer::Text(None))
        })
    }
}

#[tokio::test]
async fn what_a_long_run_asks_is_answered_elsewhere() {
    let (sandbox, _folder) = sandbox();
    let get = "(call $get (i32.const 16) (i32.const 7) (i32.const 128))";
    let body = format!("{get} {PASS}");
    let program = sandbox.load(router(&body), Language::Component, World::Router).await.unwrap();
    let here = std::thread::current().name().unwrap().to_owned();
    for _ in 0..2 {
        let host = Arc::new(Where::default());
        let limits = Limits { wall: Duration::new(30, 0), ..World::Router.limits() };
        let job = Job { limits, ..job(Arc::clone(&host) as Arc<dyn Host>) };
        let report = sandbox.run(&program, job).await;
        assert_eq!(report.outcome, Outcome::Pass, "{report:?}");
        assert_eq!(*host.0.lock().unwrap(), [here.as_str()]);
        // The second run begins on the plugins' own threads.
        program.took_long(sandbox.ticker.zero.elapsed_ns());
    }
}

/// Holds its thread.
struct Holds;

impl Host for Holds {
    fn ask<'a>(&'a self, _: &'a Ask) -> Answering<'a> {
        Box::pin(async {
            std::thread::sleep(Duration::new(1, 0));
            Ok(Answer::Text(None))
        })
    }
}

#[test]
fn nobody_waits_for_a_thread_that_gets_no_processor() {
    // Opened outside of a runtime: what is asked is answered on the plugins' own threads.
    let (sandbox, _folder) = sandbox();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let report = runtime.block_on(async {
        let body = format!("(call $get (i32.const 16) (i32.const 7) (i32.const 128)) {PASS}");
        let program = sandbox.load(router(&body), Language::Component, World::Router).await.unwrap();
        program.took_long(sandbox.ticker.zero.elapsed_ns());
        let limits = Limits { wall: Duration::new(0, 100_000_000), ..World::Router.limits() };
        sandbox.run(&program, Job { limits, ..job(Arc::new(Holds)) }).await
    });
    assert_eq!((report.outcome, report.text.contains("processor")), (Outcome::Busy, true), "{report:?}");
}

#[test]
fn a_released_interface_never_changes() {
    for (file, digest) in FROZEN {
        let bytes = std::fs::read(wit().join(file)).unwrap();
        assert_eq!(
            inspect::digest(&bytes),
            digest,
            "{file} is released: changes go into a new folder beside it"
        );
    }
    let files = std::fs::read_dir(wit()).unwrap().count();
    assert_eq!(files, FROZEN.len());
}

#[tokio::test]
async fn the_host_serves_every_function_of_every_world() {
    let (sandbox, _folder) = sandbox();
    for kind in World::ALL {
        let (resolve, world) = world(kind.as_str());
        let module = wit_component::dummy_module(&resolve, world, ManglingAndAbi::Standard32);
        let bytes = componentize(module, &resolve, world);
        let asked = inspect(&bytes, Language::Component, kind).unwrap().asked;
        assert_eq!(asked, Grants::all(), "{}", kind.as_str());
        let program = sandbox.load(bytes, Language::Component, kind).await.unwrap();
        let report = sandbox.run(&program, Job { input: Input::Trial, ..job(Arc::new(Nobody)) }).await;
        assert_eq!((report.outcome, report.text.as_str()), (Outcome::Pass, ""), "{}", kind.as_str());
    }
}

#[tokio::test]
async fn a_run_says_how_it_ended() {
    let report = run(PASS).await;
    assert_eq!(report.outcome, Outcome::Pass, "{report:?}");
    assert_eq!(report.decision(), Some(&Decision::Pass));
    assert!(report.cost.fuel > 0 && report.cost.memory_bytes >= 128 * 1024, "{report:?}");

    let error = "(i32.store8 (i32.const 64) (i32.const 1)) (i32.store (i32.const 68) (i32.const 16))
                 (i32.store (i32.const 72) (i32.const 7)) (i32.const 64)";
    let report = run(error).await;
    assert_eq!((report.outcome, report.text.as_str()), (Outcome::PluginError, "no list"));

    for (body, outcome) in [
        ("(unreachable)", Outcome::Panic),
        ("(loop (br 0)) (i32.const 64)", Outcome::CpuLimit),
        ("(call $deep) (i32.const 64)", Outcome::StackLimit),
        ("(drop (memory.grow (i32.const 4096))) (unreachable)", Outcome::MemoryLimit),
        (
            "(i32.store8 (i32.const 64) (i32.const 0)) (i32.store8 (i32.const 68) (i32.const 9)) (i32.const 64)",
            Outcome::RejectedOutput,
        ),
        (
            "(loop (call $get (i32.const 16) (i32.const 7) (i32.const 128)) (br 0)) (i32.const 64)",
            Outcome::HostCallLimit,
        ),
        ("(call $log (i32.const 1) (i32.const 0) (i32.const -1)) (i32.const 64)", Outcome::RejectedOutput),
    ] {
        let report = run(body).await;
        assert_eq!(report.outcome, outcome, "{body}: {report:?}");
        assert!(!report.text.is_empty(), "{body}");
    }
}

/// Answers after a time, or never.
struct Slow(Duration);

impl Host for Slow {
    fn ask<'a>(&'a self, _: &'a Ask) -> Answering<'a> {
        Box::pin(async {
            tokio::time::sleep(self.0).await;
            Ok(Answer::Text(Some("here".into())))
        })
    }
}

#[tokio::test]
async fn whoever_waits_too_long_is_out_of_time() {
    let (sandbox, _folder) = sandbox();
    let body = format!("(call $get (i32.const 16) (i32.const 7) (i32.const 128)) {PASS}");
    let program = sandbox.load(router(&body), Language::Component, World::Router).await.unwrap();
    let report = sandbox.run(&program, job(Arc::new(Slow(Duration::new(3_600, 0))))).await;
    assert_eq!(report.outcome, Outcome::TimeLimit, "{report:?}");
    // The place it had is as good as new.
    let report = sandbox.run(&program, job(Arc::new(Slow(Duration::new(0, 1_000_000))))).await;
    assert_eq!(report.outcome, Outcome::Pass, "{report:?}");
    assert_eq!(report.trail.len(), 1);
}

#[tokio::test]
async fn without_a_grant_there_is_no_answer() {
    let (sandbox, _folder) = sandbox();
    let body = "(call $get (i32.const 16) (i32.const 7) (i32.const 128)) (unreachable)";
    let program = sandbox.load(router(body), Language::Component, World::Router).await.unwrap();
    let job = Job { grants: Grants::default(), ..job(Arc::new(Slow(Duration::ZERO))) };
    let report = sandbox.run(&program, job).await;
    assert_eq!(report.outcome, Outcome::CapabilityDenied, "{report:?}");
    assert!(report.text.contains("kv is not granted"), "{report:?}");
    assert!(report.trail.is_empty());
}

#[tokio::test]
async fn a_recorded_run_runs_again_without_its_host() {
    let ask = Ask::KvGet { key: "no list".into() };
    let kept = vec![Asked { ask: ask.clone(), answer: Err(Failure::Timeout) }];
    let recorded = Recorded::new(kept, Nobody);
    assert_eq!(recorded.ask(&ask).await, Err(Failure::Timeout));
    assert!(matches!(recorded.ask(&ask).await, Err(Failure::Other(_))), "each answer is given once");
}

#[tokio::test]
async fn native_code_is_found_again_and_never_trusted_when_it_was_touched() {
    let folder = tempfile::tempdir().unwrap();
    let native = folder.path().join("native");
    let open = || {
        Sandbox::open(Options { folder: native.clone(), key: [7; 32], js_engine: None, threads: 1 }).unwrap()
    };
    let files = || {
        let mut names: Vec<_> = std::fs::read_dir(&native).unwrap().map(|e| e.unwrap().path()).collect();
        names.sort();
        names
    };
    let runs = |sandbox: Arc<Sandbox>| async move {
        let program = sandbox.load(router(PASS), Language::Component, World::Router).await.unwrap();
        assert_eq!(sandbox.run(&program, job(Arc::new(Nobody))).await.outcome, Outcome::Pass);
    };
    runs(open()).await;
    let first = files();
    assert_eq!(first.len(), 1);
    let written = std::fs::metadata(&first[0]).unwrap().modified().unwrap();
    runs(open()).await;
    assert_eq!(std::fs::metadata(&first[0]).unwrap().modified().unwrap(), written, "it was made anew");
    // One byte is wrong.
    let mut bytes = std::fs::read(&first[0]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&first[0], bytes).unwrap();
    runs(open()).await;
    assert_eq!(files(), first, "the same name for the same code");
    assert_ne!(std::fs::metadata(&first[0]).unwrap().modified().unwrap(), written);
    // Without the upload, by its digest; under another's name it is not taken.
    let (upload, other) = (digest(&router(PASS)), digest(b"other"));
    let kept = |of: String| async move { open().kept(&of, Language::Component, World::Router).await };
    let program = kept(upload.clone()).await.unwrap();
    assert_eq!(program.digest, upload);
    assert!(open().kept(&upload, Language::JavaScript, World::Router).await.is_none());
    assert!(open().kept(&upload, Language::Component, World::Ticketer).await.is_none());
    let name = first[0].to_str().unwrap().replace(&upload, &other);
    std::fs::copy(&first[0], &name).unwrap();
    assert!(kept(other).await.is_none());
    assert_eq!(files(), first, "it is removed");
    // Another key: what is there is not ours.
    let other = Sandbox::open(Options { folder: native.clone(), key: [8; 32], js_engine: None, threads: 1 });
    runs(other.unwrap()).await;
    open().sweep(&|_| false);
    assert!(files().is_empty());
}

#[tokio::test]
async fn a_tenant_has_a_share_and_no_more() {
    let (sandbox, _folder) = sandbox();
    let body = format!("(call $get (i32.const 16) (i32.const 7) (i32.const 128)) {PASS}");
    let program = sandbox.load(router(&body), Language::Component, World::Router).await.unwrap();
    let (share, other) = (Arc::new(Share::default()), Arc::new(Share::default()));
    let start = |share: &Arc<Share>| {
        let job = Job { share: Arc::clone(share), ..job(Arc::new(Slow(Duration::new(3_600, 0)))) };
        let (sandbox, program) = (Arc::clone(&sandbox), Arc::clone(&program));
        tokio::spawn(async move { sandbox.run(&program, job).await.outcome })
    };
    let most = limits::RUNS + limits::RUNS_WAITING;
    let runs: Vec<_> = (0..most + 5).map(|_| start(&share)).collect();
    let good = Job { share: other, ..job(Arc::new(Slow(Duration::ZERO))) };
    assert_eq!(sandbox.run(&program, good).await.outcome, Outcome::Pass);
    let mut outcomes = std::collections::BTreeMap::<&str, usize>::new();
    for run in runs {
        *outcomes.entry(run.await.unwrap().as_str()).or_default() += 1;
    }
    assert!(outcomes["busy"] >= 5, "{outcomes:?}");
    assert!(outcomes["time-limit"] >= limits::RUNS, "{outcomes:?}");
}

#[test]
fn digests_are_sha_256() {
    use sha2::Digest as _;
    assert_eq!(digest(b"abc"), hex(&sha2::Sha256::digest(b"abc")));
}

#[test]
fn an_upload_is_refused_with_what_to_change() {
    let (resolve, world) = world("router");
    let module = wit_component::dummy_module(&resolve, world, ManglingAndAbi::Standard32);
    let good = componentize(module.clone(), &resolve, world);
    let core = |bytes: &[u8], kind| inspect(bytes, Language::Component, kind).unwrap_err();
    for (bytes, code, says) in [
        (&b""[..], "malformed", "no whole"),
        (b"hello", "malformed", "no whole"),
        (&good[..good.len() / 2], "malformed", "no whole"),
        (&module[..], "not-a-component", "plugin build"),
    ] {
        let refusal = core(bytes, World::Router);
        assert_eq!(refusal.code, code, "{refusal}");
        assert!(refusal.text.contains(says), "{refusal}");
    }
    let refusal = core(&good, World::Ticketer);
    assert_eq!((refusal.code, refusal.text.contains("it is a router")), ("no-export", true), "{refusal}");
    let foreign = |import: &str| {
        let text = format!(r#"(component (import "{import}" (instance)))"#);
        core(&wat::parse_str(text).unwrap(), World::Router)
    };
    for (import, says) in [
        ("wasi:clocks/wall-clock@0.2.0", "`at`"),
        ("wasi:random/random@0.2.0", "`seed`"),
        ("wasi:http/outgoing-handler@0.2.0", "interface http"),
        ("wasi:filesystem/types@0.2.0", "interface kv"),
        ("hookswitch:plugin/log@2.0.0", "this service has 1.0.0"),
        ("hookswitch:plugin/call-control@1.0.0", "call scripts"),
        ("hookswitch:plugin/shell@1.0.0", "no interface shell"),
        ("hookswitch:js/host@1.0.0", "none of the interfaces"),
    ] {
        let refusal = foreign(import);
        assert_eq!(refusal.code, "wrong-import", "{refusal}");
        assert!(refusal.text.contains(says), "{refusal}");
    }
}

proptest::proptest! {
    #[test]
    fn no_upload_can_make_the_reader_panic(bytes: Vec<u8>) {
        inspect::fuzz(&bytes);
    }
}
