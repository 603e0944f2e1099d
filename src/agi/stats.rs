//! What happened on the FastAGI listener, as plain counters. Each event is counted in one place.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that goes up (and for gauges down). Relaxed: counters order nothing.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Adds one; gives the number before it.
    pub fn up(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }

    /// Takes one off. Only gauges.
    pub fn down(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// The number.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counters of one listener.
#[derive(Debug, Default)]
pub struct AgiStats {
    /// Connections open now (gauge).
    pub open: Count,
    /// Connections taken.
    pub accepted: Count,
    /// Refused with a `failure` line: too many open.
    pub refused_limit: Count,
    /// Closed at once: the address is not allowed.
    pub refused_address: Count,
    /// `accept` failed, for want of file descriptors most likely.
    pub accept_errors: Count,
    /// Closed before a whole environment came (port probes too).
    pub environment_cut: Count,
    /// Environment too large or never ending.
    pub environment_invalid: Count,
    /// Environment with forged lines: somebody tries something.
    pub environment_forged: Count,
    /// No whole environment in time.
    pub timeout_environment: Count,
    /// No answer to a command in time.
    pub timeout_answer: Count,
    /// Asterisk did not read a command in time.
    pub timeout_write: Count,
    /// Answers received.
    pub answers: Count,
    /// Lines that answered nothing, dropped.
    pub stray_lines: Count,
    /// Sessions ended because the stream could not be understood any more.
    pub out_of_step: Count,
    /// Sessions in which the caller hung up.
    pub hangups: Count,
    /// Sessions that ended because the connection broke.
    pub broken: Count,
    /// Handlers that panicked; the call was given back with `failure`.
    pub panics: Count,
    /// Sessions aborted because draining took too long.
    pub aborted: Count,
}
