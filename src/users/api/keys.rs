//! API keys: made by people, shown once, revoked for good.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use super::fields::{API_KEYS, NEW_KEY};
use super::roles::{id_of, role_of};
use super::{action, line};
use crate::api::check::read_time;
use crate::api::store::{self, Scope};
use crate::api::{Action, Call, Doing, Fault, Handler, Problem, Record, Reply, Scopes, crud};
use crate::auth::{NewApiKey, insert_key, revoke_key};
use crate::base::role::Role;
use crate::db::Tx;

/// The operations.
pub(super) fn actions(chapters: BTreeSet<String>) -> Vec<Action> {
    let chapters = Arc::new(chapters);
    let make = Handler::write(move |call, tx| {
        let chapters = Arc::clone(&chapters);
        Box::pin(async move { create(call, tx, &chapters).await })
    });
    vec![
        action(
            &API_KEYS,
            ("create", "Make an API key"),
            "By people only. The text is in the field `key` of this answer and nowhere else.",
            Some(&NEW_KEY),
            &[],
            make,
        ),
        action(
            &API_KEYS,
            ("delete", "Revoke an API key"),
            "At once in this process, within ten seconds in others. For good.",
            None,
            &[(409, "revoked", "It is revoked already.")],
            Handler::write(revoke),
        ),
    ]
}

async fn create(call: &Call, tx: &mut Tx, chapters: &BTreeSet<String>) -> Result<Reply, Problem> {
    let caller = call.caller()?;
    // A key that makes keys would have every scope.
    let Some(user) = caller.user() else {
        return Err(Problem::forbidden("People make keys; a key can't make another."));
    };
    let role = role_of(&call.body).unwrap_or(Role::Viewer);
    let texts: Vec<&str> = call
        .body
        .get("scopes")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let scopes = Scopes::parse(&texts).map_err(|why| Problem::invalid_field("scopes", why.to_string()))?;
    let mut faults = Vec::new();
    for (n, text) in texts.iter().enumerate() {
        let name = text.split(':').next().unwrap_or_default();
        if name != "*" && !chapters.contains(name) {
            faults.push(Fault::at(&format!("scopes/{n}"), "There is no such collection."));
        }
    }
    // Roles are ordered the mightiest first.
    if role < caller.role {
        faults.push(Fault::at("role", "A key can't do more than who makes it."));
    }
    let expires_us = call.body.get("expires_at").and_then(Value::as_str).and_then(read_time);
    if expires_us.is_some_and(|us| us <= call.now_us()) {
        faults.push(Fault::at("expires_at", "This must lie ahead."));
    }
    crud::none(faults)?;
    let (tenant, id) = (call.tenant()?, call.ids.next());
    let key = NewApiKey {
        id: &id,
        name: call.text("name"),
        role,
        scopes: &scopes,
        expires_us,
        created_by: Some(user),
    };
    let text = insert_key(tx, tenant, &key, call.now_us()).await?;
    let after = store::get_locked(tx, &API_KEYS, &Scope::tenant(tenant), id.as_str()).await?;
    let after = after.ok_or_else(|| Problem::not_found(API_KEYS.one))?;
    let audited = line(&API_KEYS, "create", id.as_str(), Record::new(), after.clone());
    let mut reply = Reply::created(after, format!("/api/v1{}/{id}", API_KEYS.path)).audited(audited);
    reply.once.insert("key".into(), text.expose().into());
    reply.keys = vec![id];
    Ok(reply)
}

fn revoke<'a>(call: &'a Call, tx: &'a mut Tx) -> Doing<'a, Result<Reply, Problem>> {
    Box::pin(async move {
        let scope = Scope::tenant(call.tenant()?);
        let before = crud::current(call, tx, &API_KEYS, &scope).await?;
        let id = id_of(call.part(crud::ID), API_KEYS.one)?;
        if !revoke_key(tx, call.tenant()?, &id, call.now_us()).await? {
            return Err(Problem::conflict("revoked", "The key is revoked already."));
        }
        let after = store::get_locked(tx, &API_KEYS, &scope, id.as_str()).await?.unwrap_or_default();
        let mut reply = Reply::empty().audited(line(&API_KEYS, "delete", id.as_str(), before, after));
        reply.keys = vec![id];
        Ok(reply)
    })
}
