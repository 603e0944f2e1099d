//! What one caller did in one queue, from entering to the end of the talk, put together from rows of the log in whatever
//! order they come. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::log::{Event, Row};
use crate::base::words::words;
use crate::config::limits::queues as limits;

const SECOND_US: i64 = 1_000_000;

words! {
    /// How a caller left the line.
    pub enum How {
        /// A member answered.
        Answered = "answered",
        /// The caller hung up.
        Abandoned = "abandoned",
        /// The wait was as long as it may be.
        Timeout = "timeout",
        /// The caller pressed a key.
        Key = "key",
        /// There was no member left to answer.
        Empty = "empty",
    }
}

/// How it ended, with its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// A talk ended.
    Completed { hold_s: i64, talk_s: i64 },
    /// A talk was handed on.
    Transferred { hold_s: i64, talk_s: i64 },
    /// The caller left without one.
    Left(How, i64),
}

/// A caller in a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visit {
    /// The caller's uniqueid.
    pub call: String,
    /// The queue's name.
    pub queue: String,
    /// The caller's number; empty: withheld, or not known.
    pub number: String,
    /// Who answered; empty: nobody.
    pub agent: String,
    entered: Option<i64>,
    /// When and after how many seconds.
    connected: Option<(i64, i64)>,
    end: Option<(i64, End)>,
    first_us: i64,
}

impl Visit {
    fn new(row: &Row) -> Self {
        Self {
            call: row.call.clone(),
            queue: row.queue.clone(),
            number: String::new(),
            agent: String::new(),
            entered: None,
            connected: None,
            end: None,
            first_us: row.at_us,
        }
    }

    /// When the caller entered, microseconds since 1970 UTC; where that row is missing, as the others have it.
    pub fn entered_us(&self) -> i64 {
        if let Some(at) = self.entered {
            return at;
        }
        if let Some((at, hold_s)) = self.connected {
            return at - hold_s * SECOND_US;
        }
        match self.end {
            Some((at, End::Completed { hold_s, talk_s } | End::Transferred { hold_s, talk_s })) => {
                at - (hold_s + talk_s) * SECOND_US
            }
            Some((at, End::Left(_, wait_s))) => at - wait_s * SECOND_US,
            None => self.first_us,
        }
    }

    /// When a member answered, microseconds since 1970 UTC. Transfers with consultation may lack that row
    /// (asterisk/asterisk#759).
    pub fn answered_us(&self) -> Option<i64> {
        match (self.connected, self.end) {
            (_, Some((_, End::Left(..)))) => None,
            (Some((at, _)), _) => Some(at),
            (None, Some((at, End::Completed { talk_s, .. } | End::Transferred { talk_s, .. }))) => {
                Some(at - talk_s * SECOND_US)
            }
            (None, None) => None,
        }
    }

    /// How the caller left the line; `None`: still in it.
    pub fn how(&self) -> Option<How> {
        match self.end {
            Some((_, End::Left(how, _))) => Some(how),
            _ => self.answered_us().map(|_| How::Answered),
        }
    }

    /// How long the caller waited, microseconds; `None`: still waiting.
    pub fn wait_us(&self) -> Option<i64> {
        let left = match self.end {
            Some((at, End::Left(..))) => Some(at),
            _ => self.answered_us(),
        };
        left.map(|at| (at - self.entered_us()).max(0))
    }

    /// When the talk ended, microseconds since 1970 UTC.
    pub fn talked_until_us(&self) -> Option<i64> {
        match self.end {
            Some((at, End::Completed { .. } | End::Transferred { .. })) => Some(at),
            _ => None,
        }
    }

    /// How long they talked, microseconds.
    pub fn talk_us(&self) -> Option<i64> {
        Some((self.talked_until_us()? - self.answered_us()?).max(0))
    }

    /// Whether the talk was handed on.
    pub fn is_transferred(&self) -> bool {
        matches!(self.end, Some((_, End::Transferred { .. })))
    }

    /// Whether the caller neither waits nor talks any more.
    pub fn is_over(&self) -> bool {
        self.end.is_some()
    }

