//! Opening hours against a naive model, minute by minute, in zones with unusual clock changes; and the traps by name.

#![expect(clippy::unwrap_used, reason = "a test file")]

use chrono::{DateTime, Datelike, Days, Duration, NaiveDate, TimeZone, Timelike, Utc};
use chrono_tz::Tz;
use hookswitch::routing::schedule::{Schedule, Status};
use proptest::prelude::*;
use serde_json::{Value, json};

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Zones, each with a date around which something odd happens to its clock.
const PLACES: [(&str, (i32, u32, u32)); 12] = [
    ("Europe/Berlin", (2026, 3, 29)),
    ("Europe/Berlin", (2026, 10, 25)),
    ("America/New_York", (2026, 3, 8)),
    ("America/New_York", (2026, 11, 1)),
    // Half an hour of daylight saving.
    ("Australia/Lord_Howe", (2026, 4, 5)),
    ("Australia/Lord_Howe", (2026, 10, 4)),
    // Midnight skipped, and midnight repeated.
    ("America/Sao_Paulo", (2018, 11, 4)),
    ("America/Sao_Paulo", (2018, 2, 18)),
    ("Asia/Kathmandu", (2026, 1, 1)),
    // The whole 30th skipped.
    ("Pacific/Apia", (2011, 12, 30)),
    // Clock changes around Ramadan.
    ("Africa/Casablanca", (2026, 2, 15)),
    ("UTC", (2024, 2, 29)),
];

/// Hours before they are JSON: minutes, `to` up to 2880.
type Hours = (u16, u16);

#[derive(Clone, Debug)]
struct Naive {
    zone: Tz,
    weekly: Vec<(usize, Hours)>,
    /// Days from the place's date; yearly or single; special hours.
    holidays: Vec<(NaiveDate, bool, Vec<Hours>)>,
}

#[derive(Debug, PartialEq)]
enum Expected {
    Open,
    Closed,
    Holiday(String),
}

impl Naive {
    fn local(&self, at: DateTime<Utc>) -> (NaiveDate, usize) {
        let local = at.with_timezone(&self.zone).naive_local();
        (local.date(), (local.hour() * 60 + local.minute()) as usize)
    }

    fn holiday(&self, date: NaiveDate) -> Option<usize> {
        let same = |day: NaiveDate| (day.month(), day.day()) == (date.month(), date.day());
        let single = self.holidays.iter().position(|holiday| !holiday.1 && holiday.0 == date);
        single.or_else(|| self.holidays.iter().position(|holiday| holiday.1 && same(holiday.0)))
    }

    /// Whether the hours that begin on a date cover a minute of it, or of the date after it (1440 and above).
    fn covers(&self, date: NaiveDate, minute: usize) -> bool {
        let inside = |&(from, to): &Hours| usize::from(from) <= minute && minute < usize::from(to);
        match self.holiday(date) {
            Some(index) => self.holidays[index].2.iter().any(inside),
            None => {
                let day = date.weekday().num_days_from_monday() as usize;
                self.weekly.iter().any(|entry| entry.0 == day && inside(&entry.1))
            }
        }
    }

    fn status(&self, at: DateTime<Utc>) -> Expected {
        let (date, minute) = self.local(at);
        let own = self.covers(date, minute);
        match self.holiday(date) {
            Some(_) if own => Expected::Open,
            Some(index) => Expected::Holiday(format!("holiday {index}")),
            None if own || self.covers(date - Days::new(1), minute + 1_440) => Expected::Open,
            None => Expected::Closed,
        }
    }

    fn json(&self) -> Value {
        let time = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
        let hours = |&(from, to): &Hours| json!({"from": time(from), "to": time(to)});
        let weekly = self.weekly.iter().map(|(day, (from, to))| {
            // Overnight is written the plain way where it can be.
            let to = if *to > 1_440 && to - 1_440 < *from { to - 1_440 } else { *to };
            json!({"day": DAYS[*day], "from": time(*from), "to": time(to)})
        });
        let holidays = self.holidays.iter().enumerate().map(|(index, (date, yearly, special))| {
            let special: Vec<_> = special.iter().map(hours).collect();
            let (field, text) = if *yearly {
                ("yearly", date.format("%m-%d").to_string())
            } else {
                ("date", date.to_string())
            };
            json!({"name": format!("holiday {index}"), field: text, "hours": special})
        });
        json!({"zone": self.zone.name(), "weekly": weekly.collect::<Vec<_>>(), "holidays": holidays.collect::<Vec<_>>()})
    }
}

