//! What a real Asterisk writes into its queue_log, over HTTP or ODBC, and what is seen of it: who waits, who talks, how it went.

use crate::service_realtime::{CALLER, NUMBER, Way, furnish, newco, start, text};
use crate::service_rest::Person;
use crate::support::call::Call;
use crate::support::phone::{Phone, register};
use crate::support::ports;
use crate::support::scenario::Behaviour;
use crate::support::service::Database;
use crate::support::wait;
use chrono::{DateTime, Duration, Utc};
use serde_json::{Value, json};

on_both! { who_waits_talks_and_gives_up_is_seen }

fn who_waits_talks_and_gives_up_is_seen(database: Database) {
    waits_talks_and_gives_up(Way::Http, database);
}

pub(crate) fn waits_talks_and_gives_up(way: Way, database: Database) {
    let (service, pbx) = start(way, database);
    let root = newco(&service);
    let (_, password, queue, member) = furnish(&root);
    root.ask("PATCH", &format!("/queues/{queue}"), &json!({"max_wait_s": 60, "wrapup_s": 60}), 200);
    let live = format!("/queues/{queue}/live");
    let [port] = ports::free();
    assert!(register(&pbx, ("newco-101", &password), port, 300));
    let phone = Phone::at(port, "newco-101", Behaviour::Answers { after_ms: 2_000, hangs_up_after_ms: None });
    wait::until("the phone to be found", || {
        pbx.cli("queue show newco-support").contains("(Not in use)").then_some(())
    });

    // The dialplan answers before the queue: the caller stays so long, whether waiting or talking.
    let calling = Call::to(NUMBER).from(CALLER).stay(8_000).start(&pbx);
    let seen =
        wait::until("the caller to wait", || Some(root.get(&live)).filter(|s| s["waiting_count"] == 1));
    let waits = &seen["waiting"][0];
    assert_eq!((&waits["position"], &waits["caller_number"]), (&json!(1), &json!(CALLER)), "{seen}");
    let seen =
        wait::until("the talk to be seen", || Some(root.get(&live)).filter(|s| s["talking_count"] == 1));
    assert_eq!((&seen["waiting"], &seen["talking"][0]["agent"]), (&json!([]), &json!("101")), "{seen}");
    assert_eq!(seen["talking"][0]["uniqueid"], waits["uniqueid"]);
    assert_eq!(
        (&seen["members"][0]["id"], &seen["members"][0]["state"]),
        (&json!(member), &json!("talking"))
    );
    calling.finish();
    let seen =
        wait::until("the end of the talk", || Some(root.get(&live)).filter(|s| s["talking_count"] == 0));
    assert_eq!(seen["members"][0]["state"], "wrapup", "{seen}");

    // The phone rests: the next caller waits in vain.
    let calling = Call::to(NUMBER).from(CALLER).stay(3_000).start(&pbx);
    wait::until("the second caller to wait", || {
        Some(root.get(&live)).filter(|s| s["waiting_count"] == 1 && s["waiting"][0]["position"] == 1)
    });
    calling.finish();
    wait::until("the second caller to be gone", || Some(root.get(&live)).filter(|s| s["waiting_count"] == 0));
    assert_eq!(phone.answered(), 1);

    let told = root.list("/events?types=queue.caller_joined,queue.caller_left");
    let told: Vec<Value> = told.iter().map(|event| json!([event["type"], event["data"]["how"]])).collect();
    assert_eq!(
        told,
        [
            json!(["queue.caller_joined", null]),
            json!(["queue.caller_left", "answered"]),
            json!(["queue.caller_joined", null]),
            json!(["queue.caller_left", "abandoned"]),
        ]
    );
    let now: DateTime<Utc> = text(&root.get(&live), "at").parse().unwrap();
    let report = report(&root, now);
    let sum = |lines: &str, field: &str| sum(&report, lines, field);
    for (field, number) in [("offered", 2), ("answered", 1), ("answered_in_time", 1), ("abandoned", 1)] {
        assert_eq!(sum("queues", field), number, "{field}: {report}");
    }
    assert_eq!((report["agents"][0]["agent"].clone(), sum("agents", "answered")), (json!("101"), 1));
    let (talk, wait) = (sum("queues", "talk_total_ms"), sum("queues", "wait_longest_ms"));
    assert!((1_000..7_000).contains(&talk) && (1_500..7_000).contains(&wait), "{report}");
    // Its times are ours.
    assert!(!service.log().contains("queue_log_realtime_use_gmt"));
}

/// How queues did in the last hour.
pub(crate) fn report(root: &Person<'_>, now: DateTime<Utc>) -> Value {
    let from = (now - Duration::hours(1)).format("%Y-%m-%dT%H:%M:%SZ");
    root.get(&format!("/queues/report?from={from}&interval=1d&short_abandon_s=0"))
}

/// A number of a report. Around midnight there are two lines.
pub(crate) fn sum(report: &Value, lines: &str, field: &str) -> i64 {
    report[lines].as_array().unwrap().iter().filter_map(|line| line[field].as_i64()).sum()
}
