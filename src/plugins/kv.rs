//! Small values that plugins keep: by tenant, plugin and key. A value whose time is over is as good as none, and removed
//! by the housekeeping.

use super::host::away;
use crate::base::ids::{Id, TenantId};
use crate::config::limits::plugins as limits;
use crate::db::{Db, Tx, db_read, db_tx, db_write};
use crate::sandbox::types::Failure;

/// One plugin's keys at a moment.
pub(super) struct Keys<'a> {
    pub(super) db: &'a Db,
    pub(super) tenant: &'a TenantId,
    pub(super) plugin: &'a Id,
    pub(super) now_us: i64,
}

/// For ever, as a time.
const NEVER: i64 = i64::MAX;

impl Keys<'_> {
    pub(super) async fn get(&self, key: &str) -> Result<Option<String>, Failure> {
        const SQL: &str = "SELECT value FROM plugin_kv WHERE tenant_id = ? AND plugin_id = ? AND name = ? AND expires_at > ?";
        check_key(key)?;
        let found: sqlx::Result<Option<String>> = db_read!(self.db, |p| sqlx::query_scalar(SQL)
            .bind(self.tenant.as_str())
            .bind(self.plugin.as_str())
            .bind(key)
            .bind(self.now_us)
            .fetch_optional(p)
            .await);
        found.map_err(|error| away(&error))
    }

    pub(super) async fn set(&self, key: &str, value: &str, ttl: Option<u32>) -> Result<(), Failure> {
        check_key(key)?;
        if value.len() > limits::KV_VALUE_BYTES {
            return Err(Failure::Invalid(format!("a value has up to {} bytes", limits::KV_VALUE_BYTES)));
        }
        let expires = self.expires(ttl)?;
        let done = async {
            let mut tx = self.db.begin().await?;
            let known = self.locked(&mut tx, key).await?;
            if known.is_none() && self.count(&mut tx).await? >= limits::KV_KEYS {
                return Ok(false);
            }
            self.put(&mut tx, key, value, expires, known.is_some()).await?;
            tx.commit().await?;
            Ok(true)
        };
        self.within(done.await)
    }

    pub(super) async fn delete(&self, key: &str) -> Result<bool, Failure> {
        const SQL: &str = "DELETE FROM plugin_kv WHERE tenant_id = ? AND plugin_id = ? AND name = ?";
        check_key(key)?;
        let done = async {
            let mut tx = self.db.begin().await?;
            let was = self.locked(&mut tx, key).await?.is_some_and(|(_, expires)| expires > self.now_us);
            db_tx!(&mut tx, |c| sqlx::query(SQL)
                .bind(self.tenant.as_str())
                .bind(self.plugin.as_str())
                .bind(key)
                .execute(c)
                .await
                .map(drop))?;
            tx.commit().await?;
            Ok(was)
        };
        done.await.map_err(|error: sqlx::Error| away(&error))
    }

    pub(super) async fn increment(&self, key: &str, by: i64, ttl: Option<u32>) -> Result<i64, Failure> {
        check_key(key)?;
        let expires = self.expires(ttl)?;
        let done: sqlx::Result<Result<i64, Failure>> = async {
            let mut tx = self.db.begin().await?;
            let row = self.locked(&mut tx, key).await?;
            let known = row.as_ref().filter(|(_, expires)| *expires > self.now_us);
            let before: i64 = match known.map(|(value, _)| value.parse()) {
                None => 0,
                Some(Ok(number)) => number,
                Some(Err(_)) => {
                    return Ok(Err(Failure::Invalid(format!("the value of {key:?} is no number"))));
                }
            };
            let Some(sum) = before.checked_add(by) else {
                return Ok(Err(Failure::Invalid("the sum does not fit into 64 bits".into())));
            };
            if row.is_none() && self.count(&mut tx).await? >= limits::KV_KEYS {
                return Ok(Err(full()));
            }
            // Its time counts from the first increment.
            let until = known.map_or(expires, |(_, expires)| *expires);
            self.put(&mut tx, key, &sum.to_string(), until, row.is_some()).await?;
            tx.commit().await?;
            Ok(Ok(sum))
        }
        .await;
        done.map_err(|error| away(&error))?
    }

    fn within(&self, done: sqlx::Result<bool>) -> Result<(), Failure> {
        match done {
            Ok(true) => Ok(()),
            Ok(false) => Err(full()),
            Err(error) => Err(away(&error)),
        }
    }

    fn expires(&self, ttl: Option<u32>) -> Result<i64, Failure> {
        match ttl {
            None => Ok(NEVER),
            Some(seconds @ 1..=limits::KV_TTL_S) => Ok(self.now_us + i64::from(seconds) * 1_000_000),
            Some(_) => Err(Failure::Invalid(format!("ttl is 1 to {} seconds", limits::KV_TTL_S))),
        }
    }

    /// A row with its value and end, locked. On MariaDB the plugin's own row is what is locked: a search in vain would
    /// lock a gap, and two of them wait for each other.
    async fn locked(&self, tx: &mut Tx, key: &str) -> sqlx::Result<Option<(String, i64)>> {
        const LOCK: &str = "SELECT id FROM plugins WHERE id = ? AND tenant_id = ?";
        const LOCK_MYSQL: &str = "SELECT id FROM plugins WHERE id = ? AND tenant_id = ? FOR UPDATE";
        const SQL: &str =
            "SELECT value, expires_at FROM plugin_kv WHERE tenant_id = ? AND plugin_id = ? AND name = ?";
        let lock = tx.pick(LOCK, LOCK_MYSQL);
        let _: Option<String> = db_tx!(&mut *tx, |c| sqlx::query_scalar(lock)
            .bind(self.plugin.as_str())
            .bind(self.tenant.as_str())
            .fetch_optional(c)
            .await)?;
        db_tx!(tx, |c| sqlx::query_as(SQL)
            .bind(self.tenant.as_str())
            .bind(self.plugin.as_str())
            .bind(key)
            .fetch_optional(c)
            .await)
    }

    async fn count(&self, tx: &mut Tx) -> sqlx::Result<i64> {
        const SQL: &str = "SELECT COUNT(*) FROM plugin_kv WHERE tenant_id = ? AND plugin_id = ?";
        db_tx!(tx, |c| sqlx::query_scalar(SQL)
            .bind(self.tenant.as_str())
            .bind(self.plugin.as_str())
            .fetch_one(c)
            .await)
    }

    async fn put(&self, tx: &mut Tx, key: &str, value: &str, expires: i64, there: bool) -> sqlx::Result<()> {
        const UPDATE: &str = "UPDATE plugin_kv SET value = ?, expires_at = ?, updated_at = ? \
             WHERE tenant_id = ? AND plugin_id = ? AND name = ?";
        const INSERT: &str = "INSERT INTO plugin_kv (value, expires_at, updated_at, tenant_id, plugin_id, name) \
             VALUES (?, ?, ?, ?, ?, ?)";
        let sql = if there { UPDATE } else { INSERT };
        db_tx!(tx, |c| sqlx::query(sql)
            .bind(value)
            .bind(expires)
            .bind(self.now_us)
            .bind(self.tenant.as_str())
            .bind(self.plugin.as_str())
            .bind(key)
            .execute(c)
            .await
            .map(drop))
    }
}

fn check_key(key: &str) -> Result<(), Failure> {
    if key.is_empty() || key.len() > limits::KV_KEY_BYTES {
        return Err(Failure::Invalid(format!("a key has 1 to {} bytes", limits::KV_KEY_BYTES)));
    }
    Ok(())
}

fn full() -> Failure {
    Failure::Limit(format!("a plugin keeps up to {} keys", limits::KV_KEYS))
}

/// Removes values whose time is over, and those of plugins that are gone.
///
/// # Errors
/// When the database is away.
pub(super) async fn purge(db: &Db, now_us: i64) -> sqlx::Result<u64> {
    const SQL: &str = "DELETE FROM plugin_kv WHERE expires_at <= ? \
         OR plugin_id IN (SELECT id FROM plugins WHERE deleted_at > 0)";
    db_write!(db, |c| sqlx::query(SQL).bind(now_us).execute(c).await.map(|done| done.rows_affected()))
}
