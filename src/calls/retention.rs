//! The end of recordings: those that are older than their tenant keeps them, and the sounds of those that are deleted.
//!
//! A row says first that its recording is deleted, then the sound goes, then the row forgets its key: a process that dies
//! in between goes on where it was, and nobody is led to a sound that is gone. One under legal hold stays, at the moment
//! of its deletion.

use super::api::RECORDINGS;
use super::recordings::Recorder;
use crate::api::crud;
use crate::api::store::{self, Scope};
use crate::base::clock::Clock;
use crate::base::ids::TenantId;
use crate::config::limits::sound as limits;
use crate::db::{Db, db_read, db_tx};
use crate::storage::{Rows, Storage};

impl Recorder {
    /// Deletes recordings whose time is over, some at a time. Returns how many.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn expire(&self) -> sqlx::Result<usize> {
        const OLD: &str = "SELECT r.tenant_id, r.id FROM call_recordings r JOIN tenants t ON t.id = r.tenant_id \
             WHERE t.recording_days IS NOT NULL AND r.started_at < ? - t.recording_days * 86400000000 \
             AND r.status IN ('completed', 'failed') AND r.legal_hold = 0 AND r.deleted_at = 0 LIMIT ?";
        let mut done = 0;
        loop {
            let old: Vec<(String, String)> = db_read!(&self.db, |p| sqlx::query_as(OLD)
                .bind(self.clock.now_us())
                .bind(limits::BATCH)
                .fetch_all(p)
                .await)?;
            for (tenant, id) in &old {
                if let Ok(tenant) = TenantId::parse(tenant) {
                    done += usize::from(self.expire_one(&tenant, id).await?);
                }
            }
            if old.is_empty() {
                return Ok(done);
            }
        }
    }

    async fn expire_one(&self, tenant: &TenantId, id: &str) -> sqlx::Result<bool> {
        const SQL: &str = "UPDATE call_recordings SET status = 'deleted', remove_at = ?, updated_at = ? \
             WHERE tenant_id = ? AND id = ? AND legal_hold = 0 AND deleted_at = 0 AND status IN ('completed', 'failed')";
        let (scope, now_us, mut tx) = (Scope::tenant(tenant), self.clock.now_us(), self.db.begin().await?);
        let before = store::get_locked(&mut tx, &RECORDINGS, &scope, id).await?.unwrap_or_default();
        let changed = db_tx!(&mut tx, |c| sqlx::query(SQL)
            .bind(now_us)
            .bind(now_us)
            .bind(tenant.as_str())
            .bind(id)
            .execute(c)
            .await
            .map(|done| done.rows_affected()))?;
        if changed == 0 {
            return Ok(false);
        }
        let after = store::get_locked(&mut tx, &RECORDINGS, &scope, id).await?.unwrap_or_default();
        let line = crud::line(&RECORDINGS, "expire", id.to_owned(), before, after);
        let position = self.events.write(&mut tx, &self.ids, (tenant, now_us), &[line]).await?;
        tx.commit().await?;
        if let Some(position) = position {
            self.events.news.tell(tenant, position);
        }
        Ok(true)
    }
}

/// Removes the sounds of recordings that are deleted. Returns how many.
///
/// # Errors
/// When the database is away. A store that is away is tried again later.
pub async fn remove_sounds(db: &Db, clock: &Clock, storage: &Storage) -> sqlx::Result<usize> {
    const DUE: &str = "SELECT tenant_id, id, storage_key FROM call_recordings WHERE remove_at <= ? \
         AND (deleted_at > 0 OR status = 'deleted') ORDER BY remove_at LIMIT ?";
    const GONE: &str = "UPDATE call_recordings SET storage_key = '', bytes = 0, remove_at = NULL \
         WHERE tenant_id = ? AND id = ?";
    const LATER: &str = "UPDATE call_recordings SET remove_at = ? WHERE tenant_id = ? AND id = ?";
    storage.sweep(db, clock, Rows { due: DUE, gone: GONE, later: LATER }).await
}
