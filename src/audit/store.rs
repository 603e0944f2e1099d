//! SQL of the audit log: lines are only ever added, each in the transaction of what it tells of.

use serde_json::{Map, Value, json};

use super::{ActorKind, AuditLog, FIRST_HASH, first_broken};
use crate::api::Audited;
use crate::base::clock::from_us;
use crate::base::ids::{IdSource, TenantId};
use crate::config::limits::audit as limits;
use crate::db::{Db, Tx, db_read, db_tx};

/// What is put on record.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// The tenant it belongs to; empty: the platform.
    pub tenant: &'a str,
    /// When, microseconds since 1970 UTC.
    pub at_us: i64,
    /// What kind of actor did it.
    pub actor_kind: ActorKind,
    /// Who; empty for the system.
    pub actor_id: &'a str,
    /// The role they had.
    pub role: &'a str,
    /// From where.
    pub address: &'a str,
    /// With what.
    pub user_agent: &'a str,
    /// In which request.
    pub request_id: &'a str,
    /// What was done.
    pub action: &'a str,
    /// What to.
    pub object_type: &'a str,
    /// Which one.
    pub object_id: &'a str,
    /// As it was; empty: it was not there.
    pub before: &'a Map<String, Value>,
    /// As it is; empty: it is gone.
    pub after: &'a Map<String, Value>,
}

/// Adds a line. Lines of one tenant wait for each other: the chain has one end.
///
/// # Errors
/// When the database is away.
pub async fn append(tx: &mut Tx, ids: &IdSource, entry: &Entry<'_>) -> sqlx::Result<()> {
    const MOVE: &str = "UPDATE audit_heads SET sequence = ?, hash = ? WHERE tenant_id = ?";
    let (sequence, prev_hash) = head(tx, entry.tenant).await?;
    let some = |text: &str| Some(text.to_owned()).filter(|t| !t.is_empty());
    let (old, new) = changed(entry.before, entry.after);
    let mut line = AuditLog {
        id: ids.next(),
        tenant_id: some(entry.tenant),
        sequence: u64::try_from(sequence + 1).unwrap_or_default(),
        at: from_us(entry.at_us),
        actor_kind: entry.actor_kind,
        actor_id: some(entry.actor_id),
        actor_name: actor_name(tx, entry).await?,
        role: some(entry.role),
        address: some(entry.address),
        user_agent: some(entry.user_agent),
        request_id: some(entry.request_id),
        action: entry.action.to_owned(),
        object_type: some(entry.object_type),
        object_id: some(entry.object_id),
        old_values: old,
        new_values: new,
        prev_hash,
        hash: String::new(),
    };
    line.hash = line.computed_hash();
    insert(tx, &line).await?;
    db_tx!(tx, |c| sqlx::query(MOVE)
        .bind(sequence + 1)
        .bind(&line.hash)
        .bind(entry.tenant)
        .execute(c)
        .await
        .map(drop))
}

/// Adds a line about a change that the service made by itself.
///
/// # Errors
/// When the database is away.
pub async fn append_system(
    tx: &mut Tx,
    ids: &IdSource,
    (tenant, at_us): (&TenantId, i64),
    line: &Audited,
) -> sqlx::Result<()> {
    let entry = Entry {
        tenant: tenant.as_str(),
        at_us,
        actor_kind: ActorKind::System,
        actor_id: "",
        role: "",
        address: "",
        user_agent: "",
        request_id: "",
        action: &line.action,
        object_type: &line.object_type,
        object_id: &line.object_id,
        before: &line.before,
        after: &line.after,
    };
    append(tx, ids, &entry).await
}

