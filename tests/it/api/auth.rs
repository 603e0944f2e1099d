//! Ways in and the own account, over the API.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookswitch::auth::Mailer;
use hookswitch::base::role::Role;
use hookswitch::base::secret::Secret;
use hookswitch::users::{Email, User};
use serde_json::{Value, json};

use super::app::{PASSWORD, TestApp};
use crate::support::{both_databases, eventually};

/// What the app shows for a secret at a moment.
fn code(secret: &str, app: &TestApp) -> String {
    let secret = totp_rs::Secret::try_from_base32(secret).unwrap();
    let totp = totp_rs::Builder::new().with_secret(secret).build().unwrap();
    totp.generate(u64::try_from(app.clock.now_us() / 1_000_000).unwrap()).to_string()
}

async fn audited(app: &TestApp, tenant: &str) -> Vec<String> {
    let sql = format!("SELECT action FROM audit_logs WHERE tenant_id = '{tenant}' ORDER BY sequence");
    app.test.texts(&sql).await
}

/// Keeps what it should send.
#[derive(Debug, Default)]
struct Outbox(Mutex<Vec<(String, String)>>);

impl Mailer for Outbox {
    fn password_reset(&self, to: &Email, token: &Secret) {
        self.0.lock().unwrap().push((to.to_string(), token.expose().to_owned()));
    }
}

