//! What a call's record says, for each way a call can go: made of the hang-up handler's report, and of nothing but the
//! records that Asterisk writes itself. Both are the same rows.

use crate::service_rest::Person;
use crate::support::asterisk::{Pbx, PbxOptions};
use crate::support::call::Call;
use crate::support::phone::Phone;
use crate::support::scenario::Behaviour;
use crate::support::service::{Database, Service, ServiceOptions};
use crate::support::wait;
use serde_json::{Value, json};
use std::ops::RangeInclusive;
use std::time::Duration;

on_both! { calls_as_reported, calls_by_asterisks_own_records }

const NUMBER: &str = "+15550001009";
const CALLER: &str = "+15557770001";

/// What a record must say. Seconds are those that the phones talk and ring, with room for a busy machine.
struct Golden {
    what: &'static str,
    /// direction, did, disposition, destination
    told: [&'static str; 4],
    queue: Option<&'static str>,
    endpoint: Option<&'static str>,
    /// Whether the endpoint's user is known: 102 is a member of the queue.
    agent: bool,
    transferred: bool,
    duration_s: RangeInclusive<i64>,
    billed_s: RangeInclusive<i64>,
    talk_s: RangeInclusive<i64>,
    /// Whether it belongs to the same linkedid as the row before.
    joined: bool,
}

const PLAIN: Golden = Golden {
    what: "",
    told: ["inbound", NUMBER, "ANSWERED", "endpoint 101"],
    queue: None,
    endpoint: Some("101"),
    agent: false,
    transferred: false,
    duration_s: 0..=5,
    billed_s: 0..=0,
    talk_s: 0..=0,
    joined: false,
};

fn answers(after_ms: u64) -> Behaviour {
    Behaviour::Answers { after_ms, hangs_up_after_ms: None }
}

/// Lets a talk go on.
fn talk(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

/// To the phone alone, and to the queue.
fn simple(pbx: &Pbx) -> Vec<Golden> {
    let to_phone = || Call::to(NUMBER).from(CALLER).stay(20_000);
    {
        let hangs_up = Behaviour::Answers { after_ms: 1_000, hangs_up_after_ms: Some(2_500) };
        let _one = Phone::start(pbx, "acme-101", hangs_up);
        to_phone().expect_answered(pbx);
        pbx.wait_idle();
    }
    {
        // Inside: a caller from outside would go to the tenant's fallback.
        let _two = Phone::start(pbx, "acme-102", Behaviour::Rejects(486));
        Call::to("102").by_phone("acme-101").expect_refused(pbx, 486);
        pbx.wait_idle();
    }
    {
        let _one = Phone::start(pbx, "acme-101", Behaviour::NeverAnswers);
        to_phone().patience(1_500).run(pbx);
        pbx.wait_idle();
    }
    {
        let _two = Phone::start(pbx, "acme-102", Behaviour::NeverAnswers);
        Call::to("+15550001000").from(CALLER).stay(2_500).expect_answered(pbx);
        pbx.wait_idle();
    }
    {
        let _two = Phone::start(pbx, "acme-102", answers(1_500));
        Call::to("+15550001000").from(CALLER).stay(4_500).expect_answered(pbx);
        pbx.wait_idle();
    }
    let queue = || Golden {
        told: ["inbound", "+15550001000", "ANSWERED", "queue support"],
        queue: Some("support"),
        endpoint: None,
        ..PLAIN
    };
    vec![
        Golden { what: "answered", duration_s: 3..=8, billed_s: 2..=6, talk_s: 2..=6, ..PLAIN },
        Golden { what: "busy", told: ["internal", "102", "BUSY", "hangup 17"], endpoint: None, ..PLAIN },
        Golden { what: "not answered", told: ["inbound", NUMBER, "NO ANSWER", "endpoint 101"], ..PLAIN },
        Golden {
            what: "abandoned",
            told: ["inbound", "+15550001000", "NO ANSWER", "queue support"],
            duration_s: 2..=7,
            billed_s: 2..=7,
            ..queue()
        },
        Golden {
            what: "answered in the queue",
            endpoint: Some("102"),
            agent: true,
            duration_s: 4..=9,
            billed_s: 4..=9,
            talk_s: 2..=5,
            ..queue()
        },
    ]
}

/// Without a person, by a menu, inside, and to the outside.
fn others(pbx: &Pbx) -> Vec<Golden> {
    let _one = Phone::start(pbx, "acme-101", answers(500));
    let _two = Phone::start(pbx, "acme-102", answers(500));
    let _carrier = Phone::start(pbx, "carrier", answers(500));
    for call in [
        Call::to("+15550001005").from(CALLER).stay(4_000),
        Call::to("+15550001002").from(CALLER).digits("1", 1_500).stay(4_000),
        Call::to("101").by_phone("acme-102").stay(2_500),
        Call::to("+15559990000").by_phone("acme-102").stay(2_500),
    ] {
        call.expect_answered(pbx);
        pbx.wait_idle();
    }
    let lasts = || Golden { duration_s: 2..=9, billed_s: 2..=9, talk_s: 2..=6, ..PLAIN };
    vec![
        Golden {
            what: "voicemail",
            told: ["inbound", "+15550001005", "ANSWERED", "voicemail 101"],
            endpoint: None,
            talk_s: 0..=0,
            ..lasts()
        },
        Golden {
            what: "menu, then queue",
            told: ["inbound", "+15550001002", "ANSWERED", "queue support"],
            queue: Some("support"),
            endpoint: Some("102"),
            agent: true,
            duration_s: 5..=12,
            billed_s: 5..=12,
            ..lasts()
        },
        Golden { what: "inside", told: ["internal", "101", "ANSWERED", "endpoint 101"], ..lasts() },
        Golden {
            what: "to the outside",
            told: ["outbound", "+15559990000", "ANSWERED", "external +15559990000"],
            endpoint: Some("102"),
            agent: true,
            ..lasts()
        },
    ]
}

/// A caller who talks to 101 for 2 s and is handed on.
fn transfers(pbx: &Pbx) -> Vec<Golden> {
    let one = Phone::start(pbx, "acme-101", answers(500));
    let two = Phone::start(pbx, "acme-102", answers(500));
    let call = Call::to(NUMBER).from(CALLER).stay(7_000);
    for (n, to) in ["102", "600", "999"].into_iter().enumerate() {
        let calling = call.start(pbx);
        one.wait_answered(n);
        talk(2_000);
        one.wait_dialog().transfer_blind(pbx, to);
        calling.finish();
        pbx.wait_idle();
    }
    let calling = call.start(pbx);
    one.wait_answered(3);
    talk(1_000);
    let consulting = Call::to("102").by_phone("acme-101").stay(30_000).start(pbx);
    two.wait_answered(2);
    talk(1_500);
    one.wait_dialog().transfer_to(pbx, &consulting.wait_dialog());
    consulting.finish();
    calling.finish();
    pbx.wait_idle();
    let whole = || Golden {
        transferred: true,
        duration_s: 7..=12,
        billed_s: 7..=12,
        talk_s: 6..=12,
        endpoint: Some("102"),
        agent: true,
        ..PLAIN
    };
    vec![
        Golden { what: "blind", told: ["inbound", NUMBER, "ANSWERED", "endpoint 102"], ..whole() },
        Golden {
            what: "blind to the queue",
            told: ["inbound", NUMBER, "ANSWERED", "queue support"],
            queue: Some("support"),
            ..whole()
        },
        Golden {
            what: "blind to nobody",
            told: ["inbound", NUMBER, "ANSWERED", "hangup 1"],
            endpoint: Some("101"),
            agent: false,
            duration_s: 2..=6,
            billed_s: 2..=6,
            talk_s: 2..=6,
            ..whole()
        },
        Golden { what: "attended", told: ["inbound", NUMBER, "ANSWERED", "endpoint 102"], ..whole() },
        Golden {
            what: "the consultation",
            told: ["internal", "102", "ANSWERED", "endpoint 102"],
            transferred: false,
            duration_s: 1..=6,
            billed_s: 1..=6,
            talk_s: 1..=6,
            joined: true,
            ..whole()
        },
    ]
}

fn check(golden: &Golden, row: &Value, before: Option<&Value>, (admin, agent): (&Person<'_>, &Value)) {
    let about = || {
        let legs = admin.list(&format!("/calls/{}/legs", row["id"].as_str().unwrap()));
        format!("{}: {row:#}\n{legs:#?}", golden.what)
    };
    let told = ["direction", "did", "disposition", "destination"].map(|field| row[field].clone());
    assert_eq!(told, golden.told.map(Value::from), "{}", about());
    assert_eq!(row["queue"], json!(golden.queue), "{}", about());
    assert_eq!(row["endpoint"], json!(golden.endpoint), "{}", about());
    assert_eq!(row["agent_id"], if golden.agent { agent.clone() } else { Value::Null }, "{}", about());
    assert_eq!(row["transferred"], golden.transferred, "{}", about());
    for (field, seconds) in
        [("duration_s", &golden.duration_s), ("billed_s", &golden.billed_s), ("talk_s", &golden.talk_s)]
    {
        let found = row[field].as_i64().unwrap_or_else(|| panic!("no {field}: {}", about()));
        assert!(seconds.contains(&found), "{field}: {}", about());
    }
    let peer = row["dst_channel"].as_str();
    assert_eq!(peer.is_some(), *golden.talk_s.start() > 0, "who talked: {}", about());
    assert!(row["linkedid"].as_str().is_some_and(|id| !id.is_empty()), "{}", about());
    let joined = before.is_some_and(|before| before["linkedid"] == row["linkedid"]);
    assert_eq!(joined, golden.joined, "{}\n{before:?}", about());
}

fn options(database: Database) -> ServiceOptions {
    ServiceOptions::new(database)
        .change("UPDATE dids SET status = 'active', route_type = 'endpoint', route_target = '101' WHERE number = '+15550001009'")
        .change(
            "UPDATE queue_members SET user_id = (SELECT id FROM users WHERE email = 'agent@acme.test') \
             WHERE tenant_id = 'acme'",
        )
}

fn all(service: &Service, pbx: &Pbx, by: &str) {
    let mut golden = simple(pbx);
    golden.extend(others(pbx));
    golden.extend(transfers(pbx));
    let admin = Person::sign_in(service, "admin@acme.test", "hookswitch-demo-1");
    let rows = wait::until("a record for each call", || {
        let calls = admin.list("/calls?ended_at=null");
        let rows = admin.list("/cdrs?sort=started_at");
        (calls.is_empty() && rows.len() >= golden.len()).then_some(rows)
    });
    let short = |row: &Value| format!("{} {} {}", row["did"], row["destination"], row["disposition"]);
    assert_eq!(rows.len(), golden.len(), "{:#?}", rows.iter().map(short).collect::<Vec<_>>());
    let agent =
        admin.list("/users").iter().find(|user| user["email"] == "agent@acme.test").unwrap()["id"].clone();
    let mut before = None;
    for (golden, row) in golden.iter().zip(&rows) {
        check(golden, row, before, (&admin, &agent));
        let call = admin.get(&format!("/calls/{}", row["id"].as_str().unwrap()));
        assert_eq!(call["ended_by"], by, "{}: {call:#}", golden.what);
        before = Some(row);
    }
    // Agents see what they answered or dialled.
    let seen = Person::sign_in(service, "agent@acme.test", "hookswitch-demo-1").list("/cdrs").len();
    assert_eq!(seen, golden.iter().filter(|golden| golden.agent).count());
}

fn calls_as_reported(database: Database) {
    let service = Service::start(&options(database));
    let pbx = Pbx::start(&PbxOptions::new(service.agi()));
    all(&service, &pbx, "hook");
}

fn calls_by_asterisks_own_records(database: Database) {
    let service = Service::start(&options(database));
    let pbx = Pbx::start(&PbxOptions::new(service.agi()).cdr_odbc(&service.odbc()));
    all(&service, &pbx, "legs");
}
