//! Makes the JavaScript engine's component of its core module: runs `wizer-initialize`, keeps the memory it leaves
//! behind, so that no run has to build JavaScript's own objects again, and wraps the result as the world `engine`.
//!
//!     snapshot_engine CORE.wasm ENGINE.wit OUT.wasm SELFTEST.js
//!
//! Before anything is written the new engine runs its own test: SELFTEST.js, whose functions return what is wrong, and
//! the cases below, whose exceptions are known. `scripts/build-plugins` calls this.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for the command line")]

use std::path::Path;
use std::process::ExitCode;

use futures_util::FutureExt;
use serde_json::Value;
use wasmparser::{Parser, Payload};
use wasmtime::component::{Component, Instance, Linker};
use wasmtime::error::{Context, format_err};
use wasmtime::{Config, Engine, Module, ResourceLimiter, Result, Store, Val, bail, ensure};
use wasmtime_wizer::{InstanceState, SnapshotVal, ValType, Wizer};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

/// One page of the host's: what the kernel looks through after every run.
const TABLE_ELEMENTS: u64 = 512;
const AT: u64 = 1_773_325_200_000;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [core, wit, out, selftest] = arguments.as_slice() else {
        eprintln!("usage: snapshot_engine CORE.wasm ENGINE.wit OUT.wasm SELFTEST.js");
        return ExitCode::from(64);
    };
    match make(core, wit, out, selftest) {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("snapshot_engine: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn make(core: &str, wit: &str, out: &str, selftest: &str) -> Result<String> {
    let core = std::fs::read(core).with_context(|| core.to_owned())?;
    let ready = snapshot(&core)?;
    let elements = table_elements(&ready)?;
    ensure!(
        elements <= TABLE_ELEMENTS,
        "the function table has {elements} elements; more than {TABLE_ELEMENTS} cost a second look of the kernel in every run"
    );
    let component = component(ready, Path::new(wit))?;
    let script = std::fs::read_to_string(selftest).with_context(|| selftest.to_owned())?;
    let tests = Tested::new(&component)?.all(&script)?;
    std::fs::write(out, &component).with_context(|| out.to_owned())?;
    Ok(format!("{out}: {} bytes, {elements} table elements, {tests} tests passed", component.len()))
}

/// The instance whose memory is kept.
struct Initialized {
    store: Store<()>,
    instance: wasmtime::Instance,
}

impl InstanceState for Initialized {
    async fn global_get(&mut self, name: &str, _: ValType) -> SnapshotVal {
        let value = self.instance.get_global(&mut self.store, name).map(|global| global.get(&mut self.store));
        match value {
            Some(Val::I32(x)) => SnapshotVal::I32(x),
            Some(Val::I64(x)) => SnapshotVal::I64(x),
            Some(Val::F32(x)) => SnapshotVal::F32(x),
            Some(Val::F64(x)) => SnapshotVal::F64(x),
            other => unreachable!("clang makes no global like {name}: {other:?}"),
        }
    }

    async fn memory_contents(&mut self, name: &str, contents: impl FnOnce(&[u8]) + Send) {
        let memory = self.instance.get_memory(&mut self.store, name);
        contents(memory.map_or(&[], |memory| memory.data(&self.store)));
    }
}

/// The module with the memory that its initialization leaves.
fn snapshot(core: &[u8]) -> Result<Vec<u8>> {
    let wizer = Wizer::new();
    let (context, instrumented) = wizer.instrument(core)?;
    let engine = Engine::default();
    let module = Module::new(&engine, instrumented)?;
    let mut linker = wasmtime::Linker::new(&engine);
    // Nobody is there to answer while the engine is made.
    linker.define_unknown_imports_as_traps(&module)?;
    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &module)?;
    let initialize = instance.get_typed_func::<(), ()>(&mut store, wizer.get_init_func())?;
    initialize.call(&mut store, ()).context("the engine could not be initialized")?;
    let mut initialized = Initialized { store, instance };
    let ready = wizer.snapshot(&context, &mut initialized).now_or_never();
    ready.ok_or_else(|| format_err!("the snapshot waits for something"))?
}

fn table_elements(module: &[u8]) -> Result<u64> {
    let mut elements = 0;
    for payload in Parser::new(0).parse_all(module) {
        if let Payload::TableSection(tables) = payload? {
            for table in tables {
                elements += table?.ty.initial;
            }
        }
    }
    Ok(elements)
}

