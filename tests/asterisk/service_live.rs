//! Living calls over ARI: what is known of them, and what is done to them, with phones that ring. The service dials Asterisk,
//! or Asterisk connects to the service.

use crate::service_rest::Person;
use crate::support::asterisk::{ARI_PASSWORD, ARI_USER, Pbx, PbxOptions, Way};
use crate::support::call::Call;
use crate::support::phone::Phone;
use crate::support::scenario::Behaviour;
use crate::support::service::{Database, Service, ServiceOptions};
use crate::support::{ports, wait};
use serde_json::{Value, json};

on_both! {
    a_call_is_held_and_parked,
    a_call_is_handed_on,
    supervisors_listen_and_take_over,
    more_than_two_talk,
    a_click_calls_both,
    what_was_done_outlives_the_service,
    who_is_left_alone_is_looked_after,
    phones_move_their_agents,
    callbacks_are_dialled,
}

/// To the endpoint 101.
pub(crate) const NUMBER: &str = "+15550001001";
pub(crate) const CALLER: &str = "+15557770001";
pub(crate) const ANSWERS: Behaviour = Behaviour::Answers { after_ms: 200, hangs_up_after_ms: None };

/// A service and an Asterisk that are connected; with SQLite by dialling, with MariaDB by waiting.
pub(crate) fn start(database: Database) -> (Service, Pbx) {
    let dials = matches!(database, Database::Sqlite);
    let [port] = ports::free();
    let mut options = ServiceOptions::new(database)
        .set("HOOKSWITCH_ARI__PBX__USERNAME", ARI_USER)
        .set("HOOKSWITCH_ARI__PBX__PASSWORD", ARI_PASSWORD)
        .set("HOOKSWITCH_ARI__PBX__APP", "hookswitch")
        .set("HOOKSWITCH_ROUTING__PARKED_S", "4");
    if dials {
        let url: &'static str = Box::leak(format!("http://127.0.0.1:{port}").into_boxed_str());
        options = options.set("HOOKSWITCH_ARI__PBX__URL", url);
    }
    let service = Service::start(&options);
    let pbx = PbxOptions::new(service.agi());
    let pbx = if dials { pbx.dialled_at(port) } else { pbx.ari(Way::Connects(service.http())) };
    let pbx = Pbx::start(&pbx);
    let person = supervisor(&service);
    wait::until("Asterisk to be connected", || {
        (person.list("/asterisks")[0]["connected"] == true).then_some(())
    });
    (service, pbx)
}

pub(crate) fn supervisor(service: &Service) -> Person<'_> {
    Person::sign_in(service, "supervisor@acme.test", "hookswitch-demo-1")
}

/// The only living call, once it is like this.
pub(crate) fn wait_state(person: &Person<'_>, state: &str) -> Value {
    wait::until(&format!("a call to be {state}"), || {
        let calls = person.list("/calls/live");
        (calls.len() == 1 && calls[0]["state"] == state).then(|| calls[0].clone())
    })
}

pub(crate) fn wait_nobody(person: &Person<'_>) {
    wait::until("no call to be alive", || person.list("/calls/live").is_empty().then_some(()));
}

pub(crate) fn id(call: &Value) -> String {
    call["call_id"].as_str().unwrap().to_owned()
}

pub(crate) fn command(person: &Person<'_>, call: &Value, command: &str, body: &Value) -> Value {
    person.ask("POST", &format!("/calls/{}/{command}", id(call)), body, 200)
}

fn roles(call: &Value) -> Vec<String> {
    let legs = call["legs"].as_array().unwrap().iter();
    legs.map(|leg| format!("{} {}", leg["endpoint"].as_str().unwrap_or("-"), leg["role"].as_str().unwrap()))
        .collect()
}

