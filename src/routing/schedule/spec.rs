//! The JSON form of opening hours, and the check that turns it into the compiled one.
//!
//! ```json
//! {"zone": "Europe/Berlin",
//!  "weekly": [{"day": "mon", "from": "09:00", "to": "17:00"}, {"day": "fri", "from": "22:00", "to": "06:00"}],
//!  "holidays": [{"name": "Christmas", "yearly": "12-25"},
//!               {"name": "Inventory", "date": "2026-06-30", "hours": [{"from": "10:00", "to": "14:00"}], "key": "short-day"}]}
//! ```
//!
//! Times are `HH:MM`. `from` lies in `00:00` to `23:59`. A `to` that is earlier than `from` means the next day; an
//! interval of more than 24 hours is written with hours past 24 (`09:00` to `33:30`, at most `48:00`). Equal times
//! are refused, because they could mean nothing or everything: a whole day is `00:00` to `24:00`.
//! Unknown fields are refused, so that a misspelt `hours` cannot close a tenant for a day.

use std::fmt;

use chrono::{Datelike, NaiveDate};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{DAY, Holiday, HolidayDay, Interval, Schedule, Week, year_day};
use crate::config::limits::schedule as limits;

/// A day of the week, written `mon` to `sun`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Weekday {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl Weekday {
    /// All days, Monday first.
    pub const ALL: [Self; 7] = [Self::Mon, Self::Tue, Self::Wed, Self::Thu, Self::Fri, Self::Sat, Self::Sun];
}

/// One interval of every week.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeeklySpec {
    /// The day it begins on.
    pub day: Weekday,
    /// First minute, `HH:MM`.
    pub from: String,
    /// Minute after the last, `HH:MM`.
    pub to: String,
}

/// One interval of a holiday's special hours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntervalSpec {
    /// First minute, `HH:MM`.
    pub from: String,
    /// Minute after the last, `HH:MM`.
    pub to: String,
}

/// One holiday: exactly one of `date` and `yearly`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HolidaySpec {
    /// What people call it, 1 to 120 characters.
    pub name: String,
    /// A single date, `YYYY-MM-DD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
    /// The same day of every year, `MM-DD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub yearly: Option<String>,
    /// Special hours; none means closed all day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hours: Vec<IntervalSpec>,
    /// The caller's own reference, 1 to 64 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// Opening hours as they are stored and sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleSpec {
    /// IANA name, such as `Europe/Berlin`.
    pub zone: String,
    /// Hours of every week; none means never open.
    #[serde(default)]
    pub weekly: Vec<WeeklySpec>,
    /// Dates with rules of their own.
    #[serde(default)]
    pub holidays: Vec<HolidaySpec>,
}

