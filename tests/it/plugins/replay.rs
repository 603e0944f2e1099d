//! A call of yesterday against another version: on the author's machine, and for the number as a whole.

use std::sync::Arc;

use hookswitch::base::ids::Id;
use hookswitch::calls::{CallAndDecision, Decided, Direction, Record, Started};
use hookswitch::plugins::insert_runs;
use hookswitch::routing::trace::Trace;
use hookswitch::routing::types::Inputs;
use hookswitch::routing::{CallIds, Mode};
use hookswitch::sandbox::Scripted;
use hookswitch::sandbox::types::Event;
use serde_json::json;

use super::push::{Author, ROUTER};
use super::{World, wasm};
use crate::api::calls::Drain;
use crate::support::{both_databases, tenant};

const DID: &str = "+15550001006";

/// Routes a call as a service does, and writes it down. Its id.
async fn called(w: &World, drain: &mut Drain) -> String {
    let router = &w.desk.app.gate.routing;
    let ids = CallIds { id: router.ids.next(), uniqueid: "1.7".into(), linkedid: "1.6".into() };
    let inputs = Inputs {
        at_us: w.desk.app.clock.now_us(),
        dialled: DID.into(),
        caller: "15557770009".into(),
        caller_name: "Ann".into(),
        language: "en".into(),
        ..Inputs::default()
    };
    let trace = router.route(&ids, inputs, Mode::Live).await;
    let started = Started {
        id: ids.id.clone(),
        direction: Direction::Inbound,
        did: DID.into(),
        caller: trace.inputs.caller.clone(),
        caller_name: "Ann".into(),
        channel: "PJSIP/carrier-1".into(),
        uniqueid: ids.uniqueid.clone(),
        linkedid: ids.linkedid.clone(),
        language: "en".into(),
        at_us: trace.inputs.at_us,
    };
    let decided = decided(&ids, &trace);
    drain
        .apply(vec![serde_json::to_vec(&Record::Began(CallAndDecision { started, decided })).unwrap()])
        .await;
    ids.id.to_string()
}

fn decided<'t>(ids: &CallIds, trace: &'t Trace) -> Decided<&'t Trace> {
    Decided {
        id: ids.id.clone(),
        tenant: trace.decision.tenant.clone(),
        hook: trace.hook.as_str().into(),
        action: trace.decision.action.as_str().into(),
        target: trace.decision.target.clone(),
        reason: trace.decision.reason.to_string(),
        at_us: trace.inputs.at_us,
        record: false,
        trace,
        runs: trace.runs.clone(),
    }
}

/// A number whose plugin sends calls to 101 as long as its VIP is a contact.
async fn furnished(w: &World) -> (String, String) {
    w.desk.furnish().await;
    let path = w.router("greeter", json!({"grants": ["contacts"]})).await;
    w.active(&path, wasm::looks_up()).await;
    let did = json!({"number": DID, "route_type": "queue", "route_target": "support", "plugin": "greeter"});
    w.post("/dids", did).await.expect(201);
    let contact = json!({"first_name": "Ada", "phones": ["+15557770001"]});
    (path, format!("/contacts/{}", w.post("/contacts", contact).await.expect(201).id()))
}

