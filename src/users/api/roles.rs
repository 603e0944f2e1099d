//! Who is what in a tenant. What must hold after every change: the tenant has an admin who may sign in, nobody changed
//! the own role, and whoever has another role signs in anew.

use serde_json::Value;

use super::fields::{NEW_ROLE, ROLE_PATCH, ROLES, USERS};
use super::{ROLE_PROBLEMS, action, line};
use crate::agents;
use crate::api::store::{self, Scope};
use crate::api::{Action, Call, Doing, Handler, Problem, Record, Reply, crud};
use crate::auth::{Why, revoke_in_tenant};
use crate::base::ids::{Id, TenantId};
use crate::base::role::{Role, Roles};
use crate::db::Tx;
use crate::tenants::{Room, lock_tenant, room_for};
use crate::users::store as people;

/// The operations.
pub(super) fn actions() -> Vec<Action> {
    let change = "The user signs in anew to act in the new role.";
    vec![
        action(
            &ROLES,
            ("create", "Give a user a role"),
            "In place of the one they had. Who runs the platform may name any user; admins of the tenant those who have \
             a role here already.",
            Some(&NEW_ROLE),
            ROLE_PROBLEMS,
            Handler::write(create),
        ),
        action(
            &ROLES,
            ("update", "Change a role"),
            change,
            Some(&ROLE_PATCH),
            ROLE_PROBLEMS,
            Handler::write(update),
        ),
        action(
            &ROLES,
            ("delete", "Take a role away"),
            "The user has nothing more to do with the tenant.",
            None,
            ROLE_PROBLEMS,
            Handler::write(remove),
        ),
    ]
}

/// The role that a record or a body names.
pub(super) fn role_of(record: &Record) -> Option<Role> {
    record.get("role").and_then(Value::as_str).and_then(Role::parse)
}

/// The id of the path or of a field, which was checked to be one.
pub(super) fn id_of(text: &str, one: &str) -> Result<Id, Problem> {
    Id::parse(text).map_err(|_| Problem::not_found(one))
}

/// Nobody takes something from themselves: it could be the last who can give it back.
/// Who people are and what they may do is changed by people: a key that could would be worth every role.
pub(super) fn by_person(call: &Call) -> Result<(), Problem> {
    match call.caller()?.user() {
        Some(_) => Ok(()),
        None => Err(Problem::not_yours("This is for people; an API key can't do it.")),
    }
}

pub(super) fn not_self(call: &Call, user: &Id) -> Result<(), Problem> {
    if call.caller()?.user() == Some(user) {
        return Err(Problem::conflict("own-account", "Another admin has to do this to your account."));
    }
    Ok(())
}

/// Somebody stays who can run the tenant when `user` does not any more. The caller holds the tenant's lock.
pub(super) async fn other_admin(tx: &mut Tx, tenant: &TenantId, user: &Id) -> Result<(), Problem> {
    if people::other_admins(tx, tenant, user).await? > 0 {
        return Ok(());
    }
    Err(Problem::conflict("last-admin", "The tenant would be left without an admin; make another one first."))
}

/// Gives a role in place of another or of none. Returns the sessions that ended. The caller holds the tenant's lock.
pub(super) async fn change_role(
    call: &Call,
    tx: &mut Tx,
    user: &Id,
    (before, after): (Option<Role>, Role),
) -> Result<Vec<Id>, Problem> {
    if before == Some(after) {
        return Ok(Vec::new());
    }
    let tenant = call.tenant()?;
    not_self(call, user)?;
    if before == Some(Role::TenantAdmin) {
        other_admin(tx, tenant, user).await?;
    }
    if after == Role::Agent {
        room_for(tx, tenant, Room::Agents).await?;
    }
    let now_us = call.now_us();
    people::set_role(tx, tenant, user, (&call.ids.next(), after), now_us).await?;
    Ok(revoke_in_tenant(tx, tenant, user, Why::Role, now_us).await?)
}