fn a_call_is_held_and_parked(database: Database) {
    let (service, pbx) = start(database);
    let person = supervisor(&service);
    let (one, two) = (Phone::start(&pbx, "acme-101", ANSWERS), Phone::start(&pbx, "acme-102", ANSWERS));
    let calling = Call::to(NUMBER).from(CALLER).stay(60_000).start(&pbx);
    let call = wait_state(&person, "talking");
    assert_eq!(call["caller_number"], CALLER);
    assert_eq!(call["did"], NUMBER);
    assert_eq!(roles(&call), ["- caller", "101 called"]);
    let done = command(&person, &call, "hold", &json!({}));
    assert_eq!(done["state"], "held", "{done}");
    assert_eq!(roles(&wait_state(&person, "held")), ["- held", "101 called"]);
    command(&person, &call, "hold", &json!({}));
    command(&person, &call, "unhold", &Value::Null);
    wait_state(&person, "talking");
    command(&person, &call, "mute", &json!({}));
    command(&person, &call, "mute", &json!({"on": false}));
    command(&person, &call, "dtmf", &json!({"digits": "12#"}));
    for action in ["start", "pause", "resume", "stop"] {
        command(&person, &call, "record", &json!({"action": action}));
        wait_state(&person, "talking");
    }
    let parked = command(&person, &call, "park", &json!({}));
    assert_eq!((&parked["state"], &parked["slot"]), (&json!("parked"), &json!(701)), "{parked}");
    // Nobody takes the caller: whoever parked him has him again.
    one.wait_answered(1);
    wait_state(&person, "talking");
    command(&person, &call, "park", &json!({}));
    command(&person, &call, "pickup", &json!({"phone": "102"}));
    two.wait_answered(0);
    let call = wait_state(&person, "talking");
    assert_eq!(roles(&call), ["- caller", "102 called"]);
    command(&person, &call, "hangup", &Value::Null);
    wait_nobody(&person);
    assert!(calling.finish()[0].hung_up_by_pbx);
    pbx.wait_idle();
    let cdr = person.wait_list("/cdrs", 1).remove(0);
    assert_eq!((&cdr["disposition"], &cdr["call_id"]), (&json!("ANSWERED"), &json!(id(&call))), "{cdr}");
    let told: Vec<String> = person
        .list("/events?types=call.*&limit=100")
        .iter()
        .map(|event| event["type"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        told,
        [
            "call.started",
            "call.routed",
            "call.ringing",
            "call.answered",
            "call.held",
            "call.unheld",
            "call.parked",
            "call.routed",
            "call.ringing",
            "call.parked",
            "call.ringing",
            "call.ended"
        ]
    );
}

fn a_call_is_handed_on(database: Database) {
    let (service, pbx) = start(database);
    let person = supervisor(&service);
    let (one, two) = (Phone::start(&pbx, "acme-101", ANSWERS), Phone::start(&pbx, "acme-102", ANSWERS));
    let dial = || Call::to(NUMBER).from(CALLER).stay(60_000).start(&pbx);
    // At once, out of the dialplan, and once more when it is ours.
    let calling = dial();
    let call = wait_state(&person, "talking");
    command(&person, &call, "transfer", &json!({"to": "102"}));
    two.wait_answered(0);
    assert_eq!(roles(&wait_state(&person, "talking")), ["- caller", "102 called"]);
    command(&person, &call, "hold", &json!({}));
    command(&person, &call, "unhold", &Value::Null);
    command(&person, &call, "transfer", &json!({"to": "101"}));
    one.wait_answered(1);
    assert_eq!(roles(&wait_state(&person, "talking")), ["- caller", "101 called"]);
    let nowhere = person.ask("POST", &format!("/calls/{}/transfer", id(&call)), &json!({"to": "199"}), 422);
    assert_eq!(nowhere["code"], "no-destination");
    command(&person, &call, "hangup", &Value::Null);
    wait_nobody(&person);
    calling.finish();
    // After asking: given up, then done.
    let calling = dial();
    let call = wait_state(&person, "talking");
    let ask = || command(&person, &call, "transfer", &json!({"to": "102", "attended": true}));
    let before = two.answered();
    ask();
    two.wait_answered(before);
    wait::until("who was asked to be there", || {
        let call = person.list("/calls/live").remove(0);
        roles(&call).iter().any(|role| role.ends_with("asked")).then_some(())
    });
    command(&person, &call, "transfer/cancel", &Value::Null);
    wait_state(&person, "talking");
    let before = two.answered();
    ask();
    two.wait_answered(before);
    wait::until("the call to be handed over", || {
        let path = format!("/api/v1/calls/{}/transfer/complete", id(&call));
        (service.ask("POST", &path, person.token(), "").0 == 200).then_some(())
    });
    wait_state(&person, "talking");
    command(&person, &call, "hangup", &Value::Null);
    wait_nobody(&person);
    calling.finish();
    pbx.wait_idle();
}

pub(crate) fn supervisors_listen_and_take_over(database: Database) {
    let (service, pbx) = start(database);
    let person = supervisor(&service);
    let (one, two) = (Phone::start(&pbx, "acme-101", ANSWERS), Phone::start(&pbx, "acme-102", ANSWERS));
    let calling = Call::to(NUMBER).from(CALLER).stay(60_000).start(&pbx);
    let call = wait_state(&person, "talking");
    let monitor = |mode: &str| command(&person, &call, "monitor", &json!({"phone": "102", "mode": mode}));
    let wait_role = |role: &str| {
        wait::until(role, || {
            let calls = person.list("/calls/live");
            roles(&calls[0]).iter().any(|one| one == role).then_some(())
        });
    };
    monitor("listen");
    two.wait_answered(0);
    wait_role("102 listen");
    for mode in ["whisper", "barge", "listen"] {
        monitor(mode);
        wait_role(&format!("102 {mode}"));
    }
    // The dialplan still has the call: nobody noticed anything.
    assert_eq!(one.answered(), 1);
    assert!(pbx.cli("core show channels concise").contains("!Dial!"), "the call was taken");
    monitor("stop");
    wait::until("who listened to be gone", || {
        (person.list("/calls/live")[0]["legs"].as_array().unwrap().len() == 2).then_some(())
    });
    command(&person, &call, "takeover", &json!({"phone": "102"}));
    two.wait_answered(1);
    wait::until("the other to have the call", || {
        let calls = person.list("/calls/live");
        (roles(&calls[0]) == ["- caller", "102 called"] && calls[0]["state"] == "talking").then_some(())
    });
    // Who listens to nobody any more is free.
    monitor("stop");
    command(&person, &call, "monitor", &json!({"phone": "101", "mode": "listen"}));
    one.wait_answered(1);
    wait_role("101 listen");
    command(&person, &call, "hangup", &Value::Null);
    wait_nobody(&person);
    pbx.wait_idle();
    calling.finish();
    // Only supervisors and those above them listen.
    let agent = Person::sign_in(&service, "agent@acme.test", "hookswitch-demo-1");
    agent.ask("POST", &format!("/calls/{}/monitor", id(&call)), &json!({}), 403);
}

fn more_than_two_talk(database: Database) {
    let (service, pbx) = start(database);
    let person = supervisor(&service);
    let (one, two) = (Phone::start(&pbx, "acme-101", ANSWERS), Phone::start(&pbx, "acme-102", ANSWERS));
    let carrier = Phone::start(&pbx, "carrier", ANSWERS);
    let calling = Call::to(NUMBER).from(CALLER).stay(60_000).start(&pbx);
    let call = wait_state(&person, "talking");
    command(&person, &call, "conference", &json!({"to": "102"}));
    two.wait_answered(0);
    wait_state(&person, "conference");
    command(&person, &call, "conference", &json!({"to": "+15559990000"}));
    carrier.wait_answered(0);
    wait::until("four to talk", || {
        let calls = person.list("/calls/live");
        let talking =
            calls[0]["legs"].as_array().unwrap().iter().filter(|leg| !leg["talking_since"].is_null());
        (talking.filter(|leg| leg["channel"].as_str().unwrap().starts_with("PJSIP/")).count() == 4)
            .then_some(())
    });
    let hold = person.ask("POST", &format!("/calls/{}/hold", id(&call)), &json!({}), 409);
    assert_eq!(hold["code"], "call-state", "{hold}");
    // Asterisk ends every channel: nothing of it is left here.
    pbx.hang_up_all();
    wait_nobody(&person);
    pbx.wait_idle();
    assert_eq!((one.answered(), calling.finish()[0].hung_up_by_pbx), (1, true));
}

fn a_click_calls_both(database: Database) {
    let (service, pbx) = start(database);
    let person = supervisor(&service);
    let carrier = Phone::start(&pbx, "carrier", ANSWERS);
    let one = Phone::start(&pbx, "acme-101", ANSWERS);
    let click = |to: &str| json!({"from": "101", "to": to, "caller_id": "+15550001000"});
    let made = person.make("/calls", &click("+15559990000"));
    carrier.wait_answered(0);
    wait_state(&person, "talking");
    assert_eq!(one.answered(), 1);
    assert!(carrier.invites()[0].contains("+15550001000"), "{:?}", carrier.invites());
    let call = id(&made);
    let row = wait::until("the call in the books", || {
        Some(person.get(&format!("/calls/{call}"))).filter(|row| row["reason"] == "outbound")
    });
    assert_eq!((&row["direction"], &row["did"]), (&json!("outbound"), &json!("+15559990000")), "{row}");
    // Who called parks the other side, which goes on as the same call though its own channel is gone.
    let two = Phone::start(&pbx, "acme-102", ANSWERS);
    command(&person, &made, "park", &json!({"endpoint": "101"}));
    let parked = wait_state(&person, "parked");
    assert_eq!(id(&parked), call, "{parked}");
    command(&person, &made, "pickup", &json!({"phone": "102"}));
    two.wait_answered(0);
    wait_state(&person, "talking");
    command(&person, &made, "hangup", &Value::Null);
    wait_nobody(&person);
    drop(two);
    let cdr = person.wait_list("/cdrs", 1).remove(0);
    assert_eq!(
        (&cdr["call_id"], &cdr["disposition"], &cdr["endpoint"]),
        (&json!(call), &json!("ANSWERED"), &json!("101")),
        "{cdr}"
    );
    // What can't be, is not begun.
    for (body, code) in [
        (click("+4412345678"), "no-destination"),
        (json!({"from": "199", "to": "102"}), "invalid"),
        (json!({"from": "101", "to": "102", "caller_id": "+15550002000"}), "invalid"),
        (json!({"from": "101", "to": "102'"}), "invalid"),
    ] {
        let problem = person.ask("POST", "/calls", &body, 422);
        assert_eq!(problem["code"], code, "{problem}");
    }
    drop(one);
    // Nobody takes the phone up: the end is told by Asterisk's events alone.
    let _one = Phone::start(&pbx, "acme-101", Behaviour::Rejects(486));
    let made = person.make("/calls", &click("102"));
    let over: Value = wait::until("the end of the call", || {
        let (status, row) = person.try_ask("GET", &format!("/cdrs/{}", id(&made)));
        (status == 200).then(|| serde_json::from_str(&row).unwrap())
    });
    assert_eq!(
        (&over["disposition"], &over["direction"]),
        (&json!("NO ANSWER"), &json!("internal")),
        "{over}"
    );
    let row = person.get(&format!("/calls/{}", id(&made)));
    assert_eq!((&row["ended_by"], &row["cause"]), (&json!("live"), &json!(17)), "{row}");
}

fn what_was_done_outlives_the_service(database: Database) {
    let (mut service, pbx) = start(database);
    let _one = Phone::start(&pbx, "acme-101", ANSWERS);
    let dial = || Call::to(NUMBER).from(CALLER).stay(60_000).start(&pbx);
    let held = dial();
    let call = {
        let person = supervisor(&service);
        let call = wait_state(&person, "talking");
        command(&person, &call, "hold", &json!({}));
        call
    };
    service.kill();
    service.start_again();
    {
        let person = supervisor(&service);
        let again = wait_state(&person, "held");
        assert_eq!(id(&again), id(&call));
        wait::until("the gap to be told", || {
            let gaps = person.list("/events?types=call.gap");
            (gaps.len() == 1 && gaps[0]["data"]["asterisk"] == "pbx").then_some(())
        });
        command(&person, &call, "unhold", &Value::Null);
        wait_state(&person, "talking");
        // What the process before has told is not told again: this was written behind it.
        wait::until("the end of the hold to be told", || {
            (person.list("/events?types=call.unheld").len() == 1).then_some(())
        });
        for once in ["call.ringing", "call.answered"] {
            assert_eq!(person.list(&format!("/events?types={once}")).len(), 1, "{once}");
        }
    }
    // It ends while nobody hears it: the end is told all the same.
    service.kill();
    pbx.hang_up_all();
    pbx.wait_idle();
    held.finish();
    service.start_again();
    let person = supervisor(&service);
    wait::until("the end of the call", || {
        let events = person.list("/events?types=call.ended");
        (events.len() == 1 && events[0]["data"]["call_id"] == id(&call)).then_some(())
    });
    assert!(person.list("/calls/live").is_empty());
    // The tenant has no call any more, and hears of the gap all the same.
    wait::until("the second gap", || (person.list("/events?types=call.gap").len() == 2).then_some(()));
    // Somebody had answered.
    let row = person.get(&format!("/calls/{}", id(&call)));
    assert_eq!((&row["disposition"], row["answered_at"].is_null()), (&json!("ANSWERED"), false), "{row}");
    assert!(person.list("/events?types=call.missed").is_empty());
}

fn who_is_left_alone_is_looked_after(database: Database) {
    let (service, pbx) = start(database);
    let person = supervisor(&service);
    let hangs_up = Behaviour::Answers { after_ms: 200, hangs_up_after_ms: Some(4_000) };
    let one = Phone::start(&pbx, "acme-101", hangs_up);
    let two = Phone::start(&pbx, "acme-102", ANSWERS);
    let dial = |stay| Call::to(NUMBER).from(CALLER).stay(stay).start(&pbx);
    // Who asks somebody and hangs up has handed the call on.
    let calling = dial(60_000);
    let call = wait_state(&person, "talking");
    command(&person, &call, "transfer", &json!({"to": "102", "attended": true}));
    two.wait_answered(0);
    wait::until("the asked one to have the call", || {
        let calls = person.list("/calls/live");
        let gone = !roles(&calls[0]).iter().any(|role| role.starts_with("101"));
        (gone && calls[0]["state"] == "talking").then_some(())
    });
    command(&person, &call, "hangup", &Value::Null);
    wait_nobody(&person);
    calling.finish();
    // Who holds and hangs up leaves nobody in the dark.
    let calling = dial(60_000);
    let call = wait_state(&person, "talking");
    command(&person, &call, "hold", &json!({}));
    wait_nobody(&person);
    assert!(calling.finish()[0].hung_up_by_pbx);
    // The caller hangs up while held.
    let calling = dial(2_000);
    let call = wait_state(&person, "talking");
    command(&person, &call, "hold", &json!({}));
    wait_nobody(&person);
    assert!(!calling.finish()[0].hung_up_by_pbx);
    assert_eq!(one.answered(), 3);
    pbx.wait_idle();
}

fn phones_move_their_agents(database: Database) {
    let (mut service, pbx) = start(database);
    let _one = phones_move(&service, &pbx);
    // The talk ends while nobody hears it: whoever comes next finds the phone idle.
    let calling = Call::to(NUMBER).from(CALLER).stay(60_000).start(&pbx);
    let agent_is = |service: &Service, state: &str| {
        let agent = Person::sign_in(service, "agent@acme.test", "hookswitch-demo-1");
        wait::until(&format!("the agent to be {state}"), || {
            (agent.get("/agents/me")["state"] == state).then_some(())
        });
    };
    {
        let agent = Person::sign_in(&service, "agent@acme.test", "hookswitch-demo-1");
        agent.ask("POST", "/agents/me/login", &json!({"extension": "101"}), 200);
        agent.ask("PATCH", "/agents/me", &json!({"state": "available"}), 200);
    }
    wait_state(&supervisor(&service), "talking");
    agent_is(&service, "busy");
    service.kill();
    pbx.hang_up_all();
    pbx.wait_idle();
    calling.finish();
    service.start_again();
    agent_is(&service, "available");
}

fn phones_move(service: &Service, pbx: &Pbx) -> Phone {
    let person = supervisor(service);
    let agent = Person::sign_in(service, "agent@acme.test", "hookswitch-demo-1");
    service.on_db(async |db| {
        let sql = "UPDATE tenants SET wrapup_s = 3 WHERE id = 'acme'";
        hookswitch::db::db_write!(db, |p| sqlx::query(sql).execute(p).await.map(drop)).unwrap();
    });
    agent.ask("POST", "/agents/me/login", &json!({"extension": "101"}), 200);
    agent.ask("PATCH", "/agents/me", &json!({"state": "available"}), 200);
    let slow = Behaviour::Answers { after_ms: 1_500, hangs_up_after_ms: None };
    let one = Phone::start(pbx, "acme-101", slow);
    let calling = Call::to(NUMBER).from(CALLER).stay(60_000).start(pbx);
    let pop = wait::until("the caller to be shown", || {
        let events = agent.list("/events?types=agent.screen_pop");
        events.first().cloned()
    });
    assert_eq!(pop["data"]["caller_number"], CALLER, "{pop}");
    let call = wait_state(&person, "talking");
    assert_eq!(pop["data"]["call_id"], call["call_id"], "{pop}");
    let state = |state: &str| {
        wait::until(&format!("the agent to be {state}"), || {
            let me = agent.get("/agents/me");
            (me["state"] == state).then_some(me)
        })
    };
    assert_eq!(state("busy")["call_id"], call["call_id"]);
    // It is the agent's own call: the own phone acts.
    let seen = agent.list("/calls/live");
    assert_eq!(id(&seen[0]), id(&call));
    command(&agent, &call, "hold", &json!({}));
    wait_state(&person, "held");
    command(&agent, &call, "unhold", &Value::Null);
    let other = json!({"endpoint": "102"});
    agent.ask("POST", &format!("/calls/{}/hold", id(&call)), &other, 403);
    command(&agent, &call, "hangup", &Value::Null);
    wait_nobody(&person);
    // The rest after the call, which ends by itself.
    wait::until("the agent to rest", || (agent.get("/agents/me")["reason"] == "wrap-up").then_some(()));
    state("available");
    calling.finish();
    // What others talk about is nobody's business.
    agent.ask("POST", "/agents/me/logout", &Value::Null, 200);
    let calling = Call::to(NUMBER).from(CALLER).stay(60_000).start(pbx);
    let call = wait_state(&person, "talking");
    assert!(agent.list("/calls/live").is_empty());
    agent.ask("POST", &format!("/calls/{}/hangup", id(&call)), &Value::Null, 404);
    command(&person, &call, "hangup", &Value::Null);
    wait_nobody(&person);
    calling.finish();
    one
}

fn callbacks_are_dialled(database: Database) {
    let (service, pbx) = start(database);
    let person = supervisor(&service);
    let two = Phone::start(&pbx, "acme-102", ANSWERS);
    let queue = person.list("/queues?name=support").remove(0);
    let path = format!("/queues/{}/callbacks", queue["id"].as_str().unwrap());
    let busy = Phone::start(&pbx, "carrier", Behaviour::Rejects(486));
    // Nobody there: it is tried again later, and the reason is shown.
    let made = person.make(&path, &json!({"number": "+15557770002"}));
    let tried = wait::until("the attempt to be counted", || {
        let one = person.get(&format!("{path}/{}", made["id"].as_str().unwrap()));
        (one["attempts"] == 1 && one["state"] == "waiting").then_some(one)
    });
    assert_eq!(tried["last_error"], "no-answer", "{tried}");
    person.ask("DELETE", &format!("{path}/{}", made["id"].as_str().unwrap()), &Value::Null, 204);
    assert_eq!(busy.rang(), 1);
    drop(busy);
    let carrier = Phone::start(&pbx, "carrier", ANSWERS);
    person.make(&path, &json!({"number": CALLER, "name": "Ann"}));
    carrier.wait_answered(0);
    two.wait_answered(0);
    // The phone shows a number that leads to the queue.
    let invite = carrier.invites().remove(0);
    assert!(invite.contains(CALLER) && invite.contains("sip:+15550001000@"), "{invite}");
    let call = wait_state(&person, "talking");
    assert_eq!(call["queue"], "support", "{call}");
    command(&person, &call, "hangup", &Value::Null);
    wait_nobody(&person);
}
