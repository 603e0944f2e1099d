//! Changes of tenants. Each is on record with the tenant it changes; a purge with the platform.

use serde_json::{Value, json};

use super::TENANTS;
use super::fields::OWN;
use super::read::{named, scope};
use crate::api::check::show_time;
use crate::api::store::{self, Scope};
use crate::api::{Audited, Call, Caller, Doing, Fault, Problem, Record, Reply, crud};
use crate::auth::{Auth, Why, keys_of, revoke_tenant};
use crate::base::ids::TenantId;
use crate::base::role::Role;
use crate::base::secret::Secret;
use crate::db::{Tx, is_unique_violation};
use crate::tenants::store as tenants;
use crate::tenants::{Tenant, TenantStatus, whole};
use crate::users::{Email, NewUser, insert_user, set_role};

fn reply(reply: Reply, tenant: &TenantId, verb: &str, before: Record, after: Record) -> Reply {
    let line = Audited {
        action: format!("tenants.{verb}").into(),
        object_type: "tenants".into(),
        object_id: tenant.to_string(),
        before,
        after,
    };
    Reply { whose: Some(tenant.clone()), routing: true, ..reply.audited(line) }
}

fn taken(error: sqlx::Error, what: &str) -> Problem {
    if is_unique_violation(&error) {
        return Problem::conflict("taken", format!("This {what} is taken; choose another."));
    }
    error.into()
}

/// Hashes the first admin's password before the transaction.
pub(super) async fn prepare(auth: &Auth, call: &Call) -> Result<Record, Problem> {
    let mut prepared = Record::new();
    if call.text("admin_email").is_empty() {
        return Ok(prepared);
    }
    let email = admin_email(call)?;
    let password = match call.text("admin_password") {
        "" => {
            let made = Auth::new_password()?;
            prepared.insert("shown".into(), made.expose().into());
            made
        }
        given => Secret::new(given),
    };
    prepared.insert("hash".into(), auth.hash_new("admin_password", &password, &email).await?.into());
    Ok(prepared)
}

fn admin_email(call: &Call) -> Result<Email, Problem> {
    Email::parse(call.text("admin_email"))
        .map_err(|why| Problem::invalid_field("admin_email", why.to_string()))
}

pub(super) fn create<'a>(call: &'a Call, tx: &'a mut Tx) -> Doing<'a, Result<Reply, Problem>> {
    Box::pin(async move {
        let id =
            TenantId::parse(call.text("id")).map_err(|why| Problem::invalid_field("id", why.to_string()))?;
        let now_us = call.now_us();
        let tenant = Tenant {
            id: id.clone(),
            name: call.text("name").to_owned(),
            status: TenantStatus::parse(call.text("status")).unwrap_or(TenantStatus::Active),
            language: call.text("language").to_owned(),
            zone: call.text("zone").to_owned(),
            max_agents: 0,
            max_dids: 0,
            max_concurrent_calls: 0,
            features: Vec::new(),
        };
        if tenants::was_purged(tx, &id).await? {
            return Err(Problem::conflict("taken", "This tenant id is taken."));
        }
        tenants::insert(tx, &tenant, now_us).await.map_err(|e| taken(e, "tenant id"))?;
        let fields = call
            .body
            .iter()
            .filter(|(name, _)| !matches!(name.as_str(), "id" | "status") && !name.starts_with("admin_"));
        let fields: Record = fields.map(|(name, value)| (name.clone(), value.clone())).collect();
        store::update(tx, &TENANTS, &Scope::platform(), id.as_str(), &fields, now_us).await?;
        if let Some(hash) = call.prepared.get("hash").and_then(Value::as_str) {
            first_admin(call, tx, &tenant, hash).await?;
        }
        let after = current(tx, &id).await?;
        let mut created = Reply::created(after.clone(), format!("/api/v1{}/{id}", TENANTS.path));
        if let Some(made) = call.prepared.get("shown") {
            created.once.insert("admin_password".into(), made.clone());
        }
        Ok(reply(created, &id, "create", Record::new(), after))
    })
}

async fn first_admin(call: &Call, tx: &mut Tx, tenant: &Tenant, hash: &str) -> Result<(), Problem> {
    let (id, email, now_us) = (call.ids.next(), admin_email(call)?, call.now_us());
    let user = NewUser {
        id: &id,
        tenant: Some(&tenant.id),
        email: &email,
        password_hash: hash,
        is_superadmin: false,
        first_name: "",
        last_name: call.text("admin_name"),
        language: &tenant.language,
        zone: &tenant.zone,
    };
    insert_user(tx, &user, now_us).await.map_err(|e| taken(e, "email"))?;
    set_role(tx, &tenant.id, &id, (&call.ids.next(), Role::TenantAdmin), now_us).await?;
    Ok(())
}

/// A tenant inside the transaction.
async fn current(tx: &mut Tx, id: &TenantId) -> Result<Record, Problem> {
    let found = store::get_locked(tx, &TENANTS, &Scope::platform(), id.as_str()).await?;
    found.ok_or_else(|| Problem::not_found(TENANTS.one))
}