/// Why a schedule was refused. `place` is a path in the document, such as `weekly[2].to`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ScheduleError {
    #[error("zone: unknown time zone {0:?}; use an IANA name such as \"Europe/Berlin\"")]
    Zone(String),
    #[error("{place}: {count} entries, at most {limit} are allowed")]
    TooMany { place: String, count: usize, limit: usize },
    #[error("{place}: {value:?} is not a time from {range}, written HH:MM")]
    Time { place: String, value: String, range: &'static str },
    #[error("{place}: from and to are the same; a whole day is \"00:00\" to \"24:00\"")]
    Empty { place: String },
    #[error("{place}: {value:?} is not a day, written {form}")]
    Day { place: String, value: String, form: &'static str },
    #[error("{place}: give exactly one of date and yearly")]
    OneDay { place: String },
    #[error("{place}: the same day is listed before")]
    Twice { place: String },
    #[error("{place}: must have 1 to {limit} characters, none of them a control character")]
    Text { place: String, limit: usize },
}

impl TryFrom<ScheduleSpec> for Schedule {
    type Error = ScheduleError;

    fn try_from(spec: ScheduleSpec) -> Result<Self, ScheduleError> {
        let zone: Tz = spec.zone.parse().map_err(|_| ScheduleError::Zone(spec.zone.clone()))?;
        at_most("weekly", spec.weekly.len(), limits::WEEKLY)?;
        at_most("holidays", spec.holidays.len(), limits::HOLIDAYS)?;
        let mut weekly: [Vec<Interval>; 7] = Default::default();
        for (index, entry) in spec.weekly.iter().enumerate() {
            let place = format_args!("weekly[{index}]");
            weekly[entry.day as usize].push(interval(place, &entry.from, &entry.to)?);
        }
        let mut schedule = Self {
            zone,
            weekly: Week::new(&weekly.map(merged)),
            holidays: Vec::with_capacity(spec.holidays.len()),
            by_date: Vec::new(),
            by_year_day: Vec::new(),
        };
        for (index, entry) in spec.holidays.into_iter().enumerate() {
            schedule.add_holiday(index, entry)?;
        }
        Ok(schedule)
    }
}

impl Schedule {
    fn add_holiday(&mut self, index: usize, spec: HolidaySpec) -> Result<(), ScheduleError> {
        let place = format!("holidays[{index}]");
        text(format!("{place}.name"), &spec.name, limits::NAME_CHARS)?;
        if let Some(key) = &spec.key {
            text(format!("{place}.key"), key, limits::KEY_CHARS)?;
        }
        at_most(&format!("{place}.hours"), spec.hours.len(), limits::HOLIDAY_INTERVALS)?;
        let mut hours = Vec::with_capacity(spec.hours.len());
        for (number, entry) in spec.hours.iter().enumerate() {
            hours.push(interval(format_args!("{place}.hours[{number}]"), &entry.from, &entry.to)?);
        }
        let number = u16::try_from(self.holidays.len()).unwrap_or(u16::MAX);
        let day = match (&spec.date, &spec.yearly) {
            (Some(date), None) => {
                let date = single_date(&place, date)?;
                insert_sorted(&mut self.by_date, date, number, &place)?;
                HolidayDay::Date(date)
            }
            (None, Some(yearly)) => {
                let (month, day) = yearly_date(&place, yearly)?;
                insert_sorted(&mut self.by_year_day, (month, day), number, &place)?;
                HolidayDay::Yearly(month, day)
            }
            _ => return Err(ScheduleError::OneDay { place }),
        };
        self.holidays.push(Holiday { name: spec.name, day, hours: merged(hours), key: spec.key });
        Ok(())
    }
}

impl From<Schedule> for ScheduleSpec {
    fn from(schedule: Schedule) -> Self {
        let mut weekly = Vec::new();
        for day in Weekday::ALL {
            weekly.extend(schedule.weekly.day(day as usize).iter().map(|&hours| {
                let (from, to) = written(hours);
                WeeklySpec { day, from, to }
            }));
        }
        let holidays = schedule.holidays.into_iter().map(HolidaySpec::from).collect();
        Self { zone: schedule.zone.name().to_owned(), weekly, holidays }
    }
}

impl From<Holiday> for HolidaySpec {
    fn from(holiday: Holiday) -> Self {
        let (date, yearly) = match holiday.day {
            HolidayDay::Date(date) => (Some(date.to_string()), None),
            HolidayDay::Yearly(month, day) => (None, Some(format!("{month:02}-{day:02}"))),
        };
        let hours = holiday.hours.iter().map(|&hours| {
            let (from, to) = written(hours);
            IntervalSpec { from, to }
        });
        Self { name: holiday.name, date, yearly, hours: hours.collect(), key: holiday.key }
    }
}

fn at_most(place: &str, count: usize, limit: usize) -> Result<(), ScheduleError> {
    if count > limit {
        return Err(ScheduleError::TooMany { place: place.to_owned(), count, limit });
    }
    Ok(())
}

fn text(place: String, value: &str, limit: usize) -> Result<(), ScheduleError> {
    let fits = (1..=limit).contains(&value.chars().count());
    if fits && !value.chars().any(char::is_control) {
        Ok(())
    } else {
        Err(ScheduleError::Text { place, limit })
    }
}

fn interval(place: fmt::Arguments<'_>, from: &str, to: &str) -> Result<Interval, ScheduleError> {
    let read = |field: &str, value: &str, allowed: std::ops::RangeInclusive<u16>, range: &'static str| {
        minutes(value).filter(|minute| allowed.contains(minute)).ok_or_else(|| ScheduleError::Time {
            place: format!("{place}.{field}"),
            value: value.to_owned(),
            range,
        })
    };
    let from = read("from", from, 0..=DAY - 1, "00:00 to 23:59")?;
    let to = read("to", to, 0..=2 * DAY, "00:00 to 48:00")?;
    match to.cmp(&from) {
        std::cmp::Ordering::Less => Ok(Interval { from, to: to + DAY }),
        std::cmp::Ordering::Equal => Err(ScheduleError::Empty { place: place.to_string() }),
        std::cmp::Ordering::Greater => Ok(Interval { from, to }),
    }
}

/// Minutes of `HH:MM`, up to `99:59`.
fn minutes(value: &str) -> Option<u16> {
    let &[h1, h2, b':', m1 @ b'0'..=b'5', m2] = value.as_bytes() else { return None };
    let digit = |byte: u8| byte.is_ascii_digit().then(|| u16::from(byte - b'0'));
    Some((digit(h1)? * 10 + digit(h2)?) * 60 + digit(m1)? * 10 + digit(m2)?)
}

fn written(hours: Interval) -> (String, String) {
    // Past midnight the plain form is used wherever it reads back as the same interval.
    let to = if hours.to > DAY && hours.to - DAY < hours.from { hours.to - DAY } else { hours.to };
    let form = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
    (form(hours.from), form(to))
}

/// Sorted, with overlapping and touching intervals made one.
fn merged(mut hours: Vec<Interval>) -> Vec<Interval> {
    hours.sort_unstable();
    let mut result: Vec<Interval> = Vec::with_capacity(hours.len());
    for next in hours {
        match result.last_mut() {
            Some(last) if next.from <= last.to => last.to = last.to.max(next.to),
            _ => result.push(next),
        }
    }
    result
}

fn single_date(place: &str, value: &str) -> Result<NaiveDate, ScheduleError> {
    // The length check refuses the short forms (2026-1-1) that chrono would take.
    let date = (value.len() == 10).then(|| value.parse::<NaiveDate>().ok()).flatten();
    date.filter(|date| (1970..=9999).contains(&date.year())).ok_or_else(|| ScheduleError::Day {
        place: format!("{place}.date"),
        value: value.to_owned(),
        form: "YYYY-MM-DD",
    })
}

fn yearly_date(place: &str, value: &str) -> Result<(u8, u8), ScheduleError> {
    // A leap year, so that 29 February is a day.
    let date = (value.len() == 5).then(|| format!("2000-{value}").parse::<NaiveDate>().ok()).flatten();
    date.map(year_day).ok_or_else(|| ScheduleError::Day {
        place: format!("{place}.yearly"),
        value: value.to_owned(),
        form: "MM-DD",
    })
}

fn insert_sorted<K: Ord>(
    index: &mut Vec<(K, u16)>,
    key: K,
    number: u16,
    place: &str,
) -> Result<(), ScheduleError> {
    match index.binary_search_by(|entry| entry.0.cmp(&key)) {
        Ok(_) => Err(ScheduleError::Twice { place: place.to_owned() }),
        Err(position) => {
            index.insert(position, (key, number));
            Ok(())
        }
    }
}
