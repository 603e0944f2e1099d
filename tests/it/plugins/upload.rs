//! A file becomes a version, or is refused with what to change.

use serde_json::json;

use super::{World, wasm};
use crate::api::app::TestApp;
use crate::support::both_databases;

both_databases! {
    /// Numbers count without gaps; the same file is the same version; what is uploaded can be loaded down.
    async fn versions_are_numbered_and_stay(test) {
        let w = World::new(test).await;
        let path = w.router("vip-router", json!({})).await;
        let first = w.upload(&path, wasm::to_queue("support")).await.expect(201);
        let second = w.upload(&path, wasm::to_queue("sales")).await.expect(201);
        assert_eq!((&first.body["number"], &second.body["number"]), (&json!(1), &json!(2)));
        assert_eq!(first.header("location"), format!("/api/v1{path}/versions/1"));
        assert_eq!((&first.body["language"], &first.body["asked"]), (&json!("component"), &json!([])));
        let again = w.upload(&path, wasm::to_queue("support")).await.expect(200);
        assert_eq!(again.body, first.body);
        // Refused files take no number.
        w.upload(&path, b"nonsense".to_vec()).await.expect(422);
        let third = w.upload(&path, wasm::passes("x")).await.expect(201);
        assert_eq!(third.body["number"], 3);
        let list = w.get(&format!("{path}/versions?sort=number")).await.expect(200);
        let numbers: Vec<_> = list.body["data"].as_array().unwrap().iter().map(|v| v["number"].clone()).collect();
        assert_eq!(numbers, [json!(1), json!(2), json!(3)]);
        for name in ["2".to_owned(), second.id()] {
            assert_eq!(w.get(&format!("{path}/versions/{name}")).await.expect(200).body, second.body);
        }
        w.get(&format!("{path}/versions/4")).await.expect(404);
        let source = w.get(&format!("{path}/versions/1/source")).await.expect(200);
        assert_eq!(source.header("content-type"), "application/wasm");
        assert_eq!(source.header("content-disposition"), "attachment; filename=\"vip-router-1.wasm\"");
        assert_eq!(w.get(&path).await.body["last_version"], 3);
        // Another plugin counts from one.
        let other = w.router("other", json!({})).await;
        assert_eq!(w.upload(&other, wasm::to_queue("support")).await.expect(201).body["number"], 1);
    }

    /// The file that is kept is the one that came, piece by piece.
    async fn a_large_file_comes_back_whole(test) {
        let w = World::new(test).await;
        let path = w.router("large", json!({})).await;
        // A custom section of 2.5 MiB.
        let mut file = wasm::passes("large");
        let filler: Vec<u8> = (0..2_621_440_u32).map(|n| (n % 251) as u8).collect();
        let mut section = vec![6];
        section.extend_from_slice(b"filler");
        section.extend_from_slice(&filler);
        file.push(0);
        let mut length = section.len();
        loop {
            let byte = (length & 0x7f) as u8;
            length >>= 7;
            file.push(if length == 0 { byte } else { byte | 0x80 });
            if length == 0 {
                break;
            }
        }
        file.extend(section);
        let made = w.upload(&path, file.clone()).await.expect(201);
        assert_eq!(made.body["size"], file.len());
        assert_eq!(w.desk.app.test.number("SELECT COUNT(*) FROM plugin_parts").await, 3);
        let id = hookswitch::base::ids::Id::parse(&made.id()).unwrap();
        let kept = hookswitch::plugins::store::source(&w.held.db, &crate::support::tenant("acme"), &id).await;
        assert!(kept.unwrap().unwrap() == file);
    }

    /// Each refusal has its code and says what to change.
    async fn what_can_not_run_is_refused(test) {
        let w = World::new(test).await;
        let path = w.router("vip-router", json!({})).await;
        let whole = wasm::to_queue("support");
        let core = wat::parse_str("(module)").unwrap();
        let wasi = wasm::bare(r#"(component (import "wasi:cli/environment@0.2.0" (instance
            (export "get-arguments" (func (result (list string)))))))"#);
        let later = wasm::bare(r#"(component (import "hookswitch:plugin/settings@2.0.0" (instance
            (export "get" (func (param "name" string) (result (option string)))))))"#);
        for (file, code, says) in [
            (whole[..whole.len() / 2].to_vec(), "malformed", "no whole WebAssembly"),
            (b"nonsense".to_vec(), "malformed", "no whole WebAssembly"),
            (core, "not-a-component", "hookswitch plugin build"),
            (wasi, "wrong-import", "use log for output and settings"),
            (later, "wrong-import", "this service has 1.0.0"),
            (wasm::bare("(component)"), "no-export", "route-call"),
            (wasm::idle_ticketer(), "no-export", "it is a ticketer"),
            (wasm::dies_at_start(), "not-loadable", "panic"),
        ] {
            let answer = w.upload(&path, file).await.expect(422);
            assert_eq!(answer.code(), code, "{:#}", answer.body);
            assert!(answer.text("detail").contains(says), "{says}: {:#}", answer.body);
        }
        let script = b"export function routeCall() {}".to_vec();
        let answer = w.upload_as(&path, &w.token(), "text/javascript", script).await.expect(422);
        assert_eq!(answer.code(), "no-javascript");
        w.upload_as(&path, &w.token(), "text/plain", vec![1]).await.expect(415);
        let most = hookswitch::config::limits::plugins::SCRIPT_BYTES;
        let long = vec![b'/'; most + 1];
        assert_eq!(w.upload_as(&path, &w.token(), "text/javascript", long).await.expect(413).code(), "too-large");
        let most = hookswitch::config::limits::plugins::COMPONENT_BYTES;
        assert_eq!(w.upload(&path, vec![0; most + 1]).await.expect(413).code(), "too-large");
        assert_eq!(w.get(&path).await.body["last_version"], 0);
        assert_eq!(w.desk.app.test.number("SELECT COUNT(*) FROM plugin_versions").await, 0);
    }

    /// A missing grant is named, with whose it is to give.
    async fn grants_are_the_tenants_and_the_operators(test) {
        let w = World::new(test).await;
        let path = w.router("keeper", json!({"grants": ["contacts"]})).await;
        let answer = w.upload(&path, wasm::wants_kv()).await.expect(422);
        assert_eq!(answer.code(), "grant-missing");
        assert_eq!(answer.pointers(), ["/grants"]);
        assert!(answer.body["errors"][0]["detail"].as_str().unwrap().starts_with("kv: add it"), "{:#}", answer.body);
        w.desk.app.patch(&path, &w.token(), json!({"grants": ["contacts", "kv"]})).await.expect(200);
        let made = w.upload(&path, wasm::wants_kv()).await.expect(201);
        assert_eq!(made.body["asked"], json!(["kv", "contacts"]));
        // Taken away again, it can't be activated.
        w.desk.app.patch(&path, &w.token(), json!({"grants": []})).await.expect(200);
        let answer = w.act(&format!("{path}/versions/1/activate")).await.expect(422);
        assert_eq!((answer.code(), answer.body["errors"].as_array().unwrap().len()), ("grant-missing", 2));
        let wrong = json!({"name": "x", "kind": "router", "grants": ["everything"], "http_hosts": ["http://a"],
            "events": ["call.*"], "settings": {"a": 1}});
        let answer = w.post("/plugins", wrong).await.expect(422);
        assert_eq!(answer.pointers(), ["/settings/a", "/grants/0", "/http_hosts/0"]);
        let answer = w.post("/plugins", json!({"name": "x", "kind": "router", "events": ["call.*"]})).await.expect(422);
        assert_eq!(answer.pointers(), ["/events"]);
    }

    /// A key makes an upload happen once.
    async fn an_upload_is_done_once(test) {
        let w = World::new(test).await;
        let path = w.router("once", json!({})).await;
        let request = || {
            axum::http::Request::post(format!("/api/v1{path}/versions?note=first"))
                .header("authorization", format!("Bearer {}", w.token()))
                .header("content-type", "application/wasm")
                .header("idempotency-key", "k1")
                .body(axum::body::Body::from(wasm::passes("once")))
                .unwrap()
        };
        let first = w.desk.app.send(request()).await.expect(201);
        let again = w.desk.app.send(request()).await.expect(201);
        assert_eq!((first.body.clone(), again.header("idempotency-replayed")), (again.body.clone(), "true"));
        assert_eq!(first.body["note"], "first");
    }
}

/// What the operator does not allow, no tenant can.
#[test]
fn the_operator_has_the_last_word() {
    crate::support::run(crate::support::Kind::Sqlite, |test| async move {
        let app = TestApp::with(test, false, &[("HOOKSWITCH_PLUGINS__GRANTS", "contacts,http")]);
        let w = World::over(app).await;
        let path = w.router("keeper", json!({"grants": ["contacts", "kv"]})).await;
        let answer = w.upload(&path, wasm::wants_kv()).await.expect(422);
        assert_eq!(answer.code(), "grant-missing");
        assert!(
            answer.body["errors"][0]["detail"].as_str().unwrap().starts_with("kv: the operator"),
            "{:#}",
            answer.body
        );
    });
}
