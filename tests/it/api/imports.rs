//! Contacts as files: read in and out, once, after a crash too; duplicates and merges; names on the call path.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use hookswitch::base::role::Role;
use hookswitch::base::shutdown;
use hookswitch::config::limits::contacts as limits;
use hookswitch::contacts::import::{Import, Importer};
use hookswitch::contacts::{Contact, Named};
use serde_json::{Value, json};

use super::app::{Answer, TestApp};
use crate::support::both_databases;

fn importer(app: &TestApp) -> Importer {
    Importer {
        db: app.test.db.clone(),
        clock: app.clock.clone(),
        ids: app.gate.ids.clone(),
        names: app.gate.routing.names.clone(),
        events: Arc::clone(&app.gate.events),
        data_dir: app.test.folder().to_owned(),
    }
}

async fn send(app: &TestApp, token: &str, query: &str, csv: &str) -> Answer {
    let request = Request::post(format!("/api/v1/contacts/import{query}"))
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "text/csv; charset=utf-8")
        .body(Body::from(csv.to_owned()))
        .unwrap();
    app.send(request).await
}

async fn all(app: &TestApp, token: &str) -> Vec<Contact> {
    let page = app.get("/contacts?limit=200&sort=created_at", token).await.expect(200);
    serde_json::from_value(page.body["data"].clone()).unwrap()
}

