//! From the documentation alone: a tenant that is made over HTTP and nowhere else takes real calls, reads its books,
//! and is out of everybody else's sight.

use crate::support::asterisk::{ExtraPhone, Pbx, PbxOptions};
use crate::support::call::Call;
use crate::support::phone::Phone;
use crate::support::scenario::Behaviour;
use crate::support::service::{Database, Service, ServiceOptions};
use crate::support::wait;
use serde_json::{Value, json};

const ANSWERS: Behaviour = Behaviour::Answers { after_ms: 100, hangs_up_after_ms: None };
const NUMBER: &str = "+15550003000";
const CALLER: &str = "+15557770001";

on_both! { a_tenant_made_over_http_takes_calls }

/// Somebody who is signed in.
pub(crate) struct Person<'a> {
    service: &'a Service,
    token: String,
}

impl<'a> Person<'a> {
    pub(crate) fn sign_in(service: &'a Service, email: &str, password: &str) -> Self {
        let nobody = Self { service, token: String::new() };
        let answer = nobody.ask("POST", "/auth/login", &json!({"email": email, "password": password}), 200);
        Self { service, token: text(&answer, "access_token") }
    }

    pub(crate) fn switch(self, tenant: &str) -> Self {
        let answer = self.ask("POST", "/auth/switch-tenant", &json!({"tenant_id": tenant}), 200);
        assert_eq!(answer["tenant"]["id"], tenant, "{answer}");
        Self { service: self.service, token: text(&answer, "access_token") }
    }

    /// The access token.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// The answer, which must have this status; null: no body.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &Value, status: u16) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (answered, answer) = self.service.ask(method, &format!("/api/v1{path}"), &self.token, &body);
        assert_eq!(answered, status, "{method} {path} {body}: {answer}");
        if answer.is_empty() { Value::Null } else { serde_json::from_str(&answer).unwrap() }
    }

    /// The status and body of the answer to a request without a body.
    pub(crate) fn try_ask(&self, method: &str, path: &str) -> (u16, String) {
        self.service.ask(method, &format!("/api/v1{path}"), &self.token, "")
    }

    /// The answer to a file.
    pub(crate) fn upload(&self, path: &str, kind: &str, file: &str) -> Value {
        let (answered, answer) =
            self.service.send("POST", &format!("/api/v1{path}"), &self.token, (kind, file));
        assert_eq!(answered, 201, "{path}: {answer}");
        serde_json::from_str(&answer).unwrap()
    }

    /// Status and body of what is no JSON.
    pub(crate) fn fetch(&self, path: &str) -> (u16, String) {
        self.service.ask("GET", &format!("/api/v1{path}"), &self.token, "")
    }

    pub(crate) fn make(&self, path: &str, body: &Value) -> Value {
        self.ask("POST", path, body, 201)
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        self.ask("GET", path, &Value::Null, 200)
    }

    pub(crate) fn list(&self, path: &str) -> Vec<Value> {
        self.get(path)["data"].as_array().unwrap().clone()
    }

    /// The rows of a list, once there are so many.
    pub(crate) fn wait_list(&self, path: &str, count: usize) -> Vec<Value> {
        wait::until(path, || Some(self.list(path)).filter(|rows| rows.len() == count))
    }
}

fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_else(|| panic!("no {field}: {value}")).to_owned()
}

/// What `newco` has, by the ids of the API.
struct Newco {
    user: String,
    endpoint: String,
    password: String,
    queue: String,
    did: String,
}

fn make_newco(root: &Person<'_>) -> Newco {
    let user = root.make(
        "/users",
        &json!({"email": "nina@newco.test", "password": "a long enough one", "role": "agent", "first_name": "Nina"}),
    );
    let endpoint = root.make("/endpoints", &json!({"name": "101", "display_name": "Nina"}));
    assert_eq!(endpoint["username"], "newco-101");
    let queue =
        root.make("/queues", &json!({"name": "support", "display_name": "Support", "max_wait_s": 30}));
    let (user, endpoint_id, queue) = (text(&user, "id"), text(&endpoint, "id"), text(&queue, "id"));
    let member = json!({"endpoint_id": endpoint_id, "user_id": user});
    root.make(&format!("/queues/{queue}/members"), &member);
    let did = json!({"number": NUMBER, "route_type": "queue", "route_target": "support"});
    let did = text(&root.make("/dids", &did), "id");
    Newco { user, endpoint: endpoint_id, password: text(&endpoint, "password"), queue, did }
}

/// What a trace says was decided, and every outcome on the way.
fn trace(person: &Person<'_>, call: &str) -> (Value, Vec<String>) {
    let traces = person.list(&format!("/calls/{call}/trace"));
    assert_eq!(traces.len(), 1, "{traces:?}");
    assert_eq!(traces[0]["hook"], "route");
    let trace = &traces[0]["trace"];
    let steps = trace["steps"].as_array().unwrap();
    (trace["decision"].clone(), steps.iter().map(|step| text(step, "outcome")).collect())
}

