//! Time, passed in. The only file that reads the machine's clocks.
//!
//! Wall time is UTC, cut to whole microseconds, because that is what both databases keep: a value read back equals
//! the value written.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use chrono::{DateTime, Utc};

/// Where the time comes from: the machine, or a test's hand.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// Microseconds since the epoch when driven by hand.
    manual: Option<Arc<AtomicI64>>,
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self { manual: None }
    }

    /// A clock that stands at `start` until [`Clock::set`] moves it.
    pub fn manual(start: DateTime<Utc>) -> Self {
        Self { manual: Some(Arc::new(AtomicI64::new(start.timestamp_micros()))) }
    }

    /// Moves a manual clock; does nothing to the machine's.
    pub fn set(&self, now: DateTime<Utc>) {
        if let Some(manual) = &self.manual {
            manual.store(now.timestamp_micros(), Ordering::SeqCst);
        }
    }

    /// Microseconds since 1970-01-01 UTC.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
    pub fn now_us(&self) -> i64 {
        match &self.manual {
            Some(manual) => manual.load(Ordering::SeqCst),
            None => Utc::now().timestamp_micros(),
        }
    }

    /// Now, in UTC, in whole microseconds.
    pub fn now(&self) -> DateTime<Utc> {
        from_us(self.now_us())
    }
}

/// The time that `us` microseconds after the epoch stand for; the epoch itself when out of chrono's range.
pub fn from_us(us: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(us).unwrap_or(DateTime::UNIX_EPOCH)
}

/// Measures how long something takes, on the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts to count.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the monotonic clock")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Nanoseconds since the start.
    pub fn elapsed_ns(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Whole microseconds since the start.
    pub fn elapsed_us(&self) -> u64 {
        self.elapsed_ns() / 1_000
    }
}

/// Nanoseconds of a processor that this thread has used.
pub fn thread_cpu_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec).unwrap_or_default() * 1_000_000_000
        + u64::try_from(time.tv_nsec).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_stands_still_until_it_is_set() {
        let clock = Clock::manual(from_us(1_000_000));
        assert_eq!(clock.now_us(), 1_000_000);
        clock.set(from_us(2_500_001));
        assert_eq!(clock.clone().now(), from_us(2_500_001));
    }

    #[test]
    fn wall_time_has_whole_microseconds() {
        assert_eq!(Clock::system().now().timestamp_subsec_nanos() % 1_000, 0);
    }
}
