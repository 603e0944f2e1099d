//! Processor time of a run, and the wish to be moved off the call's thread.
//!
//! Nearly every run ends before the first tick; it costs two looks at the monotonic clock. From the first tick on the
//! thread's own processor clock counts, so that a run is not charged for time in which another had the processor.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use crate::base::clock::{Stopwatch, thread_cpu_ns};
use crate::config::limits::plugins as limits;

/// One run's use of processors. Only the thread that runs it writes.
#[derive(Debug)]
pub(super) struct Meter {
    /// Counts from here.
    zero: Stopwatch,
    /// Processor time of the polls that are over.
    used_ns: AtomicU64,
    /// When this poll began, on `zero`'s clock.
    began_ns: AtomicU64,
    /// The thread's processor clock when this poll began; 0: not looked at yet.
    thread_ns: AtomicU64,
    /// The same at the first tick of this poll, from which on it is exact; 0: there was none.
    first_tick_ns: AtomicU64,
    gives_way: AtomicBool,
    /// What it asked the host is not answered yet.
    waits: AtomicBool,
}

impl Meter {
    pub(super) fn new() -> Self {
        Self {
            zero: Stopwatch::start(),
            used_ns: AtomicU64::new(0),
            began_ns: AtomicU64::new(0),
            thread_ns: AtomicU64::new(0),
            first_tick_ns: AtomicU64::new(0),
            gives_way: AtomicBool::new(false),
            waits: AtomicBool::new(false),
        }
    }

    fn enter(&self) {
        self.began_ns.store(self.zero.elapsed_ns(), Relaxed);
        self.thread_ns.store(0, Relaxed);
        self.first_tick_ns.store(0, Relaxed);
    }

    fn leave(&self) {
        self.used_ns.fetch_add(self.of_this_poll(), Relaxed);
        self.began_ns.store(u64::MAX, Relaxed);
    }

    fn wall_of_this_poll(&self) -> u64 {
        self.zero.elapsed_ns().saturating_sub(self.began_ns.load(Relaxed))
    }

    fn of_this_poll(&self) -> u64 {
        match self.thread_ns.load(Relaxed) {
            0 => self.wall_of_this_poll(),
            before => thread_cpu_ns().saturating_sub(before),
        }
    }

    /// Processor time so far; called on the thread that runs it.
    pub(super) fn tick(&self) -> Duration {
        if self.thread_ns.load(Relaxed) == 0 {
            // What passed before the first look: the processor's at most, and no more than a tick.
            let tick = u64::try_from(limits::TICK.as_nanos()).unwrap_or(u64::MAX);
            let before = self.wall_of_this_poll().min(tick);
            self.thread_ns.store(thread_cpu_ns().saturating_sub(before).max(1), Relaxed);
        }
        Duration::from_nanos(self.used_ns.load(Relaxed) + self.of_this_poll())
    }

    /// Whether this poll has been long enough to let others have the thread; remembered for whoever polls. What passed
    /// before the first tick does not count: another may have had the processor, and no clock was looked at.
    pub(super) fn give_way(&self) -> bool {
        let now = thread_cpu_ns();
        let first = self.first_tick_ns.load(Relaxed);
        if first == 0 {
            self.first_tick_ns.store(now.max(1), Relaxed);
            return false;
        }
        let long = Duration::from_nanos(now.saturating_sub(first)) >= limits::TICK / 2;
        if long {
            self.gives_way.store(true, Relaxed);
        }
        long
    }

    /// Whether the run wanted to be moved since the last time somebody asked.
    pub(super) fn takes_long(&self) -> bool {
        self.gives_way.swap(false, Relaxed)
    }

    /// The run begins or ends to wait for an answer of the host's.
    pub(super) fn wait(&self, waits: bool) {
        self.waits.store(waits, Relaxed);
    }

    /// Whether the run needs no processor, because it waits for the host.
    pub(super) fn is_waiting(&self) -> bool {
        self.waits.load(Relaxed)
    }

    /// Microseconds of a processor, for a run that is over.
    pub(super) fn used_us(&self) -> u64 {
        self.used_ns.load(Relaxed) / 1_000
    }

    /// Microseconds of a processor up to now; called inside the last poll.
    pub(super) fn used_so_far_us(&self) -> u64 {
        (self.used_ns.load(Relaxed) + self.of_this_poll()) / 1_000
    }
}

/// A future whose polls are metered.
pub(super) struct Metered<'m, F> {
    pub(super) inner: Pin<&'m mut F>,
    pub(super) meter: &'m Meter,
}

impl<F: Future> Future for Metered<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        this.meter.enter();
        let polled = this.inner.as_mut().poll(cx);
        this.meter.leave();
        polled
    }
}
