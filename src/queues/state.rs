//! Who waits and who talks now, folded from rows of the log in whatever order they come. Pure.

use std::collections::{BTreeSet, HashMap};

use super::log::{Event, Row};
use super::visit::{self, Visit};
use crate::config::limits::queues as limits;

/// A queue and a member's endpoint, by their names.
pub(super) type Seat = (String, String);

/// The callers and members of one tenant.
#[derive(Debug, Default)]
pub struct State {
    calls: HashMap<String, Steps>,
    /// When somebody's last talk in a queue ended, of calls that are forgotten. Microseconds since 1970 UTC.
    ends: HashMap<Seat, i64>,
    /// The last word on somebody's pause: when, whether, why. An empty queue stands for all.
    pauses: HashMap<Seat, (i64, Option<String>)>,
    /// When it was looked whether calls have ended, microseconds since 1970 UTC.
    checked_us: i64,
}

#[derive(Debug, Default)]
struct Steps {
    rows: BTreeSet<Row>,
    /// When the last of them was written, microseconds since 1970 UTC.
    written_us: i64,
    /// The call is over, though no row says so.
    has_ended: bool,
}

impl Steps {
    fn is_over(&self, visits: &[Visit]) -> bool {
        self.has_ended || visits.last().is_none_or(Visit::is_over)
    }
}

/// Those who are in a queue now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// In the order of the line.
    pub waiting: Vec<Visit>,
    /// The longest first.
    pub talking: Vec<Visit>,
}

/// A pause: since when (microseconds since 1970 UTC), and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// Microseconds since 1970 UTC.
    pub since_us: i64,
    /// Why; empty: nobody said.
    pub reason: String,
}

impl State {
    /// Takes a row and when it was written (microseconds since 1970 UTC). A row that is known is no news.
    pub fn take(&mut self, row: Row, written_us: i64) {
        if visit::is_step(&row) {
            let steps = self.calls.entry(row.call.clone()).or_default();
            steps.written_us = steps.written_us.max(written_us);
            if steps.rows.insert(row) {
                steps.has_ended = false;
            }
            return;
        }
        let reason = match row.told() {
            Event::Paused { reason } | Event::PausedAll { reason } => Some(reason.to_owned()),
            Event::Unpaused { .. } | Event::UnpausedAll { .. } => None,
            _ => return,
        };
        let last = self.pauses.entry((row.queue, row.agent)).or_insert((i64::MIN, None));
        if row.at_us >= last.0 {
            *last = (row.at_us, reason);
        }
    }

    /// Forgets calls that are over, and those of whom nothing was heard for `lost_us` microseconds.
    pub fn forget(&mut self, now_us: i64, lost_us: i64) {
        let ends = &mut self.ends;
        self.calls.retain(|_, steps| {
            let visits = visit::of_call(&steps.rows);
            let is_over = steps.is_over(&visits);
            let last_us = steps.rows.last().map_or(i64::MIN, |row| row.at_us);
            let keeps = if is_over {
                now_us - steps.written_us < limits::LIVE_ENDED_US
            } else {
                now_us - last_us < lost_us
            };
            if !keeps {
                visits.iter().filter_map(end).for_each(|(seat, at)| later(ends, seat, at));
            }
            keeps
        });
        let rest_us = limits::RING_S * 1_000_000;
        self.ends.retain(|_, at| now_us - *at < rest_us);
    }

