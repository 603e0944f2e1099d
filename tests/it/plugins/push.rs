//! The kit against a running service: `hookswitch plugin push` and `hookswitch plugin replay` as programs.

use std::path::PathBuf;

use serde_json::json;

use super::{World, brief, wasm};
use crate::cli::Place;
use crate::support::both_databases;

/// An author at work: a folder, a service that listens, a key.
pub(super) struct Author {
    pub(super) place: Place,
    server: String,
    pub(super) key: String,
}

/// What a command said, and how it ended.
pub(super) struct Said {
    pub(super) code: i32,
    pub(super) text: String,
}

impl Author {
    pub(super) async fn at(w: &World) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let routes = w.desk.app.routes.clone();
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let scopes = ["plugins:read", "plugins:write"];
        let key = json!({"name": "kit", "role": "tenant_admin", "scopes": scopes});
        let key = w.post("/api-keys", key).await.expect(201).text("key");
        Self { place: Place::new(), server, key }
    }

    /// The folder of a plugin whose component is built.
    pub(super) fn folder(&self, manifest: &str, component: Vec<u8>) -> PathBuf {
        let name = manifest.split('"').nth(1).unwrap();
        let folder = self.place.path().join(name);
        std::fs::create_dir_all(folder.join("dist")).unwrap();
        std::fs::write(folder.join("plugin.toml"), manifest).unwrap();
        std::fs::write(folder.join(format!("dist/{name}.wasm")), component).unwrap();
        folder
    }

    /// A command on that folder.
    pub(super) async fn run(&self, arguments: &[&str]) -> Said {
        let env = [("HOOKSWITCH_SERVER", self.server.as_str()), ("HOOKSWITCH_API_KEY", self.key.as_str())];
        // The program blocks a thread, and the service is in this process.
        let output = tokio::task::block_in_place(|| self.place.run(arguments, &env));
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        Said { code: output.status.code().unwrap(), text }
    }
}

impl Said {
    #[track_caller]
    pub(super) fn expect(self, code: i32, parts: &[&str]) -> String {
        assert_eq!(self.code, code, "{}", self.text);
        for part in parts {
            assert!(self.text.contains(part), "{part} is missing in:\n{}", self.text);
        }
        self.text
    }
}

pub(super) const ROUTER: &str = "name = \"greeter\"\nkind = \"router\"\nlanguage = \"rust\"\n\
    grants = [\"contacts\"]\n[settings]\nqueue = \"support\"\nvips = [\"+15557770001\"]\n";

both_databases! {
    /// The first push makes the plugin; the next a version; the same file again makes none.
    async fn a_push_makes_what_is_missing(test) {
        let w = World::new(test).await;
        let author = Author::at(&w).await;
        let folder = author.folder(ROUTER, wasm::to_queue("support"));
        let folder = folder.to_str().unwrap();
        let digest = hookswitch::sandbox::digest(&wasm::to_queue("support"));
        let said = author.run(&["plugin", "push", folder, "--note", "VIPs & more"]).await;
        let said = said.expect(0, &["greeter: made, a router", "greeter@1: uploaded", &digest, "ok; ", "instructions of 50000000"]);
        assert!(!said.contains("is active") && !said.contains(&author.key), "{said}");
        let plugin = w.get("/plugins?name=greeter").await.expect(200).body["data"][0].clone();
        assert_eq!((&plugin["kind"], &plugin["grants"]), (&json!("router"), &json!(["contacts"])));
        assert_eq!(plugin["settings"], json!({"queue": "support", "vips": ["+15557770001"]}));
        let path = format!("/plugins/{}", plugin["id"].as_str().unwrap());
        assert_eq!(w.get(&format!("{path}/versions/1")).await.expect(200).body["note"], "VIPs & more");
        author.run(&["plugin", "push", folder, "--activate"]).await.expect(0, &["has this very file already", "greeter@1 is active"]);
        author.folder(ROUTER, wasm::to_queue("sales"));
        author.run(&["plugin", "push", folder]).await.expect(0, &["greeter@2: uploaded"]);
        assert_eq!(w.get(&path).await.expect(200).body["active_version"], 1);
        w.held.read().await;
        assert_eq!(brief(&w.ask("greeter", "+15557770009").await), "v1 support");
    }

    /// What the service refuses is said as the service says it; what was done before stays.
    async fn a_refusal_is_told_whole(test) {
        let w = World::new(test).await;
        let author = Author::at(&w).await;
        let folder = author.folder(ROUTER, wasm::wants_kv());
        let folder = folder.to_str().unwrap();
        author.run(&["plugin", "push", folder]).await.expect(1, &["422 grant-missing", "/grants: kv: add it to the plugin's grants"]);
        // The tenant's grants stay the tenant's to give.
        author.folder(&ROUTER.replace("\"contacts\"", "\"contacts\", \"kv\""), wasm::to_queue("support"));
        author.run(&["plugin", "push", folder]).await.expect(0, &["the tenant's grants lack kv", "greeter@1: uploaded"]);
        let id = w.get("/plugins?name=greeter").await.expect(200).body["data"][0]["id"].as_str().unwrap().to_owned();
        let example = json!({"name": "sales only", "input": {"call": {}}, "expected": {"outcome": "panic"}});
        w.post(&format!("/plugins/{id}/examples"), example).await.expect(201);
        author.folder(ROUTER, wasm::to_queue("sales"));
        let said = author.run(&["plugin", "push", folder, "--activate"]).await;
        said.expect(1, &["greeter@2: uploaded", "example \"sales only\": FAILS", "409 examples-failed", "sales only: it gave"]);
        assert_eq!(w.get(&format!("/plugins/{id}")).await.expect(200).body["status"], "draft");
        author.run(&["plugin", "push", folder, "--activate", "--force"]).await.expect(0, &["greeter@2 is active"]);
        // A script is sent as it stands, and as what it is; this service has no engine for it.
        let script = author.folder("name = \"script\"\nkind = \"router\"\nlanguage = \"js\"\n", Vec::new());
        std::fs::write(script.join("script.js"), "export function routeCall() {}").unwrap();
        author.run(&["plugin", "push", script.to_str().unwrap()]).await.expect(1, &["script: made", "422 no-javascript"]);
        author.folder(&ROUTER.replace("\"router\"", "\"ticketer\""), wasm::idle_ticketer());
        author.run(&["plugin", "push", folder]).await.expect(1, &["is a router, and plugin.toml says ticketer"]);
    }

    /// The key comes from the environment or a file; without one, or with a wrong one, it is said which.
    async fn a_key_is_needed(test) {
        let w = World::new(test).await;
        let mut author = Author::at(&w).await;
        let folder = author.folder(ROUTER, wasm::to_queue("support"));
        let folder = folder.to_str().unwrap();
        let file = author.place.path().join("key");
        std::fs::write(&file, format!("{}\n", author.key)).unwrap();
        author.key = "hsk_nobody".into();
        author.run(&["plugin", "push", folder]).await.expect(1, &["401 unauthenticated"]);
        author.run(&["plugin", "push", folder, "--key-file", file.to_str().unwrap()]).await.expect(0, &["greeter@1"]);
        let output = author.place.run(&["plugin", "push", folder, "--server", &author.server], &[]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && said.contains("set HOOKSWITCH_API_KEY"), "{said}");
        let nobody = author.run(&["plugin", "push", folder, "--server", "http://127.0.0.1:9"]).await;
        nobody.expect(1, &["http://127.0.0.1:9: "]);
        // What authors have in their environment is no wrong setting of a service.
        author.run(&["check-config"]).await.expect(0, &["valid"]);
    }
}
