//! Writes down what runs showed: a version that failed is parked, rolled back or withdrawn; one that is well again is
//! asked again. Each in one transaction with its event and its line in the audit, and once, whichever node saw it first.

use serde_json::{Value, json};

use super::api::{PLUGINS, number};
use super::work::Of;
use super::{Parts, PluginStatus, events};
use crate::api::check::show_time;
use crate::api::store::{self as rows, Scope};
use crate::api::{Record, crud};
use crate::audit;
use crate::config::limits::plugins as limits;
use crate::db::{Tx, db_tx};
use crate::events::Draft;
use crate::sandbox::Outcome;
use crate::tenants::store::touch;

/// Tells that a version failed.
pub(super) async fn failed(parts: &Parts, of: &Of, outcome: Outcome, text: &str) -> sqlx::Result<()> {
    let mut tx = parts.db.begin().await?;
    let scope = Scope::tenant(&of.tenant);
    let Some(plugin) = rows::get_locked(&mut tx, &PLUGINS, &scope, of.plugin.as_str()).await? else {
        return Ok(());
    };
    let more = json!({"version": of.version, "outcome": outcome, "text": text});
    let draft = events::draft("plugin.failed", &plugin, of.at_us, more);
    let when = (&of.tenant, parts.clock.now_us());
    let position = parts.events.write_after(&mut tx, &parts.ids, when, vec![draft], &[]).await?;
    tx.commit().await?;
    told(parts, of, position);
    Ok(())
}

/// Takes a version away that failed too often. Returns whether the plugin is another now.
pub(super) async fn parked(
    parts: &Parts,
    of: &Of,
    (outcome, text): (Outcome, &str),
    failures: usize,
) -> sqlx::Result<bool> {
    let mut tx = parts.db.begin().await?;
    let scope = Scope::tenant(&of.tenant);
    let Some(before) = rows::get_locked(&mut tx, &PLUGINS, &scope, of.plugin.as_str()).await? else {
        return Ok(false);
    };
    let hidden = hidden(&mut tx, of).await?;
    let is = |name: &str| number(&before, name) == Some(of.version);
    let is_active =
        is("active_version") && before.get("status") == Some(&json!(PluginStatus::Active.as_str()));
    if hidden.counts_from > of.at_us || !(is_active || is("canary_version")) {
        // It was activated anew meanwhile, or another node was faster.
        return Ok(false);
    }
    let (action, given, back) = if is("canary_version") {
        ("withdrawn", no_canary(), None)
    } else {
        match hidden.back(&before, of.at_us) {
            Some(back) => ("rolled-back", rolled_back(back, of.at_us), Some(back)),
            None => ("parked", park(outcome, text, of.at_us), None),
        }
    };
    let more = json!({"version": of.version, "outcome": outcome, "text": text, "failures": failures, "action": action,
        "rolled_back_to": back});
    let mut drafts = vec![events::draft("plugin.parked", &before, of.at_us, more)];
    if let Some(back) = back {
        let more = json!({"version": back, "previous": of.version, "cause": "automatic"});
        drafts.push(events::draft("plugin.activated", &before, of.at_us, more));
    }
    let word = match action {
        "withdrawn" => "plugins.withdraw",
        "rolled-back" => "plugins.roll-back",
        _ => "plugins.park",
    };
    change(parts, tx, of, word, (before, &given), drafts).await?;
    parts.metrics.plugins.parked.inc();
    Ok(true)
}

/// Says that a parked version is well again. Returns whether the plugin is another now.
pub(super) async fn well(parts: &Parts, of: &Of) -> sqlx::Result<bool> {
    let mut tx = parts.db.begin().await?;
    let scope = Scope::tenant(&of.tenant);
    let Some(before) = rows::get_locked(&mut tx, &PLUGINS, &scope, of.plugin.as_str()).await? else {
        return Ok(false);
    };
    let is_parked = before.get("status") == Some(&json!(PluginStatus::Parked.as_str()));
    if !is_parked || number(&before, "active_version") != Some(of.version) {
        return Ok(false);
    }
    let given = unparked(of.at_us);
    let more = json!({"version": of.version, "cause": "probe"});
    let drafts = vec![events::draft("plugin.unparked", &before, of.at_us, more)];
    change(parts, tx, of, "plugins.unpark", (before, &given), drafts).await?;
    Ok(true)
}

/// What nobody is shown.
#[derive(Clone, Copy, Debug, sqlx::FromRow)]
struct Hidden {
    previous_proven: bool,
    counts_from: i64,
    activated_at: Option<i64>,
}

