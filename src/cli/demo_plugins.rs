//! The demo's plugins: from a folder of built files into acme, each as a version that is active.

use std::path::Path;

use bytes::Bytes;
use serde_json::json;

use crate::app::Error;
use crate::base::ids::{Id, IdSource, TenantId};
use crate::db::{Db, Tx, db_tx};
use crate::plugins;
use crate::sandbox::{self, Language, World};
use crate::tenants;

/// One plugin of the demo.
struct Demo {
    name: &'static str,
    file: &'static str,
    kind: World,
    language: Language,
    description: &'static str,
}

const ALL: [Demo; 3] = [
    Demo {
        name: "vip-router",
        file: "vip-router.wasm",
        kind: World::Router,
        language: Language::Component,
        description: "A caller whose contact has the tag vip goes to endpoint 101, others to the queue.",
    },
    Demo {
        name: "order-status",
        file: "order-status.js",
        kind: World::CallScript,
        language: Language::JavaScript,
        description: "Asks for an order number and says how far the order is.",
    },
    Demo {
        name: "missed-call-ticket",
        file: "missed-call-ticket.wasm",
        kind: World::Ticketer,
        language: Language::Component,
        description: "Drafts a ticket for a call that nobody answered.",
    },
];

/// Loads those that are built. Returns what is to be said of the others.
pub(super) async fn load(db: &Db, ids: &IdSource, folder: &Path, now_us: i64) -> Result<Vec<String>, Error> {
    let tenant = TenantId::parse("acme").map_err(|e| Error::Said(e.to_string()))?;
    let mut notes = Vec::new();
    for demo in &ALL {
        let file = folder.join(demo.file);
        let Ok(bytes) = std::fs::read(&file) else {
            notes.push(format!(
                "plugin {} is not built ({}); run scripts/build-plugins; its number takes its fallback",
                demo.name,
                file.display()
            ));
            continue;
        };
        let bytes = Bytes::from(bytes);
        let said = |error: sandbox::Refusal| Error::Said(format!("{}: {error}", file.display()));
        let inspected = sandbox::inspect(&bytes, demo.language, demo.kind).map_err(said)?;
        let mut tx = db.begin().await?;
        one(&mut tx, ids, &tenant, demo, (&inspected, &bytes), now_us).await?;
        tx.commit().await?;
    }
    Ok(notes)
}

/// A plugin whose version it is; nothing when it has that version already.
async fn one(
    tx: &mut Tx,
    ids: &IdSource,
    tenant: &TenantId,
    demo: &Demo,
    (inspected, bytes): (&sandbox::Inspected, &Bytes),
    now_us: i64,
) -> Result<(), Error> {
    const FIND: &str =
        "SELECT id, last_version FROM plugins WHERE tenant_id = ? AND name = ? AND deleted_at = 0";
    const KNOWN: &str = "SELECT number FROM plugin_versions WHERE plugin_id = ? AND digest = ?";
    const ACTIVATE: &str = "UPDATE plugins SET status = 'active', previous_version = active_version, \
         active_version = ?, last_version = ?, activated_at = ?, updated_at = ? WHERE id = ? AND tenant_id = ?";
    let found: Option<(String, i64)> = db_tx!(&mut *tx, |c| sqlx::query_as(FIND)
        .bind(tenant.as_str())
        .bind(demo.name)
        .fetch_optional(c)
        .await)?;
    let (plugin, last) = match found {
        Some(found) => found,
        None => (insert(tx, ids, tenant, demo, now_us).await?.to_string(), 0),
    };
    let known: Option<i64> = db_tx!(&mut *tx, |c| sqlx::query_scalar(KNOWN)
        .bind(&plugin)
        .bind(&inspected.digest)
        .fetch_optional(c)
        .await)?;
    if known.is_some() {
        return Ok(());
    }
    version(tx, ids, tenant, &plugin, (last + 1, demo, inspected, bytes), now_us).await?;
    db_tx!(&mut *tx, |c| sqlx::query(ACTIVATE)
        .bind(last + 1)
        .bind(last + 1)
        .bind(now_us)
        .bind(now_us)
        .bind(&plugin)
        .bind(tenant.as_str())
        .execute(c)
        .await
        .map(drop))?;
    tenants::store::touch(tx, tenant).await?;
    Ok(())
}

async fn insert(
    tx: &mut Tx,
    ids: &IdSource,
    tenant: &TenantId,
    demo: &Demo,
    now_us: i64,
) -> Result<Id, Error> {
    const SQL: &str = "INSERT INTO plugins (id, tenant_id, name, kind, description, status, on_failure, settings, grants, \
         http_hosts, events, canary_numbers, metadata, created_at, updated_at) \
         VALUES (?, ?, ?, ?, ?, 'draft', 'fallback', ?, ?, '[]', ?, '[]', '{}', ?, ?)";
    let settings = json!({
        "queue": "support", "endpoint": "101", "vip": [], "orders": ["4711=shipped", "4712=delayed"],
    });
    let id = ids.next();
    db_tx!(tx, |c| sqlx::query(SQL)
        .bind(id.as_str())
        .bind(tenant.as_str())
        .bind(demo.name)
        .bind(demo.kind.as_str())
        .bind(demo.description)
        .bind(settings.to_string())
        .bind(r#"["contacts"]"#)
        .bind(r#"["call.missed"]"#)
        .bind(now_us)
        .bind(now_us)
        .execute(c)
        .await
        .map(drop))?;
    Ok(id)
}

async fn version(
    tx: &mut Tx,
    ids: &IdSource,
    tenant: &TenantId,
    plugin: &str,
    (number, demo, inspected, bytes): (i64, &Demo, &sandbox::Inspected, &Bytes),
    now_us: i64,
) -> Result<(), Error> {
    const SQL: &str = "INSERT INTO plugin_versions (id, tenant_id, plugin_id, number, digest, language, size, sdk, asked, \
         note, examples, has_source, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'demo', '[]', ?, ?)";
    let id = ids.next();
    let asked = serde_json::to_string(&inspected.asked).unwrap_or_else(|_| "[]".to_owned());
    db_tx!(&mut *tx, |c| sqlx::query(SQL)
        .bind(id.as_str())
        .bind(tenant.as_str())
        .bind(plugin)
        .bind(number)
        .bind(&inspected.digest)
        .bind(demo.language.as_str())
        .bind(i64::try_from(bytes.len()).unwrap_or(i64::MAX))
        .bind(inspected.sdk.as_deref().unwrap_or_default())
        .bind(asked)
        .bind(true)
        .bind(now_us)
        .execute(c)
        .await
        .map(drop))?;
    plugins::store::insert_source(tx, tenant, id.as_str(), bytes).await?;
    Ok(())
}
