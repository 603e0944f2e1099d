//! Asterisk on the service's data, over HTTP: nothing is written into its files, nothing is reloaded. What the API makes,
//! registers, rings and waits with the next question; what it takes away is gone with it. `service_odbc` tells the same
//! stories where Asterisk asks the database itself.

use crate::service_rest::Person;
use crate::support::asterisk::{ARI_PASSWORD, ARI_USER, Pbx, PbxOptions};
use crate::support::call::Call;
use crate::support::mariadb::MariaDb;
use crate::support::phone::{Phone, register};
use crate::support::ports;
use crate::support::scenario::Behaviour;
use crate::support::service::{Database, Service, ServiceOptions};
use crate::support::wait;
use serde_json::{Value, json};
use std::time::Duration;

pub(crate) const ANSWERS: Behaviour = Behaviour::Answers { after_ms: 100, hangs_up_after_ms: None };
pub(crate) const NUMBER: &str = "+15550003000";
pub(crate) const CALLER: &str = "+15557770001";
const TOKEN: &str = "a-token-of-tests-0123456789";

on_both! {
    a_phone_made_over_rest_registers_and_answers_its_queue,
    a_password_counts_with_the_next_registration,
    a_queue_follows_its_agents,
    a_trunk_brings_calls_and_takes_them,
}

/// How Asterisk has its phones and queues of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// It asks the service.
    Http,
    /// It asks the service's database.
    Odbc,
}

/// How long it may take until the service knows what Asterisk wrote.
pub(crate) const SOON: Duration = Duration::from_secs(2);

pub(crate) fn start(way: Way, database: Database) -> (Service, Pbx) {
    let options = ServiceOptions::new(database);
    let service = match way {
        Way::Http => Service::start(&options.set("HOOKSWITCH_REALTIME_TOKEN", TOKEN)),
        Way::Odbc => Service::start(&options),
    };
    let pbx = PbxOptions::new(service.agi());
    let pbx = Pbx::start(&match way {
        Way::Http => pbx.realtime(service.http(), TOKEN),
        Way::Odbc => pbx.odbc(&service.odbc()),
    });
    (service, pbx)
}

/// As [`start`], and the service dials Asterisk over ARI.
pub(crate) fn connected(way: Way, database: Database) -> (Service, Pbx) {
    let [port] = ports::free();
    let url: &'static str = Box::leak(format!("http://127.0.0.1:{port}").into_boxed_str());
    let options = ServiceOptions::new(database)
        .set("HOOKSWITCH_ARI__PBX__USERNAME", ARI_USER)
        .set("HOOKSWITCH_ARI__PBX__PASSWORD", ARI_PASSWORD)
        .set("HOOKSWITCH_ARI__PBX__APP", "hookswitch")
        .set("HOOKSWITCH_ARI__PBX__URL", url)
        .set("HOOKSWITCH_REALTIME_TOKEN", TOKEN);
    let service = Service::start(&options);
    let pbx = PbxOptions::new(service.agi()).dialled_at(port);
    let pbx = Pbx::start(&match way {
        Way::Http => pbx.realtime(service.http(), TOKEN),
        Way::Odbc => pbx.odbc(&service.odbc()),
    });
    let person = Person::sign_in(&service, "supervisor@acme.test", "hookswitch-demo-1");
    wait::until("Asterisk to be connected", || {
        (person.list("/asterisks")[0]["connected"] == true).then_some(())
    });
    (service, pbx)
}

/// Waits until an endpoint is shown as registered or not.
pub(crate) fn wait_registered(root: &Person<'_>, path: &str, registered: bool) {
    wait::within(SOON, "the registration to be shown", || {
        (root.get(path)["registered"] == registered).then_some(())
    });
}

/// Somebody who may do everything in a new tenant.
pub(crate) fn newco(service: &Service) -> Person<'_> {
    let root = Person::sign_in(service, "root@hookswitch.test", "hookswitch-demo-1");
    root.make("/tenants", &json!({"id": "newco", "name": "New Company"}));
    root.switch("newco")
}

pub(crate) fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_else(|| panic!("no {field}: {value}")).to_owned()
}

/// Endpoint 101 with its password, and queue `support` with it as the only member.
pub(crate) fn furnish(root: &Person<'_>) -> (String, String, String, String) {
    let endpoint = root.make("/endpoints", &json!({"name": "101", "display_name": "Nina"}));
    let queue = root.make("/queues", &json!({"name": "support", "max_wait_s": 3, "retry_s": 1}));
    let (id, queue) = (text(&endpoint, "id"), text(&queue, "id"));
    let member = root.make(&format!("/queues/{queue}/members"), &json!({"endpoint_id": id}));
    root.make("/dids", &json!({"number": NUMBER, "route_type": "queue", "route_target": "support"}));
    (id, text(&endpoint, "password"), queue, text(&member, "id"))
}

