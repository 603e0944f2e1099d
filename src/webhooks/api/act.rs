//! Endpoints are made, changed, deleted, and get new secrets.

use serde_json::{Value, json};

use super::{CHANGED, MADE, NEW, Tools, WEBHOOKS};
use crate::api::check::show_time;
use crate::api::store::Scope;
use crate::api::{
    Action, Audited, Call, Change, Fault, Field, Handler, Input, Operation, Output, Problem, Record, Reply,
    Verb, crud,
};
use crate::auth::Auth;
use crate::base::ids::{Id, TenantId};
use crate::base::role::Roles;
use crate::config::limits::webhooks as limits;
use crate::db::{Tx, db_tx};
use crate::outgoing::{Guard, OutgoingUrl};
use crate::webhooks::sign::{KeyPair, Secret};
use crate::webhooks::{WebhookStatus, store};

static OVERLAP: &[Field] = &[Field::int(
    "overlap_s",
    0,
    limits::OVERLAP_S.1,
    "Seconds for which the secret before signs too, so that receivers can change over.",
)
.default("86400")];

/// The operations.
pub(super) fn actions(tools: &Tools) -> Vec<Action> {
    let base = |id, method, path, summary| Operation {
        output: Output::Record(&WEBHOOKS, 200),
        ..Operation::new(id, method, path, summary, Roles::ADMINS)
    };
    let (making, changing, turning) = (tools.clone(), tools.clone(), tools.clone());
    let create = Handler::write(move |call, tx| {
        let tools = making.clone();
        Box::pin(async move { create(call, tx, &tools).await })
    });
    let update = Handler::write(move |call, tx| {
        let tools = changing.clone();
        Box::pin(async move { update(call, tx, &tools).await })
    });
    let rotate = Handler::write(move |call, tx| {
        let tools = turning.clone();
        Box::pin(async move { rotate(call, tx, &tools.auth).await })
    });
    vec![
        Action {
            operation: Operation {
                input: Input::New(NEW, &[]),
                output: Output::Record(&WEBHOOKS, 201),
                once: MADE,
                problems: &[(409, "limit", "The tenant has as many endpoints as it may.")],
                ..base("webhooks.create", "POST", "/webhooks", "Make a webhook")
            },
            handler: create,
        },
        Action {
            operation: Operation {
                doc: "Changes count for what is sent from then on, retries included.".into(),
                input: Input::Patch(CHANGED, &[]),
                ..base("webhooks.update", "PATCH", "/webhooks/{id}", "Change a webhook")
            },
            handler: update,
        },
        Action {
            operation: Operation {
                doc: "What it has not got yet is cancelled.".into(),
                output: Output::Empty,
                ..base("webhooks.delete", "DELETE", "/webhooks/{id}", "Delete a webhook")
            },
            handler: Handler::write(|call, tx| Box::pin(remove(call, tx))),
        },
        Action {
            operation: Operation {
                doc: "Makes a new secret, shown once. The one before signs too for `overlap_s` seconds: both signatures are \
                      in the header, so that receivers take either."
                    .into(),
                input: Input::New(OVERLAP, &[]),
                once: MADE,
                ..base("webhooks.rotate-secret", "POST", "/webhooks/{id}/rotate-secret", "Change a webhook's secret")
            },
            handler: rotate,
        },
    ]
}

/// What a change tells beside that it was changed.
pub(super) fn tells(line: &Audited) -> Option<&'static str> {
    line.action.ends_with(".disable").then_some("webhook.disabled")
}

/// A literal address that could never be reached is refused at once; a name is looked at whenever it is called. Without
/// a signature nothing could be sent.
fn sound(call: &Call, guard: &Guard) -> Result<(), Problem> {
    let mut faults = Vec::new();
    let literal = call.text("url").parse::<OutgoingUrl>().ok().and_then(|url| url.literal());
    if let Some(Err(refusal)) = literal.map(|address| guard.vet(address)) {
        faults.push(Fault::at("url", format!("This address can't be called: {refusal}.")));
    }
    if call.body.get("signatures").and_then(Value::as_array).is_some_and(Vec::is_empty) {
        faults.push(Fault::at("signatures", "At least one, or nothing could be sent."));
    }
    if faults.is_empty() { Ok(()) } else { Err(Problem::invalid(faults)) }
}

