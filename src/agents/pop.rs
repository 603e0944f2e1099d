//! The screen pop: who calls, shown to the agent whose phone rings, from the moment it rings to the end of the talk.

use serde_json::{Value, json};

use super::api::user;
use super::{Parts, PhoneState};
use crate::api::check::show_time;
use crate::api::{
    Action, Call, Doing, Field, Handler, Null, Operation, Output, Own, Problem, Record, Reply, Shape, rules,
};
use crate::base::ids::TenantId;
use crate::base::role::Roles;
use crate::config::limits::{agents as limits, routing};
use crate::contacts::{self, Card};
use crate::db::{Db, Tx, db_read, db_tx};
use crate::events::{Data, Draft, Kind};

static CONTACT: Shape = Shape {
    bytes: usize::MAX,
    check: |_, _| {},
    schema: r#"{"type":["object","null"],"additionalProperties":false,"required":["id","name","company","tags"],"properties":{
        "id":{"type":"string","description":"The contact."},
        "name":{"type":"string","description":"Both names; may be empty."},
        "company":{"type":["string","null"],"description":"Company."},
        "tags":{"type":"array","items":{"type":"string"},"description":"Names of its tags."}}}"#,
    example: r#"{"id":"01kb2x8v9q3d5s7f1g4h6j8k0m","name":"Vera Vip","company":null,"tags":["vip"]}"#,
};

static CALLS: Shape = Shape {
    bytes: usize::MAX,
    check: |_, _| {},
    schema: r#"{"type":"array","items":{"type":"object","additionalProperties":false,
        "required":["call_id","direction","started_at","disposition","billed_s","queue"],"properties":{
        "call_id":{"type":"string","description":"The call."},
        "direction":{"type":"string","description":"How it came."},
        "started_at":{"type":"string","format":"date-time","description":"When it began."},
        "disposition":{"type":"string","description":"How it ended."},
        "billed_s":{"type":"integer","minimum":0,"description":"Seconds from the answer to the end."},
        "queue":{"type":["string","null"],"description":"The queue it went to."}}}}"#,
    example: r#"[{"call_id":"01kb2x8v9q3d5s7f1g4h6j8k0m","direction":"inbound","started_at":"2026-11-22T11:21:37Z",
        "disposition":"ANSWERED","billed_s":61,"queue":"support"}]"#,
};

static TICKETS: Shape = Shape {
    bytes: usize::MAX,
    check: |_, _| {},
    schema: r#"{"type":"array","items":{"type":"object","additionalProperties":false,
        "required":["id","number","subject","status","priority","created_at"],"properties":{
        "id":{"type":"string","description":"The ticket."},
        "number":{"type":"integer","minimum":1,"description":"Its number."},
        "subject":{"type":"string","description":"What it is about; the first 200 characters."},
        "status":{"type":"string","description":"How far it is."},
        "priority":{"type":"string","description":"How urgent."},
        "created_at":{"type":"string","format":"date-time","description":"When it was made."}}}}"#,
    example: r#"[{"id":"01kb2x8v9q3d5s7f1g4h6j8k0m","number":17,"subject":"No dial tone","status":"open","priority":"high",
        "created_at":"2026-11-22T11:21:37Z"}]"#,
};

static POP: [Field; 13] = [
    Field::id("agent_id", "The agent.").server(),
    Field::id("user_id", "The user.").server(),
    Field::id("endpoint_id", "The phone.").nullable(Null::Null).server(),
    Field::rule("extension", &rules::NAME, "Its extension.").nullable(Null::Empty).server(),
    Field::one_of("phone_state", PhoneState::WORDS, "Whether it rings or somebody talks.").server(),
    Field::id("call_id", "The call.").nullable(Null::Empty).server(),
    Field::maybe("caller_number", routing::TEXT_CHARS, "The caller's number; null: withheld.").server(),
    Field::maybe("caller_name", routing::TEXT_CHARS, "The caller's name, as the network tells it.").server(),
    Field::maybe("queue", 20, "The queue that the call comes from.").example("\"support\"").server(),
    Field::json("contact", &CONTACT, "The contact that has the number; null: nobody has.")
        .nullable(Null::Null)
        .server(),
    Field::json("calls", &CALLS, "The last five calls from the number, the newest first.").server(),
    Field::json(
        "tickets",
        &TICKETS,
        "Open tickets of the contact that are the agent's or nobody's; the newest ten.",
    )
    .server(),
    Field::int("open_tickets", 0, i64::MAX, "All open tickets of the contact.").server(),
];