fn a_phone_made_over_rest_registers_and_answers_its_queue(database: Database) {
    registers_and_answers(Way::Http, database);
}

pub(crate) fn registers_and_answers(way: Way, database: Database) {
    let (service, pbx) = start(way, database);
    let root = newco(&service);
    let (endpoint, password, queue, member) = furnish(&root);
    let path = format!("/endpoints/{endpoint}");
    assert_eq!(root.get(&path)["registered"], false);
    let [port] = ports::free();
    assert!(!register(&pbx, ("newco-101", "not-the-password"), port, 300));
    assert!(register(&pbx, ("newco-101", &password), port, 300));
    wait_registered(&root, &path, true);
    let registrations = root.list(&format!("{path}/registrations"));
    assert_eq!(registrations.len(), 1, "{registrations:?}");
    assert_eq!(registrations[0]["user_agent"], "sipp-phone");
    // A renewal is no news.
    assert!(register(&pbx, ("newco-101", &password), port, 300));
    let told = root.list("/events?types=endpoint.registered");
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(
        (&told[0]["data"]["username"], &told[0]["data"]["address"]),
        (&json!("newco-101"), &json!("127.0.0.1"))
    );

    let phone = Phone::at(port, "newco-101", ANSWERS);
    wait::until("the phone to be found", || {
        pbx.cli("queue show newco-support").contains("(Not in use)").then_some(())
    });
    Call::to(NUMBER).from(CALLER).stay(1_000).expect_answered(&pbx);
    assert_eq!((phone.rang(), phone.answered()), (1, 1), "{}", pbx.cli("queue show newco-support"));
    let cdr = root.wait_list("/cdrs", 1).remove(0);
    assert_eq!(
        (text(&cdr, "disposition"), text(&cdr, "queue")),
        ("ANSWERED".into(), "support".into()),
        "{cdr}"
    );

    // Paused, it does not ring; then it does again.
    let member = format!("/queues/{queue}/members/{member}");
    root.ask("PATCH", &member, &json!({"paused": true, "pause_reason": "lunch"}), 200);
    Call::to(NUMBER).from(CALLER).patience(5_000).run(&pbx);
    assert_eq!(phone.rang(), 1);
    assert!(
        pbx.cli("queue show newco-support").contains("(paused:lunch"),
        "{}",
        pbx.cli("queue show newco-support")
    );
    root.ask("PATCH", &member, &json!({"paused": false}), 200);
    // The queue answers at once; the phone rings within a second.
    Call::to(NUMBER).from(CALLER).stay(1_500).expect_answered(&pbx);
    assert_eq!(phone.answered(), 2);

    // What Asterisk says of a member is written down.
    pbx.cli("queue pause member PJSIP/newco-101 queue newco-support reason wrap-up");
    let paused = wait::until("the pause in the books", || {
        Some(root.get(&member)).filter(|member| member["paused"] == true)
    });
    assert_eq!(paused["pause_reason"], "wrap-up");

    // The demo's tenant has an endpoint and a queue of the same names, which nobody touched.
    let acme = Person::sign_in(&service, "admin@acme.test", "hookswitch-demo-1");
    assert!(acme.list("/endpoints?name=101").iter().all(|endpoint| endpoint["registered"] == false));
    assert!(acme.list("/events?types=endpoint.registered").is_empty());
    assert!(acme.list("/cdrs").is_empty());

    // Signed off, it is not there any more.
    drop(phone);
    assert!(register(&pbx, ("newco-101", &password), port, 0));
    wait_registered(&root, &path, false);
    let told = root.list("/events?types=endpoint.unregistered");
    assert_eq!(told[0]["data"]["cause"], "removed", "{told:?}");
    let complaints = pbx.complaints();
    // With SQLite the driver says at the start that columns have no room.
    let usual = ["failed to authenticate", "No contacts", "is not long enough"];
    let odd = |line: &&String| !usual.iter().any(|usual| line.contains(usual));
    assert!(!complaints.iter().any(|line| odd(&line)), "{complaints:#?}");
}

fn a_queue_follows_its_agents(database: Database) {
    follows_agents(Way::Http, database);
}

fn a_trunk_brings_calls_and_takes_them(database: Database) {
    trunks(Way::Http, database);
}

