//! Delays after failed logins, per account: some failures are free, then 1 s, doubling up to 15 min. Never a lock
//! that only an admin opens: that would be a weapon against the account's owner.
//!
//! Emails that nobody has are counted in memory in the same way, so that the delay does not tell who exists. (Not
//! across processes and restarts: a difference that shows to whoever can make a process restart.)

use moka::ops::compute::Op;
use moka::sync::Cache;

use crate::config::limits::auth as limits;
use crate::users::Email;

/// How often a login failed in a row, and until when no password is tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failures {
    /// Failures in a row.
    pub count: u32,
    /// Microseconds since 1970; the moment of the last failure when that cost no delay, 0 when there was none.
    pub until_us: i64,
}

impl Failures {
    /// Microseconds until a password is tried again; `None`: it is tried now.
    pub fn wait_us(self, now_us: i64) -> Option<i64> {
        // A clock that went back must not lock anybody out for longer than the longest delay.
        Some((self.until_us - now_us).min(limits::LOCK_MAX_US)).filter(|wait| *wait > 0)
    }

    /// After one more failure.
    #[must_use]
    pub fn and_one(self, now_us: i64) -> Self {
        let forgotten = now_us - self.until_us > limits::LOCK_FORGET_US;
        let count = if forgotten { 1 } else { self.count.saturating_add(1) };
        let delay_us = match count.checked_sub(limits::FREE_FAILURES) {
            None => 0,
            Some(beyond) => limits::LOCK_FIRST_US
                .saturating_mul(1_i64.checked_shl(beyond).filter(|factor| *factor > 0).unwrap_or(i64::MAX))
                .min(limits::LOCK_MAX_US),
        };
        Self { count, until_us: now_us + delay_us }
    }
}

/// Whole seconds that an answer asks to wait: at least one.
pub fn retry_after_s(wait_us: i64) -> u64 {
    u64::try_from(wait_us).unwrap_or(0).div_ceil(1_000_000).max(1)
}

/// Failures of emails that nobody has.
#[derive(Debug)]
pub struct Unknown {
    failures: Cache<Email, Failures>,
}

impl Default for Unknown {
    fn default() -> Self {
        Self { failures: Cache::new(limits::UNKNOWN_EMAILS) }
    }
}

impl Unknown {
    /// As [`Failures::wait_us`].
    pub fn wait_us(&self, email: &Email, now_us: i64) -> Option<i64> {
        self.failures.get(email)?.wait_us(now_us)
    }

    /// Counts one more failure, unless a delay began meanwhile: then says how long it still is.
    pub fn fail(&self, email: &Email, now_us: i64) -> Option<i64> {
        let mut wait = None;
        self.failures.entry_by_ref(email).and_compute_with(|known| {
            let failures = known.map(moka::Entry::into_value).unwrap_or_default();
            wait = failures.wait_us(now_us);
            if wait.is_some() { Op::Nop } else { Op::Put(failures.and_one(now_us)) }
        });
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000_000_000;
    const S: i64 = 1_000_000;

    #[test]
    fn the_delay_doubles_up_to_the_longest() {
        let mut failures = Failures::default();
        let (mut delays, mut now) = (Vec::new(), NOW);
        for _ in 0..80 {
            assert_eq!(failures.wait_us(now), None);
            failures = failures.and_one(now);
            delays.push(failures.wait_us(now).unwrap_or(0) / S);
            now = failures.until_us;
        }
        assert_eq!(delays[..16], [0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]);
        assert!(delays[16..].iter().all(|delay| *delay == 900));
        // A day without a failure, and it begins anew.
        assert_eq!(failures.and_one(now + limits::LOCK_FORGET_US).count, 81);
        assert_eq!(
            failures.and_one(now + limits::LOCK_FORGET_US + 1),
            Failures { count: 1, until_us: now + limits::LOCK_FORGET_US + 1 }
        );
        // The clock went back by a year.
        assert_eq!(failures.wait_us(NOW - 365 * 86_400 * S), Some(limits::LOCK_MAX_US));
        assert_eq!(Failures { count: u32::MAX, until_us: now }.and_one(now).count, u32::MAX);
    }

    #[test]
    fn whole_seconds_are_asked_for() {
        for (us, s) in [(1, 1), (S, 1), (S + 1, 2), (900 * S, 900), (-5, 1)] {
            assert_eq!(retry_after_s(us), s);
        }
    }

    #[test]
    fn nobody_is_delayed_like_somebody() {
        let unknown = Unknown::default();
        let (ann, bob) = (Email::parse("ann@x.test").unwrap(), Email::parse("bob@x.test").unwrap());
        for _ in 0..5 {
            assert_eq!(unknown.wait_us(&ann, NOW), None);
            assert_eq!(unknown.fail(&ann, NOW), None);
        }
        assert_eq!(unknown.wait_us(&ann, NOW), Some(S));
        // Guesses on their way when the delay began are told so, and not counted.
        assert_eq!(unknown.fail(&ann, NOW + 1), Some(S - 1));
        assert_eq!(unknown.wait_us(&ann, NOW + S), None);
        assert_eq!(unknown.fail(&ann, NOW + S), None);
        assert_eq!(unknown.wait_us(&ann, NOW + S), Some(2 * S));
        assert_eq!(unknown.wait_us(&bob, NOW), None);
    }
}
