//! What a plugin is at this moment, as calls need it: read with a tenant's routing data, and replaced as a whole.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::{OnFailure, PluginStatus};
use crate::base::ids::{Id, TenantId};
use crate::db::{Db, Tx, db_read, db_tx};
use crate::sandbox::{Grants, Language, Settings, World};

/// A version that may be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Its row.
    pub id: Id,
    /// Its number within the plugin.
    pub number: u32,
    /// SHA-256 of its file.
    pub digest: String,
    /// What the file is.
    pub language: Language,
}

/// A version that some calls go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canary {
    /// Which.
    pub version: Version,
    /// Of a hundred callers so many.
    pub percent: u8,
    /// Callers that go to it in any case, E.164.
    pub numbers: HashSet<String>,
}

/// A plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Its row.
    pub id: Id,
    /// Its name within the tenant.
    pub name: Arc<str>,
    /// Its kind.
    pub kind: World,
    /// Whether it is asked.
    pub status: PluginStatus,
    /// What becomes of a call when it fails.
    pub on_failure: OnFailure,
    /// The version that is asked.
    pub active: Option<Version>,
    /// The version that some callers get instead.
    pub canary: Option<Canary>,
    /// The version that runs beside it, to be compared.
    pub shadow: Option<Version>,
    /// Versions that numbers name (`name@2`).
    pub pinned: Vec<Version>,
    /// What the tenant filled in.
    pub settings: Arc<Settings>,
    /// What the tenant allows it. [`super::Plugins`] takes away what the operator does not allow.
    pub grants: Grants,
    /// Hosts that the tenant allows it to ask.
    pub http_hosts: Vec<String>,
    /// Types of events that a ticketer listens to, or patterns.
    pub events: Vec<String>,
    /// Since when and until when it is parked, microseconds since 1970 UTC.
    pub parked_us: Option<(i64, i64)>,
    /// Failures before this moment do not count any more.
    pub counts_from_us: i64,
}

impl Setup {
    /// Every version that may be asked, each once.
    pub fn versions(&self) -> impl Iterator<Item = &Version> {
        let mut seen = BTreeSet::new();
        let canary = self.canary.iter().map(|canary| &canary.version);
        let all = self.active.iter().chain(canary).chain(&self.shadow).chain(&self.pinned);
        all.filter(move |version| seen.insert(version.number))
    }
}

/// Takes a reference apart: `vip-router`, or `vip-router@3` for one version; `None`: no version is called so.
pub fn named(text: &str) -> Option<(&str, Option<u32>)> {
    match text.split_once('@') {
        None => Some((text, None)),
        Some((name, number)) => number.parse().ok().map(|number| (name, Some(number))),
    }
}

/// Why nobody can be asked by this reference: there is no such plugin, no such version, or it is none of `kinds`. What is
/// there then stays until the transaction ends.
///
/// # Errors
/// When the database is away.
pub async fn unusable(
    tx: &mut Tx,
    tenant: &TenantId,
    reference: &str,
    kinds: &[World],
) -> sqlx::Result<Option<&'static str>> {
    // Columns that the keys do not hold: MariaDB would else lock an entry of the key only, and not the row.
    const ONE: &str =
        "SELECT id, kind, created_at FROM plugins WHERE tenant_id = ? AND name = ? AND deleted_at = 0";
    const VERSION: &str =
        "SELECT created_at FROM plugin_versions WHERE tenant_id = ? AND plugin_id = ? AND number = ?";
    let Some((name, number)) = named(reference) else {
        return Ok(Some("A version is named by its number, such as vip-router@3."));
    };
    let lock = tx.pick("", " LOCK IN SHARE MODE");
    let sql = format!("{ONE}{lock}");
    let found: Option<(String, String, i64)> =
        db_tx!(&mut *tx, |c| sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(tenant.as_str())
            .bind(name)
            .fetch_optional(c)
            .await)?;
    let Some((id, kind, _)) = found else { return Ok(Some("There is no such plugin.")) };
    if !kinds.iter().any(|wanted| wanted.as_str() == kind) {
        return Ok(Some("This plugin is of another kind."));
    }
    let Some(number) = number else { return Ok(None) };
    let version: Option<i64> = db_tx!(tx, |c| sqlx::query_scalar(VERSION)
        .bind(tenant.as_str())
        .bind(&id)
        .bind(i64::from(number))
        .fetch_optional(c)
        .await)?;
    Ok(if version.is_none() { Some("The plugin has no such version.") } else { None })
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    name: String,
    kind: String,
    status: String,
    on_failure: String,
    settings: String,
    grants: String,
    http_hosts: String,
    events: String,
    active_version: Option<i64>,
    canary_version: Option<i64>,
    canary_percent: i64,
    canary_numbers: String,
    shadow_version: Option<i64>,
    counts_from: i64,
    parked_at: Option<i64>,
    parked_until: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct VersionRow {
    plugin_id: String,
    number: i64,
    id: String,
    digest: String,
    language: String,
}

type Versions = HashMap<(String, i64), Version>;

/// A tenant's plugins as they are now. A row that is none of ours is left out, and said.
///
/// # Errors
/// When the database is away.
pub async fn setups(db: &Db, tenant: &TenantId) -> sqlx::Result<Vec<Arc<Setup>>> {
    const SQL: &str = "SELECT id, name, kind, status, on_failure, settings, grants, http_hosts, events, active_version, \
         canary_version, canary_percent, canary_numbers, shadow_version, counts_from, parked_at, parked_until \
         FROM plugins WHERE tenant_id = ? AND deleted_at = 0 ORDER BY name";
    let rows: Vec<Row> = db_read!(db, |p| sqlx::query_as(SQL).bind(tenant.as_str()).fetch_all(p).await)?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let pinned = pins(db, tenant).await?;
    let versions = versions(db, tenant, &pinned).await?;
    let read = |row: Row| {
        let name = row.name.clone();
        setup(row, &versions, &pinned)
            .map(Arc::new)
            .inspect_err(|error| tracing::error!(tenant.id = %tenant, plugin.name = name, error, "a plugin can't be read"))
            .ok()
    };
    Ok(rows.into_iter().filter_map(read).collect())
}