/// An agent signs in, has a break, goes home: the queue follows with its next call.
pub(crate) fn follows_agents(way: Way, database: Database) {
    let (service, pbx) = start(way, database);
    let root = newco(&service);
    let (_, password, queue, member) = furnish(&root);
    let (email, secret) = ("nina@newco.test", "hookswitch-demo-1");
    let user = json!({"email": email, "password": secret, "role": "agent"});
    let user = text(&root.make("/users", &user), "id");
    let members = format!("/queues/{queue}/members");
    root.ask("PATCH", &format!("{members}/{member}"), &json!({"user_id": user}), 200);
    let nina = Person::sign_in(&service, email, secret);
    let (_port, phone) = ready(&pbx, &password);
    let state = |state: &str| nina.ask("PATCH", "/agents/me", &json!({"state": state, "reason": null}), 200);
    let seen = || pbx.cli("queue show newco-support");
    // Asterisk gives a question half a second, and goes on with what it knew: on a starved machine one may be lost.
    let shown = |what: &str| wait::until(what, || seen().contains(what).then_some(()));
    state("break");
    shown("(paused:break");
    Call::to(NUMBER).from(CALLER).patience(5_000).run(&pbx);
    assert_eq!(phone.rang(), 0);
    assert!(seen().contains("(paused:break"), "{}", seen());
    state("available");
    shown("(Not in use)");
    Call::to(NUMBER).from(CALLER).stay(1_500).expect_answered(&pbx);
    assert_eq!(phone.answered(), 1);
    state("offline");
    shown("No Members");
    Call::to(NUMBER).from(CALLER).patience(5_000).run(&pbx);
    assert_eq!(phone.rang(), 1);
    assert!(seen().contains("No Members"), "{}", seen());
    // Somebody waits for the first to come.
    let waits = std::thread::scope(|scope| {
        let call = scope.spawn(|| Call::to(NUMBER).from(CALLER).stay(3_500).expect_answered(&pbx));
        wait::until("a caller", || {
            (root.get(&format!("/queues/{queue}/live"))["waiting_count"] == 1).then_some(())
        });
        state("available");
        call.join().map_err(|_| ())
    });
    assert_eq!((waits.is_ok(), phone.answered()), (true, 2), "{}", seen());
}

/// A trunk is known by its address, or signs in; numbers outside go where a rule says.
pub(crate) fn trunks(way: Way, database: Database) {
    const OUTSIDE: &str = "+15559990000";
    let (service, pbx) = start(way, database);
    let root = newco(&service);
    let (_, password, ..) = furnish(&root);
    let (_, phone) = ready(&pbx, &password);
    let [port, pbx_port] = ports::free();
    let inbound = |address| Call::to(NUMBER).from(CALLER).out_of(address).stay(1_500);
    inbound("127.0.0.2").expect_refused(&pbx, 401);
    let contact = format!("sip:127.0.0.1:{port}");
    let trunk =
        json!({"name": "carrier", "template": "trunk", "addresses": ["127.0.0.2"], "contact": contact});
    let trunk = root.make("/endpoints", &trunk);
    let settled = || std::thread::sleep(Duration::from_millis(1_100));
    settled();
    inbound("127.0.0.2").expect_answered(&pbx);
    let cdr = root.wait_list("/cdrs", 1).remove(0);
    assert_eq!((text(&cdr, "direction"), text(&cdr, "caller_number")), ("inbound".into(), CALLER.into()));
    // Nobody is the trunk because he says so.
    inbound("127.0.0.3").from("newco-carrier").expect_refused(&pbx, 401);
    assert!(!register(&pbx, ("newco-carrier", &text(&trunk, "password")), pbx_port, 300));
    // One that signs in may say of callers what it likes, once it has said who it is itself.
    let exchange = root.make("/endpoints", &json!({"name": "exchange", "template": "trunk"}));
    let secret = text(&exchange, "password");
    inbound("127.0.0.3").signs_in("newco-exchange", &secret).expect_answered(&pbx);
    assert_eq!(phone.answered(), 2);
    inbound("127.0.0.3").signs_in("newco-exchange", "not-the-password").expect_refused(&pbx, 401);

    // Out it goes through the operator's carrier, then through the tenant's own.
    let rule = root.make("/outbound-rules", &json!({"prefix": "+1555999", "allowed": true}));
    let rule = format!("/outbound-rules/{}", text(&rule, "id"));
    let (operators, own) = (Phone::start(&pbx, "carrier", ANSWERS), Phone::at(port, "carrier", ANSWERS));
    let outbound = Call::to(OUTSIDE).from("newco-101").signs_in("newco-101", &password).stay(500);
    outbound.expect_answered(&pbx);
    root.ask("PATCH", &rule, &json!({"trunk": "carrier"}), 200);
    outbound.expect_answered(&pbx);
    assert_eq!((operators.answered(), own.answered()), (1, 1));
    assert!(register(&pbx, ("newco-exchange", &secret), pbx_port, 300));
    let other = Phone::at(pbx_port, "exchange", ANSWERS);
    root.ask("PATCH", &rule, &json!({"trunk": "exchange"}), 200);
    outbound.expect_answered(&pbx);
    assert_eq!((operators.answered(), own.answered(), other.answered()), (1, 1, 1));
    for phone in [&own, &other] {
        assert!(phone.invites()[0].contains(OUTSIDE), "{:?}", phone.invites());
    }

    // Out of service its address is nobody's again.
    root.ask("PATCH", &format!("/endpoints/{}", text(&trunk, "id")), &json!({"status": "inactive"}), 200);
    settled();
    inbound("127.0.0.2").expect_refused(&pbx, 401);
}

