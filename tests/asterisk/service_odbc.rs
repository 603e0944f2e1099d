//! Asterisk on the service's own database, over ODBC: the stories of `service_realtime` and `service_queue_log`, and what
//! becomes of them while the service or the database is gone.

use crate::service_queue_log::{report, sum, waits_talks_and_gives_up};
use crate::service_realtime::{
    CALLER, NUMBER, SOON, Way, follows_agents, furnish, newco, password_counts, ready, registers_and_answers,
    start, text, trunks, wait_registered,
};
use crate::support::call::Call;
use crate::support::mariadb::MariaDb;
use crate::support::phone::{Phone, register};
use crate::support::ports;
use crate::support::scenario::Behaviour;
use crate::support::service::Database;
use crate::support::wait;
use serde_json::{Value, json};
use std::time::Duration;

on_both! {
    a_phone_made_over_rest_registers_and_answers_its_queue,
    a_password_counts_with_the_next_registration,
    who_waits_talks_and_gives_up_is_seen,
    a_queue_follows_its_agents,
    a_trunk_brings_calls_and_takes_them,
    nothing_is_lost_while_the_service_is_dead,
}

fn a_phone_made_over_rest_registers_and_answers_its_queue(database: Database) {
    registers_and_answers(Way::Odbc, database);
}

fn a_password_counts_with_the_next_registration(database: Database) {
    password_counts(Way::Odbc, database);
}

fn who_waits_talks_and_gives_up_is_seen(database: Database) {
    waits_talks_and_gives_up(Way::Odbc, database);
}

fn a_queue_follows_its_agents(database: Database) {
    follows_agents(Way::Odbc, database);
}

fn a_trunk_brings_calls_and_takes_them(database: Database) {
    trunks(Way::Odbc, database);
}

/// Killed while somebody talks: the talk ends, phones come and go, a member is paused, and rows of the log come twice.
fn nothing_is_lost_while_the_service_is_dead(database: Database) {
    // A second Asterisk row of the same thing, as a replication that stumbled delivers it.
    const TWICE: &str = "INSERT INTO ara_inbox (kind, time, callid, queuename, agent, event, data1, data2, data3, data4, data5) \
         SELECT kind, time, callid, queuename, agent, event, data1, data2, data3, data4, data5 FROM ara_inbox WHERE kind = 'log'";
    let (mut service, pbx) = start(Way::Odbc, database);
    let (endpoint, password, queue, member, other, other_password) = {
        let root = newco(&service);
        let (endpoint, password, queue, member) = furnish(&root);
        let other = root.make("/endpoints", &json!({"name": "102"}));
        (endpoint, password, queue, member, text(&other, "id"), text(&other, "password"))
    };
    let [port, second] = ports::free();
    assert!(register(&pbx, ("newco-101", &password), port, 300));
    let phone = Phone::at(port, "newco-101", Behaviour::Answers { after_ms: 300, hangs_up_after_ms: None });
    wait::until("the phone to be found", || {
        pbx.cli("queue show newco-support").contains("(Not in use)").then_some(())
    });
    let calling = Call::to(NUMBER).from(CALLER).stay(4_000).start(&pbx);
    phone.wait_answered(0);
    service.kill();

    assert!(register(&pbx, ("newco-102", &other_password), second, 300));
    assert!(register(&pbx, ("newco-102", &other_password), second, 0));
    assert!(register(&pbx, ("newco-102", &other_password), second, 300));
    pbx.cli("queue pause member PJSIP/newco-101 queue newco-support reason wrap;up");
    calling.finish();
    pbx.wait_idle();
    assert!(service.sql(TWICE) >= 2, "the end of the talk is there");
    service.start_again();

    let root = crate::service_rest::Person::sign_in(&service, "root@hookswitch.test", "hookswitch-demo-1")
        .switch("newco");
    wait_registered(&root, &format!("/endpoints/{other}"), true);
    wait_registered(&root, &format!("/endpoints/{endpoint}"), true);
    // Asterisk says that it is paused, then why.
    wait::within(SOON, "the pause in the books", || {
        let member = root.get(&format!("/queues/{queue}/members/{member}"));
        (member["paused"] == true && member["pause_reason"] == "wrap;up").then_some(())
    });
    let live = wait::within(SOON, "the end of the talk", || {
        Some(root.get(&format!("/queues/{queue}/live"))).filter(|seen| seen["talking_count"] == 0)
    });
    let report = report(&root, text(&live, "at").parse().unwrap());
    for (field, number) in [("offered", 1), ("answered", 1), ("abandoned", 0)] {
        assert_eq!(sum(&report, "queues", field), number, "{field}: {report}");
    }
    let told = |types: &str| -> Vec<Value> {
        let all = root.list(&format!("/events?types={types}"));
        all.iter().map(|event| json!([event["type"], event["data"]["username"]])).collect()
    };
    assert_eq!(
        told("endpoint.registered,endpoint.unregistered"),
        [
            json!(["endpoint.registered", "newco-101"]),
            json!(["endpoint.registered", "newco-102"]),
            json!(["endpoint.unregistered", "newco-102"]),
            json!(["endpoint.registered", "newco-102"]),
        ]
    );
    assert_eq!(told("queue.caller_joined,queue.caller_left").len(), 2);
    assert_eq!(told("queue_member.updated").len(), 1);
    assert_eq!(service.sql("DELETE FROM ara_inbox"), 0, "all is taken");
}

