//! Callers who leave the queue by a key and are called back in their turn, with a real Asterisk: the phone of the caller is
//! SIPp as the carrier. The service dials over ARI; once the test itself does, with call files.

use crate::service_realtime::{ANSWERS, CALLER, NUMBER, SOON, Way, connected, furnish, newco, start};
use crate::service_rest::Person;
use crate::support::asterisk::Pbx;
use crate::support::call::Call;
use crate::support::phone::{Phone, register};
use crate::support::ports;
use crate::support::scenario::Behaviour;
use crate::support::service::{Database, Service};
use crate::support::wait;
use futures_util::future::BoxFuture;
use hookswitch::app;
use hookswitch::base::clock::Clock;
use hookswitch::base::ids::IdSource;
use hookswitch::base::metrics::Metrics;
use hookswitch::calls::live::Live;
use hookswitch::contacts::Names;
use hookswitch::outgoing::{Client, Guard};
use hookswitch::plugins::Plugins;
use hookswitch::queues::callback::{DialError, Dialler, Due};
use hookswitch::queues::callback_desk::Callbacks;
use hookswitch::queues::live::LiveQueues;
use hookswitch::routing::memory::Memory;
use hookswitch::routing::{Paces, Router};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const LATER: &str = "+15557770002";
const FIRST: &str = "+15557770009";

on_both! {
    who_pressed_the_key_is_called_before_who_joined_later,
    a_withheld_number_goes_back_to_its_place,
    who_does_not_answer_is_tried_again,
}

mod odbc {
    #[test]
    fn a_withheld_number_goes_back_to_its_place() {
        super::withheld(super::Way::Odbc, super::Database::MySql);
    }
}

/// Dials with call files (`pbx_spool`).
#[derive(Debug)]
struct CallFiles(PathBuf);

impl CallFiles {
    fn new(pbx: &Pbx) -> Self {
        let spool = pbx.path("spool");
        for folder in ["tmp", "outgoing"] {
            std::fs::create_dir_all(spool.join(folder)).unwrap();
            // Asterisk is another user where the tests are root.
            std::fs::set_permissions(spool.join(folder), std::fs::Permissions::from_mode(0o777)).unwrap();
        }
        assert!(pbx.cli("module load pbx_spool.so").contains("Loaded"));
        Self(spool)
    }
}

impl Dialler for CallFiles {
    fn is_ready(&self) -> bool {
        true
    }

    fn dial<'a>(&'a self, due: &'a Due) -> BoxFuture<'a, Result<(), DialError>> {
        Box::pin(async move {
            let refused = |error: std::io::Error| DialError::Refused(error.to_string());
            let (id, number) = (&due.id, &due.number);
            let text = format!(
                "Channel: PJSIP/{number}@carrier\nContext: hookswitch-called-back\nExtension: s\nPriority: 1\n\
                 WaitTime: 25\nMaxRetries: 0\nSetvar: HS_CALLBACK={id}\nSetvar: HS_NUMBER={number}\n"
            );
            let made = self.0.join("tmp").join(id.as_str());
            std::fs::write(&made, text).map_err(refused)?;
            std::fs::set_permissions(&made, std::fs::Permissions::from_mode(0o666)).map_err(refused)?;
            std::fs::rename(&made, self.0.join("outgoing").join(id.as_str())).map_err(refused)
        })
    }
}

/// A node of the service beside the one under test: it looks after callbacks and dials.
fn node(service: &Service, pbx: &Pbx) -> Callbacks {
    let (db, clock) = (service.on_db(async |db| db.clone()), Clock::system());
    let (ids, metrics) = (IdSource::new(clock.clone()), Arc::new(Metrics::default()));
    let plugins = Plugins::off(db.clone(), clock.clone());
    let router = Router {
        plugins: Arc::clone(&plugins),
        names: Names::new(db.clone()),
        memory: Memory::new(db.clone(), Arc::clone(&metrics), plugins, 10_000, Duration::from_secs(5)),
        live: Arc::new(Live::default()),
        paces: Paces::default(),
        metrics,
        ids: ids.clone(),
        clock: clock.clone(),
        client: Client::new(Guard::parse("127.0.0.0/8").unwrap()).unwrap(),
        unknown: None,
    };
    Callbacks {
        db,
        clock,
        node: ids.next(),
        ids,
        events: app::api::events(),
        router: Arc::new(router),
        live: Arc::new(LiveQueues::new(3_600_000_000)),
        dialler: Some(Arc::new(CallFiles::new(pbx))),
        counted: Mutex::default(),
    }
}

