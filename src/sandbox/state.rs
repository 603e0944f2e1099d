//! What belongs to one run: its limits, what it used of them, what it wrote, what it asked.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use wasmtime::{ResourceLimiter, StoreContextMut, UpdateDeadline};

use super::grants::Grants;
use super::host::{Asked, Host, Setting, Settings};
use super::meter::Meter;
use super::outcome::Line;
use super::types::Level;
use crate::base::clock::Stopwatch;
use crate::config::limits::plugins as limits;

/// What one run may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Processor time.
    pub cpu: Duration,
    /// Wall time with its host calls.
    pub wall: Duration,
    /// Instructions.
    pub fuel: u64,
    /// Bytes of linear memory.
    pub memory: usize,
    /// Host calls.
    pub host_calls: u32,
}

/// Why the host ended a run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Stop {
    #[error("it used more than {} ms of processor time", .0.as_millis())]
    Cpu(Duration),
    #[error("it was not done within {} ms", .0.as_millis())]
    Wall(Duration),
    #[error("it made more than {0} host calls")]
    HostCalls(u32),
}

/// The data of a run's store.
pub(super) struct State {
    pub(super) limits: Limits,
    pub(super) grants: Grants,
    pub(super) host: Arc<dyn Host>,
    /// Whether there is a caller on the line: only in call scripts.
    pub(super) has_caller: bool,
    settings: Arc<Settings>,
    pub(super) meter: Arc<Meter>,
    since: Stopwatch,
    pub(super) limiter: Limiter,
    pub(super) host_calls: u32,
    pub(super) http_calls: u32,
    /// What was refused first for want of a grant.
    pub(super) denied: Option<String>,
    pub(super) stopped: Option<Stop>,
    /// What a script returned that is no answer.
    pub(super) unfit: Option<String>,
    pub(super) log: Vec<Line>,
    log_bytes: usize,
    /// Whether lines are missing.
    pub(super) log_cut: bool,
    pub(super) trail: Vec<Asked>,
    trail_bytes: usize,
    /// Whether answers are missing, so that no replay can be exact.
    pub(super) trail_cut: bool,
}

impl State {
    pub(super) fn new(
        limits: Limits,
        grants: Grants,
        host: Arc<dyn Host>,
        has_caller: bool,
        settings: Arc<Settings>,
        meter: Arc<Meter>,
    ) -> Self {
        Self {
            limits,
            grants,
            host,
            has_caller,
            settings,
            meter,
            since: Stopwatch::start(),
            limiter: Limiter { most: limits.memory, ..Limiter::default() },
            host_calls: 0,
            http_calls: 0,
            denied: None,
            stopped: None,
            unfit: None,
            log: Vec::new(),
            log_bytes: 0,
            log_cut: false,
            trail: Vec::new(),
            trail_bytes: 0,
            trail_cut: false,
        }
    }

    /// Remembers why, and makes the error that ends the run.
    pub(super) fn stop(&mut self, why: Stop) -> wasmtime::Error {
        self.stopped = Some(why.clone());
        wasmtime::Error::new(why)
    }

    /// Wall time that is left; `None`: nothing.
    pub(super) fn left(&self) -> Option<Duration> {
        self.limits.wall.checked_sub(Duration::from_nanos(self.since.elapsed_ns()))
    }

    /// Microseconds since the run began.
    pub(super) fn elapsed_us(&self) -> u64 {
        self.since.elapsed_us()
    }

    pub(super) fn log(&mut self, level: Level, mut message: String) {
        let room = limits::LOG_BYTES - self.log_bytes;
        if self.log.len() == limits::LOG_LINES || room == 0 {
            self.log_cut = true;
            return;
        }
        if message.len() > room {
            self.log_cut = true;
            message.truncate((0..=room).rev().find(|at| message.is_char_boundary(*at)).unwrap_or(0));
        }
        self.log_bytes += message.len();
        self.log.push(Line { level, message });
    }

    pub(super) fn setting(&self, name: &str) -> Option<String> {
        self.settings.get(name).map(Setting::text)
    }

    pub(super) fn setting_list(&self, name: &str) -> Vec<String> {
        self.settings.get(name).map(Setting::list).unwrap_or_default()
    }

    /// Keeps a question with its answer, while there is room.
    pub(super) fn keep(&mut self, asked: Asked) {
        let mut size = Counted(0);
        let size = serde_json::to_writer(&mut size, &asked).map_or(usize::MAX, |()| size.0);
        if self.trail_cut || size > limits::TRAIL_BYTES - self.trail_bytes {
            self.trail_cut = true;
            return;
        }
        self.trail_bytes += size;
        self.trail.push(asked);
    }
}

/// Counts bytes and keeps none.
struct Counted(usize);

impl std::io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Called at every tick while the guest runs.
pub(super) fn tick(mut store: StoreContextMut<'_, State>) -> wasmtime::Result<UpdateDeadline> {
    let state = store.data_mut();
    let used = state.meter.tick();
    if used >= state.limits.cpu {
        let cpu = state.limits.cpu;
        return Err(state.stop(Stop::Cpu(cpu)));
    }
    if !state.has_caller && state.left().is_none() {
        let wall = state.limits.wall;
        return Err(state.stop(Stop::Wall(wall)));
    }
    Ok(if state.meter.give_way() { UpdateDeadline::Yield(1) } else { UpdateDeadline::Continue(1) })
}

/// Says no to memory, and remembers that it did: the guest's own error will not tell.
#[derive(Debug, Default)]
pub(super) struct Limiter {
    most: usize,
    pub(super) peak: usize,
    pub(super) grows: u32,
    pub(super) refused: Option<String>,
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if desired > self.most || maximum.is_some_and(|most| desired > most) {
            self.refused = Some(format!("it wanted {desired} bytes of memory, and may have {}", self.most));
            return Ok(false);
        }
        self.grows += u32::from(current > 0);
        self.peak = self.peak.max(desired);
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if desired > limits::TABLE_ELEMENTS || maximum.is_some_and(|most| desired > most) {
            self.refused = Some(format!("it wanted a table of {desired} elements"));
            return Ok(false);
        }
        Ok(true)
    }
}
