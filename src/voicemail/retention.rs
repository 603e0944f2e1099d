//! The end of messages: those that are older than their tenant keeps them, and the sounds of those that are deleted. As
//! with recordings: the row first, then the sound, then the row's key.

use super::keep::Keeper;
use super::messages;
use crate::base::clock::Clock;
use crate::base::ids::TenantId;
use crate::config::limits::sound as limits;
use crate::db::{Db, Tx, db_read};
use crate::storage::{Rows, Storage};

impl Keeper {
    /// Deletes messages whose time is over, some at a time; Asterisk's files follow. Returns how many.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn expire(&self) -> sqlx::Result<usize> {
        const OLD: &str = "SELECT v.tenant_id, v.id FROM voicemails v JOIN tenants t ON t.id = v.tenant_id \
             WHERE t.voicemail_days IS NOT NULL AND v.received_at < ? - t.voicemail_days * 86400000000 \
             AND v.deleted_at = 0 LIMIT ?";
        let mut done = 0;
        loop {
            let now_us = self.clock.now_us();
            let old: Vec<(String, String)> = db_read!(&self.db, |p| sqlx::query_as(OLD)
                .bind(now_us)
                .bind(limits::BATCH)
                .fetch_all(p)
                .await)?;
            for (tenant, id) in &old {
                let Ok(tenant) = TenantId::parse(tenant) else { continue };
                self.change(&tenant, id, "delete", async |tx: &mut Tx| {
                    messages::delete(tx, &tenant, id, now_us).await
                })
                .await?;
                done += 1;
            }
            if old.is_empty() {
                return Ok(done);
            }
        }
    }
}

/// Removes the sounds of messages that are deleted. Returns how many.
///
/// # Errors
/// When the database is away. A store that is away is tried again later.
pub async fn remove_sounds(db: &Db, clock: &Clock, storage: &Storage) -> sqlx::Result<usize> {
    const DUE: &str = "SELECT tenant_id, id, storage_key FROM voicemails WHERE remove_at <= ? AND deleted_at > 0 \
         ORDER BY remove_at LIMIT ?";
    const GONE: &str = "UPDATE voicemails SET storage_key = '', bytes = 0, remove_at = NULL \
         WHERE tenant_id = ? AND id = ?";
    const LATER: &str = "UPDATE voicemails SET remove_at = ? WHERE tenant_id = ? AND id = ?";
    storage.sweep(db, clock, Rows { due: DUE, gone: GONE, later: LATER }).await
}
