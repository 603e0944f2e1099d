//! An endpoint as it is sent to: its row with the secrets opened.

use std::sync::Arc;
use std::time::Duration;

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};

use super::WebhookStatus;
use super::sign::{KeyPair, Secret};
use crate::auth::Auth;
use crate::base::ids::{Id, TenantId};
use crate::db::{Db, Tx, db_read, db_tx};
use crate::events::{Event, matches};
use crate::outgoing::OutgoingUrl;

/// One endpoint.
#[derive(Debug)]
pub struct Endpoint {
    /// Its id.
    pub id: Id,
    /// Whose it is.
    pub tenant: TenantId,
    /// Where it is.
    pub url: OutgoingUrl,
    /// Headers of the tenant's.
    pub headers: HeaderMap,
    /// The secrets that sign, the newest first.
    pub secrets: Vec<Secret>,
    /// When the second of them stops signing, microseconds; `None`: there is none.
    pub old_until_us: Option<i64>,
    /// What signs `v1a`, where that is wanted.
    pub pair: Option<KeyPair>,
    /// Whether `v1` is wanted.
    pub symmetric: bool,
    /// Requests at a time.
    pub concurrency: usize,
    /// Time for one.
    pub timeout: Duration,
    /// Whether it gets anything.
    pub status: WebhookStatus,
    /// Since when it only fails.
    pub failing_since_us: Option<i64>,
    /// Failures in a row.
    pub failures: u32,
}

impl Endpoint {
    /// The secrets that sign at a moment.
    pub fn secrets_at(&self, now_us: i64) -> &[Secret] {
        match (self.symmetric, self.old_until_us) {
            (false, _) => &[],
            (true, Some(until)) if now_us < until => &self.secrets,
            (true, _) => self.secrets.get(..1).unwrap_or_default(),
        }
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    tenant_id: String,
    url: String,
    headers_secret: String,
    signatures: String,
    secret: String,
    old_secret: String,
    old_secret_until: Option<i64>,
    private_key: String,
    concurrency: i64,
    timeout_s: i64,
    status: String,
    failing_since: Option<i64>,
    failures: i64,
    deleted_at: i64,
}

const READ: &str = "SELECT id, tenant_id, url, headers_secret, signatures, secret, old_secret, old_secret_until, \
     private_key, concurrency, timeout_s, status, failing_since, failures \
     , deleted_at FROM webhooks";

/// Why a row can't be used.
#[derive(Debug, thiserror::Error)]
#[error("webhook {id} can't be used: {why}")]
struct Unusable {
    id: String,
    why: String,
}

impl Row {
    fn open(self, auth: &Auth) -> Result<Endpoint, Unusable> {
        let id = self.id.clone();
        self.opened(auth).map_err(|why| Unusable { id, why })
    }

    fn opened(self, auth: &Auth) -> Result<Endpoint, String> {
        fn said(error: impl std::fmt::Display) -> String {
            error.to_string()
        }
        let open = |text: &str| auth.sealer.open(&self.id, text).map_err(said);
        let secret =
            |text: &str| -> Result<Secret, String> { Secret::from_bytes(&open(text)?).map_err(said) };
        let mut secrets = vec![secret(&self.secret)?];
        if !self.old_secret.is_empty() {
            secrets.push(secret(&self.old_secret)?);
        }
        let signatures: Vec<String> = serde_json::from_str(&self.signatures).map_err(said)?;
        let pair = match signatures.iter().any(|version| version == "v1a") {
            true => Some(KeyPair::from_seed(&open(&self.private_key)?).map_err(said)?),
            false => None,
        };
        Ok(Endpoint {
            id: Id::parse(&self.id).map_err(said)?,
            tenant: TenantId::parse(&self.tenant_id).map_err(said)?,
            url: self.url.parse().map_err(said)?,
            headers: match self.headers_secret.as_str() {
                "" => HeaderMap::new(),
                sealed => headers(&open(sealed)?)?,
            },
            secrets,
            old_until_us: self.old_secret_until,
            pair,
            symmetric: signatures.iter().any(|version| version == "v1"),
            concurrency: usize::try_from(self.concurrency).unwrap_or(1),
            timeout: Duration::from_secs(u64::try_from(self.timeout_s).unwrap_or(1)),
            status: match self.deleted_at {
                0 => WebhookStatus::parse(&self.status).ok_or("its status is none")?,
                _ => WebhookStatus::Disabled,
            },
            failing_since_us: self.failing_since,
            failures: u32::try_from(self.failures).unwrap_or(u32::MAX),
        })
    }
}

/// Headers out of their JSON.
fn headers(json: &[u8]) -> Result<HeaderMap, String> {
    let all: Vec<(String, String)> = serde_json::from_slice(json).map_err(|e| e.to_string())?;
    all.into_iter()
        .map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|e| e.to_string())?;
            Ok((name, HeaderValue::from_str(&value).map_err(|e| e.to_string())?))
        })
        .collect()
}