both_databases! {
    /// In, on with the next tokens, out; a used refresh token that comes back late ends it all.
    async fn a_session_from_login_to_logout(test) {
        let app = TestApp::new(test).await;
        app.tenant("acme").await;
        let person = app.user(Role::Agent, "acme").await;
        let email = app.with_password(&person).await;
        let first = app.login(&email.to_uppercase()).await.expect(200);
        assert_eq!((&first.body["token_type"], &first.body["expires_in"], &first.body["role"]), (&json!("Bearer"), &json!(600), &json!("agent")));
        assert_eq!((&first.body["tenant"]["id"], &first.body["user"]["email"]), (&json!("acme"), &json!(email)));
        let user: User = serde_json::from_value(first.body["user"].clone()).unwrap();
        assert_eq!((user.id, user.last_login_at), (person.id.clone(), Some(app.clock.now())));
        let me = app.get("/auth/me", &first.text("access_token")).await.expect(200);
        assert_eq!(me.body["tenants"], json!([{"id": "acme", "name": "ACME", "status": "active", "role": "agent"}]));
        let second = app.post("/auth/refresh", "", json!({"refresh_token": first.text("refresh_token")})).await.expect(200);
        let token = second.text("access_token");
        app.get("/contacts", &token).await.expect(200);
        app.ask("POST", "/auth/logout", &token, None, &[]).await.expect(204);
        assert_eq!(app.get("/contacts", &token).await.expect(401).code(), "session-ended");
        app.post("/auth/refresh", "", json!({"refresh_token": second.text("refresh_token")})).await.expect(401);
        app.post("/auth/refresh", "", json!({"refresh_token": "hsr_nonsense"})).await.expect(401);

        let stolen = app.login(&email).await.expect(200);
        let refresh = json!({"refresh_token": stolen.text("refresh_token")});
        let next = app.post("/auth/refresh", "", refresh.clone()).await.expect(200);
        app.wait(Duration::from_secs(61));
        assert_eq!(app.post("/auth/refresh", "", refresh).await.expect(401).code(), "session-ended");
        app.get("/auth/me", &next.text("access_token")).await.expect(401);
        assert_eq!(audited(&app, "acme").await, ["auth.login", "auth.logout", "auth.login", "auth.refresh-reused"]);
        let actors = app.test.texts("SELECT actor_id FROM audit_logs WHERE action = 'auth.login'").await;
        assert_eq!(actors, [person.id.as_str(), person.id.as_str()]);
    }

    /// Unknown and wrong hear the same, then both wait; each failure is on record, no password is.
    async fn failures_look_alike(test) {
        let app = TestApp::new(test).await;
        app.tenant("acme").await;
        let person = app.user(Role::Agent, "acme").await;
        let email = app.with_password(&person).await;
        let attempt = async |email: &str| {
            app.post("/auth/login", "", json!({"email": email, "password": "another password"})).await
        };
        let plain = |mut body: Value| { body["request_id"] = json!(""); body };
        for n in 0..5 {
            let (known, unknown) = (attempt(&email).await.expect(401), attempt("nobody@acme.test").await.expect(401));
            assert_eq!(plain(known.body), plain(unknown.body), "{n}");
        }
        assert_eq!(plain(attempt("no address").await.expect(401).body)["code"], "wrong-credentials");
        // One more than is free.
        let (_, _) = (attempt(&email).await, attempt("nobody@acme.test").await);
        let (known, unknown) = (attempt(&email).await.expect(429), attempt("nobody@acme.test").await.expect(429));
        assert_eq!(known.header("retry-after"), unknown.header("retry-after"));
        assert!(known.header("retry-after").parse::<u32>().unwrap() >= 1);
        app.login(&email).await.expect(429);
        app.wait(Duration::from_secs(3));
        app.login(&email).await.expect(200);
        let lines = audited(&app, "acme").await;
        assert!(lines.len() >= 6 && lines[..5].iter().all(|l| l == "auth.login-failed") && lines.last().unwrap() == "auth.login", "{lines:?}");
        assert!(audited(&app, "").await.iter().all(|l| l == "auth.login-failed"));
        let values = app.test.texts("SELECT COALESCE(new_values, '') FROM audit_logs").await;
        assert!(values.iter().all(|v| !v.contains("another password") && !v.contains(PASSWORD)), "{values:?}");

        app.test.execute(&format!("UPDATE users SET status = 'suspended' WHERE id = '{}'", person.id)).await.unwrap();
        assert_eq!(app.login(&email).await.expect(403).code(), "inactive");
        assert_eq!(app.post("/auth/login", "", json!({"email": 1})).await.expect(422).pointers(), ["/email", "/password"]);
    }

    /// A second factor: begun with the password, asked for after it, recovered from, taken away.
    async fn a_second_factor_comes_and_goes(test) {
        let app = TestApp::new(test).await;
        app.tenant("acme").await;
        let person = app.user(Role::Agent, "acme").await;
        let (email, token) = (app.with_password(&person).await, person.token.as_str());
        let password = json!({"password": PASSWORD});
        app.post("/auth/recovery-codes", token, password.clone()).await.expect(409);
        app.post("/auth/totp/confirm", token, json!({"code": "123456"})).await.expect(409);
        assert_eq!(app.post("/auth/totp/begin", token, json!({"password": "wrong"})).await.expect(403).code(), "wrong-password");
        let begun = app.post("/auth/totp/begin", token, password.clone()).await.expect(200);
        let secret = begun.text("secret");
        assert!(begun.text("uri").contains(&secret));
        app.login(&email).await.expect(200);
        let now = code(&secret, &app);
        let other = if now == "000000" { "000001" } else { "000000" };
        app.post("/auth/totp/confirm", token, json!({"code": other})).await.expect(422);
        let codes = app.post("/auth/totp/confirm", token, json!({"code": now})).await.expect(200);
        assert_eq!(codes.body["recovery_codes"].as_array().unwrap().len(), 10);
        app.post("/auth/totp/begin", token, password.clone()).await.expect(409);
        assert_eq!(app.login(&email).await.expect(401).code(), "totp-required");
        let with = async |code: &str| {
            app.post("/auth/login", "", json!({"email": email, "password": PASSWORD, "totp_code": code})).await
        };
        app.wait(Duration::from_secs(30));
        assert_eq!(with("000000").await.expect(401).code(), "wrong-credentials");
        with(&code(&secret, &app)).await.expect(200);
        let new = app.post("/auth/recovery-codes", &app.fresh_token(&person), password.clone()).await.expect(200);
        with(codes.body["recovery_codes"][0].as_str().unwrap()).await.expect(401);
        let recovery = new.body["recovery_codes"][0].as_str().unwrap();
        with(recovery).await.expect(200);
        with(recovery).await.expect(401);
        app.post("/auth/totp/disable", &app.fresh_token(&person), password).await.expect(204);
        app.login(&email).await.expect(200);
        let secrets = app.test.texts("SELECT COALESCE(new_values, '') FROM audit_logs").await;
        assert!(secrets.iter().all(|v| !v.contains(&secret)));
    }

    /// A new password ends the other sessions; a forgotten one is replaced by mail, once.
    async fn passwords_change(test) {
        let app = TestApp::new(test).await;
        app.tenant("acme").await;
        let person = app.user(Role::Viewer, "acme").await;
        let email = app.with_password(&person).await;
        let other = app.login(&email).await.expect(200).text("access_token");
        let change = async |old: &str, new: &str| {
            app.post("/auth/password", &app.fresh_token(&person), json!({"password": old, "new_password": new})).await
        };
        assert_eq!(change("wrong", "a new password 1").await.expect(403).code(), "wrong-password");
        assert_eq!(change(PASSWORD, "short").await.expect(422).pointers(), ["/new_password"]);
        app.get("/auth/me", &other).await.expect(200);
        change(PASSWORD, "a new password 1").await.expect(204);
        app.get("/auth/me", &other).await.expect(401);
        app.get("/auth/me", &app.fresh_token(&person)).await.expect(200);
        app.login(&email).await.expect(401);

        // Nobody sends mail: nothing is made.
        let ask = async |email: &str| app.post("/auth/password-reset", "", json!({"email": email})).await.expect(202).body;
        ask(&email).await;
        let outbox = Arc::new(Outbox::default());
        app.gate.auth.mailer.set(outbox.clone()).unwrap();
        assert_eq!(ask(&email).await, ask("nobody@acme.test").await);
        let (to, token) = eventually("a mail", async || outbox.0.lock().unwrap().first().cloned()).await;
        assert_eq!(to, email);
        assert_eq!(app.test.number("SELECT COUNT(*) FROM password_resets").await, 1);
        let confirm = async |new: &str| {
            app.post("/auth/password-reset/confirm", "", json!({"token": token, "new_password": new})).await
        };
        confirm("short").await.expect(422);
        confirm(PASSWORD).await.expect(204);
        assert_eq!(confirm(PASSWORD).await.expect(401).code(), "reset-refused");
        app.get("/auth/me", &app.fresh_token(&person)).await.expect(401);
        app.login(&email).await.expect(200);
    }

    /// The own profile and sessions; nobody else's.
    async fn the_own_account(test) {
        let app = TestApp::new(test).await;
        app.tenant("acme").await;
        let (person, stranger) = (app.user(Role::Agent, "acme").await, app.user(Role::TenantAdmin, "acme").await);
        let email = app.with_password(&person).await;
        let token = person.token.as_str();
        let changed = app
            .patch("/auth/me", token, json!({"first_name": "Ada", "phone": "12", "zone": "Europe/Berlin", "language": "de"}))
            .await
            .expect(200);
        assert_eq!((&changed.body["user"]["first_name"], &changed.body["user"]["zone"]), (&json!("Ada"), &json!("Europe/Berlin")));
        let bad = app.patch("/auth/me", token, json!({"zone": "Mars", "email": "x@y.test", "status": "active"})).await.expect(422);
        let mut pointers = bad.pointers();
        pointers.sort_unstable();
        assert_eq!(pointers, ["/email", "/status", "/zone"]);
        app.wait(Duration::from_secs(1));
        let second = app.login(&email).await.expect(200).text("access_token");
        let list = app.get("/auth/sessions", &second).await.expect(200);
        let rows = list.body["data"].as_array().unwrap().clone();
        assert_eq!(rows.iter().map(|r| r["current"].as_bool().unwrap()).collect::<Vec<_>>(), [true, false]);
        assert_eq!(rows[1]["id"], person.session.as_str());
        let path = format!("/auth/sessions/{}", person.session);
        app.delete(&path, &stranger.token).await.expect(404);
        app.get("/auth/me", token).await.expect(200);
        app.delete(&path, &second).await.expect(204);
        app.get("/auth/me", token).await.expect(401);
        app.delete(&path, &second).await.expect(404);
    }

    /// On in another tenant with the role there; nobody gets where they have none.
    async fn tenants_are_switched(test) {
        let app = TestApp::new(test).await;
        for id in ["acme", "globex", "initech"] {
            app.tenant(id).await;
        }
        let person = app.user(Role::Agent, "acme").await;
        let root = app.user(Role::Superadmin, "").await;
        let row = format!("INSERT INTO user_roles (id, tenant_id, user_id, role, created_at, updated_at) VALUES ('{}', 'globex', '{}', 'viewer', 2, 2)", app.gate.ids.next(), person.id);
        app.test.execute(&row).await.unwrap();
        app.post("/auth/switch-tenant", &person.token, json!({"tenant_id": "initech"})).await.expect(404);
        app.post("/auth/switch-tenant", &person.token, json!({"tenant_id": "nowhere"})).await.expect(404);
        let there = app.post("/auth/switch-tenant", &person.token, json!({"tenant_id": "globex"})).await.expect(200);
        assert_eq!((&there.body["role"], &there.body["tenant"]["id"]), (&json!("viewer"), &json!("globex")));
        app.get("/contacts", &person.token).await.expect(401);
        let token = there.text("access_token");
        app.get("/contacts", &token).await.expect(200);
        app.post("/contacts", &token, json!({"first_name": "x"})).await.expect(403);

        assert_eq!(app.get("/contacts", &root.token).await.expect(403).code(), "no-tenant");
        let inside = app.post("/auth/switch-tenant", &root.token, json!({"tenant_id": "initech"})).await.expect(200);
        let token = inside.text("access_token");
        app.post("/contacts", &token, json!({"first_name": "x"})).await.expect(201);
        let outside = app.post("/auth/switch-tenant", &token, json!({})).await.expect(200);
        assert_eq!(outside.body["tenant"], json!(null));
    }

    /// Strangers make a trial tenant only where they may, and never somebody else's.
    async fn strangers_register_where_they_may(test) {
        let closed = TestApp::new(test.clone()).await;
        let body = json!({"tenant_id": "initech", "tenant_name": "Initech", "email": "bill@initech.test", "password": "a good password"});
        assert_eq!(closed.post("/auth/register", "", body.clone()).await.expect(403).code(), "registration-off");
        let app = TestApp::with_registration(test, true).await;
        let mut weak = body.clone();
        weak["password"] = json!("short");
        assert_eq!(app.post("/auth/register", "", weak).await.expect(422).pointers(), ["/password"]);
        assert_eq!(app.test.number("SELECT COUNT(*) FROM tenants").await, 0);
        let made = app.post("/auth/register", "", body.clone()).await.expect(201);
        assert_eq!((&made.body["tenant"]["status"], &made.body["role"]), (&json!("trial"), &json!("tenant_admin")));
        app.get("/contacts", &made.text("access_token")).await.expect(200);
        let end = app.test.number("SELECT trial_ends_at FROM tenants WHERE id = 'initech' AND max_agents = 5").await;
        assert_eq!(end - app.clock.now_us(), hookswitch::config::limits::tenants::TRIAL_US);
        assert_eq!(app.post("/auth/register", "", body.clone()).await.expect(409).code(), "taken");
        let mut email = body;
        email["tenant_id"] = json!("other");
        app.post("/auth/register", "", email).await.expect(409);
        assert_eq!(app.test.number("SELECT COUNT(*) FROM tenants").await, 1, "half a tenant is none");
        assert_eq!(audited(&app, "initech").await, ["auth.register"]);
    }
}