async fn insert(tx: &mut Tx, line: &AuditLog) -> sqlx::Result<()> {
    const SQL: &str = "INSERT INTO audit_logs (id, tenant_id, sequence, at, actor_kind, actor_id, actor_name, role, \
         address, user_agent, request_id, action, object_type, object_id, old_values, new_values, prev_hash, hash) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let json = |value: &Option<Value>| value.as_ref().map(Value::to_string);
    db_tx!(tx, |c| sqlx::query(SQL)
        .bind(line.id.as_str())
        .bind(text(&line.tenant_id))
        .bind(i64::try_from(line.sequence).unwrap_or(i64::MAX))
        .bind(line.at.timestamp_micros())
        .bind(line.actor_kind.as_str())
        .bind(text(&line.actor_id))
        .bind(text(&line.actor_name))
        .bind(text(&line.role))
        .bind(text(&line.address))
        .bind(text(&line.user_agent))
        .bind(text(&line.request_id))
        .bind(&line.action)
        .bind(text(&line.object_type))
        .bind(text(&line.object_id))
        .bind(json(&line.old_values))
        .bind(json(&line.new_values))
        .bind(&line.prev_hash)
        .bind(&line.hash)
        .execute(c)
        .await
        .map(drop))
}

/// The actor's name at this time: users and keys come and go.
async fn actor_name(tx: &mut Tx, entry: &Entry<'_>) -> sqlx::Result<Option<String>> {
    const USER: &str = "SELECT email FROM users WHERE id = ?";
    const KEY: &str = "SELECT name FROM api_keys WHERE tenant_id = ? AND id = ?";
    match entry.actor_kind {
        ActorKind::User => {
            db_tx!(tx, |c| sqlx::query_scalar(USER).bind(entry.actor_id).fetch_optional(c).await)
        }
        ActorKind::ApiKey => db_tx!(tx, |c| sqlx::query_scalar(KEY)
            .bind(entry.tenant)
            .bind(entry.actor_id)
            .fetch_optional(c)
            .await),
        ActorKind::System => Ok(None),
    }
}

/// The last line's number and hash, locked until the transaction ends.
async fn head(tx: &mut Tx, tenant: &str) -> sqlx::Result<(i64, String)> {
    const SQLITE: &str = "INSERT INTO audit_heads (tenant_id, sequence, hash) VALUES (?, 0, ?) \
         ON CONFLICT (tenant_id) DO UPDATE SET sequence = sequence";
    const MYSQL: &str = "INSERT INTO audit_heads (tenant_id, sequence, hash) VALUES (?, 0, ?) \
         ON DUPLICATE KEY UPDATE sequence = sequence";
    const READ: &str = "SELECT sequence, hash FROM audit_heads WHERE tenant_id = ?";
    const READ_MYSQL: &str = "SELECT sequence, hash FROM audit_heads WHERE tenant_id = ? FOR UPDATE";
    let (claim, read) = (tx.pick(SQLITE, MYSQL), tx.pick(READ, READ_MYSQL));
    db_tx!(tx, |c| sqlx::query(claim).bind(tenant).bind(FIRST_HASH).execute(c).await.map(drop))?;
    db_tx!(tx, |c| sqlx::query_as(read).bind(tenant).fetch_one(c).await)
}

/// Of a change only what changed; of a new or gone record all of it. What is too large is told by its size.
fn changed(before: &Map<String, Value>, after: &Map<String, Value>) -> (Option<Value>, Option<Value>) {
    let differs = |name: &String, one: &Map<String, Value>, other: &Map<String, Value>| {
        one.get(name) != other.get(name)
    };
    let part = |of: &Map<String, Value>, other: &Map<String, Value>| {
        if of.is_empty() {
            return None;
        }
        let all = other.is_empty();
        let kept: Map<String, Value> = of
            .iter()
            .filter(|(name, _)| all || differs(name, of, other))
            .map(|(n, v)| (n.clone(), v.clone()))
            .collect();
        let bytes = Value::Object(kept.clone()).to_string().len();
        Some(if bytes > limits::VALUES_BYTES {
            json!({"omitted": "too large", "bytes": bytes})
        } else {
            Value::Object(kept)
        })
    };
    (part(before, after), part(after, before))
}

/// What a walk along a chain found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// So many lines, all as they were written.
    Whole(u64),
    /// The first line that is missing, or is not what was written or not in its place.
    Broken(u64),
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    tenant_id: String,
    sequence: i64,
    at: i64,
    actor_kind: String,
    actor_id: String,
    actor_name: String,
    role: String,
    address: String,
    user_agent: String,
    request_id: String,
    action: String,
    object_type: String,
    object_id: String,
    old_values: Option<String>,
    new_values: Option<String>,
    prev_hash: String,
    hash: String,
}

