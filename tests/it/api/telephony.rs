//! What the tests of telephony's collections share: a tenant with something in it, and calls to its numbers.

use hookswitch::base::role::Role;
use hookswitch::routing::types::Inputs;
use hookswitch::routing::{CallIds, Mode};
use serde_json::{Value, json};

use super::app::{Answer, TestApp};
use crate::world::{CALLER, brief};

/// An API with tenant `acme` and its people; `globex` beside it.
pub(crate) struct Desk {
    pub(crate) app: TestApp,
    pub(crate) admin: String,
    pub(crate) supervisor: String,
    pub(crate) agent: String,
    pub(crate) viewer: String,
    pub(crate) other: String,
}

impl Desk {
    pub(crate) async fn new(test: std::sync::Arc<crate::support::TestDb>) -> Self {
        Self::of(TestApp::new(test).await).await
    }

    /// Over an API.
    pub(crate) async fn of(app: TestApp) -> Self {
        app.tenant("acme").await;
        app.tenant("globex").await;
        let token = async |role| app.token(role, "acme").await;
        Self {
            admin: token(Role::TenantAdmin).await,
            supervisor: token(Role::Supervisor).await,
            agent: token(Role::Agent).await,
            viewer: token(Role::Viewer).await,
            other: app.token(Role::TenantAdmin, "globex").await,
            app,
        }
    }

    pub(crate) async fn make(&self, path: &str, body: Value) -> Answer {
        self.app.post(path, &self.admin, body).await.expect(201)
    }

    /// Queue `support`, endpoint `101` with its mailbox.
    pub(crate) async fn furnish(&self) {
        self.make("/queues", json!({"name": "support", "extension": "700"})).await;
        self.make("/mailboxes", json!({"name": "101"})).await;
        self.make("/endpoints", json!({"name": "101", "mailbox": "101"})).await;
    }

    /// Where a call to a number goes at this moment.
    pub(crate) async fn call(&self, did: &str) -> String {
        let router = &self.app.gate.routing;
        let call = CallIds { id: router.ids.next(), uniqueid: "1.1".into(), linkedid: "1.1".into() };
        let inputs = Inputs {
            at_us: self.app.clock.now_us(),
            dialled: did.into(),
            caller: CALLER.into(),
            ..Inputs::default()
        };
        let trace = router.route(&call, inputs, Mode::Live).await;
        router.live.remove(&call.id);
        brief(&trace)
    }

    /// Who looks on finds it by id and in the list; another tenant finds it nowhere and can do nothing to it.
    pub(crate) async fn stranger_sees_nothing(&self, collection: &str, made: &Answer) {
        let path = format!("{collection}/{}", made.id());
        assert_eq!(self.app.get(&path, &self.viewer).await.expect(200).body["id"], made.body["id"]);
        let list = self.app.get(collection, &self.viewer).await.expect(200);
        let ids: Vec<&Value> = list.body["data"].as_array().unwrap().iter().map(|r| &r["id"]).collect();
        assert!(ids.contains(&&made.body["id"]), "{collection}");
        for (method, body) in [("GET", None), ("PATCH", Some(json!({}))), ("DELETE", None)] {
            let answer = self.app.ask(method, &path, &self.other, body, &[]).await;
            assert!(matches!(answer.status.as_u16(), 404 | 405), "{method} {path}: {}", answer.status);
        }
        let list = self.app.get(collection, &self.other).await.expect(200);
        assert_eq!(list.body["data"], json!([]), "{collection}");
    }
}
