//! When a version is asked no more, and when again. A leaf without I/O; the time comes in.
//!
//! [`FAILURES`] failures within [`FAILURE_TIME`] park it for [`PARKED_TIME`]. After that one run probes while the others
//! still find it parked: a success opens it again, a failure parks it anew.
//!
//! [`FAILURES`]: limits::FAILURES
//! [`FAILURE_TIME`]: limits::FAILURE_TIME
//! [`PARKED_TIME`]: limits::PARKED_TIME

use std::collections::VecDeque;
use std::time::Duration;

use crate::config::limits::plugins as limits;

/// What one version has done lately.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Breaker {
    /// When it failed, within the window.
    failures: VecDeque<i64>,
    /// Since when it is parked, and until when nobody probes.
    parked: Option<(i64, i64)>,
    /// The parking that the database tells and that was taken over.
    told_parked: Option<i64>,
    probing: bool,
    /// When its failing was last told.
    told_us: Option<i64>,
}

/// Whether a run may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may.
    Run,
    /// It may, and shows whether the version is well again.
    Probe,
    /// It may not.
    Parked,
}

/// What follows from a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Its failing is to be told.
    pub tell: bool,
    /// It is parked now, after so many failures.
    pub park: Option<usize>,
    /// It is well again.
    pub well: bool,
}

fn us(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

impl Breaker {
    /// Whether a run may begin now. `parked` is what the database says: since when and until when. What was before
    /// `counts_from` does not count any more: it was activated or unparked then.
    pub fn admit(&mut self, now_us: i64, parked: Option<(i64, i64)>, counts_from: i64) -> Admission {
        if self.parked.is_some_and(|(since, _)| since < counts_from)
            || self.failures.front().is_some_and(|at| *at < counts_from)
        {
            *self = Self { told_parked: self.told_parked, ..Self::default() };
        }
        if let Some((since, until)) = parked.filter(|(since, _)| self.told_parked != Some(*since)) {
            self.told_parked = Some(since);
            self.parked = Some((since, until.max(self.parked.map_or(0, |(_, until)| until))));
        }
        match self.parked {
            None => Admission::Run,
            Some((_, until)) if now_us < until || self.probing => Admission::Parked,
            Some(_) => {
                self.probing = true;
                Admission::Probe
            }
        }
    }

    /// A run is over that was admitted so.
    pub fn ended(&mut self, now_us: i64, admission: Admission, failed: bool) -> Verdict {
        let mut verdict = Verdict::default();
        if admission == Admission::Probe {
            self.probing = false;
            match (&mut self.parked, failed) {
                (Some((_, until)), true) => *until = now_us + us(limits::PARKED_TIME),
                (parked, false) => {
                    verdict.well = parked.take().is_some();
                    self.failures.clear();
                }
                (None, true) => {}
            }
            return verdict;
        }
        // What began before it was parked says nothing new.
        if !failed || self.parked.is_some() {
            return verdict;
        }
        self.failures.push_back(now_us);
        while self.failures.front().is_some_and(|at| *at < now_us - us(limits::FAILURE_TIME)) {
            self.failures.pop_front();
        }
        if self.told_us.is_none_or(|at| now_us - at >= us(limits::FAILED_TIME)) {
            self.told_us = Some(now_us);
            verdict.tell = true;
        }
        if self.failures.len() >= limits::FAILURES {
            verdict.park = Some(self.failures.len());
            self.parked = Some((now_us, now_us + us(limits::PARKED_TIME)));
            self.failures.clear();
        }
        verdict
    }

    /// A probe ended without an answer: whoever asked gave up.
    pub fn gave_up(&mut self, admission: Admission) {
        if admission == Admission::Probe {
            self.probing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;
    const PARKED: i64 = 60 * SECOND;

    fn fail(breaker: &mut Breaker, at: i64) -> Verdict {
        let admission = breaker.admit(at, None, 0);
        assert_eq!(admission, Admission::Run);
        breaker.ended(at, admission, true)
    }

    fn parked_at(at: i64) -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..limits::FAILURES - 1 {
            assert_eq!(fail(&mut breaker, at).park, None);
        }
        assert_eq!(fail(&mut breaker, at).park, Some(limits::FAILURES));
        breaker
    }

    #[test]
    fn failures_within_the_window_park_it_and_the_first_is_told() {
        let mut breaker = Breaker::default();
        assert!(fail(&mut breaker, 0).tell);
        // Spread over more than the window: never.
        for n in 1..100 {
            assert_eq!(fail(&mut breaker, n * 10 * SECOND), Verdict::default());
        }
        assert!(fail(&mut breaker, 3_601 * SECOND).tell);
        assert_eq!(parked_at(0).admit(PARKED - 1, None, 0), Admission::Parked);
    }

    #[test]
    fn one_run_probes_and_a_success_opens_it_again() {
        let mut breaker = parked_at(0);
        assert_eq!(breaker.admit(PARKED, None, 0), Admission::Probe);
        assert_eq!(breaker.admit(PARKED, None, 0), Admission::Parked);
        assert_eq!(breaker.ended(PARKED, Admission::Probe, true), Verdict::default());
        assert_eq!(breaker.admit(2 * PARKED - 1, None, 0), Admission::Parked);
        assert_eq!(breaker.admit(2 * PARKED, None, 0), Admission::Probe);
        breaker.gave_up(Admission::Probe);
        assert_eq!(breaker.admit(2 * PARKED, None, 0), Admission::Probe);
        assert!(breaker.ended(2 * PARKED, Admission::Probe, false).well);
        assert_eq!(breaker.admit(2 * PARKED, None, 0), Admission::Run);
    }

    #[test]
    fn a_run_that_began_before_the_parking_changes_nothing() {
        let mut breaker = parked_at(0);
        assert_eq!(breaker.ended(1, Admission::Run, true), Verdict::default());
        assert_eq!(breaker.ended(1, Admission::Run, false), Verdict::default());
        assert_eq!(breaker.admit(1, None, 0), Admission::Parked);
    }

    #[test]
    fn an_activation_begins_anew() {
        let mut breaker = parked_at(0);
        assert_eq!(breaker.admit(1, None, 0), Admission::Parked);
        assert_eq!(breaker.admit(2, None, 1), Admission::Run);
        // What is told of the new one begins anew too.
        assert!(breaker.ended(2, Admission::Run, true).tell);
    }

    #[test]
    fn what_another_node_parked_is_parked_here_once() {
        let mut breaker = Breaker::default();
        let told = Some((0, PARKED));
        assert_eq!(breaker.admit(1, told, 0), Admission::Parked);
        assert_eq!(breaker.admit(PARKED, told, 0), Admission::Probe);
        assert!(breaker.ended(PARKED, Admission::Probe, false).well);
        // The database does not know yet that it is well.
        assert_eq!(breaker.admit(PARKED + 1, told, 0), Admission::Run);
        assert_eq!(breaker.admit(PARKED + 2, Some((PARKED + 1, 2 * PARKED)), 0), Admission::Parked);
    }
}
