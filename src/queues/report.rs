//! Statistics of queues and of who answers, by intervals, from the rows of the log. Pure.
//!
//! A caller counts in the interval in which the caller entered, with everything that came of it, so that the lines of a day
//! add up. `offered` is everybody who entered: answered, abandoned, abandoned early, timed out, left by key, left because
//! nobody was there, and those whose end is not known.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono_tz::Tz;

use super::log::{Event, Row};
use super::visit::{self, How, Visit};
pub use crate::base::report::{Interval, mean, percent};
use crate::config::limits::queues as limits;

const SECOND_US: i64 = 1_000_000;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Callers who entered from then on, microseconds since 1970 UTC.
    pub from_us: i64,
    /// Callers who entered before then.
    pub to_us: i64,
    /// The length of the intervals; `None`: one for all of the time.
    pub interval: Option<Interval>,
    /// Where days and hours begin.
    pub zone: Tz,
    /// Who gave up before is counted apart; microseconds.
    pub short_us: i64,
    /// Seconds within which a call of a queue should be answered, by the queue's name.
    pub levels: HashMap<String, i64>,
}

impl Ask {
    /// The interval of a moment: begin and end, microseconds since 1970 UTC.
    fn around(&self, at_us: i64) -> (i64, i64) {
        self.interval.map_or((self.from_us, self.to_us), |interval| interval.around(at_us, self.zone))
    }
}

/// Which line: begin and end of the interval, and a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot {
    /// Microseconds since 1970 UTC.
    pub from_us: i64,
    /// Microseconds since 1970 UTC.
    pub to_us: i64,
    /// The queue.
    pub queue: String,
    /// Who answered; empty in lines of queues.
    pub agent: String,
}

/// How a queue did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Queue {
    /// Everybody who entered.
    pub offered: i64,
    /// Callers whom a member answered.
    pub answered: i64,
    /// Of these, within the queue's service level.
    pub in_time: i64,
    /// Of these, handed on.
    pub transferred: i64,
    /// Callers who hung up, not early.
    pub abandoned: i64,
    /// Callers who hung up early.
    pub abandoned_short: i64,
    /// Callers who waited as long as one may.
    pub timed_out: i64,
    /// Callers who left by a key.
    pub left_by_key: i64,
    /// Callers who left because no member was left.
    pub left_empty: i64,
    /// Callers without a known end: they wait, or Asterisk stopped.
    pub unfinished: i64,
    /// Waits of all who left, microseconds.
    pub wait_us: i64,
    /// The longest of them.
    pub longest_us: i64,
    /// Waits of all who were answered, microseconds.
    pub answered_wait_us: i64,
    /// Talks that have ended, and their length in microseconds.
    pub talks: (i64, i64),
}

/// How somebody did at a queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agent {
    /// Callers answered.
    pub answered: i64,
    /// Of these, handed on.
    pub transferred: i64,
    /// How often the phone rang in vain.
    pub missed: i64,
    /// Talks that have ended, and their length in microseconds.
    pub talks: (i64, i64),
}

/// A report: lines of queues and of agents, each by time, queue, agent. Intervals without anything have none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Of queues.
    pub queues: Vec<(Slot, Queue)>,
    /// Of who answers.
    pub agents: Vec<(Slot, Agent)>,
}

impl Queue {
    /// Answered in time, of all answered, in percent: app_queue's own service level.
    pub fn level_of_answered(&self) -> Option<f64> {
        percent(self.in_time, self.answered)
    }

    /// Answered in time, of all offered but who gave up early, in percent.
    pub fn level_of_offered(&self) -> Option<f64> {
        percent(self.in_time, self.offered - self.abandoned_short)
    }

    /// Callers who have left.
    pub fn left(&self) -> i64 {
        self.offered - self.unfinished
    }

