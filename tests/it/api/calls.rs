//! Calls, traces, detail records and recordings: from the journal to the answer.

use hookswitch::base::ids::Id;
use hookswitch::base::role::Role;
use hookswitch::calls::cdr::{CallRecording, Cdr, Disposition};
use hookswitch::calls::open::close_lost;
use hookswitch::calls::store::Calls;
use hookswitch::calls::{CallAndDecision, Decided, Direction, Ended, Record, Started};
use hookswitch::journal;
use hookswitch::journal::drain::Sink;
use serde_json::json;
use std::sync::Arc;

use super::telephony::Desk;
use crate::support::{both_databases, tenant};

pub(crate) const NODE: &str = "01arz3ndektsv4rrffq69g5fav";
/// When the calls of these tests begin, microseconds.
const START: i64 = 1_790_000_000_000_000;

/// A call as the journal has it.
pub(crate) fn began(id: &Id, owner: &str, action: &str, target: &str) -> Vec<u8> {
    let trace = serde_json::value::to_raw_value(&json!({"steps": [{"check": "did"}]})).unwrap();
    let started = Started {
        id: id.clone(),
        direction: Direction::Inbound,
        did: "+15550001000".into(),
        caller: "+15557770009".into(),
        caller_name: "Ann".into(),
        channel: "PJSIP/carrier-1".into(),
        uniqueid: id.to_string(),
        linkedid: id.to_string(),
        language: "en".into(),
        at_us: START,
    };
    let decided = Decided {
        id: id.clone(),
        tenant: Some(tenant(owner)),
        hook: "route".into(),
        action: action.into(),
        target: target.into(),
        reason: "static".into(),
        at_us: START,
        record: false,
        trace,
        runs: Vec::new(),
    };
    serde_json::to_vec(&Record::Began(CallAndDecision { started, decided })).unwrap()
}

/// As [`began`], recorded.
pub(crate) fn began_recorded(id: &Id, owner: &str, action: &str, target: &str) -> Vec<u8> {
    let mut record: Record = serde_json::from_slice(&began(id, owner, action, target)).unwrap();
    if let Record::Began(call) = &mut record {
        call.decided.record = true;
    }
    serde_json::to_vec(&record).unwrap()
}

pub(crate) fn end(id: &Id) -> Ended {
    Ended {
        id: Some(id.clone()),
        uniqueid: id.to_string(),
        at_us: START + 90_999_000,
        by: "hook".into(),
        cause: Some(16),
        disposition: "ANSWERED".into(),
        answered_us: Some(START + 12_000_000),
        duration_ms: Some(90_999),
        billed_ms: Some(78_999),
        answered_by: "PJSIP/acme-101-00000001".into(),
        ..Ended::default()
    }
}

pub(crate) fn ended(ended: Ended) -> Vec<u8> {
    serde_json::to_vec(&Record::<()>::Ended(ended)).unwrap()
}

/// The journal's way into the database.
pub(crate) struct Drain {
    pub(crate) sink: Calls,
    at: u64,
}

impl Drain {
    pub(crate) fn new(desk: &Desk) -> Self {
        let gate = &desk.app.gate;
        Self {
            sink: Calls {
                db: gate.db.clone(),
                clock: gate.clock.clone(),
                ids: gate.ids.clone(),
                live: Arc::clone(&gate.routing.live),
                news: gate.events.news.clone(),
                sounds: Default::default(),
            },
            at: 0,
        }
    }

    pub(crate) async fn apply(&mut self, payloads: Vec<Vec<u8>>) {
        let records: Vec<_> = (self.at + 1..)
            .zip(payloads)
            .map(|(sequence, payload)| journal::Record { sequence, payload })
            .collect();
        self.sink.apply(NODE, self.at, &records).await.unwrap();
        self.at += records.len() as u64;
    }
}

