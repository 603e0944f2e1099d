//! Statistics of call detail records: what a line adds up. Pure.
//!
//! Every record counts in one of `answered`, `unattended`, `no_answer`, `busy`, `failed`.

use super::cdr::Disposition;
use crate::base::report::{mean, percent};
use crate::base::words::words;

words! {
    /// By what lines are parted, beside time.
    pub enum Group {
        /// By how calls came.
        Direction = "direction",
        /// By the number as dialled.
        Did = "did",
        /// By queue.
        Queue = "queue",
        /// By endpoint.
        Endpoint = "endpoint",
        /// By the endpoint's user.
        Agent = "agent",
    }
}

impl Group {
    /// The column.
    pub(super) fn column(self) -> &'static str {
        match self {
            Self::Direction => "direction",
            Self::Did => "did",
            Self::Queue => "queue",
            Self::Endpoint => "endpoint",
            Self::Agent => "agent_id",
        }
    }
}

/// What a line adds up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Records.
    pub calls: i64,
    /// Somebody talked to the caller.
    pub answered: i64,
    /// Answered by nobody: voicemail, a menu, a message.
    pub unattended: i64,
    /// Nobody answered, or the caller gave up.
    pub no_answer: i64,
    /// Busy.
    pub busy: i64,
    /// Could not be put through.
    pub failed: i64,
    /// Of the answered ones, handed on.
    pub transferred: i64,
    /// Whole lengths in seconds.
    pub duration_s: i64,
    /// Answered lengths in seconds.
    pub billed_s: i64,
    /// Talk of the answered ones in seconds; where it is not known, their answered length.
    pub talk_s: i64,
}

/// A record, as far as it counts.
#[derive(Clone, Copy, Debug)]
pub struct Counted {
    /// How it ended.
    pub disposition: Disposition,
    /// Whether a channel answered.
    pub has_peer: bool,
    /// Whether it was handed on.
    pub transferred: bool,
    /// Whole length in seconds.
    pub duration_s: i64,
    /// Answered length in seconds.
    pub billed_s: i64,
    /// Talk in seconds.
    pub talk_s: Option<i64>,
}

impl Sums {
    /// Adds a record.
    pub fn add(&mut self, one: &Counted) {
        self.calls += 1;
        self.duration_s += one.duration_s;
        self.billed_s += one.billed_s;
        match one.disposition {
            Disposition::Answered if one.has_peer => {
                self.answered += 1;
                self.transferred += i64::from(one.transferred);
                self.talk_s += one.talk_s.unwrap_or(one.billed_s);
            }
            Disposition::Answered => self.unattended += 1,
            Disposition::NoAnswer => self.no_answer += 1,
            Disposition::Busy => self.busy += 1,
            Disposition::Failed | Disposition::Congestion => self.failed += 1,
        }
    }

    /// Adds another line.
    pub fn join(&mut self, other: &Self) {
        self.calls += other.calls;
        self.answered += other.answered;
        self.unattended += other.unattended;
        self.no_answer += other.no_answer;
        self.busy += other.busy;
        self.failed += other.failed;
        self.transferred += other.transferred;
        self.duration_s += other.duration_s;
        self.billed_s += other.billed_s;
        self.talk_s += other.talk_s;
    }

    /// Answer-seizure ratio: answered by somebody, of all, in percent.
    pub fn asr(&self) -> Option<f64> {
        percent(self.answered, self.calls)
    }

    /// Average call duration: talk of an answered call in seconds, rounded down.
    pub fn acd_s(&self) -> Option<i64> {
        mean(self.talk_s, self.answered)
    }

    /// Answered lengths in minutes, two digits.
    pub fn minutes(&self) -> f64 {
        // Far below 2^53.
        (self.billed_s as f64 * 100.0 / 60.0).round() / 100.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_counts_once() {
        let one = |disposition, has_peer, talk_s| Counted {
            disposition,
            has_peer,
            transferred: true,
            duration_s: 100,
            billed_s: 90,
            talk_s,
        };
        let mut sums = Sums::default();
        for counted in [
            one(Disposition::Answered, true, Some(80)),
            one(Disposition::Answered, true, None),
            one(Disposition::Answered, false, Some(5)),
            one(Disposition::NoAnswer, true, None),
            one(Disposition::Busy, false, None),
            one(Disposition::Failed, false, None),
            one(Disposition::Congestion, false, None),
        ] {
            sums.add(&counted);
        }
        assert_eq!((sums.calls, sums.answered, sums.transferred, sums.talk_s), (7, 2, 2, 170));
        assert_eq!((sums.unattended, sums.no_answer, sums.busy, sums.failed), (1, 1, 1, 2));
        assert_eq!((sums.asr(), sums.acd_s(), sums.minutes()), (Some(28.57), Some(85), 10.5));
        let mut twice = sums.clone();
        twice.join(&sums);
        assert_eq!((twice.calls, twice.asr(), twice.duration_s), (14, Some(28.57), 1_400));
        assert_eq!((Sums::default().asr(), Sums::default().acd_s()), (None, None));
    }
}
