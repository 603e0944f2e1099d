//! Asterisk's own records of a call, one for each leg, and what they say of the call as a whole. Pure.
//!
//! Asterisk begins a record when a channel calls another or comes together with one, and writes a channel's records when it is
//! gone. Their times are whole seconds. What they lack of a call (cause, time of talk) the dialplan adds to the last one.

use chrono::NaiveDateTime;

use super::{Ended, talk_ms};
use crate::base::ids::Id;

/// One record of Asterisk's, as far as it matters here, under Asterisk's own names.
#[derive(Clone, Debug, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct Leg {
    /// The row.
    pub id: i64,
    /// `HS_CALL_ID`; empty: the channel is not one that calls.
    pub call_id: String,
    /// Of the channel that calls.
    pub uniqueid: String,
    /// The same for all channels that came together.
    pub linkedid: String,
    /// Rises with each record that begins.
    pub sequence: i64,
    /// The channel that was called.
    pub dstchannel: String,
    /// When it began, UTC.
    pub start: String,
    /// When the channel that calls was answered.
    pub answer: Option<String>,
    /// When it ended.
    pub end: String,
    /// Asterisk's word.
    pub disposition: String,
    /// Q.850 cause, in a call's last one.
    pub cause: Option<i64>,
    /// Seconds of talk in the whole call, in its last one.
    pub talk: Option<String>,
}

/// A time of Asterisk's as microseconds since 1970 UTC. What never happened it may write as the begin of 1970.
pub fn time_us(text: &str) -> Option<i64> {
    let time = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").ok()?;
    Some(time.and_utc().timestamp_micros()).filter(|us| *us > 0)
}

impl Leg {
    /// Whether somebody talked to the caller.
    pub fn is_talk(&self) -> bool {
        self.disposition == "ANSWERED" && !self.dstchannel.is_empty()
    }

    fn answered_us(&self) -> Option<i64> {
        self.answer.as_deref().and_then(time_us)
    }
}