both_databases! {
    /// One record for each call that ended, in the same transaction, whatever it did and however often it was told.
    async fn a_call_that_ends_has_one_record(test) {
        let desk = Desk::new(test).await;
        let mut drain = Drain::new(&desk);
        let ids: Vec<Id> = (0..7).map(|_| desk.app.gate.ids.next()).collect();
        let silent = |id: &Id, status: &str| Ended {
            disposition: String::new(), answered_us: None, billed_ms: None, dial_status: status.into(), ..end(id)
        };
        drain.apply(vec![
            began(&ids[0], "acme", "queue", "acme-support"), ended(end(&ids[0])),
            began(&ids[1], "acme", "endpoint", "acme-101"), ended(silent(&ids[1], "BUSY")),
            began(&ids[2], "acme", "voicemail", "101@acme"), ended(silent(&ids[2], "")),
            began(&ids[3], "acme", "hangup", "17"), ended(Ended { disposition: "NO ANSWER".into(), ..silent(&ids[3], "") }),
            began(&ids[4], "acme", "external", "+15559990000"), ended(silent(&ids[4], "CHANUNAVAIL")),
            began(&ids[5], "acme", "queue", "acme-support"),
            began(&ids[6], "globex", "queue", "globex-support"), ended(end(&ids[6])),
        ]).await;
        let record = async |id: &Id| {
            let answer = desk.app.get(&format!("/cdrs/{id}"), &desk.viewer).await.expect(200);
            serde_json::from_value::<Cdr>(answer.body).unwrap()
        };
        let first = record(&ids[0]).await;
        assert_eq!((first.duration_s, first.billed_s, first.ringing_s()), (90, 78, 12));
        assert_eq!((first.queue.as_ref().unwrap().as_str(), first.endpoint.as_ref(), first.call_id.as_str()), ("support", None, ids[0].as_str()));
        assert_eq!((first.dst_channel.as_deref(), first.cause), (Some("PJSIP/acme-101-00000001"), Some(16)));
        for (n, destination, disposition) in [
            (0, "queue support", Disposition::Answered), (1, "endpoint 101", Disposition::Busy),
            (2, "voicemail 101", Disposition::NoAnswer), (3, "hangup 17", Disposition::NoAnswer),
            (4, "external +15559990000", Disposition::Failed),
        ] {
            let cdr = record(&ids[n]).await;
            assert_eq!((cdr.destination.as_deref(), cdr.disposition), (Some(destination), disposition));
        }
        assert_eq!(record(&ids[1]).await.endpoint.unwrap().as_str(), "101");
        desk.app.get(&format!("/cdrs/{}", ids[5]), &desk.viewer).await.expect(404);
        desk.app.get(&format!("/cdrs/{}", ids[6]), &desk.viewer).await.expect(404);
        // The same end again, and another one, change nothing.
        desk.app.test.execute(&format!("UPDATE cdrs SET metadata = '{{\"a\":1}}' WHERE id = '{}'", ids[0])).await.unwrap();
        drain.apply(vec![ended(end(&ids[0])), ended(Ended { billed_ms: Some(1), ..end(&ids[0]) })]).await;
        let same = record(&ids[0]).await;
        assert_eq!((same.billed_s, same.metadata.len()), (78, 1));
        // A call given up as lost has a record, and the right one once its end is told after all.
        assert_eq!(close_lost(&drain.sink, START + 1, START + 3_600_000_000, 10).await.unwrap(), [ids[5].clone()]);
        let lost = record(&ids[5]).await;
        assert_eq!((lost.disposition, lost.duration_s, lost.billed_s), (Disposition::Failed, 3_600, 0));
        drain.apply(vec![ended(end(&ids[5]))]).await;
        assert_eq!(record(&ids[5]).await.disposition, Disposition::Answered);
        assert_eq!(desk.app.test.number("SELECT COUNT(*) FROM cdrs").await, 7);
    }

    /// Calls of a tenant that is gone, and of nobody, pass.
    async fn a_tenant_that_is_gone_stops_nothing(test) {
        let desk = Desk::new(test).await;
        let mut drain = Drain::new(&desk);
        let ids: Vec<Id> = (0..2).map(|_| desk.app.gate.ids.next()).collect();
        drain.apply(vec![began(&ids[0], "globex", "queue", "globex-support")]).await;
        desk.app.test.execute("DELETE FROM tenants WHERE id = 'globex'").await.unwrap();
        let unknown = Ended { id: None, uniqueid: "9.9".into(), fallback: "down".into(), did: "+19990000000".into(), ..end(&ids[0]) };
        drain.apply(vec![
            ended(end(&ids[0])), ended(unknown), began(&ids[1], "acme", "queue", "acme-support"), ended(end(&ids[1])),
        ]).await;
        assert_eq!(desk.app.test.texts("SELECT id FROM cdrs").await, [ids[1].to_string()]);
    }

    /// Lists, filters and the trace; agents see their own records only.
    async fn calls_are_read_by_who_may(test) {
        let desk = Desk::new(test).await;
        let mut drain = Drain::new(&desk);
        let ids: Vec<Id> = (0..4).map(|_| desk.app.gate.ids.next()).collect();
        drain.apply(vec![
            began(&ids[0], "acme", "queue", "acme-support"), ended(end(&ids[0])),
            began(&ids[1], "acme", "endpoint", "acme-101"), ended(end(&ids[1])),
            began(&ids[2], "acme", "hangup", "21"), began(&ids[3], "globex", "hangup", "21"),
        ]).await;
        let found = async |query: &str| {
            let answer = desk.app.get(&format!("/calls{query}"), &desk.supervisor).await.expect(200);
            answer.body["data"].as_array().unwrap().iter().map(|r| r["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let id = |n: usize| ids[n].to_string();
        assert_eq!(found("").await, [id(2), id(1), id(0)]);
        assert_eq!(found("?ended_at=null").await, [id(2)]);
        assert_eq!(found("?action=queue&reason=static&disposition=ANSWERED&did=%2B15550001000").await, [id(0)]);
        assert_eq!(found("?started_at_from=2026-09-21T14:13:20Z").await.len(), 3);
        assert_eq!(found("?started_at_before=2026-09-21T14:13:20Z").await, [""; 0]);
        let first = desk.app.get("/calls?limit=2", &desk.supervisor).await.expect(200);
        let next = first.body["page"]["next"].as_str().unwrap();
        assert_eq!(found(&format!("?limit=2&after={next}")).await, [id(0)]);
        desk.app.get("/calls", &desk.agent).await.expect(403);
        desk.app.get(&format!("/calls/{}", ids[3]), &desk.supervisor).await.expect(404);
        let trace = desk.app.get(&format!("/calls/{}/trace", ids[0]), &desk.viewer).await.expect(200);
        assert_eq!(trace.body["data"], json!([{"hook": "route", "at": "2026-09-21T14:13:20Z", "trace": {"steps": [{"check": "did"}]}}]));
        desk.app.get(&format!("/calls/{}/trace", ids[3]), &desk.viewer).await.expect(404);
        desk.app.get(&format!("/calls/{}/trace", ids[0]), &desk.agent).await.expect(403);
        for (method, path) in [("DELETE", format!("/calls/{}", ids[0])), ("PATCH", format!("/cdrs/{}", ids[0])), ("POST", "/cdrs".into())] {
            desk.app.ask(method, &path, &desk.admin, Some(json!({})), &[]).await.expect(405);
        }
        let ann = desk.app.user(Role::Agent, "acme").await;
        desk.app.test.execute(&format!("UPDATE cdrs SET agent_id = '{}' WHERE id = '{}'", ann.id, ids[1])).await.unwrap();
        let own = desk.app.get("/cdrs", &ann.token).await.expect(200);
        assert_eq!(own.body["data"].as_array().unwrap().len(), 1);
        desk.app.get(&format!("/cdrs/{}", ids[0]), &ann.token).await.expect(404);
        assert_eq!(desk.app.get("/cdrs?queue=support", &desk.viewer).await.expect(200).body["data"].as_array().unwrap().len(), 1);
        assert_eq!(desk.app.get("/cdrs", &desk.other).await.expect(200).body["data"], json!([]));
    }

    /// A recording under legal hold stays; who reads one is put on record.
    async fn recordings_are_guarded(test) {
        let desk = Desk::new(test).await;
        let ann = desk.app.user(Role::Agent, "acme").await;
        let (id, live) = (desk.app.gate.ids.next(), desk.app.gate.ids.next());
        for (id, status) in [(&id, "completed"), (&live, "recording")] {
            desk.app.test.execute(&format!(
                "INSERT INTO call_recordings (id, tenant_id, call_id, agent_id, status, format, storage_key, started_at, metadata, created_at, updated_at) \
                 VALUES ('{id}', 'acme', '{id}', '{}', '{status}', 'wav', 'secret/place', 5000000, '{{}}', 5000000, 5000000)", ann.id
            )).await.unwrap();
        }
        let path = format!("/recordings/{id}");
        let read = desk.app.get(&path, &ann.token).await.expect(200);
        let model: CallRecording = serde_json::from_value(read.body.clone()).unwrap();
        assert!(model.may_delete() && !read.body.to_string().contains("secret/place"));
        desk.app.get(&path, &desk.agent).await.expect(404);
        desk.app.get(&path, &desk.other).await.expect(404);
        let log = "SELECT CONCAT(action, ' ', actor_id) FROM audit_logs WHERE object_type = 'recordings' ORDER BY sequence";
        assert_eq!(desk.app.test.texts(log).await, [format!("recordings.read {}", ann.id)]);
        desk.app.patch(&path, &desk.supervisor, json!({"legal_hold": true})).await.expect(403);
        desk.app.patch(&path, &desk.admin, json!({"legal_hold": true})).await.expect(200);
        assert_eq!(desk.app.delete(&path, &desk.admin).await.expect(409).body["code"], "legal-hold");
        assert_eq!(desk.app.delete(&format!("/recordings/{live}"), &desk.admin).await.expect(409).body["code"], "still-recording");
        let bad = desk.app.patch(&path, &desk.admin, json!({"legal_hold": 1, "status": "deleted"})).await.expect(422);
        assert_eq!(bad.pointers(), ["/legal_hold", "/status"]);
        desk.app.patch(&path, &desk.admin, json!({"legal_hold": false})).await.expect(200);
        desk.app.delete(&path, &desk.admin).await.expect(204);
        desk.app.get(&path, &desk.admin).await.expect(404);
        assert_eq!(desk.app.get("/recordings?legal_hold=false", &desk.viewer).await.expect(200).body["data"].as_array().unwrap().len(), 1);
        assert_eq!(desk.app.test.number("SELECT COUNT(*) FROM call_recordings").await, 2);
    }
}