    /// The visit that each call is in now: a caller who has entered another queue is in none before.
    fn present(&self) -> impl Iterator<Item = Visit> + '_ {
        self.calls.values().filter_map(|steps| {
            let mut visits = visit::of_call(&steps.rows);
            if steps.is_over(&visits) { None } else { visits.pop() }
        })
    }

    /// Calls of which the log has no end, every [`limits::LIVE_CHECK_US`] once; else none.
    pub(super) fn unended(&mut self, now_us: i64) -> Vec<String> {
        if self.checked_us <= now_us && now_us - self.checked_us < limits::LIVE_CHECK_US {
            return Vec::new();
        }
        self.checked_us = now_us;
        self.present().map(|visit| visit.call).collect()
    }

    /// A call is over, whatever the log says of it until now: its caller neither waits nor talks.
    pub(super) fn end(&mut self, call: &str) {
        if let Some(steps) = self.calls.get_mut(call) {
            steps.has_ended = true;
        }
    }

    /// A queue's line.
    pub fn line(&self, queue: &str) -> Line {
        self.lines().remove(queue).unwrap_or_default()
    }

    /// The lines of all queues in which somebody is, by name. Of equal places whoever entered first stands first.
    pub fn lines(&self) -> HashMap<String, Line> {
        let mut lines: HashMap<String, Line> = HashMap::new();
        for visit in self.present() {
            let line = lines.entry(visit.queue.clone()).or_default();
            if visit.answered_us().is_some() { line.talking.push(visit) } else { line.waiting.push(visit) }
        }
        for line in lines.values_mut() {
            line.waiting.sort_by(|a, b| (a.entered_us(), &a.call).cmp(&(b.entered_us(), &b.call)));
            line.talking.sort_by(|a, b| (a.answered_us(), &a.call).cmp(&(b.answered_us(), &b.call)));
        }
        lines
    }

    /// The last visit of a call in a queue, over or not; none of somebody who waited when the call ended.
    pub fn visit(&self, call: &str, queue: &str) -> Option<Visit> {
        let steps = self.calls.get(call)?;
        let last = visit::of_call(&steps.rows).into_iter().rev().find(|visit| visit.queue == queue);
        last.filter(|visit| !steps.has_ended || visit.how().is_some())
    }

    /// Talks with callers of any queue, by the name of who answered; the last one of each.
    pub fn talks(&self) -> HashMap<String, Visit> {
        let mut talks: HashMap<String, Visit> = HashMap::new();
        for visit in self.present().filter(|visit| visit.answered_us().is_some()) {
            match talks.get(&visit.agent) {
                Some(other) if other.answered_us() > visit.answered_us() => {}
                _ => drop(talks.insert(visit.agent.clone(), visit)),
            }
        }
        talks
    }

    /// When members' last talks in a queue ended, by name; microseconds since 1970 UTC.
    pub fn ends(&self, queue: &str) -> HashMap<String, i64> {
        let all = self.all_ends().into_iter();
        all.filter(|((of, _), _)| of == queue).map(|((_, agent), at)| (agent, at)).collect()
    }

    /// When last talks ended, by queue and member; microseconds since 1970 UTC.
    pub fn all_ends(&self) -> HashMap<Seat, i64> {
        let known = self.ends.iter().map(|(seat, at)| (seat.clone(), *at));
        let ended = self.calls.values().flat_map(|steps| visit::of_call(&steps.rows));
        let mut all = HashMap::new();
        for (seat, at) in known.chain(ended.filter_map(|visit| end(&visit))) {
            later(&mut all, seat, at);
        }
        all
    }

    /// The pause of a member of a queue, as the log has it last: of this queue, or of all.
    pub fn pause(&self, queue: &str, agent: &str) -> Option<Pause> {
        let of = |queue: &str| self.pauses.get(&(queue.to_owned(), agent.to_owned()));
        let last = [of(queue), of("")].into_iter().flatten().max_by_key(|(at, _)| *at)?;
        last.1.clone().map(|reason| Pause { since_us: last.0, reason })
    }

    /// How many calls are kept.
    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }
}

fn end(visit: &Visit) -> Option<(Seat, i64)> {
    let at_us = visit.talked_until_us().filter(|_| !visit.agent.is_empty())?;
    Some(((visit.queue.clone(), visit.agent.clone()), at_us))
}

fn later(ends: &mut HashMap<Seat, i64>, seat: Seat, at_us: i64) {
    let last = ends.entry(seat).or_insert(at_us);
    *last = (*last).max(at_us);
}

#[cfg(test)]
mod tests {
    use super::super::visit::tests::row;
    use super::*;

    const S: i64 = 1_000_000;

    fn state(rows: &[Row]) -> State {
        let mut state = State::default();
        rows.iter().for_each(|row| state.take(row.clone(), row.at_us));
        state
    }

    fn names(visits: &[Visit]) -> Vec<&str> {
        visits.iter().map(|visit| visit.call.as_str()).collect()
    }

