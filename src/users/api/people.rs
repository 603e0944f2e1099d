//! Users of a tenant: made, changed, deleted.

use std::sync::Arc;

use serde_json::{Value, json};

use super::fields::{COLUMNS, NEW_USER, USER_PATCH, USERS};
use super::roles::{by_person, change_role, id_of, leave, not_self, other_admin, role_of};
use super::{ROLE_PROBLEMS, action, line};
use crate::agents;
use crate::api::store::{self, Scope};
use crate::api::{Action, Call, Doing, Handler, Problem, Record, Reply, crud};
use crate::auth::{Auth, Why, revoke_all, set_password};
use crate::base::ids::Id;
use crate::base::role::{Role, Roles};
use crate::base::secret::Secret;
use crate::db::{Tx, is_unique_violation};
use crate::tenants::{Room, lock_tenant, room_for};
use crate::users::Email;
use crate::users::store::{self as people, NewUser};

/// The operations.
pub(super) fn actions(auth: &Arc<Auth>) -> Vec<Action> {
    let (making, changing) = (Arc::clone(auth), Arc::clone(auth));
    let new = Handler::Prepared(
        Arc::new(move |call| {
            let auth = Arc::clone(&making);
            Box::pin(async move { prepare_new(&auth, call).await })
        }),
        Arc::new(create),
    );
    let change = Handler::Prepared(
        Arc::new(move |call| {
            let auth = Arc::clone(&changing);
            Box::pin(async move { prepare_change(&auth, call).await })
        }),
        Arc::new(update),
    );
    vec![
        action(
            &USERS,
            ("create", "Make a user"),
            "The tenant becomes their home. Without a password one is made up and shown once.",
            Some(&NEW_USER),
            ROLE_PROBLEMS,
            new,
        ),
        action(
            &USERS,
            ("update", "Change a user"),
            "A new role, status or password ends their sessions. All but the role only in their home tenant.",
            Some(&USER_PATCH),
            ROLE_PROBLEMS,
            change,
        ),
        action(
            &USERS,
            ("delete", "Delete a user"),
            "In their home tenant the account is deleted, in another one their role there.",
            None,
            ROLE_PROBLEMS,
            Handler::write(remove),
        ),
    ]
}

fn email_of(call: &Call) -> Result<Email, Problem> {
    Email::parse(call.text("email")).map_err(|why| Problem::invalid_field("email", why.to_string()))
}

/// Hashes the password, which takes too long for a transaction; makes one up when none is given.
async fn prepare_new(auth: &Auth, call: &Call) -> Result<Record, Problem> {
    let (email, given) = (email_of(call)?, call.text("password"));
    let mut prepared = Record::new();
    let password = match given {
        "" => {
            let made = Auth::new_password()?;
            prepared.insert("shown".into(), made.expose().into());
            made
        }
        given => Secret::new(given),
    };
    prepared.insert("hash".into(), auth.hash_new("password", &password, &email).await?.into());
    Ok(prepared)
}

/// Hashes a new password for a user whom the caller may give one; who may not hears why in the transaction.
async fn prepare_change(auth: &Auth, call: &Call) -> Result<Record, Problem> {
    let given = call.text("password");
    if given.is_empty() {
        return Ok(Record::new());
    }
    let before = store::get(&call.db, &USERS, &Scope::tenant(call.tenant()?), call.part(crud::ID)).await?;
    let Some(before) = before.filter(|before| may_change(call, before)) else { return Ok(Record::new()) };
    let email = call.body.get("email").or_else(|| before.get("email")).and_then(Value::as_str);
    let email = Email::parse(email.unwrap_or_default())
        .map_err(|why| Problem::invalid_field("email", why.to_string()))?;
    let hash = auth.hash_new("password", &Secret::new(given), &email).await?;
    Ok(Record::from_iter([("hash".to_owned(), Value::String(hash))]))
}

/// Whether the account itself is the caller's to change: in its home tenant, or by who runs the platform. Who runs the
/// platform belongs to no tenant's admin.
fn may_change(call: &Call, user: &Record) -> bool {
    let Ok(caller) = call.caller() else { return false };
    let home = user.get("home_tenant_id").and_then(Value::as_str);
    let is_above = user.get("is_superadmin") == Some(&Value::Bool(true));
    caller.role == Role::Superadmin
        || (!is_above && home.is_some() && home == caller.tenant.as_ref().map(|tenant| tenant.as_str()))
}

fn taken(error: sqlx::Error) -> Problem {
    if is_unique_violation(&error) {
        return Problem::conflict(
            "taken",
            "There is a user with this email already, perhaps of another tenant.",
        );
    }
    error.into()
}

fn create<'a>(call: &'a Call, tx: &'a mut Tx) -> Doing<'a, Result<Reply, Problem>> {
    Box::pin(async move {
        by_person(call)?;
        let (tenant, email, now_us) = (call.tenant()?, email_of(call)?, call.now_us());
        let role =
            role_of(&call.body).ok_or_else(|| Problem::invalid_field("role", "This must be given."))?;
        if role == Role::Agent {
            room_for(tx, tenant, Room::Agents).await?;
        }
        let prepared = |name: &str| call.prepared.get(name).and_then(Value::as_str).unwrap_or_default();
        let id = call.ids.next();
        let user = NewUser {
            id: &id,
            tenant: Some(tenant),
            email: &email,
            password_hash: prepared("hash"),
            is_superadmin: false,
            first_name: call.text("first_name"),
            last_name: call.text("last_name"),
            language: call.text("language"),
            zone: call.text("zone"),
        };
        people::insert(tx, &user, now_us).await.map_err(taken)?;
        people::set_role(tx, tenant, &id, (&call.ids.next(), role), now_us).await?;
        let rest =
            call.body.iter().filter(|(name, _)| matches!(name.as_str(), "phone" | "avatar_url" | "metadata"));
        let rest: Record = rest.map(|(name, value)| (name.clone(), value.clone())).collect();
        store::update(tx, &COLUMNS, &Scope::tenant(tenant), id.as_str(), &rest, now_us).await?;
        let after = shown(call, tx, &id).await?;
        let audited = line(&USERS, "create", id.as_str(), Record::new(), after.clone());
        let mut reply = Reply::created(after, format!("/api/v1{}/{id}", USERS.path)).audited(audited);
        if let Some(made) = call.prepared.get("shown") {
            reply.once.insert("password".into(), made.clone());
        }
        Ok(reply)
    })
}