/// Rounds of the node until `probe` finds something.
fn until<T>(service: &Service, node: &Callbacks, what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    wait::until(what, || {
        service.on_db(async |_| node.round().await).unwrap();
        probe()
    })
}

/// The queue with its key, its phone, and what may be called; the queue's path.
fn open(pbx: &Pbx, root: &Person<'_>) -> (String, Phone) {
    let (_, password, queue, _) = furnish(root);
    let queue = format!("/queues/{queue}");
    root.ask("PATCH", &queue, &json!({"max_wait_s": 60, "callback_key": "1"}), 200);
    root.make("/outbound-rules", &json!({"prefix": "+1", "allowed": true}));
    let [port] = ports::free();
    // A starved machine loses a question.
    wait::until("the phone to register", || register(pbx, ("newco-101", &password), port, 300).then_some(()));
    let phone = Phone::at(port, "newco-101", ANSWERS);
    wait::until("the phone to be found", || {
        pbx.cli("queue show newco-support").contains("(Not in use)").then_some(())
    });
    (queue, phone)
}

fn waiting(seen: &Value) -> Vec<&str> {
    seen["waiting"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["caller_number"].as_str().unwrap_or("-"))
        .collect()
}

fn who_pressed_the_key_is_called_before_who_joined_later(database: Database) {
    let (service, pbx) = connected(Way::Http, database);
    let root = newco(&service);
    let (queue, phone) = open(&pbx, &root);
    let (live, callbacks) = (format!("{queue}/live"), format!("{queue}/callbacks"));
    // The agent is busy; a caller waits, presses the key and is let go; another joins later.
    let first = Call::to(NUMBER).from(FIRST).stay(22_000).start(&pbx);
    phone.wait_answered(0);
    let call =
        Call::to(NUMBER).from(CALLER).name("Nina").digits("1", 1_000).stay(20_000).expect_answered(&pbx);
    assert!(call.hung_up_by_pbx, "{call:?}");
    let asked = root.wait_list(&callbacks, 1).remove(0);
    assert_eq!(
        (&asked["number"], &asked["asked_by"], &asked["name"]),
        (&json!(CALLER), &json!("keypad"), &json!("Nina"))
    );
    assert_eq!((&asked["state"], &asked["did"]), (&json!("waiting"), &json!(NUMBER)));
    // The agent is next for whoever joins later: so the caller's phone rings then, and waits in front.
    let carrier =
        Phone::start(&pbx, "carrier", Behaviour::Answers { after_ms: 500, hangs_up_after_ms: Some(20_000) });
    let later = Call::to(NUMBER).from(LATER).stay(25_000).start(&pbx);
    wait::until("the caller's phone to answer", || (carrier.answered() == 1).then_some(()));
    // It shows the number that the caller had called.
    let invite = carrier.invites().remove(0);
    assert!(invite.contains(CALLER) && invite.contains(&format!("sip:{NUMBER}@")), "{invite}");
    let talks = wait::until("the caller to talk to the agent", || {
        let seen = root.get(&live);
        (seen["talking"][0]["caller_number"] == CALLER).then_some(seen)
    });
    assert_eq!(waiting(&talks), [LATER], "{talks}");
    assert_eq!(phone.answered(), 2);
    let done = wait::until("the callback to be done", || {
        Some(root.list(&callbacks).remove(0)).filter(|one| one["state"] == "done")
    });
    assert_eq!(done["attempts"], 1);
    pbx.hang_up_all();
    first.finish();
    drop(later);
    pbx.wait_idle();
    let told = root.list("/events?types=queue.callback_requested,queue.callback_dialled,queue.callback_done");
    let told: Vec<&str> = told.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(told, ["queue.callback_requested", "queue.callback_dialled", "queue.callback_done"]);
    // A call of its own, with its record.
    let called = done["called_call_id"].as_str().unwrap();
    let record = wait::until("the record of the call", || {
        root.list("/cdrs").into_iter().find(|cdr| cdr["call_id"] == called)
    });
    assert_eq!((&record["direction"], &record["queue"]), (&json!("outbound"), &json!("support")), "{record}");
    let call = root.get(&format!("/calls/{called}"));
    assert_eq!(
        (&call["reason"], &call["did"], &call["caller_number"]),
        (&json!("callback"), &json!(CALLER), &json!(CALLER))
    );
}