/// The tenant of the path, its row locked, when the request may see it and `If-Match` holds.
async fn locked(call: &Call, tx: &mut Tx) -> Result<(TenantId, Record), Problem> {
    let id = TenantId::parse(call.part(crud::ID)).map_err(|_| Problem::not_found(TENANTS.one))?;
    tenants::lock(tx, &id).await?;
    let before = crud::current(call, tx, &TENANTS, &scope(call)?).await?;
    Ok((id, before))
}

pub(super) fn update<'a>(call: &'a Call, tx: &'a mut Tx) -> Doing<'a, Result<Reply, Problem>> {
    Box::pin(async move {
        // Somebody else's tenant is not there, whatever is asked for it.
        named(call).await?;
        if call.caller()?.role != Role::Superadmin {
            let theirs: Vec<&str> =
                call.body.keys().map(String::as_str).filter(|name| !OWN.contains(name)).collect();
            if !theirs.is_empty() {
                let errors =
                    theirs.iter().map(|name| Fault::at(name, "This is the operator's to change.")).collect();
                let why = format!("Only the operator changes {}.", theirs.join(", "));
                return Err(Problem { errors, ..Problem::new(403, "operator-only", why) });
            }
        }
        let (id, before) = locked(call, tx).await?;
        store::update(tx, &TENANTS, &Scope::platform(), id.as_str(), &call.body, call.now_us()).await?;
        let after = current(tx, &id).await?;
        Ok(reply(Reply::record(after.clone()), &id, "update", before, after))
    })
}

/// Sets the status of the path's tenant, with the reason.
async fn set_status(
    call: &Call,
    tx: &mut Tx,
    status: TenantStatus,
    verb: &'static str,
) -> Result<Reply, Problem> {
    let (id, before) = locked(call, tx).await?;
    if before.get("status").and_then(Value::as_str) == Some(status.as_str()) {
        let code = if status == TenantStatus::Active { "active" } else { "suspended" };
        return Err(Problem::conflict(code, format!("The tenant is {} already.", status.as_str())));
    }
    let now_us = call.now_us();
    tenants::set_status(tx, &id, status, now_us).await?;
    let why = if status == TenantStatus::Suspended { call.text("reason") } else { "" };
    tenants::set_suspended_reason(tx, &id, why).await?;
    let after = current(tx, &id).await?;
    let mut noted = after.clone();
    noted.insert("reason".into(), call.text("reason").into());
    let mut reply = reply(Reply::record(after), &id, verb, before, noted);
    if status == TenantStatus::Suspended {
        reply.ended = revoke_tenant(tx, &id, Why::Suspended, now_us).await?;
    }
    // What was known of its keys is wrong now, either way.
    reply.keys = keys_of(tx, &id).await?;
    Ok(reply)
}

pub(super) fn suspend<'a>(call: &'a Call, tx: &'a mut Tx) -> Doing<'a, Result<Reply, Problem>> {
    Box::pin(async move { set_status(call, tx, TenantStatus::Suspended, "suspend").await })
}

pub(super) fn activate<'a>(call: &'a Call, tx: &'a mut Tx) -> Doing<'a, Result<Reply, Problem>> {
    Box::pin(async move { set_status(call, tx, TenantStatus::Active, "activate").await })
}

pub(super) fn remove<'a>(call: &'a Call, tx: &'a mut Tx) -> Doing<'a, Result<Reply, Problem>> {
    Box::pin(async move {
        let (id, before) = locked(call, tx).await?;
        let now_us = call.now_us();
        tenants::remove(tx, &id, now_us).await?;
        let mut reply = reply(Reply::empty(), &id, "delete", before, Record::new());
        reply.ended = revoke_tenant(tx, &id, Why::Admin, now_us).await?;
        reply.keys = keys_of(tx, &id).await?;
        Ok(reply)
    })
}

/// Which tables there are, asked before the transaction.
pub(super) fn tables<'a>(call: &'a Call) -> Doing<'a, Result<Record, Problem>> {
    Box::pin(async move {
        if call.text("confirm") != call.part(crud::ID) {
            return Err(Problem::invalid_field(
                "confirm",
                "This must be the id of the tenant that is destroyed.",
            ));
        }
        let tables = whole::purged_tables(&call.db).await?;
        Ok(Record::from_iter([("tables".to_owned(), json!(tables))]))
    })
}

pub(super) fn purge<'a>(call: &'a Call, tx: &'a mut Tx) -> Doing<'a, Result<Reply, Problem>> {
    Box::pin(async move {
        let id = TenantId::parse(call.part(crud::ID)).map_err(|_| Problem::not_found(TENANTS.one))?;
        let tables = call.prepared.get("tables").and_then(Value::as_array);
        let tables: Vec<String> =
            tables.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
        let rows = whole::purge(tx, &tables, &id).await?;
        let total: i64 = rows.values().filter_map(Value::as_i64).sum();
        let proof = json!({"total": total, "rows": rows, "purged_at": show_time(call.now_us())});
        let after = proof.as_object().cloned().unwrap_or_default();
        let line = Audited {
            action: "tenants.purge".into(),
            object_type: "tenants".into(),
            object_id: id.to_string(),
            before: Record::new(),
            after,
        };
        let mut reply = Reply::json(json!({"total": total, "rows": rows})).audited(line);
        // The platform's chain, wherever the caller acts: the tenant's own is the past.
        reply.actor = Some(Caller { tenant: None, ..call.caller()?.clone() });
        Ok(reply)
    })
}