    /// Whether a row that is none of entering belongs to this visit, rather than to a later one whose beginning is missing.
    fn goes_on(&self, row: &Row) -> bool {
        match self.end {
            None => true,
            Some((at, _)) if row.at_us - at <= limits::LOG_REORDER_US => true,
            // Some versions of Asterisk tell of a transfer and of the end.
            Some((_, End::Transferred { .. })) => matches!(row.told(), Event::Completed { .. }),
            Some(_) => false,
        }
    }

    fn enter(&mut self, row: &Row, number: &str) {
        self.entered = Some(row.at_us);
        number.clone_into(&mut self.number);
    }

    fn end(&mut self, row: &Row, end: End) {
        if self.end.is_none() {
            self.end = Some((row.at_us, end));
            if !row.agent.is_empty() && !matches!(end, End::Left(..)) {
                self.agent.clone_from(&row.agent);
            }
        }
    }

    fn take(&mut self, row: &Row) {
        match row.told() {
            Event::Connected { hold_s, .. } if self.connected.is_none() => {
                self.connected = Some((row.at_us, hold_s));
                self.agent.clone_from(&row.agent);
            }
            Event::Completed { hold_s, talk_s, .. } => self.end(row, End::Completed { hold_s, talk_s }),
            Event::Transferred { hold_s, talk_s, .. } => self.end(row, End::Transferred { hold_s, talk_s }),
            Event::Abandoned { wait_s } => self.end(row, End::Left(How::Abandoned, wait_s)),
            Event::TimedOut { wait_s } => self.end(row, End::Left(How::Timeout, wait_s)),
            Event::LeftByKey { wait_s, .. } => self.end(row, End::Left(How::Key, wait_s)),
            Event::LeftEmpty { wait_s } => self.end(row, End::Left(How::Empty, wait_s)),
            _ => {}
        }
    }
}

/// Whether a row is part of a visit.
pub fn is_step(row: &Row) -> bool {
    !row.call.is_empty()
        && matches!(
            row.told(),
            Event::Entered { .. }
                | Event::Connected { .. }
                | Event::Completed { .. }
                | Event::Transferred { .. }
                | Event::Abandoned { .. }
                | Event::TimedOut { .. }
                | Event::LeftByKey { .. }
                | Event::LeftEmpty { .. }
        )
}

/// The visits of one call, in the order in which they began. The rows are the call's, all of them steps.
pub fn of_call<'r>(rows: impl IntoIterator<Item = &'r Row>) -> Vec<Visit> {
    let mut rows: Vec<&Row> = rows.into_iter().collect();
    rows.sort();
    rows.dedup();
    // At the same moment nobody leaves before entering.
    rows.sort_by_key(|row| (row.at_us, !matches!(row.told(), Event::Entered { .. })));
    let mut visits: Vec<Visit> = Vec::new();
    for row in rows {
        let last = visits.iter_mut().rev().find(|visit| visit.queue == row.queue);
        match (row.told(), last) {
            (Event::Entered { number, .. }, Some(visit)) if is_beginning(visit, row) => {
                visit.enter(row, number)
            }
            (Event::Entered { number, .. }, _) => {
                let mut visit = Visit::new(row);
                visit.enter(row, number);
                visits.push(visit);
            }
            (_, Some(visit)) if visit.goes_on(row) => visit.take(row),
            _ => {
                let mut visit = Visit::new(row);
                visit.take(row);
                visits.push(visit);
            }
        }
    }
    visits
}

/// Whether a row of entering, which came behind what it should come before, is the beginning of this visit.
fn is_beginning(visit: &Visit, row: &Row) -> bool {
    visit.entered.is_none()
        && row.at_us - visit.first_us <= limits::LOG_REORDER_US
        && row.at_us - visit.entered_us() <= limits::LOG_REORDER_US
}