/// Rows that can be used; of the others the log tells.
fn opened(rows: Vec<Row>, auth: &Auth) -> Vec<Arc<Endpoint>> {
    let usable = |row: Row| match row.open(auth) {
        Ok(endpoint) => Some(Arc::new(endpoint)),
        Err(error) => {
            tracing::error!(%error, "an endpoint gets nothing");
            None
        }
    };
    rows.into_iter().filter_map(usable).collect()
}

/// What an endpoint wants: all that handing events out needs to know, so that one whose secrets can't be opened loses
/// none.
#[derive(Debug)]
pub struct Wish {
    /// The endpoint.
    pub id: String,
    /// Patterns of the types it wants.
    types: Vec<String>,
    /// Whether events of a key come one after the other.
    pub ordered: bool,
    /// Whether what comes waits.
    pub paused: bool,
    /// Events up to this position were before it.
    from_position: i64,
    /// It is behind: of the events after this position it has no deliveries yet. `None`: it has those of all that were
    /// handed out.
    pub behind: Option<i64>,
    /// It was disabled while it was behind: of events after the one position, up to the other, it has no deliveries.
    pub missed: Option<(i64, i64)>,
}

impl Wish {
    /// Whether it wants a type of events. A test is only for the endpoint that it tests.
    pub fn wants_kind(&self, kind: &str) -> bool {
        kind != "webhook.test" && self.types.iter().any(|pattern| matches(pattern, kind))
    }

    /// Whether it wants an event: one that is younger than it, and not the one that tells of its own making.
    pub fn wants(&self, event: &Event) -> bool {
        let is_birth = event.kind == "webhook.created" && event.key.ends_with(&self.id);
        event.position > self.from_position && !is_birth && self.wants_kind(&event.kind)
    }
}

#[derive(sqlx::FromRow)]
struct WishRow {
    id: String,
    types: String,
    ordered: bool,
    status: String,
    from_position: i64,
    behind: Option<i64>,
    missed_from: Option<i64>,
    missed_until: Option<i64>,
}

fn wish(row: WishRow) -> sqlx::Result<Wish> {
    Ok(Wish {
        types: serde_json::from_str(&row.types).map_err(|e| sqlx::Error::Decode(Box::new(e)))?,
        paused: row.status == WebhookStatus::Paused.as_str(),
        missed: row.missed_from.zip(row.missed_until),
        id: row.id,
        ordered: row.ordered,
        from_position: row.from_position,
        behind: row.behind,
    })
}

/// The wishes of a tenant's endpoints that are not disabled. Their rows are locked until the transaction ends: whoever
/// deletes one, or changes what it wants, does so before, or finds the deliveries that were made.
///
/// # Errors
/// When the database is away.
pub async fn wishes(tx: &mut Tx, tenant: &TenantId) -> sqlx::Result<Vec<Wish>> {
    const SQL: &str = "SELECT id, types, ordered, status, from_position, behind, missed_from, missed_until \
         FROM webhooks WHERE tenant_id = ? AND deleted_at = 0 AND status <> 'disabled' ORDER BY id";
    let sql = sqlx::AssertSqlSafe(format!("{SQL}{}", tx.pick("", " FOR UPDATE")));
    let rows: Vec<WishRow> = db_tx!(tx, |c| sqlx::query_as(sql).bind(tenant.as_str()).fetch_all(c).await)?;
    rows.into_iter().map(wish).collect()
}

/// As [`wishes`], of one endpoint; `None`: there is none that gets anything.
///
/// # Errors
/// When the database is away.
pub async fn wish_of(tx: &mut Tx, tenant: &TenantId, id: &str) -> sqlx::Result<Option<Wish>> {
    const SQL: &str = "SELECT id, types, ordered, status, from_position, behind, missed_from, missed_until \
         FROM webhooks WHERE tenant_id = ? AND id = ? AND deleted_at = 0 AND status <> 'disabled'";
    let sql = sqlx::AssertSqlSafe(format!("{SQL}{}", tx.pick("", " FOR UPDATE")));
    let row: Option<WishRow> =
        db_tx!(tx, |c| sqlx::query_as(sql).bind(tenant.as_str()).bind(id).fetch_optional(c).await)?;
    row.map(wish).transpose()
}

/// Every endpoint that was changed since then; deleted ones count as disabled.
///
/// # Errors
/// When the database is away.
pub async fn changed(db: &Db, auth: &Auth, since_us: i64) -> sqlx::Result<Vec<Arc<Endpoint>>> {
    let sql = sqlx::AssertSqlSafe(format!("{READ} WHERE updated_at >= ? ORDER BY id"));
    let rows: Vec<Row> = db_read!(db, |p| sqlx::query_as(sql).bind(since_us).fetch_all(p).await)?;
    Ok(opened(rows, auth))
}

/// One endpoint; `None`: there is none, or it can't be used.
///
/// # Errors
/// When the database is away.
pub async fn one(db: &Db, auth: &Auth, id: &Id) -> sqlx::Result<Option<Arc<Endpoint>>> {
    let sql = sqlx::AssertSqlSafe(format!("{READ} WHERE id = ?"));
    let rows: Vec<Row> = db_read!(db, |p| sqlx::query_as(sql).bind(id.as_str()).fetch_all(p).await)?;
    Ok(opened(rows, auth).pop())
}
