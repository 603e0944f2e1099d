//! wasmtime, set up as measured: two engines (runs that end at once, and call scripts that sleep), each with a pool of
//! places that are made at start, so that a run maps and unmaps nothing.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use wasmtime::component::Linker;
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::host;
use super::state::State;
use crate::base::clock::Stopwatch;
use crate::config::limits::plugins as limits;

/// How places for runs are had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Places {
    /// A pool with all the address space that guards without checks need.
    Pool,
    /// A pool of small reservations: every access of memory is checked, so code is slower.
    SmallPool,
    /// None: each run maps memory of its own, some four times as slow, and threads wait for each other.
    OnDemand,
}

impl Places {
    /// A word for logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pool => "pool",
            Self::SmallPool => "small-pool",
            Self::OnDemand => "on-demand",
        }
    }
}

/// One engine with what its guests can import.
pub(super) struct Room {
    pub(super) engine: Engine,
    /// For tenants' components.
    pub(super) linker: Linker<State>,
    /// For the JavaScript engine, which has one import of its own.
    pub(super) door: Linker<State>,
    pub(super) places: Places,
}

impl Room {
    /// As good a room as this machine lets us have.
    pub(super) fn open(slots: u32, keeps: bool) -> wasmtime::Result<Self> {
        let mut failed = None;
        for places in [Places::Pool, Places::SmallPool, Places::OnDemand] {
            match Engine::new(&config(places, slots, keeps)).and_then(|engine| Self::furnish(engine, places))
            {
                Ok(room) => {
                    if let Some(error) = failed {
                        tracing::error!(
                            places = places.as_str(), slots, error = %error,
                            "the address space for plugins can't be had: plugins run slower. Lift the limit on virtual \
                             memory (ulimit -v, LimitAS=) of this service"
                        );
                    }
                    return Ok(room);
                }
                Err(error) if places == Places::OnDemand => return Err(error),
                Err(error) => failed = Some(format!("{error:#}")),
            }
        }
        Err(wasmtime::Error::msg("no way to run plugins"))
    }

    fn furnish(engine: Engine, places: Places) -> wasmtime::Result<Self> {
        let (mut linker, mut door) = (Linker::new(&engine), Linker::new(&engine));
        host::link(&mut linker)?;
        host::link_door(&mut door)?;
        Ok(Self { engine, linker, door, places })
    }

    /// What native code has to be made with to run here.
    pub(super) fn compatibility(&self) -> u64 {
        // Two processes of the same build get the same number, which is all that a cache needs.
        #[expect(deprecated, reason = "the one hasher of std without random keys")]
        let mut hasher = std::hash::SipHasher::new();
        self.engine.precompile_compatibility_hash().hash(&mut hasher);
        hasher.finish()
    }
}

fn config(places: Places, slots: u32, keeps: bool) -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .consume_fuel(true)
        .max_wasm_stack(limits::STACK_BYTES)
        .async_stack_size(limits::FIBER_STACK_BYTES)
        .memory_guaranteed_dense_image_size(limits::IMAGE_BYTES)
        // The compiler has one thread: uploads leave the other processors to calls.
        .parallel_compilation(false)
        .relaxed_simd_deterministic(true)
        .wasm_memory64(false)
        // Traps are told by their code; nobody reads the frames.
        .wasm_backtrace_max_frames(None);
    if places == Places::SmallPool {
        config.memory_reservation(limits::MEMORY_BYTES as u64).memory_guard_size(0);
    }
    if places != Places::OnDemand {
        let mut pool = PoolingAllocationConfig::new();
        pool.total_component_instances(slots)
            .total_memories(slots)
            .total_tables(slots * 2)
            .total_core_instances(slots * limits::CORE_INSTANCES)
            .total_stacks(slots)
            .max_core_instances_per_component(limits::CORE_INSTANCES)
            .max_memories_per_component(1)
            .max_tables_per_component(2)
            .max_memory_size(limits::MEMORY_BYTES)
            .table_elements(limits::TABLE_ELEMENTS)
            .max_core_instance_size(limits::CORE_INSTANCE_BYTES)
            .max_component_instance_size(limits::COMPONENT_INSTANCE_BYTES)
            .pagemap_scan(Enabled::Auto);
        if keeps {
            pool.linear_memory_keep_resident(limits::KEEP_RESIDENT_BYTES)
                .table_keep_resident(limits::KEEP_TABLE_BYTES)
                .max_unused_warm_slots(limits::WARM_SLOTS);
        }
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    }
    config
}

/// Moves the engines' epochs on, by the clock and not by sleeping again and again, while something runs.
#[derive(Debug)]
pub(super) struct Ticker {
    running: AtomicUsize,
    /// When the last run began or ended, nanoseconds on `zero`.
    last_ns: AtomicU64,
    asleep: AtomicBool,
    stopped: AtomicBool,
    pub(super) zero: Stopwatch,
    thread: std::sync::OnceLock<std::thread::Thread>,
}

impl Ticker {
    pub(super) fn start(engines: Vec<Engine>) -> std::io::Result<Arc<Self>> {
        let ticker = Arc::new(Self {
            running: AtomicUsize::new(0),
            last_ns: AtomicU64::new(0),
            asleep: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            zero: Stopwatch::start(),
            thread: std::sync::OnceLock::new(),
        });
        let its = Arc::clone(&ticker);
        let thread =
            std::thread::Builder::new().name("plugin-tick".into()).spawn(move || its.run(&engines))?;
        // Nobody else sets it.
        let _ = ticker.thread.set(thread.thread().clone());
        Ok(ticker)
    }

    fn run(&self, engines: &[Engine]) {
        let step = limits::TICK;
        let mut next = step;
        while !self.stopped.load(Ordering::Relaxed) {
            let now = std::time::Duration::from_nanos(self.zero.elapsed_ns());
            if now < next {
                std::thread::sleep(next - now);
                continue;
            }
            // Ticks that were missed do not come in a heap.
            next = now.max(next) + step;
            for engine in engines {
                engine.increment_epoch();
            }
            let last = std::time::Duration::from_nanos(self.last_ns.load(Ordering::Relaxed));
            if self.running.load(Ordering::SeqCst) == 0 && now.saturating_sub(last) > limits::TICKER_IDLE {
                self.asleep.store(true, Ordering::SeqCst);
                // Whoever began meanwhile either saw us asleep or is seen here.
                while self.running.load(Ordering::SeqCst) == 0 && !self.stopped.load(Ordering::Relaxed) {
                    std::thread::park();
                }
                self.asleep.store(false, Ordering::SeqCst);
                next = std::time::Duration::from_nanos(self.zero.elapsed_ns()) + step;
            }
        }
    }

    /// A run begins; it ends with what is returned.
    pub(super) fn running(self: &Arc<Self>) -> Running {
        self.running.fetch_add(1, Ordering::SeqCst);
        if self.asleep.load(Ordering::SeqCst) {
            self.wake();
        }
        Running(Arc::clone(self))
    }

    fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.wake();
    }
}

/// Keeps the ticker awake.
#[derive(Debug)]
pub(super) struct Running(Arc<Ticker>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.last_ns.store(self.0.zero.elapsed_ns(), Ordering::Relaxed);
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}