/// Without its database Asterisk knows no phone; back, it goes on by itself.
#[test]
fn mariadb_is_killed_and_comes_back() {
    let mut mariadb = MariaDb::start();
    let (service, pbx) = start(Way::Odbc, Database::MySqlAt(mariadb.url()));
    let root = newco(&service);
    let (endpoint, password, ..) = furnish(&root);
    let path = format!("/endpoints/{endpoint}");
    let (port, phone) = ready(&pbx, &password);
    wait_registered(&root, &path, true);
    Call::to(NUMBER).from(CALLER).stay(500).expect_answered(&pbx);
    assert_eq!(phone.answered(), 1);
    drop(phone);
    mariadb.kill();
    assert!(!register(&pbx, ("newco-101", &password), port, 300), "nobody is let in unchecked");
    mariadb.start_again();
    wait::until("Asterisk to find its database", || {
        register(&pbx, ("newco-101", &password), port, 300).then_some(())
    });
    let phone = Phone::at(port, "newco-101", Behaviour::Answers { after_ms: 100, hangs_up_after_ms: None });
    wait_registered(&root, &path, true);
    wait::until("the phone to be found", || {
        pbx.cli("queue show newco-support").contains("(Not in use)").then_some(())
    });
    Call::to(NUMBER).from(CALLER).stay(500).expect_answered(&pbx);
    assert_eq!(phone.answered(), 1);
    assert_eq!(root.list("/events?types=endpoint.registered").len(), 1, "a renewal is no news");
}

/// A database that accepts and does not answer holds a call up for as long as the driver waits, and not for ever.
#[test]
fn mariadb_freezes() {
    // The driver waits twice for an answer and once for a new connection, each for two seconds; then comes the next question.
    const LONGEST: Duration = Duration::from_secs(20);
    let mariadb = MariaDb::start();
    let (service, pbx) = start(Way::Odbc, Database::MySqlAt(mariadb.url()));
    let root = newco(&service);
    let (_, password, ..) = furnish(&root);
    let (_, phone) = ready(&pbx, &password);
    mariadb.freeze();
    let begin = wait::now();
    Call::to(NUMBER).from(CALLER).patience(25_000).run(&pbx);
    pbx.wait_idle();
    assert!(begin.elapsed() < LONGEST, "{:?}", begin.elapsed());
    assert_eq!(phone.rang(), 0);
    mariadb.thaw();
    wait::until("Asterisk to go on", || {
        pbx.cli("queue show newco-support").contains("(Not in use)").then_some(())
    });
    Call::to(NUMBER).from(CALLER).stay(500).expect_answered(&pbx);
    assert_eq!(phone.answered(), 1);
}