/// The texts of a list.
fn texts(list: Option<&Value>) -> Vec<&str> {
    list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

async fn create(call: &Call, tx: &mut Tx, tools: &Tools) -> Result<Reply, Problem> {
    const COUNT: &str = "SELECT COUNT(*) FROM webhooks WHERE tenant_id = ? AND deleted_at = 0";
    let (tenant, auth) = (call.tenant()?, &*tools.auth);
    sound(call, &tools.guard)?;
    tools.readable(call, &texts(call.body.get("types")))?;
    let position = head(tx, tenant).await?;
    // One at a time: the row of the tenant's cursor is locked by it.
    store::begin_handing_out(tx, tenant, position).await?;
    let sql = sqlx::AssertSqlSafe(format!("{COUNT}{}", tx.pick("", " LOCK IN SHARE MODE")));
    let count: i64 = db_tx!(&mut *tx, |c| sqlx::query_scalar(sql).bind(tenant.as_str()).fetch_one(c).await)?;
    if count >= limits::ENDPOINTS {
        let why = format!("A tenant has at most {} endpoints.", limits::ENDPOINTS);
        return Err(Problem::conflict("limit", why));
    }
    let id = call.ids.next();
    let secret = match call.text("secret") {
        "" => new_secret()?,
        given => given.parse().map_err(Problem::internal)?,
    };
    let mut seed = [0_u8; 32];
    getrandom::fill(&mut seed).map_err(Problem::internal)?;
    let pair = KeyPair::from_seed(&seed).map_err(Problem::internal)?;
    let mut given = call.body.clone();
    given.remove("secret");
    seal_headers(auth, &id, &mut given)?;
    given.insert("secret".into(), sealed(auth, &id, &raw(&secret)?)?);
    given.insert("old_secret".into(), "".into());
    given.insert("private_key".into(), sealed(auth, &id, &seed)?);
    given.insert("public_key".into(), pair.public().into());
    given.insert("status".into(), WebhookStatus::Active.as_str().into());
    given.insert("from_position".into(), position.into());
    let scope = Scope::tenant(tenant);
    let mut change = change(Verb::Create, &id, Record::new(), given);
    crud::apply(call, tx, &WEBHOOKS, &scope, &mut change).await?;
    let mut reply = Reply::created(change.after.clone(), format!("/api/v1/webhooks/{id}"));
    reply.once.insert("secret".into(), secret.expose().into());
    Ok(reply.audited(crud::line(&WEBHOOKS, "create", id.to_string(), Record::new(), change.after)))
}

async fn update(call: &Call, tx: &mut Tx, tools: &Tools) -> Result<Reply, Problem> {
    const RELEASE: &str = "UPDATE webhook_deliveries SET status = 'pending', owner = '' \
         WHERE webhook_id = ? AND status = 'waiting'";
    let (tenant, scope) = (call.tenant()?, Scope::tenant(call.tenant()?));
    sound(call, &tools.guard)?;
    let before = crud::current(call, tx, &WEBHOOKS, &scope).await?;
    // A new address would get what the endpoint wants already.
    tools.readable(call, &texts(call.body.get("types").or(before.get("types"))))?;
    let id = Id::parse(call.part(crud::ID)).map_err(|_| Problem::not_found(WEBHOOKS.one))?;
    let mut given = call.body.clone();
    seal_headers(&tools.auth, &id, &mut given)?;
    let was_disabled = before.get("status").and_then(Value::as_str) == Some(WebhookStatus::Disabled.as_str());
    if was_disabled && given.get("status").is_some() {
        given.insert("disabled_reason".into(), Value::Null);
        given.insert("failing_since".into(), Value::Null);
        given.insert("failures".into(), json!(0));
        given.insert("from_position".into(), json!(head(tx, tenant).await?));
    }
    if given.get("ordered") == Some(&json!(false)) {
        // Nobody would let go what waits behind others.
        db_tx!(&mut *tx, |c| sqlx::query(RELEASE).bind(id.as_str()).execute(c).await.map(drop))?;
    }
    let mut change = change(Verb::Update, &id, before, given);
    crud::apply(call, tx, &WEBHOOKS, &scope, &mut change).await?;
    let line = crud::line(&WEBHOOKS, "update", id.to_string(), change.before, change.after.clone());
    Ok(Reply::record(change.after).audited(line))
}

async fn remove(call: &Call, tx: &mut Tx) -> Result<Reply, Problem> {
    let scope = Scope::tenant(call.tenant()?);
    let before = crud::current(call, tx, &WEBHOOKS, &scope).await?;
    let id = Id::parse(call.part(crud::ID)).map_err(|_| Problem::not_found(WEBHOOKS.one))?;
    let mut change = change(Verb::Remove, &id, before, Record::new());
    crud::apply(call, tx, &WEBHOOKS, &scope, &mut change).await?;
    store::cancel(tx, id.as_str(), call.now_us()).await?;
    Ok(Reply::empty().audited(crud::line(&WEBHOOKS, "delete", id.to_string(), change.before, Record::new())))
}

async fn rotate(call: &Call, tx: &mut Tx, auth: &Auth) -> Result<Reply, Problem> {
    const OLD: &str = "SELECT secret FROM webhooks WHERE tenant_id = ? AND id = ? AND deleted_at = 0";
    let (tenant, scope) = (call.tenant()?, Scope::tenant(call.tenant()?));
    let before = crud::current(call, tx, &WEBHOOKS, &scope).await?;
    let id = Id::parse(call.part(crud::ID)).map_err(|_| Problem::not_found(WEBHOOKS.one))?;
    let old: String = db_tx!(&mut *tx, |c| sqlx::query_scalar(OLD)
        .bind(tenant.as_str())
        .bind(id.as_str())
        .fetch_one(c)
        .await)?;
    let overlap_s = call.body.get("overlap_s").and_then(Value::as_i64).unwrap_or(0);
    let secret = new_secret()?;
    let until = (overlap_s > 0).then(|| show_time(call.now_us() + overlap_s * 1_000_000));
    let given = Record::from_iter([
        ("secret".to_owned(), sealed(auth, &id, &raw(&secret)?)?),
        ("old_secret".to_owned(), if until.is_some() { old.into() } else { "".into() }),
        ("old_secret_until".to_owned(), json!(until)),
    ]);
    let mut change = change(Verb::Update, &id, before, given);
    crud::apply(call, tx, &WEBHOOKS, &scope, &mut change).await?;
    let line = crud::line(&WEBHOOKS, "rotate-secret", id.to_string(), change.before, change.after.clone());
    let mut reply = Reply::record(change.after).audited(line);
    reply.once.insert("secret".into(), secret.expose().into());
    Ok(reply)
}

fn change(verb: Verb, id: &Id, before: Record, given: Record) -> Change {
    Change::new(verb, id.to_string(), before, given)
}

/// How far the tenant's events go at this moment.
async fn head(tx: &mut Tx, tenant: &TenantId) -> Result<i64, Problem> {
    const SQL: &str = "SELECT position FROM event_heads WHERE tenant_id = ?";
    let found: Option<i64> =
        db_tx!(tx, |c| sqlx::query_scalar(SQL).bind(tenant.as_str()).fetch_optional(c).await)?;
    Ok(found.unwrap_or(0))
}

fn new_secret() -> Result<Secret, Problem> {
    let mut bytes = [0_u8; limits::SECRET_BYTES];
    getrandom::fill(&mut bytes).map_err(Problem::internal)?;
    Secret::from_bytes(&bytes).map_err(Problem::internal)
}

/// A secret's bytes, out of its written form.
fn raw(secret: &Secret) -> Result<Vec<u8>, Problem> {
    use base64::Engine;
    let text = secret.expose();
    let encoded = text.strip_prefix("whsec_").unwrap_or_default();
    base64::prelude::BASE64_STANDARD.decode(encoded).map_err(Problem::internal)
}

fn sealed(auth: &Auth, id: &Id, bytes: &[u8]) -> Result<Value, Problem> {
    auth.sealer.seal(id.as_str(), bytes).map(Value::String).map_err(Problem::internal)
}

/// Turns the headers of a body into what is kept: sealed, with their names beside them.
fn seal_headers(auth: &Auth, id: &Id, given: &mut Record) -> Result<(), Problem> {
    let Some(Value::Object(headers)) = given.remove("headers") else { return Ok(()) };
    let names: Vec<String> = headers.keys().map(|name| name.to_ascii_lowercase()).collect();
    let pairs: Vec<(&String, &str)> =
        headers.iter().map(|(name, value)| (name, value.as_str().unwrap_or_default())).collect();
    let text = if pairs.is_empty() {
        Value::String(String::new())
    } else {
        sealed(auth, id, &serde_json::to_vec(&pairs).map_err(Problem::internal)?)?
    };
    given.insert("headers_secret".into(), text);
    given.insert("header_names".into(), json!(names));
    Ok(())
}
