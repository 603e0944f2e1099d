//! From an upload to something that can run: a [`Program`].

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::sync::{OnceCell, Semaphore, oneshot};
use wasmtime::component::{Component, ComponentExportIndex, InstancePre};

use super::engine::{Places, Room, Ticker};
use super::inspect::{Refusal, digest, inspect};
use super::native::Native;
use super::run::{Work, work_alone};
use super::state::State;
use super::{Language, World, lane};
use crate::base::priority;
use crate::config::limits::plugins as limits;

/// What a sandbox is made with.
#[derive(Debug)]
pub struct Options {
    /// Where native code is kept; nobody else may write there.
    pub folder: PathBuf,
    /// The key that vouches for it.
    pub key: [u8; 32],
    /// The JavaScript engine's component; `None`: scripts are refused.
    pub js_engine: Option<Bytes>,
    /// Threads for runs that take long.
    pub threads: usize,
}

/// The JavaScript engine's component that was there when this program was built; `None`: there was none.
pub fn js_engine() -> Option<Bytes> {
    #[cfg(js_engine)]
    return Some(Bytes::from_static(include_bytes!(env!("HOOKSWITCH_JS_ENGINE_FILE"))));
    #[cfg(not(js_engine))]
    None
}

/// Runs programs. One for a process.
pub struct Sandbox {
    /// For runs that end at once.
    quick: Room,
    /// For call scripts, which sleep while their caller listens.
    asleep: Room,
    native: Native,
    compiler: Arc<Semaphore>,
    compiles: AtomicUsize,
    js_engine: Option<Bytes>,
    js: OnceCell<Arc<Js>>,
    pub(super) ticker: Arc<Ticker>,
    /// Threads for runs that take long; taken at the end.
    lanes: Option<tokio::runtime::Runtime>,
    pub(super) places: Arc<Semaphore>,
    pub(super) script_places: Arc<Semaphore>,
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox").field("places", &self.quick.places).finish_non_exhaustive()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.ticker.stop();
        if let Some(lanes) = self.lanes.take() {
            lanes.shutdown_background();
        }
    }
}

/// Something that can run, as often as one likes.
pub struct Program {
    /// Its kind.
    pub world: World,
    /// What its upload was written in.
    pub language: Language,
    /// SHA-256 of the upload.
    pub digest: String,
    pub(super) body: Body,
    /// Until when its runs begin on the plugins' own threads, on the ticker's clock.
    heavy_until_ns: AtomicU64,
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Program({} {} {})", self.world.as_str(), self.language.as_str(), self.digest)
    }
}

/// A component with its function found.
pub(super) struct Ready {
    pub(super) pre: InstancePre<State>,
    pub(super) export: ComponentExportIndex,
}

/// The JavaScript engine in one room.
pub(super) struct JsRoom {
    pub(super) pre: InstancePre<State>,
    pub(super) compile: ComponentExportIndex,
    pub(super) exports: ComponentExportIndex,
    pub(super) run: ComponentExportIndex,
}

/// The JavaScript engine in both.
pub(super) struct Js {
    pub(super) quick: JsRoom,
    pub(super) asleep: JsRoom,
}

pub(super) enum Body {
    Component(Ready),
    /// A script's byte code, made by the engine itself.
    Script {
        js: Arc<Js>,
        code: Vec<u8>,
    },
}

impl Program {
    fn of(world: World, language: Language, digest: String, body: Body) -> Arc<Self> {
        Arc::new(Self { world, language, digest, body, heavy_until_ns: AtomicU64::new(0) })
    }

    /// Bytes of its native code, mapped from a file; of a script, its byte code.
    pub fn native_bytes(&self) -> usize {
        match &self.body {
            Body::Component(ready) => {
                let code = ready.pre.component().image_range();
                code.end.addr() - code.start.addr()
            }
            Body::Script { code, .. } => code.len(),
        }
    }

    pub(super) fn is_heavy(&self, now_ns: u64) -> bool {
        now_ns < self.heavy_until_ns.load(Ordering::Relaxed)
    }

    pub(super) fn took_long(&self, now_ns: u64) {
        let heavy = u64::try_from(limits::HEAVY.as_nanos()).unwrap_or(u64::MAX);
        self.heavy_until_ns.store(now_ns.saturating_add(heavy), Ordering::Relaxed);
    }
}