/// The type of events that shows who calls.
pub fn kinds() -> Vec<Kind> {
    vec![Kind {
        name: "agent.screen_pop".into(),
        doc: "An agent's phone rings: who calls, and what is known of the caller.".into(),
        key: "agent:<agent_id>".into(),
        data: Data::Fields("ScreenPop", &POP),
        readers: Roles::AGENTS,
        own: Some(Own { roles: Roles::ONLY_AGENTS, columns: &["user_id"], or_nobody: false }),
        chapter: "agents".into(),
    }]
}

/// `/agents/me/screen-pop`
pub(super) fn action() -> Action {
    Action {
        operation: Operation {
            doc: "As `agent.screen_pop` told it, with what is true now; from the first ring to the end of the talk.".into(),
            output: Output::Object("ScreenPop", &POP, 200),
            problems: &[(404, "not-found", "Nobody calls the phone at which the user sits.")],
            ..Operation::new(
                "agents.me.screen-pop",
                "GET",
                "/agents/me/screen-pop",
                "See who calls",
                Roles::AGENTS,
            )
        },
        handler: Handler::read(show),
    }
}

fn show(call: &Call) -> Doing<'_, Result<Reply, Problem>> {
    Box::pin(async move {
        let user = user(call)?;
        let made = make(&call.db, call.tenant()?, user.as_str()).await?;
        made.map(|pop| Reply::json(Value::Object(pop)))
            .ok_or_else(|| Problem::not_found("call at your phone"))
    })
}

/// Tells an agent who calls, in the transaction in which the phone was written down. Returns the position of the event.
///
/// # Errors
/// When the database is away.
pub(super) async fn tell(
    tx: &mut Tx,
    parts: &Parts,
    (tenant, now_us): (&TenantId, i64),
    user: &str,
) -> sqlx::Result<Option<i64>> {
    let rings: Option<Rings> =
        db_tx!(&mut *tx, |c| sqlx::query_as(RINGS).bind(tenant.as_str()).bind(user).fetch_optional(c).await)?;
    let Some(rings) = rings else { return Ok(None) };
    let draft = Draft {
        kind: "agent.screen_pop".into(),
        key: format!("agent:{}", rings.id),
        at_us: now_us,
        owners: Some(vec![user.to_owned()]),
        data: shown(&parts.db, tenant, user, rings).await?,
    };
    parts.events.write_after(tx, &parts.ids, (tenant, now_us), vec![draft], &[]).await
}

/// Who sits where, and who calls there.
#[derive(sqlx::FromRow)]
struct Rings {
    id: String,
    endpoint_id: Option<String>,
    extension: String,
    phone_state: String,
    phone_call_id: String,
    phone_number: String,
    phone_name: String,
    phone_queue: String,
}

const RINGS: &str = "SELECT id, endpoint_id, extension, phone_state, phone_call_id, phone_number, phone_name, phone_queue \
     FROM agent_states WHERE tenant_id = ? AND user_id = ? AND phone_state <> 'idle'";

/// The screen pop of a user as it is now; `None`: nobody calls.
///
/// # Errors
/// When the database is away.
pub async fn make(db: &Db, tenant: &TenantId, user: &str) -> sqlx::Result<Option<Record>> {
    let rings: Option<Rings> =
        db_read!(db, |p| sqlx::query_as(RINGS).bind(tenant.as_str()).bind(user).fetch_optional(p).await)?;
    match rings {
        Some(rings) => shown(db, tenant, user, rings).await.map(Some),
        None => Ok(None),
    }
}

