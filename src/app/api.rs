//! The REST API put together: every collection and every action in one list, and the gate before them.

use std::sync::Arc;

use super::{Error, models};
use crate::api::openapi::Told;
use crate::api::{Action, Field, Operation, Resource, crud, openapi, page};
use crate::auth::{self, Auth};
use crate::base::clock::Clock;
use crate::base::ids::IdSource;
use crate::base::secret::Secret;
use crate::config::Config;
use crate::db::Db;
use crate::events::{self, Events, Kind, News};
use crate::http::dispatch::Gate;
use crate::http::idempotency::Running;
use crate::http::rate::{Limiter, Rates};
use crate::outgoing::Guard;
use crate::plugins::Plugins;
use crate::queues::board::Wall;
use crate::queues::live::LiveQueues;
use crate::routing::Router;
use crate::storage::Signer;
use crate::{
    agents, audit, calls, chat, contacts, endpoints, plugins, queues, routing, sms, tenants, tickets, users,
    voicemail, webhooks,
};

/// What the document says of events, beside their list.
const EVENTS: &str = concat!(
    include_str!("events.md"),
    "\n",
    include_str!("webhooks.md"),
    "```python\n",
    include_str!("../../examples/webhooks/consumer.py"),
    "```\n\nVerification, without anything but the language itself: Python\n\n```python\n",
    include_str!("../../examples/webhooks/verify.py"),
    "```\n\nJavaScript\n\n```js\n",
    include_str!("../../examples/webhooks/verify.mjs"),
    "```\n\nGo\n\n```go\n",
    include_str!("../../examples/webhooks/verify.go"),
    "```\n\nPHP\n\n```php\n",
    include_str!("../../examples/webhooks/verify.php"),
    "```\n\nJava\n\n```java\n",
    include_str!("../../examples/webhooks/Verify.java"),
    "```\n\n",
    include_str!("plugins.md"),
);

/// Every collection, in the order of the document.
pub fn resources() -> Vec<&'static Resource> {
    let mut all = Vec::new();
    all.extend([&users::api::USERS, &users::api::ROLES, &users::api::API_KEYS]);
    all.extend(routing::api::resources());
    all.extend([
        &queues::api::QUEUES,
        &queues::api::MEMBERS,
        &queues::api::CALLBACKS,
        &endpoints::api::ENDPOINTS,
    ]);
    all.extend([&voicemail::api::MAILBOXES, &voicemail::api::VOICEMAILS]);
    all.extend([&contacts::api::CONTACTS, &contacts::api::TAGS, &contacts::import::api::IMPORTS]);
    all.extend([&tickets::api::TICKETS, &tickets::api::MESSAGES, &tickets::api::ATTACHMENTS]);
    all.extend([&tickets::api::TEMPLATES, &tickets::api::POLICIES]);
    all.extend([&chat::api::WIDGETS, &chat::api::SESSIONS, &chat::api::MESSAGES]);
    all.extend([&chat::api::TRANSFERS, &chat::api::OFFERS, &chat::api::AGENTS]);
    all.extend([&audit::api::LOGS]);
    all.extend([&agents::api::AGENTS, &agents::log::STATES, &agents::api::SOCKETS, &sms::api::SMS]);
    all.extend([&calls::api::CALLS, &calls::api::CDRS, &calls::api::EXPORTS, &calls::api::RECORDINGS]);
    all.extend(plugins::api::resources());
    all.extend([&webhooks::api::WEBHOOKS, &webhooks::api::DELIVERIES, &webhooks::api::ATTEMPTS]);
    all
}

/// What operations need besides their request.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Logins, sessions, keys.
    pub auth: Arc<Auth>,
    /// Whether strangers may make a trial tenant.
    pub registration: bool,
    /// What changes tell.
    pub events: Arc<Events>,
    /// Which addresses tenants' URLs may reach.
    pub guard: Arc<Guard>,
    /// Makes URLs of sounds.
    pub signer: Arc<Signer>,
    /// Tenants' plugins; `None`: the operations are only described.
    pub plugins: Option<Arc<Plugins>>,
    /// Who waits and talks in queues.
    pub live: Arc<LiveQueues>,
    /// Acts on living calls; `None`: the operations are only described.
    pub control: Option<Arc<calls::control::Control>>,
    /// What tenants may call; `None`: the operations are only described.
    pub routing: Option<Arc<Router>>,
    /// The numbers of queues.
    pub wall: Arc<Wall>,
}

