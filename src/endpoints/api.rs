//! Endpoints as a collection; with each go the rows that Asterisk reads of it, and a password that is shown once.

use serde_json::{Value, json};

use super::ara_store::{self, Phone};
use super::trunks;
use crate::agents;
use crate::api::{
    Action, Audited, Call, Change, Doing, Field, Handler, Hooks, Input, Null, Operation, Output, Problem,
    Record, Reply, Resource, Target, Verb, Who, check, crud, rules, store,
};
use crate::base::ids::{Name, TenantId};
use crate::base::role::Roles;
use crate::base::secret::Secret;
use crate::base::words::words;
use crate::config::limits::{endpoints as limits, routing};
use crate::db::{Tx, db_read, db_tx};
use crate::routing::Named;
use crate::tenants::{Room, room_for};

/// Where references to endpoints lead.
pub static ENDPOINT: Target = Target { one: "endpoint", table: "endpoints", column: "id", soft: false };

words! {
    /// Whether an endpoint may call and be called.
    pub enum EndpointStatus {
        /// It may.
        Active = "active",
        /// It may not.
        Inactive = "inactive",
    }
}

words! {
    /// What an endpoint is, and so how Asterisk speaks to it.
    pub enum Template {
        /// A phone on a desk, or a program, over SIP; also behind NAT.
        Desk = "desk",
        /// A browser, over WebSocket, encrypted.
        Webrtc = "webrtc",
        /// Another exchange, or a carrier: its calls come from outside.
        Trunk = "trunk",
    }
}

/// The name an endpoint has in Asterisk and signs in with.
const USERNAME: Field =
    Field::text("username", 1, 40, "The name it signs in with, which is its name in Asterisk.")
        .example("\"acme-101\"")
        .column("CONCAT(tenant_id, '-', name)")
        .server();

/// `/endpoints`
pub static ENDPOINTS: Resource = Resource {
    name: "endpoints",
    one: "endpoint",
    path: "/endpoints",
    doc: "Phones. The name is the extension too. Making one answers with `password`, which is shown then and never again; \
          POST /endpoints/{id}/secret makes another.",
    table: "endpoints",
    index: "endpoints_created",
    routing: true,
    fields: &[
        Field::rule("name", &rules::NAME, "Its name, which is its extension; no queue has that extension.")
            .example("\"101\"")
            .once()
            .filter()
            .sort()
            .search(),
        USERNAME,
        Field::text("display_name", 0, 200, "Its name for people, shown to who is called.")
            .default("\"\"")
            .example("\"Front desk\"")
            .sort()
            .search(),
        Field::one_of("status", EndpointStatus::WORDS, "Whether it may call and be called.")
            .default("\"active\"")
            .filter(),
        Field::rule("mailbox", &rules::NAME, "Name of the mailbox for calls it does not answer.")
            .nullable(Null::Empty)
            .filter(),
        Field::rule("caller_number", &rules::NUMBER, "The number it shows outside.").nullable(Null::Empty),
        Field::one_of(
            "template",
            Template::WORDS,
            "What it is: a phone or program over SIP, also behind NAT; a browser, over a WebSocket and encrypted; or a trunk: \
             another exchange or a carrier, whose calls come from outside.",
        )
        .default("\"desk\"")
        .once()
        .filter(),
        Field::texts(
            "addresses",
            limits::TRUNK_ADDRESSES,
            &trunks::ADDRESS,
            "A trunk's addresses and networks, from which its calls come without a password; one that has none signs in. Given \
             by who runs the platform alone; no other trunk has them.",
        )
        .default("[]"),
        Field::rule(
            "contact",
            &trunks::CONTACT,
            "Where calls to a trunk go that does not register. Given by who runs the platform alone.",
        )
        .nullable(Null::Empty),
        Field::int(
            "max_registrations",
            1,
            limits::PHONES,
            "Phones that may be registered as it at the same time: all ring. One more takes the place of the one that runs \
             out first.",
        )
        .default("1"),
        Field::int("ring_timeout_s", 1, routing::WAIT_S as i64, "Seconds it rings.").default("30"),
        Field::flag("record", "Whether its calls are recorded.").default("false"),
        Field::flag("registered", "Whether a phone is registered as it.").server().filter(),
        Field::time("registered_since", "Since when.").nullable(Null::Null).server(),
    ],
    hooks: Hooks { before: Some(before), after: Some(after) },
    ..Resource::PLAIN
};