fn a_withheld_number_goes_back_to_its_place(database: Database) {
    withheld(Way::Http, database);
}

fn withheld(way: Way, database: Database) {
    let (service, pbx) = start(way, database);
    let root = newco(&service);
    let (queue, phone) = open(&pbx, &root);
    let live = format!("{queue}/live");
    let first = Call::to(NUMBER).from(FIRST).stay(25_000).start(&pbx);
    phone.wait_answered(0);
    let withheld = Call::to(NUMBER).from("anonymous").digits("1", 4_000).stay(15_000).start(&pbx);
    let waits = |n: usize, number: &str| {
        wait::until(number, || (root.get(&live)["waiting"][n]["caller_number"] == number).then_some(()));
    };
    waits(0, "anonymous");
    let second = Call::to(NUMBER).from(LATER).stay(25_000).start(&pbx);
    waits(1, LATER);
    // Out, and in again before whoever joined later.
    let back = wait::until("the first to be back", || {
        let all = root.list("/events?types=queue.caller_joined");
        (all.len() == 4).then(|| all[3].clone())
    });
    assert_eq!(back["data"]["position"], 1, "{back}");
    let shown = pbx.cli("queue show newco-support");
    assert!(shown.contains("1. PJSIP/carrier") && shown.contains("2. PJSIP/carrier"), "{shown}");
    assert!(root.list(&format!("{queue}/callbacks")).is_empty());
    assert!(pbx.log().contains("Playing 'im-sorry"), "nobody said why");
    wait::within(SOON, "the decision in the books", || {
        let calls = root.list("/calls");
        calls.iter().any(|call| call["reason"] == "callback-refused").then_some(())
    });
    pbx.hang_up_all();
    for call in [first, withheld, second] {
        call.finish();
    }
}

fn who_does_not_answer_is_tried_again(database: Database) {
    let (service, pbx) = start(Way::Http, database);
    let root = newco(&service);
    let (queue, phone) = open(&pbx, &root);
    root.ask("PATCH", &queue, &json!({"callback_retry_s": 10, "callback_attempts": 2}), 200);
    let (node, callbacks) = (node(&service, &pbx), format!("{queue}/callbacks"));
    let one = root.make(&callbacks, &json!({"number": CALLER, "name": "Nina"}));
    let busy = Phone::start(&pbx, "carrier", Behaviour::Rejects(486));
    let failed = until(&service, &node, "the attempt to fail", || {
        Some(root.list(&callbacks).remove(0)).filter(|one| !one["last_error"].is_null())
    });
    assert_eq!(
        (&failed["id"], &failed["state"], &failed["last_error"]),
        (&one["id"], &json!("waiting"), &json!("it could not be called"))
    );
    assert_eq!((busy.rang(), phone.rang()), (1, 0));
    drop(busy);
    let carrier =
        Phone::start(&pbx, "carrier", Behaviour::Answers { after_ms: 500, hangs_up_after_ms: Some(3_000) });
    until(&service, &node, "the second attempt to succeed", || {
        Some(root.list(&callbacks).remove(0)).filter(|one| one["state"] == "done")
    });
    assert_eq!((carrier.answered(), phone.answered()), (1, 1));
}
