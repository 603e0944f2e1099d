//! What reports are made of: intervals of the wall's time, shares, means.

use chrono::{Days, Duration, NaiveDate, NaiveTime, Offset as _, TimeZone as _, Timelike as _};
use chrono_tz::Tz;

use super::clock::from_us;
use super::words::words;

const SECOND_US: i64 = 1_000_000;
const DAY_US: i64 = 86_400 * SECOND_US;

words! {
    /// The length of a report's intervals.
    pub enum Interval {
        /// 15 minutes.
        Quarter = "15m",
        /// 30 minutes.
        Half = "30m",
        /// An hour.
        Hour = "1h",
        /// A day of the tenant's zone: 23 to 25 hours.
        Day = "1d",
    }
}

impl Interval {
    /// Its length in minutes; of a day the usual one.
    pub fn minutes(self) -> u32 {
        match self {
            Self::Quarter => 15,
            Self::Half => 30,
            Self::Hour => 60,
            Self::Day => 24 * 60,
        }
    }

    /// The interval of a moment as clocks in the zone show it: begin and end, microseconds since 1970 UTC.
    pub fn around(self, at_us: i64, zone: Tz) -> (i64, i64) {
        let local = from_us(at_us).with_timezone(&zone);
        if self == Self::Day {
            let date = local.date_naive();
            let next = date.checked_add_days(Days::new(1)).unwrap_or(date);
            return (midnight(date, zone), midnight(next, zone));
        }
        let minutes = i64::from(local.minute() % self.minutes());
        let into_us = (minutes * 60 + i64::from(local.second())) * SECOND_US + at_us.rem_euclid(SECOND_US);
        let begin = at_us - into_us;
        (begin, begin + i64::from(self.minutes()) * 60 * SECOND_US)
    }
}

/// The first moment of a date; where clocks skip midnight, the first that there is.
fn midnight(date: NaiveDate, zone: Tz) -> i64 {
    let midnight = date.and_time(NaiveTime::MIN);
    let skipped = || zone.from_local_datetime(&(midnight + Duration::hours(1))).earliest();
    let first = zone.from_local_datetime(&midnight).earliest().or_else(skipped);
    first.map_or_else(|| midnight.and_utc().timestamp_micros(), |at| at.timestamp_micros())
}

/// `part` of `whole` in percent, rounded to two digits; `None` of nothing.
pub fn percent(part: i64, whole: i64) -> Option<f64> {
    // Counts of calls, far below 2^53.
    (whole > 0).then(|| (part as f64 * 10_000.0 / whole as f64).round() / 100.0)
}

/// The mean, rounded down; `None` of nothing.
pub fn mean(sum: i64, of: i64) -> Option<i64> {
    (of > 0).then(|| sum / of)
}

/// Microseconds that clocks in the zone are ahead of UTC.
fn ahead_us(at_us: i64, zone: Tz) -> i64 {
    i64::from(zone.offset_from_utc_datetime(&from_us(at_us).naive_utc()).fix().local_minus_utc()) * SECOND_US
}

/// Cuts a time where clocks in the zone are set: each piece with its begin, its end, and how far they are ahead of UTC
/// meanwhile. Twice on one day they are not set anywhere.
pub fn between_clock_changes(from_us: i64, to_us: i64, zone: Tz) -> Vec<(i64, i64, i64)> {
    let (mut pieces, mut begin, mut at) = (Vec::new(), from_us, from_us);
    let mut ahead = ahead_us(from_us, zone);
    while at < to_us {
        let next = (at + DAY_US).min(to_us);
        if ahead_us(next, zone) != ahead {
            let (mut before, mut behind) = (at, next);
            while behind - before > 1 {
                let middle = before + (behind - before) / 2;
                if ahead_us(middle, zone) == ahead { before = middle } else { behind = middle }
            }
            pieces.push((begin, behind, ahead));
            (begin, ahead) = (behind, ahead_us(behind, zone));
        }
        at = next;
    }
    if begin < to_us {
        pieces.push((begin, to_us, ahead));
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_year_is_cut_where_clocks_are_set() {
        let us = |text: &str| chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros();
        let (from, to) = (us("2026-01-01T00:00:00Z"), us("2027-01-01T00:00:00Z"));
        let (spring, autumn) = (us("2026-03-29T01:00:00Z"), us("2026-10-25T01:00:00Z"));
        let hour = 3_600 * SECOND_US;
        assert_eq!(
            between_clock_changes(from, to, chrono_tz::Europe::Berlin),
            [(from, spring, hour), (spring, autumn, 2 * hour), (autumn, to, hour)]
        );
        assert_eq!(between_clock_changes(from, to, Tz::UTC), [(from, to, 0)]);
        assert_eq!(between_clock_changes(from, from, Tz::UTC), []);
    }
}
