//! Opening hours: is a tenant open at an instant, and when does that change. Pure: no I/O, the instant is an argument.
//!
//! # The rule
//!
//! An instant is turned into the wall clock of the schedule's zone: a date and a minute of the day (seconds are
//! cut off). That date and that minute alone decide; intervals are half open, `from <= minute < to`:
//!
//! 1. If the date is a holiday, the holiday **replaces everything** on this date: open inside its special hours,
//!    otherwise [`Status::Holiday`]. A tail that comes over midnight from the day before is replaced as well.
//! 2. Otherwise open if an interval of this weekday covers the minute, or if an interval that began on the
//!    **date before** reaches past midnight and covers it. That date's own hours count: the special hours of a
//!    holiday run into the next day like any others, and the weekly hours of a holiday do not.
//! 3. Otherwise [`Status::Closed`]. No weekly interval means never open; `00:00` to `24:00` on all seven days is 24/7.
//!
//! A date that is listed both as a single date and as a yearly one takes the single date.
//!
//! # Clock changes
//!
//! They need no rule of their own, because an instant always has exactly one wall-clock time:
//!
//! - *Gap* (clock jumps forward): an edge inside the skipped minutes takes effect at the end of the gap. A skipped
//!   midnight or a skipped date (Apia, 2011-12-30) just never occurs; "the date before" stays the calendar's.
//! - *Fold* (clock jumps back): both passes of the repeated minutes count alike. With closing time 02:30 and the
//!   clock set back from 03:00 to 02:00, it is open to 02:30, closed to 03:00, open again from the second 02:00 to
//!   the second 02:30.
//!
//! Invariants: intervals are sorted, merged and lie in `0..2880`; the two holiday indexes are sorted and unique.
//! `status` allocates nothing.

mod spec;

use chrono::{
    DateTime, Datelike, Days, NaiveDate, NaiveDateTime, Offset, TimeDelta, TimeZone, Timelike, Utc,
};
use chrono_tz::Tz;

pub use spec::{HolidaySpec, IntervalSpec, ScheduleError, ScheduleSpec, Weekday, WeeklySpec};

use crate::config::limits;

/// Minutes of a calendar day on the wall clock.
const DAY: u16 = 1_440;

/// A half-open run of minutes, counted from midnight of the day it begins on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Interval {
    /// First minute, `0..=1439`.
    pub from: u16,
    /// Minute after the last, `1..=2880`; above 1440 it reaches into the next day.
    pub to: u16,
}

impl Interval {
    fn covers(self, minute: u16) -> bool {
        self.from <= minute && minute < self.to
    }
}

/// The day a holiday falls on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HolidayDay {
    /// One date.
    Date(NaiveDate),
    /// The same month (`1..=12`) and day (`1..=31`) of every year; 29 February comes in leap years only.
    Yearly(u8, u8),
}

/// A date with rules of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holiday {
    /// What people call it.
    pub name: String,
    /// When it is.
    pub day: HolidayDay,
    /// Special hours that replace the weekly ones; empty means closed all day.
    pub hours: Vec<Interval>,
    /// The caller's own reference, such as the key of a message or of a destination. Never looked at here.
    pub key: Option<String>,
}

/// The answer for one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status<'a> {
    /// Within weekly hours or within a holiday's special hours.
    Open,
    /// Outside the weekly hours of an ordinary date.
    Closed,
    /// A holiday, outside its special hours.
    Holiday(&'a Holiday),
}

impl Status<'_> {
    /// Stable word for traces: `open`, `closed` or `holiday`.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Holiday(_) => "holiday",
        }
    }
}

/// Opening hours, compiled. Made from its JSON form ([`ScheduleSpec`]) by `serde` or `TryFrom`; turning it back
/// gives the normal form, in which overlapping and touching intervals of a day are one.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "ScheduleSpec", into = "ScheduleSpec")]
pub struct Schedule {
    zone: Tz,
    weekly: Week,
    holidays: Vec<Holiday>,
    by_date: Vec<(NaiveDate, u16)>,
    by_year_day: Vec<((u8, u8), u16)>,
}

/// Hours of the seven days, Monday first. All in one place: a call meets them cold.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Week {
    hours: Box<[Interval]>,
    /// Where each day ends in `hours`; [`limits::schedule::WEEKLY`] fits.
    ends: [u8; 7],
}

impl Week {
    fn new(days: &[Vec<Interval>; 7]) -> Self {
        let mut end = 0;
        let ends = days.each_ref().map(|day| {
            end += day.len();
            u8::try_from(end).unwrap_or(u8::MAX)
        });
        Self { hours: days.concat().into(), ends }
    }

    /// `day` counts from Monday, 0.
    fn day(&self, day: usize) -> &[Interval] {
        let start = if day == 0 { 0 } else { self.ends[day - 1] };
        &self.hours[usize::from(start)..usize::from(self.ends[day])]
    }
}

impl Schedule {
    /// Zone whose wall clock counts.
    #[must_use]
    pub fn zone(&self) -> Tz {
        self.zone
    }