/// Versions that numbers and the tenant name: name and number.
async fn pins(db: &Db, tenant: &TenantId) -> sqlx::Result<BTreeSet<(String, u32)>> {
    const SQL: &str = "SELECT plugin FROM dids WHERE tenant_id = ? AND deleted_at = 0 AND plugin LIKE '%@%' \
         UNION SELECT plugin FROM tenants WHERE id = ? AND plugin LIKE '%@%'";
    let tenant = tenant.as_str();
    let found: Vec<String> =
        db_read!(db, |p| sqlx::query_scalar(SQL).bind(tenant).bind(tenant).fetch_all(p).await)?;
    let pins = found.iter().filter_map(|text| {
        let (name, number) = named(text)?;
        Some((name.to_owned(), number?))
    });
    Ok(pins.collect())
}

/// The versions that are active, canary, shadow or named by number.
async fn versions(db: &Db, tenant: &TenantId, pinned: &BTreeSet<(String, u32)>) -> sqlx::Result<Versions> {
    const USED: &str = "SELECT v.plugin_id, v.number, v.id, v.digest, v.language FROM plugin_versions v \
         JOIN plugins p ON p.id = v.plugin_id WHERE v.tenant_id = ? AND p.tenant_id = ? AND p.deleted_at = 0 \
         AND (v.number = p.active_version OR v.number = p.canary_version OR v.number = p.shadow_version)";
    let mut rows: Vec<VersionRow> = db_read!(db, |p| sqlx::query_as(USED)
        .bind(tenant.as_str())
        .bind(tenant.as_str())
        .fetch_all(p)
        .await)?;
    for (name, number) in pinned {
        rows.extend(numbered(db, tenant, name, *number).await?);
    }
    let read = |row: VersionRow| Some(((row.plugin_id.clone(), row.number), row.version()?));
    Ok(rows.into_iter().filter_map(read).collect())
}

async fn numbered(db: &Db, tenant: &TenantId, name: &str, number: u32) -> sqlx::Result<Option<VersionRow>> {
    const SQL: &str = "SELECT v.plugin_id, v.number, v.id, v.digest, v.language FROM plugin_versions v \
         JOIN plugins p ON p.id = v.plugin_id WHERE v.tenant_id = ? AND p.tenant_id = ? AND p.deleted_at = 0 \
         AND p.name = ? AND v.number = ?";
    db_read!(db, |p| sqlx::query_as(SQL)
        .bind(tenant.as_str())
        .bind(tenant.as_str())
        .bind(name)
        .bind(i64::from(number))
        .fetch_optional(p)
        .await)
}

/// One version of a tenant's plugin, in use or not.
///
/// # Errors
/// When the database is away.
pub async fn version(db: &Db, tenant: &TenantId, name: &str, number: u32) -> sqlx::Result<Option<Version>> {
    Ok(numbered(db, tenant, name, number).await?.and_then(VersionRow::version))
}

impl VersionRow {
    fn version(self) -> Option<Version> {
        Some(Version {
            id: Id::parse(&self.id).ok()?,
            number: u32::try_from(self.number).ok()?,
            digest: self.digest,
            language: Language::parse(&self.language)?,
        })
    }
}

fn setup(row: Row, versions: &Versions, pinned: &BTreeSet<(String, u32)>) -> Result<Setup, String> {
    fn json<T: serde::de::DeserializeOwned>(what: &str, text: &str) -> Result<T, String> {
        serde_json::from_str(text).map_err(|error| format!("{what}: {error}"))
    }
    let version = |number: Option<i64>| versions.get(&(row.id.clone(), number?)).cloned();
    let word = |what: &str, word: &str| format!("{what} {word:?}");
    let pins = pinned.iter().filter(|(name, _)| *name == row.name);
    Ok(Setup {
        id: Id::parse(&row.id).map_err(|error| error.to_string())?,
        kind: World::parse(&row.kind).ok_or_else(|| word("kind", &row.kind))?,
        status: PluginStatus::parse(&row.status).ok_or_else(|| word("status", &row.status))?,
        on_failure: OnFailure::parse(&row.on_failure).ok_or_else(|| word("on_failure", &row.on_failure))?,
        active: version(row.active_version),
        canary: match version(row.canary_version) {
            Some(version) => Some(Canary {
                version,
                percent: u8::try_from(row.canary_percent).unwrap_or(0).min(100),
                numbers: json("canary_numbers", &row.canary_numbers)?,
            }),
            None => None,
        },
        shadow: version(row.shadow_version),
        pinned: pins.filter_map(|(_, number)| version(Some((*number).into()))).collect(),
        settings: Arc::new(json("settings", &row.settings)?),
        grants: json("grants", &row.grants)?,
        http_hosts: json("http_hosts", &row.http_hosts)?,
        events: json("events", &row.events)?,
        parked_us: match row.status.as_str() {
            "parked" => row.parked_at.map(|at| (at, row.parked_until.unwrap_or(at))),
            _ => None,
        },
        counts_from_us: row.counts_from,
        name: row.name.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_names_a_plugin_or_one_version() {
        assert_eq!(named("vip-router"), Some(("vip-router", None)));
        assert_eq!(named("vip-router@3"), Some(("vip-router", Some(3))));
        assert_eq!(named("vip-router@1.2.0"), None);
        assert_eq!(named("vip-router@"), None);
    }
}