static SECRET: &[Field] = &[
    Field::text("username", 1, 40, "The name it signs in with.").example("\"acme-101\""),
    Field::text("password", 1, 80, "The new password; the one before is void."),
];
static REGISTRATION: &[Field] = &[
    Field::text("id", 1, 255, "Asterisk's name of it."),
    Field::maybe("uri", 511, "Where the phone is."),
    Field::time("expires_at", "When it runs out unless it is renewed.").nullable(Null::Null),
    Field::maybe("user_agent", 255, "What the phone calls itself."),
    Field::maybe("address", 40, "The address it came from."),
    Field::int("port", 0, 65_535, "The port it came from.").nullable(Null::Null),
    Field::maybe("server", 255, "The Asterisk that took it."),
];

/// What is no collection.
pub fn actions() -> Vec<Action> {
    let secret = Operation {
        id: "endpoints.secret".into(),
        method: "POST",
        path: "/endpoints/{id}/secret".into(),
        tag: "endpoints".into(),
        summary: "Make a new password".into(),
        doc: "The phone must sign in anew with it. It is shown in this answer only.".into(),
        who: Who::Roles(Roles::ADMINS),
        query: Vec::new(),
        input: Input::None,
        output: Output::Object("EndpointSecret", SECRET, 200),
        own: None,
        once: &[],
        problems: &[],
        again: "",
        deadline: Operation::DEADLINE,
    };
    let registrations = Operation {
        id: "endpoints.registrations".into(),
        method: "GET",
        path: "/endpoints/{id}/registrations".into(),
        tag: "endpoints".into(),
        summary: "List an endpoint's registrations".into(),
        doc: "Where phones have signed in as this endpoint, as Asterisk wrote it down; those that ran out are left out."
            .into(),
        who: Who::Roles(Roles::ALL),
        query: Vec::new(),
        input: Input::None,
        output: Output::Objects("Registration", REGISTRATION),
        own: None,
        once: &[],
        problems: &[],
        again: "",
        deadline: Operation::DEADLINE,
    };
    vec![
        Action { operation: secret, handler: Handler::write(new_secret) },
        Action { operation: registrations, handler: Handler::read(list_registrations) },
    ]
}

fn before<'a>(call: &'a Call, tx: &'a mut Tx, change: &'a mut Change) -> Doing<'a, Result<(), Problem>> {
    const TAKEN: &str = "SELECT COUNT(*) FROM queues WHERE tenant_id = ? AND extension = ?";
    Box::pin(async move {
        let tenant = call.tenant()?;
        match change.verb {
            Verb::Remove => {
                Named::Endpoint.unused(tx, tenant, change.text("name")).await?;
                let (also, _) = agents::clear(call, tx, &change.id).await?;
                change.also.extend(also);
                return Ok(());
            }
            Verb::Create => {
                room_for(tx, tenant, Room::Endpoints).await?;
                // A locking read: MariaDB's plain one may be older than another's change.
                let taken = format!("{TAKEN}{}", tx.pick("", " LOCK IN SHARE MODE"));
                let others: i64 = db_tx!(&mut *tx, |c| sqlx::query_scalar(sqlx::AssertSqlSafe(taken))
                    .bind(tenant.as_str())
                    .bind(change.text("name"))
                    .fetch_one(c)
                    .await?);
                if others > 0 {
                    change.fault("name", "A queue has this extension.");
                }
            }
            Verb::Update => {}
        }
        trunks::check(tx, call, change).await?;
        let mailbox = change.given.get("mailbox").and_then(Value::as_str).map(str::to_owned);
        if let Some(mailbox) = mailbox
            && !Named::Mailbox.exists(tx, tenant, &mailbox).await?
        {
            change.fault("mailbox", "There is no such mailbox.");
        }
        Ok(())
    })
}

