//! Waiting for a condition, with a deadline that suits a busy machine.

use std::time::{Duration, Instant};

/// How long a condition may take before the test fails: far more than it needs anywhere.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(20);

/// The real clock: these tests measure what a caller waits.
#[expect(clippy::disallowed_methods, reason = "end-to-end tests measure real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Looks until `probe` finds something.
///
/// # Panics
/// After [`PATIENCE`], naming `what` was awaited.
pub(crate) fn until<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, what, probe)
}

/// Looks until `probe` finds something, for so long.
///
/// # Panics
/// After `patience`, naming `what` was awaited.
pub(crate) fn within<T>(patience: Duration, what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let start = now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(start.elapsed() < patience, "waited {patience:?} in vain: {what}");
        std::thread::sleep(POLL);
    }
}