impl Sandbox {
    /// Takes address space and threads. What runs that take long ask is answered on the runtime that this is called on.
    ///
    /// # Errors
    /// When the folder can't be made, a thread can't be started or wasmtime can't run here.
    pub fn open(options: Options) -> Result<Arc<Self>, String> {
        let failed = |what: &str, error: &dyn std::fmt::Display| format!("{what}: {error:#}");
        let quick = Room::open(limits::POOL_RUNS, true).map_err(|e| failed("plugins can't run here", &e))?;
        let asleep =
            Room::open(limits::POOL_SCRIPTS, false).map_err(|e| failed("call scripts can't run here", &e))?;
        let native = Native::open(options.folder.clone(), options.key)
            .map_err(|e| failed(&format!("the folder {}", options.folder.display()), &e))?;
        let ticker = Ticker::start(vec![quick.engine.clone(), asleep.engine.clone()])
            .map_err(|e| failed("the plugins' ticker", &e))?;
        let lanes = lane::start(options.threads).map_err(|e| failed("the plugins' threads", &e))?;
        Ok(Arc::new(Self {
            quick,
            asleep,
            native,
            compiler: Arc::new(Semaphore::new(1)),
            compiles: AtomicUsize::new(0),
            js_engine: options.js_engine,
            js: OnceCell::new(),
            ticker,
            lanes: Some(lanes),
            places: Arc::new(Semaphore::new(limits::POOL_RUNS as usize)),
            script_places: Arc::new(Semaphore::new(limits::POOL_SCRIPTS as usize)),
        }))
    }

    /// How places for runs are had.
    pub fn places(&self) -> Places {
        self.quick.places
    }

    /// Whether scripts can be uploaded.
    pub fn has_scripts(&self) -> bool {
        self.js_engine.is_some()
    }

    /// The threads for what takes long.
    pub(super) fn lanes(&self) -> Option<&tokio::runtime::Handle> {
        self.lanes.as_ref().map(tokio::runtime::Runtime::handle)
    }

    /// Makes a program of an upload. Native code that is on disk is taken from there; else it is compiled, one upload at
    /// a time.
    ///
    /// # Errors
    /// What its author has to change; `compiler-busy` and `compile-timeout` are the service's.
    pub async fn load(
        self: &Arc<Self>,
        bytes: Bytes,
        language: Language,
        world: World,
    ) -> Result<Arc<Program>, Refusal> {
        let inspected = inspect(&bytes, language, world)?;
        let body = match language {
            Language::Component => {
                let room = self.room(world);
                let component = self.native_code(room, bytes, &inspected.digest).await?;
                Body::Component(ready(room, &component, world)?)
            }
            Language::JavaScript => self.script(&bytes, world).await?,
        };
        Ok(Program::of(world, language, inspected.digest, body))
    }

    /// The program of an upload whose native code is on disk, without the upload. Only of what was loaded before as this
    /// very kind, as each version of a plugin was: so it is known to pass inspection. A script has no native code of its
    /// own.
    pub async fn kept(
        self: &Arc<Self>,
        digest: &str,
        language: Language,
        world: World,
    ) -> Option<Arc<Program>> {
        if language != Language::Component {
            return None;
        }
        let room = self.room(world);
        let component = self.find(room, digest).await?;
        let body = ready(room, &component, world).inspect_err(
            |refusal| tracing::warn!(plugin.digest = %digest, %refusal, "native code does not fit"),
        );
        Some(Program::of(world, language, digest.to_owned(), Body::Component(body.ok()?)))
    }

    fn room(&self, world: World) -> &Room {
        if world == World::CallScript { &self.asleep } else { &self.quick }
    }

    /// A script's byte code, made in the same sandbox that will run it.
    async fn script(self: &Arc<Self>, bytes: &Bytes, world: World) -> Result<Body, Refusal> {
        let js = self.js().await?;
        // Checked to be UTF-8 when it was inspected.
        let source = String::from_utf8_lossy(bytes).into_owned();
        let (code, exports) = work_alone(self, &js, Work::Compile(source)).await?;
        if !exports.iter().any(|name| name == world.function()) {
            return Err(Refusal::new(
                "no-export",
                format!(
                    "a {} exports the function {}, and this script exports {exports:?}: write `export function {}(...)`",
                    world.as_str(),
                    world.function(),
                    world.function()
                ),
            ));
        }
        Ok(Body::Script { js, code })
    }

    /// The JavaScript engine, made when it is first needed.
    async fn js(self: &Arc<Self>) -> Result<Arc<Js>, Refusal> {
        let js = self.js.get_or_try_init(|| async {
            let Some(bytes) = self.js_engine.clone() else {
                return Err(Refusal::new(
                    "no-javascript",
                    "this service was built without its JavaScript engine; upload a component instead",
                ));
            };
            let name = digest(&bytes);
            let quick = js_room(&self.quick, &self.native_code(&self.quick, bytes.clone(), &name).await?)?;
            let asleep = js_room(&self.asleep, &self.native_code(&self.asleep, bytes, &name).await?)?;
            Ok(Arc::new(Js { quick, asleep }))
        });
        js.await.cloned()
    }