both_databases! {
    /// Lines make contacts or change those they mean; each fault is told with line and field.
    async fn a_file_is_read_in(test) {
        let app = TestApp::new(test).await;
        app.tenant("acme").await;
        app.tenant("globex").await;
        let boss = app.token(Role::Supervisor, "acme").await;
        let (agent, other) = (app.token(Role::Agent, "acme").await, app.token(Role::TenantAdmin, "globex").await);
        send(&app, &agent, "", "email\na@x.test\n").await.expect(403);
        assert_eq!(send(&app, &boss, "", "email,nonsense\n").await.expect(422).pointers(), ["line 1 nonsense"]);
        send(&app, &boss, "?region=XX", "email\n").await.expect(400);
        let known = app.post("/contacts", &boss, json!({"first_name": "Ada", "phone": "+4930123456", "phones": ["+4930999999"], "notes": "old"})).await.expect(201);
        app.post("/contacts", &other, json!({"first_name": "Foreign", "email": "bob@x.test"})).await.expect(201);
        let csv = "external_id;first_name;phone;email;tags;notes\n\
                   7;Augusta;030 99 99 99;;vip;\n\
                   8;Bob;;BOB@x.test;vip|new;\n\
                   9;Bad;12;nobody;;\n\
                   8;Bobby;;;;x\n\
                   10;Other;'+4930123456;;;\n\
                   ;;;;;only notes\n";
        let sent = send(&app, &boss, "?region=de&file_name=a.csv", csv).await.expect(202);
        let path = format!("/imports/{}", sent.id());
        assert_eq!(sent.header("location"), format!("/api/v1{path}"));
        assert_eq!((&sent.body["status"], &sent.body["total"]), (&json!("queued"), &json!(6)));
        let (_stopper, stopping) = shutdown::channel();
        assert_eq!(importer(&app).work(&stopping).await.unwrap(), 1);
        let done: Import = serde_json::from_value(app.get(&path, &boss).await.expect(200).body).unwrap();
        assert_eq!((done.done, done.created_count, done.updated_count, done.failed_count), (6, 2, 2, 2));
        let wrong: Vec<_> = done.report.iter().map(|w| (w.line, w.field.as_str())).collect();
        assert_eq!(wrong, [(4, "phone"), (4, "email"), (7, "")]);
        assert_eq!((done.status.as_str(), done.finished_at.is_some()), ("done", true));
        let contacts = all(&app, &boss).await;
        // By its further number; its first number is now the file's. Another id outside: another contact.
        let ada = contacts.iter().find(|c| c.id.as_str() == known.id()).unwrap();
        assert_eq!((ada.first_name.as_deref(), ada.external_id.as_deref(), ada.notes.as_deref()), (Some("Augusta"), Some("7"), Some("old")));
        assert_eq!((ada.phone.as_ref().unwrap().as_str(), ada.tags.len()), ("+4930999999", 1));
        let bob = contacts.iter().find(|c| c.external_id.as_deref() == Some("8")).unwrap();
        assert_eq!((bob.display_name().as_str(), bob.email.as_deref(), bob.tags.len()), ("Bobby", Some("bob@x.test"), 2));
        assert_eq!(contacts.iter().filter(|c| c.external_id.as_deref() == Some("10")).count(), 1);
        assert_eq!(contacts.len(), 3);
        assert_eq!(all(&app, &other).await.len(), 1);
        app.get(&path, &other).await.expect(404);
        app.get(&path, &agent).await.expect(403);
        let lines = app.test.number("SELECT COUNT(*) FROM audit_logs WHERE action = 'contacts.import'").await;
        assert_eq!((lines, importer(&app).work(&stopping).await.unwrap()), (1, 0));
        assert_eq!(std::fs::read_dir(app.test.folder().join("imports")).unwrap().count(), 0);
    }

    /// Killed between two batches, it goes on behind the last line that is in; nothing comes twice.
    async fn a_crash_loses_and_doubles_nothing(test) {
        let app = TestApp::new(test).await;
        app.tenant("acme").await;
        let boss = app.token(Role::Supervisor, "acme").await;
        let lines = limits::IMPORT_BATCH * 2 + 50;
        let csv: String = (0..lines).map(|n| format!("Name{n}\n")).collect();
        let sent = send(&app, &boss, "", &format!("first_name\n{csv}")).await.expect(202);
        let path = format!("/imports/{}", sent.id());
        let (_keep, stopping) = shutdown::channel();
        let first = tokio::spawn({
            let (importer, stopping) = (importer(&app), stopping.clone());
            async move { importer.work(&stopping).await }
        });
        // Cut off at whatever point it is, as by a kill.
        crate::support::eventually("the first batch is in", || async {
            (app.test.number("SELECT done FROM imports").await > 0).then_some(())
        })
        .await;
        first.abort();
        let _ = first.await;
        let cut = app.get(&path, &boss).await.expect(200);
        assert!(cut.body["status"] != "queued", "{:?}", cut.body);
        importer(&app).work(&stopping).await.unwrap();
        let done: Import = serde_json::from_value(app.get(&path, &boss).await.expect(200).body).unwrap();
        assert_eq!((done.status.as_str(), done.created_count as i64, done.failed_count), ("done", lines, 0));
        assert_eq!(app.test.number("SELECT COUNT(*) FROM contacts").await, lines);
        assert_eq!(app.test.number("SELECT COUNT(DISTINCT first_name) FROM contacts").await, lines);
        // A file whose request failed has no row: it stays for as long as the request could take, and goes.
        let orphan = app.test.folder().join("imports").join(format!("acme.{}..csv", app.gate.ids.next()));
        std::fs::write(&orphan, "first_name\nGhost\n").unwrap();
        importer(&app).work(&stopping).await.unwrap();
        assert!(orphan.exists());
        app.wait(limits::IMPORT_WITHOUT_ROW_TIME + Duration::from_secs(1));
        importer(&app).work(&stopping).await.unwrap();
        assert!(!orphan.exists());
        assert_eq!(app.test.number("SELECT COUNT(*) FROM contacts").await, lines);
    }

    /// What comes out goes in again, and no cell is a formula.
    async fn an_export_comes_back(test) {
        let app = TestApp::new(test).await;
        app.tenant("acme").await;
        app.tenant("globex").await;
        let boss = app.token(Role::Supervisor, "acme").await;
        let (agent, other) = (app.token(Role::Agent, "acme").await, app.token(Role::TenantAdmin, "globex").await);
        let tag = app.post("/tags", &boss, json!({"name": "vip"})).await.expect(201).id();
        for n in 0..limits::EXPORT_PAGE + 3 {
            let (id, now) = (app.gate.ids.next(), app.clock.now_us());
            let sql = format!("INSERT INTO contacts (id, tenant_id, first_name, notes, metadata, created_at, updated_at) VALUES ('{id}', 'acme', 'N{n}', '', '{{}}', {now}, {now})");
            app.test.execute(&sql).await.unwrap();
        }
        app.wait(Duration::from_secs(1));
        let body = json!({"first_name": "=HYPERLINK(\"http://evil.test\")", "company": "@cmd", "notes": "two\nlines, \"quoted\"",
            "phone": "+15557770001", "phones": ["+15557770002"], "tags": [tag], "external_id": "-5"});
        app.post("/contacts", &boss, body).await.expect(201);
        app.get("/contacts/export", &agent).await.expect(403);
        let whole = app.get("/contacts/export", &boss).await.expect(200);
        assert_eq!((whole.header("content-type"), whole.header("content-disposition")), ("text/csv; charset=utf-8", "attachment; filename=\"contacts.csv\""));
        let Value::String(text) = &whole.body else { panic!("{:?}", whole.body) };
        let rows: Vec<csv::StringRecord> = csv::Reader::from_reader(text.as_bytes()).records().map(Result::unwrap).collect();
        assert_eq!(rows.len(), limits::EXPORT_PAGE + 4);
        assert!(rows.iter().flat_map(|row| row.iter()).all(|cell| !cell.starts_with(['=', '+', '-', '@'])));
        let part = app.get("/contacts/export?created_at_from=2026-11-23T10:00:01Z", &boss).await.expect(200);
        let Value::String(part) = part.body else { panic!("no text") };
        send(&app, &other, "", &part).await.expect(202);
        let (_keep, stopping) = shutdown::channel();
        importer(&app).work(&stopping).await.unwrap();
        let back = all(&app, &other).await;
        assert_eq!(back.len(), 1);
        assert_eq!((back[0].first_name.as_deref(), back[0].company.as_deref(), back[0].external_id.as_deref()), (Some("=HYPERLINK(\"http://evil.test\")"), Some("@cmd"), Some("-5")));
        assert_eq!((back[0].notes.as_deref(), back[0].phones.len(), back[0].tags.len()), (Some("two\nlines, \"quoted\""), 1, 1));
        assert_ne!(back[0].tags[0], tag, "a tag of the tenant's own");
        assert_eq!(app.test.number("SELECT COUNT(*) FROM audit_logs WHERE action = 'contacts.export' AND tenant_id = 'acme'").await, 2);
    }

    /// Two contacts become one, and everything that named the other names the kept one.
    async fn two_contacts_become_one(test) {
        let app = TestApp::new(test).await;
        app.tenant("acme").await;
        app.tenant("globex").await;
        let boss = app.token(Role::Supervisor, "acme").await;
        let (agent, other) = (app.token(Role::Agent, "acme").await, app.token(Role::TenantAdmin, "globex").await);
        let tags = [app.post("/tags", &boss, json!({"name": "a"})).await.id(), app.post("/tags", &boss, json!({"name": "b"})).await.id()];
        let one = app.post("/contacts", &boss, json!({"first_name": "Ada", "phone": "+15557770001", "tags": [tags[0]], "notes": "x", "metadata": {"k": 1}})).await.id();
        let two = app.post("/contacts", &boss, json!({"first_name": "A.", "company": "Engines", "email": "ada@x.test", "phone": "+15557770002", "phones": ["+15557770001"], "tags": tags, "notes": "y", "metadata": {"k": 2, "l": 3}})).await.id();
        let foreign = app.post("/contacts", &other, json!({"first_name": "F", "phone": "+15557770001"})).await.id();
        let found = app.get("/contacts/duplicates", &agent).await.expect(200);
        assert_eq!(found.body["data"], json!([{"by": "phone", "value": "+15557770001", "ids": [one, two]}]));
        let ticket = app.post("/tickets", &agent, json!({"subject": "x", "contact_id": two})).await.expect(201).id();
        let path = format!("/contacts/{one}/merge");
        app.post(&path, &agent, json!({"other_id": two})).await.expect(403);
        app.post(&path, &other, json!({"other_id": foreign})).await.expect(404);
        for bad in [&foreign, &one] {
            assert_eq!(app.post(&path, &boss, json!({"other_id": bad})).await.expect(422).pointers(), ["/other_id"]);
        }
        let kept = app.post(&path, &boss, json!({"other_id": two})).await.expect(200);
        let model: Contact = serde_json::from_value(kept.body.clone()).unwrap();
        assert_eq!((model.first_name.as_deref(), model.company.as_deref(), model.email.as_deref()), (Some("Ada"), Some("Engines"), Some("ada@x.test")));
        assert_eq!((kept.body["phones"].clone(), kept.body["metadata"].clone()), (json!(["+15557770002"]), json!({"k": 1, "l": 3})));
        assert_eq!((kept.body["notes"].as_str(), model.tags.len()), (Some("x\n\ny"), 2));
        app.get(&format!("/contacts/{two}"), &boss).await.expect(404);
        assert_eq!(app.get(&format!("/tickets/{ticket}"), &agent).await.body["contact_id"], json!(one));
        assert_eq!(app.get("/contacts/duplicates", &agent).await.expect(200).body["data"], json!([]));
        let lines = app.test.texts("SELECT action FROM audit_logs WHERE tenant_id = 'acme' AND object_type = 'contacts' ORDER BY sequence").await;
        assert_eq!(lines, ["contacts.create", "contacts.create", "contacts.merge", "contacts.delete"]);
    }

    /// A name is warm after the first call, changes with the contact at once, and is the tenant's own.
    async fn names_follow_the_contacts(test) {
        let app = TestApp::new(test).await;
        let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
        let boss = app.token(Role::Supervisor, "acme").await;
        let names = app.gate.routing.names.clone();
        let known = |name: &str| Named::Known(Arc::from(name));
        assert_eq!(names.of(&acme, "anonymous").await, Named::Withheld);
        assert_eq!(names.of(&acme, "+15557770001").await, Named::Nobody);
        let made = app.post("/contacts", &boss, json!({"first_name": "Ada", "phone": "+15557770001", "phones": ["+15557770002"]})).await.expect(201);
        let path = format!("/contacts/{}", made.id());
        for caller in ["+15557770001", "15557770001", "0015557770002"] {
            assert_eq!(names.of(&acme, caller).await, known("Ada"), "{caller}");
        }
        assert_eq!(names.of(&globex, "+15557770001").await, Named::Nobody);
        // Warm: what changes behind our back is not seen yet.
        app.test.execute("UPDATE contacts SET first_name = 'Eve'").await.unwrap();
        assert_eq!(names.of(&acme, "+15557770001").await, known("Ada"));
        app.patch(&path, &boss, json!({"first_name": "Augusta", "last_name": "King, Countess", "phones": []})).await.expect(200);
        assert_eq!(names.of(&acme, "+15557770001").await, known("Augusta King Countess"));
        assert_eq!(names.of(&acme, "+15557770002").await, Named::Nobody);
        let two = app.post("/contacts", &boss, json!({"company": "Engines", "phone": "+15557770002"})).await.expect(201);
        assert_eq!(names.of(&acme, "+15557770002").await, known("Engines"));
        app.post(&format!("{path}/merge"), &boss, json!({"other_id": two.id()})).await.expect(200);
        assert_eq!(names.of(&acme, "+15557770002").await, known("Augusta King Countess"));
        app.delete(&path, &boss).await.expect(204);
        assert_eq!(names.of(&acme, "+15557770001").await, Named::Nobody);
        send(&app, &boss, "", "company,phone\nImported,'+15557770001\n").await.expect(202);
        let (_keep, stopping) = shutdown::channel();
        importer(&app).work(&stopping).await.unwrap();
        assert_eq!(names.of(&acme, "+15557770001").await, known("Imported"));
        // A failed change forgets nothing it should not, and a database that is gone delays nobody for long.
        app.test.db.close().await;
        assert_eq!(names.of(&acme, "+15557770001").await, known("Imported"));
        assert_eq!(names.of(&acme, "+15557770099").await, Named::Late);
    }
}