async fn shown(call: &Call, tx: &mut Tx, id: &Id) -> Result<Record, Problem> {
    let found = store::get_locked(tx, &USERS, &Scope::tenant(call.tenant()?), id.as_str()).await?;
    found.ok_or_else(|| Problem::not_found(USERS.one))
}

fn update<'a>(call: &'a Call, tx: &'a mut Tx) -> Doing<'a, Result<Reply, Problem>> {
    Box::pin(async move {
        by_person(call)?;
        let tenant = call.tenant()?;
        lock_tenant(tx, tenant).await?;
        let before = crud::current(call, tx, &USERS, &Scope::tenant(tenant)).await?;
        let id = id_of(call.part(crud::ID), USERS.one)?;
        let mut ended = Vec::new();
        if let Some(role) = role_of(&call.body) {
            ended.extend(change_role(call, tx, &id, (role_of(&before), role)).await?);
        }
        if call.body.keys().any(|name| name != "role") {
            ended.extend(change_account(call, tx, &id, &before).await?);
        }
        let after = shown(call, tx, &id).await?;
        let mut noted = after.clone();
        if call.prepared.contains_key("hash") {
            noted.insert("password".into(), json!("[secret]"));
        }
        let is_agent = role_of(&after).is_none_or(|role| Roles::AGENTS.has(role));
        let audited = line(&USERS, "update", id.as_str(), before, noted);
        let mut reply = Reply { ended, ..Reply::record(after) };
        if !is_agent || stops(call) {
            agents::retire(call, tx, (&id, false), &mut reply).await?;
        }
        Ok(reply.audited(audited))
    })
}

/// Whether the user may not sign in any more.
fn stops(call: &Call) -> bool {
    call.body.get("status").and_then(Value::as_str).is_some_and(|status| status != "active")
}

/// Changes the account itself. Returns the sessions that ended. The caller holds the tenant's lock.
async fn change_account(call: &Call, tx: &mut Tx, id: &Id, before: &Record) -> Result<Vec<Id>, Problem> {
    let now_us = call.now_us();
    if !may_change(call, before) {
        return Err(Problem::new(
            403,
            "not-home",
            "This account belongs to another tenant; only the role can be changed here.",
        ));
    }
    // Who acts in other tenants too has an account that is not this one's alone.
    let is_identity = ["email", "status", "password"].iter().any(|name| call.body.contains_key(*name));
    if is_identity
        && call.caller()?.role != Role::Superadmin
        && people::acts_elsewhere(tx, call.tenant()?, id).await?
    {
        return Err(Problem::new(
            403,
            "not-home",
            "This account has roles in other tenants; e-mail, password and status are the platform's to change.",
        ));
    }
    let mut ended = Vec::new();
    if stops(call) {
        not_self(call, id)?;
        if role_of(before) == Some(Role::TenantAdmin) {
            other_admin(tx, call.tenant()?, id).await?;
        }
        ended.extend(revoke_all(tx, id, None, Why::Suspended, now_us).await?);
    }
    if let Some(hash) = call.prepared.get("hash").and_then(Value::as_str) {
        // With the present password: POST /auth/password.
        not_self(call, id)?;
        set_password(tx, id, hash, now_us).await?;
        ended.extend(revoke_all(tx, id, None, Why::Password, now_us).await?);
    }
    if call.body.contains_key("email") {
        email_of(call)?;
    }
    // Platform-wide: who runs the platform changes people of other homes too, and `may_change` has spoken.
    store::update(tx, &COLUMNS, &Scope::platform(), id.as_str(), &call.body, now_us).await.map_err(taken)?;
    Ok(ended)
}

fn remove<'a>(call: &'a Call, tx: &'a mut Tx) -> Doing<'a, Result<Reply, Problem>> {
    Box::pin(async move {
        by_person(call)?;
        let tenant = call.tenant()?;
        lock_tenant(tx, tenant).await?;
        let before = crud::current(call, tx, &USERS, &Scope::tenant(tenant)).await?;
        let id = id_of(call.part(crud::ID), USERS.one)?;
        let mut ended = leave(call, tx, &id, role_of(&before)).await?;
        let is_home = before.get("home_tenant_id").and_then(Value::as_str) == Some(tenant.as_str());
        let elsewhere = people::acts_elsewhere(tx, tenant, &id).await?;
        if is_home && !elsewhere && may_change(call, &before) {
            ended.extend(revoke_all(tx, &id, None, Why::Admin, call.now_us()).await?);
            people::remove(tx, &id, call.now_us()).await?;
        }
        let audited = line(&USERS, "delete", id.as_str(), before, Record::new());
        let mut reply = Reply { ended, ..Reply::empty() };
        agents::retire(call, tx, (&id, true), &mut reply).await?;
        Ok(reply.audited(audited))
    })
}
