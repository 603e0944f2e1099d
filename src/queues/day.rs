//! A tenant's day so far: how its queues did since midnight, kept up with the log. Pure.

use std::collections::{BTreeSet, HashMap};

use super::log::Row;
use super::report::{Ask, Queue};
use super::visit::{self, Visit};
use crate::config::limits::queues as limits;

/// One day of one tenant.
#[derive(Debug)]
pub(super) struct Day {
    /// Its begin and end, microseconds since 1970 UTC.
    pub(super) time: (i64, i64),
    /// Callers who have gone, by queue.
    gone: HashMap<String, Queue>,
    /// Rows of those who have not, or who went a moment ago, and when the last of a caller's was written.
    calls: HashMap<String, (BTreeSet<Row>, i64)>,
}

impl Day {
    /// Without callers.
    pub(super) fn new(time: (i64, i64)) -> Self {
        Self { time, gone: HashMap::new(), calls: HashMap::new() }
    }

    /// Takes a row and when it was written. A row that is known is no news.
    pub(super) fn take(&mut self, row: Row, written_us: i64) {
        if visit::is_step(&row) {
            let (rows, last_us) = self.calls.entry(row.call.clone()).or_default();
            *last_us = written_us.max(*last_us);
            rows.insert(row);
        }
    }

    /// Counts for good whoever has gone; rows that come again later than that would count again.
    pub(super) fn settle(&mut self, now_us: i64, ask: &Ask) {
        let (gone, time) = (&mut self.gone, self.time);
        self.calls.retain(|_, (rows, written_us)| {
            if now_us - *written_us < limits::LIVE_ENDED_US {
                return true;
            }
            let visits = visit::of_call(&*rows);
            let is_over = visits.last().is_none_or(Visit::is_over);
            if is_over {
                count(gone, &visits, time, ask);
            }
            !is_over
        });
    }

    /// How the queues have done.
    pub(super) fn so_far(&self, ask: &Ask) -> HashMap<String, Queue> {
        let mut all = self.gone.clone();
        for (rows, _) in self.calls.values() {
            count(&mut all, &visit::of_call(rows), self.time, ask);
        }
        all
    }
}

fn count(all: &mut HashMap<String, Queue>, visits: &[Visit], time: (i64, i64), ask: &Ask) {
    for visit in visits.iter().filter(|visit| (time.0..time.1).contains(&visit.entered_us())) {
        all.entry(visit.queue.clone()).or_default().add(visit, ask);
    }
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;
    use proptest::prelude::*;

    use super::super::report::report;
    use super::super::visit::tests::row;
    use super::*;

    const S: i64 = 1_000_000;

    fn ask() -> Ask {
        let levels = HashMap::from([("support".to_owned(), 10)]);
        Ask { from_us: 100 * S, to_us: 900 * S, interval: None, zone: Tz::UTC, short_us: 5 * S, levels }
    }

    proptest! {
        /// However rows come, and whenever it is looked: the day so far is the report of it.
        #[test]
        fn a_day_is_its_report(calls in prop::collection::vec((0_i64..950, 0_i64..60, 0_u8..5), 0..40), every in 1_i64..200) {
            let mut rows = Vec::new();
            for (n, (at, wait, how)) in calls.iter().enumerate() {
                let name = format!("c{n}");
                rows.push(row(*at, &name, "", "ENTERQUEUE", "|1|1"));
                match how {
                    0 => rows.push(row(at + wait, &name, "", "ABANDON", &format!("1|1|{wait}"))),
                    1 | 2 => rows.push(row(at + wait, &name, "101", "CONNECT", &format!("{wait}|x|1"))),
                    3 => rows.push(row(at + wait, &name, "", "EXITEMPTY", &format!("1|1|{wait}"))),
                    _ => {}
                }
                if *how == 2 {
                    rows.push(row(at + wait + 7, &name, "101", "COMPLETEAGENT", &format!("{wait}|7|1")));
                }
            }
            rows.sort();
            let (mut day, mut looked) = (Day::new((100 * S, 900 * S)), 0);
            for row in &rows {
                let now_us = row.at_us;
                day.take(row.clone(), now_us);
                day.take(row.clone(), now_us);
                if now_us - looked > every * S {
                    looked = now_us;
                    day.settle(now_us, &ask());
                }
            }
            day.settle(5_000 * S, &ask());
            let report = report(&rows, &ask());
            let expected: HashMap<String, Queue> = report.queues.into_iter().map(|(slot, queue)| (slot.queue, queue)).collect();
            prop_assert_eq!(day.so_far(&ask()), expected);
        }
    }
}