    /// Holidays in the order of the document.
    #[must_use]
    pub fn holidays(&self) -> &[Holiday] {
        &self.holidays
    }

    /// Whether it is open at an instant, by the rule of this module.
    #[must_use]
    pub fn status(&self, at: DateTime<Utc>) -> Status<'_> {
        self.status_local(self.wall_clock(at))
    }

    /// First instant after `at` with another status (another holiday counts as another status), or `None` if there
    /// is none within [`limits::schedule::NEXT_CHANGE_DAYS`]. Costs microseconds to tenths of a millisecond.
    #[must_use]
    pub fn next_change(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let end = at.checked_add_signed(TimeDelta::days(limits::schedule::NEXT_CHANGE_DAYS))?;
        let now = self.status(at);
        let mut here = at;
        loop {
            here = self.next_candidate(here)?;
            if here > end {
                return None;
            }
            if self.status(here) != now {
                return Some(here);
            }
        }
    }

    fn wall_clock(&self, at: DateTime<Utc>) -> NaiveDateTime {
        let utc = at.naive_utc();
        // At the very ends of the calendar there is no local time; UTC stands in.
        utc.checked_add_offset(self.offset(at)).unwrap_or(utc)
    }

    fn offset(&self, at: DateTime<Utc>) -> chrono::FixedOffset {
        self.zone.offset_from_utc_datetime(&at.naive_utc()).fix()
    }

    fn status_local(&self, local: NaiveDateTime) -> Status<'_> {
        let date = local.date();
        let minute = minute_of(local);
        if let Some(holiday) = self.holiday_on(date) {
            let open = holiday.hours.iter().any(|hours| hours.covers(minute));
            return if open { Status::Open } else { Status::Holiday(holiday) };
        }
        let own = self.weekly_on(date).iter().any(|hours| hours.covers(minute));
        let open = own || self.hours_before(date).iter().any(|hours| hours.covers(minute + DAY));
        if open { Status::Open } else { Status::Closed }
    }

    fn holiday_on(&self, date: NaiveDate) -> Option<&Holiday> {
        let index = match self.by_date.binary_search_by_key(&date, |entry| entry.0) {
            Ok(found) => self.by_date.get(found)?.1,
            Err(_) => {
                let key = year_day(date);
                let found = self.by_year_day.binary_search_by_key(&key, |entry| entry.0).ok()?;
                self.by_year_day.get(found)?.1
            }
        };
        self.holidays.get(usize::from(index))
    }

    fn weekly_on(&self, date: NaiveDate) -> &[Interval] {
        self.weekly.day(date.weekday().num_days_from_monday() as usize)
    }

    /// Hours that began on the date before: the weekly ones, or those of the holiday it was.
    fn hours_before(&self, date: NaiveDate) -> &[Interval] {
        let Some(before) = date.checked_sub_days(Days::new(1)) else { return &[] };
        self.holiday_on(before).map_or_else(|| self.weekly_on(before), |holiday| &holiday.hours)
    }

    /// The next instant at which the status could change: an edge, a midnight or a clock change.
    /// Two clock changes that cancel each other within a day would be missed; the zone database has none.
    fn next_candidate(&self, here: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let offset = self.offset(here);
        let local = here.naive_utc().checked_add_offset(offset)?;
        let edge = self.next_edge(local.date(), minute_of(local));
        let midnight = local.date().and_hms_opt(0, 0, 0)?;
        let edge_local = midnight.checked_add_signed(TimeDelta::minutes(i64::from(edge)))?;
        let next = edge_local.checked_sub_offset(offset)?.and_utc();
        if self.offset(next) == offset {
            return Some(next);
        }
        // The clock changes on the way: that instant comes first. Changes happen on whole seconds.
        let (mut before, mut after) = (here.timestamp(), next.timestamp());
        while after - before > 1 {
            let middle = before + (after - before) / 2;
            if self.offset(DateTime::from_timestamp(middle, 0)?) == offset {
                before = middle;
            } else {
                after = middle;
            }
        }
        DateTime::from_timestamp(after, 0)
    }

    /// Minute of the first edge of the date after `minute`; midnight at the latest.
    fn next_edge(&self, date: NaiveDate, minute: u16) -> u16 {
        let own = self.holiday_on(date).map_or_else(|| self.weekly_on(date), |holiday| &holiday.hours);
        let own = own.iter().flat_map(|hours| [hours.from, hours.to]);
        let tail = self.hours_before(date).iter().map(|hours| hours.to.saturating_sub(DAY));
        own.chain(tail).filter(|&edge| edge > minute).fold(DAY, u16::min)
    }
}

fn minute_of(local: NaiveDateTime) -> u16 {
    // At most 23 * 60 + 59.
    u16::try_from(local.hour() * 60 + local.minute()).unwrap_or(0)
}

fn year_day(date: NaiveDate) -> (u8, u8) {
    (u8::try_from(date.month()).unwrap_or(0), u8::try_from(date.day()).unwrap_or(0))
}