/// Registered, in the queue and found by Asterisk.
pub(crate) fn ready(pbx: &Pbx, password: &str) -> (u16, Phone) {
    let [port] = ports::free();
    assert!(register(pbx, ("newco-101", password), port, 300));
    let phone = Phone::at(port, "newco-101", ANSWERS);
    wait::until("the phone to be found", || {
        pbx.cli("queue show newco-support").contains("(Not in use)").then_some(())
    });
    (port, phone)
}

/// Calls are answered and a phone registers, from memory.
fn as_ever(pbx: &Pbx, password: &str, phone: &Phone) {
    let before = phone.answered();
    // The queue answers at once; the phone rings within a second.
    Call::to(NUMBER).from(CALLER).stay(1_500).expect_answered(pbx);
    assert_eq!(phone.answered(), before + 1);
    let [other] = ports::free();
    // From elsewhere: the last one counts, so the phone that answers has to come again.
    assert!(register(pbx, ("newco-101", password), other, 300));
    assert!(register(pbx, ("newco-101", password), other, 0));
}

#[test]
fn mariadb_freezes_while_phones_register() {
    let mut mariadb = MariaDb::start();
    let (service, pbx) = start(Way::Http, Database::MySqlAt(mariadb.url()));
    let root = newco(&service);
    let (endpoint, password, ..) = furnish(&root);
    let (_, phone) = ready(&pbx, &password);
    Call::to(NUMBER).from(CALLER).stay(1_500).expect_answered(&pbx);
    mariadb.freeze();
    as_ever(&pbx, &password, &phone);
    mariadb.thaw();
    assert!(service.metric(&["hookswitch_realtime_kept_total"]) > 0.0);
    // The last word that came meanwhile was that nobody is there.
    let path = format!("/endpoints/{endpoint}");
    wait::until("the registrations in the books", || (root.get(&path)["registered"] == false).then_some(()));
    let left = || service.metric(&["hookswitch_realtime_behind"]);
    wait::until("the database to have it all", || (left() == 0.0).then_some(()));
    assert_eq!(service.metric(&["hookswitch_realtime_rejected_total"]), 0.0);
    mariadb.kill();
    mariadb.start_again();
    let [port] = ports::free();
    assert!(register(&pbx, ("newco-101", &password), port, 300));
    wait_registered(&root, &path, true);
}

/// A service that does not answer holds a call up for no longer than Asterisk's own patience with it.
#[test]
fn the_service_freezes_while_phones_register() {
    let (mut service, pbx) = start(Way::Http, Database::Sqlite);
    let password = {
        let root = newco(&service);
        furnish(&root).1
    };
    let (_, phone) = ready(&pbx, &password);
    let [other] = ports::free();
    service.freeze();
    // Nobody is let in without his password being checked.
    assert!(!register(&pbx, ("newco-101", &password), other, 300));
    service.thaw();
    Call::to(NUMBER).from(CALLER).stay(1_500).expect_answered(&pbx);
    assert_eq!(phone.answered(), 1);
    service.kill();
    assert!(!register(&pbx, ("newco-101", &password), other, 300));
    service.start_again();
    Call::to(NUMBER).from(CALLER).stay(1_500).expect_answered(&pbx);
    assert_eq!(phone.answered(), 2, "the registration is still there");
}

fn a_password_counts_with_the_next_registration(database: Database) {
    password_counts(Way::Http, database);
}

pub(crate) fn password_counts(way: Way, database: Database) {
    let (service, pbx) = start(way, database);
    let root = newco(&service);
    let (endpoint, password, ..) = furnish(&root);
    let [port] = ports::free();
    assert!(register(&pbx, ("newco-101", &password), port, 300));
    let new = root.ask("POST", &format!("/endpoints/{endpoint}/secret"), &json!({}), 200);
    assert!(!register(&pbx, ("newco-101", &password), port, 300), "the old password");
    assert!(register(&pbx, ("newco-101", &text(&new, "password")), port, 300));
    // Out of service it may not, and its name is nobody's.
    root.ask("PATCH", &format!("/endpoints/{endpoint}"), &json!({"status": "inactive"}), 200);
    assert!(!register(&pbx, ("newco-101", &text(&new, "password")), port, 300));
}