    /// A component, from native code on disk or by the compiler.
    async fn native_code(
        self: &Arc<Self>,
        room: &Room,
        bytes: Bytes,
        digest: &str,
    ) -> Result<Component, Refusal> {
        if let Some(component) = self.find(room, digest).await {
            return Ok(component);
        }
        if self.compiles.fetch_add(1, Ordering::Relaxed) >= limits::COMPILE_QUEUE {
            self.compiles.fetch_sub(1, Ordering::Relaxed);
            return Err(Refusal::new("compiler-busy", "other plugins are being compiled; try again later"));
        }
        let (engine, compatibility) = (room.engine.clone(), room.compatibility());
        let compiled = self.compile(engine, compatibility, bytes, digest.to_owned()).await;
        self.compiles.fetch_sub(1, Ordering::Relaxed);
        compiled
    }

    /// A component whose native code is on disk.
    async fn find(self: &Arc<Self>, room: &Room, digest: &str) -> Option<Component> {
        let (engine, compatibility) = (room.engine.clone(), room.compatibility());
        let (this, name) = (Arc::clone(self), digest.to_owned());
        tokio::task::spawn_blocking(move || this.native.find(&engine, &name, compatibility)).await.ok()?
    }

    /// Compiles on a thread of its own. One that takes too long can't be stopped: nobody waits for it any more, and the
    /// next upload does.
    async fn compile(
        self: &Arc<Self>,
        engine: wasmtime::Engine,
        compatibility: u64,
        bytes: Bytes,
        digest: String,
    ) -> Result<Component, Refusal> {
        let broken = |text: String| Refusal::new("compiler-failed", text);
        let turn = Arc::clone(&self.compiler).acquire_owned().await.map_err(|e| broken(e.to_string()))?;
        let (send, receive) = oneshot::channel();
        let this = Arc::clone(self);
        let work = move || {
            priority::give_way();
            let made = Component::from_binary(&engine, &bytes)
                .map_err(|error| Refusal::new("invalid", format!("{error:#}")))
                .and_then(|component| {
                    this.native.keep(&component, &digest, compatibility).map_err(|error| {
                        tracing::error!(error = %format!("{error:#}"), "native code of a plugin can't be kept");
                        Refusal::new("compiler-failed", "the service can't keep the plugin's native code")
                    })
                });
            drop(turn);
            // Whoever asked may have given up.
            let _ = send.send(made);
        };
        std::thread::Builder::new()
            .name("plugin-compile".into())
            .spawn(work)
            .map_err(|e| broken(e.to_string()))?;
        match tokio::time::timeout(limits::COMPILE_TIME, receive).await {
            Ok(Ok(made)) => made,
            Ok(Err(_)) => Err(broken("the compiler gave up on this file".into())),
            Err(_) => {
                let seconds = limits::COMPILE_TIME.as_secs();
                Err(Refusal::new(
                    "compile-timeout",
                    format!("the file was not compiled within {seconds} s; make it smaller"),
                ))
            }
        }
    }

    /// Removes native code of uploads that `needed` does not know (by their digest).
    pub fn sweep(&self, needed: &dyn Fn(&str) -> bool) {
        let engine = self.js_engine.as_ref().map(|bytes| digest(bytes));
        self.native.sweep(&|name| engine.as_deref() == Some(name) || needed(name));
    }
}

fn ready(room: &Room, component: &Component, world: World) -> Result<Ready, Refusal> {
    let unfit = |error: wasmtime::Error| Refusal::new("wrong-type", format!("{error:#}"));
    let pre = room.linker.instantiate_pre(component).map_err(unfit)?;
    let export = component
        .get_export_index(None, world.export())
        .ok_or_else(|| Refusal::new("no-export", format!("{} is not exported", world.export())))?;
    Ok(Ready { pre, export })
}

fn js_room(room: &Room, component: &Component) -> Result<JsRoom, Refusal> {
    let missing = |what: &str| Refusal::new("no-javascript", format!("the JavaScript engine: {what}"));
    let pre = room.door.instantiate_pre(component).map_err(|error| missing(&format!("{error:#}")))?;
    let find = |name: &str| component.get_export_index(None, name).ok_or_else(|| missing(name));
    Ok(JsRoom { pre, compile: find("compile")?, exports: find("exports")?, run: find("run")? })
}