fn told(status: Status<'_>) -> Expected {
    match status {
        Status::Open => Expected::Open,
        Status::Closed => Expected::Closed,
        Status::Holiday(holiday) => Expected::Holiday(holiday.name.clone()),
    }
}

fn hours() -> impl Strategy<Value = Hours> {
    // Coarse steps hit edges, touching intervals and clock changes more often than single minutes do.
    let from = prop_oneof![(0u16..96).prop_map(|quarter| quarter * 15), 0u16..1_440];
    let length = prop_oneof![(1u16..96).prop_map(|quarter| quarter * 15), 1u16..2_880];
    (from, length).prop_map(|(from, length)| (from, (from + length).min(2_880)))
}

fn naive() -> impl Strategy<Value = (Naive, DateTime<Utc>)> {
    let weekly = prop::collection::vec((0usize..7, hours()), 0..8);
    let special = prop::collection::vec(hours(), 0..3);
    let holidays = prop::collection::vec((-3i64..4, any::<bool>(), special), 0..4);
    (0..PLACES.len(), weekly, holidays, -3 * 86_400i64..4 * 86_400).prop_map(
        |(place, weekly, days, shift)| {
            let (zone, (year, month, day)) = PLACES[place];
            let centre = NaiveDate::from_ymd_opt(year, month, day).unwrap();
            let mut holidays: Vec<(NaiveDate, bool, Vec<Hours>)> = Vec::new();
            for (offset, yearly, special) in days {
                let date = centre + Duration::days(offset);
                if !holidays.iter().any(|known| (known.0, known.1) == (date, yearly)) {
                    holidays.push((date, yearly, special));
                }
            }
            let noon = Utc.from_utc_datetime(&centre.and_hms_opt(12, 0, 0).unwrap());
            (Naive { zone: zone.parse().unwrap(), weekly, holidays }, noon + Duration::seconds(shift))
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_minute_of_a_day_is_as_the_model_says((model, start) in naive()) {
        let schedule: Schedule = serde_json::from_value(model.json()).unwrap();
        for step in 0..1_440 {
            let at = start + Duration::minutes(step);
            prop_assert_eq!(told(schedule.status(at)), model.status(at), "{} {}", at, model.json());
        }
    }

    #[test]
    fn the_next_change_is_the_first_minute_that_differs((model, start) in naive()) {
        let schedule: Schedule = serde_json::from_value(model.json()).unwrap();
        let now = model.status(start);
        let minute = start - Duration::seconds(i64::from(start.second()));
        let found = (1..=2_000).map(|step| minute + Duration::minutes(step)).find(|&at| model.status(at) != now);
        let told = schedule.next_change(start);
        match found {
            Some(_) => prop_assert_eq!(told, found, "{}", model.json()),
            None => prop_assert!(told.is_none_or(|at| at > minute + Duration::minutes(2_000)), "{:?}", told),
        }
    }

    #[test]
    fn written_and_read_again_it_is_the_same((model, _) in naive()) {
        let schedule: Schedule = serde_json::from_value(model.json()).unwrap();
        let again: Schedule = serde_json::from_value(serde_json::to_value(&schedule).unwrap()).unwrap();
        prop_assert_eq!(schedule, again);
    }
}

fn schedule(value: Value) -> Schedule {
    serde_json::from_value(value).unwrap()
}

/// Statuses at local times that exist once, as `code` words.
fn codes(schedule: &Schedule, times: &[&str]) -> Vec<&'static str> {
    let at = |text: &&str| {
        let local = chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").unwrap();
        schedule.status(schedule.zone().from_local_datetime(&local).single().unwrap().to_utc()).code()
    };
    times.iter().map(at).collect()
}

fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

#[test]
fn edges_are_half_open_and_not_inverted() {
    let office = schedule(
        json!({"zone": "Europe/Berlin", "weekly": [{"day": "mon", "from": "09:00", "to": "17:00"}]}),
    );
    let times = [
        "2026-06-01 08:59:59",
        "2026-06-01 09:00:00",
        "2026-06-01 16:59:59",
        "2026-06-01 17:00:00",
        "2026-06-02 12:00:00",
        "2026-05-31 12:00:00",
    ];
    assert_eq!(codes(&office, &times), ["closed", "open", "open", "closed", "closed", "closed"]);
    assert_eq!(office.next_change(utc("2026-06-01T07:00:00.5Z")), Some(utc("2026-06-01T15:00:00Z")));
    assert_eq!(office.next_change(utc("2026-06-01T15:00:00Z")), Some(utc("2026-06-08T07:00:00Z")));
}

#[test]
fn never_open_and_always_open() {
    let never = schedule(json!({"zone": "UTC"}));
    assert_eq!(never.status(utc("2026-06-01T12:00:00Z")), Status::Closed);
    assert_eq!(never.next_change(utc("2026-06-01T12:00:00Z")), None);
    let all: Vec<_> = DAYS.iter().map(|day| json!({"day": day, "from": "00:00", "to": "24:00"})).collect();
    let always = schedule(json!({"zone": "Europe/Berlin", "weekly": all}));
    assert_eq!(codes(&always, &["2026-06-01 00:00:00", "2026-06-07 23:59:59"]), ["open", "open"]);
    assert_eq!(always.next_change(utc("2026-06-01T12:00:00Z")), None);
}

#[test]
fn a_night_belongs_to_the_day_it_starts() {
    let night = schedule(
        json!({"zone": "Europe/Berlin", "weekly": [{"day": "sun", "from": "22:00", "to": "06:00"}]}),
    );
    let times = [
        "2026-06-07 05:00:00",
        "2026-06-07 21:59:59",
        "2026-06-07 22:00:00",
        "2026-06-08 00:00:00",
        "2026-06-08 05:59:59",
        "2026-06-08 06:00:00",
        "2026-06-08 22:00:00",
    ];
    assert_eq!(codes(&night, &times), ["closed", "closed", "open", "open", "open", "closed", "closed"]);
}

#[test]
fn a_holiday_replaces_its_date_and_nothing_else() {
    let nights: Vec<_> = DAYS.iter().map(|day| json!({"day": day, "from": "20:00", "to": "04:00"})).collect();
    let bar = schedule(json!({"zone": "Europe/Berlin", "weekly": nights, "holidays": [
        {"name": "Christmas", "yearly": "12-25", "key": "xmas"},
        {"name": "New Year's Eve", "date": "2026-12-31", "hours": [{"from": "18:00", "to": "07:00"}]},
        {"name": "Year's end", "yearly": "12-31"},
    ]}));
    let times = [
        "2026-12-24 23:59:59", // open into the holiday ...
        "2026-12-25 00:00:00", // ... which cuts the tail
        "2026-12-25 21:00:00",
        "2026-12-26 00:00:00", // the weekly night of the 25th is replaced, so its tail does not exist
        "2026-12-26 20:00:00",
        "2026-12-31 03:00:00", // tail of the 30th cut
        "2026-12-31 18:00:00", // the single date wins over the yearly one
        "2027-01-01 06:59:59", // special hours run into the next day
        "2027-01-01 07:00:00",
        "2027-12-31 21:00:00",
    ];
    let expected =
        ["open", "holiday", "holiday", "closed", "open", "holiday", "open", "open", "closed", "holiday"];
    assert_eq!(codes(&bar, &times), expected);
    let Status::Holiday(holiday) = bar.status(utc("2026-12-25T12:00:00Z")) else { panic!("no holiday") };
    assert_eq!((holiday.name.as_str(), holiday.key.as_deref()), ("Christmas", Some("xmas")));
}

#[test]
fn a_yearly_29_february_comes_in_leap_years_only() {
    let leap = schedule(json!({"zone": "UTC", "holidays": [{"name": "Leap day", "yearly": "02-29"}]}));
    assert_eq!(codes(&leap, &["2027-03-01 00:00:00", "2028-02-29 00:00:00"]), ["closed", "holiday"]);
}

#[test]
fn opening_inside_the_gap_takes_effect_at_its_end() {
    let early = schedule(
        json!({"zone": "Europe/Berlin", "weekly": [{"day": "sun", "from": "02:30", "to": "05:00"}]}),
    );
    // 02:00 to 03:00 does not exist on 2026-03-29; the gap is at 01:00 UTC.
    assert_eq!(early.status(utc("2026-03-29T00:59:59Z")), Status::Closed);
    assert_eq!(early.status(utc("2026-03-29T01:00:00Z")), Status::Open);
    assert_eq!(early.next_change(utc("2026-03-29T00:00:00Z")), Some(utc("2026-03-29T01:00:00Z")));
}

#[test]
fn both_passes_of_a_fold_count() {
    let late = schedule(
        json!({"zone": "Europe/Berlin", "weekly": [{"day": "sun", "from": "00:00", "to": "02:30"}]}),
    );
    // 02:00 to 03:00 comes twice on 2026-10-25: from 00:00 and from 01:00 UTC.
    let mut changes = vec![utc("2026-10-24T23:00:00Z")];
    while changes.len() < 4 {
        changes.push(late.next_change(*changes.last().unwrap()).unwrap());
    }
    assert_eq!(
        changes[1..],
        [utc("2026-10-25T00:30:00Z"), utc("2026-10-25T01:00:00Z"), utc("2026-10-25T01:30:00Z")]
    );
}

#[test]
fn what_is_refused_says_where_and_why() {
    let week =
        |from: &str, to: &str| json!({"zone": "UTC", "weekly": [{"day": "mon", "from": from, "to": to}]});
    let day =
        |holiday: Value| json!({"zone": "UTC", "holidays": [{"name": "ok", "yearly": "01-01"}, holiday]});
    let many = |count: usize| vec![json!({"day": "mon", "from": "09:00", "to": "10:00"}); count];
    for (value, message) in [
        (json!({"zone": "Mars/Base"}), "unknown time zone \"Mars/Base\""),
        (json!({}), "missing field `zone`"),
        (json!({"zone": "UTC", "weekdays": []}), "unknown field `weekdays`"),
        (week("09:00", "09:00"), "weekly[0]: from and to are the same"),
        (week("00:00", "00:00"), "weekly[0]: from and to are the same"),
        (week("24:00", "25:00"), "weekly[0].from: \"24:00\" is not a time"),
        (week("09:00", "48:01"), "weekly[0].to: \"48:01\" is not a time"),
        (week("9:00", "17:00"), "weekly[0].from: \"9:00\""),
        (week("09:60", "17:00"), "weekly[0].from: \"09:60\""),
        (week("-1:00", "17:00"), "weekly[0].from: \"-1:00\""),
        (
            json!({"zone": "UTC", "weekly": [{"day": "monday", "from": "09:00", "to": "10:00"}]}),
            "unknown variant",
        ),
        (json!({"zone": "UTC", "weekly": many(65)}), "weekly: 65 entries, at most 64"),
        (day(json!({"name": "x"})), "holidays[1]: give exactly one"),
        (day(json!({"name": "x", "date": "2026-01-01", "yearly": "01-01"})), "holidays[1]: give exactly one"),
        (day(json!({"name": "x", "yearly": "01-01"})), "holidays[1]: the same day is listed before"),
        (day(json!({"name": "x", "yearly": "02-30"})), "holidays[1].yearly: \"02-30\" is not a day"),
        (day(json!({"name": "x", "date": "2026-1-01"})), "holidays[1].date"),
        (day(json!({"name": "x", "date": "2027-02-29"})), "holidays[1].date"),
        (day(json!({"name": "", "yearly": "01-02"})), "holidays[1].name: must have 1 to 120"),
        (day(json!({"name": "x", "yearly": "01-02", "key": ""})), "holidays[1].key: must have 1 to 64"),
        (
            day(json!({"name": "x", "yearly": "01-02", "hours": [{"from": "x", "to": "y"}]})),
            "holidays[1].hours[0].from",
        ),
        (day(json!({"name": "x", "yearly": "01-02", "huors": []})), "unknown field `huors`"),
    ] {
        let error = serde_json::from_value::<Schedule>(value.clone()).unwrap_err().to_string();
        assert!(error.contains(message), "{value}: {error}");
    }
}

#[test]
fn the_stored_form_is_stable() {
    let given = json!({
        "zone": "Europe/Berlin",
        "weekly": [
            {"day": "mon", "from": "13:00", "to": "17:00"},
            {"day": "mon", "from": "09:00", "to": "13:00"},
            {"day": "fri", "from": "22:00", "to": "06:00"},
            {"day": "sat", "from": "09:00", "to": "33:30"},
        ],
        "holidays": [{"name": "Inventory", "date": "2026-06-30", "hours": [{"from": "10:00", "to": "24:00"}], "key": "k"}],
    });
    let mut normal = given.clone();
    normal["weekly"].as_array_mut().unwrap().remove(0);
    normal["weekly"][0]["to"] = json!("17:00");
    assert_eq!(serde_json::to_value(schedule(given)).unwrap(), normal);
}

#[test]
fn the_ends_of_the_calendar_do_not_panic() {
    let office =
        schedule(json!({"zone": "Pacific/Apia", "weekly": [{"day": "mon", "from": "09:00", "to": "17:00"}]}));
    for at in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
        let _ = (office.status(at), office.next_change(at));
    }
}