/// The end of the call whose legs these are, in whatever order; `None`: they tell of none. The call lasts from the first
/// begin to the last end and is answered from the first answer on. Somebody talked to the caller if one leg was answered by
/// a channel; the last such counts. Otherwise the last leg tells how it ended.
pub fn fold(legs: &[Leg]) -> Option<Ended> {
    let mut timed: Vec<(i64, i64, &Leg)> = legs
        .iter()
        .filter_map(|leg| {
            let (start_us, end_us) = (time_us(&leg.start)?, time_us(&leg.end)?);
            Some((start_us, end_us.max(start_us), leg))
        })
        .collect();
    timed.sort_by_key(|(start_us, _, leg)| (*start_us, leg.sequence, leg.id));
    let (start_us, _, first) = *timed.first()?;
    let (_, _, last) = *timed.last()?;
    let at_us = timed.iter().map(|(_, end_us, _)| *end_us).max()?;
    let answered_us = timed.iter().filter_map(|(.., leg)| leg.answered_us()).min();
    let answered_us = answered_us.map(|us| us.clamp(start_us, at_us));
    let talks: Vec<&Leg> = timed.iter().map(|(.., leg)| *leg).filter(|leg| leg.is_talk()).collect();
    let peer = talks.last().map_or(last, |talk| *talk);
    let told = |of: &dyn Fn(&Leg) -> Option<i64>| timed.iter().rev().find_map(|(.., leg)| of(leg));
    Some(Ended {
        id: timed.iter().find_map(|(.., leg)| Id::parse(&leg.call_id).ok()),
        uniqueid: first.uniqueid.clone(),
        linkedid: first.linkedid.clone(),
        at_us,
        by: "legs".to_owned(),
        cause: told(&|leg| leg.cause),
        disposition: if talks.is_empty() { &last.disposition } else { "ANSWERED" }.to_owned(),
        answered_us,
        duration_ms: Some((at_us - start_us) / 1_000),
        billed_ms: answered_us.map(|us| (at_us - us) / 1_000),
        answered_by: peer.dstchannel.clone(),
        talk_ms: told(&|leg| leg.talk.as_deref().and_then(talk_ms)),
        transferred: talks.iter().any(|talk| talk.dstchannel != peer.dstchannel)
            || talks.last().is_some_and(|talk| talk.sequence < last.sequence),
        ..Ended::default()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::clock::from_us;

    fn at(second: i64) -> String {
        from_us((1_795_674_372 + second) * 1_000_000).format("%Y-%m-%d %H:%M:%S").to_string()
    }

    fn leg(
        sequence: i64,
        (start, answer, end): (i64, Option<i64>, i64),
        disposition: &str,
        peer: &str,
    ) -> Leg {
        Leg {
            id: 100 - sequence,
            call_id: "01arz3ndektsv4rrffq69g5fav".into(),
            uniqueid: "pbx-1.0".into(),
            linkedid: "pbx-1.0".into(),
            sequence,
            dstchannel: peer.into(),
            start: at(start),
            answer: answer.map(at),
            end: at(end),
            disposition: disposition.into(),
            ..Leg::default()
        }
    }

    /// What a fold says, in short.
    fn told(legs: &[Leg]) -> (String, String, i64, Option<i64>, bool) {
        let ended = fold(legs).unwrap();
        (ended.disposition, ended.answered_by, ended.duration_ms.unwrap(), ended.billed_ms, ended.transferred)
    }

    #[test]
    fn whole_calls() {
        let (one, two) = ("PJSIP/acme-101-1", "PJSIP/acme-102-3");
        let talk = leg(0, (0, Some(1), 5), "ANSWERED", one);
        for (what, legs, expected) in [
            ("answered", vec![talk.clone()], ("ANSWERED", one, 5_000, Some(4_000), false)),
            ("nobody", vec![leg(0, (0, None, 3), "NO ANSWER", one)], ("NO ANSWER", one, 3_000, None, false)),
            (
                "abandoned in a queue",
                vec![leg(0, (0, Some(0), 9), "NO ANSWER", two)],
                ("NO ANSWER", two, 9_000, Some(9_000), false),
            ),
            (
                "handed on and answered",
                vec![leg(4, (5, Some(5), 10), "ANSWERED", two), talk.clone()],
                ("ANSWERED", two, 10_000, Some(9_000), true),
            ),
            (
                "handed on to nobody",
                vec![talk.clone(), leg(2, (5, Some(5), 8), "NO ANSWER", two)],
                ("ANSWERED", one, 8_000, Some(7_000), true),
            ),
            (
                "voicemail after nobody",
                vec![leg(0, (0, None, 3), "NO ANSWER", one), leg(1, (3, Some(3), 7), "ANSWERED", "")],
                ("ANSWERED", "", 7_000, Some(4_000), false),
            ),
        ] {
            let (disposition, peer, duration, billed, transferred) = expected;
            assert_eq!(
                told(&legs),
                (disposition.to_owned(), peer.to_owned(), duration, billed, transferred),
                "{what}"
            );
        }
    }

    #[test]
    fn what_tells_nothing_is_no_end() {
        assert_eq!(fold(&[]), None);
        assert_eq!(fold(&[Leg { start: "yesterday".into(), ..leg(0, (0, None, 1), "BUSY", "") }]), None);
        let never =
            Leg { answer: Some("1970-01-01 00:00:00".into()), ..leg(0, (0, None, 3), "NO ANSWER", "") };
        assert_eq!(fold(&[never]).unwrap().answered_us, None);
        let told = Leg { cause: Some(17), talk: Some("02.5".into()), ..leg(1, (0, None, 1), "BUSY", "") };
        let ended = fold(&[leg(0, (0, None, 1), "BUSY", ""), told]).unwrap();
        assert_eq!((ended.cause, ended.talk_ms, ended.by.as_str()), (Some(17), Some(2_500), "legs"));
    }

    fn any_leg() -> impl Strategy<Value = Leg> {
        let words = ["ANSWERED", "NO ANSWER", "BUSY", "FAILED", "CONGESTION"];
        let peers = ["", "PJSIP/acme-101-1", "PJSIP/acme-102-3"];
        (0..50_i64, 0..60_i64, prop::option::of(0..60_i64), 0..60_i64, 0..5_usize, 0..3_usize).prop_map(
            move |(sequence, start, answer, end, word, peer)| {
                let answer = answer.map(|after| start + after);
                leg(sequence, (start, answer, start + end), words[word], peers[peer])
            },
        )
    }

    proptest! {
        /// The order in which legs come, and whether one comes twice, make no difference; lengths never contradict.
        #[test]
        fn a_fold_is_one_whatever_the_order(legs in prop::collection::vec(any_leg(), 1..8), turn in 0..8_usize) {
            let mut legs = legs;
            legs.iter_mut().enumerate().for_each(|(n, leg)| leg.id = i64::try_from(n).unwrap());
            let ended = fold(&legs).unwrap();
            let mut other: Vec<Leg> = legs.iter().rev().cloned().collect();
            other.rotate_left(turn % legs.len());
            other.push(legs[turn % legs.len()].clone());
            prop_assert_eq!(fold(&other).unwrap(), ended.clone());
            prop_assert!(ended.billed_ms.is_none_or(|ms| ms >= 0 && ms <= ended.duration_ms.unwrap()));
            prop_assert_eq!(ended.billed_ms.is_some(), ended.answered_us.is_some());
            let talk = legs.iter().any(Leg::is_talk);
            prop_assert!(!talk || (ended.disposition == "ANSWERED" && !ended.answered_by.is_empty()));
            prop_assert!(talk || !ended.transferred);
            // A leg more never makes a call shorter.
            for without in 0..legs.len() {
                let mut fewer = legs.clone();
                fewer.remove(without);
                if let Some(less) = fold(&fewer) {
                    prop_assert!(less.duration_ms <= ended.duration_ms && less.at_us <= ended.at_us);
                }
            }
        }
    }
}