fn create<'a>(call: &'a Call, tx: &'a mut Tx) -> Doing<'a, Result<Reply, Problem>> {
    Box::pin(async move {
        by_person(call)?;
        let (tenant, user) = (call.tenant()?, id_of(call.text("user_id"), "user")?);
        let missing = || Problem::invalid_field("user_id", "There is no such user.");
        let role = role_of(&call.body).ok_or_else(missing)?;
        lock_tenant(tx, tenant).await?;
        let before = store::get_locked(tx, &USERS, &Scope::tenant(tenant), user.as_str()).await?;
        if before.is_some() {
            return Err(Problem::conflict("taken", "This user has a role here already; change that one."));
        }
        if !people::exists(tx, &user).await? {
            return Err(missing());
        }
        let ended = change_role(call, tx, &user, (None, role)).await?;
        let id = people::role_id(tx, tenant, &user).await?.unwrap_or_default();
        let after = store::get_locked(tx, &ROLES, &Scope::tenant(tenant), &id).await?.ok_or_else(missing)?;
        let audited = line(&ROLES, "create", &id, Record::new(), after.clone());
        let made = Reply::created(after, format!("/api/v1{}/{id}", ROLES.path));
        Ok(Reply { ended, ..made.audited(audited) })
    })
}

/// The row of the path and its user, the tenant locked.
async fn held(call: &Call, tx: &mut Tx) -> Result<(Record, Id), Problem> {
    lock_tenant(tx, call.tenant()?).await?;
    let before = crud::current(call, tx, &ROLES, &Scope::tenant(call.tenant()?)).await?;
    let user = id_of(before.get("user_id").and_then(Value::as_str).unwrap_or_default(), "user")?;
    Ok((before, user))
}

fn update<'a>(call: &'a Call, tx: &'a mut Tx) -> Doing<'a, Result<Reply, Problem>> {
    Box::pin(async move {
        by_person(call)?;
        let (before, user) = held(call, tx).await?;
        let (id, held) = (call.part(crud::ID), role_of(&before));
        let ended = match role_of(&call.body) {
            Some(role) => change_role(call, tx, &user, (held, role)).await?,
            None => Vec::new(),
        };
        let after = store::get_locked(tx, &ROLES, &Scope::tenant(call.tenant()?), id).await?;
        let after = after.ok_or_else(|| Problem::not_found(ROLES.one))?;
        let is_agent = role_of(&after).is_some_and(|role| Roles::AGENTS.has(role));
        let audited = line(&ROLES, "update", id, before, after.clone());
        let mut reply = Reply { ended, ..Reply::record(after) };
        if !is_agent {
            agents::retire(call, tx, (&user, false), &mut reply).await?;
        }
        Ok(reply.audited(audited))
    })
}

fn remove<'a>(call: &'a Call, tx: &'a mut Tx) -> Doing<'a, Result<Reply, Problem>> {
    Box::pin(async move {
        by_person(call)?;
        let (before, user) = held(call, tx).await?;
        let ended = leave(call, tx, &user, role_of(&before)).await?;
        let audited = line(&ROLES, "delete", call.part(crud::ID), before, Record::new());
        let mut reply = Reply { ended, ..Reply::empty() };
        agents::retire(call, tx, (&user, true), &mut reply).await?;
        Ok(reply.audited(audited))
    })
}

/// Takes the role in this tenant. Returns the sessions that ended. The caller holds the tenant's lock.
pub(super) async fn leave(
    call: &Call,
    tx: &mut Tx,
    user: &Id,
    held: Option<Role>,
) -> Result<Vec<Id>, Problem> {
    let tenant = call.tenant()?;
    not_self(call, user)?;
    if held == Some(Role::TenantAdmin) {
        other_admin(tx, tenant, user).await?;
    }
    people::remove_role(tx, tenant, user).await?;
    Ok(revoke_in_tenant(tx, tenant, user, Why::Role, call.now_us()).await?)
}
