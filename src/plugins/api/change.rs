//! What the actions share: the plugin and the version of a path, and a change of the plugin's row on record.

use serde_json::Value;

use super::{PLUGINS, VERSIONS, number, text};
use crate::api::store::{self as rows, Scope};
use crate::api::{Call, Problem, Record, Reply, crud};
use crate::base::ids::Id;
use crate::db::Tx;
use crate::events::Draft;
use crate::plugins::setup::Version;
use crate::sandbox::Language;

/// The plugin of a path, as it is.
pub(super) async fn seen(call: &Call, id: &str) -> Result<Record, Problem> {
    let found = rows::get(&call.db, &PLUGINS, &Scope::tenant(call.tenant()?), id).await?;
    found.ok_or_else(|| Problem::not_found(PLUGINS.one))
}

/// The plugin of a path, locked.
pub(super) async fn plugin(call: &Call, tx: &mut Tx, id: &str) -> Result<Record, Problem> {
    let found = rows::get_locked(tx, &PLUGINS, &Scope::tenant(call.tenant()?), id).await?;
    found.ok_or_else(|| Problem::not_found(PLUGINS.one))
}

/// The version of a path, below its plugin.
pub(super) async fn version(call: &Call) -> Result<Record, Problem> {
    let scope = crud::scope(call, &VERSIONS).await?;
    crud::find(call, &VERSIONS, &scope).await?.ok_or_else(|| Problem::not_found(VERSIONS.one))
}

/// A plugin's version by its number.
pub(super) async fn numbered(call: &Call, plugin: &str, number: u32) -> Result<Option<Record>, Problem> {
    let scope = Scope::tenant(call.tenant()?).below("plugin_id", plugin);
    Ok(rows::by_number(&call.db, &VERSIONS, &scope, number).await?)
}

/// A version out of its record.
pub(super) fn version_of(record: &Record) -> Result<Version, Problem> {
    let language = Language::parse(text(record, "language"));
    Ok(Version {
        id: Id::parse(text(record, "id")).map_err(Problem::internal)?,
        number: number(record, "number").unwrap_or(0),
        digest: text(record, "digest").to_owned(),
        language: language.ok_or_else(|| Problem::internal("a version of no language"))?,
    })
}

/// Changes a plugin whose row is locked, on record and with events; routing reads it anew.
pub(super) async fn apply(
    call: &Call,
    tx: &mut Tx,
    word: &str,
    (before, given): (Record, Record),
    tells: Vec<Draft>,
) -> Result<Reply, Problem> {
    let (scope, id) = (Scope::tenant(call.tenant()?), text(&before, "id").to_owned());
    rows::update(tx, &PLUGINS, &scope, &id, &given, call.now_us()).await?;
    let after = rows::get_locked(tx, &PLUGINS, &scope, &id).await?;
    let after = after.ok_or_else(|| Problem::not_found(PLUGINS.one))?;
    let mut reply = Reply::record(after.clone()).audited(crud::line(&PLUGINS, word, id, before, after));
    (reply.tells, reply.routing) = (tells, true);
    Ok(reply)
}

/// An answer when there is nothing to change.
pub(super) fn unchanged(plugin: Record) -> Reply {
    Reply { unchanged: true, ..Reply::record(plugin) }
}

/// A value that was made before the transaction.
pub(super) fn prepared<'c>(call: &'c Call, name: &str) -> &'c Value {
    call.prepared.get(name).unwrap_or(&Value::Null)
}