/// Every operation that is the same for every process.
pub fn actions(parts: &Parts) -> Vec<Action> {
    let mut all = auth::api::actions(&parts.auth, parts.registration);
    all.extend(resources().into_iter().flat_map(crud::actions));
    all.extend(routing::api::actions());
    all.extend(queues::api::actions(&parts.live, &parts.wall, parts.routing.as_ref()));
    all.extend(endpoints::api::actions());
    all.extend(contacts::api::actions());
    all.extend(tickets::api::actions());
    all.extend(chat::api::actions());
    all.extend(audit::api::actions());
    all.extend(tenants::api::actions(&parts.auth));
    all.extend(webhooks::api::actions(&parts.auth, &parts.guard, &parts.events));
    all.extend(plugins::api::actions(parts.plugins.as_ref()));
    all.extend(events::api::actions(&parts.events));
    let chapters: Vec<String> = all.iter().map(|action| action.operation.tag.clone()).collect();
    all.extend(users::api::actions(&parts.auth, chapters));
    all.extend(agents::api::actions());
    all.extend(calls::api::actions(&parts.signer, parts.control.as_ref()));
    all.extend(voicemail::api::actions(&parts.signer));
    all
}

/// What changes over the API tell, and every type of events.
pub fn events() -> Arc<Events> {
    let told = resources().into_iter().chain([&tenants::api::TENANTS, routing::api::defaults()]);
    let more =
        calls::events::kinds().into_iter().chain([webhooks::test_kind()]).chain(plugins::events::kinds());
    let more = more.chain(endpoints::registrations::kinds()).chain(queues::events::kinds());
    let more =
        more.chain(agents::pop::kinds()).chain(queues::board::kinds()).chain(queues::api::callback_kinds());
    Events::new(told, more, News::default())
}

/// The OpenAPI document, without a service.
///
/// # Errors
/// When the system has no randomness.
pub fn document() -> Result<serde_json::Value, Error> {
    let (actions, events) = (described()?, events());
    let told: Vec<Told<'_>> = events.catalogue.kinds().iter().map(Kind::told).collect();
    let envelope: &'static [Field] = &events::api::ENVELOPE;
    Ok(openapi::document(&actions, &models::table(&actions), EVENTS, (&told, envelope)))
}

/// Every operation, as data.
///
/// # Errors
/// When the system has no randomness.
pub fn operations() -> Result<Vec<Operation>, Error> {
    Ok(described()?.into_iter().map(|action| action.operation).collect())
}

/// Operations to be read, not called: the keys they would use open nothing.
fn described() -> Result<Vec<Action>, Error> {
    let clock = Clock::system();
    let secret = Secret::random().map_err(|e| Error::Said(e.to_string()))?;
    let auth =
        Auth::new(&secret, clock.clone(), IdSource::new(clock)).map_err(|e| Error::Said(e.to_string()))?;
    let (auth, events) = (Arc::new(auth), events());
    let (live, signer) = (Arc::new(LiveQueues::new(0)), Arc::new(Signer::new([0; 32], "")));
    let wall = Arc::new(Wall::new(0));
    let guard = Arc::default();
    Ok(actions(&Parts {
        auth,
        registration: false,
        events,
        guard,
        signer,
        plugins: None,
        live,
        wall,
        control: None,
        routing: None,
    }))
}

/// What stands before the operations.
///
/// # Errors
/// When the installation's secret can't be read.
pub fn gate(
    config: &Config,
    db: Db,
    clock: Clock,
    routing: Arc<Router>,
    auth: Arc<Auth>,
    events: Arc<Events>,
) -> std::io::Result<Arc<Gate>> {
    let rates = Rates {
        address: config.rate_address,
        actor: config.rate_actor,
        tenant: config.rate_tenant,
        logins: config.rate_logins,
    };
    Ok(Arc::new(Gate {
        db,
        clock,
        ids: routing.ids.clone(),
        cursors: Arc::new(page::Key::new(config.secret()?.expose().as_bytes())),
        auth,
        limiter: Limiter::new(rates),
        trusted: config.http_proxies.clone(),
        running: Running::default(),
        events,
        routing,
        data_dir: config.data_dir.as_path().into(),
    }))
}