/// Who calls, with what is known of the caller.
async fn shown(db: &Db, tenant: &TenantId, user: &str, rings: Rings) -> sqlx::Result<Record> {
    let contact = contacts::card_of(db, tenant, &rings.phone_number).await?;
    let calls = calls(db, tenant, &rings.phone_number).await?;
    let (tickets, open) = match &contact {
        Some(contact) => tickets(db, tenant, (&contact.id, user)).await?,
        None => (Vec::new(), 0),
    };
    let some = |text: String| Some(text).filter(|text| !text.is_empty());
    let known = |card: &Card| json!({"id": card.id, "name": card.name, "company": some(card.company.clone()), "tags": card.tags});
    let shown = [
        ("agent_id", json!(rings.id)),
        ("user_id", json!(user)),
        ("endpoint_id", json!(rings.endpoint_id)),
        ("extension", json!(some(rings.extension))),
        ("phone_state", json!(rings.phone_state)),
        ("call_id", json!(some(rings.phone_call_id))),
        ("caller_number", json!(some(rings.phone_number))),
        ("caller_name", json!(some(rings.phone_name))),
        ("queue", json!(some(rings.phone_queue))),
        ("contact", json!(contact.as_ref().map(known))),
        ("calls", json!(calls)),
        ("tickets", json!(tickets)),
        ("open_tickets", json!(open)),
    ];
    Ok(shown.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// The last calls from a number, as it is written and as E.164.
async fn calls(db: &Db, tenant: &TenantId, number: &str) -> sqlx::Result<Vec<Value>> {
    const SQL: &str = "SELECT call_id, direction, started_at, disposition, billed_s, queue FROM cdrs \
         WHERE tenant_id = ? AND caller_number IN (?, ?) ORDER BY started_at DESC LIMIT ?";
    if number.is_empty() {
        return Ok(Vec::new());
    }
    let e164 =
        crate::base::ids::Number::from_dialled(number).map_or_else(|_| number.to_owned(), |n| n.to_string());
    let rows: Vec<(String, String, i64, String, i64, String)> = db_read!(db, |p| sqlx::query_as(SQL)
        .bind(tenant.as_str())
        .bind(number)
        .bind(&e164)
        .bind(limits::POP_CALLS)
        .fetch_all(p)
        .await)?;
    let shown = rows.into_iter().map(|(call, direction, at, disposition, billed_s, queue)| {
        json!({"call_id": call, "direction": direction, "started_at": show_time(at), "disposition": disposition,
               "billed_s": billed_s, "queue": Some(queue).filter(|queue| !queue.is_empty())})
    });
    Ok(shown.collect())
}

/// Open tickets of a contact: those that the user would see over REST as an agent, and how many there are.
async fn tickets(
    db: &Db,
    tenant: &TenantId,
    (contact, user): (&str, &str),
) -> sqlx::Result<(Vec<Value>, i64)> {
    const SQL: &str = "SELECT id, number, subject, status, priority, created_at FROM tickets WHERE tenant_id = ? \
         AND contact_id = ? AND status IN ('open', 'in_progress', 'pending') AND deleted_at = 0 \
         AND (assigned_to = ? OR assigned_to IS NULL) ORDER BY created_at DESC, id DESC LIMIT ?";
    const ALL: &str = "SELECT COUNT(*) FROM tickets WHERE tenant_id = ? AND contact_id = ? \
         AND status IN ('open', 'in_progress', 'pending') AND deleted_at = 0";
    let rows: Vec<(String, i64, String, String, String, i64)> = db_read!(db, |p| sqlx::query_as(SQL)
        .bind(tenant.as_str())
        .bind(contact)
        .bind(user)
        .bind(limits::POP_TICKETS)
        .fetch_all(p)
        .await)?;
    let all: i64 =
        db_read!(db, |p| sqlx::query_scalar(ALL).bind(tenant.as_str()).bind(contact).fetch_one(p).await)?;
    let shown = rows.into_iter().map(|(id, number, subject, status, priority, at)| {
        let subject: String = subject.chars().take(limits::POP_SUBJECT_CHARACTERS).collect();
        json!({"id": id, "number": number, "subject": subject, "status": status, "priority": priority,
               "created_at": show_time(at)})
    });
    Ok((shown.collect(), all))
}
