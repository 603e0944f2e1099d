//! The real program: every command, its words and its exit status; and the service from start to SIGTERM.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use hookswitch::base::clock::Stopwatch;
use serde_json::Value;

use crate::support::PATIENCE;

/// A data directory, and the program run with it. Nothing of the outer environment comes in.
pub(crate) struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// With the demo data.
    fn seeded() -> Self {
        let place = Self::new();
        ok(&place.run(&["seed", "demo"], &[]));
        place
    }

    fn command(&self, arguments: &[&str], env: &[(&str, &str)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hookswitch"));
        command
            .args(arguments)
            .env_clear()
            .env("HOOKSWITCH_DATA_DIR", self.folder.path())
            .env("HOOKSWITCH_HTTP_LISTEN", "127.0.0.1:0")
            .env("HOOKSWITCH_AGI_LISTEN", "127.0.0.1:0")
            .env("NO_COLOR", "1")
            .envs(env.iter().copied())
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str], env: &[(&str, &str)]) -> Output {
        self.command(arguments, env).output().unwrap()
    }

    fn json(&self, arguments: &[&str], env: &[(&str, &str)]) -> Value {
        let output = self.run(arguments, env);
        serde_json::from_str(&ok(&output)).unwrap()
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Changes a place's database behind the program's back.
fn statement(place: &Place, sql: &'static str) {
    let url = format!("sqlite://{}", place.path().join("hookswitch.db").display());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let db = hookswitch::db::Db::connect(&url, 1).await.unwrap();
        let done =
            hookswitch::db::db_write!(&db, |p| sqlx::query(sql).execute(p).await.map(|d| d.rows_affected()));
        assert!(done.unwrap() >= 1, "{sql}");
        db.close().await;
    });
}