impl Hidden {
    /// The version to go back to: the one before, when it ran well and this one is new.
    fn back(self, plugin: &Record, at_us: i64) -> Option<u32> {
        let fresh = i64::try_from(limits::ROLLBACK_TIME.as_micros()).unwrap_or(i64::MAX);
        let is_new = self.activated_at.is_some_and(|at| at_us - at < fresh);
        number(plugin, "previous_version").filter(|_| is_new && self.previous_proven)
    }
}

async fn hidden(tx: &mut Tx, of: &Of) -> sqlx::Result<Hidden> {
    const SQL: &str =
        "SELECT previous_proven, counts_from, activated_at FROM plugins WHERE tenant_id = ? AND id = ?";
    db_tx!(tx, |c| sqlx::query_as(SQL).bind(of.tenant.as_str()).bind(of.plugin.as_str()).fetch_one(c).await)
}

/// What a plugin without a canary has.
pub(super) fn no_canary() -> Record {
    Record::from_iter([
        ("canary_version".to_owned(), Value::Null),
        ("canary_percent".to_owned(), json!(0)),
        ("canary_numbers".to_owned(), json!([])),
    ])
}

/// What a plugin has that is asked again, from a moment on.
pub(super) fn unparked(at_us: i64) -> Record {
    let mut given = not_parked(at_us);
    given.insert("status".into(), json!(PluginStatus::Active.as_str()));
    given
}

/// The same of one that may be disabled.
pub(super) fn not_parked(at_us: i64) -> Record {
    Record::from_iter([
        ("parked_at".to_owned(), Value::Null),
        ("parked_until".to_owned(), Value::Null),
        ("parked_reason".to_owned(), Value::Null),
        ("counts_from".to_owned(), json!(at_us)),
    ])
}

fn rolled_back(to: u32, at_us: i64) -> Record {
    let mut given = unparked(at_us);
    given.insert("active_version".into(), json!(to));
    // Not the one that failed: nobody should go there by rolling back once more.
    given.insert("previous_version".into(), Value::Null);
    given.insert("previous_proven".into(), json!(false));
    given.insert("activated_at".into(), json!(show_time(at_us)));
    given
}

fn park(outcome: Outcome, text: &str, at_us: i64) -> Record {
    let until = at_us + i64::try_from(limits::PARKED_TIME.as_micros()).unwrap_or(i64::MAX);
    let reason: String =
        format!("{}: {text}", outcome.as_str()).chars().take(super::api::REASON_CHARACTERS).collect();
    Record::from_iter([
        ("status".to_owned(), json!(PluginStatus::Parked.as_str())),
        ("parked_at".to_owned(), json!(show_time(at_us))),
        ("parked_until".to_owned(), json!(show_time(until))),
        ("parked_reason".to_owned(), json!(reason)),
    ])
}

/// Changes a plugin, on record and with notice; every node then reads it anew.
async fn change(
    parts: &Parts,
    mut tx: Tx,
    of: &Of,
    word: &str,
    (before, given): (Record, &Record),
    drafts: Vec<Draft>,
) -> sqlx::Result<()> {
    let (scope, now_us, id) = (Scope::tenant(&of.tenant), parts.clock.now_us(), of.plugin.as_str());
    rows::update(&mut tx, &PLUGINS, &scope, id, given, now_us).await?;
    let after = rows::get_locked(&mut tx, &PLUGINS, &scope, id).await?.unwrap_or_default();
    let entry = audit::Entry {
        tenant: of.tenant.as_str(),
        at_us: now_us,
        actor_kind: audit::ActorKind::System,
        actor_id: "",
        role: "",
        address: "",
        user_agent: "",
        request_id: "",
        action: word,
        object_type: PLUGINS.name,
        object_id: id,
        before: &before,
        after: &after,
    };
    audit::append(&mut tx, &parts.ids, &entry).await?;
    let verb = word.split('.').next_back().unwrap_or_default();
    let line = crud::line(&PLUGINS, verb, id.to_owned(), before.clone(), after.clone());
    let when = (&of.tenant, now_us);
    let position = parts.events.write_after(&mut tx, &parts.ids, when, drafts, &[line]).await?;
    touch(&mut tx, &of.tenant).await?;
    tx.commit().await?;
    told(parts, of, position);
    Ok(())
}

/// Wakes who waits for a tenant's events, once they last.
fn told(parts: &Parts, of: &Of, position: Option<i64>) {
    if let Some(position) = position {
        parts.events.news.tell(&of.tenant, position);
    }
}