both_databases! {
    /// The run's input is made again of the call; its answers are those of then, whatever the tenant's data says now.
    async fn an_author_runs_a_call_of_yesterday(test) {
        let w = World::new(test).await;
        let (path, contact) = furnished(&w).await;
        let call = called(&w, &mut Drain::new(&w.desk)).await;
        w.desk.app.delete(&contact, &w.token()).await.expect(204);
        let run = w.get(&format!("{path}/runs")).await.expect(200).body["data"][0].clone();
        assert_eq!((&run["trigger"], &run["subject_id"], &run["input"]), (&json!("call"), &json!(call), &json!(null)));
        let id = run["id"].as_str().unwrap();
        let input = w.get(&format!("{path}/runs/{id}/input")).await.expect(200).body["input"]["call"].clone();
        assert_eq!((&input["id"], &input["linkedId"], &input["dialled"]), (&json!(call), &json!("1.6"), &json!(DID)));
        assert_eq!(input["caller"], json!({"number": "+15557770009", "name": "Ann"}));
        assert_eq!(input["at"], w.desk.app.clock.now_us() / 1_000);
        let author = Author::at(&w).await;
        let folder = author.folder(ROUTER, wasm::looks_up());
        let folder = folder.to_str().unwrap();
        for name in [id, &call] {
            let said = author.run(&["plugin", "replay", name, folder]).await;
            said.expect(0, &["greeter@1, call", "then: ok; ", "now:  ok; ", "\"val\": \"101\"", "the same"]);
        }
        author.folder(ROUTER, wasm::to_queue("support"));
        let said = author.run(&["plugin", "replay", id, folder]).await;
        said.expect(3, &[
            "asked then and not now: {\"contact_by_number\":{\"number\":\"+15557770001\"}}",
            "DIFFERS: output.decision.val.steps[0].target.val: \"101\" then, \"support\" now",
        ]);
        author.folder(&ROUTER.replace("\"contacts\"", "\"contacts\", \"kv\""), wasm::wants_kv());
        let said = author.run(&["plugin", "replay", id, folder]).await;
        said.expect(3, &["asked now and not then, so without an answer: {\"kv_get\":{\"key\":\"k\"}}", "outcome: \"ok\" then, \"pass\" now"]);
        author.run(&["plugin", "replay", "nothing", folder]).await.expect(1, &["404 not-found"]);
        // A test of the same call is another run about it.
        let mut again = w.ask("greeter", "+1").await.into_run(w.desk.app.gate.ids.next(), 7, &call);
        again.input = Some(json!({"call": {"id": "x"}}));
        let mut tx = w.held.db.begin().await.unwrap();
        insert_runs(&mut tx, &tenant("acme"), &[again]).await.unwrap();
        tx.commit().await.unwrap();
        author.run(&["plugin", "replay", &call, folder]).await.expect(1, &[id, "has several runs"]);
    }

    /// A ticketer's input is made again of its event, as long as that is kept.
    async fn an_event_is_given_again(test) {
        let w = World::new(test).await;
        let made = w.post("/plugins", json!({"name": "idle", "kind": "ticketer", "events": ["contact.*"]})).await.expect(201);
        let path = format!("/plugins/{}", made.id());
        w.active(&path, wasm::idle_ticketer()).await;
        let contact = w.post("/contacts", json!({"first_name": "Ada"})).await.expect(201).id();
        let event = w.events("contact.created").await[0].clone();
        let event = event["id"].as_str().unwrap();
        let reply = w.held.plugins.show(&tenant("acme"), &w.setup("idle"), Event::default()).await;
        let ids = &w.desk.app.gate.ids;
        let runs = [
            reply.clone().into_run(ids.next(), w.desk.app.clock.now_us(), event),
            reply.into_run(ids.next(), 7, "evt_gone"),
        ];
        let mut tx = w.held.db.begin().await.unwrap();
        insert_runs(&mut tx, &tenant("acme"), &runs).await.unwrap();
        tx.commit().await.unwrap();
        let input = w.get(&format!("{path}/runs/{}/input", runs[0].id)).await.expect(200).body["input"]["event"].clone();
        assert_eq!((&input["id"], &input["kind"]), (&json!(event), &json!("contact.created")));
        assert!(input["data"].as_str().unwrap().contains(&contact), "{input}");
        assert_eq!(w.get(&format!("{path}/runs/{}/input", runs[1].id)).await.expect(410).code(), "input-gone");
        let author = Author::at(&w).await;
        let folder = author.folder("name = \"idle\"\nkind = \"ticketer\"\nlanguage = \"rust\"\n", wasm::idle_ticketer());
        author.run(&["plugin", "replay", event, folder.to_str().unwrap()]).await.expect(0, &["idle@1, event", "the same"]);
    }

    /// A script hears what it heard then, without its caller.
    async fn a_script_talks_again(test) {
        let w = World::new(Arc::clone(&test)).await;
        w.desk.furnish().await;
        let made = w.post("/plugins", json!({"name": "talk", "kind": "call-script"})).await.expect(201);
        let path = format!("/plugins/{}", made.id());
        w.active(&path, wasm::answers()).await;
        let did = json!({"number": DID, "route_type": "queue", "route_target": "support", "plugin": "talk"});
        w.post("/dids", did).await.expect(201);
        let mut drain = Drain::new(&w.desk);
        let call = called(&w, &mut drain).await;
        let ids = CallIds { id: Id::parse(&call).unwrap(), uniqueid: "1.7".into(), linkedid: "1.6".into() };
        let state = format!("d:acme:{DID}:s");
        let inputs = Inputs { at_us: w.desk.app.clock.now_us() + 1, caller: "15557770009".into(), ..Inputs::default() };
        let caller = Arc::new(Scripted::new("", 0));
        let trace = w.desk.app.gate.routing.script(&ids, &state, "talk", inputs, Some(caller)).await;
        assert_eq!(trace.decision.target, "acme-support", "{trace:?}");
        drain.apply(vec![serde_json::to_vec(&Record::Moved(decided(&ids, &trace))).unwrap()]).await;
        let (place, folder) = (crate::cli::Place::new(), test.folder().to_str().unwrap().to_owned());
        let env = [("HOOKSWITCH_DATABASE_URL", test.url.as_str()), ("HOOKSWITCH_DATA_DIR", folder.as_str())];
        let output = tokio::task::block_in_place(|| place.run(&["replay", &call, "--plugin", "talk@1"], &env));
        let said = crate::cli::ok(&output);
        assert!(said.contains("version 1 ended as ok") && said.contains("1 host call(s)"), "{said}");
        assert!(said.contains("2 decision(s), the same with talk@1"), "{said}");
        let author = Author::at(&w).await;
        let manifest = "name = \"talk\"\nkind = \"call-script\"\nlanguage = \"rust\"\n";
        let folder = author.folder(manifest, wasm::answers());
        author.run(&["plugin", "replay", &call, folder.to_str().unwrap()]).await.expect(0, &["talk@1, call", "the same"]);
    }

    /// Another version answers for the number, active or not, and the rest of the decision follows.
    async fn an_operator_asks_another_version(test) {
        let w = World::new(Arc::clone(&test)).await;
        let (path, contact) = furnished(&w).await;
        let call = called(&w, &mut Drain::new(&w.desk)).await;
        w.upload(&path, wasm::to_queue("support")).await.expect(201);
        w.upload(&path, wasm::to_queue("nowhere")).await.expect(201);
        let place = crate::cli::Place::new();
        let folder = test.folder().to_str().unwrap().to_owned();
        let env = [("HOOKSWITCH_DATABASE_URL", test.url.as_str()), ("HOOKSWITCH_DATA_DIR", folder.as_str())];
        let run = |code: i32, arguments: &[&str], parts: &[&str]| {
            let output = tokio::task::block_in_place(|| place.run(arguments, &env));
            let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
            assert_eq!(output.status.code(), Some(code), "{text}");
            parts.iter().for_each(|part| assert!(text.contains(part), "{part} is missing in:\n{text}"));
        };
        run(0, &["simulate", "--did", DID], &["= endpoint acme-101", "greeter@1"]);
        run(0, &["simulate", "--did", DID, "--plugin", "greeter@2"], &["= queue acme-support", "greeter@2", "version 2 ended as ok"]);
        w.desk.app.delete(&contact, &w.token()).await.expect(204);
        run(0, &["simulate", "--did", DID, "--plugin", "greeter@1"], &["= queue acme-support"]);
        // What was answered then counts.
        run(0, &["replay", &call], &["1 decision(s), 0 would differ"]);
        run(0, &["replay", &call, "--plugin", "greeter@1"], &["same:", "= endpoint acme-101", "version 1 ended as ok", "the same with greeter@1"]);
        run(0, &["replay", &call, "--plugin", "greeter@2"], &["DIFFERS", "= queue acme-support", "With greeter@2 it differs; 0 later"]);
        // Its answer is checked as in a call: this one names no queue of the tenant's, and the call takes its fallback.
        run(0, &["replay", &call, "--plugin", "greeter@3"], &["rejected-output", "DIFFERS"]);
        for (plugin, says) in [("greeter@9", "no plugin greeter@9"), ("nobody", "no plugin nobody")] {
            run(1, &["simulate", "--did", DID, "--plugin", plugin], &[says]);
            run(1, &["replay", &call, "--plugin", plugin], &[says]);
        }
        run(1, &["simulate", "--did", "+15550001999", "--plugin", "greeter@2"], &["nobody's number"]);
        // Nothing of it lasts.
        assert_eq!(w.get(&path).await.expect(200).body["active_version"], 1);
        assert_eq!(test.number("SELECT COUNT(*) FROM plugin_runs").await, 1);
    }
}