    /// Counts a caller.
    pub(super) fn add(&mut self, visit: &Visit, ask: &Ask) {
        self.offered += 1;
        let (Some(how), Some(wait_us)) = (visit.how(), visit.wait_us()) else {
            self.unfinished += 1;
            return;
        };
        self.wait_us += wait_us;
        self.longest_us = self.longest_us.max(wait_us);
        match how {
            How::Answered => {
                let level_s = ask.levels.get(&visit.queue).copied().unwrap_or(limits::SERVICE_LEVEL_S);
                self.answered += 1;
                self.answered_wait_us += wait_us;
                self.in_time += i64::from(wait_us <= level_s * SECOND_US);
                self.transferred += i64::from(visit.is_transferred());
                add_talk(&mut self.talks, visit);
            }
            How::Abandoned if wait_us < ask.short_us => self.abandoned_short += 1,
            How::Abandoned => self.abandoned += 1,
            How::Timeout => self.timed_out += 1,
            How::Key => self.left_by_key += 1,
            How::Empty => self.left_empty += 1,
        }
    }
}

fn add_talk(talks: &mut (i64, i64), visit: &Visit) {
    if let Some(talk_us) = visit.talk_us() {
        talks.0 += 1;
        talks.1 += talk_us;
    }
}

/// Makes a report of rows, in whatever order; a row that is there twice counts once. There must be rows from before and
/// behind the asked time too, for callers who were in a queue at its edges.
pub fn report(rows: &[Row], ask: &Ask) -> Report {
    let mut queues: BTreeMap<Slot, Queue> = BTreeMap::new();
    let mut agents: BTreeMap<Slot, Agent> = BTreeMap::new();
    let slot = |at_us: i64, queue: &str, agent: &str| {
        let (from_us, to_us) = ask.around(at_us);
        Slot { from_us, to_us, queue: queue.to_owned(), agent: agent.to_owned() }
    };
    let asked = ask.from_us..ask.to_us;
    for visit in visit::of_all(rows).iter().filter(|visit| asked.contains(&visit.entered_us())) {
        queues.entry(slot(visit.entered_us(), &visit.queue, "")).or_default().add(visit, ask);
        if visit.how() == Some(How::Answered) && !visit.agent.is_empty() {
            let agent = agents.entry(slot(visit.entered_us(), &visit.queue, &visit.agent)).or_default();
            agent.answered += 1;
            agent.transferred += i64::from(visit.is_transferred());
            add_talk(&mut agent.talks, visit);
        }
    }
    let missed = |row: &&Row| matches!(row.told(), Event::RingNoAnswer { .. }) && asked.contains(&row.at_us);
    for row in rows.iter().filter(missed).collect::<BTreeSet<&Row>>() {
        agents.entry(slot(row.at_us, &row.queue, &row.agent)).or_default().missed += 1;
    }
    Report { queues: queues.into_iter().collect(), agents: agents.into_iter().collect() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::visit::tests::row;
    use super::*;

    const HOUR_US: i64 = 3_600 * SECOND_US;

    fn ask(from_s: i64, to_s: i64) -> Ask {
        Ask {
            from_us: from_s * SECOND_US,
            to_us: to_s * SECOND_US,
            interval: Some(Interval::Hour),
            zone: Tz::UTC,
            short_us: 5 * SECOND_US,
            levels: HashMap::from([("support".to_owned(), 10)]),
        }
    }

    #[test]
    fn everybody_who_entered_is_somewhere() {
        let rows = [
            // Answered just in time, and just too late.
            row(100, "a", "", "ENTERQUEUE", "|1|1"),
            row(110, "a", "101", "CONNECT", "10|x|3"),
            row(170, "a", "101", "COMPLETECALLER", "10|60|1"),
            row(200, "b", "", "ENTERQUEUE", "|2|1"),
            row(205, "b", "102", "RINGNOANSWER", "5000"),
            row(211, "b", "101", "CONNECT", "11|x|3"),
            row(251, "b", "101", "BLINDTRANSFER", "102|inside|11|40|1"),
            // Gave up early, and late.
            row(300, "c", "", "ENTERQUEUE", "|3|1"),
            row(304, "c", "", "ABANDON", "1|1|4"),
            row(310, "d", "", "ENTERQUEUE", "|4|1"),
            row(315, "d", "", "ABANDON", "1|1|5"),
            row(320, "e", "", "ENTERQUEUE", "|5|1"),
            row(350, "e", "", "EXITWITHTIMEOUT", "1|1|30"),
            row(360, "f", "", "ENTERQUEUE", "|5|1"),
            row(365, "f", "", "EXITWITHKEY", "1|1|1|5"),
            row(370, "g", "", "ENTERQUEUE", "|5|1"),
            row(371, "g", "", "EXITEMPTY", "1|1|1"),
            row(380, "h", "", "ENTERQUEUE", "|5|1"),
            // Entered before.
            row(120, "z", "101", "CONNECT", "100|x|3"),
        ];
        let report = report(&rows, &ask(100, 400));
        let [(slot, queue)] = report.queues.as_slice() else { panic!("{report:#?}") };
        assert_eq!((slot.from_us, slot.to_us, slot.queue.as_str()), (0, HOUR_US, "support"));
        let s = SECOND_US;
        assert_eq!(
            *queue,
            Queue {
                offered: 8,
                answered: 2,
                in_time: 1,
                transferred: 1,
                abandoned: 1,
                abandoned_short: 1,
                timed_out: 1,
                left_by_key: 1,
                left_empty: 1,
                unfinished: 1,
                wait_us: (10 + 11 + 4 + 5 + 30 + 5 + 1) * s,
                longest_us: 30 * s,
                answered_wait_us: 21 * s,
                talks: (2, 100 * s),
            }
        );
        assert_eq!(queue.level_of_answered(), Some(50.0));
        assert_eq!(queue.level_of_offered(), Some(14.29), "1 of 8 - 1");
        assert_eq!(mean(queue.answered_wait_us, queue.answered), Some(10_500_000));
        let agents: Vec<(&str, &Agent)> = report.agents.iter().map(|(s, a)| (s.agent.as_str(), a)).collect();
        let nina = Agent { answered: 2, transferred: 1, missed: 0, talks: (2, 100 * s) };
        assert_eq!(agents, [("101", &nina), ("102", &Agent { missed: 1, ..Agent::default() })]);
    }

    #[test]
    fn nothing_has_no_share_and_no_mean() {
        assert_eq!((percent(0, 0), mean(0, 0), percent(1, 3)), (None, None, Some(33.33)));
        assert_eq!(Queue::default().level_of_offered(), None);
        assert_eq!(report(&[], &ask(0, 400)), Report::default());
    }

    #[test]
    fn intervals_are_those_of_the_wall() {
        let us = |text: &str| chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros();
        let berlin = chrono_tz::Europe::Berlin;
        for (at, interval, zone, from, to) in [
            (
                "2026-03-10T10:44:59.9Z",
                Interval::Quarter,
                Tz::UTC,
                "2026-03-10T10:30:00Z",
                "2026-03-10T10:45:00Z",
            ),
            ("2026-03-10T10:30:00Z", Interval::Half, berlin, "2026-03-10T10:30:00Z", "2026-03-10T11:00:00Z"),
            // Kathmandu is 5:45 ahead.
            (
                "2026-03-10T10:30:00Z",
                Interval::Hour,
                chrono_tz::Asia::Kathmandu,
                "2026-03-10T10:15:00Z",
                "2026-03-10T11:15:00Z",
            ),
            ("2026-03-10T23:30:00Z", Interval::Day, berlin, "2026-03-10T23:00:00Z", "2026-03-11T23:00:00Z"),
            // 23 and 25 hours.
            ("2026-03-29T12:00:00Z", Interval::Day, berlin, "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"),
            ("2026-10-25T12:00:00Z", Interval::Day, berlin, "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"),
            // The hour that clocks show twice.
            ("2026-10-25T01:30:00Z", Interval::Hour, berlin, "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"),
            // Beirut skips midnight.
            (
                "2026-03-29T12:00:00Z",
                Interval::Day,
                chrono_tz::Asia::Beirut,
                "2026-03-28T22:00:00Z",
                "2026-03-29T21:00:00Z",
            ),
        ] {
            let ask = Ask { interval: Some(interval), zone, ..ask(0, 1) };
            assert_eq!(ask.around(us(at)), (us(from), us(to)), "{at} {interval} {zone}");
        }
    }

    /// One caller's stay: which queue, seconds before, seconds of waiting, how it ends, seconds of talk, whose phone.
    type Stay = (bool, i64, i64, u8, i64, u8);

    fn rows_of(call: usize, stays: &[Stay]) -> Vec<Row> {
        let (mut at_s, mut rows) = (1_000 + i64::try_from(call).unwrap() * 97, Vec::new());
        for (is_sales, pause_s, wait_s, ends, talk_s, agent) in stays {
            let agent = format!("10{agent}");
            let mut add = |at_s: i64, agent: &str, event: &str, data: &str| {
                let mut row = row(at_s, &format!("c{call}"), agent, event, data);
                if *is_sales {
                    row.queue = "sales".into();
                }
                rows.push(row);
            };
            at_s += 5 + pause_s;
            add(at_s, "", "ENTERQUEUE", "|5551000|1");
            at_s += 3 + wait_s;
            let left = format!("1|1|{}", 3 + wait_s);
            let hold = 3 + wait_s;
            match ends {
                0 => {}
                1 => add(at_s, "", "ABANDON", &left),
                2 => add(at_s, "", "EXITWITHTIMEOUT", &left),
                3 => add(at_s, "", "EXITEMPTY", &left),
                4 => add(at_s, "", "EXITWITHKEY", &format!("5|{left}")),
                _ => {
                    add(at_s - 1, &agent, "RINGNOANSWER", "1000");
                    add(at_s, &agent, "CONNECT", &format!("{hold}|x|1"));
                    at_s += talk_s;
                    match ends {
                        5 => {}
                        6 => add(at_s, &agent, "BLINDTRANSFER", &format!("1|x|{hold}|{talk_s}|1")),
                        7 => add(at_s, &agent, "COMPLETEAGENT", &format!("{hold}|{talk_s}|1")),
                        _ => add(at_s, &agent, "COMPLETECALLER", &format!("{hold}|{talk_s}|1")),
                    }
                }
            }
        }
        rows
    }

    /// The same, counted row by row as they happened.
    fn naive(mut rows: Vec<Row>, ask: &Ask) -> Report {
        rows.sort();
        rows.dedup();
        let slot = |at: i64, queue: &str, agent: &str| {
            let from_us = at / HOUR_US * HOUR_US;
            Slot { from_us, to_us: from_us + HOUR_US, queue: queue.into(), agent: agent.into() }
        };
        let (mut queues, mut agents) = (BTreeMap::<Slot, Queue>::new(), BTreeMap::<Slot, Agent>::new());
        let mut open: HashMap<(String, String), (i64, Option<i64>)> = HashMap::new();
        for row in &rows {
            let key = (row.call.clone(), row.queue.clone());
            if row.event == "RINGNOANSWER" {
                agents.entry(slot(row.at_us, &row.queue, &row.agent)).or_default().missed += 1;
                continue;
            }
            if row.event == "ENTERQUEUE" {
                let queue = queues.entry(slot(row.at_us, &row.queue, "")).or_default();
                queue.offered += 1;
                queue.unfinished += 1;
                open.insert(key, (row.at_us, None));
                continue;
            }
            let (entered, connected) = open[&key];
            let queue = queues.entry(slot(entered, &row.queue, "")).or_default();
            let wait = row.at_us - entered;
            if let Some(connected) = connected {
                let agent = agents.entry(slot(entered, &row.queue, &row.agent)).or_default();
                let talk = row.at_us - connected;
                for talks in [&mut queue.talks, &mut agent.talks] {
                    (talks.0, talks.1) = (talks.0 + 1, talks.1 + talk);
                }
                if row.event == "BLINDTRANSFER" {
                    queue.transferred += 1;
                    agent.transferred += 1;
                }
                continue;
            }
            queue.unfinished -= 1;
            queue.wait_us += wait;
            queue.longest_us = queue.longest_us.max(wait);
            match row.event.as_str() {
                "CONNECT" => {
                    let level = ask.levels.get(&row.queue).copied().unwrap_or(20) * SECOND_US;
                    queue.answered += 1;
                    queue.answered_wait_us += wait;
                    queue.in_time += i64::from(wait <= level);
                    agents.entry(slot(entered, &row.queue, &row.agent)).or_default().answered += 1;
                    open.insert(key, (entered, Some(row.at_us)));
                }
                "ABANDON" if wait < ask.short_us => queue.abandoned_short += 1,
                "ABANDON" => queue.abandoned += 1,
                "EXITWITHTIMEOUT" => queue.timed_out += 1,
                "EXITWITHKEY" => queue.left_by_key += 1,
                _ => queue.left_empty += 1,
            }
        }
        Report { queues: queues.into_iter().collect(), agents: agents.into_iter().collect() }
    }

    proptest! {
        #[test]
        fn a_report_is_a_plain_count_whatever_the_order(
            calls in prop::collection::vec(
                prop::collection::vec((any::<bool>(), 0..900_i64, 0..60_i64, 0..9_u8, 3..600_i64, 1..4_u8), 1..5),
                0..30,
            ),
            seeds in prop::collection::vec(any::<u32>(), 1..600),
        ) {
            let rows: Vec<Row> =
                calls.iter().enumerate().flat_map(|(n, stays)| rows_of(n, stays)).collect();
            let ask = ask(0, 1_000_000);
            let expected = naive(rows.clone(), &ask);
            // Some twice, in another order.
            let mut mixed: Vec<(u32, Row)> = Vec::new();
            for (n, row) in rows.into_iter().enumerate() {
                let seed = seeds[n % seeds.len()].wrapping_mul(u32::try_from(n).unwrap() | 1);
                mixed.extend((seed % 3 == 0).then(|| (seed.rotate_left(7), row.clone())));
                mixed.push((seed, row));
            }
            mixed.sort_by_key(|(seed, _)| *seed);
            let mixed: Vec<Row> = mixed.into_iter().map(|(_, row)| row).collect();
            prop_assert_eq!(report(&mixed, &ask), expected.clone());
            // The lines of hours add up to the line of the whole time.
            let whole = report(&mixed, &Ask { interval: None, ..ask.clone() });
            for (slot, line) in &whole.queues {
                prop_assert_eq!((slot.from_us, slot.to_us), (ask.from_us, ask.to_us));
                let hours = expected.queues.iter().filter(|(hour, _)| hour.queue == slot.queue).map(|(_, line)| line);
                let sum = |of: fn(&Queue) -> i64| hours.clone().map(of).sum::<i64>();
                prop_assert_eq!(
                    [line.offered, line.answered, line.in_time, line.abandoned, line.wait_us, line.talks.1],
                    [sum(|q| q.offered), sum(|q| q.answered), sum(|q| q.in_time), sum(|q| q.abandoned),
                        sum(|q| q.wait_us), sum(|q| q.talks.1)]
                );
                prop_assert_eq!(Some(line.longest_us), hours.map(|q| q.longest_us).max());
            }
            prop_assert_eq!(whole.queues.len(), expected.queues.iter().map(|(slot, _)| &slot.queue).collect::<BTreeSet<_>>().len());
        }
    }
}