/// Standard output of a run that went well.
pub(crate) fn ok(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Standard error of a run that ended with `status`.
fn failed(output: &Output, status: i32) -> String {
    assert_eq!(output.status.code(), Some(status), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A snapshot of JSON whose times, lengths and ids are struck out.
fn snapshot(name: &str, mut value: Value) {
    fn strike(value: &mut Value) {
        match value {
            Value::Object(map) => {
                for (key, inner) in map.iter_mut() {
                    match key.as_str() {
                        "us" => *inner = "[time]".into(),
                        "at_us" => *inner = "[at]".into(),
                        _ => strike(inner),
                    }
                }
            }
            Value::Array(list) => list.iter_mut().for_each(strike),
            _ => {}
        }
    }
    strike(&mut value);
    insta::with_settings!({ prepend_module_to_snapshot => false, snapshot_path => "snapshots" }, {
        insta::assert_json_snapshot!(name, value);
    });
}

/// Asks a service's `route` for a number as Asterisk does; returns the command that carries the answer.
pub(crate) fn route(agi: SocketAddr, did: &str, uniqueid: &str) -> std::io::Result<String> {
    let mut socket = TcpStream::connect(agi)?;
    let mut environment = format!(
        "agi_network: yes\nagi_network_script: route\nagi_request: agi://127.0.0.1/route\n\
         agi_channel: PJSIP/trunk-1\nagi_language: en\nagi_type: PJSIP\nagi_uniqueid: {uniqueid}\n\
         agi_version: 22.5.0\nagi_callerid: +15557770009\nagi_calleridname: unknown\n"
    );
    for key in ["callingpres", "callingani2", "callington", "callingtns", "dnid", "rdnis", "context"] {
        environment += &format!("agi_{key}: 0\n");
    }
    environment += &format!(
        "agi_extension: {did}\nagi_priority: 1\nagi_enhanced: 0.0\nagi_accountcode: \nagi_threadid: 1\n\n"
    );
    socket.write_all(environment.as_bytes())?;
    let mut answer = String::new();
    BufReader::new(socket.try_clone()?).read_line(&mut answer)?;
    socket.write_all(b"200 result=1\n")?;
    Ok(answer)
}

/// Ends with the test, however that ends.
pub(crate) struct OwnChild(Child);

impl Drop for OwnChild {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A running service; killed when a test fails.
pub(crate) struct Service {
    child: OwnChild,
    pub(crate) agi: SocketAddr,
    pub(crate) http: SocketAddr,
    log: std::thread::JoinHandle<String>,
}

impl Service {
    pub(crate) fn start(place: &Place, env: &[(&str, &str)]) -> Self {
        let mut env = env.to_vec();
        env.push(("HOOKSWITCH_LOG_FORMAT", "json"));
        let mut child = OwnChild(place.command(&["serve"], &env).stderr(Stdio::piped()).spawn().unwrap());
        let mut lines = BufReader::new(child.0.stderr.take().unwrap());
        let mut log = String::new();
        let ready: Value = loop {
            let start = log.len();
            assert!(lines.read_line(&mut log).unwrap() > 0, "the service ended: {log}");
            let line: Value = serde_json::from_str(&log[start..]).unwrap();
            if line["message"] == "ready for calls" {
                break line;
            }
        };
        let address = |key: &str| ready[key].as_str().unwrap().parse().unwrap();
        let (agi, http) = (address("agi"), address("http"));
        let log = std::thread::spawn(move || {
            let _ = lines.read_to_string(&mut log);
            log
        });
        Self { child, agi, http, log }
    }

    /// Status and body.
    fn get(&self, path: &str) -> (u16, String) {
        let mut socket = TcpStream::connect(self.http).unwrap();
        write!(socket, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
    }

    /// Sends JSON; status and body.
    fn post(&self, path: &str, body: &str) -> (u16, String) {
        let mut socket = TcpStream::connect(self.http).unwrap();
        let length = body.len();
        write!(socket, "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}").unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
    }

    /// Asks `route` for a number as Asterisk does; returns the command that carries the answer.
    fn route(&self, did: &str, uniqueid: &str) -> String {
        route(self.agi, did, uniqueid).unwrap()
    }

    /// SIGTERM; exit status and log.
    fn stop(mut self) -> (Option<i32>, String) {
        let pid = self.child.0.id().to_string();
        assert!(Command::new("kill").arg(pid).status().unwrap().success());
        let status = self.child.0.wait().unwrap();
        (status.code(), self.log.join().unwrap())
    }

    pub(crate) fn kill(mut self) {
        self.child.0.kill().unwrap();
        self.child.0.wait().unwrap();
        self.log.join().unwrap();
    }
}

#[test]
fn check_config_says_yes_or_every_problem() {
    let place = Place::new();
    assert_eq!(ok(&place.run(&["check-config"], &[])), "The settings are valid.\n");
    assert!(ok(&place.run(&["check-config", "--defaults"], &[])).contains("[journal]"));
    assert!(std::fs::read_dir(place.path()).unwrap().next().is_none(), "a check changes nothing");
    let file = place.path().join("h.toml");
    std::fs::write(&file, "[journal]\nsync_ms = 0\nsink = 1\n[http]\nlisten = 5\n").unwrap();
    let wrong = [
        ("HOOKSWITCH_AGI_LISTEN", "nowhere"),
        ("HOOKSWITCH_DATABASE_URL", "oracle://x"),
        ("HOOKSWITCH_SECRET", "short"),
        ("HOOKSWITCH_NO__SUCH", "1"),
        ("HOOKSWITCH_LOG", "info,=,["),
        ("HOOKSWITCH_ROUTING__UNKNOWN_DID", "queue:support"),
    ];
    let arguments = ["--config", file.to_str().unwrap(), "check-config"];
    let said = failed(&place.run(&arguments, &wrong), 78);
    for part in [
        "journal.sync_ms",
        "journal.sink",
        "http.listen",
        "agi.listen",
        "database.url",
        "secret.value",
        "HOOKSWITCH_NO__SUCH",
        "log.filter",
        "routing.unknown_did",
    ] {
        assert!(said.contains(part), "{part} is missing in:\n{said}");
    }
    for command in ["serve", "migrate"] {
        assert!(failed(&place.run(&[command], &wrong), 78).contains("agi.listen"));
    }
    let missing = failed(&place.run(&["--config", "none.toml", "check-config"], &[]), 78);
    assert!(missing.contains("none.toml"), "{missing}");
}

#[test]
fn migrate_can_be_run_again() {
    let place = Place::new();
    for _ in 0..2 {
        assert_eq!(ok(&place.run(&["migrate"], &[])), "The schema is up to date (sqlite).\n");
    }
    let off = [("HOOKSWITCH_AUTO_MIGRATE", "false")];
    let old = Place::new();
    let said = failed(&old.run(&["serve"], &off), 1);
    assert!(said.contains("hookswitch migrate"), "{said}");
    let said = failed(&old.run(&["simulate", "--did", "+15550001000"], &[]), 1);
    assert!(said.contains("hookswitch migrate"), "{said}");
}

#[test]
fn the_demo_is_loaded_once() {
    let place = Place::new();
    let mut first = place.json(&["seed", "demo", "--json"], &[]);
    let mut passwords = std::collections::BTreeSet::new();
    for phone in first["phones"].as_array_mut().unwrap() {
        let password = std::mem::replace(&mut phone["password"], "[secret]".into());
        assert_eq!(password.as_str().unwrap().len(), 32);
        passwords.insert(password.to_string());
    }
    assert_eq!(passwords.len(), 4, "every phone has its own");
    snapshot("seed_demo", first);
    let again = place.json(&["seed", "demo", "--json"], &[]);
    assert!(again["tenants"].as_array().unwrap().iter().all(|t| t["created"] == false));
    assert_eq!(again["phones"].as_array().unwrap().len(), 4);
    assert!(again["phones"].as_array().unwrap().iter().all(|p| p["password"].is_null()), "{again}");
    let said = ok(&place.run(&["seed", "demo"], &[]));
    assert!(
        said.contains("tenant acme: was there already") && said.contains("(told when it was made)"),
        "{said}"
    );
    // A database of before: Asterisk knew nothing of one phone, and no more than a password of another.
    statement(&place, "DELETE FROM ps_auths WHERE id = 'acme-101'");
    statement(&place, "DELETE FROM ps_endpoints WHERE id IN ('acme-101', 'globex-102')");
    statement(&place, "DELETE FROM ps_aors WHERE id IN ('acme-101', 'globex-102')");
    statement(&place, "DELETE FROM endpoints WHERE tenant_id = 'globex' AND name = '101'");
    let phones = place.json(&["seed", "demo", "--json"], &[])["phones"].take();
    let told = |name: &str| {
        phones.as_array().unwrap().iter().find(|p| p["username"] == name).map(|p| !p["password"].is_null())
    };
    assert_eq!(["acme-101", "acme-102", "globex-102"].map(told), [Some(true), Some(false), Some(true)]);
    assert_eq!(told("globex-101"), None, "a deleted endpoint stays deleted");
    let open = [("HOOKSWITCH_HTTP_LISTEN", "0.0.0.0:8080")];
    let said = failed(&Place::new().run(&["seed", "demo"], &open), 1);
    assert!(said.contains("0.0.0.0:8080") && said.contains("loopback"), "{said}");
}

/// A superadmin is made with a password that was sent or one that is made up, and told once.
#[test]
fn a_superadmin_is_made() {
    let place = Place::new();
    ok(&place.run(&["migrate"], &[]));
    let make = ["user", "create-admin", "--email", "Root@x.test"];
    let said = ok(&place.run(&make, &[]));
    let password = said.lines().last().unwrap().strip_prefix("password: ").unwrap();
    assert!(said.contains("root@x.test") && password.len() >= 12, "{said}");
    assert!(failed(&place.run(&make, &[]), 1).contains("already"));
    assert!(failed(&place.run(&["user", "create-admin", "--email", "nobody"], &[]), 1).contains('@'));
    let send = |email: &str, text: &str| {
        let arguments = ["user", "create-admin", "--email", email];
        let mut child = place
            .command(&arguments, &[])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    assert!(failed(&send("two@x.test", "short\n"), 1).contains("12 characters"));
    let said = ok(&send("two@x.test", "a good password\n"));
    assert!(!said.contains("a good password"), "{said}");
    assert_eq!(ok(&place.run(&["audit", "verify"], &[])), "(platform): whole, 2 line(s)\n");
    // Both can sign in.
    let service = Service::start(&place, &[]);
    for (email, password) in [("root@x.test", password), ("two@x.test", "a good password")] {
        let body = serde_json::json!({"email": email, "password": password}).to_string();
        let (status, answer) = service.post("/api/v1/auth/login", &body);
        assert_eq!(status, 200, "{answer}");
        assert_eq!(serde_json::from_str::<Value>(&answer).unwrap()["role"], "superadmin");
    }
    assert_eq!(service.stop().0, Some(0));
    assert_eq!(ok(&place.run(&["audit", "verify"], &[])), "(platform): whole, 4 line(s)\n");
    // Somebody puts a hand into the audit.
    statement(&place, "UPDATE audit_logs SET actor_name = 'nobody' WHERE sequence = 3");
    let output = place.run(&["audit", "verify"], &[]);
    assert!(failed(&output, 1).contains("1 of 1"));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "(platform): BROKEN at line 3\n");
}

/// A tenant is destroyed only after it was deleted, only when named twice, and leaves proof.
#[test]
fn a_tenant_is_purged_with_proof() {
    let place = Place::seeded();
    let purge = |confirm: &str| place.run(&["tenant", "purge", "acme", "--confirm", confirm], &[]);
    assert!(failed(&purge("globex"), 1).contains("nothing was changed"));
    assert!(failed(&purge("acme"), 1).contains("lives"));
    statement(&place, "UPDATE tenants SET deleted_at = 1 WHERE id = 'acme'");
    let said = ok(&purge("acme"));
    assert!(said.contains("contacts") && said.contains("row(s) destroyed"), "{said}");
    assert!(failed(&purge("acme"), 1).contains("no such tenant"));
    assert_eq!(ok(&place.run(&["audit", "verify", "--tenant", "acme"], &[])), "acme: whole, 0 line(s)\n");
    assert_eq!(ok(&place.run(&["audit", "verify"], &[])), "(platform): whole, 1 line(s)\n");
    // What others have is there; the demo comes back.
    let again = place.json(&["seed", "demo", "--json"], &[]);
    let created: Vec<&Value> = again["tenants"].as_array().unwrap().iter().map(|t| &t["created"]).collect();
    assert_eq!(created, [true, false]);
}

#[test]
fn simulate_shows_every_verdict_of_the_demo() {
    let place = Place::seeded();
    let at = ["--at", "2026-11-23T10:00:00Z", "--json"];
    for (name, did, more) in [
        ("queue", "+15550001000", &[][..]),
        ("endpoint", "+15550001001", &[]),
        ("menu_to_queue", "+15550001002", &["--digits", "1"]),
        ("menu_hang_up", "+15550001002", &["--digits", "5!"]),
        ("external", "+15550001004", &[]),
        ("voicemail", "+15550001005", &[]),
        ("plugin_missing", "+15550001006", &[]),
        ("closed", "+15550001008", &[]),
        ("inactive", "+15550001009", &[]),
        ("blocked", "+15550001000", &["--caller", "+15558880000"]),
        ("globex", "+15550002000", &[]),
        ("unknown", "+15550009999", &[]),
        ("malformed", "s", &[]),
    ] {
        let arguments = [&["simulate", "--did", did][..], &at, more].concat();
        snapshot(&format!("simulate_{name}"), place.json(&arguments, &[]));
    }
    // The demo's webhook address is not allowed unless the operator says so.
    let arguments = [&["simulate", "--did", "+15550001003"][..], &at].concat();
    snapshot("simulate_webhook_refused", place.json(&arguments, &[]));
    let text = ok(&place.run(&["simulate", "--did", "+15550001000"], &[]));
    assert!(text.contains("= queue acme-support for 20 s, reason static"), "{text}");
    let said = failed(&place.run(&["simulate", "--did", "1", "--at", "noon"], &[]), 2);
    assert!(said.contains("--at"), "{said}");
}

/// A client that began a request and never ends it must not keep the service from stopping.
#[test]
fn half_a_request_does_not_stop_the_stop() {
    let place = Place::seeded();
    let service = Service::start(&place, &[]);
    let mut half = TcpStream::connect(service.http).unwrap();
    half.write_all(b"GET /healthz HTTP/1.1\r\nhost:").unwrap();
    assert_eq!(service.get("/healthz").0, 200);
    let start = Stopwatch::start();
    let (status, log) = service.stop();
    assert!(status == Some(0) && log.contains("stopped"), "{log}");
    assert!(start.elapsed_us() < 10_000_000, "{} us", start.elapsed_us());
    drop(half);
}

#[test]
fn settings_that_would_fail_later_fail_at_once() {
    let place = Place::new();
    for (name, value, said) in [
        ("HOOKSWITCH_DATABASE_URL", "mysql://u:hunter2@h:99999/x", "database.url: "),
        ("HOOKSWITCH_DATABASE_URL", "sqlite://x?mode=foo", "database.url: "),
        ("HOOKSWITCH_HTTP_LISTEN", "127.0.0.1:4573", "agi.listen too"),
        ("HOOKSWITCH_METRICS_LISTEN", "127.0.0.1:4573", "agi.listen too"),
    ] {
        let env = [("HOOKSWITCH_AGI_LISTEN", "127.0.0.1:4573"), (name, value)];
        let told = failed(&place.run(&["check-config"], &env), 78);
        assert!(told.contains(said) && !told.contains("hunter2"), "{told}");
    }
    // Somebody else's variable may hold any bytes.
    let bytes: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"\xff");
    ok(&place.command(&["check-config"], &[]).env("ELSE", bytes).output().unwrap());
}

/// A contact's name reaches Asterisk in the same single command, whatever it holds; `simulate` shows the look.
#[test]
fn a_contact_lends_the_call_its_name() {
    let place = Place::seeded();
    let contact = |name: &str| {
        let url = format!("sqlite://{}", place.path().join("hookswitch.db").display());
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let db = hookswitch::db::Db::connect(&url, 1).await.unwrap();
            let sql = "INSERT INTO contacts (id, tenant_id, first_name, phone, notes, metadata, created_at, updated_at) \
                 VALUES ('01arz3ndektsv4rrffq69g5fav', 'acme', ?, '+15557770009', '', '{}', 1, 1) \
                 ON CONFLICT (id) DO UPDATE SET first_name = excluded.first_name";
            hookswitch::db::db_write!(&db, |p| sqlx::query(sql).bind(name).execute(p).await.map(drop)).unwrap();
            db.close().await;
        });
    };
    let named = |uniqueid: &str| {
        let service = Service::start(&place, &[]);
        let answer = service.route("+15550001000", uniqueid);
        service.stop();
        assert!(
            answer.starts_with("EXEC MSet \"") && answer.trim_end().ends_with("HS_ACTION=queue\""),
            "{answer}"
        );
        let id = answer.split("HS_CALL_ID=").nth(1).unwrap()[..26].to_owned();
        let rest = answer.split("CALLERID(name)=").nth(1);
        (rest.map(|rest| rest.split(",HS_CALL_ID=").next().unwrap().to_owned()), id)
    };
    assert_eq!(named("1.1").0, None);
    contact("Ada Lovelace");
    assert_eq!(named("1.2").0.as_deref(), Some("Ada Lovelace"));
    contact("x,HS_ACTION=hangup)\",${SHELL(id)}\\;");
    let (name, id) = named("1.3");
    assert_eq!(name.as_deref(), Some("x HS_ACTION hangup SHELL id"));
    let traces =
        place.json(&["simulate", "--did", "+15550001000", "--caller", "+15557770009", "--json"], &[]);
    let steps = traces[0]["steps"].as_array().unwrap();
    assert!(steps.iter().any(|s| s["check"] == "contact" && s["outcome"] == "known"), "{steps:#?}");
    assert_eq!(traces[0]["inputs"]["contact"], "x HS_ACTION hangup SHELL id");
    // Of a call that was recorded the name is known: a replay is the same without the contact.
    contact("");
    let replayed = ok(&place.run(&["replay", &id], &[]));
    assert!(replayed.contains("0 would differ"), "{replayed}");
}

#[test]
fn a_call_is_served_recorded_and_replayed() {
    let place = Place::seeded();
    let service = Service::start(&place, &[]);
    let answer = service.route("+15550001000", "1700000000.1");
    assert!(answer.starts_with("EXEC MSet ") && answer.contains("HS_ACTION=queue"), "{answer}");
    assert!(answer.contains("HS_TARGET=acme-support") && answer.contains("HS_TENANT=acme"), "{answer}");
    let id = answer.split("HS_CALL_ID=").nth(1).unwrap()[..26].to_owned();
    assert_eq!(service.get("/healthz"), (200, "ok\n".to_owned()));
    let (status, ready) = service.get("/readyz");
    assert_eq!(status, 200);
    snapshot("readyz", serde_json::from_str(&ready).unwrap());
    let (status, metrics) = service.get("/metrics");
    assert_eq!(status, 200);
    let decided = r#"hookswitch_decisions_total{hook="route",action="queue",reason="static"} 1"#;
    assert!(metrics.contains(decided) && metrics.ends_with("# EOF\n"), "{metrics}");
    assert_eq!(service.get("/nothing").0, 404);
    let (status, log) = service.stop();
    assert_eq!(status, Some(0), "{log}");
    assert!(log.contains("AGI is drained") && log.contains("\"stopped\""), "{log}");
    let same = ok(&place.run(&["replay", &id], &[]));
    assert!(same.contains("1 decision(s), 0 would differ today."), "{same}");
    // The same call against other data.
    statement(
        &place,
        "UPDATE dids SET route_type = 'endpoint', route_target = '101' WHERE number = '+15550001000'",
    );
    let other = ok(&place.run(&["replay", &id], &[]));
    assert!(other.contains("DIFFERS") && other.contains("1 decision(s), 1 would differ today."), "{other}");
    let said = failed(&place.run(&["replay", "01k00000000000000000000000"], &[]), 1);
    assert!(said.contains("there is no call"), "{said}");
}

/// `kill -9` right after an answer: the call is in the database after the next start, once.
#[test]
fn an_answered_call_survives_a_kill() {
    let place = Place::seeded();
    let mut ids = Vec::new();
    for round in 0..3 {
        let service = Service::start(&place, &[]);
        for n in 0..20 {
            let answer = service.route("+15550001000", &format!("17000000{round}.{n}"));
            ids.push(answer.split("HS_CALL_ID=").nth(1).unwrap()[..26].to_owned());
        }
        service.kill();
    }
    let service = Service::start(&place, &[]);
    let (_, ready) = service.get("/readyz");
    assert!(ready.contains("\"live_calls\":60"), "calls without an end are alive: {ready}");
    assert_eq!(service.stop().0, Some(0));
    for id in ids {
        let said = ok(&place.run(&["replay", &id], &[]));
        assert!(said.contains("1 decision(s), 0 would differ"), "{said}");
    }
}

#[test]
fn a_second_service_is_told_why_it_can_not_start() {
    let place = Place::seeded();
    let service = Service::start(&place, &[]);
    let said = failed(&place.run(&["serve"], &[]), 1);
    assert!(said.contains("in use by another hookswitch process"), "{said}");
    let other = Place::seeded();
    let agi = service.agi.to_string();
    let said = failed(&other.run(&["serve"], &[("HOOKSWITCH_AGI_LISTEN", &agi)]), 1);
    assert!(said.contains("agi.listen") && said.contains(&agi), "{said}");
    let http = service.http.to_string();
    let said = failed(&other.run(&["serve"], &[("HOOKSWITCH_HTTP_LISTEN", &http)]), 1);
    assert!(said.contains("http.listen") && said.contains(&http), "{said}");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let metrics = taken.to_string();
    let held = TcpListener::bind(taken).unwrap();
    let said = failed(&other.run(&["serve"], &[("HOOKSWITCH_METRICS_LISTEN", &metrics)]), 1);
    assert!(said.contains("metrics.listen") && said.contains(&metrics), "{said}");
    drop(held);
    assert_eq!(service.stop().0, Some(0));
}

/// An operator who asks for metrics on a listener of their own finds them there and nowhere else.
#[test]
fn metrics_may_have_a_listener_of_their_own() {
    let place = Place::seeded();
    let service = Service::start(&place, &[("HOOKSWITCH_METRICS_LISTEN", "127.0.0.1:0")]);
    assert_eq!(service.get("/metrics").0, 404);
    let start = Stopwatch::start();
    assert_eq!(service.stop().0, Some(0));
    assert!(u128::from(start.elapsed_us()) < PATIENCE.as_micros());
}

#[test]
fn a_database_that_is_away_is_named() {
    let place = Place::new();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("mysql://user:hunter2@127.0.0.1:{port}/x");
    for command in ["migrate", "serve"] {
        let said = failed(&place.run(&[command], &[("HOOKSWITCH_DATABASE_URL", &url)]), 1);
        assert!(said.contains("database") && said.contains("HOOKSWITCH_DATABASE_URL"), "{said}");
        assert!(!said.contains("hunter2"), "a password is never said");
    }
}