fn component(mut core: Vec<u8>, wit: &Path) -> Result<Vec<u8>> {
    let said = |error: &dyn std::fmt::Display| format_err!("{error:#}");
    let mut resolve = wit_parser::Resolve::default();
    let package = resolve.push_file(wit).map_err(|e| said(&e))?;
    let world = resolve.select_world(&[package], Some("engine")).map_err(|e| said(&e))?;
    embed_component_metadata(&mut core, &resolve, world, StringEncoding::UTF8).map_err(|e| said(&e))?;
    let encoder = ComponentEncoder::default().module(&core).map_err(|e| said(&e))?;
    encoder.validate(true).encode().map_err(|e| said(&e))
}

/// What a run leaves behind.
#[derive(Default)]
struct Seen {
    lines: Vec<String>,
    grown: u32,
}

impl ResourceLimiter for Seen {
    fn memory_growing(&mut self, current: usize, wanted: usize, _: Option<usize>) -> Result<bool> {
        self.grown += u32::from(current > 0);
        Ok(wanted <= 32 << 20)
    }

    fn table_growing(&mut self, _: usize, _: usize, _: Option<usize>) -> Result<bool> {
        Ok(true)
    }
}

/// The service as the selftest wants it: what `kv` is asked comes back in one way or the other.
fn answer(seen: &mut Seen, name: &str, args: &str) -> Result<String, String> {
    let first = || {
        let list: Vec<Value> = serde_json::from_str(args).unwrap_or_default();
        list.into_iter().next().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
    };
    match name {
        // A text, to be read as JSON.
        "kv.get" => Ok(first()),
        // What was written, as a text.
        "kv.set" | "http.send" => Ok(Value::from(args).to_string()),
        // A failure.
        "kv.delete" => Err(first()),
        "log.write" => {
            seen.lines.push(args.to_owned());
            Ok(String::new())
        }
        "settings.get" => Ok("null".into()),
        "settings.getList" if args == r#"["orders"]"# => Ok(r#"["4711=shipped","4712=delayed"]"#.into()),
        "settings.getList" => Ok("[]".into()),
        "callControl.setVariable" | "callControl.say" => Ok(String::new()),
        "callControl.gather" => Ok(r##"{"digits":"4711","terminator":"#"}"##.into()),
        "callControl.answer" => Ok(String::new()),
        _ => Err(format!("{{\"tag\":\"denied\",\"val\":\"{name} is not granted\"}}")),
    }
}

/// A source, and how the text of its exception begins.
const EXCEPTIONS: [(&str, &str); 12] = [
    (
        "export function routeCall(call) {\n  const who = call.missing;\n  return who.number;\n}",
        "TypeError: cannot read property 'number' of undefined\n    at routeCall (script.js:3:10)",
    ),
    (
        "export function routeCall() {\n  let 1x = 2;\n}",
        "SyntaxError: invalid number literal\n    at script.js:2:7",
    ),
    (
        "import x from 'y';\nexport function routeCall() {}",
        "TypeError: 'y' can't be imported: a plugin is one file",
    ),
    (
        "export async function routeCall() { await import('y'); }",
        "TypeError: 'y' can't be imported: a plugin is one file",
    ),
    ("export function onEvent() {}", "TypeError: the script exports no function routeCall"),
    ("export function routeCall() { throw 'no list'; }", "no list"),
    ("export function routeCall() { throw { code: 1 }; }", "{\"code\":1}"),
    (
        "export async function routeCall() { await null; throw new RangeError('later'); }",
        "RangeError: later\n",
    ),
    (
        "export async function routeCall() { await new Promise(() => {}); }",
        "TypeError: a promise never came to",
    ),
    (
        "export function routeCall() {\n  return contacts.byNumber('+1');\n}",
        "Failure: denied: contacts.byNumber is not",
    ),
    (
        "export function routeCall() { return routeCall() + 1; }",
        "RangeError: Maximum call stack size exceeded",
    ),
    (
        "export function routeCall() { const a = {}; a.a = a; return a; }",
        "RangeError: the value is nested more than",
    ),
];

type Code = (Result<Vec<u8>, String>,);
type Names = (Result<Vec<String>, String>,);
type Answer = (Result<String, String>,);

struct Tested {
    engine: Engine,
    component: Component,
    linker: Linker<Seen>,
}

impl Tested {
    fn new(component: &[u8]) -> Result<Self> {
        let engine = Engine::new(Config::new().max_wasm_stack(512 << 10))?;
        let component = Component::from_binary(&engine, component)?;
        let mut linker: Linker<Seen> = Linker::new(&engine);
        linker.instance("hookswitch:js/host@1.0.0")?.func_wrap(
            "call",
            |mut store: wasmtime::StoreContextMut<'_, Seen>, (name, args): (String, String)| {
                Ok((answer(store.data_mut(), &name, &args),))
            },
        )?;
        Ok(Self { engine, component, linker })
    }

    /// A fresh instance, as every run has one.
    fn instance(&self) -> Result<(Store<Seen>, Instance)> {
        let mut store = Store::new(&self.engine, Seen::default());
        store.limiter(|seen| seen);
        let instance = self.linker.instantiate(&mut store, &self.component)?;
        Ok((store, instance))
    }

    fn compile(&self, source: &str) -> Result<Result<Vec<u8>, String>> {
        let (mut store, instance) = self.instance()?;
        let compile = instance.get_typed_func::<(&str,), Code>(&mut store, "compile")?;
        Ok(compile.call(&mut store, (source,))?.0)
    }

    fn exports(&self, source: &str) -> Result<Result<Vec<String>, String>> {
        let (mut store, instance) = self.instance()?;
        let exports = instance.get_typed_func::<(&str,), Names>(&mut store, "exports")?;
        Ok(exports.call(&mut store, (source,))?.0)
    }

    fn run(&self, code: &[u8], is_compiled: bool, function: &str) -> Result<(Result<String, String>, Seen)> {
        let (mut store, instance) = self.instance()?;
        let run = instance
            .get_typed_func::<(&[u8], bool, &str, &str, u64, u64), Answer>(&mut store, "run")
            .context("the export run")?;
        let input = include_str!("../plugins/starters/call.json");
        let answer = run.call(&mut store, (code, is_compiled, function, input, AT, 42))?.0;
        Ok((answer, std::mem::take(store.data_mut())))
    }

    /// Everything, and how many tests that was.
    fn all(&self, script: &str) -> Result<usize> {
        let names = self.exports(script)?.map_err(wasmtime::Error::msg)?;
        ensure!(names.len() > 5, "the selftest exports only {names:?}");
        let code = self.compile(script)?.map_err(wasmtime::Error::msg)?;
        for name in &names {
            for (code, is_compiled) in [(script.as_bytes(), false), (&code, true)] {
                let (answer, seen) = self.run(code, is_compiled, name)?;
                ensure!(answer.as_deref() == Ok("[]"), "{name}: {answer:?}; log {:?}", seen.lines);
            }
        }
        for (source, expected) in EXCEPTIONS {
            self.fails(source, expected)?;
        }
        self.ordinary()?;
        self.unawaited()?;
        Ok(names.len() + EXCEPTIONS.len() + 2)
    }

    fn fails(&self, source: &str, expected: &str) -> Result<()> {
        let (answer, _) = self.run(source.as_bytes(), false, "routeCall")?;
        let Err(text) = answer else { bail!("no exception: {source}") };
        ensure!(text.starts_with(expected), "{source}\n{text:?} instead of {expected:?}");
        ensure!(!text.contains("prelude"), "{text}");
        // What is wrong with the source itself is told at upload.
        match self.compile(source)? {
            Ok(code) => {
                let (again, _) = self.run(&code, true, "routeCall")?;
                ensure!(again == Err(text.clone()), "{again:?} instead of {text:?}");
            }
            Err(told) => ensure!(told == text, "{told:?} instead of {text:?}"),
        }
        Ok(())
    }

    /// A run of the usual kind, the demo's call script, needs no more memory than it begins with.
    fn ordinary(&self) -> Result<()> {
        let source = include_str!("../plugins/order-status/order-status.js");
        let code = self.compile(source)?.map_err(wasmtime::Error::msg)?;
        let (answer, seen) = self.run(&code, true, "handleCall")?;
        let decision = r#"{"tag":"hang-up","val":{"cause":"normal","reason":"order 4711 is shipped"}}"#;
        ensure!(answer.as_deref() == Ok(decision), "{answer:?}");
        ensure!(seen.grown == 0, "memory grew in an ordinary run");
        ensure!(seen.lines == [r#"["info","order 4711: shipped"]"#], "{:?}", seen.lines);
        Ok(())
    }

    /// What nobody waits for is brought to an end, and what went wrong there is told.
    fn unawaited(&self) -> Result<()> {
        let source = "async function later() { await null; log.info('done'); throw new Error('lost'); }\n\
                      export function routeCall() { later(); return { tag: 'pass' }; }";
        let (answer, seen) = self.run(source.as_bytes(), false, "routeCall")?;
        ensure!(answer.as_deref() == Ok(r#"{"tag":"pass"}"#), "{answer:?}");
        let lost = r#"["warn","a promise was rejected and nobody awaited it: Error: lost"#;
        ensure!(seen.lines.len() == 2 && seen.lines[1].starts_with(lost), "{:?}", seen.lines);
        Ok(())
    }
}