/// The visits of many calls.
pub fn of_all<'r>(rows: impl IntoIterator<Item = &'r Row>) -> Vec<Visit> {
    let mut calls: BTreeMap<&str, BTreeSet<&Row>> = BTreeMap::new();
    for row in rows.into_iter().filter(|row| is_step(row)) {
        calls.entry(&row.call).or_default().insert(row);
    }
    calls.into_values().flat_map(of_call).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A row at a second, its data joined by bars.
    pub(in crate::queues) fn row(at_s: i64, call: &str, agent: &str, event: &str, data: &str) -> Row {
        let mut parts = data.splitn(5, '|').map(str::to_owned);
        Row {
            at_us: at_s * SECOND_US,
            call: call.into(),
            queue: "support".into(),
            agent: agent.into(),
            event: event.into(),
            data: std::array::from_fn(|_| parts.next().unwrap_or_default()),
        }
    }

    /// Seconds of entering, how it ended, seconds of waiting and of talking, who answered.
    type Told = (i64, Option<How>, Option<i64>, Option<i64>, String);

    fn told(rows: &[Row]) -> Vec<Told> {
        let short = |us: i64| us / SECOND_US;
        let visits = of_all(rows);
        visits
            .into_iter()
            .map(|v| {
                (short(v.entered_us()), v.how(), v.wait_us().map(short), v.talk_us().map(short), v.agent)
            })
            .collect()
    }

    #[test]
    fn a_visit_is_the_same_whatever_the_order_of_its_rows() {
        let rows = [
            row(10, "a", "", "ENTERQUEUE", "|5551000|1"),
            row(17, "a", "101", "CONNECT", "7|b|2"),
            row(80, "a", "101", "COMPLETECALLER", "7|63|1"),
        ];
        let expected = vec![(10, Some(How::Answered), Some(7), Some(63), "101".to_owned())];
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [2, 0, 1]] {
            let mut some: Vec<Row> = order.iter().map(|n| rows[*n].clone()).collect();
            some.push(rows[order[0]].clone());
            assert_eq!(told(&some), expected, "{order:?}");
        }
        assert_eq!(told(&rows[..2]), [(10, Some(How::Answered), Some(7), None, "101".into())]);
        assert_eq!(told(&rows[..1]), [(10, None, None, None, String::new())]);
    }

    #[test]
    fn clocks_that_step_back_do_not_make_two_of_one() {
        let rows = [
            row(11, "a", "", "ENTERQUEUE", "|5551000|1"),
            row(10, "a", "101", "CONNECT", "0|b|0"),
            row(9, "a", "101", "COMPLETEAGENT", "0|0|1"),
        ];
        let visits = of_all(&rows);
        assert_eq!(visits.len(), 1, "{visits:?}");
        assert!(visits[0].is_over() && visits[0].number == "5551000");
    }

    /// A call may come back to a queue, and come through several.
    #[test]
    fn who_comes_again_is_another_visit() {
        let mut rows = vec![
            row(10, "a", "", "ENTERQUEUE", "|1|1"),
            row(40, "a", "", "EXITWITHTIMEOUT", "1|1|30"),
            row(40, "a", "", "ENTERQUEUE", "|1|1"),
            row(45, "a", "", "ABANDON", "1|1|5"),
        ];
        rows[2].at_us += 1;
        let expected = [
            (10, Some(How::Timeout), Some(30), None, String::new()),
            (40, Some(How::Abandoned), Some(4), None, String::new()),
        ];
        assert_eq!(told(&rows), expected);
        rows[2].queue = "sales".into();
        rows[3].queue = "sales".into();
        assert_eq!(told(&rows), expected);
    }

    /// asterisk/asterisk#759: no CONNECT; a transfer is an answered call all the same.
    #[test]
    fn what_is_missing_is_taken_from_what_is_there() {
        let rows = [
            row(10, "a", "", "ENTERQUEUE", "|1|1"),
            row(80, "a", "101", "ATTENDEDTRANSFER", "BRIDGE|x|7|63|1"),
            row(95, "a", "101", "COMPLETEAGENT", "7|78|1"),
        ];
        assert_eq!(told(&rows), [(10, Some(How::Answered), Some(7), Some(63), "101".into())]);
        assert!(of_all(&rows)[0].is_transferred());
        assert_eq!(told(&rows[1..]), [(10, Some(How::Answered), Some(7), Some(63), "101".into())]);
        let left = row(30, "a", "", "EXITWITHKEY", "5|1|1|20");
        assert_eq!(told(&[left]), [(10, Some(How::Key), Some(20), None, String::new())]);
    }
}