fn after<'a>(call: &'a Call, tx: &'a mut Tx, change: &'a mut Change) -> Doing<'a, Result<(), Problem>> {
    Box::pin(async move {
        let tenant = call.tenant()?;
        let record = if change.verb == Verb::Remove { &change.before } else { &change.after };
        let text = |name: &str| record.get(name).and_then(Value::as_str).unwrap_or_default();
        let name = Name::parse(text("name")).map_err(Problem::internal)?;
        let phone = Phone {
            name: &name,
            display_name: text("display_name"),
            mailbox: text("mailbox"),
            template: Template::parse(text("template")).unwrap_or(Template::Desk),
            registrations: record.get("max_registrations").and_then(Value::as_u64).unwrap_or(1),
        };
        match change.verb {
            Verb::Create => {
                let password = introduce(tx, tenant, &phone, call.now_us()).await?;
                change.once.insert("password".into(), json!(password.expose()));
            }
            Verb::Update => ara_store::update(tx, tenant, &phone, call.now_us()).await?,
            Verb::Remove => ara_store::remove(tx, tenant, &name).await?,
        }
        trunks::write(tx, tenant, &name, change, call.now_us()).await
    })
}

/// Writes what Asterisk reads of an endpoint that it knows nothing of. Returns its password, which is kept for Asterisk
/// and told nobody again.
///
/// # Errors
/// When the rows are there, when the database is away.
pub(crate) async fn introduce(
    tx: &mut Tx,
    tenant: &TenantId,
    phone: &Phone<'_>,
    now_us: i64,
) -> Result<Secret, Problem> {
    let password = password()?;
    ara_store::insert(tx, tenant, phone, &password, now_us).await?;
    Ok(password)
}

/// 128 random bits that any phone's form takes.
fn password() -> Result<Secret, Problem> {
    let random = Secret::random().map_err(Problem::internal)?;
    Ok(Secret::new(random.expose().chars().take(limits::PASSWORD_CHARACTERS).collect::<String>()))
}

fn new_secret<'a>(call: &'a Call, tx: &'a mut Tx) -> Doing<'a, Result<Reply, Problem>> {
    Box::pin(async move {
        let tenant = call.tenant()?;
        let scope = store::Scope::tenant(tenant);
        let before = crud::current(call, tx, &ENDPOINTS, &scope).await?;
        let name = before.get("name").and_then(Value::as_str).unwrap_or_default();
        let name = Name::parse(name).map_err(Problem::internal)?;
        let password = password()?;
        ara_store::set_password(tx, tenant, &name, &password, call.now_us()).await?;
        let username = before.get("username").cloned().unwrap_or_default();
        let mut reply = Reply::json(json!({"username": username}));
        // Asterisk is told with its next question.
        reply.routing = true;
        reply.once.insert("password".into(), json!(password.expose()));
        Ok(reply.audited(Audited {
            action: "endpoints.secret".into(),
            object_type: "endpoints".into(),
            object_id: call.part(crud::ID).to_owned(),
            before: Record::new(),
            after: Record::from_iter([("password".to_owned(), json!("[secret]"))]),
        }))
    })
}

type Row = (String, Option<String>, Option<i64>, Option<String>, Option<String>, Option<i64>, Option<String>);

fn list_registrations(call: &Call) -> Doing<'_, Result<Reply, Problem>> {
    const SQL: &str = "SELECT id, uri, expiration_time, user_agent, via_addr, via_port, reg_server FROM ps_contacts \
         WHERE tenant_id = ? AND endpoint = ? AND (expiration_time IS NULL OR expiration_time > ?) ORDER BY id LIMIT ?";
    Box::pin(async move {
        let tenant: &TenantId = call.tenant()?;
        let found =
            store::get(&call.db, &ENDPOINTS, &store::Scope::tenant(tenant), call.part(crud::ID)).await?;
        let found = found.ok_or_else(|| Problem::not_found(ENDPOINTS.one))?;
        let username = found.get("username").and_then(Value::as_str).unwrap_or_default();
        let rows: Vec<Row> = db_read!(&call.db, |p| sqlx::query_as(SQL)
            .bind(tenant.as_str())
            .bind(username)
            .bind(call.now_us() / 1_000_000)
            .bind(limits::REGISTRATIONS)
            .fetch_all(p)
            .await?);
        let data: Vec<Value> = rows
            .into_iter()
            .map(|(id, uri, expires, agent, address, port, server)| {
                let expires = expires.map(|s| check::show_time(s.saturating_mul(1_000_000)));
                json!({"id": id, "uri": uri, "expires_at": expires, "user_agent": agent, "address": address,
                       "port": port, "server": server})
            })
            .collect();
        Ok(Reply::json(json!({"data": data})))
    })
}