    #[test]
    fn the_line_is_in_order_and_ends_with_the_talk() {
        let mut rows = vec![
            row(10, "a", "", "ENTERQUEUE", "|1|1"),
            row(12, "b", "", "ENTERQUEUE", "|2|2"),
            row(11, "c", "", "ENTERQUEUE", "|3|2"),
            row(12, "b", "", "ENTERQUEUE", "|2|2"),
        ];
        let line = state(&rows).line("support");
        assert_eq!((names(&line.waiting), line.talking.len()), (vec!["a", "c", "b"], 0));
        assert_eq!(state(&rows).line("sales"), Line::default());
        rows.push(row(20, "c", "101", "CONNECT", "9|x|1"));
        rows.push(row(21, "a", "", "ABANDON", "1|1|11"));
        let now = state(&rows);
        let line = now.line("support");
        assert_eq!((names(&line.waiting), names(&line.talking)), (vec!["b"], vec!["c"]));
        assert_eq!(now.talks()["101"].answered_us(), Some(20 * S));
        // Another order changes nothing, and what ended stays so.
        rows.push(row(50, "c", "101", "COMPLETEAGENT", "9|30|1"));
        rows.reverse();
        let now = state(&rows);
        assert_eq!((names(&now.line("support").waiting), now.talks().len()), (vec!["b"], 0));
        assert_eq!(now.ends("support"), HashMap::from([("101".to_owned(), 50 * S)]));
        assert!(now.ends("sales").is_empty());
    }

    #[test]
    fn who_entered_another_queue_has_left_the_one_before() {
        let mut rows = [row(10, "a", "", "ENTERQUEUE", "|1|1"), row(20, "a", "", "ENTERQUEUE", "|1|1")];
        rows[1].queue = "sales".into();
        let now = state(&rows);
        assert_eq!((now.line("support").waiting.len(), now.line("sales").waiting.len()), (0, 1));
    }

    #[test]
    fn calls_are_forgotten_and_what_they_leave_is_not() {
        let mut now = state(&[
            row(10, "a", "", "ENTERQUEUE", "|1|1"),
            row(12, "b", "", "ENTERQUEUE", "|2|2"),
            row(20, "b", "101", "CONNECT", "8|x|1"),
            row(50, "b", "101", "COMPLETEAGENT", "8|30|1"),
        ]);
        now.forget(50 * S, 3_600 * S);
        assert_eq!(now.len(), 2);
        now.forget(200 * S, 3_600 * S);
        assert_eq!((now.len(), names(&now.line("support").waiting)), (1, vec!["a"]));
        assert_eq!(now.ends("support").get("101"), Some(&(50 * S)));
        // Nobody waits for ever.
        now.forget(3_611 * S, 3_600 * S);
        assert!(now.is_empty());
        now.forget(3_651 * S, 3_600 * S);
        assert!(now.ends("support").is_empty());
    }

    #[test]
    fn who_has_no_end_is_asked_for_and_gone_with_the_call() {
        let mut now = state(&[
            row(10, "a", "", "ENTERQUEUE", "|1|1"),
            row(12, "b", "", "ENTERQUEUE", "|2|2"),
            row(20, "b", "101", "CONNECT", "8|x|1"),
            row(13, "c", "", "ENTERQUEUE", "|3|3"),
            row(14, "c", "", "ABANDON", "1|1|1"),
        ]);
        let mut asked = now.unended(30 * S);
        asked.sort();
        assert_eq!((asked, now.unended(34 * S)), (vec!["a".to_owned(), "b".to_owned()], Vec::new()));
        ["a", "b", "x"].into_iter().for_each(|call| now.end(call));
        assert_eq!((now.line("support"), now.talks().len()), (Line::default(), 0));
        assert!(now.visit("a", "support").is_none() && now.visit("b", "support").is_some());
        // What is heard of it after all counts; a clock that steps back asks at once.
        now.take(row(40, "a", "101", "CONNECT", "30|x|1"), 40 * S);
        assert_eq!(
            (names(&now.line("support").talking), now.unended(20 * S)),
            (vec!["a"], vec!["a".to_owned()])
        );
        now.end("a");
        now.forget(101 * S, 3_600 * S);
        assert!(now.is_empty());
    }

    #[test]
    fn the_last_word_on_a_pause_counts() {
        let pause = |at: i64, event: &str, queue: &str, reason: &str| {
            let mut row = row(at, "", "101", event, reason);
            row.queue = queue.into();
            row
        };
        let mut rows = vec![pause(10, "PAUSE", "support", "tea"), pause(30, "UNPAUSE", "support", "")];
        assert_eq!(state(&rows).pause("support", "101"), None);
        rows.reverse();
        assert_eq!(state(&rows).pause("support", "101"), None);
        rows.push(pause(40, "PAUSEALL", "", "fire"));
        let fire = Some(Pause { since_us: 40 * S, reason: "fire".into() });
        assert_eq!(state(&rows).pause("support", "101"), fire);
        assert_eq!((state(&rows).pause("sales", "101"), state(&rows).pause("support", "102")), (fire, None));
        rows.push(pause(50, "UNPAUSE", "support", ""));
        assert_eq!(state(&rows).pause("support", "101"), None);
    }
}
