//! The API of one test: its database, its clock, its people.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use hookswitch::app;
use hookswitch::auth::Auth;
use hookswitch::auth::session::{self, Origin};
use hookswitch::auth::token::Subject;
use hookswitch::base::clock::Clock;
use hookswitch::base::ids::{Id, TenantId};
use hookswitch::base::role::Role;
use hookswitch::config::Config;
use hookswitch::http::{media, router};
use hookswitch::outgoing::Guard;
use hookswitch::plugins::Plugins;
use hookswitch::plugins::host::Reach;
use hookswitch::queues::board::Wall;
use hookswitch::queues::live::LiveQueues;
use hookswitch::storage::Storage;
use hookswitch::tenants::{self, Tenant, TenantStatus};
use hookswitch::users::store::NewUser;
use hookswitch::users::{self, Email};
use serde_json::Value;
use tower::ServiceExt;

use crate::support::TestDb;

/// The password of whoever has one.
pub(crate) const PASSWORD: &str = "hookswitch-demo-1";

/// The API over one test's database.
pub(crate) struct TestApp {
    pub(crate) test: Arc<TestDb>,
    pub(crate) clock: Clock,
    pub(crate) routes: axum::Router,
    pub(crate) gate: Arc<hookswitch::http::dispatch::Gate>,
    pub(crate) plugins: Arc<Plugins>,
    pub(crate) storage: Storage,
    pub(crate) wall: Arc<Wall>,
}

/// A user with a session.
pub(crate) struct Person {
    pub(crate) id: Id,
    pub(crate) session: Id,
    pub(crate) role: Role,
    pub(crate) tenant: Option<TenantId>,
    pub(crate) token: String,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: axum::http::HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn id(&self) -> String {
        self.body["id"].as_str().unwrap_or_else(|| panic!("no id in {self:?}")).to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }

    /// The answer, when it has this status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{:#}", self.body);
        self
    }

    /// A text of the answer.
    #[track_caller]
    pub(crate) fn text(&self, name: &str) -> String {
        self.body[name].as_str().unwrap_or_else(|| panic!("no {name} in {:#}", self.body)).to_owned()
    }

    /// The code of the problem.
    pub(crate) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// The pointers of what is wrong.
    pub(crate) fn pointers(&self) -> Vec<&str> {
        let errors = self.body["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        errors.iter().filter_map(|e| e["pointer"].as_str().or(e["parameter"].as_str())).collect()
    }
}

impl TestApp {
    pub(crate) async fn new(test: Arc<TestDb>) -> Self {
        Self::with_registration(test, false).await
    }

    /// With strangers let in, or not.
    pub(crate) async fn with_registration(test: Arc<TestDb>, registration: bool) -> Self {
        Self::with(test, registration, &[])
    }

    /// With further settings.
    pub(crate) fn with(test: Arc<TestDb>, registration: bool, more: &[(&str, &str)]) -> Self {
        let clock = crate::support::clock();
        let data_dir = ("HOOKSWITCH_DATA_DIR", test.folder().to_str().unwrap());
        let env = more.iter().copied().chain([data_dir]);
        let mut config = Config::load(None, env.map(|(k, v)| (k.to_owned(), v.to_owned()))).unwrap();
        (config.rate_address, config.rate_actor, config.rate_tenant, config.rate_logins) = (0, 0, 0, 0);
        let events = app::api::events();
        let (db, reach) = (test.db.clone(), Reach::Everything);
        let routing = Arc::new(app::routes(&config, db, clock.clone(), Arc::clone(&events), reach).unwrap());
        let plugins = Arc::clone(&routing.plugins);
        let auth =
            Arc::new(Auth::new(&config.secret().unwrap(), clock.clone(), routing.ids.clone()).unwrap());
        let signer = Arc::new(app::sound::signer(&config).unwrap());
        let storage = Storage::open(&config.storage).unwrap();
        let parts = app::api::Parts {
            auth: Arc::clone(&auth),
            registration,
            events,
            guard: Arc::new(Guard::parse("127.0.0.0/8").unwrap()),
            signer: Arc::clone(&signer),
            plugins: Some(Arc::clone(&plugins)),
            live: Arc::new(LiveQueues::new(config.lost_call.as_micros().try_into().unwrap())),
            routing: Some(Arc::clone(&routing)),
            control: None,
            wall: Arc::new(Wall::new(config.lost_call.as_micros().try_into().unwrap())),
        };
        let gate =
            app::api::gate(&config, test.db.clone(), clock.clone(), routing, auth, Arc::clone(&parts.events))
                .unwrap();
        let routes = router::routes(
            &gate,
            app::api::actions(&parts),
            &app::api::document().unwrap(),
            &config.http_origins,
        );
        let routes = routes.merge(media::routes(&app::sound::media(&gate, &storage, &signer)));
        let wall = Arc::clone(&parts.wall);
        Self { test, clock, routes, gate, plugins, storage, wall }
    }