impl Row {
    /// The line; `None` when the row can't be one that we wrote.
    fn line(self) -> Option<AuditLog> {
        let some = |text: String| Some(text).filter(|t| !t.is_empty());
        let json = |text: Option<String>| match text {
            None => Some(None),
            Some(text) => serde_json::from_str(&text).ok().map(Some),
        };
        Some(AuditLog {
            id: crate::base::ids::Id::parse(&self.id).ok()?,
            tenant_id: some(self.tenant_id),
            sequence: u64::try_from(self.sequence).ok()?,
            at: from_us(self.at),
            actor_kind: ActorKind::parse(&self.actor_kind)?,
            actor_id: some(self.actor_id),
            actor_name: some(self.actor_name),
            role: some(self.role),
            address: some(self.address),
            user_agent: some(self.user_agent),
            request_id: some(self.request_id),
            action: self.action,
            object_type: some(self.object_type),
            object_id: some(self.object_id),
            old_values: json(self.old_values)?,
            new_values: json(self.new_values)?,
            prev_hash: self.prev_hash,
            hash: self.hash,
        })
    }
}

/// Walks along a tenant's chain, from its first line to the one that was written last when it began.
///
/// # Errors
/// When the database is away.
pub async fn verify(db: &Db, tenant: &str) -> sqlx::Result<Verdict> {
    const SQL: &str = "SELECT id, tenant_id, sequence, at, actor_kind, actor_id, actor_name, role, address, user_agent, \
         request_id, action, object_type, object_id, old_values, new_values, prev_hash, hash FROM audit_logs \
         WHERE tenant_id = ? AND sequence > ? ORDER BY sequence LIMIT 1000";
    const HEAD: &str = "SELECT sequence, hash FROM audit_heads WHERE tenant_id = ?";
    let head: Option<(i64, String)> =
        db_read!(db, |p| sqlx::query_as(HEAD).bind(tenant).fetch_optional(p).await)?;
    let (end, end_hash) = head.unwrap_or((0, FIRST_HASH.to_owned()));
    let mut last: Option<AuditLog> = None;
    loop {
        let at = last.as_ref().map_or(0, |line| line.sequence);
        if i64::try_from(at).unwrap_or(i64::MAX) >= end {
            return Ok(Verdict::Whole(at));
        }
        let rows: Vec<Row> = db_read!(db, |p| sqlx::query_as(SQL)
            .bind(tenant)
            .bind(i64::try_from(at).unwrap_or(i64::MAX))
            .fetch_all(p)
            .await)?;
        // The line before stands in front, so that the first of these is compared with it.
        let mut lines: Vec<AuditLog> = last.into_iter().collect();
        for row in rows {
            match row.line() {
                Some(line) => lines.push(line),
                None => return Ok(Verdict::Broken(lines.last().map_or(0, |line| line.sequence) + 1)),
            }
        }
        if lines.last().is_none_or(|line| line.sequence == at) {
            return Ok(Verdict::Broken(at + 1));
        }
        if at == 0 && lines.first().is_some_and(|line| line.sequence != 1) {
            return Ok(Verdict::Broken(1));
        }
        if let Some(broken) = first_broken(&lines) {
            return Ok(Verdict::Broken(broken.sequence));
        }
        let is_end = |line: &&AuditLog| i64::try_from(line.sequence) == Ok(end);
        if let Some(line) = lines.iter().find(is_end).filter(|line| line.hash != end_hash) {
            return Ok(Verdict::Broken(line.sequence));
        }
        last = lines.pop();
    }
}

/// Tenants with a chain, the platform's empty name among them.
///
/// # Errors
/// When the database is away.
pub async fn chains(db: &Db) -> sqlx::Result<Vec<String>> {
    db_read!(db, |p| sqlx::query_scalar("SELECT tenant_id FROM audit_heads ORDER BY tenant_id")
        .fetch_all(p)
        .await)
}
