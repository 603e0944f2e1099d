//! When an endpoint is tried again. Pure: time and chance are arguments.

use crate::config::limits::webhooks as limits;

/// When the next attempt is due after `attempts` have failed; `None`: there is none. `chance` is any number: it picks the
/// jitter. A `Retry-After` makes the pause longer, never shorter.
pub fn next_us(attempts: u32, now_us: i64, retry_after_us: Option<i64>, chance: u64) -> Option<i64> {
    let pause = *limits::PAUSES_US.get(usize::try_from(attempts).ok()?.checked_sub(1)?)?;
    let wide = u64::try_from(2 * limits::JITTER_PERCENT + 1).unwrap_or(1);
    let percent = i64::try_from(chance % wide).unwrap_or(0) - limits::JITTER_PERCENT;
    let pause = pause + pause / 100 * percent;
    let asked = retry_after_us.unwrap_or(0).min(limits::RETRY_AFTER_MOST_US);
    Some(now_us + pause.max(asked))
}

/// Microseconds that a `Retry-After` asks for: seconds, or a date (RFC 9110).
pub fn retry_after_us(text: &str, now_us: i64) -> Option<i64> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(i64::from(seconds) * 1_000_000);
    }
    let date = chrono::DateTime::parse_from_rfc2822(text).ok()?;
    Some((date.timestamp_micros() - now_us).max(0))
}

/// A stretch of time in which nothing is sent. A clock that was set back to before it began ends it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pause {
    since_us: i64,
    until_us: i64,
}

impl Pause {
    /// From `now_us` on for so long.
    pub fn new(now_us: i64, for_us: i64) -> Self {
        Self { since_us: now_us, until_us: now_us.saturating_add(for_us) }
    }

    /// Whether it is going on.
    pub fn holds(&self, now_us: i64) -> bool {
        (self.since_us..self.until_us).contains(&now_us)
    }

    /// This one, or `other` when it lasts longer.
    pub fn or_longer(self, other: Self) -> Self {
        if other.until_us > self.until_us { other } else { self }
    }
}

/// Whether an endpoint works, as far as is known: after some failures in a row it is only probed, less and less often.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Breaker {
    failures: u32,
    open: Pause,
    pause_us: i64,
}

impl Breaker {
    /// An endpoint that failed so often in a row before this process began.
    pub fn after(failures: u32) -> Self {
        Self { failures, ..Self::default() }
    }

    /// Whether the last request failed.
    pub fn is_troubled(&self) -> bool {
        self.failures > 0
    }

    /// Whether only one request at a time may go out.
    pub fn is_probing(&self) -> bool {
        self.failures >= limits::BREAKER_FAILURES
    }

    /// How many requests may be under way at `now_us`, of `most`.
    pub fn allowed(&self, now_us: i64, most: usize) -> usize {
        match self.is_probing() {
            false => most,
            true => usize::from(!self.open.holds(now_us)),
        }
    }

    /// There was nothing to probe with: the next look comes no sooner than a probe that failed would let it.
    pub fn skipped(&mut self, now_us: i64) {
        self.open = Pause::new(now_us, self.pause_us.max(limits::PROBE_US.0));
    }

    /// A request was taken.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// A request failed. Of those that were under way together only the first counts as a probe.
    pub fn failed(&mut self, now_us: i64) {
        let is_probe = !self.is_probing() || self.allowed(now_us, 1) > 0;
        self.failures = self.failures.saturating_add(1);
        if self.is_probing() && is_probe {
            let (first, longest) = limits::PROBE_US;
            self.pause_us = if self.pause_us == 0 { first } else { (self.pause_us * 2).min(longest) };
            self.open = Pause::new(now_us, self.pause_us);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const S: i64 = 1_000_000;

    #[test]
    fn pauses_are_those_of_standard_webhooks() {
        let middle = u64::try_from(limits::JITTER_PERCENT).unwrap();
        let pauses: Vec<i64> = (1..=9).map(|n| next_us(n, 0, None, middle).unwrap() / S).collect();
        assert_eq!(pauses, [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400]);
        assert_eq!((next_us(10, 0, None, 0), next_us(0, 0, None, 0)), (None, None));
        assert_eq!(next_us(1, 7, None, 0), Some(7 + 4 * S));
        assert_eq!(next_us(1, 7, None, 2 * middle), Some(7 + 6 * S));
    }

    #[test]
    fn retry_after_makes_it_later_only_and_within_a_day() {
        for (asked, expected) in [(0, 4 * S), (60 * S, 60 * S), (i64::MAX, limits::RETRY_AFTER_MOST_US)] {
            assert_eq!(next_us(1, 0, Some(asked), 0), Some(expected));
        }
        for (text, us) in [
            ("120", Some(120 * S)),
            (" 7 ", Some(7 * S)),
            ("Wed, 21 Oct 2015 07:28:10 GMT", Some(10 * S)),
            ("Wed, 21 Oct 2015 07:27:00 GMT", Some(0)),
            ("soon", None),
            ("-5", None),
            ("", None),
            ("99999999999999", None),
        ] {
            assert_eq!(retry_after_us(text, 1_445_412_480 * S), us, "{text}");
        }
    }

    #[test]
    fn a_failing_endpoint_is_probed_less_and_less() {
        let mut breaker = Breaker::default();
        for _ in 1..limits::BREAKER_FAILURES {
            breaker.failed(0);
            assert_eq!(breaker.allowed(0, 8), 8);
        }
        assert!(breaker.is_troubled());
        let mut now = 0;
        for pause in [10, 20, 40, 80, 160, 320, 600, 600] {
            breaker.failed(now);
            assert_eq!(breaker.allowed(now + pause * S - 1, 8), 0, "{pause}");
            now += pause * S;
            assert_eq!(breaker.allowed(now, 8), 1);
        }
        // The clock was set back by a year: the endpoint is probed all the same.
        assert_eq!(breaker.allowed(now - 366 * 86_400 * S, 8), 1);
        breaker.succeeded();
        assert_eq!((breaker.allowed(now, 8), breaker.is_troubled()), (8, false));
        // Many that fail at the same time are one bad moment.
        for _ in 0..64 {
            breaker.failed(now);
        }
        assert_eq!((breaker.allowed(now + 10 * S - 1, 8), breaker.allowed(now + 10 * S, 8)), (0, 1));
        assert_eq!(Breaker::after(9).allowed(0, 8), 1);
        // Nothing to probe with counts as a probe, but says nothing of the endpoint.
        let mut breaker = Breaker::after(9);
        breaker.skipped(now);
        assert_eq!((breaker.allowed(now + 10 * S - 1, 8), breaker.allowed(now + 10 * S, 8)), (0, 1));
    }

    proptest! {
        #[test]
        fn the_next_attempt_lies_ahead(attempts in 1_u32..10, now in 0..i64::MAX / 4, asked in any::<Option<u32>>(), chance: u64) {
            let asked = asked.map(|s| i64::from(s) * S);
            let next = next_us(attempts, now, asked, chance).unwrap();
            let pause = limits::PAUSES_US[attempts as usize - 1];
            prop_assert!(next > now && next - now <= (pause + pause / 5).max(limits::RETRY_AFTER_MOST_US));
        }
    }
}