fn a_tenant_made_over_http_takes_calls(database: Database) {
    let service = Service::start(&ServiceOptions::new(database));
    let root = Person::sign_in(&service, "root@hookswitch.test", "hookswitch-demo-1");
    root.make("/tenants", &json!({"id": "newco", "name": "New Company"}));
    let root = root.switch("newco");
    let newco = make_newco(&root);
    let phone = ExtraPhone {
        name: "newco-101".into(),
        password: newco.password.clone(),
        queue: "newco-support".into(),
    };
    let pbx = Pbx::start(&PbxOptions::new(service.agi()).phone(phone));

    let phone = Phone::start(&pbx, "newco-101", ANSWERS);
    Call::to(NUMBER).from(CALLER).stay(1_500).expect_answered(&pbx);
    assert_eq!((phone.rang(), phone.answered()), (1, 1));

    let cdr = root.wait_list("/cdrs", 1).remove(0);
    let told =
        ["disposition", "queue", "did", "caller_number", "direction", "destination"].map(|f| text(&cdr, f));
    assert_eq!(told, ["ANSWERED", "support", NUMBER, CALLER, "inbound", "queue support"], "{cdr}");
    assert!(text(&cdr, "dst_channel").starts_with("PJSIP/newco-101-"), "{cdr}");
    assert!(cdr["billed_s"].as_i64().unwrap() >= 1, "{cdr}");
    let calls = root.list("/calls");
    assert_eq!(calls.len(), 1, "{calls:?}");
    let call = text(&calls[0], "id");
    assert_eq!((text(&cdr, "id"), text(&cdr, "call_id")), (call.clone(), call.clone()));
    assert_eq!(
        ["action", "target", "reason"].map(|f| text(&calls[0], f)),
        ["queue", "newco-support", "static"]
    );
    assert!(!calls[0]["ended_at"].is_null(), "{calls:?}");
    let (decision, _) = trace(&root, &call);
    assert_eq!(
        (&decision["action"], &decision["target"]),
        (&json!("queue"), &json!("newco-support")),
        "{decision}"
    );

    // Suspended over HTTP, it has no calls from the next one on, and its people are signed out.
    let nina = Person::sign_in(&service, "nina@newco.test", "a long enough one");
    nina.get("/auth/me");
    let suspended = root.ask("POST", "/tenants/newco/suspend", &json!({"reason": "unpaid"}), 200);
    assert_eq!(
        (&suspended["status"], &suspended["suspended_reason"]),
        (&json!("suspended"), &json!("unpaid"))
    );
    Call::to(NUMBER).from(CALLER).expect_refused(&pbx, 403);
    assert_eq!(phone.rang(), 1);
    nina.ask("GET", "/auth/me", &Value::Null, 401);
    let refused = root.wait_list("/calls?reason=suspended-tenant", 1).remove(0);
    assert_eq!(["action", "target", "did"].map(|f| text(&refused, f)), ["hangup", "21", NUMBER], "{refused}");
    let (decision, outcomes) = trace(&root, &text(&refused, "id"));
    assert_eq!(decision["reason"], "suspended-tenant", "{decision}");
    assert!(outcomes.iter().any(|outcome| outcome == "suspended"), "{outcomes:?}");

    nothing_is_seen_from_elsewhere(&service, &newco, &call);
}

/// Another tenant's admin has nothing of it: no row in any list, and every id is unknown.
fn nothing_is_seen_from_elsewhere(service: &Service, newco: &Newco, call: &str) {
    let stranger = Person::sign_in(service, "admin@globex.test", "hookswitch-demo-1");
    for list in ["/calls", "/cdrs"] {
        assert_eq!(stranger.list(list), [Value::Null; 0], "{list}");
    }
    for list in ["/tenants", "/users", "/endpoints", "/queues", "/dids"] {
        let rows = stranger.list(list);
        assert!(!rows.is_empty(), "globex has some: {list}");
        let shown = format!("{rows:?}");
        assert!(!shown.contains("newco") && !shown.contains(NUMBER), "{list}: {shown}");
    }
    for path in [
        "/tenants/newco".to_owned(),
        format!("/calls/{call}"),
        format!("/calls/{call}/trace"),
        format!("/cdrs/{call}"),
        format!("/users/{}", newco.user),
        format!("/endpoints/{}", newco.endpoint),
        format!("/queues/{}", newco.queue),
        format!("/queues/{}/members", newco.queue),
        format!("/dids/{}", newco.did),
    ] {
        stranger.ask("GET", &path, &Value::Null, 404);
    }
    stranger.ask("DELETE", &format!("/dids/{}", newco.did), &Value::Null, 404);
    stranger.ask("POST", "/auth/switch-tenant", &json!({"tenant_id": "newco"}), 404);
}
