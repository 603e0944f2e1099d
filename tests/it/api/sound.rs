//! Recordings: from the decision over Asterisk's file to the bytes behind a signed URL.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use hookswitch::base::hex::hex;
use hookswitch::base::ids::Id;
use hookswitch::base::role::Role;
use hookswitch::calls::recordings::{Recorder, Sounds};
use hookswitch::calls::{Ended, retention};
use hookswitch::routing::types::Inputs;
use hookswitch::routing::{CallIds, Mode};
use hookswitch::storage::Storage;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::calls::{Drain, NODE, began_recorded, end, ended};
use super::telephony::Desk;
use crate::support::both_databases;
use crate::world::CALLER;

/// A WAV file as Asterisk closes it: a second of something.
pub(crate) fn wav(seed: u8) -> Vec<u8> {
    let sound: Vec<u8> = (0..16_000_u32).map(|n| seed.wrapping_add(n as u8)).collect();
    let mut file = Vec::from(*b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0");
    file.extend_from_slice(&8_000_u32.to_le_bytes());
    file.extend_from_slice(&16_000_u32.to_le_bytes());
    file.extend_from_slice(b"\x02\0\x10\0data");
    file.extend_from_slice(&16_000_u32.to_le_bytes());
    file.extend_from_slice(&sound);
    file
}

pub(crate) struct Studio {
    pub(crate) desk: Desk,
    drain: Drain,
    pub(crate) recorder: Recorder,
    monitor: PathBuf,
}

impl Studio {
    pub(crate) async fn new(test: Arc<crate::support::TestDb>) -> Self {
        let monitor = test.folder().join("spool/monitor");
        std::fs::create_dir_all(&monitor).unwrap();
        let desk = Desk::new(test).await;
        let mut drain = Drain::new(&desk);
        drain.sink.sounds = Sounds { kept: true, ..Sounds::default() };
        let gate = &desk.app.gate;
        let recorder = Recorder {
            db: gate.db.clone(),
            clock: gate.clock.clone(),
            ids: gate.ids.clone(),
            events: Arc::clone(&gate.events),
            storage: desk.app.storage.clone(),
            spool: desk.app.test.folder().join("spool"),
            node: Id::parse(NODE).unwrap(),
        };
        Self { desk, drain, recorder, monitor }
    }

    /// A recorded call that is over, with a file of these bytes.
    pub(crate) async fn call(&mut self, owner: &str, file: Option<&[u8]>) -> Id {
        let id = self.desk.app.gate.ids.next();
        let over = Ended { at_us: self.desk.app.clock.now_us(), ..end(&id) };
        let target = format!("{owner}-support");
        self.drain.apply(vec![began_recorded(&id, owner, "queue", &target), ended(over)]).await;
        if let Some(bytes) = file {
            std::fs::write(self.file(&id), bytes).unwrap();
        }
        id
    }

    fn file(&self, id: &Id) -> PathBuf {
        self.monitor.join(format!("{id}.wav"))
    }

    pub(crate) async fn show(&self, id: &Id) -> Value {
        self.desk.app.get(&format!("/recordings/{id}"), &self.desk.admin).await.expect(200).body
    }

    pub(crate) async fn url(&self, id: &Id) -> String {
        self.desk.app.get(&format!("/recordings/{id}/url"), &self.desk.admin).await.expect(200).text("url")
    }

    /// Status, headers and bytes behind a URL.
    pub(crate) async fn hear(
        &self,
        url: &str,
        headers: &[(&str, &str)],
    ) -> (u16, axum::http::HeaderMap, Vec<u8>) {
        use tower::ServiceExt;
        let mut request = Request::builder().uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        let (parts, body) = self.desk.app.routes.clone().oneshot(request).await.unwrap().into_parts();
        let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        (parts.status.as_u16(), parts.headers, bytes.to_vec())
    }

    pub(crate) async fn events(&self, kind: &str) -> i64 {
        self.desk.app.test.number(&format!("SELECT COUNT(*) FROM events WHERE kind = '{kind}'")).await
    }
}

/// Whether a call to a number is recorded now, and what is said before.
async fn decided(desk: &Desk, dialled: &str, from: &str) -> (bool, String) {
    let router = &desk.app.gate.routing;
    let call = CallIds { id: router.ids.next(), uniqueid: "1.1".into(), linkedid: "1.1".into() };
    let inputs = Inputs {
        at_us: desk.app.clock.now_us(),
        dialled: dialled.into(),
        caller: CALLER.into(),
        from_endpoint: from.into(),
        ..Inputs::default()
    };
    let trace = match from {
        "" => router.route(&call, inputs, Mode::Live).await,
        _ => router.internal(&call.id, inputs, Mode::Live).await,
    };
    router.live.remove(&call.id);
    (trace.decision.record, trace.decision.announcement.map(|sound| sound.to_string()).unwrap_or_default())
}

both_databases! {
    /// A number, a queue or an endpoint has its calls recorded; the queue's announcement goes before the tenant's.
    async fn a_place_says_whether_it_is_recorded(test) {
        let desk = Desk::new(test).await;
        desk.furnish().await;
        let (queue, phone) = ("+15550001000", "+15550001001");
        desk.make("/dids", json!({"number": queue, "route_type": "queue", "route_target": "support"})).await;
        desk.make("/dids", json!({"number": phone, "route_type": "endpoint", "route_target": "101"})).await;
        desk.make("/endpoints", json!({"name": "102", "record": true})).await;
        let said = |recorded: bool, sound: &str| (recorded, sound.to_owned());
        assert_eq!(decided(&desk, queue, "").await, said(false, ""));
        let only = async |path: &str| {
            let list = desk.app.get(path, &desk.admin).await.expect(200);
            format!("{path}/{}", list.body["data"].as_array().unwrap().last().unwrap()["id"].as_str().unwrap())
        };
        let change = async |path: &str, given: Value| { desk.app.patch(path, &desk.admin, given).await.expect(200); };
        change(&only("/queues").await, json!({"record": true})).await;
        change("/tenants/acme", json!({"recording_announcement": "custom/recorded"})).await;
        assert_eq!(decided(&desk, queue, "").await, said(true, "custom/recorded"));
        change(&only("/queues").await, json!({"recording_announcement": "custom/support"})).await;
        assert_eq!(decided(&desk, queue, "").await, said(true, "custom/support"));
        assert!(!decided(&desk, phone, "").await.0);
        assert!(!decided(&desk, "101", "acme-101").await.0);
        assert_eq!(decided(&desk, "101", "acme-102").await, said(true, "custom/recorded"));
        assert_eq!(decided(&desk, "700", "acme-101").await, said(true, "custom/support"));
        desk.app.patch("/tenants/acme", &desk.admin, json!({"recording_announcement": "../x"})).await.expect(422);
    }

    /// The row is there when the call is decided; the file is taken once Asterisk has closed it, told once, and removed.
    async fn a_recording_goes_into_the_store_once(test) {
        let mut studio = Studio::new(test).await;
        let whole = wav(1);
        let id = studio.call("acme", Some(&whole[..9_000])).await;
        let row = studio.show(&id).await;
        assert_eq!((&row["status"], &row["queue"], &row["call_id"]), (&json!("recording"), &json!("support"), &json!(id.as_str())));
        studio.desk.app.get(&format!("/recordings/{id}/url"), &studio.desk.admin).await.expect(409);
        assert!(studio.recorder.round().await.unwrap(), "it is not closed yet");
        assert_eq!(studio.show(&id).await["status"], "recording");

        std::fs::write(studio.file(&id), &whole).unwrap();
        studio.desk.app.wait(Duration::from_secs(2));
        assert!(!studio.recorder.round().await.unwrap());
        let row = studio.show(&id).await;
        let told = (&row["status"], &row["sha256"], &row["bytes"], &row["duration_ms"]);
        assert_eq!(told, (&json!("completed"), &json!(hex(&Sha256::digest(&whole))), &json!(16_044), &json!(1_000)));
        assert!(!studio.file(&id).exists());
        let cdr = studio.desk.app.get(&format!("/cdrs/{id}"), &studio.desk.admin).await.expect(200);
        assert_eq!(cdr.body["recording_id"], id.as_str());
        assert_eq!(studio.events("call.recording.ready").await, 1);

        // A process that died behind the write: its file is found again, and nothing is told twice.
        std::fs::write(studio.file(&id), &whole).unwrap();
        let (stop, stopping) = hookswitch::base::shutdown::channel();
        let ended = studio.drain.sink.sounds.ended.subscribe();
        let running = tokio::spawn(studio.recorder.clone().run(ended, stopping));
        crate::support::eventually("the file to be removed", async || (!studio.file(&id).exists()).then_some(())).await;
        stop.stop();
        running.await.unwrap();
        assert_eq!(studio.events("call.recording.ready").await, 1);
        let (status, _, bytes) = studio.hear(&studio.url(&id).await, &[]).await;
        assert_eq!((status, bytes), (200, whole));
    }

    /// No file, nobody who talked, a store that is away, a tenant without room: each says what it is.
    async fn what_fails_says_why(test) {
        let mut studio = Studio::new(test).await;
        let lost = studio.call("acme", None).await;
        assert!(studio.recorder.round().await.unwrap());
        studio.desk.app.wait(Duration::from_secs(30));
        assert!(!studio.recorder.round().await.unwrap());
        let row = studio.show(&lost).await;
        assert_eq!((&row["status"], &row["error"]), (&json!("failed"), &json!("Asterisk left no recording.")));
        assert_eq!(studio.events("call.recording.failed").await, 1);

        // The store's folder is a file: nothing can be written there.
        let settings = |folder: &str| hookswitch::storage::StorageSettings {
            folder: studio.desk.app.test.folder().join(folder), ..Default::default()
        };
        let away = Storage::open(&settings("away")).unwrap();
        std::fs::remove_dir(studio.desk.app.test.folder().join("away")).unwrap();
        std::fs::write(studio.desk.app.test.folder().join("away"), "no folder").unwrap();
        let working = std::mem::replace(&mut studio.recorder.storage, away);
        let waits = studio.call("acme", Some(&wav(2))).await;
        assert!(studio.recorder.round().await.unwrap());
        let row = studio.show(&waits).await;
        assert_eq!(row["status"], "recording");
        assert!(row["error"].as_str().unwrap().contains("store"), "{row}");
        studio.recorder.storage = working;
        studio.desk.app.wait(Duration::from_secs(5));
        assert!(!studio.recorder.round().await.unwrap());
        let row = studio.show(&waits).await;
        assert_eq!((&row["status"], &row["error"]), (&json!("completed"), &Value::Null));

        // Another tenant has room.
        studio.desk.app.test.execute("UPDATE tenants SET max_storage_mib = 1 WHERE id = 'acme'").await.unwrap();
        studio.desk.app.test.execute("UPDATE call_recordings SET bytes = 1048000 WHERE status = 'completed'").await.unwrap();
        let full = studio.call("acme", Some(&wav(3))).await;
        let beside = studio.call("globex", Some(&wav(4))).await;
        assert!(!studio.recorder.round().await.unwrap());
        let row = studio.show(&full).await;
        assert!(row["status"] == "failed" && row["error"].as_str().unwrap().contains("max_storage_mib"), "{row}");
        let row = studio.desk.app.get(&format!("/recordings/{beside}"), &studio.desk.other).await.expect(200);
        assert_eq!(row.body["status"], "completed");
        studio.desk.app.get(&format!("/recordings/{beside}"), &studio.desk.admin).await.expect(404);
    }

    /// What a tenant no longer keeps goes, row, then sound; what is under legal hold stays; nobody else loses anything.
    async fn recordings_end_with_their_time(test) {
        let mut studio = Studio::new(test).await;
        let (old, held) = (studio.call("acme", Some(&wav(1))).await, studio.call("acme", Some(&wav(2))).await);
        let beside = studio.call("globex", Some(&wav(3))).await;
        assert!(!studio.recorder.round().await.unwrap());
        assert_eq!(studio.recorder.expire().await.unwrap(), 0, "nobody said for how long");
        let admin = studio.desk.admin.clone();
        studio.desk.app.patch("/tenants/acme", &admin, json!({"recording_days": 0})).await.expect(422);
        studio.desk.app.patch("/tenants/acme", &admin, json!({"recording_days": 7})).await.expect(200);
        studio.desk.app.patch(&format!("/recordings/{held}"), &admin, json!({"legal_hold": true})).await.expect(200);
        // Those of these tests began long ago.
        assert_eq!(studio.recorder.expire().await.unwrap(), 1);
        let row = studio.show(&old).await;
        assert_eq!((&row["status"], row["sha256"].is_null()), (&json!("deleted"), false));
        studio.desk.app.get(&format!("/recordings/{old}/url"), &admin).await.expect(409);
        let files = || std::fs::read_dir(studio.desk.app.test.folder().join("sounds/acme/recordings")).unwrap().count();
        assert_eq!(files(), 2, "a process that dies here leaves the sound to the next");
        let gate = &studio.desk.app.gate;
        let removed = retention::remove_sounds(&gate.db, &gate.clock, &studio.desk.app.storage).await.unwrap();
        assert_eq!((removed, files()), (1, 1));
        assert_eq!(studio.show(&old).await["bytes"], 0);
        assert_eq!(studio.show(&held).await["status"], "completed");
        let row = studio.desk.app.get(&format!("/recordings/{beside}"), &studio.desk.other).await.expect(200).body;
        assert_eq!(row["status"], "completed");
        // Let go, it goes too, by hand.
        studio.desk.app.delete(&format!("/recordings/{held}"), &admin).await.expect(409);
        studio.desk.app.patch(&format!("/recordings/{held}"), &admin, json!({"legal_hold": false})).await.expect(200);
        studio.desk.app.delete(&format!("/recordings/{held}"), &admin).await.expect(204);
        assert_eq!(retention::remove_sounds(&gate.db, &gate.clock, &studio.desk.app.storage).await.unwrap(), 1);
        assert_eq!(files(), 0);
    }

    /// A URL opens what it was made for, in whole and in ranges, until its time is over; asking for one is on record.
    async fn signed_urls_open_one_sound_for_a_while(test) {
        let mut studio = Studio::new(test).await;
        let whole = wav(5);
        let id = studio.call("acme", Some(&whole)).await;
        let foreign = studio.call("globex", Some(&wav(6))).await;
        assert!(!studio.recorder.round().await.unwrap());
        let app = &studio.desk.app;
        app.get(&format!("/recordings/{id}/url"), &studio.desk.viewer).await.expect(200);
        app.get(&format!("/recordings/{id}/url"), &studio.desk.agent).await.expect(404);
        app.get(&format!("/recordings/{foreign}/url"), &studio.desk.admin).await.expect(404);
        app.get(&format!("/recordings/{id}/url"), "").await.expect(401);
        let audited = "SELECT COUNT(*) FROM audit_logs WHERE action = 'recordings.listen' AND tenant_id = 'acme'";
        assert_eq!(app.test.number(audited).await, 1);

        let url = studio.url(&id).await;
        let (status, headers, bytes) = studio.hear(&url, &[]).await;
        assert_eq!((status, &bytes), (200, &whole));
        let header = |headers: &axum::http::HeaderMap, name: &str| headers.get(name).unwrap().to_str().unwrap().to_owned();
        assert_eq!(header(&headers, "content-type"), "audio/wav");
        assert_eq!(header(&headers, "cache-control"), "private, no-store");
        assert_eq!(header(&headers, "content-disposition"), format!("inline; filename=\"{id}.wav\""));
        for (asked, from, to) in [("bytes=0-9", 0, 10), ("bytes=16000-", 16_000, 16_044), ("bytes=-4", 16_040, 16_044), ("bytes=16000-99999", 16_000, 16_044)] {
            let (status, headers, bytes) = studio.hear(&url, &[("range", asked)]).await;
            assert_eq!((status, bytes.as_slice()), (206, &whole[from..to]), "{asked}");
            assert_eq!(header(&headers, "content-range"), format!("bytes {from}-{}/16044", to - 1));
        }
        let (status, headers, _) = studio.hear(&url, &[("range", "bytes=16044-")]).await;
        assert_eq!((status, header(&headers, "content-range")), (416, "bytes */16044".to_owned()));
        assert_eq!(studio.hear(&url, &[("range", "bytes=0-1"), ("if-range", "\"other\"")]).await.0, 200);

        let problem = async |url: &str| {
            let (status, _, bytes) = studio.hear(url, &[]).await;
            let body: Value = serde_json::from_slice(&bytes).unwrap();
            (status, body["code"].as_str().unwrap().to_owned())
        };
        let forged = (403, "link-invalid".to_owned());
        assert_eq!(problem(&url.replace("/acme/", "/globex/")).await, forged);
        assert_eq!(problem(&url.replace(id.as_str(), foreign.as_str())).await, forged);
        assert_eq!(problem(&url.replace("expires=", "expires=9")).await, forged);
        assert_eq!(problem(&url.replace("recordings", "voicemails")).await, forged);
        assert_eq!(problem(&url.replace("&signature", "&download=1&signature")).await, forged);
        assert_eq!(problem("/media/acme/recordings/x").await, forged);
        let download = app.get(&format!("/recordings/{id}/url?download=true"), &studio.desk.admin).await.expect(200).text("url");
        let (_, headers, _) = studio.hear(&download, &[]).await;
        assert!(header(&headers, "content-disposition").starts_with("attachment;"));
        app.wait(Duration::from_secs(900));
        assert_eq!(problem(&url).await, (410, "link-expired".to_owned()));
        let fresh = app.get(&format!("/recordings/{id}/url"), &app.token(Role::TenantAdmin, "acme").await).await.expect(200).text("url");
        assert_eq!(studio.hear(&fresh, &[]).await.0, 200);
        app.delete(&format!("/recordings/{id}"), &app.token(Role::TenantAdmin, "acme").await).await.expect(204);
        assert_eq!(problem(&fresh).await, (404, "no-sound".to_owned()));
    }
}