    /// A tenant.
    pub(crate) async fn tenant(&self, id: &str) -> TenantId {
        let tenant = Tenant {
            id: TenantId::parse(id).unwrap(),
            name: id.to_uppercase(),
            status: TenantStatus::Active,
            language: "en".into(),
            zone: "UTC".into(),
            max_agents: 0,
            max_dids: 0,
            max_concurrent_calls: 0,
            features: Vec::new(),
        };
        let mut tx = self.test.db.begin().await.unwrap();
        tenants::store::insert(&mut tx, &tenant, self.clock.now_us()).await.unwrap();
        tx.commit().await.unwrap();
        tenant.id
    }

    /// A user with a role in a tenant; an empty tenant for a superadmin without one.
    pub(crate) async fn user(&self, role: Role, tenant: &str) -> Person {
        let id = self.gate.ids.next();
        let home = TenantId::parse(tenant).ok();
        let email = Email::parse(&format!("{id}@people.test")).unwrap();
        let user = NewUser {
            id: &id,
            tenant: home.as_ref(),
            email: &email,
            password_hash: "",
            is_superadmin: role == Role::Superadmin,
            first_name: "Test",
            last_name: role.as_str(),
            language: "en",
            zone: "UTC",
        };
        let now_us = self.clock.now_us();
        let mut tx = self.test.db.begin().await.unwrap();
        users::store::insert(&mut tx, &user, now_us).await.unwrap();
        if let Some(tenant) = home.as_ref().filter(|_| role != Role::Superadmin) {
            users::store::set_role(&mut tx, tenant, &id, (&self.gate.ids.next(), role), now_us)
                .await
                .unwrap();
        }
        let origin = Origin { user_agent: "test", address: "127.0.0.1" };
        let auth = &self.gate.auth;
        let (session, _) =
            session::start(auth, &mut tx, (&id, home.as_ref(), role), origin, None).await.unwrap();
        tx.commit().await.unwrap();
        let mut person = Person { id, session: session.id, role, tenant: home, token: String::new() };
        person.token = self.fresh_token(&person);
        person
    }

    /// Gives somebody the password of the tests and returns their email.
    pub(crate) async fn with_password(&self, person: &Person) -> String {
        static HASH: std::sync::OnceLock<String> = std::sync::OnceLock::new();
        let hash = HASH.get_or_init(|| hookswitch::auth::password::hash(PASSWORD).unwrap());
        let sql = format!("UPDATE users SET password_hash = '{hash}' WHERE id = '{}'", person.id);
        assert_eq!(self.test.execute(&sql).await.unwrap(), 1);
        format!("{}@people.test", person.id)
    }

    /// Signs somebody in with the password of the tests.
    pub(crate) async fn login(&self, email: &str) -> Answer {
        self.post("/auth/login", "", serde_json::json!({"email": email, "password": PASSWORD})).await
    }

    /// A new access token of somebody's session.
    pub(crate) fn fresh_token(&self, person: &Person) -> String {
        let tenant = person.tenant.as_ref();
        let subject = Subject { user: &person.id, tenant, role: person.role, session: &person.session };
        self.gate.auth.tokens.issue(&subject, self.gate.ids.next()).unwrap().expose().to_owned()
    }

    /// A token of a new user with a role in a tenant.
    pub(crate) async fn token(&self, role: Role, tenant: &str) -> String {
        self.user(role, tenant).await.token
    }

    /// Moves the clock.
    pub(crate) fn wait(&self, time: Duration) {
        self.clock.set(self.clock.now() + time);
    }

    /// Sends a request.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.routes.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 64 * 1024 * 1024).await.unwrap();
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// A request with JSON and further headers.
    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        token: &str,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(format!("/api/v1{path}"));
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = match body {
            Some(body) => {
                request.header("content-type", "application/json").body(Body::from(body.to_string()))
            }
            None => request.body(Body::empty()),
        };
        self.send(request.unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> Answer {
        self.ask("GET", path, token, None, &[]).await
    }

    pub(crate) async fn post(&self, path: &str, token: &str, body: Value) -> Answer {
        self.ask("POST", path, token, Some(body), &[]).await
    }

    pub(crate) async fn patch(&self, path: &str, token: &str, body: Value) -> Answer {
        self.ask("PATCH", path, token, Some(body), &[]).await
    }

    pub(crate) async fn delete(&self, path: &str, token: &str) -> Answer {
        self.ask("DELETE", path, token, None, &[]).await
    }
}
